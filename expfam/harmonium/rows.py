"""Rows of data summed up: their mean and covariance, and a few rows that have the same.

Averages over rows of a function that is quadratic in x depend on mean and covariance alone.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.compiled import shares_of, sum_over_rows
from ..geometry.linalg import cholesky, eigh, invert_triangular

# Relative error of variances in a covariance beyond which its root is corrected.
_LARGEST_LOSS = 1e-6


def mean_covariance(
    xs: Float[Array, "n p"], share: Float[Array, " n"], origin: Float[Array, " p"]
) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
    """Mean and covariance of rows taken from an origin, with shares that sum to one."""
    # About a first mean: it carries the rounding of a long sum.
    first = share @ xs
    mean = first - origin + share @ (xs - first)
    return mean, _second_moment(xs, share, origin, mean, None)


def sigma_rows(
    xs: Float[Array, "n p"], weights: Float[Array, " n"] | None, origin: Float[Array, " p"]
) -> tuple[Float[Array, "two_p p"], Float[Array, " two_p"]]:
    """2p rows and their weights, with mean, covariance and weight of many rows from an origin.

    They are mean ± √p R_j, with R Rᵀ the covariance (the sigma points of Julier & Uhlmann 1997).
    """
    n, size = xs.shape
    share = shares_of(xs, weights)
    mean, covariance = mean_covariance(xs, share, origin)
    # What is no more than the rounding of the data varies not at all.
    rounding = 4 * jnp.finfo(xs.dtype).eps * jnp.abs(origin + mean)
    varies = jnp.diagonal(covariance) > rounding**2
    covariance = jnp.where(jnp.outer(varies, varies), covariance, 0)
    root = _root(xs, share, origin, mean, covariance)
    spread = jnp.sqrt(jnp.asarray(size, xs.dtype)) * root.T
    total = n if weights is None else jnp.sum(weights)
    rows = jnp.concatenate([mean + spread, mean - spread])
    return rows, jnp.full((2 * size,), total / (2 * size), xs.dtype)


def _second_moment(
    xs: Array, share: Array, origin: Array, mean: Array, matrix: Array | None
) -> Float[Array, "p p"]:
    # The average of w wᵀ, for w = A(x − origin − mean) and a matrix A, or none.
    def second(fixed: tuple[Any, ...], rows: Array, parts: Array) -> Array:
        origin, mean, matrix = fixed
        centered = rows - origin - mean
        moved = centered if matrix is None else centered @ matrix.T
        return (moved * parts[:, None]).T @ moved

    return sum_over_rows(second, (origin, mean, matrix), xs, share)


def _root(
    xs: Array, share: Array, origin: Array, mean: Array, covariance: Array
) -> Float[Array, "p p"]:
    # The Cholesky factor where the covariance is definite, else from eigenvectors. The covariance
    # has lost the digits of directions of small variance. Where that matters, its factor is
    # corrected by that of the whitened rows (Cholesky QR twice: Yamamoto et al. 2015).
    factor = cholesky(covariance)
    definite = jnp.all(jnp.isfinite(factor))
    ratio = jnp.diagonal(covariance) / jnp.diagonal(factor) ** 2
    loss = jnp.max(ratio) * jnp.finfo(xs.dtype).eps

    def corrected() -> Array:
        white = _second_moment(xs, share, origin, mean, invert_triangular(factor))
        better = factor @ cholesky(white)
        return jnp.where(jnp.all(jnp.isfinite(better)), better, factor)

    def by_eigenvectors() -> Array:
        values, vectors = eigh(covariance)
        return vectors * jnp.sqrt(jnp.maximum(values, 0))

    case = jnp.where(definite, jnp.where(loss > _LARGEST_LOSS, 1, 0), 2)
    return jax.lax.switch(case, [lambda: factor, corrected, by_eigenvectors])
