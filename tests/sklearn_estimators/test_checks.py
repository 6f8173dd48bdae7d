"""scikit-learn's checks of estimators."""

import pytest
from sklearn.utils.estimator_checks import check_estimator

from expfam import sklearn as es

ESTIMATORS = {
    "gaussian_mixture": es.GaussianMixture(),
    "mixture_model": es.MixtureModel(),
    "factor_analysis": es.FactorAnalysis(),
    "hierarchical_mixture": es.HierarchicalMixture(),
    "bayes_classifier": es.BayesClassifier(),
    "abstaining_classifier": es.AbstainingClassifier(),
    "anomaly_detector": es.AnomalyDetector(),
    "imputer": es.Imputer(),
}

# As scikit-learn says of its own k-means.
REASON = "random starts are not those of repeated rows; other optima are found"
RANDOM = {f"check_sample_weight_equivalence_on_{kind}_data": REASON for kind in ("dense", "sparse")}
EXPECTED = {"mixture_model": RANDOM, "hierarchical_mixture": RANDOM}


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_check_estimator(name):
    expected = EXPECTED.get(name, {})
    results = check_estimator(
        ESTIMATORS[name], on_fail=None, on_skip=None, expected_failed_checks=expected
    )
    failed = {
        r["check_name"]: repr(r["exception"])[:1500] for r in results if r["status"] == "failed"
    }
    assert not failed, "\n".join(f"{key}: {value}" for key, value in failed.items())
