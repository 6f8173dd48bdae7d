"""Clusters of a table, by k-means and otherwise."""

import numpy as np
import pytest

from expfam.geometry.table import Kind, Seeds, Table

RNG = np.random.default_rng(0)
CENTERS = np.array([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
TRUTH = np.repeat(np.arange(4), 10)
POINTS = CENTERS[TRUTH] + RNG.normal(size=(40, 2))
ONES = np.ones(40)
SCALED = Kind(scaled=True, white=False, seeds=Seeds.CENTERS)


def run(seed, points, weights, count, kind=SCALED):
    table = Table(np.asarray(points), np.asarray(weights), 2.0**-52)
    clusters = table.clusters(np.random.default_rng(seed), kind, count)
    members = table.members(clusters)
    assert np.all(members.sum(axis=0) == 1)
    return members.argmax(axis=0)


def same_partition(labels, truth):
    pairs = set(zip(np.asarray(labels).tolist(), truth.tolist(), strict=True))
    return len(pairs) == len(set(truth.tolist())) == len({label for label, _ in pairs})


@pytest.mark.parametrize("seed", range(10))
def test_separated_clusters_are_found(seed):
    labels = run(seed, POINTS, ONES, 4)
    assert labels.shape == (40,)
    assert same_partition(labels, TRUTH)


def test_units_of_columns_do_not_matter():
    scaled = POINTS * np.array([1e-4, 1e4]) + np.array([5.0, -3e4])
    for white in (False, True):
        for seeds in Seeds:
            kind = Kind(True, white, seeds)
            np.testing.assert_array_equal(
                run(0, scaled, ONES, 4, kind), run(0, POINTS, ONES, 4, kind)
            )


def test_raw_columns_count_by_their_units():
    # The second column alone decides.
    points = POINTS * np.array([1e-3, 1.0])
    labels = run(0, points, ONES, 2, Kind(False, False, Seeds.CENTERS))
    assert same_partition(labels, (TRUTH >= 2).astype(int))


@pytest.mark.parametrize("exact", [True, False])
def test_principal_components(exact, monkeypatch):
    monkeypatch.setattr("expfam.geometry.table._EXACT", 300 if exact else 0)
    rows = RNG.normal(size=(200, 3)) * np.array([5.0, 3.0, 2.0]) @ RNG.normal(size=(3, 30))
    rows = rows + 0.1 * RNG.normal(size=rows.shape)
    for count in (200, 20):
        table = Table(rows[:count], np.ones(count), 1e-16)
        found = table.components(False, 3)
        covariance = np.cov(table.rows.T, ddof=0)
        values, vectors = np.linalg.eigh(covariance)
        values, vectors = values[::-1], vectors[:, ::-1]
        noise = values[3:].mean()
        outer = (vectors[:, :3] * (values[:3] - noise)) @ vectors[:, :3].T
        np.testing.assert_allclose(found.loadings @ found.loadings.T, outer, atol=1e-6)
        np.testing.assert_allclose(found.noise, noise, rtol=1e-8)
        scores = table.scores(found).rows
        np.testing.assert_allclose(np.cov(scores.T, ddof=0), np.eye(3), atol=1e-6)


def test_flat_clusters_are_found():
    rows = RNG.normal(size=(60, 3))
    rows[20:40, 1] = 0.3
    rows[40:, 2] = rows[40:, 0] - rows[40:, 1]
    members = np.arange(3)[:, None] == np.repeat([0, 1, 2], 20)
    table = Table(rows, np.ones(60), 2.0**-52)
    assert table.flat(members, full=False).tolist() == [False, True, False]
    assert table.flat(members, full=True).tolist() == [False, True, True]


def test_rows_of_weight_zero_are_ignored():
    # Outliers of weight zero would otherwise be seeds of their own.
    points = np.concatenate([POINTS, 1e4 * RNG.normal(size=(5, 2))])
    weights = np.concatenate([ONES, np.zeros(5)])
    for seed in range(3):
        labels = run(seed, points, weights, 4)
        assert same_partition(labels[:40], TRUTH)


def test_weights_count_as_repeated_rows():
    points = np.array([[0.0], [1.0], [10.0]])
    weights = np.array([100.0, 1.0, 1.0])
    labels = run(0, points, weights, 2)
    assert labels[0] == labels[1] != labels[2]


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_rows_are_one_cluster(value):
    labels = run(0, np.full((8, 2), value), np.ones(8), 3)
    assert len(set(np.asarray(labels).tolist())) == 1
    assert np.all((labels >= 0) & (labels < 3))


def test_more_clusters_than_distinct_rows():
    points = np.array([[0.0], [0.0], [5.0], [5.0]])
    labels = np.asarray(run(1, points, np.ones(4), 3))
    assert labels[0] == labels[1] != labels[2] == labels[3]


def test_a_constant_column_does_not_matter():
    points = np.column_stack([POINTS, np.full(40, 7.0)])
    assert same_partition(run(0, points, ONES, 4), TRUTH)
