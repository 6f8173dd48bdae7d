"""What the three hierarchical mixtures of Gaussians have in common: their usual parameters.

A model here is any harmonium with a linear Gaussian interaction and a mixture of normals as its
prior.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...families.real.normal import Normal, NormalCoords
from ...geometry.checks import require
from ...geometry.points import Mean, Natural
from ...harmonium.interaction import HarmoniumCoords, LikelihoodCoords


@final
class HMoGParameters(eqx.Module):
    """A hierarchical mixture of Gaussians in the field's own parameters.

    p(z = k) = π_k, p(y | k) = N(y; m_k, S_k), p(x | y) = N(x; W y + b, Ψ), so that
    p(x) = Σ_k π_k N(x; W m_k + b, W S_k Wᵀ + Ψ).

    Attributes:
        weights: π, shape `(K,)`.
        latent_means: m, shape `(K, d)`.
        latent_covariances: S, shape `(K, d, d)`.
        loadings: W, shape `(p, d)`.
        mean: b, shape `(p,)`.
        noise: Ψ, shape `(p, p)`.
    """

    weights: Float[Array, " k"]
    latent_means: Float[Array, "k d"]
    latent_covariances: Float[Array, "k d d"]
    loadings: Float[Array, "p d"]
    mean: Float[Array, " p"]
    noise: Float[Array, "p p"]

    @property
    def observable_means(self) -> Float[Array, "k p"]:
        """Means W m_k + b of the components of p(x), shape `(K, p)`."""
        return self.latent_means @ self.loadings.T + self.mean

    @property
    def observable_covariances(self) -> Float[Array, "k p p"]:
        """Covariances W S_k Wᵀ + Ψ of the components of p(x), shape `(K, p, p)`."""
        return self.loadings @ self.latent_covariances @ self.loadings.T + self.noise


def parameters(model: Any, params: Natural[HarmoniumCoords]) -> HMoGParameters:
    """The usual parameters of a point."""
    model._check_point(params, Natural, "parameters", "params")
    return _read(model, params.coords)


def from_parameters(
    model: Any,
    weights: Float[Array, " k"],
    latent_means: Float[Array, "k d"],
    latent_covariances: Float[Array, "k d d"],
    loadings: Float[Array, "p d"],
    mean: Float[Array, " p"],
    noise: Array | None,
) -> Natural[HarmoniumCoords]:
    """The point with the usual parameters.

    Raises:
        ValueError: wrong shapes, weights or covariances out of range, or parameters that are not
            in the model.
    """
    observable = model.observable.from_mean_covariance(mean, noise)
    upper = model.prior_family
    sizes = (upper.n_components, upper.component.size)
    wanted = (sizes, (*sizes, sizes[1]), (model.observable.size, sizes[1]))
    came = tuple(jnp.shape(a) for a in (latent_means, latent_covariances, loadings))
    if came != wanted:
        raise ValueError(
            f"{type(model).__name__}.from_parameters: `latent_means`, `latent_covariances` and "
            f"`loadings` must have shapes {wanted}, but have {came}."
        )
    components, valid = _components(
        upper.component, jnp.asarray(latent_means), jnp.asarray(latent_covariances)
    )
    components = require(
        Natural(components),
        valid,
        f"{type(model).__name__}.from_parameters: `latent_covariances` must be symmetric, positive "
        "definite and finite.",
    )
    prior = upper.from_components(weights, components)
    likelihood = _likelihood(model, jnp.asarray(loadings), observable.coords)
    return model.join_conjugated(Natural(likelihood), prior)


def whiten_prior(model: Any, means: Mean[HarmoniumCoords]) -> Mean[HarmoniumCoords]:
    """The same distribution of x, with y in standard form, whether or not EM steps whiten."""
    model._check_point(means, Mean, "whiten_prior", "means")
    return Mean(_standardize(model, means.coords))


@jax.jit
def _components(component: Normal, means: Array, covariances: Array) -> tuple[Any, Array]:
    coords, valid = jax.vmap(component._from_covariance)(means, covariances)
    return coords, jnp.all(valid)


@jax.jit
def _read(model: Any, coords: HarmoniumCoords) -> HMoGParameters:
    interaction = model.interaction
    loadings, mean, noise = interaction.usual_likelihood(coords)
    prior = interaction.prior(coords)
    upper = model.prior_family.interaction
    normals = upper.components(prior)
    return HMoGParameters(
        weights=jnp.exp(upper.log_weights(prior)),
        latent_means=jax.vmap(lambda c: upper.component._moments(c)[0])(normals),
        latent_covariances=jax.vmap(upper.component._covariance_matrix)(normals),
        loadings=loadings,
        mean=mean,
        noise=noise,
    )


@jax.jit
def _likelihood(model: Any, loadings: Array, observable: NormalCoords) -> LikelihoodCoords:
    return model.interaction.from_usual_likelihood(loadings, observable)


@jax.jit
def _standardize(model: Any, means: HarmoniumCoords) -> HarmoniumCoords:
    return model.interaction.standardize(means)
