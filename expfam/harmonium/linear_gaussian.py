"""Linear Gaussian models: factor analysis, probabilistic principal components, and relatives."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.frame import Frame
from ..families.kernels import Data
from ..families.real.normal import Normal, NormalCoords
from ..geometry.checks import require, whole
from ..geometry.points import Mean, Natural
from ..geometry.structures import AbstractStructure, PositiveDefinite
from . import conditionals
from .base import AbstractHarmonium, latent_mean
from .interaction import HarmoniumCoords
from .linear import LinearInteraction


@final
class LinearGaussianParameters(eqx.Module):
    """A linear Gaussian model x = W y + b + noise in the field's own parameters.

    Attributes:
        loadings: W, shape `(p, d)`.
        mean: b, the mean of x at y = 0, shape `(p,)`.
        noise: covariance Ψ of the noise, shape `(p, p)`.
        latent_mean: mean of y, shape `(d,)`.
        latent_covariance: covariance of y, shape `(d, d)`.
    """

    loadings: Float[Array, "p d"]
    mean: Float[Array, " p"]
    noise: Float[Array, "p p"]
    latent_mean: Float[Array, " d"]
    latent_covariance: Float[Array, "d d"]


@final
class LinearGaussian(AbstractHarmonium):
    """A linear Gaussian model p(x, y) = N(x; W y + b, Ψ) N(y; m, S).

    With `Diagonal` noise it is factor analysis, with `Scale` probabilistic principal component
    analysis (`expfam.factor_analysis`, `expfam.probabilistic_pca`).

    EM has a closed form where the posterior has full covariance. Each step then whitens the latent
    variable, to mean 0 and covariance I, which leaves p(x) as it is. `initialize_from_sample`
    starts from the leading principal components.

    Attributes:
        obs_dim: number of observed dimensions p.
        obs_rep: covariance structure of the noise Ψ.
        lat_dim: number of latent dimensions d, less than p.
        pst_rep: covariance structure of the posterior p(y | x); the prior then lies in the curved
            family of full covariances that have such posteriors.
        whiten: whether EM steps whiten the latent variable.
        frame: as that of `Normal`, of x.

    Examples:
        >>> import expfam as ef
        >>> ef.LinearGaussian(10, ef.Diagonal(), 2).dim
        45
    """

    obs_dim: int = eqx.field(static=True, converter=whole("LinearGaussian", "obs_dim", 2))
    obs_rep: AbstractStructure
    lat_dim: int = eqx.field(static=True, converter=whole("LinearGaussian", "lat_dim", 1))
    pst_rep: AbstractStructure = PositiveDefinite()
    whiten: bool = eqx.field(static=True, default=True)
    frame: Frame | None = None

    def __check_init__(self) -> None:
        """Refuse sizes that make no sense."""
        if self.lat_dim >= self.obs_dim:
            raise ValueError(
                "LinearGaussian: `lat_dim` must be an integer from 1 to obs_dim − 1 = "
                f"{self.obs_dim - 1}, but is {self.lat_dim}."
            )

    @property
    def interaction(self) -> LinearInteraction:
        """The linear Gaussian interaction of x and y."""
        return LinearInteraction(
            Normal(self.obs_dim, self.obs_rep, self.frame),
            Normal(self.lat_dim, self.pst_rep),
            Normal(self.lat_dim),
            self.whiten,
        )

    def _conditional(self, coords: HarmoniumCoords, x: Any) -> tuple[Any, Any] | None:
        return conditionals.conditional(self, coords, x)

    def _observing(self, observable: Any) -> "LinearGaussian":
        return replace(self, frame=observable.frame)

    def from_loadings(
        self,
        loadings: Float[Array, "p d"],
        mean: Float[Array, " p"],
        noise: Array | None = None,
        latent_mean: Float[Array, " d"] | None = None,
        latent_covariance: Float[Array, "d d"] | None = None,
    ) -> Natural[HarmoniumCoords]:
        """The model with given loadings, mean and noise.

        Args:
            loadings: W, shape `(p, d)`.
            mean: b, shape `(p,)`.
            noise: Ψ, as `Normal.from_mean_covariance` takes it: `(p, p)`, `(p,)`, a number, or left
                out for `Identity`.
            latent_mean: mean of y; zero where not given.
            latent_covariance: covariance of y; the identity where not given.

        Raises:
            ValueError: wrong shapes, a covariance that is not positive definite, or posteriors
                that do not have the structure `pst_rep`.
        """
        if jnp.shape(loadings) != (self.obs_dim, self.lat_dim):
            raise ValueError(
                f"LinearGaussian.from_loadings: `loadings` must have shape ({self.obs_dim}, "
                f"{self.lat_dim}), but has shape {jnp.shape(loadings)}."
            )
        loadings = jnp.asarray(loadings)
        observable = self.interaction.observable.from_mean_covariance(mean, noise)
        center = jnp.zeros(self.lat_dim, loadings.dtype) if latent_mean is None else latent_mean
        spread = jnp.eye(self.lat_dim, dtype=loadings.dtype)
        prior = self.prior_family.from_mean_covariance(
            center, spread if latent_covariance is None else latent_covariance
        )
        coords, exact = _from_loadings(self, loadings, observable.coords, prior.coords)
        return require(
            Natural(coords),
            exact,
            f"LinearGaussian.from_loadings: posteriors must have covariances in {self.pst_rep!r}, "
            "but latent_covariance⁻¹ + WᵀΨ⁻¹W does not; use pst_rep=PositiveDefinite().",
        )

    def parameters(self, params: Natural[HarmoniumCoords]) -> LinearGaussianParameters:
        """Loadings, mean, noise covariance, and latent mean and covariance of a model."""
        self._check_point(params, Natural, "parameters", "params")
        return _parameters(self, params.coords)

    def latent_mean(self, params: Natural[HarmoniumCoords], x: Data) -> Float[Array, "*batch d"]:
        """The posterior mean E[y | x] (factor scores), for observations with any leading axes."""
        return self._per_observation(latent_mean, params, x, "latent_mean")

    def observable_distribution(
        self, params: Natural[HarmoniumCoords]
    ) -> tuple[Float[Array, " p"], Float[Array, "p p"]]:
        """Mean W m + b and covariance W S Wᵀ + Ψ of x."""
        own = self.parameters(params)
        mean = own.loadings @ own.latent_mean + own.mean
        return mean, own.loadings @ own.latent_covariance @ own.loadings.T + own.noise

    readers = (parameters,)

    def whiten_prior(self, means: Mean[HarmoniumCoords]) -> Mean[HarmoniumCoords]:
        """The same distribution of x, with a latent variable of mean 0 and covariance I.

        Where `pst_rep` is smaller than `PositiveDefinite`, only frames that keep its structure are
        open: with `Diagonal` every variance becomes 1, with `Scale` their mean, with `Identity`
        none.

        Args:
            means: mean coordinates.
        """
        self._check_point(means, Mean, "whiten_prior", "means")
        return Mean(_whiten(self, means.coords))


@jax.jit
def _parameters(model: LinearGaussian, coords: HarmoniumCoords) -> LinearGaussianParameters:
    interaction = model.interaction
    loadings, mean, noise = interaction.usual_likelihood(coords)
    prior = interaction.prior(coords)
    latent_mean, latent_covariance = model.prior_family._moments(prior)
    return LinearGaussianParameters(loadings, mean, noise, latent_mean, latent_covariance)


@jax.jit
def _from_loadings(
    model: LinearGaussian, loadings: Array, observable: NormalCoords, prior: NormalCoords
) -> tuple[Any, Array]:
    interaction = model.interaction
    coords = interaction.join(interaction.from_usual_likelihood(loadings, observable), prior)
    back = interaction.prior(coords).second
    gap = jnp.max(jnp.abs(back - prior.second))
    tolerance = jnp.finfo(back.dtype).eps ** 0.5 * (1 + jnp.max(jnp.abs(coords.interaction)))
    return coords, gap <= tolerance


@jax.jit
def _whiten(model: LinearGaussian, means: HarmoniumCoords) -> HarmoniumCoords:
    return model.interaction.standardize(means)
