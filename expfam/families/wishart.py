"""The Wishart family of positive-definite matrices."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..geometry.checks import require
from ..geometry.linalg import cholesky, invert_triangular
from ..geometry.points import Natural, pairing
from ..geometry.roots import solve_decreasing
from ..geometry.spaces import Euclidean, Symmetric
from .conjugacy.integrals import ShapeMatrix
from .observed import AbstractObservedFamily, estimate_from_average
from .special.gamma import log_gamma, log_gap
from .support import Support

_LOG_PI = 1.1447298858494002
_LOG_2 = 0.6931471805599453


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
    draws may be singular up to rounding.

    Attributes:
        size: number of rows d.

    References:
        Muirhead, Aspects of Multivariate Statistical Theory (1982), section 3.2.

    Example:
        >>> import jax.numpy as jnp, expfam as ef
        >>> wishart = ef.Wishart(2)
        >>> params = wishart.from_scale_freedom(jnp.eye(2), 5.0)
        >>> float(wishart.to_mean(params).coords.matrix[0, 0].round(4))
        5.0
    """

    size: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a size below one."""
        if not isinstance(self.size, int) or self.size < 1:
            raise ValueError(
                f"Wishart: `size` must be an integer of at least 1, but is {self.size}."
            )

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
        if jnp.shape(scale) != (self.size, self.size):
            raise ValueError(
                f"Wishart.from_scale_freedom: `scale` must have shape {(self.size, self.size)}, "
                f"but has shape {jnp.shape(scale)}."
            )
        matrix, n = jnp.asarray(scale, float), jnp.asarray(freedom, float)
        coords = _from_scale(matrix, n / 2)
        symmetric = jnp.max(jnp.abs(matrix - matrix.T)) <= 1e-5 * jnp.max(jnp.abs(matrix))
        return require(
            Natural(coords),
            self._in_domain(coords) & symmetric,
            "Wishart.from_scale_freedom: `scale` must be symmetric and positive definite, and "
            f"`freedom` more than {self.size - 1} and finite.",
        )

    def scale_freedom(
        self, params: Natural[WishartCoords]
    ) -> tuple[Float[Array, "d d"], Float[Array, ""]]:
        """Scale matrix V and degrees of freedom n."""
        self._check_point(params, Natural, "scale_freedom", "params")
        inverse = invert_triangular(_factor(params.coords))
        return inverse.T @ inverse / 2, 2 * params.coords.log_determinant

    @property
    def _conjugacy(self) -> ShapeMatrix:
        return ShapeMatrix(self.size)

    def _sufficient_statistic(self, x: Array) -> WishartCoords:
        return WishartCoords(x, _log_det(cholesky(x)))

    def _log_base_measure(self, x: Array) -> Array:
        return -(self.size + 1) / 2 * _log_det(cholesky(x))

    def _log_normalizer(self, coords: WishartCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: WishartCoords, x: Array) -> Array:
        power = coords.log_determinant - (self.size + 1) / 2
        return jnp.sum(coords.matrix * x) + power * _log_det(cholesky(x))

    def _log_density(self, coords: WishartCoords, x: Array) -> Array:
        return self._log_normalizer_given(coords, x) - _log_normalizer(coords)

    def _maximize(self, means: WishartCoords, start: WishartCoords | None) -> WishartCoords:
        # 1. With a = n/2 and η₁ = nV, log |η₁| − η₂ = Σ_i log a − digamma(a − i/2), which decreases
        #    in a from infinity at (d − 1)/2.
        # 2. Solved for the logarithm of a − (d − 1)/2.
        edge = (self.size - 1) / 2
        gap = _log_det(cholesky(means.matrix)) - means.log_determinant
        wanted = jnp.log(gap)

        def excess(log_rest: Array, wanted: Array) -> Array:
            return jnp.log(_gap(self.size, edge + jnp.exp(log_rest))) - wanted

        reach = self.size * (1 + edge) / jnp.minimum(gap, 1)
        low, high = -jnp.log(2 * gap) - jnp.log(2.0 + edge), jnp.log(2 * reach)
        half = edge + jnp.exp(solve_decreasing(excess, wanted, low.astype(gap.dtype), high))
        return _from_scale(means.matrix / (2 * half), half)

    def _estimate(self, xs: Array, shares: Array) -> WishartCoords:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: WishartCoords) -> Array:
        # ψ − ⟨θ, η⟩ + (d + 1)/2 E log |X|, with ⟨Θ, η₁⟩ = −d a
        a, mean = coords.log_determinant, _mean(coords).log_determinant
        psi = _log_normalizer(coords)
        return psi + self.size * a - (a - (self.size + 1) / 2) * mean

    def _in_domain(self, coords: WishartCoords) -> Bool[Array, ""]:
        a = coords.log_determinant
        return (a > (self.size - 1) / 2) & jnp.isfinite(_log_normalizer(coords))

    def _sample(self, key: Key[Array, ""], coords: WishartCoords) -> Array:
        # Bartlett: X = R A Aᵀ Rᵀ with V = R Rᵀ, A lower triangular with standard normal entries
        # below the diagonal, and A_ii² twice a gamma of shape (n − i)/2.
        first, second = jax.random.split(key)
        dtype = coords.matrix.dtype
        shapes = coords.log_determinant - jnp.arange(self.size, dtype=dtype) / 2
        smallest = jnp.finfo(dtype).tiny ** 0.5
        diagonal = jnp.maximum(
            jnp.exp((jax.random.loggamma(first, shapes, dtype=dtype) + _LOG_2) / 2), smallest
        )
        noise = jax.random.normal(second, (self.size, self.size), dtype)
        bartlett = jnp.tril(noise, -1) + jnp.diag(diagonal)
        root = invert_triangular(_factor(coords)).T @ bartlett / 2**0.5
        return root @ root.T

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
        half = jnp.asarray((self.size + 1) / 2, xs.dtype)
        return WishartCoords(mean, _log_det(cholesky(mean)) - _gap(self.size, half))

    def _to_unconstrained(self, coords: WishartCoords) -> tuple[Array, Array]:
        # the factor of V⁻¹ with the logarithm of its diagonal, and log(n/2 − (d − 1)/2)
        factor = _factor(coords)
        logs = jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor)))
        return logs, jnp.log(coords.log_determinant - (self.size - 1) / 2)

    def _from_unconstrained(self, free: tuple[Array, Array]) -> WishartCoords:
        logs, rest = free
        factor = jnp.tril(logs, -1) + jnp.diag(jnp.exp(jnp.diagonal(logs)))
        return WishartCoords(-factor @ factor.T, (self.size - 1) / 2 + jnp.exp(rest))


@jax.custom_jvp
def _log_normalizer(coords: WishartCoords) -> Array:
    # log Γ_d(a) − a log |−Θ|, with Γ_d(a) = π^(d(d−1)/4) Π_i Γ(a − i/2)
    factor = _factor(coords)
    size, a = factor.shape[0], coords.log_determinant
    shapes = a - jnp.arange(size, dtype=a.dtype) / 2
    constant = jnp.asarray(size * (size - 1) / 4 * _LOG_PI, a.dtype)
    return constant + jnp.sum(log_gamma(shapes)) - a * _log_det(factor)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), pairing(tangents[0], _mean(*primals))


def _mean(coords: WishartCoords) -> WishartCoords:
    # E X = a (−Θ)⁻¹, and E log |X| = log |E X| − Σ_i (log a − digamma(a − i/2))
    factor, a = _factor(coords), coords.log_determinant
    inverse = invert_triangular(factor)
    size = factor.shape[0]
    log_det = size * jnp.log(a) - _log_det(factor)
    return WishartCoords(a * inverse.T @ inverse, log_det - _gap(size, a))


def _gap(size: int, a: Array) -> Array:
    # Σ_i log a − digamma(a − i/2), without cancellation
    steps = jnp.arange(size, dtype=a.dtype) / 2
    return jnp.sum(log_gap(a - steps) - jnp.log1p(-steps / a))


def _from_scale(scale: Array, half: Array) -> WishartCoords:
    inverse = invert_triangular(cholesky(scale))
    return WishartCoords(-0.5 * inverse.T @ inverse, half)


def _factor(coords: WishartCoords) -> Array:
    # the Cholesky factor of −Θ = ½V⁻¹
    return cholesky(-(coords.matrix + coords.matrix.T) / 2)


def _log_det(factor: Array) -> Array:
    return 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
