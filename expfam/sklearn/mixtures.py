"""Clustering by mixtures, plain and hierarchical, as estimators."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import (
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)

from ..families.real.normal import Normal
from ..geometry.structures import Diagonal
from ..harmonium.mixture import Mixture
from ..models.hmog.analytic import analytic_hmog
from .density import AbstractDensity, fitted, posterior
from .rows import as_data, in_precision_of, model_of


@final
@dataclass(eq=False, repr=False)
class MixtureModel(AbstractDensity):
    """Clusters and density of any mixture of this library.

    Cells may be missing (NaN), where the families of the model allow it.

    Attributes:
        model: a model with components, of rows of which the columns are split over its factors from
            left to right; or a function from the number of columns to a model. By default two
            normals with full covariances.
        regularization: number of rows that the weak prior is worth, which takes its scale from the
            data; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.

    Examples:
        >>> import numpy as np, expfam as ef
        >>> from expfam.sklearn import MixtureModel
        >>> xs = np.random.default_rng(0).poisson([[2.0], [20.0]] * 30)
        >>> counts = MixtureModel(ef.Mixture(ef.Replicated(ef.Poisson(), 1), 2), random_state=0)
        >>> sorted(np.bincount(counts.fit_predict(xs)).tolist())
        [30, 30]
    """

    model: Any = None
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        return model_of(self.model, lambda d: Mixture(Normal(d), 2), n_features)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "MixtureModel":
        """Fit to rows.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        fitted(self, X, sample_weight)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit to rows, and assign each of them to the most probable component."""
        return self.fit(X, y, sample_weight).predict(X)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable component of each row."""
        return np.argmax(posterior(self, X), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the components given each row, shape `(n, K)`."""
        return posterior(self, X)


@final
@dataclass(eq=False, repr=False)
class HierarchicalMixture(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, AbstractDensity
):
    """Clusters in a latent space of few dimensions, found together with it (an HMoG).

    Attributes:
        n_components: number of clusters.
        n_latent: number of latent dimensions, less than the number of columns.
        regularization: number of rows that the weak prior is worth; `None` for maximum likelihood.
        max_iter: number of steps of EM at most.
        tol: steps end where further ones would gain less, in nats a row.
        n_init: number of random starts.
        random_state: seed or generator, of starts and draws.
    """

    n_components: Any = 2
    n_latent: Any = 1
    regularization: Any = 1.0
    max_iter: Any = 500
    tol: Any = 1e-6
    n_init: Any = 1
    random_state: Any = None

    def _model(self, n_features: int) -> Any:
        if self.n_latent >= n_features:
            raise ValueError(
                f"HierarchicalMixture: n_latent={self.n_latent} must be less than the number of "
                f"columns, but n_features={n_features}."
            )
        return analytic_hmog(n_features, Diagonal(), self.n_latent, self.n_components)

    @property
    def _n_features_out(self) -> int:
        return self.n_latent

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "HierarchicalMixture":
        """Fit to rows.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        rows = fitted(self, X, sample_weight)
        self.labels_ = np.argmax(posterior(self, rows), axis=1)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The most probable cluster of each row."""
        return np.argmax(posterior(self, X), axis=1)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probabilities of the clusters given each row, shape `(n, K)`."""
        return posterior(self, X)

    def transform(self, X: Any) -> np.ndarray:
        """The posterior means of the latent variables of each row, shape `(n, n_latent)`."""
        X = self._rows(X)
        with in_precision_of(X):
            return np.asarray(self.model_.latent_mean(self.params_, as_data(self.model_, X)))
