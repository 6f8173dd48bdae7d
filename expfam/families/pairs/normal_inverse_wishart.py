"""The normal-inverse-Wishart family of pairs of a mean vector and a covariance matrix."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.linalg import (
    cholesky,
    factorize,
    gram,
    invert_positive,
    is_symmetric,
    log_determinant,
)
from ...geometry.points import Natural
from ..cells import Whole
from ..matrices.inverse_wishart import InverseWishart
from ..matrices.wishart import mean_of
from ..observed import AbstractObservedFamily, given_by_density
from ..special.constants import LOG_2_PI
from ..support import Support
from .normal_wishart import NormalWishart, NormalWishartCoords, check_usual, join_sums, split


@final
class NormalInverseWishart(AbstractObservedFamily[NormalWishartCoords]):
    r"""Distributions of a mean μ and a covariance matrix Σ: conjugate priors of a normal vector.

    The covariance has an inverse Wishart distribution with scale Ψ and n degrees of freedom, and
    given it the mean is normal about the location m:
    p(μ, Σ) = InverseWishart(Σ; Ψ, n) N(μ; m, Σ/κ).

    | | first | second | quadratic | log_determinant |
    | --- | --- | --- | --- | --- |
    | natural θ | κm | Ψ + κmmᵀ | κ | n |
    | mean η | nΨ⁻¹m | −½nΨ⁻¹ | −½(d/κ + n mᵀΨ⁻¹m) | −½ E log \|Σ\|, as in `InverseWishart` |
    | statistic s(μ, Σ) | Σ⁻¹μ | −½Σ⁻¹ | −½μᵀΣ⁻¹μ | −½ log \|Σ\| |

    The base measure is (2π)^(−d/2) |Σ|^(−(d+2)/2), against Lebesgue measure of μ and of the entries
    of Σ on and above the diagonal. Coordinates and log-normalizer are those of the `NormalWishart`
    of (μ, Σ⁻¹), with V = Ψ⁻¹, and with what is said there of imagined observations, and of
    locations far from the origin.

    Attributes:
        size: number of dimensions d.

    References:
        Gelman et al., Bayesian Data Analysis (2013), section 3.6; Murphy, Machine Learning: a
        Probabilistic Perspective (2012), section 4.6.3.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.NormalInverseWishart(2)
        >>> params = family.from_location_count_scale_freedom(jnp.ones(2), 4.0, jnp.eye(2), 3.0)
        >>> float(family.to_mean(params).coords.first[0].round(4))
        3.0
    """

    size: int = eqx.field(static=True, converter=whole("NormalInverseWishart", "size", 1))

    @property
    def spaces(self) -> NormalWishartCoords:
        """ℝᵈ, symmetric matrices, ℝ, and ℝ."""
        return self._of_precision.spaces

    @property
    def support(self) -> tuple[Support, Support]:
        """Real vectors, and positive-definite matrices."""
        return self._of_precision.support

    @property
    def _of_precision(self) -> NormalWishart:
        return NormalWishart(self.size)

    @property
    def _of_covariance(self) -> InverseWishart:
        return InverseWishart(self.size)

    def from_location_count_scale_freedom(
        self,
        location: Float[Array, " d"],
        count: Float[Array, ""] | float,
        scale: Float[Array, "d d"],
        freedom: Float[Array, ""] | float,
    ) -> Natural[NormalWishartCoords]:
        """The distribution with given location m, count κ, scale Ψ and degrees of freedom n.

        Args:
            location: m, the mean of μ, shape `(d,)`.
            count: κ > 0, the number of observations that the knowledge of the mean is worth.
            scale: Ψ, shape `(d, d)`; the mean of the covariance is Ψ/(n − d − 1).
            freedom: n > d − 1.

        Raises:
            ValueError: a wrong shape, or a value that is not allowed.
        """
        owner = "NormalInverseWishart.from_location_count_scale_freedom"
        given = check_usual(self.size, location, count, scale, freedom, owner)
        coords, valid = _from_usual(self, *given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `location` must be finite, `count` positive and finite, `scale` symmetric "
            f"and positive definite, and `freedom` more than {self.size - 1} and finite; the scale "
            "must not be lost in the rounding of count · location locationᵀ.",
        )

    def location_count_scale_freedom(
        self, params: Natural[NormalWishartCoords]
    ) -> tuple[Float[Array, " d"], Float[Array, ""], Float[Array, "d d"], Float[Array, ""]]:
        """Location m, count κ, scale Ψ and degrees of freedom n."""
        self._check_point(params, Natural, "location_count_scale_freedom", "params")
        coords = params.coords
        location, wishart = split(coords)
        return location, coords.quadratic, -2 * wishart.matrix, coords.log_determinant

    readers = (location_count_scale_freedom,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: tuple[Array, Array]) -> NormalWishartCoords:
        # with Σ = L Lᵀ
        mean, covariance = x
        _, inverse = factorize(covariance)
        whitened = inverse @ mean
        return NormalWishartCoords(
            whitened @ inverse,
            -0.5 * inverse.T @ inverse,
            -0.5 * jnp.dot(whitened, whitened),
            log_determinant(inverse) / 2,
        )

    def _log_base_measure(self, x: tuple[Array, Array]) -> Array:
        log_det = log_determinant(cholesky(x[1]))
        return -(self.size + 2) / 2 * log_det - self.size / 2 * LOG_2_PI

    def _log_normalizer(self, coords: NormalWishartCoords) -> Array:
        return self._of_precision._log_normalizer(coords)

    def _log_normalizer_given(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        # that of Σ = L Lᵀ, and that of μ given Σ
        (mean, covariance), (location, wishart) = x, split(coords)
        _, inverse = factorize(covariance)
        residual = inverse @ (mean - location)
        normal = self.size * (jnp.log(coords.quadratic) - LOG_2_PI) + log_determinant(inverse)
        fit = coords.quadratic * jnp.dot(residual, residual)
        marginal = self._of_covariance._log_density_of_factor(wishart, inverse)
        return marginal + (normal - fit) / 2

    def _maximize(
        self, means: NormalWishartCoords, start: NormalWishartCoords | None
    ) -> NormalWishartCoords:
        return self._of_precision._maximize(means, start)

    def _estimate(self, xs: tuple[Array, Array], shares: Array) -> NormalWishartCoords:
        return self._of_precision._estimate(_inverted(xs), shares)

    def _entropy(self, coords: NormalWishartCoords) -> Array:
        # that of Σ, and on average that of μ given Σ, with E log |Σ| = −E log |Λ|
        normal = self.size * (1 + LOG_2_PI - jnp.log(coords.quadratic))
        wishart = split(coords)[1]
        mean_log = mean_of(wishart).log_determinant
        return self._of_covariance._entropy(wishart) + (normal - mean_log) / 2

    def _divergence(self, p: NormalWishartCoords, q: NormalWishartCoords) -> Array:
        return self._of_precision._divergence(p, q)

    def _in_domain(self, coords: NormalWishartCoords) -> Bool[Array, ""]:
        return self._of_precision._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: NormalWishartCoords) -> tuple[Array, Array]:
        # With Σ = L Lᵀ, μ = m + Lε/√κ
        first, second = jax.random.split(key)
        location, wishart = split(coords)
        factor = self._of_covariance._sample_factor(first, wishart)
        noise = jax.random.normal(second, (self.size,), location.dtype)
        return location + factor @ noise / jnp.sqrt(coords.quadratic), gram(factor.T)

    def _features(self, x: tuple[Array, Array]) -> Array:
        return self._of_precision._features(x)

    def _initialize(self, key: Key[Array, ""]) -> NormalWishartCoords:
        return self._of_precision._initialize(key)

    def _weak_means(self, xs: tuple[Array, Array]) -> NormalWishartCoords:
        return self._of_precision._weak_means(_inverted(xs))

    def _to_unconstrained(self, coords: NormalWishartCoords) -> tuple[Array, Array, Any]:
        return self._of_precision._to_unconstrained(coords)

    def _from_unconstrained(self, free: tuple[Array, Array, Any]) -> NormalWishartCoords:
        return self._of_precision._from_unconstrained(free)


@jax.jit
def _from_usual(
    family: NormalInverseWishart, location: Array, count: Array, scale: Array, freedom: Array
) -> tuple[NormalWishartCoords, Array]:
    coords = join_sums(location, count, scale, freedom)
    return coords, family._in_domain(coords) & is_symmetric(scale)


def _inverted(xs: tuple[Array, Array]) -> tuple[Array, Array]:
    return xs[0], jax.vmap(invert_positive)(xs[1])
