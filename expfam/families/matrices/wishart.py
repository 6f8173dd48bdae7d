"""The Wishart family of positive-definite matrices."""

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
    reverse_cholesky,
)
from ...geometry.points import Natural, pairing
from ...geometry.roots import solve_decreasing
from ...geometry.spaces import Euclidean, Symmetric
from ..cells import Whole, mean_statistic
from ..conjugacy.integrals import ShapeMatrix
from ..observed import AbstractObservedFamily, given_by_density
from ..special.divergence import gamma_shapes, shape_gap, shape_remainders, wishart_divergence
from ..special.gamma import deviance, digamma, factorial_remainder, log_gap
from ..special.gaps import gap_beyond, gap_of_step
from ..support import Support

_LOG_PI = 1.1447298858494002


@final
class WishartCoords(eqx.Module):
    """Coordinates of a Wishart.

    Attributes:
        matrix: pairs with X: natural −V⁻¹/2, mean nV; shape `(d, d)`.
        log_determinant: pairs with log |X|: natural n/2; a scalar.
    """

    matrix: Any
    log_determinant: Any


@final
class Wishart(AbstractObservedFamily[WishartCoords]):
    r"""Distributions of a positive-definite d × d matrix, with scale V and n degrees of freedom.

    The density is p(X) = |X|^((n−d−1)/2) exp(−½ tr V⁻¹X) / (2^(nd/2) |V|^(n/2) Γ_d(n/2)).

    | | matrix | log_determinant |
    | --- | --- | --- |
    | natural θ | −½V⁻¹ | n/2 |
    | mean η | nV | Σ_i digamma((n − i)/2) + log \|2V\|, i = 0 … d − 1 |
    | statistic s(X) | X | log \|X\| |

    The base measure is |X|^(−(d+1)/2), against Lebesgue measure of the entries on and above the
    diagonal. The degrees of freedom are more than d − 1, and need not be whole; close to d − 1,
    draws are singular up to rounding: their diagonals are rounded up by a few units in the last
    place, which keeps them positive definite.

    Attributes:
        size: number of rows d.

    References:
        Muirhead, Aspects of Multivariate Statistical Theory (1982), section 3.2; Bartlett, On the
        theory of statistical regression (1933), for the triangular root of a draw.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> wishart = ef.Wishart(2)
        >>> params = wishart.from_scale_freedom(jnp.eye(2), 5.0)
        >>> float(wishart.to_mean(params).coords.matrix[0, 0].round(4))
        5.0
    """

    size: int = eqx.field(static=True, converter=whole("Wishart", "size", 1))

    @property
    def spaces(self) -> WishartCoords:
        """Symmetric matrices, and ℝ."""
        return WishartCoords(Symmetric(self.size), Euclidean(()))

    @property
    def support(self) -> Support:
        """Positive-definite matrices."""
        return Support((self.size, self.size), "positive definite")

    def from_scale_freedom(
        self, scale: Float[Array, "d d"], freedom: Float[Array, ""] | float
    ) -> Natural[WishartCoords]:
        """The distribution with given scale matrix V and degrees of freedom n > d − 1."""
        owner = "Wishart.from_scale_freedom"
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
        """Scale matrix V and degrees of freedom n."""
        self._check_point(params, Natural, "scale_freedom", "params")
        return scale_of(params.coords), 2 * params.coords.log_determinant

    readers = (scale_freedom,)

    @property
    def _conjugacy(self) -> ShapeMatrix:
        return ShapeMatrix(self.size)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: mean_statistic(family, coords).matrix)

    def _sufficient_statistic(self, x: Array) -> WishartCoords:
        return WishartCoords(x, log_determinant(cholesky(x)))

    def _log_base_measure(self, x: Array) -> Array:
        return -(self.size + 1) / 2 * log_determinant(cholesky(x))

    def _log_normalizer(self, coords: WishartCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: WishartCoords, x: Array) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: WishartCoords, x: Array) -> Array:
        return self._log_density_of_factor(coords, reverse_cholesky(x))

    def _log_density_of_factor(self, coords: WishartCoords, lower: Array) -> Array:
        # With X = GᵀG and −Θ = C Cᵀ, Z = GC is lower triangular, and ZᵀZ has the same eigenvalues
        # as −ΘX.
        standard = log_standard_density(lower @ factor_of(coords), coords.log_determinant)
        return standard - (self.size + 1) / 2 * log_determinant(lower)

    def _maximize(self, means: WishartCoords, start: WishartCoords | None) -> WishartCoords:
        gap = log_determinant(cholesky(means.matrix)) - means.log_determinant
        if start is not None:
            present = shape_gap(self.size, start.log_determinant - (self.size - 1) / 2)
            gap = gap_of_step(gap, present, self.size + jnp.abs(means.log_determinant))
        return from_gap(means.matrix, gap)

    def _estimate(self, xs: Array, shares: Array) -> WishartCoords:
        # 1. With Σ w X = P Pᵀ, X = L Lᵀ and Z = P⁻¹L, the gap log |Σ w X| − Σ w log |X| is
        #    Σ w (‖Z‖² − d − log |Z|²), of terms that are not negative, …
        # 2. … and stationary in P, so that the rounding of the mean is of second order.
        parts = shares.astype(xs.dtype)
        mean = jnp.tensordot(parts, xs, axes=1)
        mean = mean + jnp.tensordot(parts, xs - mean, axes=1)
        factor, inverse = factorize(mean)
        roots = inverse @ jax.vmap(cholesky)(xs)
        squares = jnp.diagonal(roots, axis1=1, axis2=2) ** 2
        below = jnp.sum(jnp.tril(roots, -1) ** 2, axis=(1, 2))
        gap = parts @ (jnp.sum(deviance(jnp.ones_like(squares), squares), axis=1) + below)
        # Rows that are equal up to rounding have no degrees of freedom.
        rounding = jnp.finfo(xs.dtype).eps * jnp.linalg.norm(factor) * jnp.linalg.norm(inverse)
        return from_gap(mean, gap_beyond(gap, 64 * rounding**2))

    def _entropy(self, coords: WishartCoords) -> Array:
        # that of the standard density, and (d + 1)/2 E log |X| of the base measure
        standard = standard_entropy(self.size, coords.log_determinant)
        return standard + (self.size + 1) / 2 * mean_of(coords).log_determinant

    def _divergence(self, p: WishartCoords, q: WishartCoords) -> Array:
        own, other = (
            (-(point.matrix + point.matrix.T) / 2, point.log_determinant) for point in (p, q)
        )
        change = p.matrix - q.matrix
        return wishart_divergence(own, other, (change + change.T) / 2)

    def _in_domain(self, coords: WishartCoords) -> Bool[Array, ""]:
        a = coords.log_determinant
        return (a > (self.size - 1) / 2) & jnp.isfinite(_log_normalizer(coords))

    def _sample(self, key: Key[Array, ""], coords: WishartCoords) -> Array:
        return gram(self._sample_factor(key, coords))

    def _sample_factor(self, key: Key[Array, ""], coords: WishartCoords) -> Array:
        # G = ZC⁻¹, lower triangular, with X = GᵀG
        root = draw_root(key, self.size, coords.log_determinant, 0.5)
        return root @ invert_triangular(factor_of(coords))

    def _features(self, x: Array) -> Array:
        rows, columns = jnp.triu_indices(self.size)
        return x[rows, columns]

    def _initialize(self, key: Key[Array, ""]) -> WishartCoords:
        return self._from_unconstrained(
            (0.3 * jax.random.normal(key, (self.size, self.size)), jnp.zeros(()))
        )

    def _weak_means(self, xs: Array) -> WishartCoords:
        # the mean of the data, with d + 1 degrees of freedom
        mean = jnp.mean(xs, axis=0)
        gap = shape_gap(self.size, jnp.ones((), xs.dtype))
        return WishartCoords(mean, log_determinant(cholesky(mean)) - gap)

    def _to_unconstrained(self, coords: WishartCoords) -> tuple[Array, Array]:
        # the factor of V⁻¹ with the logarithm of its diagonal, and log(n/2 − (d − 1)/2)
        factor = factor_of(coords)
        logs = jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor)))
        return logs, jnp.log(coords.log_determinant - (self.size - 1) / 2)

    def _from_unconstrained(self, free: tuple[Array, Array]) -> WishartCoords:
        logs, rest = free
        factor = jnp.tril(logs, -1) + jnp.diag(jnp.exp(jnp.diagonal(logs)))
        return WishartCoords(-factor @ factor.T, (self.size - 1) / 2 + jnp.exp(rest))


@jax.jit
def _from_scale(wishart: Wishart, scale: Array, freedom: Array) -> tuple[WishartCoords, Array]:
    coords = WishartCoords(-0.5 * invert_positive(scale), freedom / 2)
    return coords, wishart._in_domain(coords) & is_symmetric(scale)


@jax.jit
def scale_of(coords: WishartCoords) -> Float[Array, "d d"]:
    """V = (−2Θ)⁻¹."""
    inverse = invert_triangular(factor_of(coords))
    return inverse.T @ inverse / 2


@jax.custom_jvp
def _log_normalizer(coords: WishartCoords) -> Array:
    # ψ = log Γ_d(a) − a log |−Θ|: what grows with a is a multiple of log |−a Θ⁻¹| − d.
    factor, a = factor_of(coords), coords.log_determinant
    size = factor.shape[0]
    large = a * jnp.sum(jnp.log(a / jnp.diagonal(factor) ** 2) - 1)
    constant = jnp.asarray(size * (size - 1) / 4 * _LOG_PI, a.dtype)
    return large + constant + shape_remainders(size, a - (size - 1) / 2)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), pairing(tangents[0], mean_of(*primals))


def mean_of(coords: WishartCoords) -> WishartCoords:
    """E X = a (−Θ)⁻¹, and E log |X| = log |E X| less the gap."""
    factor, a = factor_of(coords), coords.log_determinant
    size = factor.shape[0]
    inverse = invert_triangular(factor)
    log_det = jnp.sum(jnp.log(a / jnp.diagonal(factor) ** 2))
    return WishartCoords(a * inverse.T @ inverse, log_det - shape_gap(size, a - (size - 1) / 2))


def from_gap(mean: Float[Array, "d d"], gap: Float[Array, ""]) -> WishartCoords:
    """The Wishart with a given mean and gap log |E X| − E log |X| > 0.

    The gap decreases in r = (n − d + 1)/2, from infinity at 0; solved for the logarithm of r.
    """
    size = mean.shape[0]
    edge = (size - 1) / 2

    def excess(log_rest: Array, wanted: Array) -> Array:
        return jnp.log(shape_gap(size, jnp.exp(log_rest))) - wanted

    reach = size * (1 + edge) / jnp.minimum(gap, 1)
    low, high = -jnp.log(2 * gap) - jnp.log(2.0 + edge), jnp.log(2 * reach)
    log_rest = solve_decreasing(excess, jnp.log(gap), low.astype(gap.dtype), high)
    half = edge + jnp.exp(log_rest)
    return WishartCoords(-half * invert_positive(mean), half)


def factor_of(coords: WishartCoords) -> Float[Array, "d d"]:
    """C, lower triangular, with −Θ = C Cᵀ."""
    return cholesky(-(coords.matrix + coords.matrix.T) / 2)


# The standard distribution, Θ = −I, of Y = ZᵀZ with Z lower triangular. The entries of Z are
# independent: below the diagonal normals of variance ½, on it roots of gammas of the shapes
# g_i = a − (d − 1 − i)/2 (Bartlett 1933). Of use for inverse Wisharts too.


def _shapes(size: int, a: Array) -> tuple[Array, Array]:
    # g_i, exact where a is close to its bound, and a − g_i
    return gamma_shapes(size, a - (size - 1) / 2)


def log_standard_density(root: Float[Array, "d d"], a: Float[Array, ""]) -> Float[Array, ""]:
    """a log |Y| − tr Y − log Γ_d(a), in the form of Loader for each of the gammas."""
    size = root.shape[0]
    shapes, steps = _shapes(size, a)
    squares = jnp.diagonal(root) ** 2
    gammas = jnp.log(shapes) - factorial_remainder(shapes) - deviance(shapes, squares)
    normals = jnp.sum(jnp.tril(root, -1) ** 2) + size * (size - 1) / 4 * _LOG_PI
    return jnp.sum(gammas + steps * jnp.log(squares)) - normals


def standard_entropy(size: int, a: Float[Array, ""]) -> Float[Array, ""]:
    """The expectation of −`log_standard_density`."""
    shapes, steps = _shapes(size, a)
    gammas = factorial_remainder(shapes) - jnp.log(shapes) + shapes * log_gap(shapes)
    return jnp.sum(gammas - steps * digamma(shapes)) + size * (size - 1) / 4 * (1 + _LOG_PI)


def draw_root(
    key: Key[Array, ""], size: int, a: Float[Array, ""], power: float
) -> Float[Array, "d d"]:
    """Z; of its diagonal, entries below that power of the smallest normal number are set to it."""
    first, second = jax.random.split(key)
    logs = jax.random.loggamma(first, _shapes(size, a)[0], dtype=a.dtype)
    noise = jax.random.normal(second, (size, size), a.dtype) / 2**0.5
    diagonal = jnp.maximum(jnp.exp(logs / 2), jnp.finfo(a.dtype).tiny ** power)
    return jnp.tril(noise, -1) + jnp.diag(diagonal)
