"""The normal-inverse-gamma family of pairs of a mean and a variance."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ..cells import Whole
from ..observed import AbstractObservedFamily, given_by_density
from ..support import Support
from .normal_gamma import NormalGamma, NormalGammaCoords, check_usual, from_usual, usual

_OF_PRECISION = NormalGamma()


@final
class NormalInverseGamma(AbstractObservedFamily[NormalGammaCoords]):
    """Distributions of a mean μ and a variance σ² > 0: the conjugate priors of a normal number.

    The variance has an inverse gamma distribution with shape a and scale b, and given it the mean
    is normal about the location m: p(μ, σ²) = InverseGamma(σ²; a, b) N(μ; m, σ²/κ).

    | | first | second | quadratic | logarithm |
    | --- | --- | --- | --- | --- |
    | natural θ | κm | 2b + κm² | κ | 2a |
    | mean η | ma/b | −a/(2b) | −(1/κ + m²a/b)/2 | (digamma(a) − log b)/2 |
    | statistic s(μ, σ²) | μ/σ² | −1/(2σ²) | −μ²/(2σ²) | −log(σ²)/2 |

    The base measure is 1/√(2πσ⁶). Coordinates and log-normalizer are those of the `NormalGamma` of
    (μ, 1/σ²), with what is said there of locations far from the origin.

    References:
        Bernardo & Smith, Bayesian Theory (1994), appendix A; O'Hagan & Forster, Kendall's Advanced
        Theory of Statistics 2B (2004), section 11.4.

    Examples:
        >>> import expfam as ef
        >>> family = ef.NormalInverseGamma()
        >>> params = family.from_location_count_shape_scale(1.0, 4.0, 3.0, 2.0)
        >>> float(family.to_mean(params).coords.first)
        1.5
    """

    @property
    def spaces(self) -> NormalGammaCoords:
        """ℝ⁴."""
        return _OF_PRECISION.spaces

    @property
    def support(self) -> tuple[Support, Support]:
        """ℝ, and (0, ∞)."""
        return _OF_PRECISION.support

    def from_location_count_shape_scale(
        self,
        location: Float[Array, ""] | float,
        count: Float[Array, ""] | float,
        shape: Float[Array, ""] | float,
        scale: Float[Array, ""] | float,
    ) -> Natural[NormalGammaCoords]:
        """The distribution with given location m, count κ, shape a and scale b.

        Args:
            location: m, the mean of μ.
            count: κ, the number of observations that the knowledge of the mean is worth.
            shape: a, that of the variance.
            scale: b, that of the variance, whose mean is b/(a − 1) where a > 1.

        Raises:
            ValueError: where count, shape or scale are not positive, or a number is not finite.
        """
        owner = "NormalInverseGamma.from_location_count_shape_scale"
        given = check_usual(owner, location=location, count=count, shape=shape, scale=scale)
        coords, valid = from_usual(*given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `location` must be finite, and `count`, `shape` and `scale` positive and "
            "finite, the scale not lost in the rounding of count · location².",
        )

    def location_count_shape_scale(
        self, params: Natural[NormalGammaCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Location m, count κ, shape a and scale b."""
        self._check_point(params, Natural, "location_count_shape_scale", "params")
        return usual(params.coords)

    readers = (location_count_shape_scale,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: tuple[Array, Array]) -> NormalGammaCoords:
        mean, variance = x
        first = mean / variance
        return NormalGammaCoords(first, -0.5 / variance, -first * mean / 2, -jnp.log(variance) / 2)

    def _log_base_measure(self, x: tuple[Array, Array]) -> Array:
        # dσ² = dλ/λ²
        return _OF_PRECISION._log_base_measure(_inverted(x)) - 2 * jnp.log(x[1])

    def _log_normalizer(self, coords: NormalGammaCoords) -> Array:
        return _OF_PRECISION._log_normalizer(coords)

    def _log_normalizer_given(self, coords: NormalGammaCoords, x: tuple[Array, Array]) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: NormalGammaCoords, x: tuple[Array, Array]) -> Array:
        return _OF_PRECISION._log_density(coords, _inverted(x)) - 2 * jnp.log(x[1])

    def _maximize(
        self, means: NormalGammaCoords, start: NormalGammaCoords | None
    ) -> NormalGammaCoords:
        return _OF_PRECISION._maximize(means, start)

    def _estimate(self, xs: tuple[Array, Array], shares: Array) -> NormalGammaCoords:
        return _OF_PRECISION._estimate(_inverted(xs), shares)

    def _entropy(self, coords: NormalGammaCoords) -> Array:
        # that of (μ, λ), less 2 E log λ
        return _OF_PRECISION._entropy(coords) - 2 * _OF_PRECISION._mean_logarithm(coords)

    def _divergence(self, p: NormalGammaCoords, q: NormalGammaCoords) -> Array:
        return _OF_PRECISION._divergence(p, q)

    def _in_domain(self, coords: NormalGammaCoords) -> Bool[Array, ""]:
        return _OF_PRECISION._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: NormalGammaCoords) -> tuple[Array, Array]:
        mean, precision = _OF_PRECISION._sample(key, coords)
        return mean, jnp.maximum(1 / precision, jnp.finfo(precision.dtype).tiny)

    def _features(self, x: tuple[Array, Array]) -> Array:
        return _OF_PRECISION._features(x)

    def _initialize(self, key: Key[Array, ""]) -> NormalGammaCoords:
        return _OF_PRECISION._initialize(key)

    def _weak_means(self, xs: tuple[Array, Array]) -> NormalGammaCoords:
        return _OF_PRECISION._weak_means(_inverted(xs))

    def _to_unconstrained(self, coords: NormalGammaCoords) -> Array:
        return _OF_PRECISION._to_unconstrained(coords)

    def _from_unconstrained(self, free: Array) -> NormalGammaCoords:
        return _OF_PRECISION._from_unconstrained(free)


def _inverted(x: tuple[Array, Array]) -> tuple[Array, Array]:
    return x[0], 1 / x[1]
