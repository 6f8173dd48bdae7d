"""The Rayleigh family of positive numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import RootMap
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..support import Support
from .exponential import Exponential


@final
class Rayleigh(AbstractNamedFamily[Array]):
    """Lengths of centered normal vectors of the plane, p(x) = x/σ² exp(−x²/(2σ²)), x > 0.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −1/(2σ²) | 2σ² | x² | 2x |

    That is, x² is exponential with rate 1/(2σ²).

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), section 18.10.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> rayleigh = ef.Rayleigh()
        >>> params = rayleigh.maximum_likelihood(jnp.array([1.0, 7.0]))
        >>> round(float(rayleigh.scale(params)), 4)
        3.5355
    """

    @property
    def definition(self) -> PushForward:
        """The square root of an exponential variable."""
        return PushForward(Exponential(), RootMap(2.0))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_scale(self, scale: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given scale σ, the deviation of either coordinate."""
        coords = -0.5 / jnp.asarray(scale, float) ** 2
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Rayleigh.from_scale: `scale` must be positive and finite.",
        )

    def scale(self, params: Natural[Array]) -> Float[Array, ""]:
        """The scale σ."""
        self._check_point(params, Natural, "scale", "params")
        return jnp.sqrt(-0.5 / params.coords)

    readers = (scale,)
