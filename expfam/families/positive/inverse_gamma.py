"""The inverse gamma family of positive numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import RootMap
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..support import Support
from .gamma import Gamma, GammaCoords


@final
class InverseGamma(AbstractNamedFamily[GammaCoords]):
    """Distributions of a positive number whose inverse has a gamma distribution.

    The density is p(x) = βᵃ x^(−a−1) e^(−β/x) / Γ(a).

    | | value | logarithm |
    | --- | --- | --- |
    | natural θ | −β | a |
    | mean η | a/β | digamma(a) − log β |
    | statistic s(x) | 1/x | −log x |

    The base measure is 1/x. Coordinates and log-normalizer are those of the gamma of 1/x.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), section 17.8.

    Examples:
        >>> import expfam as ef
        >>> family = ef.InverseGamma()
        >>> params = family.from_shape_scale(3.0, 2.0)
        >>> float(family.to_mean(params).coords.value)
        1.5
    """

    @property
    def definition(self) -> PushForward:
        """The reciprocal of a gamma."""
        return PushForward(Gamma(), RootMap(-1.0))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_shape_scale(
        self, shape: Float[Array, ""] | float, scale: Float[Array, ""] | float
    ) -> Natural[GammaCoords]:
        """The distribution with given shape a and scale β, both positive and finite."""
        coords = GammaCoords(-jnp.asarray(scale, float), jnp.asarray(shape, float))
        return require(
            Natural(coords),
            self._in_domain(coords),
            "InverseGamma.from_shape_scale: `shape` and `scale` must be positive and finite.",
        )

    def shape_scale(
        self, params: Natural[GammaCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Shape a and scale β."""
        self._check_point(params, Natural, "shape_scale", "params")
        return params.coords.logarithm, -params.coords.value

    readers = (shape_scale,)
