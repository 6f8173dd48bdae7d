"""Rows of data summed up: their mean and covariance, and a few rows that have the same.

Averages over rows of a function that is quadratic in x depend on mean and covariance alone.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.compiled import shares_of, sum_over_rows
from ..geometry.linalg import cholesky, eigh


def mean_covariance(
    xs: Float[Array, "n p"], share: Float[Array, " n"]
) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
    """Mean and covariance of rows, with shares that sum to one."""
    # About a first mean: it carries the rounding of a long sum.
    first = share @ xs
    mean = first + share @ (xs - first)

    def covariance(center: Array, rows: Array, parts: Array) -> Array:
        centered = rows - center
        return (centered * parts[:, None]).T @ centered

    return mean, sum_over_rows(covariance, mean, xs, share)


def sigma_rows(
    xs: Float[Array, "n p"], weights: Float[Array, " n"] | None
) -> tuple[Float[Array, "two_p p"], Float[Array, " two_p"]]:
    """2p rows and their weights, with the mean, the covariance and the weight of many rows.

    They are mean ± √p R_j, with R Rᵀ the covariance (the sigma points of Julier & Uhlmann 1997).
    """
    n, size = xs.shape
    mean, covariance = mean_covariance(xs, shares_of(xs, weights))
    spread = jnp.sqrt(jnp.asarray(size, xs.dtype)) * _root(covariance).T
    total = n if weights is None else jnp.sum(weights)
    rows = jnp.concatenate([mean + spread, mean - spread])
    return rows, jnp.full((2 * size,), total / (2 * size), xs.dtype)


def _root(covariance: Array) -> Array:
    # The Cholesky factor where the covariance is definite, else from eigenvectors.
    factor = cholesky(covariance)

    def by_eigenvectors() -> Array:
        values, vectors = eigh(covariance)
        return vectors * jnp.sqrt(jnp.maximum(values, 0))

    return jax.lax.cond(jnp.all(jnp.isfinite(factor)), lambda: factor, by_eigenvectors)
