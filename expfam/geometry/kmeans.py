"""k-means++ seeding and a few Lloyd iterations, compiled and batchable."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from .shards import draw_row


def kmeans(
    key: Key[Array, ""],
    points: Float[Array, "n d"],
    weights: Float[Array, " n"],
    n_clusters: int,
    n_iterations: int = 10,
) -> Int[Array, " n"]:
    """Cluster points by k-means.

    Seeds are drawn with probability proportional to the squared distance to the nearest seed so
    far (Arthur & Vassilvitskii 2007); then Lloyd's iterations. A cluster that loses all its points
    keeps its center.

    Args:
        key: JAX random key.
        points: rows.
        weights: of the rows, not negative.
        n_clusters: number of clusters.
        n_iterations: number of Lloyd iterations.

    Returns:
        The cluster number of every row.
    """
    n = points.shape[0]
    # Columns of different units count alike.
    total = jnp.sum(weights)
    center = weights @ points / total
    spread = jnp.sqrt(weights @ (points - center) ** 2 / total)
    points = (points - center) / jnp.where(spread > 0, spread, 1)
    squares = jnp.sum(points**2, axis=1)

    def distances(centers: Float[Array, "k d"]) -> Float[Array, "n k"]:
        cross = points @ centers.T
        return jnp.maximum(squares[:, None] - 2 * cross + jnp.sum(centers**2, axis=1), 0)

    def seed(nearest: Array, draw: Array) -> tuple[Array, Array]:
        # Where all rows coincide with a seed, any row will do.
        mass = jnp.where(jnp.sum(nearest * weights) > 0, nearest * weights, weights)
        chosen = draw_row(draw, points, mass)
        return jnp.minimum(nearest, distances(chosen[None])[:, 0]), chosen

    draws = jax.random.split(key, n_clusters)
    _, centers = jax.lax.scan(seed, jnp.ones(n, points.dtype), draws)

    def assign(centers: Array) -> Array:
        return jnp.argmin(distances(centers), axis=1)

    def lloyd(_: Any, centers: Array) -> Array:
        members = jax.nn.one_hot(assign(centers), n_clusters, dtype=points.dtype)
        mass = (members * weights[:, None]).T
        count = jnp.sum(mass, axis=1, keepdims=True)
        return jnp.where(count > 0, mass @ points / jnp.where(count > 0, count, 1), centers)

    return assign(jax.lax.fori_loop(0, n_iterations, lloyd, centers))
