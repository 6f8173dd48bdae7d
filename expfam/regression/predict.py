"""Responses given covariates: their distribution, and what is predicted from it."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..families import compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.support import check_data
from ..geometry.checks import check_key
from ..geometry.points import Natural
from ..harmonium.interaction import LikelihoodCoords
from ..harmonium.mixture import Mixture
from .conditional import AbstractConditional
from .experts import MixtureOfExperts


def response_given(
    model: AbstractExponentialFamily, params: Natural[Any], covariates: Data
) -> tuple[AbstractExponentialFamily, Natural[Any]]:
    """The distribution p(y | u) of the response given covariates.

    Of a mixture it is a mixture of responses, with the weights that the covariates imply. All
    methods of that family can be asked: densities on a grid, means, draws.

    Args:
        model: a `Regression`, or a mixture of such.
        params: natural coordinates.
        covariates: u of one row; use `jax.vmap` of the second result for more.

    Returns:
        The family of y, and its natural coordinates.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> model = ef.Regression(ef.Poisson(), n_covariates=1)
        >>> params = model.from_coefficients(jnp.array([0.5]), 1.0)
        >>> family, point = ef.response_given(model, params, jnp.array([2.0]))
        >>> round(float(family.rate(point)), 4)
        7.3891
    """
    u, batch = _checked(model, params, covariates, "response_given")
    if batch:
        raise ValueError(
            f"response_given: `covariates` must be those of one row, but have leading axes {batch}."
        )
    family, coords = _given(model, params.coords, u)
    return family, Natural(coords)


def predict(model: AbstractExponentialFamily, params: Natural[Any], covariates: Data) -> Any:
    """The mean of the response given covariates; of categories, their probabilities.

    Args:
        model: a `Regression`, or a mixture of such.
        params: natural coordinates.
        covariates: u, with any leading axes.

    Returns:
        E[y | u], with the leading axes of the covariates.
    """
    u, batch = _checked(model, params, covariates, "predict")
    return compiled.over_data(_mean, len(batch), 1)(model, params.coords, u)


def sample_response(
    key: Key[Array, ""], model: AbstractExponentialFamily, params: Natural[Any], covariates: Data
) -> Any:
    """One draw of the response for each row of covariates.

    Args:
        key: JAX random key.
        model: a `Regression`, or a mixture of such.
        params: natural coordinates.
        covariates: u, with any leading axes.
    """
    check_key(key, "sample_response")
    u, batch = _checked(model, params, covariates, "sample_response")
    keys = jax.random.split(key, batch)
    return compiled.over_data(_draw, len(batch), 1)(model, params.coords, (keys, u))


def assignments_given(
    model: AbstractExponentialFamily, params: Natural[Any], covariates: Data
) -> Float[Array, "*batch k"]:
    """The probabilities of the components given the covariates alone, p(z | u).

    `posterior_soft_assignments` of the model gives those given covariates and response.

    Args:
        model: a mixture of regressions.
        params: natural coordinates.
        covariates: u, with any leading axes.
    """
    u, batch = _checked(model, params, covariates, "assignments_given")
    if isinstance(model, Mixture):
        return compiled.over_data(_weights, len(batch), 1)(model, params.coords, u)
    if isinstance(model, MixtureOfExperts):
        return compiled.over_data(_gate, len(batch), 1)(model, params.coords, u)
    raise TypeError(f"assignments_given: `model` must be a mixture, but is {model!r}.")


def _checked(model: Any, params: Any, covariates: Any, owner: str) -> Any:
    core = model
    while isinstance(core, Mixture):
        core = core.component
    if not isinstance(core, AbstractConditional):
        raise TypeError(
            f"{owner}: `model` must be an expfam.Regression, or a mixture of such, but is "
            f"{model!r}."
        )
    model._check_point(params, Natural, owner, "params")
    return check_data(covariates, core.observed_support[0], owner, "covariates")


def _given(model: Any, coords: Any, u: Any) -> tuple[Any, Any]:
    if isinstance(model, AbstractConditional):
        return model._response_given(coords, u)
    parts = model.interaction.components(coords)
    family, _ = _given(model.component, jax.tree.map(lambda leaf: leaf[0], parts), u)
    mixture = Mixture(family, model.n_components)
    points = jax.vmap(lambda part: _given(model.component, part, u)[1])(parts)
    logs = _log_joint(model, coords, u)
    return mixture, mixture.interaction.weighted(LikelihoodCoords(None, points), logs)


def _log_joint(model: Any, coords: Any, u: Any) -> Float[Array, " k"]:
    # log p(z = k, u) up to a constant
    parts = model.interaction.components(coords)
    own = jax.vmap(lambda part: _log_density_of_covariates(model.component, part, u))(parts)
    return model.interaction.log_weights(coords) + own


def _log_density_of_covariates(model: Any, coords: Any, u: Any) -> Float[Array, ""]:
    if isinstance(model, AbstractConditional):
        return model._log_density_of_covariates(coords, u)
    return jax.nn.logsumexp(_log_joint(model, coords, u))


def _weights(model: Any, coords: Any, u: Any) -> Array:
    return jax.nn.softmax(_log_joint(model, coords, u))


def _gate(model: MixtureOfExperts, coords: Any, u: Any) -> Array:
    return jnp.exp(model._log_gate(coords, u))


def _mean(model: Any, coords: Any, u: Any) -> Any:
    if isinstance(model, AbstractConditional):
        return model._mean_given(coords, u)
    parts = model.interaction.components(coords)
    means = jax.vmap(lambda part: _mean(model.component, part, u))(parts)
    shares = _weights(model, coords, u)
    return jax.tree.map(lambda leaf: jnp.tensordot(shares, leaf, axes=1), means)


def _draw(model: Any, coords: Any, pair: Any) -> Any:
    key, u = pair
    first, second = jax.random.split(key)
    while not isinstance(model, AbstractConditional):
        first, choice = jax.random.split(first)
        chosen = jax.random.categorical(choice, _log_joint(model, coords, u))
        coords = jax.tree.map(lambda leaf, i=chosen: leaf[i], model.interaction.components(coords))
        model = model.component
    family, point = model._response_given(coords, u)
    return family._sample(second, point)
