"""The inverse gamma family of positive numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..geometry.checks import require
from ..geometry.points import Natural
from .conjugacy.integrals import Shape
from .gamma import Gamma, GammaCoords
from .observed import AbstractObservedFamily
from .support import Support

_GAMMA = Gamma()


@final
class InverseGamma(AbstractObservedFamily[GammaCoords]):
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

    Example:
        >>> import expfam as ef
        >>> family = ef.InverseGamma()
        >>> params = family.from_shape_scale(3.0, 2.0)
        >>> float(family.to_mean(params).coords.value)
        1.5
    """

    @property
    def spaces(self) -> GammaCoords:
        """ℝ²."""
        return _GAMMA.spaces

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

    @property
    def _conjugacy(self) -> Shape:
        return Shape()

    def _sufficient_statistic(self, x: Array) -> GammaCoords:
        return GammaCoords(1 / x, -jnp.log(x))

    def _log_base_measure(self, x: Array) -> Array:
        return -jnp.log(x)

    def _log_normalizer(self, coords: GammaCoords) -> Array:
        return _GAMMA._log_normalizer(coords)

    def _log_normalizer_given(self, coords: GammaCoords, x: Array) -> Array:
        return coords.value / x - (coords.logarithm + 1) * jnp.log(x)

    def _log_density(self, coords: GammaCoords, x: Array) -> Array:
        # p(x) = p_gamma(1/x) / x²
        return _GAMMA._log_density(coords, 1 / x) - 2 * jnp.log(x)

    def _maximize(self, means: GammaCoords, start: GammaCoords | None) -> GammaCoords:
        return _GAMMA._maximize(means, start)

    def _estimate(self, xs: Array, shares: Array) -> GammaCoords:
        return _GAMMA._estimate(1 / xs, shares)

    def _entropy(self, coords: GammaCoords) -> Array:
        # that of y = 1/x, less 2 E[log y]
        return _GAMMA._entropy(coords) - 2 * _GAMMA._mean_logarithm(coords)

    def _in_domain(self, coords: GammaCoords) -> Bool[Array, ""]:
        return _GAMMA._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: GammaCoords) -> Array:
        return jnp.exp(-_GAMMA._sample_logarithm(key, coords)).clip(
            jnp.finfo(coords.value.dtype).tiny, jnp.finfo(coords.value.dtype).max
        )

    def _features(self, x: Array) -> Array:
        return jnp.log(x)[None]

    def _initialize(self, key: Key[Array, ""]) -> GammaCoords:
        return _GAMMA._initialize(key)

    def _weak_means(self, xs: Array) -> GammaCoords:
        return _GAMMA._weak_means(1 / xs)

    def _to_unconstrained(self, coords: GammaCoords) -> Array:
        return _GAMMA._to_unconstrained(coords)

    def _from_unconstrained(self, free: Array) -> GammaCoords:
        return _GAMMA._from_unconstrained(free)
