"""The analytic hierarchical mixture of Gaussians: everything in closed form."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
from jaxtyping import Array, Float

from ...families.kernels import Data
from ...families.real.normal import Normal
from ...geometry.points import Mean, Natural
from ...geometry.structures import AbstractStructure
from ...harmonium import conditionals
from ...harmonium.base import AbstractHarmonium, latent_mean
from ...harmonium.interaction import HarmoniumCoords
from ...harmonium.linear import LinearInteraction
from ...harmonium.linear_gaussian import LinearGaussian
from ...harmonium.mixture import Mixture
from . import shared
from .shared import HMoGParameters


@final
class AnalyticHMoG(AbstractHarmonium):
    """A hierarchical mixture of Gaussians p(x, y, z) = p(z) p(y | z) p(x | y), in closed form.

    Clusters z are normal in a latent space of low dimension, p(y | k) = N(y; m_k, S_k) with full
    covariances, and p(x | y) = N(x; W y + b, Ψ). EM, and the maps between mean and natural
    coordinates, are closed forms. Each EM step whitens y, to mean 0 and covariance I, which leaves
    p(x) as it is.

    `initialize_from_sample` starts from principal components, and k-means++ clusters of their
    scores with within-cluster covariances.

    Make one with `expfam.analytic_hmog`.

    Attributes:
        lwr_hrm: lower harmonium: gives the likelihood p(x | y).
        upr_hrm: upper harmonium: the mixture of normals p(y, z).
        whiten: whether EM steps whiten y.

    Examples:
        >>> import expfam as ef
        >>> ef.analytic_hmog(10, ef.Diagonal(), 2, n_components=3).dim
        57
    """

    lwr_hrm: LinearGaussian
    upr_hrm: Mixture
    whiten: bool = eqx.field(static=True, default=True)

    @property
    def interaction(self) -> LinearInteraction:
        """The linear Gaussian interaction of x and y."""
        return LinearInteraction(self.lwr_hrm.observable, self.upr_hrm, self.upr_hrm, self.whiten)

    def _conditional(self, coords: HarmoniumCoords, x: Any) -> tuple[Any, Any] | None:
        return conditionals.conditional(self, coords, x)

    def _observing(self, observable: Any) -> "AnalyticHMoG":
        return replace(self, lwr_hrm=self.lwr_hrm._observing(observable))

    # ---------------------------------------------------------------- usual parameters

    def parameters(self, params: Natural[HarmoniumCoords]) -> HMoGParameters:
        """Weights, latent means and covariances, loadings, mean and noise of a model."""
        return shared.parameters(self, params)

    readers = (parameters,)

    def from_parameters(
        self,
        weights: Float[Array, " k"],
        latent_means: Float[Array, "k d"],
        latent_covariances: Float[Array, "k d d"],
        loadings: Float[Array, "p d"],
        mean: Float[Array, " p"],
        noise: Array | None = None,
    ) -> Natural[HarmoniumCoords]:
        """The model with given parameters; see `HMoGParameters`.

        Args:
            weights: π, K positive numbers that sum to one.
            latent_means: m, shape `(K, d)`.
            latent_covariances: S, shape `(K, d, d)`.
            loadings: W, shape `(p, d)`.
            mean: b, shape `(p,)`.
            noise: Ψ, as `Normal.from_mean_covariance` takes it: `(p, p)`, `(p,)`, a number, or left
                out for `Identity`.

        Raises:
            ValueError: wrong shapes, or weights or covariances out of range.
        """
        return shared.from_parameters(
            self, weights, latent_means, latent_covariances, loadings, mean, noise
        )

    def whiten_prior(self, means: Mean[HarmoniumCoords]) -> Mean[HarmoniumCoords]:
        """The same distribution of x, with y of mean 0 and covariance I.

        Args:
            means: mean coordinates.
        """
        return shared.whiten_prior(self, means)

    # ---------------------------------------------------------------- posteriors

    def posterior_assignments(
        self, params: Natural[HarmoniumCoords], x: Data
    ) -> Float[Array, "*batch k"]:
        """The same as `posterior_soft_assignments`."""
        return self.posterior_soft_assignments(params, x)

    def latent_mean(self, params: Natural[HarmoniumCoords], x: Data) -> Float[Array, "*batch d"]:
        """The posterior mean E[y | x]: observations in the latent space."""
        return self._per_observation(latent_mean, params, x, "latent_mean")


def analytic_hmog(
    obs_dim: int, obs_rep: AbstractStructure, lat_dim: int, n_components: int
) -> AnalyticHMoG:
    """A hierarchical mixture of Gaussians with closed-form EM.

    Args:
        obs_dim: number of observed dimensions p.
        obs_rep: covariance structure of the noise Ψ.
        lat_dim: number of latent dimensions d, less than p.
        n_components: number of clusters K.
    """
    return AnalyticHMoG(
        LinearGaussian(obs_dim, obs_rep, lat_dim), Mixture(Normal(lat_dim), n_components)
    )
