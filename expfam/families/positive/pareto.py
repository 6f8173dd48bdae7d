"""The Pareto families, with a fixed minimum."""

from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import ExponentialMap, check_positive
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..support import Support
from .exponential import Exponential


@final
class Pareto(AbstractNamedFamily[Array]):
    """Power laws above a fixed minimum, p(x) = α mᵅ x^(−α−1), x ≥ m.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −α | 1/α | log x/m | 1/x |

    That is, log x/m is exponential with rate α. The mean of x is finite where α > 1.

    Attributes:
        minimum: m, positive.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 20.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> pareto = ef.Pareto(minimum=1.0)
        >>> params = pareto.maximum_likelihood(jnp.exp(jnp.array([0.1, 0.9])))
        >>> round(float(pareto.tail_index(params)), 4)
        2.0
    """

    minimum: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a minimum that is not positive."""
        check_positive(self.minimum, "Pareto", "minimum")

    @property
    def definition(self) -> PushForward:
        """m times the exponential of an exponential variable."""
        return PushForward(Exponential(), ExponentialMap(self.minimum))

    @property
    def support(self) -> Support:
        """[m, ∞)."""
        return Support((), "at least", bound=self.minimum)

    def from_tail_index(self, tail_index: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given tail index α, positive and finite."""
        coords = -jnp.asarray(tail_index, float)
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Pareto.from_tail_index: `tail_index` must be positive and finite.",
        )

    def tail_index(self, params: Natural[Array]) -> Float[Array, ""]:
        """The tail index α, often called the shape."""
        self._check_point(params, Natural, "tail_index", "params")
        return -params.coords

    readers = (tail_index,)
