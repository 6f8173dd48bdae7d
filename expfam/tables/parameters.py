"""Parameters of components, by column: means and deviations, rates, probabilities."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..families import cells
from ..families.derived.sub_family import SubFamily
from ..families.discrete.bernoulli import Bernoulli
from ..families.discrete.binomial import Binomial
from ..families.discrete.categorical import Categorical
from ..families.discrete.negative_binomial import NegativeBinomial
from ..families.discrete.poisson import Poisson
from ..families.observations import Incomplete
from ..families.positive.exponential import Exponential
from ..families.positive.gamma import Gamma
from ..families.positive.log_normal import LogNormal
from ..families.product import Product, Replicated
from ..families.real.normal import Normal
from ..geometry.points import Natural
from ..harmonium.mixture import Mixture
from .schema import Schema


def components_of(
    schema: Schema, model: Any, params: Natural[Any], owner: str
) -> tuple[np.ndarray, tuple[Any, ...], tuple[Any, ...]]:
    """Weights of the components, the families of the factors, and coordinates of each.

    Coordinates have a leading axis for the components.

    Raises:
        TypeError: models other than the family of the table, and mixtures of it.
    """
    component = model.component if isinstance(model, Mixture) else model
    families = component.factors if isinstance(component, Product) else (component,)
    # A family in other units, as `standardize` makes it, is one of the same class.
    if [type(family) for family in families] != [type(f.family) for f in schema.factors]:
        raise TypeError(
            f"{owner}: `model` must be the family of the table or a Mixture of it, of which "
            f"columns have parameters, but is {model!r}."
        )
    if isinstance(model, Mixture):
        weights, coords = model.weights(params), model.components(params).coords
    else:
        weights = jnp.ones(1)
        coords = jax.tree.map(lambda leaf: leaf[None], params.coords)
    return np.asarray(weights), families, coords if len(families) > 1 else (coords,)


def read_parameters(
    schema: Schema, families: tuple[Any, ...], coords: tuple[Any, ...]
) -> dict[str, dict[str, np.ndarray]]:
    """Of every column its parameters by name: one number, or one for each category.

    Args:
        schema: of the table.
        families: of the factors.
        coords: of the factors, with a leading axis for the components, which results have, too.
    """
    found = {}
    for factor, family, own in zip(schema.factors, families, coords, strict=True):
        values = _read_all(family, own)
        for j, name in enumerate(factor.columns):
            found[name] = {key: np.asarray(array)[:, j] for key, array in values.items()}
    return {column.name: found[column.name] for column in schema.columns if column.name in found}


@jax.jit
def _read_all(family: Any, coords: Any) -> dict[str, Array]:
    return jax.vmap(lambda one: _read(family, one))(coords)


def _read(family: Any, coords: Any) -> dict[str, Array]:
    # With an axis for the columns of the factor in front.
    if isinstance(family, Replicated):
        found = jax.vmap(lambda one: _read(family.family, one))(coords)
        return jax.tree.map(lambda array: array[:, 0], found)
    reader = _READERS.get(type(family), _expectation)
    found = reader(family, Natural(coords))
    scalar = family.support.shape == ()
    return {key: value[None] if scalar else value for key, value in found.items()}


def _normal(family: Any, point: Natural[Any]) -> dict[str, Array]:
    mean, covariance = family.mean_covariance(point)
    return {"mean": mean, "standard deviation": jnp.sqrt(jnp.diagonal(covariance))}


def _gamma(family: Gamma, point: Natural[Any]) -> dict[str, Array]:
    shape, rate = family.shape_rate(point)
    return {"mean": shape / rate, "standard deviation": jnp.sqrt(shape) / rate, "shape": shape}


def _ordinal(family: Any, point: Natural[Any]) -> dict[str, Array]:
    if isinstance(family.base, Categorical):
        return {"probability": family.base.probabilities(family.embed(point))}
    return _expectation(family, point)


def _expectation(family: Any, point: Natural[Any]) -> dict[str, Array]:
    support = family.support
    nothing = Incomplete(support.filler, jnp.zeros(support.shape, bool))
    return {"mean": cells.expectation(family, point.coords, nothing)}


_READERS: dict[type, Callable[[Any, Any], dict[str, Array]]] = {
    Bernoulli: lambda family, point: {"probability": family.probability(point)},
    Binomial: lambda family, point: {"probability": family.probability(point)},
    Categorical: lambda family, point: {"probability": family.probabilities(point)},
    Exponential: lambda family, point: {"rate": family.rate(point)},
    Gamma: _gamma,
    LogNormal: _normal,
    NegativeBinomial: lambda family, point: {"probability": family.probability(point)},
    Normal: _normal,
    Poisson: lambda family, point: {"rate": family.rate(point)},
    SubFamily: _ordinal,
}
