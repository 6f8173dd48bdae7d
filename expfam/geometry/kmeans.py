"""k-means++ seeds and Lloyd's iterations, on the host."""

import numpy as np

Matrix = np.ndarray


def kmeans(
    rng: np.random.Generator,
    points: Matrix,
    weights: np.ndarray,
    n_clusters: int,
    n_iterations: int = 20,
) -> Matrix:
    """Cluster points by k-means.

    A seed is the best of a few drawn with probability proportional to the squared distance to the
    nearest seed so far (Arthur & Vassilvitskii 2007); then Lloyd's iterations. A cluster that loses
    all its points keeps its center.

    Args:
        rng: random numbers.
        points: rows, shape `(n, d)`.
        weights: of the rows, shape `(n,)`, not negative.
        n_clusters: number of clusters K.
        n_iterations: number of Lloyd iterations at most.

    Returns:
        The centers, shape `(K, d)`.
    """
    centers = _seeds(rng, points, weights, n_clusters)
    before = None
    for _ in range(n_iterations):
        labels = nearest(points, centers)
        if before is not None and np.array_equal(labels, before):
            break
        members = (labels == np.arange(n_clusters)[:, None]) * weights
        mass = members.sum(axis=1, keepdims=True)
        moved = members @ points / np.where(mass > 0, mass, 1)
        centers, before = np.where(mass > 0, moved, centers), labels
    return centers


def draw_rows(rng: np.random.Generator, mass: np.ndarray, count: int) -> np.ndarray:
    """Row numbers drawn with probability proportional to their mass."""
    cumulative = np.cumsum(mass)
    found = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count), side="right")
    return np.minimum(found, np.flatnonzero(mass)[-1])


def nearest(points: Matrix, centers: Matrix) -> np.ndarray:
    """The number of the nearest center of every point."""
    return np.argmax(points @ centers.T - np.sum(centers**2, axis=1) / 2, axis=1)


def _seeds(
    rng: np.random.Generator, points: Matrix, weights: np.ndarray, n_clusters: int
) -> Matrix:
    squares = np.sum(points**2, axis=1)
    trials = 2 + int(np.log(n_clusters))
    centers = points[draw_rows(rng, weights, 1)]
    gaps = np.full(len(points), np.inf)
    for _ in range(1, n_clusters):
        gaps = np.minimum(gaps, _distances(points, squares, centers[-1:])[0])
        mass = gaps * weights
        # Where all rows coincide with a seed, any row will do.
        chosen = draw_rows(rng, mass if mass.sum() > 0 else weights, trials)
        left = np.minimum(gaps, _distances(points, squares, points[chosen])) @ weights
        centers = np.concatenate([centers, points[chosen[[np.argmin(left)]]]])
    return centers


def _distances(points: Matrix, squares: np.ndarray, centers: Matrix) -> Matrix:
    cross = centers @ points.T
    distances = squares - 2 * cross + np.sum(centers**2, axis=1)[:, None]
    # What is no more than rounding is no distance.
    return np.where(distances > 1e-14 * squares, distances, 0)
