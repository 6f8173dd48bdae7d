"""The matrix normal family, with a known covariance between rows."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, require_shape, whole
from ...geometry.linalg import cholesky, invert_triangular, is_symmetric, log_determinant
from ...geometry.points import Natural, pairing
from ...geometry.spaces import Euclidean, Symmetric
from ...geometry.structures import PositiveDefinite
from ..cells import Whole, mean_statistic
from ..observed import AbstractObservedFamily, given_by_density
from ..special.constants import LOG_2_PI
from ..support import Support


@final
class MatrixNormalCoords(eqx.Module):
    """Coordinates of a matrix normal.

    Attributes:
        first: pairs with X: natural U⁻¹MV⁻¹, mean M; shape `(p, q)`.
        second: pairs with XᵀU⁻¹X: natural −½V⁻¹; shape `(q, q)`.
    """

    first: Any
    second: Any


@final
class MatrixNormal(AbstractObservedFamily[MatrixNormalCoords]):
    r"""Normal distributions of p × q matrices, with mean M and column covariance V.

    The covariance U between rows is known: it belongs to the family, as in a regression whose
    observations have known correlations. The covariance of X_ij and X_kl is U_ik V_jl, and
    p(X) = exp(−½ tr V⁻¹(X−M)ᵀU⁻¹(X−M)) / ((2π)^(pq/2) |U|^(q/2) |V|^(p/2)).

    | | first | second |
    | --- | --- | --- |
    | natural θ | U⁻¹MV⁻¹ | −½V⁻¹ |
    | mean η | M | pV + MᵀU⁻¹M |
    | statistic s(X) | X | XᵀU⁻¹X |

    The base measure is (2π)^(−pq/2) |U|^(−q/2). With both covariances free the distributions would
    not be an exponential family but a curved part of one: the precisions of vec X that are
    Kronecker products U⁻¹ ⊗ V⁻¹ are not a linear space. Rows of L⁻¹X, where U = L Lᵀ, are
    independent normals with the one covariance V.

    Attributes:
        rows: number of rows p.
        columns: number of columns q.
        row_covariance: U, symmetric and positive definite, shape `(p, p)`; the identity where it is
            not given.

    References:
        Dawid, Some matrix-variate distribution theory (1981); Gupta & Nagar, Matrix Variate
        Distributions (2000), chapter 2.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.MatrixNormal(3, 2, row_covariance=2 * jnp.eye(3))
        >>> params = family.from_mean_column_covariance(jnp.zeros((3, 2)), jnp.eye(2))
        >>> float(family.to_mean(params).coords.second[0, 0].round(4))
        3.0
    """

    rows: int = eqx.field(static=True, converter=whole("MatrixNormal", "rows", 1))
    columns: int = eqx.field(static=True, converter=whole("MatrixNormal", "columns", 1))
    row_covariance: Float[Array, "p p"] | None = eqx.field(
        default=None, converter=lambda given: None if given is None else jnp.asarray(given, float)
    )

    def __check_init__(self) -> None:
        """Refuse a row covariance that is none."""
        if self.row_covariance is not None:
            given = self.row_covariance
            require_shape(given, (self.rows, self.rows), "MatrixNormal", "row_covariance")
            require(
                given,
                is_symmetric(given) & jnp.all(jnp.isfinite(cholesky(given))),
                "MatrixNormal: `row_covariance` must be symmetric and positive definite.",
            )

    @property
    def spaces(self) -> MatrixNormalCoords:
        """Matrices, and symmetric matrices."""
        return MatrixNormalCoords(Euclidean((self.rows, self.columns)), Symmetric(self.columns))

    @property
    def support(self) -> Support:
        """Real p × q matrices."""
        return Support((self.rows, self.columns), "real")

    def from_mean_column_covariance(
        self, mean: Float[Array, "p q"], column_covariance: Float[Array, "q q"]
    ) -> Natural[MatrixNormalCoords]:
        """The distribution with given mean M `(p, q)` and column covariance V `(q, q)`."""
        owner = "MatrixNormal.from_mean_column_covariance"
        require_shape(mean, (self.rows, self.columns), owner, "mean")
        require_shape(column_covariance, (self.columns,) * 2, owner, "column_covariance")
        given = jnp.asarray(mean, float), jnp.asarray(column_covariance, float)
        coords, valid = _from_usual(self, *given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `mean` must be finite, and `column_covariance` symmetric and positive "
            "definite.",
        )

    def mean_column_covariance(
        self, params: Natural[MatrixNormalCoords]
    ) -> tuple[Float[Array, "p q"], Float[Array, "q q"]]:
        """Mean M and column covariance V."""
        self._check_point(params, Natural, "mean_column_covariance", "params")
        return _usual(self, params.coords)

    readers = (mean_column_covariance,)

    # Known rows: U = L Lᵀ, W = L⁻¹X has independent rows and natural coordinates (LᵀΘ₁, Θ₂).

    def _root(self, like: Array) -> Array | None:
        if self.row_covariance is None:
            return None
        return cholesky(self.row_covariance).astype(like.dtype)

    def _whiten_rows(self, x: Array) -> Array:
        root = self._root(x)
        return x if root is None else invert_triangular(root) @ x

    def _color_rows(self, w: Array) -> Array:
        root = self._root(w)
        return w if root is None else root @ w

    def _enter(self, coords: MatrixNormalCoords) -> MatrixNormalCoords:
        root = self._root(coords.first)
        first = coords.first if root is None else root.T @ coords.first
        return MatrixNormalCoords(first, coords.second)

    def _leave(self, coords: MatrixNormalCoords) -> MatrixNormalCoords:
        root = self._root(coords.first)
        first = coords.first if root is None else invert_triangular(root).T @ coords.first
        return MatrixNormalCoords(first, coords.second)

    def _log_volume(self, like: Array) -> Array | float:
        root = self._root(like)
        return 0.0 if root is None else self.columns / 2 * log_determinant(root)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: mean_statistic(family, coords).first)

    def _sufficient_statistic(self, x: Array) -> MatrixNormalCoords:
        w = self._whiten_rows(x)
        return MatrixNormalCoords(x, w.T @ w)

    def _log_base_measure(self, x: Array) -> Array:
        gaussian = self.rows * self.columns / 2 * jnp.asarray(LOG_2_PI, x.dtype)
        return -gaussian - self._log_volume(x)

    def _log_normalizer(self, coords: MatrixNormalCoords) -> Array:
        return _log_normalizer(self._enter(coords))

    def _log_normalizer_given(self, coords: MatrixNormalCoords, x: Array) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: MatrixNormalCoords, x: Array) -> Array:
        entered = self._enter(coords)
        factor = _factor(entered)
        residual = (self._whiten_rows(x) - _moments(entered)[0]) @ factor
        normal = self.rows * log_determinant(factor) - jnp.sum(residual**2)
        return normal / 2 + self._log_base_measure(x)

    def _maximize(
        self, means: MatrixNormalCoords, start: MatrixNormalCoords | None
    ) -> MatrixNormalCoords:
        # V = (η₂ − MᵀU⁻¹M)/p
        mean = self._whiten_rows(means.first)
        covariance = (means.second - mean.T @ mean) / self.rows
        return self._leave(_from_moments(mean, covariance, means.second / self.rows))

    def _estimate(self, xs: Array, shares: Array) -> MatrixNormalCoords:
        # about the mean, as in `Normal`
        whitened = jax.vmap(self._whiten_rows)(xs)
        parts = shares.astype(xs.dtype)
        mean = jnp.tensordot(parts, whitened, axes=1)
        mean = mean + jnp.tensordot(parts, whitened - mean, axes=1)
        covariance = _square(parts, whitened - mean) / self.rows
        rounding = 16 * jnp.finfo(xs.dtype).eps * _square(parts, whitened) / self.rows
        return self._leave(_from_moments(mean, covariance, covariance + rounding))

    def _entropy(self, coords: MatrixNormalCoords) -> Array:
        normal = self.rows * self.columns * (1 + LOG_2_PI)
        own = (normal - self.rows * log_determinant(_factor(coords))) / 2
        return own + self._log_volume(coords.second)

    def _in_domain(self, coords: MatrixNormalCoords) -> Bool[Array, ""]:
        return jnp.isfinite(self._log_normalizer(coords))

    def _sample(self, key: Key[Array, ""], coords: MatrixNormalCoords) -> Array:
        mean, inverse = _moments(self._enter(coords))
        noise = jax.random.normal(key, mean.shape, mean.dtype)
        return self._color_rows(mean + noise @ inverse)

    def _features(self, x: Array) -> Array:
        return jnp.ravel(self._whiten_rows(x))

    def _initialize(self, key: Key[Array, ""]) -> MatrixNormalCoords:
        # A random mean near the origin, and a random covariance around the identity.
        first, second = jax.random.split(key)
        n, q = 3 * self.columns + 1, self.columns
        draws = jax.random.normal(second, (n, q))
        covariance = draws.T @ draws / n
        mean = jax.random.normal(first, (self.rows, q))
        return self._leave(_from_moments(mean, covariance, covariance))

    def _weak_means(self, xs: Array) -> MatrixNormalCoords:
        # The variances of the columns, without correlations. A constant column gets a small share
        # of the scale of the others, or of its own value.
        whitened = jax.vmap(self._whiten_rows)(xs)
        mean = jnp.mean(whitened, axis=0)
        variances = jnp.mean((whitened - mean) ** 2, axis=(0, 1))
        noise = 16 * jnp.finfo(xs.dtype).eps * jnp.mean(mean**2, axis=0)
        spread = jnp.max(jnp.where(variances > noise, variances, 0))
        scale = jnp.where(spread > 0, spread, jnp.maximum(jnp.max(mean**2), 1))
        floor = jnp.maximum(1e-3 * scale, 2 * noise)
        variances = jnp.where(variances > noise, variances, floor)
        second = self.rows * jnp.diag(variances) + mean.T @ mean
        return MatrixNormalCoords(self._color_rows(mean), second)

    def _to_unconstrained(self, coords: MatrixNormalCoords) -> tuple[Array, Array]:
        # the mean of the whitened rows, and the factor of V⁻¹ with the logarithm of its diagonal
        entered = self._enter(coords)
        return _moments(entered)[0], PositiveDefinite().to_unconstrained(_factor(entered))

    def _from_unconstrained(self, free: tuple[Array, Array]) -> MatrixNormalCoords:
        factor = PositiveDefinite().from_unconstrained(free[1])
        return self._leave(_from_factor(free[0], factor))


@jax.jit
def _from_usual(
    family: MatrixNormal, mean: Array, covariance: Array
) -> tuple[MatrixNormalCoords, Array]:
    coords = family._leave(_from_moments(family._whiten_rows(mean), covariance, covariance))
    return coords, family._in_domain(coords) & is_symmetric(covariance)


@jax.jit
def _usual(family: MatrixNormal, coords: MatrixNormalCoords) -> tuple[Array, Array]:
    mean, inverse = _moments(family._enter(coords))
    return family._color_rows(mean), inverse.T @ inverse


# Kernels for independent rows, with V⁻¹ = −2Θ₂ = F Fᵀ.


@jax.custom_jvp
def _log_normalizer(coords: MatrixNormalCoords) -> Array:
    # ½‖MF‖² − ½ p log |V⁻¹|, with MF = Θ₁F⁻ᵀ
    factor = _factor(coords)
    whitened = coords.first @ invert_triangular(factor).T
    return (jnp.sum(whitened**2) - whitened.shape[0] * log_determinant(factor)) / 2


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    mean, inverse = _moments(*primals)
    second = mean.shape[0] * inverse.T @ inverse + mean.T @ mean
    return _log_normalizer(*primals), pairing(tangents[0], MatrixNormalCoords(mean, second))


def _moments(coords: MatrixNormalCoords) -> tuple[Array, Array]:
    # M = Θ₁V, and F⁻¹
    inverse = invert_triangular(_factor(coords))
    return coords.first @ inverse.T @ inverse, inverse


def _from_moments(mean: Array, covariance: Array, second_moment: Array) -> MatrixNormalCoords:
    size = covariance.shape[0]
    return _from_factor(mean, PositiveDefinite().precision_factor(covariance, second_moment, size))


def _from_factor(mean: Array, factor: Array) -> MatrixNormalCoords:
    return MatrixNormalCoords(mean @ factor @ factor.T, -0.5 * factor @ factor.T)


def _factor(coords: MatrixNormalCoords) -> Array:
    return cholesky(-(coords.second + coords.second.T))


def _square(parts: Array, matrices: Array) -> Array:
    # Σ w XᵀX
    return jnp.einsum("n,nij,nik->jk", parts, matrices, matrices)
