"""The half-normal family of numbers that are not negative."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import RootMap
from ..derived.fixed import FixedShape
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..derived.sub_family import SubFamily
from ..support import Support
from .gamma import Gamma


@final
class HalfNormal(AbstractNamedFamily[Array]):
    """Magnitudes of centered normal numbers, p(x) = √(2/π)/σ exp(−x²/(2σ²)), x ≥ 0.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −1/(2σ²) | σ² | x² | 2 |

    That is, x² is a gamma with shape ½ and rate 1/(2σ²).

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), section 10.1.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.HalfNormal()
        >>> params = family.maximum_likelihood(jnp.array([1.0, 7.0]))
        >>> round(float(family.scale(params)), 4)
        5.0
    """

    @property
    def definition(self) -> PushForward:
        """The square root of a gamma of shape ½."""
        return PushForward(SubFamily(Gamma(), FixedShape(0.5)), RootMap(2.0))

    @property
    def support(self) -> Support:
        """[0, ∞)."""
        return Support((), "nonnegative")

    def from_scale(self, scale: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given scale σ, the deviation of the normal."""
        coords = -0.5 / jnp.asarray(scale, float) ** 2
        return require(
            Natural(coords),
            self._in_domain(coords),
            "HalfNormal.from_scale: `scale` must be positive and finite.",
        )

    def scale(self, params: Natural[Array]) -> Float[Array, ""]:
        """The scale σ."""
        self._check_point(params, Natural, "scale", "params")
        return jnp.sqrt(-0.5 / params.coords)

    readers = (scale,)
