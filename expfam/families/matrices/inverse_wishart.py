"""The inverse Wishart family of positive-definite matrices."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, require_shape, whole
from ...geometry.linalg import (
    cholesky,
    factorize,
    gram,
    invert_positive,
    invert_triangular,
    is_symmetric,
    log_determinant,
)
from ...geometry.points import Natural
from ..cells import Whole
from ..observed import AbstractObservedFamily, given_by_density
from ..support import Support
from .wishart import Wishart, WishartCoords, draw_root, factor_of, log_standard_density, mean_of


@final
class InverseWishart(AbstractObservedFamily[WishartCoords]):
    r"""Distributions of a positive-definite d × d matrix whose inverse has a Wishart distribution.

    With scale matrix Ψ and n degrees of freedom the density is
    p(X) = |Ψ|^(n/2) |X|^(−(n+d+1)/2) exp(−½ tr ΨX⁻¹) / (2^(nd/2) Γ_d(n/2)).

    | | matrix | log_determinant |
    | --- | --- | --- |
    | natural θ | −½Ψ | n/2 |
    | mean η | nΨ⁻¹ | Σ_i digamma((n − i)/2) − log \|½Ψ\|, i = 0 … d − 1 |
    | statistic s(X) | X⁻¹ | −log \|X\| |

    The base measure is |X|^(−(d+1)/2), against Lebesgue measure of the entries on and above the
    diagonal. Coordinates and log-normalizer are those of the Wishart of X⁻¹, whose scale is Ψ⁻¹.
    The mean of X itself is Ψ/(n − d − 1), where n > d + 1.

    Attributes:
        size: number of rows d.

    References:
        Gelman et al., Bayesian Data Analysis (2013), appendix A; Mardia, Kent & Bibby,
        Multivariate Analysis (1979), section 3.8.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.InverseWishart(2)
        >>> params = family.from_scale_freedom(jnp.eye(2), 5.0)
        >>> float(family.to_mean(params).coords.matrix[0, 0].round(4))
        5.0
    """

    size: int = eqx.field(static=True, converter=whole("InverseWishart", "size", 1))

    @property
    def spaces(self) -> WishartCoords:
        """Symmetric matrices, and ℝ."""
        return self._of_inverse.spaces

    @property
    def support(self) -> Support:
        """Positive-definite matrices."""
        return self._of_inverse.support

    @property
    def _of_inverse(self) -> Wishart:
        return Wishart(self.size)

    def from_scale_freedom(
        self, scale: Float[Array, "d d"], freedom: Float[Array, ""] | float
    ) -> Natural[WishartCoords]:
        """The distribution with given scale matrix Ψ and degrees of freedom n > d − 1."""
        owner = "InverseWishart.from_scale_freedom"
        require_shape(scale, (self.size, self.size), owner, "scale")
        require_shape(freedom, (), owner, "freedom")
        coords, valid = _from_scale(self, jnp.asarray(scale, float), jnp.asarray(freedom, float))
        return require(
            Natural(coords),
            valid,
            f"{owner}: `scale` must be symmetric and positive definite, and `freedom` more than "
            f"{self.size - 1} and finite.",
        )

    def scale_freedom(
        self, params: Natural[WishartCoords]
    ) -> tuple[Float[Array, "d d"], Float[Array, ""]]:
        """Scale matrix Ψ and degrees of freedom n."""
        self._check_point(params, Natural, "scale_freedom", "params")
        return -2 * params.coords.matrix, 2 * params.coords.log_determinant

    readers = (scale_freedom,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: Array) -> WishartCoords:
        _, inverse = factorize(x)
        return WishartCoords(inverse.T @ inverse, log_determinant(inverse))

    def _log_base_measure(self, x: Array) -> Array:
        return -(self.size + 1) / 2 * log_determinant(cholesky(x))

    def _log_normalizer(self, coords: WishartCoords) -> Array:
        return self._of_inverse._log_normalizer(coords)

    def _log_normalizer_given(self, coords: WishartCoords, x: Array) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: WishartCoords, x: Array) -> Array:
        return self._log_density_of_factor(coords, invert_triangular(cholesky(x)))

    def _log_density_of_factor(self, coords: WishartCoords, inverse: Array) -> Array:
        # With X = L Lᵀ and ½Ψ = C Cᵀ, Z = L⁻¹C is lower triangular, and ZᵀZ has the same
        # eigenvalues as ½ΨX⁻¹.
        standard = log_standard_density(inverse @ factor_of(coords), coords.log_determinant)
        return standard + (self.size + 1) / 2 * log_determinant(inverse)

    def _maximize(self, means: WishartCoords, start: WishartCoords | None) -> WishartCoords:
        return self._of_inverse._maximize(means, start)

    def _estimate(self, xs: Array, shares: Array) -> WishartCoords:
        return self._of_inverse._estimate(jax.vmap(invert_positive)(xs), shares)

    def _entropy(self, coords: WishartCoords) -> Array:
        # that of Y = X⁻¹, less (d + 1) E log |Y|, as dX = |Y|^−(d+1) dY
        mean_log = mean_of(coords).log_determinant
        return self._of_inverse._entropy(coords) - (self.size + 1) * mean_log

    def _divergence(self, p: WishartCoords, q: WishartCoords) -> Array:
        return self._of_inverse._divergence(p, q)

    def _in_domain(self, coords: WishartCoords) -> Bool[Array, ""]:
        return self._of_inverse._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: WishartCoords) -> Array:
        return gram(self._sample_factor(key, coords).T)

    def _sample_factor(self, key: Key[Array, ""], coords: WishartCoords) -> Array:
        # L = C Z⁻¹: the Cholesky factor of a draw
        root = draw_root(key, self.size, coords.log_determinant, 0.25)
        return factor_of(coords) @ invert_triangular(root)

    def _features(self, x: Array) -> Array:
        return self._of_inverse._features(x)

    def _initialize(self, key: Key[Array, ""]) -> WishartCoords:
        return self._of_inverse._initialize(key)

    def _weak_means(self, xs: Array) -> WishartCoords:
        return self._of_inverse._weak_means(jax.vmap(invert_positive)(xs))

    def _to_unconstrained(self, coords: WishartCoords) -> tuple[Array, Array]:
        return self._of_inverse._to_unconstrained(coords)

    def _from_unconstrained(self, free: tuple[Array, Array]) -> WishartCoords:
        return self._of_inverse._from_unconstrained(free)


@jax.jit
def _from_scale(
    family: InverseWishart, scale: Array, freedom: Array
) -> tuple[WishartCoords, Array]:
    coords = WishartCoords(-scale / 2, freedom / 2)
    return coords, family._in_domain(coords) & is_symmetric(scale)
