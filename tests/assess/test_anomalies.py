"""Scores, lines and explanations against formulas, and scikit-learn's curves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef

from ..registry import BY_NAME, CLOSE, FLOAT32, random_params
from .data import FOLDER, needs_data

LOOSE = 1e-3 if FLOAT32 else 1e-6
MEAN = np.array([1.0, -2.0, 0.5])
COV = np.array([[2.0, 0.6, 0.3], [0.6, 1.0, -0.2], [0.3, -0.2, 0.5]])


@pytest.fixture(scope="module")
def normal():
    family = ef.Normal(3)
    return family, family.from_mean_covariance(jnp.asarray(MEAN), jnp.asarray(COV))


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(0).multivariate_normal(MEAN, COV, 40).astype(float)


def test_scores_are_surprise(normal, rows):
    expected = -stats.multivariate_normal(MEAN, COV).logpdf(rows)
    np.testing.assert_allclose(ef.assess.anomaly_scores(*normal, rows), expected, rtol=CLOSE)


def test_scores_of_rows_with_gaps_are_compared_with_draws(normal, rows):
    seen = np.ones(rows.shape, bool)
    seen[::2, 1] = False
    seen[::5, 0] = False
    own = ef.assess.anomaly_scores(
        *normal, ef.incomplete(rows, seen), key=jax.random.key(0), draws=4000
    )
    for row, mask, score in zip(rows, seen, own, strict=True):
        law = stats.multivariate_normal(MEAN[mask], COV[np.ix_(mask, mask)])
        np.testing.assert_allclose(score, -law.logpdf(row[mask]) - law.entropy(), atol=0.1)


def test_explanations_are_conditional_densities(normal, rows):
    seen = np.ones(rows.shape, bool)
    seen[3, 1] = False
    own = ef.assess.explain(*normal, ef.incomplete(rows, seen))
    precision = np.linalg.inv(COV)
    variance = 1 / np.diag(precision)
    center = rows - (rows - MEAN) @ precision * variance
    expected = -stats.norm(center, np.sqrt(variance)).logpdf(rows)
    complete = np.delete(np.arange(len(rows)), 3)
    np.testing.assert_allclose(own[complete], expected[complete], rtol=LOOSE, atol=LOOSE)
    assert own[3, 1] == 0
    slope = COV[0, 2] / COV[2, 2]
    law = stats.norm(
        MEAN[0] + slope * (rows[3, 2] - MEAN[2]), (COV[0, 0] - slope * COV[0, 2]) ** 0.5
    )
    np.testing.assert_allclose(own[3, 0], -law.logpdf(rows[3, 0]), rtol=LOOSE, atol=LOOSE)


def test_explanations_of_a_mixed_mixture():
    # p(x_j | rest) = p(x) / Σ_j p(x), the sum by enumeration of the binary cell
    model = BY_NAME["mixture_product"]
    params = random_params(model, jax.random.key(1))
    vectors = np.random.default_rng(1).normal(size=(6, 2)).astype(float)
    bits = np.array([0, 1, 0, 1, 1, 0])
    own = ef.assess.explain(model, params, (vectors, bits))
    both = [model.log_observable_density(params, (vectors, np.full(6, b))) for b in (0, 1)]
    total = np.logaddexp(*both)
    np.testing.assert_allclose(
        own[1], -(np.where(bits, both[1], both[0]) - total), rtol=LOOSE, atol=LOOSE
    )
    assert own[0].shape == (6, 2)


def test_lines():
    scores = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 0, 1, 1])
    best = ef.assess.threshold(scores, labels)
    assert (best.value, best.precision, best.recall) == (0.6, 0.75, 1.0)
    np.testing.assert_allclose(best.f1, 6 / 7)
    assert ef.assess.threshold(scores, share=0.25).flagged == 0.2
    assert ef.assess.threshold(scores, labels, false_positive_rate=0.0).recall == 2 / 3
    assert ef.assess.threshold(scores, false_positive_rate=0.3).flagged == 0.3
    # an alarm that costs more than a miss
    dear = ef.assess.threshold(scores, labels, cost=(10.0, 1.0))
    assert (dear.precision, dear.recall) == (1.0, 2 / 3)
    cheap = ef.assess.threshold(scores, labels, cost=(1.0, 10.0))
    assert cheap.recall == 1.0
    everything = ef.assess.threshold(scores, share=1.0)
    assert everything.flagged == 1.0


def test_the_best_line_is_the_best_of_all():
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 2, 60)
    labels[:5] = -1
    scores = np.round(rng.normal(size=60) + labels, 1)
    best = ef.assess.threshold(scores, labels)
    for line in np.append(scores, -np.inf):
        above = (scores > line) & (labels >= 0)
        caught = np.sum(above & (labels == 1))
        f1 = 2 * caught / (np.sum(above) + np.sum(labels == 1))
        assert f1 <= best.f1 + 1e-12


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "word"),
    [
        (([1.0, np.nan],), {"share": 0.5}, ValueError, "scores"),
        (([1.0, 2.0],), {}, TypeError, "labels"),
        (([1.0, 2.0],), {"share": 0.5, "false_positive_rate": 0.5}, TypeError, "one of"),
        (([1.0, 2.0],), {"share": 2.0}, ValueError, "share"),
        (([1.0, 2.0],), {"cost": (1.0, 1.0)}, TypeError, "labels"),
        (([1.0, 2.0], [1, 1]), {}, ValueError, "labels"),
        (([1.0, 2.0], [1]), {}, ValueError, "labels"),
    ],
)
def test_bad_arguments_of_lines(arguments, settings, error, word):
    with pytest.raises(error, match=word):
        ef.assess.threshold(*arguments, **settings)


def test_curves():
    rng = np.random.default_rng(5)
    labels = np.repeat([0, 1, -1], [50, 20, 5])
    scores = rng.normal(size=75) + labels
    curves = ef.assess.anomaly_curves(scores, labels)
    odd, sound = scores[labels == 1], scores[labels == 0]
    np.testing.assert_allclose(curves.roc_auc, np.mean(odd[:, None] > sound))
    np.testing.assert_allclose(np.trapezoid(curves.roc[1], curves.roc[0]), curves.roc_auc)
    assert curves.precision_recall[0].max() == 1


@needs_data
@pytest.mark.slow
@pytest.mark.skipif(FLOAT32, reason="the columns of http have standard deviations of 1e-2")
def test_http_connections():
    data = np.load(FOLDER / "ad_http.npz")
    xs, labels = data["X"].astype(float), data["y"].astype(int)
    normal = ef.Normal(3)
    scores = ef.assess.anomaly_scores(normal, normal.maximum_likelihood(xs), xs)
    np.testing.assert_allclose(ef.assess.anomaly_curves(scores, labels).roc_auc, 0.9960, atol=1e-4)
