"""The symmetric hierarchical mixture of Gaussians: clusters of related shape."""

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
class SymmetricHMoG(AbstractHarmonium):
    """A hierarchical mixture of Gaussians whose clusters differ in a restricted structure.

    As `AnalyticHMoG`, p(x, y, z) = p(z) p(y | z) p(x | y), but the precisions of the clusters in
    latent space share everything except a part of structure `lat_rep`: with `Diagonal` they differ
    on the diagonal, with `Scale` by multiples of the identity, with `Identity` not at all.
    Posterior and prior p(y, z) lie in the same family, so likelihoods and priors join freely. The
    likelihood is fitted in closed form, the prior by a small convex solve (in closed form for
    `Identity`).

    With `Diagonal` and `Scale` only axis-parallel, or uniform, rescaling of y keeps the family, so
    whitening gives every latent coordinate mean 0 and variance 1 (variance 1 on average), and
    leaves correlations.

    `initialize_from_sample` starts from principal components, and k-means++ clusters of their
    scores with within-cluster covariances.

    Make one with `expfam.symmetric_hmog`.

    Attributes:
        lwr_hrm: lower harmonium: gives the likelihood p(x | y).
        upr_hrm: upper harmonium: the mixture of normals p(y, z).
        whiten: whether EM steps whiten y.

    Examples:
        >>> import expfam as ef
        >>> ef.symmetric_hmog(10, ef.Diagonal(), 2, ef.Diagonal(), n_components=3).dim
        55
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

    def _observing(self, observable: Any) -> "SymmetricHMoG":
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
            ValueError: wrong shapes, weights or covariances out of range, or covariances whose
                inverses differ in more than `lat_rep`.
        """
        return shared.from_parameters(
            self, weights, latent_means, latent_covariances, loadings, mean, noise
        )

    def whiten_prior(self, means: Mean[HarmoniumCoords]) -> Mean[HarmoniumCoords]:
        """The same distribution of x, with y in standard form, as far as `lat_rep` allows.

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


def symmetric_hmog(
    obs_dim: int,
    obs_rep: AbstractStructure,
    lat_dim: int,
    lat_rep: AbstractStructure,
    n_components: int,
) -> SymmetricHMoG:
    """A hierarchical mixture of Gaussians whose clusters differ in a restricted structure.

    Args:
        obs_dim: number of observed dimensions p.
        obs_rep: covariance structure of the noise Ψ.
        lat_dim: number of latent dimensions d, less than p.
        lat_rep: structure in which the latent precisions of the clusters differ.
        n_components: number of clusters K.
    """
    return SymmetricHMoG(
        LinearGaussian(obs_dim, obs_rep, lat_dim),
        Mixture(Normal(lat_dim), n_components, varying=lat_rep),
    )
