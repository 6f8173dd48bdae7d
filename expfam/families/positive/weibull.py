"""The Weibull families, with a fixed shape, of positive numbers."""

from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import RootMap, check_positive
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..support import Support
from .exponential import Exponential


@final
class Weibull(AbstractNamedFamily[Array]):
    """Weibull distributions of a fixed shape, p(x) = (k/λ) (x/λ)^(k−1) exp(−(x/λ)ᵏ), x > 0.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −λ^(−k) | λᵏ | xᵏ | k x^(k−1) |

    That is, xᵏ is exponential with rate λ^(−k). Only the scale λ is a parameter: with both free,
    the Weibulls are no exponential family.

    Attributes:
        shape: k, positive.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 21.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> weibull = ef.Weibull(shape=2.0)
        >>> params = weibull.maximum_likelihood(jnp.array([1.0, 7.0]))
        >>> round(float(weibull.scale(params)), 4)
        5.0
    """

    shape: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a shape that is not positive."""
        check_positive(self.shape, "Weibull", "shape")

    @property
    def definition(self) -> PushForward:
        """The k-th root of an exponential variable."""
        return PushForward(Exponential(), RootMap(self.shape))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_scale(self, scale: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given scale λ, positive and finite."""
        coords = -(jnp.asarray(scale, float) ** -self.shape)
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Weibull.from_scale: `scale` must be positive, and its power finite.",
        )

    def scale(self, params: Natural[Array]) -> Float[Array, ""]:
        """The scale λ."""
        self._check_point(params, Natural, "scale", "params")
        return (-params.coords) ** (-1 / self.shape)

    readers = (scale,)
