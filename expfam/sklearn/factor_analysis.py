"""Factor analysis, as a transformer."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from ..models.factor_analysis import factor_analysis
from .density import AbstractDensity, fitted
from .rows import as_data, in_precision_of


@final
@dataclass(eq=False, repr=False)
class FactorAnalysis(ClassNamePrefixFeaturesOutMixin, TransformerMixin, AbstractDensity):
    """Factor analysis x = W y + b + noise, where every column has its own noise variance.

    Cells may be missing (NaN).

    Attributes:
        n_components: number of factors, less than the number of columns.
        regularization: number of rows that the weak prior is worth, which keeps noise variances off
            zero; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.
    """

    n_components: Any = 1
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        if self.n_components >= n_features:
            raise ValueError(
                f"FactorAnalysis: n_components={self.n_components} must be less than the number of "
                f"columns, but n_features={n_features}."
            )
        return factor_analysis(n_features, self.n_components)

    @property
    def _n_features_out(self) -> int:
        return self.n_components

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "FactorAnalysis":
        """Fit to rows.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        rows = fitted(self, X, sample_weight)
        with in_precision_of(rows):
            own = self.model_.parameters(self.params_)
            mean, _ = self.model_.observable_distribution(self.params_)
        factor = np.linalg.cholesky(np.asarray(own.latent_covariance))
        self.components_ = (np.asarray(own.loadings) @ factor).T
        self.mean_, self.noise_variance_ = np.asarray(mean), np.diag(np.asarray(own.noise))
        return self

    def get_covariance(self) -> np.ndarray:
        """The covariance of rows, WWᵀ + Ψ."""
        return self.components_.T @ self.components_ + np.diag(self.noise_variance_)

    def transform(self, X: Any) -> np.ndarray:
        """Factor scores, the posterior means of the factors, shape `(n, n_components)`."""
        X = self._rows(X)
        with in_precision_of(X):
            return np.asarray(self.model_.latent_mean(self.params_, as_data(self.model_, X)))
