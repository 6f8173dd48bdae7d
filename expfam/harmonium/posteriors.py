"""Posteriors of a component number and of a latent position, for all models that have them."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.compiled import over_data
from ..families.support import check_observation
from ..geometry.points import Natural
from .base import AbstractHarmonium
from .interaction import HarmoniumCoords


def posterior_categorical(
    model: AbstractHarmonium, params: Natural[HarmoniumCoords], x: Any
) -> Natural[Float[Array, " k_minus_1"]]:
    """p(z | x) for one observation, in the K − 1 natural coordinates of `Categorical(K)`."""
    model._check_point(params, Natural, "posterior_categorical", "params")
    x = model._check_one(x, model.observed_support, "posterior_categorical", "x")
    logs = over_data(_log_assignments, 0, 1)(model, params.coords, x)
    return Natural(logs[1:] - logs[0])


def posterior_soft_assignments(
    model: AbstractHarmonium, params: Natural[HarmoniumCoords], x: Any
) -> Float[Array, "*batch k"]:
    """Responsibilities p(z | x) for observations with any leading axes."""
    return jnp.exp(_batched(_log_assignments, model, params, x, "posterior_soft_assignments"))


def latent_mean(
    model: AbstractHarmonium, params: Natural[HarmoniumCoords], x: Any
) -> Float[Array, "*batch d"]:
    """E[y | x] for observations with any leading axes."""
    return _batched(_latent_mean, model, params, x, "latent_mean")


def _batched(
    kernel: Any, model: AbstractHarmonium, params: Natural[HarmoniumCoords], x: Any, name: str
) -> Array:
    model._check_point(params, Natural, name, "params")
    x, batch = check_observation(model, x, model._owner(name))
    return over_data(kernel, len(batch), 1)(model, params.coords, x)


def _log_assignments(model: AbstractHarmonium, coords: HarmoniumCoords, x: Any) -> Array:
    interaction: Any = model.interaction  # one of those with a component number
    return interaction.log_assignments(coords, x)


def _latent_mean(model: AbstractHarmonium, coords: HarmoniumCoords, x: Any) -> Array:
    interaction: Any = model.interaction  # a linear one
    return interaction.latent_mean(coords, x)
