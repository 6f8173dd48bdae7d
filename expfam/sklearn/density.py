"""What all estimators that hold a density p(x) have in common."""

import warnings
from abc import ABCMeta, abstractmethod
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from ..assess.rows import log_densities
from ..fitting import result
from ..fitting.fit import fit
from ..fitting.methods import EM
from ..fitting.standardize import standardize
from ..fitting.weak_prior import weak_prior
from .rows import as_columns, as_data, as_key, as_rows, as_weights, in_precision_of, spread_out


class AbstractDensity(BaseEstimator, metaclass=ABCMeta):
    """An estimator that fits a model to rows by EM, and keeps it.

    Final classes have the fields `regularization`, `max_iter`, `tol`, `n_init` and `random_state`.
    """

    @abstractmethod
    def _model(self, n_features: int) -> Any:
        """The model of rows with so many columns."""

    def __sklearn_tags__(self) -> Tags:
        """Cells may be missing."""
        tags = BaseEstimator.__sklearn_tags__(self)
        tags.input_tags.allow_nan = True
        return tags

    def score_samples(self: Any, X: Any) -> np.ndarray:
        """The log-density of each row, of the cells that are not NaN."""
        X = self._rows(X)
        with in_precision_of(X):
            data = as_data(self.model_, X)
            return np.asarray(log_densities(self.model_, self.params_.coords, data))

    def score(self, X: Any, y: Any = None) -> float:
        """The mean log-density of rows."""
        return float(np.mean(self.score_samples(X)))

    def sample(self: Any, n_samples: int = 1) -> np.ndarray:
        """Draw rows of the fitted density, shape `(n_samples, d)`."""
        check_is_fitted(self)
        with in_precision_of(np.zeros(0, self._dtype)):
            key = as_key(self.random_state)
            if self.model_.observed_support is self.model_.support:
                drawn = self.model_.sample(key, self.params_, (n_samples,))
            else:
                drawn = self.model_.observable_sample(key, self.params_, n_samples)
            return as_columns(self.model_, drawn)

    def bic(self: Any, X: Any) -> float:
        """The Bayesian information criterion of rows; the lower the better."""
        scores = self.score_samples(X)
        return float(-2 * scores.sum() + self.model_.n_parameters * np.log(len(scores)))

    def aic(self: Any, X: Any) -> float:
        """Akaike's information criterion of rows; the lower the better."""
        scores = self.score_samples(X)
        return float(-2 * scores.sum() + 2 * self.model_.n_parameters)

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return as_rows(self, X, reset=False, gaps=True)

    def _learn(self: Any, X: np.ndarray, sample_weight: Any, wrap: Any = None) -> None:
        # Fit the model; `wrap` says more of the rows, e.g. their labels.
        weights = as_weights(sample_weight, X)
        self._dtype = X.dtype
        with in_precision_of(X), warnings.catch_warnings():
            warnings.simplefilter("ignore", result.ConvergenceWarning)
            given = self._model(X.shape[1])
            data = as_data(given, X)
            model = standardize(given, data, weights)
            prior = None
            if self.regularization is not None:
                rows = as_data(given, spread_out(X, weights))
                prior = weak_prior(model, rows, self.regularization)
            found = fit(
                model,
                data if wrap is None else wrap(data),
                key=as_key(self.random_state),
                method=EM(max_steps=self.max_iter, tolerance=self.tol),
                weights=None if weights is None else jnp.asarray(weights),
                prior=prior,
                restarts=self.n_init,
            )
        self.model_, self.params_, self.fit_ = model, found.params, found
        self.n_iter_, self.converged_ = max(1, found.steps), found.converged
        if not found.converged and self.max_iter > 0:
            warnings.warn(
                f"{type(self).__name__} took all {found.steps} steps without converging: increase "
                "max_iter or tol.",
                ConvergenceWarning,
                stacklevel=3,
            )


def posterior(estimator: Any, X: Any) -> np.ndarray:
    """p(z | x) of the components of the model of an estimator, shape `(n, K)`."""
    X = estimator._rows(X)
    with in_precision_of(X):
        data = as_data(estimator.model_, X)
        return np.asarray(estimator.model_.posterior_soft_assignments(estimator.params_, data))


def fitted(estimator: AbstractDensity, X: Any, sample_weight: Any) -> np.ndarray:
    """Fit an estimator to rows, and give them back as they were checked."""
    rows = as_rows(estimator, X, reset=True, gaps=True, least=2)
    estimator._learn(rows, sample_weight)
    return rows
