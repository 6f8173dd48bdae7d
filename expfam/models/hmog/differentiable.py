"""The differentiable hierarchical mixture of Gaussians: cheap posteriors."""

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
class DifferentiableHMoG(AbstractHarmonium):
    """A hierarchical mixture of Gaussians with posteriors of a restricted structure.

    As `AnalyticHMoG`, p(x, y, z) = p(z) p(y | z) p(x | y), but the posterior p(y, z | x) is a
    mixture of normals of structure `pst_rep`, e.g. diagonal. The conjugation parameters embed it in
    full covariance: the prior of cluster k has the precision P_k − WᵀΨ⁻¹W, where P_k is the
    precision of the posterior. Made for gradient fitting; `expectation_maximization` works by a
    convex solve.

    Whitening is limited to frames that keep `pst_rep`: with `Diagonal` every latent coordinate gets
    mean 0 and variance 1, with `Scale` variance 1 on average, with `Identity` mean 0.

    `initialize_from_sample` starts from principal components, and k-means++ clusters of their
    scores with within-cluster covariances.

    Make one with `expfam.differentiable_hmog`.

    Attributes:
        lwr_hrm: lower harmonium: gives the likelihood p(x | y).
        pst_upr_hrm: upper harmonium of the posterior: a mixture of normals of structure `pst_rep`.
        prr_upr_hrm: upper harmonium of the prior: a mixture of normals of full covariance.
        whiten: whether EM steps whiten y.

    Examples:
        >>> import expfam as ef
        >>> ef.differentiable_hmog(10, ef.Diagonal(), 2, ef.Diagonal(), n_components=3).dim
        54
    """

    lwr_hrm: LinearGaussian
    pst_upr_hrm: Mixture
    prr_upr_hrm: Mixture
    whiten: bool = eqx.field(static=True, default=True)

    @property
    def interaction(self) -> LinearInteraction:
        """The linear Gaussian interaction of x and y."""
        return LinearInteraction(
            self.lwr_hrm.observable, self.pst_upr_hrm, self.prr_upr_hrm, self.whiten
        )

    def _conditional(self, coords: HarmoniumCoords, x: Any) -> tuple[Any, Any] | None:
        return conditionals.conditional(self, coords, x)

    def _observing(self, observable: Any) -> "DifferentiableHMoG":
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
            ValueError: wrong shapes, weights or covariances out of range, or posteriors of another
                structure than `pst_rep`.
        """
        return shared.from_parameters(
            self, weights, latent_means, latent_covariances, loadings, mean, noise
        )

    def whiten_prior(self, means: Mean[HarmoniumCoords]) -> Mean[HarmoniumCoords]:
        """The same distribution of x, with y in standard form, as far as `pst_rep` allows.

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


def differentiable_hmog(
    obs_dim: int,
    obs_rep: AbstractStructure,
    lat_dim: int,
    pst_rep: AbstractStructure,
    n_components: int,
) -> DifferentiableHMoG:
    """A hierarchical mixture of Gaussians with posteriors of a restricted structure.

    Args:
        obs_dim: number of observed dimensions p.
        obs_rep: covariance structure of the noise Ψ.
        lat_dim: number of latent dimensions d, less than p.
        pst_rep: covariance structure of the posterior of y given x and z.
        n_components: number of clusters K.
    """
    return DifferentiableHMoG(
        LinearGaussian(obs_dim, obs_rep, lat_dim, pst_rep),
        Mixture(Normal(lat_dim, pst_rep), n_components),
        Mixture(Normal(lat_dim), n_components),
    )
