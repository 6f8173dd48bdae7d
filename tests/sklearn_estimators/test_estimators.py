"""Estimators of scikit-learn that fit models of this library."""

import pickle

import numpy as np
import pytest
import sklearn.mixture
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import expfam as ef
from expfam import sklearn as es
from expfam.sklearn.rows import line_of, spread_out
from expfam.sklearn.units import units_of

RNG = np.random.default_rng(0)
LABELS = np.repeat([0, 1], 40)
XS = RNG.normal(size=(80, 2)) + 6 * LABELS[:, None]


def test_the_drop_in_has_the_parameters_of_the_class():
    own, other = es.GaussianMixture(), sklearn.mixture.GaussianMixture()
    assert own.get_params() == other.get_params()
    assert isinstance(own, sklearn.mixture.GaussianMixture)


def test_the_drop_in_finds_what_the_class_finds():
    settings = {"n_components": 2, "tol": 1e-8, "max_iter": 300, "random_state": 0}
    own = es.GaussianMixture(**settings).fit(1e5 + XS)
    other = sklearn.mixture.GaussianMixture(**settings).fit(1e5 + XS)
    np.testing.assert_allclose(own.weights_, other.weights_, rtol=1e-4)
    np.testing.assert_allclose(own.means_, other.means_, rtol=1e-8)
    np.testing.assert_allclose(own.covariances_, other.covariances_, rtol=1e-3, atol=1e-4)
    assert own.lower_bound_ >= other.lower_bound_ - 1e-6
    assert own.lower_bounds_[-1] == own.lower_bound_
    assert np.all(np.diff(own.lower_bounds_) >= -1e-9)


def test_weights_of_rows_are_repetitions():
    weights = RNG.integers(0, 3, len(XS))
    settings = {"n_components": 2, "means_init": [[0, 0], [6, 6]], "random_state": 0, "tol": 1e-9}
    one = es.GaussianMixture(**settings, max_iter=500).fit(XS, sample_weight=weights)
    two = es.GaussianMixture(**settings, max_iter=500).fit(np.repeat(XS, weights, axis=0))
    np.testing.assert_allclose(one.means_, two.means_, atol=1e-4)
    np.testing.assert_allclose(one.covariances_, two.covariances_, atol=1e-4)


def test_mixtures_of_counts_and_numbers_are_clustered_with_gaps():
    counts = RNG.poisson(np.where(LABELS, 20.0, 2.0))[:, None]
    table = np.hstack([XS, counts])
    table[3, 0] = np.nan
    model = ef.Mixture(ef.Product((ef.Normal(2), ef.Replicated(ef.Poisson(), 1))), 2)
    own = es.MixtureModel(model, random_state=0)
    labels = own.fit_predict(table)
    assert adjusted_rand_score(LABELS, labels) > 0.95
    assert own.score_samples(table).shape == (80,)
    assert own.sample(5).shape == (5, 3)
    with pytest.raises(ValueError, match="2 features, but the model"):
        clone(own).fit(XS)


def test_bayes_classifier_learns_from_rows_without_labels():
    names = np.array(["low", "high", "none"])
    known = np.where(np.arange(80) % 10 == 0, LABELS, 2)
    own = es.BayesClassifier(unlabeled="none").fit(XS, names[known])
    assert own.classes_.tolist() == ["high", "low"]
    assert own.score(XS, names[LABELS]) > 0.95
    again = pickle.loads(pickle.dumps(own))
    np.testing.assert_array_equal(again.predict_proba(XS), own.predict_proba(XS))


def test_anomalies_and_gaps():
    strange = np.array([[3.0, -3.0]])
    pipeline = make_pipeline(StandardScaler(), es.AnomalyDetector(contamination=0.05))
    pipeline.fit(XS)
    assert pipeline.predict(XS).tolist().count(-1) == 4
    holes = XS.copy()
    holes[0, 1] = np.nan
    imputer = es.Imputer().set_output(transform="pandas").fit(holes)
    filled = imputer.transform(holes)
    mean, cov = imputer.model_.mean_covariance(imputer.params_)
    expected = mean[1] + cov[1, 0] / cov[0, 0] * (holes[0, 0] - mean[0])
    np.testing.assert_allclose(filled.iloc[0, 1], expected, rtol=1e-4)
    own = es.AbstainingClassifier(density=es.AnomalyDetector(), abstain=-1).fit(XS, LABELS)
    assert own.predict(np.vstack([strange, XS[:1]])).tolist() == [-1, 0]


def test_factor_analysis_returns_named_scores():
    xs = RNG.normal(size=(100, 1)) * [1.0, 2.0, -1.0] + 0.3 * RNG.normal(size=(100, 3)) + 5
    own = es.FactorAnalysis(regularization=None).fit(xs)
    np.testing.assert_allclose(own.mean_, xs.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(own.get_covariance(), np.cov(xs.T, bias=True), rtol=1e-2)
    assert own.get_feature_names_out().tolist() == ["factoranalysis0"]
    assert own.transform(xs).shape == (100, 1)


def test_float32_arrays_stay_float32():
    own = es.GaussianMixture(2, random_state=0).fit(XS.astype("float32"))
    assert own.means_.dtype == np.float32


def test_units_lines_and_weights():
    units = units_of(np.array([[1e9, 1], [1e9 + 2, 1], [np.nan, 1]]))
    np.testing.assert_allclose(units.shift, [1e9 + 1, 1])
    np.testing.assert_allclose(units.scale, [1, 1])
    scores, weights = np.arange(10.0), np.ones(10)
    assert line_of(scores, None, 0.2) == line_of(scores, weights, 0.2) == 2
    assert line_of(scores, None, 0.0) == 0
    rows = np.arange(3.0)[:, None]
    assert spread_out(rows, np.array([2, 0, 1])).ravel().tolist() == [0, 0, 2]
    assert spread_out(rows, np.array([0.5, 0, 0.5])).mean() == 1
