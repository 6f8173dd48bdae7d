"""k-means seeding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expfam.geometry.kmeans import kmeans

RNG = np.random.default_rng(0)
CENTERS = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
TRUTH = np.repeat(np.arange(4), 10)
POINTS = jnp.asarray(CENTERS[TRUTH] + RNG.normal(size=(40, 2)))
ONES = jnp.ones(40)

run = jax.jit(kmeans, static_argnums=(3, 4))


def same_partition(labels, truth):
    pairs = set(zip(np.asarray(labels).tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(truth.tolist())) == len({label for label, _ in pairs})


@pytest.mark.parametrize("seed", range(10))
def test_separated_clusters_are_found(seed):
    labels = run(jax.random.key(seed), POINTS, ONES, 4)
    assert labels.shape == (40,)
    assert same_partition(labels, TRUTH)


def test_units_of_columns_do_not_matter():
    scaled = (POINTS * jnp.array([1e-4, 1e4]) + jnp.array([5.0, -3e4])).astype(POINTS.dtype)
    np.testing.assert_array_equal(
        run(jax.random.key(0), scaled, ONES, 4), run(jax.random.key(0), POINTS, ONES, 4)
    )


def test_rows_of_weight_zero_are_ignored():
    # Outliers of weight zero would otherwise be seeds of their own.
    outliers = jnp.asarray(1e4 * RNG.normal(size=(5, 2)))
    points = jnp.concatenate([POINTS, outliers])
    weights = jnp.concatenate([ONES, jnp.zeros(5)])
    for seed in range(3):
        labels = run(jax.random.key(seed), points, weights, 4)
        assert same_partition(labels[:40], TRUTH)


def test_weights_count_as_repeated_rows():
    points = jnp.array([[0.0], [1.0], [10.0]])
    weights = jnp.array([100.0, 1.0, 1.0])
    labels = run(jax.random.key(0), points, weights, 2)
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_rows_are_one_cluster(value):
    labels = run(jax.random.key(0), jnp.full((8, 2), value), jnp.ones(8), 3)
    assert len(set(np.asarray(labels).tolist())) == 1
    assert np.all((labels >= 0) & (labels < 3))


def test_more_clusters_than_distinct_rows():
    points = jnp.array([[0.0], [0.0], [5.0], [5.0]])
    labels = np.asarray(run(jax.random.key(1), points, jnp.ones(4), 3))
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_a_constant_column_does_not_matter():
    points = jnp.column_stack([POINTS, jnp.full(40, 7.0)])
    assert same_partition(run(jax.random.key(0), points, ONES, 4), TRUTH)
