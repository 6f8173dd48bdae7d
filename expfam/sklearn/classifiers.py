"""Classifiers that know the density of each class, or of all rows."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..families.observations import labeled
from ..families.real.normal import Normal
from ..harmonium.mixture import Mixture
from .density import AbstractDensity, posterior
from .mixtures import MixtureModel
from .rows import FLOATS, as_weights, line_of, model_of


@final
@dataclass(eq=False, repr=False)
class BayesClassifier(ClassifierMixin, AbstractDensity):  # pyright: ignore[reportIncompatibleMethodOverride] scores are those of classifiers
    """Classes by Bayes' rule, from a density of each class; labels may be unknown for some rows.

    Rows without a label count for all classes, by their probabilities. Cells may be missing (NaN).

    Attributes:
        component: the density of a class: a family, or a function from the number of columns to
            one, e.g. `lambda d: ef.Mixture(ef.Normal(d), 3)`. By default a normal with full
            covariance.
        unlabeled: the label of rows of which the class is not known; `None`: all are. Where there
            are two labels only, such as −1 and 1, both are classes.
        regularization: number of rows that the weak prior is worth; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.
    """

    component: Any = None
    unlabeled: Any = -1
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        return Mixture(model_of(self.component, Normal, n_features), len(self.classes_))

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "BayesClassifier":
        """Fit to rows and their classes.

        Args:
            X: rows, shape `(n, d)`.
            y: n classes, numbers or strings; `unlabeled` where not known.
            sample_weight: n numbers, not negative; equal where not given.
        """
        X, y = validate_data(self, X, y, dtype=FLOATS, ensure_all_finite="allow-nan")
        check_classification_targets(y)
        known = np.ones(len(y), bool)
        if self.unlabeled is not None and len(np.unique(y)) > 2:
            known = y != self.unlabeled
        self.classes_, numbers = np.unique(y[known], return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                "BayesClassifier needs rows of at least two classes, but the data contains one "
                f"class: {self.classes_.tolist()}."
            )
        labels = np.full(len(y), -1)
        labels[known] = numbers
        self._learn(X, sample_weight, lambda data: labeled(data, labels))
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each row."""
        numbers = np.argmax(posterior(self, X), axis=1)
        return self.classes_[numbers]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes given each row, in the order of `classes_`."""
        return posterior(self, X)


@final
@dataclass(eq=False, repr=False)
class AbstainingClassifier(ClassifierMixin, BaseEstimator):
    """Any classifier p(y | x) beside a density p(x): it abstains where rows are unlike those known.

    A classifier is sure of itself far from all data, where it has learned nothing. Where log p(x)
    is below the line, `predict` gives `abstain` instead.

    Attributes:
        classifier: classifier of scikit-learn; logistic regression by default.
        density: estimator of a density with `score_samples`; a `MixtureModel` by default.
        share: share of the rows of the fit that lie below the line; 0: the least likely of them is
            the line.
        abstain: what is given in place of a class; of the type of the classes. `None`: the class
            all the same, so that `abstains` alone tells.
    """

    classifier: Any = None
    density: Any = None
    share: Any = 0.0
    abstain: Any = None

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "AbstainingClassifier":
        """Fit the classifier and the density.

        Args:
            X: rows, shape `(n, d)`.
            y: n classes.
            sample_weight: n numbers, not negative; equal where not given.
        """
        if not 0 <= self.share < 1:
            raise ValueError(
                "AbstainingClassifier: `share` must be at least 0 and less than 1, but is "
                f"{self.share}."
            )
        X, y = validate_data(self, X, y, dtype=FLOATS)
        check_classification_targets(y)
        weights = as_weights(sample_weight, X)
        own: Any = LogisticRegression() if self.classifier is None else clone(self.classifier)
        density: Any = MixtureModel(random_state=0) if self.density is None else clone(self.density)
        given = {} if weights is None else {"sample_weight": weights}
        self.classifier_, self.density_ = own.fit(X, y, **given), density.fit(X, **given)
        self.classes_ = self.classifier_.classes_
        scores = self.density_.score_samples(X)
        self.threshold_ = line_of(scores, weights, self.share)
        return self

    def abstains(self, X: Any) -> np.ndarray:
        """Whether a row is unlike those of the fit."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        # The rows of the fit themselves, whatever is rounded.
        slack = 1e-6 * (1 + abs(self.threshold_))
        return self.density_.score_samples(X) < self.threshold_ - slack

    def predict(self, X: Any) -> np.ndarray:
        """The class of each row, or `abstain`."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=FLOATS)
        classes = self.classifier_.predict(X)
        if self.abstain is None:
            return classes
        return np.where(self.abstains(X), self.abstain, classes)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the classes, as the classifier gives them."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(validate_data(self, X, reset=False, dtype=FLOATS))
