"""What is unlikely, and what is missing: anomalies and imputation."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import OneToOneFeatureMixin, OutlierMixin, TransformerMixin

from ..families.observations import has_gaps
from ..families.real.normal import Normal
from .density import AbstractDensity, fitted
from .rows import as_columns, as_data, as_weights, in_precision_of, line_of, model_of


@final
@dataclass(eq=False, repr=False)
class AnomalyDetector(OutlierMixin, AbstractDensity):
    """Rows are anomalies where the density of a model is low.

    Attributes:
        model: any model, or a function from the number of columns to one. By default one normal
            with full covariance.
        contamination: share of the rows of the fit that lie below the line.
        regularization: number of rows that the weak prior is worth; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.
    """

    model: Any = None
    contamination: Any = 0.1
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        return model_of(self.model, Normal, n_features)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "AnomalyDetector":
        """Fit the density, and find the line.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        if not 0 < self.contamination <= 0.5:
            raise ValueError(
                "AnomalyDetector: `contamination` must be greater than 0 and at most 0.5, but is "
                f"{self.contamination}."
            )
        rows = fitted(self, X, sample_weight)
        weights = as_weights(sample_weight, rows)
        self.offset_ = line_of(self.score_samples(rows), weights, self.contamination)
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Log-densities above the line; negative for anomalies."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """−1 for anomalies, 1 for the others."""
        return np.where(self.decision_function(X) < 0, -1, 1)


@final
@dataclass(eq=False, repr=False)
class Imputer(OneToOneFeatureMixin, TransformerMixin, AbstractDensity):
    """Fills cells that are NaN with their expectations given those that are seen.

    Attributes:
        model: any model, or a function from the number of columns to one. By default one normal
            with full covariance.
        regularization: number of rows that the weak prior is worth; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.
    """

    model: Any = None
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        return model_of(self.model, Normal, n_features)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "Imputer":
        """Fit to rows with gaps.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        fitted(self, X, sample_weight)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The rows, with expectations where cells are NaN."""
        X = self._rows(X)
        with in_precision_of(X):
            data = as_data(self.model_, X)
            if not has_gaps(data):
                return X.copy()
            filled = as_columns(self.model_, self.model_.impute(self.params_, data))
        return np.where(np.isnan(X), filled, X)
