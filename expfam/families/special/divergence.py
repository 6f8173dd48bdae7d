"""Divergences of gammas and Wisharts, and of normals with them, as sums of what is not negative.

The differences of log-normalizers that they are lose all digits where degrees of freedom are many.
Rates and matrices are given with their change: where two are close, it is known to more digits than
their difference, that of two roots or of two inverses would leave.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.duality import bregman_divergence
from ...geometry.linalg import cholesky, factorize, invert_triangular
from .gamma import (
    deviance_from_gap,
    difference_of_products,
    log_gap,
    scaled_deviance,
    shape_remainder,
)


def gamma_divergence(
    own: tuple[Float[Array, ""], Float[Array, ""]],
    other: tuple[Float[Array, ""], Float[Array, ""]],
    change: Float[Array, ""],
) -> Float[Array, ""]:
    """KL of two gammas, each given by rate β and shape k; `change` is that of the rate."""
    # 1. D(k', k β'/β), and the Bregman divergence of ψ less k log k − k − k log β.
    # 2. Where the two are close, k' − k β'/β is (dk β − k dβ)/β, of exact products: shape and rate
    #    may have changed in proportion.
    (rate, k), (rate_, k_) = own, other
    step = k_ - k
    near = (jnp.abs(step) < k / 2) & (jnp.abs(change) < rate / 2)
    close = difference_of_products(step, rate, k, change) / rate
    expected = k * (rate_ / rate)
    gap = jnp.where(near, close, k_ - expected)
    return deviance_from_gap(gap, expected) + bregman_divergence(shape_remainder, k_, k)


def relative_root(
    own: Float[Array, "d d"],
    other: Float[Array, "d d"],
    change: Float[Array, "d d"],
    share: Float[Array, ""] | float = 0.0,
) -> tuple[Float[Array, " d"], Float[Array, " d"], Float[Array, ""]]:
    """The triangular root G of A⁻¹B, in a basis where A = I: of use for its trace and determinant.

    Args:
        own: A, positive definite.
        other: B, positive definite.
        change: B − A.
        share: c of a change close to cA.

    Returns:
        g_ii², g_ii² − (1 + c), and Σ g_ij² below the diagonal. With A = C Cᵀ, C⁻¹B C⁻ᵀ = G Gᵀ.
    """
    # Far off, G = C⁻¹C' with B = C'C'ᵀ. Close by, G Gᵀ = (1 + c)I + E with
    # E = C⁻¹(B − A − cA)C⁻ᵀ, and g_ii² − (1 + c) = E_ii − Σ_j g_ij².
    _, inverse = factorize(own)
    apart = inverse @ (change - share * own) @ inverse.T
    near = jnp.max(jnp.sum(jnp.abs(apart), axis=1)) + jnp.abs(share) < 0.5
    whole = jnp.where(near, 1 + share, 1)
    close = cholesky(whole * jnp.eye(*own.shape, dtype=own.dtype) + jnp.where(near, apart, 0))
    root = jnp.where(near, close, inverse @ cholesky(jnp.where(near, own, other)))
    squares, below = jnp.diagonal(root) ** 2, jnp.sum(jnp.tril(root, -1) ** 2, axis=1)
    excess = jnp.where(near, jnp.diagonal(apart) - below, squares - (1 + share))
    return squares, excess, jnp.sum(below)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def shape_remainders(size: int, rest: Float[Array, ""]) -> Float[Array, ""]:
    """log Γ_d(a) − d (a log a − a), less a constant, at r = a − (d − 1)/2: convex in r."""
    # With log Γ(g) = S(g) + g log g − g for each of the shapes g = r + i/2, and s = a − g, what is
    # left of g log g − g is s(1 − log a) − g log(1 + s/g).
    shapes, steps = gamma_shapes(size, rest)
    small = shape_remainder(shapes) - shapes * jnp.log1p(steps / shapes)
    return jnp.sum(small + steps * (1 - jnp.log(rest + (size - 1) / 2)))


@shape_remainders.defjvp
def _shape_remainders_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return shape_remainders(size, *primals), -shape_gap(size, *primals) * tangents[0]


def shape_gap(size: int, rest: Float[Array, ""]) -> Float[Array, ""]:
    """Σ_i log a − digamma(g_i), of positive terms: the slope of −`shape_remainders`."""
    shapes, steps = gamma_shapes(size, rest)
    return jnp.sum(log_gap(shapes) + jnp.log1p(steps / shapes))


def gamma_shapes(size: int, rest: Float[Array, ""]) -> tuple[Float[Array, " d"], Array]:
    """The shapes g_i = r + i/2, i = 0 … d − 1, and a − g_i."""
    index = jnp.arange(size, dtype=rest.dtype) / 2
    return rest + index, (size - 1) / 2 - index


def wishart_divergence(
    own: tuple[Float[Array, "d d"], Float[Array, ""]],
    other: tuple[Float[Array, "d d"], Float[Array, ""]],
    change: Float[Array, "d d"],
) -> Float[Array, ""]:
    """KL of two Wisharts, each given by −Θ and a = n/2; `change` is that of −Θ.

    With λ_i the eigenvalues of Θ⁻¹Θ' it is Σ_i D(a', a λ_i), and the Bregman divergence of
    `shape_remainders`. Σ_i D(a', a λ_i) = Σ_i D(a', a g_ii²) + a Σ g_ij² for the root G.
    """
    (matrix, a), (_, b) = own, other
    size = matrix.shape[0]
    # As in `scaled_deviance`, but with what is proportional to Θ taken off before the root.
    share = (b - a) / a
    squares, excess, below = relative_root(matrix, other[0], change, share)
    near = jnp.abs(excess) + jnp.abs(share) < 0.5
    gaps = jnp.where(near, (b - a) - a * share - a * excess, b - a * squares)
    scales = jnp.sum(deviance_from_gap(gaps, a * squares)) + a * below
    edge = (size - 1) / 2

    def remainders(rest: Array) -> Array:
        return shape_remainders(size, rest)

    return scales + bregman_divergence(remainders, b - edge, a - edge)


def normal_wishart_divergence(
    own: tuple[Array, Array, Array, Array], other: tuple[Array, Array, Array, Array]
) -> Float[Array, ""]:
    """KL of two distributions of a matrix B given a precision Λ, and of Λ.

    That is B with mean M and precision K of its rows, Λ of its columns, and Λ a Wishart.

    Args:
        own: KM, of shape `(p, q)`; V⁻¹ + MᵀKM, of shape `(q, q)`; K, of shape `(p, p)`; n.
        other: the same of the other distribution.
    """
    # 1. KL = ½ E tr K'(M' − M)Λ(M' − M)ᵀ + ½ q Σ D(1, eigenvalues of K⁻¹K') + KL of the Wisharts.
    # 2. M' − M = K'⁻¹(dF − dK M) for F = KM, where the two are close.
    # 3. The change of MᵀKM is Mᵀ dK M + MᵀK'dM + dMᵀK'M + dMᵀK'dM.
    (first, second, precision, freedom), (first_, second_, precision_, freedom_) = own, other
    step = precision_ - precision
    squares, changes, below = relative_root(precision, precision_, step)
    location = _solve(precision, first)
    near = jnp.all(jnp.abs(changes) < 0.5)
    close = _solve(precision_, first_ - first - step @ location)
    moved = jnp.where(near, close, _solve(precision_, first_) - location)

    pulled = precision_ @ moved
    cross = location.T @ pulled
    change = second_ - second - location.T @ step @ location - cross - cross.T - moved.T @ pulled
    scale, scale_ = second - first.T @ location, second_ - first_.T @ (location + moved)
    wisharts = wishart_divergence(
        (_half(scale), freedom / 2), (_half(scale_), freedom_ / 2), _half(change)
    )
    one = jnp.ones_like(squares)
    rows = jnp.sum(scaled_deviance(one, one, squares, changes)) + below
    whitened = invert_triangular(cholesky(_half(scale) * 2)) @ moved.T
    columns = first.shape[1]
    return wisharts + columns / 2 * rows + freedom / 2 * jnp.sum(whitened * (whitened @ precision_))


def _solve(precision: Array, target: Array) -> Array:
    _, inverse = factorize(precision)
    return inverse.T @ (inverse @ target)


def _half(matrix: Array) -> Array:
    return (matrix + matrix.T) / 4
