"""Draws of points: labels of components aligned, and data for ArviZ."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array

from ..families.base import Data
from ..families.observations import over_rows
from ..families.support import check_observations
from ..geometry.points import Natural
from ..harmonium.mixture import Mixture


def align_labels(model: Mixture, points: Natural[Any], xs: Data) -> Natural[Any]:
    """Draws of a mixture whose components are numbered alike.

    A posterior has a copy for every order of the components, and samplers may go from one to
    another. In every draw components get the numbers with which rows have most in common with all
    other draws: the sum of products of responsibilities is largest, first with those of the first
    draw, then with their average.

    Args:
        model: a mixture.
        points: draws, along any leading axes of all leaves.
        xs: the rows, with one leading axis n.

    Returns:
        The same draws, components permuted.

    References:
        Papastamoulis & Iliopoulos, An artificial allocations based solution to the label switching
        problem (2010), from which it differs in that allocations are not drawn.
    """
    if not isinstance(model, Mixture):
        raise TypeError(
            f"align_labels: `model` must be an expfam.Mixture, but is of type "
            f"{type(model).__name__}."
        )
    rows, _ = check_observations(model, xs, "align_labels")
    axes = jnp.shape(points.coords.latent)[:-1]
    flat = jax.tree.map(lambda a: jnp.reshape(a, (-1, *a.shape[len(axes) :])), points)
    model._check_point(jax.tree.map(lambda a: a[0], flat), Natural, "align_labels", "points")
    coords = _align(model, flat.coords, rows)
    return Natural(jax.tree.map(lambda a: jnp.reshape(a, (*axes, *a.shape[1:])), coords))


@jax.jit
def _align(model: Mixture, draws: Any, rows: Any) -> Any:
    def shares(coords: Any) -> Array:
        return jnp.exp(over_rows(lambda x: model.interaction.log_assignments(coords, x), rows))

    def order(coords: Any, reference: Array) -> Array:
        common = jnp.matmul(reference.T, shares(coords), precision="highest")
        own, other = optax.assignment.hungarian_algorithm(-common)
        return jnp.zeros_like(other).at[own].set(other)

    def add(total: Array, coords: Any) -> tuple[Array, None]:
        return total + shares(coords)[:, order(coords, first)], None

    def permuted(coords: Any) -> Any:
        new = order(coords, mean)
        latent = coords.latent[new]
        parts = jax.tree.map(lambda leaf: leaf[new], coords.interaction)
        return type(coords)(coords.observable, parts, latent - latent[0])

    first = shares(jax.tree.map(lambda leaf: leaf[0], draws))
    total, _ = jax.lax.scan(add, jnp.zeros_like(first), draws)
    mean = total / jnp.shape(draws.latent)[0]
    return jax.lax.map(permuted, draws)


def to_arviz(points: Natural[Any], readers: dict[str, Callable[[Natural[Any]], Any]]) -> Any:
    """Draws as data of ArviZ, for its summaries, diagnostics and pictures.

    Args:
        points: draws, with the leading axes (chains, draws) on all leaves.
        readers: by the name of each variable, what reads it from one point, e.g.
            `{"weights": mixture.weights}`.

    Returns:
        `arviz.InferenceData`. It needs `pip install 'expfam[bayes]'`.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "to_arviz needs ArviZ; install it with pip install 'expfam[bayes]'."
        ) from error
    if not readers:
        raise TypeError(
            "to_arviz: `readers` must say what to read, by name, e.g. "
            '{"weights": mixture.weights}, but is empty.'
        )
    read = {name: jax.vmap(jax.vmap(reader)) for name, reader in readers.items()}
    groups = {"posterior": {name: np.asarray(reader(points)) for name, reader in read.items()}}
    from_dict: Any = arviz.from_dict
    # from version 1 on, groups are one argument
    return from_dict(**groups) if version("arviz").startswith("0.") else from_dict(groups)
