"""Linear Gaussian models of x alone: normals, or mixtures of normals, once y is integrated out."""

from typing import Any

import jax

from ..families import cells
from ..families.real.normal import Normal, NormalCoords
from ..geometry.structures import PositiveDefinite
from .base import AbstractHarmonium
from .interaction import LikelihoodCoords
from .latent import location
from .mixture import Mixture


def explicit(model: AbstractHarmonium, coords: Any) -> tuple[Any, Any]:
    """A linear Gaussian model as a normal, or mixture of normals, of x alone.

    Raises:
        TypeError: where the latent variables are neither normal nor a mixture of normals.
    """
    interaction: Any = model.interaction
    observable, prior_family = interaction.observable, interaction.prior_family
    prior = interaction.prior(coords)
    loadings, mean, factor = interaction.loadings(coords)
    size = observable.size
    noise = observable.structure.dense(observable.structure.from_factor(factor), size, mean.dtype)
    _, inverse = PositiveDefinite().factors(noise)
    family = Normal(size, PositiveDefinite(), observable.frame)

    def normal(latent: Any) -> NormalCoords:
        own = location(prior_family)
        center, spread = own._moments(latent)
        covariance = loadings @ spread @ loadings.T + inverse.T @ inverse
        return family._from_moments(loadings @ center + mean, covariance, covariance)

    if isinstance(prior_family, Normal):
        return family, normal(prior)
    if isinstance(prior_family, Mixture) and isinstance(prior_family.component, Normal):
        upper = prior_family.interaction
        parts = jax.vmap(normal)(upper.components(prior))
        mixture = Mixture(family, prior_family.n_components)
        likelihood = LikelihoodCoords(None, parts)
        return mixture, mixture.interaction.weighted(likelihood, upper.log_weights(prior))
    raise TypeError(
        f"{type(model).__name__}.conditional: the missing cells have no family where the latent "
        f"variables are {prior_family!r}; use `impute` or `sample_missing`."
    )


def conditional(model: AbstractHarmonium, coords: Any, x: Any) -> tuple[Any, Any] | None:
    """p(x_missing | x_seen) of a linear Gaussian model."""
    family, point = explicit(model, coords)
    return cells.conditional(family, point, x)
