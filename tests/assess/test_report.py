"""Reports say what is so; groupings are compared as scikit-learn does; overlap is merged."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef

from ..registry import FLOAT32

LOOSE = 1e-3 if FLOAT32 else 1e-6


@pytest.fixture(scope="module")
def poisson():
    """A mixture of Poisson laws, and rows of it with one that is far out."""
    mixture = ef.Mixture(ef.Poisson(), 3)
    rates = jax.vmap(ef.Poisson().from_rate)(jnp.array([2.0, 3.0, 40.0]))
    params = mixture.from_components(jnp.array([0.3, 0.3, 0.4]), rates)
    rows = np.asarray(mixture.observable_sample(jax.random.key(0), params, 80))
    return mixture, params, np.append(rows, 200)


def shares(rows):
    logs = np.log([0.3, 0.3, 0.4]) + stats.poisson([2.0, 3.0, 40.0]).logpmf(rows[:, None])
    return np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])


def test_report(poisson):
    _, _, rows = poisson
    found = ef.assess.report(*poisson)
    own = shares(rows)
    hard = own.argmax(axis=1)
    np.testing.assert_allclose(found.sizes, own.sum(axis=0), rtol=LOOSE)
    np.testing.assert_array_equal(found.assigned, np.bincount(hard, minlength=3))
    expected = [own[hard == k, k].mean() for k in range(3)]
    np.testing.assert_allclose(found.certainty, expected, rtol=LOOSE)
    np.testing.assert_allclose(found.overlap[0, 1], own[hard == 0, 1].mean(), rtol=LOOSE)
    assert found.odd_rows.tolist() == [80]
    assert found.unidentified == 0
    text = repr(found)
    assert "components 0 and 1 overlap" in text
    assert "80" in text.splitlines()[-1]


@pytest.mark.slow
def test_report_names_components_that_hold_nothing():
    mixture = ef.Mixture(ef.Normal(2), 3)
    rows = np.random.default_rng(0).normal(size=(40, 2))
    rows[:2] = [30.0, 30.0], [31.0, 30.0]
    covariances = jnp.stack([jnp.eye(2), 1e-2 * jnp.eye(2), jnp.eye(2)])
    means = jnp.array([[0.0, 0.0], [30.5, 30.0], [-90.0, 0.0]])
    parts = jax.vmap(mixture.component.from_mean_covariance)(means, covariances)
    params = mixture.from_components(jnp.array([0.9, 0.05, 0.05]), parts)
    findings = "\n".join(ef.assess.report(mixture, params, rows).findings)
    assert "component 1 has collapsed onto 2 distinct" in findings
    assert "component 2 is empty" in findings
    assert "the rows say nothing" in findings


def test_report_without_components():
    rows = np.random.default_rng(1).normal(size=(30, 2))
    normal = ef.Normal(2)
    found = ef.assess.report(normal, normal.maximum_likelihood(rows), rows)
    assert found.sizes.size == 0
    assert found.unidentified == 0
    assert "no findings" in repr(found)


def test_groupings():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, 3, 50), rng.integers(0, 4, 50)
    second[:25] = first[:25]
    for own, other in (
        (ef.assess.adjusted_rand_index, metrics.adjusted_rand_score),
        (ef.assess.normalized_mutual_information, metrics.normalized_mutual_info_score),
    ):
        np.testing.assert_allclose(own(first, second), other(first, second))
        assert own(first, first) == pytest.approx(1)
        assert own([0, 0], [1, 1]) == 1
    table = ef.assess.contingency(["a", "b", "a"], [1, 1, 2])
    assert table.tolist() == [[1, 1], [1, 0]]
    with pytest.raises(ValueError, match="one label"):
        ef.assess.contingency([1], [1, 2])


def test_merging(poisson):
    _, _, rows = poisson
    found = ef.assess.merge_components(*poisson)
    own = shares(rows)
    assert found.groups(2).tolist() == [0, 0, 1]
    assert found.groups(1).tolist() == [0, 0, 0]
    assert found.groups(3).tolist() == [0, 1, 2]
    merged = np.stack([own[:, 0] + own[:, 1], own[:, 2]], axis=1)
    expected = [0.0, stats.entropy(merged, axis=1).sum(), stats.entropy(own, axis=1).sum()]
    np.testing.assert_allclose(found.entropies, expected, rtol=LOOSE, atol=LOOSE)
    assert found.suggested == 2
    with pytest.raises(ValueError, match="n_clusters"):
        found.groups(4)
    with pytest.raises(TypeError, match="components"):
        ef.assess.merge_components(ef.Poisson(), ef.Poisson().from_rate(jnp.array(2.0)), rows)
