"""The matrix-normal-inverse-Wishart family of regression coefficients and a noise covariance."""

from typing import Any, final

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
from ...geometry.points import Natural, pairing
from ...geometry.spaces import Euclidean, Symmetric
from ...geometry.structures import PositiveDefinite
from ..cells import Whole
from ..matrices.inverse_wishart import InverseWishart
from ..matrices.wishart import Wishart, WishartCoords, mean_of
from ..observed import AbstractObservedFamily, given_by_density
from ..special.constants import LOG_2_PI
from ..special.divergence import normal_wishart_divergence
from ..support import Support
from .normal_wishart import NormalWishartCoords


@final
class MatrixNormalInverseWishart(AbstractObservedFamily[NormalWishartCoords]):
    r"""Distributions of a matrix B and a covariance Σ: conjugate priors of a linear regression.

    In y = Bᵀx + noise, B has one row for each of the p columns of x, and Σ is the q × q covariance
    of the noise. The covariance has an inverse Wishart distribution with scale Ψ and n degrees of
    freedom, and given it B is matrix normal, with mean M, precision K between rows and covariance Σ
    between columns: p(B, Σ) = InverseWishart(Σ; Ψ, n) N(vec B; vec M, Σ ⊗ K⁻¹).

    | | first | second | quadratic | log_determinant |
    | --- | --- | --- | --- | --- |
    | natural θ | KM | Ψ + MᵀKM | K | n |
    | mean η | nMΨ⁻¹ | −½nΨ⁻¹ | −½(qK⁻¹ + n MΨ⁻¹Mᵀ) | −½ E log \|Σ\|, as in `InverseWishart` |
    | statistic s(B, Σ) | BΣ⁻¹ | −½Σ⁻¹ | −½BΣ⁻¹Bᵀ | −½ log \|Σ\| |

    The base measure is (2π)^(−pq/2) |Σ|^(−(p+q+1)/2), against Lebesgue measure of B and of the
    entries of Σ on and above the diagonal. Natural coordinates are sums over imagined observations:
    seeing a pair (x, y) adds xyᵀ, yyᵀ, xxᵀ and 1 to them. With one row, x = 1, it is the
    `NormalInverseWishart`.

    Like all sums of squares, `second` holds Ψ only up to its own rounding: of Ψ, the share
    (1 + tr Ψ⁻¹MᵀKM) ε is lost at rest. Where that matters, take y relative to what M predicts.

    Attributes:
        rows: number of rows p.
        columns: number of columns q.

    References:
        Murphy, Probabilistic Machine Learning: Advanced Topics (2023), section 3.4.5; West &
        Harrison, Bayesian Forecasting and Dynamic Models (1997), section 16.4.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.MatrixNormalInverseWishart(3, 2)
        >>> params = family.from_location_precision_scale_freedom(
        ...     jnp.ones((3, 2)), 4.0 * jnp.eye(3), jnp.eye(2), 5.0
        ... )
        >>> float(family.to_mean(params).coords.first[0, 0].round(4))
        5.0
    """

    rows: int = eqx.field(static=True, converter=whole("MatrixNormalInverseWishart", "rows", 1))
    columns: int = eqx.field(
        static=True, converter=whole("MatrixNormalInverseWishart", "columns", 1)
    )

    @property
    def spaces(self) -> NormalWishartCoords:
        """Matrices, symmetric matrices of columns and of rows, and ℝ."""
        return NormalWishartCoords(
            Euclidean((self.rows, self.columns)),
            Symmetric(self.columns),
            Symmetric(self.rows),
            Euclidean(()),
        )

    @property
    def support(self) -> tuple[Support, Support]:
        """Real matrices, and positive-definite matrices."""
        return Support((self.rows, self.columns), "real"), self._of_covariance.support

    @property
    def _of_covariance(self) -> InverseWishart:
        return InverseWishart(self.columns)

    def from_location_precision_scale_freedom(
        self,
        location: Float[Array, "p q"],
        precision: Float[Array, "p p"],
        scale: Float[Array, "q q"],
        freedom: Float[Array, ""] | float,
    ) -> Natural[NormalWishartCoords]:
        """The distribution with given location M, row precision K, scale Ψ and freedom n.

        Args:
            location: M, the mean of B, shape `(p, q)`.
            precision: K, shape `(p, p)`; the sum of xxᵀ over the observations that the knowledge of
                B is worth.
            scale: Ψ, shape `(q, q)`; the mean of the covariance is Ψ/(n − q − 1).
            freedom: n > q − 1.

        Raises:
            ValueError: a wrong shape, or a value that is not allowed.
        """
        owner = "MatrixNormalInverseWishart.from_location_precision_scale_freedom"
        p, q = self.rows, self.columns
        require_shape(location, (p, q), owner, "location")
        require_shape(precision, (p, p), owner, "precision")
        require_shape(scale, (q, q), owner, "scale")
        require_shape(freedom, (), owner, "freedom")
        given = (jnp.asarray(value, float) for value in (location, precision, scale, freedom))
        coords, valid = _from_usual(self, *given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `location` must be finite, `precision` and `scale` symmetric and positive "
            f"definite, and `freedom` more than {q - 1} and finite; the scale must not be lost in "
            "the rounding of locationᵀ precision location.",
        )

    def location_precision_scale_freedom(
        self, params: Natural[NormalWishartCoords]
    ) -> tuple[Float[Array, "p q"], Float[Array, "p p"], Float[Array, "q q"], Float[Array, ""]]:
        """Location M, row precision K, scale Ψ and degrees of freedom n."""
        self._check_point(params, Natural, "location_precision_scale_freedom", "params")
        coords = params.coords
        location, _, wishart = jax.jit(_split)(coords)
        return location, coords.quadratic, -2 * wishart.matrix, coords.log_determinant

    readers = (location_precision_scale_freedom,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: tuple[Array, Array]) -> NormalWishartCoords:
        # with Σ = L Lᵀ
        matrix, covariance = x
        _, inverse = factorize(covariance)
        whitened = matrix @ inverse.T
        return NormalWishartCoords(
            whitened @ inverse,
            -0.5 * inverse.T @ inverse,
            -0.5 * whitened @ whitened.T,
            log_determinant(inverse) / 2,
        )

    def _log_base_measure(self, x: tuple[Array, Array]) -> Array:
        p, q = self.rows, self.columns
        return -(p + q + 1) / 2 * log_determinant(cholesky(x[1])) - p * q / 2 * LOG_2_PI

    def _log_normalizer(self, coords: NormalWishartCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        # that of Σ = L Lᵀ, and that of B given Σ
        matrix, covariance = x
        location, factor, wishart = _split(coords)
        _, inverse = factorize(covariance)
        residual = factor.T @ (matrix - location) @ inverse.T
        rows = self.columns * (log_determinant(factor) - self.rows * LOG_2_PI)
        normal = rows + self.rows * log_determinant(inverse) - jnp.sum(residual**2)
        return self._of_covariance._log_density_of_factor(wishart, inverse) + normal / 2

    def _maximize(
        self, means: NormalWishartCoords, start: NormalWishartCoords | None
    ) -> NormalWishartCoords:
        # 1. P = nΨ⁻¹ = −2 η_second = G Gᵀ, M = η_first P⁻¹, and
        #    qK⁻¹ = −2 η_quadratic − (MG)(MG)ᵀ, where noise is never taken for a variance.
        # 2. The degrees of freedom are those of a Wishart with the same E Σ⁻¹ and E log |Σ⁻¹|.
        precision = -2 * means.second
        _, inverse = factorize(precision)
        whitened = means.first @ inverse.T
        total = -2 * means.quadratic
        spread = total - whitened @ whitened.T
        factor = _precision_factor(spread / self.columns, total / self.columns)
        wishart = WishartCoords(precision, 2 * means.log_determinant)
        return _join(whitened @ inverse, factor, Wishart(self.columns)._maximize(wishart, None))

    def _estimate(self, xs: tuple[Array, Array], shares: Array) -> NormalWishartCoords:
        # qK⁻¹ = Σ w (B − M)Λ(B − M)ᵀ, about M = Σ wBΛ (Σ wΛ)⁻¹, with Λ = Σ⁻¹
        matrices, covariances = xs
        precisions = jax.vmap(invert_positive)(covariances)
        parts = shares.astype(matrices.dtype)
        covariance = invert_positive(jnp.tensordot(parts, precisions, axes=1))
        location = jnp.zeros_like(matrices[0])
        for _ in range(2):
            pulls = jnp.einsum("n,nij,njk->ik", parts, matrices - location, precisions)
            location = location + pulls @ covariance
        spread = _spread(parts, precisions, matrices - location)
        rounding = 16 * jnp.finfo(parts.dtype).eps * _spread(parts, precisions, matrices)
        factor = _precision_factor(spread / self.columns, (spread + rounding) / self.columns)
        return _join(location, factor, Wishart(self.columns)._estimate(precisions, shares))

    def _entropy(self, coords: NormalWishartCoords) -> Array:
        # that of Σ, and on average that of B given Σ, with E log |Σ| = −E log |Σ⁻¹|
        p, q = self.rows, self.columns
        _, factor, wishart = _split(coords)
        normal = p * q * (1 + LOG_2_PI) - q * log_determinant(factor)
        mean_log = mean_of(wishart).log_determinant
        return self._of_covariance._entropy(wishart) + (normal - p * mean_log) / 2

    def _divergence(self, p: NormalWishartCoords, q: NormalWishartCoords) -> Array:
        own, other = (
            (point.first, point.second, _symmetrized(point.quadratic), point.log_determinant)
            for point in (p, q)
        )
        return normal_wishart_divergence(own, other)

    def _in_domain(self, coords: NormalWishartCoords) -> Bool[Array, ""]:
        location, factor, wishart = _split(coords)
        finite = jnp.all(jnp.isfinite(location)) & jnp.all(jnp.isfinite(factor))
        return finite & self._of_covariance._in_domain(wishart)

    def _sample(self, key: Key[Array, ""], coords: NormalWishartCoords) -> tuple[Array, Array]:
        # With Σ = L Lᵀ and K = F Fᵀ, B = M + F⁻ᵀεLᵀ
        first, second = jax.random.split(key)
        location, factor, wishart = _split(coords)
        lower = self._of_covariance._sample_factor(first, wishart)
        noise = jax.random.normal(second, (self.rows, self.columns), location.dtype)
        return location + invert_triangular(factor).T @ noise @ lower.T, gram(lower.T)

    def _features(self, x: tuple[Array, Array]) -> Array:
        return jnp.concatenate([jnp.ravel(x[0]), self._of_covariance._features(x[1])])

    def _initialize(self, key: Key[Array, ""]) -> NormalWishartCoords:
        first, second = jax.random.split(key)
        location = jax.random.normal(first, (self.rows, self.columns))
        wishart = self._of_covariance._initialize(second)
        return _join(location, jnp.eye(self.rows), wishart)

    def _weak_means(self, xs: tuple[Array, Array]) -> NormalWishartCoords:
        # those of the data, with a K⁻¹ larger by variances of the size of B, and q + 1 degrees of
        # freedom of the covariance
        matrices, covariances = xs
        precisions = jax.vmap(invert_positive)(covariances)
        wishart = Wishart(self.columns)._weak_means(precisions)
        parts = jnp.full(matrices.shape[:1], 1 / matrices.shape[0], matrices.dtype)
        first = jnp.einsum("n,nij,njk->ik", parts, matrices, precisions)
        total = _spread(parts, precisions, matrices)
        sizes = jnp.diagonal(total)
        total = total + jnp.diag(jnp.where(sizes > 0, sizes, 1))
        return NormalWishartCoords(
            first, -wishart.matrix / 2, -total / 2, wishart.log_determinant / 2
        )

    def _to_unconstrained(self, coords: NormalWishartCoords) -> tuple[Array, Array, Any]:
        # M, the factor of K with the logarithm of its diagonal, and those of the Wishart
        location, factor, wishart = _split(coords)
        logs = PositiveDefinite().to_unconstrained(factor)
        return location, logs, self._of_covariance._to_unconstrained(wishart)

    def _from_unconstrained(self, free: tuple[Array, Array, Any]) -> NormalWishartCoords:
        location, logs, rest = free
        factor = PositiveDefinite().from_unconstrained(logs)
        return _join(location, factor, self._of_covariance._from_unconstrained(rest))


@jax.jit
def _from_usual(
    family: MatrixNormalInverseWishart,
    location: Array,
    precision: Array,
    scale: Array,
    freedom: Array,
) -> tuple[NormalWishartCoords, Array]:
    first = precision @ location
    second = scale + _symmetrized(location.T @ first)
    coords = NormalWishartCoords(first, second, precision, freedom)
    valid = family._in_domain(coords) & is_symmetric(scale) & is_symmetric(precision)
    return coords, valid


@jax.custom_jvp
def _log_normalizer(coords: NormalWishartCoords) -> Array:
    # that of the inverse Wishart of Σ, − q/2 log |K|
    _, factor, wishart = _split(coords)
    columns = coords.first.shape[1]
    normal = columns / 2 * log_determinant(factor)
    return InverseWishart(columns)._log_normalizer(wishart) - normal


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), pairing(tangents[0], _mean(*primals))


def _mean(coords: NormalWishartCoords) -> NormalWishartCoords:
    # E BΣ⁻¹Bᵀ = qK⁻¹ + MPMᵀ, with P = E Σ⁻¹
    location, factor, wishart = _split(coords)
    means = mean_of(wishart)
    inverse = invert_triangular(factor)
    first = location @ means.matrix
    square = location.shape[1] * inverse.T @ inverse + _symmetrized(first @ location.T)
    return NormalWishartCoords(first, -means.matrix / 2, -square / 2, means.log_determinant / 2)


def _split(coords: NormalWishartCoords) -> tuple[Array, Array, WishartCoords]:
    # M, the factor F of K = F Fᵀ, and the Wishart of Σ⁻¹: Ψ = S − MᵀKM, the square completed once
    factor, inverse = factorize(_symmetrized(coords.quadratic))
    whitened = inverse @ coords.first
    scale = coords.second - whitened.T @ whitened
    return inverse.T @ whitened, factor, WishartCoords(-scale / 2, coords.log_determinant / 2)


def _join(location: Array, factor: Array, wishart: WishartCoords) -> NormalWishartCoords:
    # from M, the factor of K, and the Wishart of Σ⁻¹
    whitened = factor.T @ location
    return NormalWishartCoords(
        factor @ whitened,
        -2 * wishart.matrix + whitened.T @ whitened,
        factor @ factor.T,
        2 * wishart.log_determinant,
    )


def _precision_factor(covariance: Array, second_moment: Array) -> Array:
    return PositiveDefinite().precision_factor(covariance, second_moment, covariance.shape[0])


def _spread(parts: Array, precisions: Array, matrices: Array) -> Array:
    # Σ w BΛBᵀ
    return jnp.einsum("n,nij,njk,nlk->il", parts, matrices, precisions, matrices)


def _symmetrized(matrix: Array) -> Array:
    return (matrix + matrix.T) / 2
