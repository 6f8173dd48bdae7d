"""What missing cells are, given those that are seen: bodies of the public methods of families."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Key

from . import cells, compiled, ladder
from .observations import (
    Incomplete,
    Labeled,
    fill,
    has_gaps,
    is_incomplete,
    map_leaves,
    split_labels,
)
from .support import Support, check_observation, is_support

# Steps of EM of an estimate from rows with missing cells.
_MOST_STEPS = 10_000


def conditional(family: Any, coords: Any, x: Any, owner: str) -> tuple[Any, Any]:
    """A family and natural coordinates of the missing cells of one observation."""
    x, batch = check_observation(family, x, owner)
    if batch:
        raise ValueError(f"{owner}: `x` must be one observation, but has leading axes {batch}.")
    known = not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x))
    found = cells.conditional(family, coords, x) if known else None
    if found is None:
        reason = "no cell of it is missing" if known else "it is being traced by JAX"
        raise ValueError(f"{owner}: `x` must be known, with missing cells, but {reason}.")
    return found


def impute(family: Any, coords: Any, xs: Any, owner: str) -> Any:
    """Observations with conditional expectations in missing cells."""
    xs, batch = check_observation(family, xs, owner)
    if not has_gaps(xs):
        return split_labels(xs)[0]
    found = ladder.over_data(cells.expectation, len(batch), family, coords, xs)

    def chosen(support: Support, leaf: Any, own: Any) -> Any:
        if not is_incomplete(leaf):
            return leaf
        # Of categories the most probable one; counts may be any real number.
        own = jnp.argmax(own, axis=-1) if support.kind == "category" else own
        return jnp.where(leaf.observed, leaf.values, own)

    data, _ = split_labels(xs)
    return jax.tree.map(chosen, family.observed_support, data, found, is_leaf=is_support)


def sample_missing(
    key: Key[Array, ""], family: Any, coords: Any, xs: Any, shape: tuple[int, ...], owner: str
) -> Any:
    """Observations with draws in missing cells."""
    xs, batch = check_observation(family, xs, owner)
    if not has_gaps(xs):
        data, _ = split_labels(xs)
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*shape, *leaf.shape)), data)
    return _draw(family, (shape, batch), key, coords, xs)


def _draw(family: Any, shapes: Any, key: Array, coords: Any, xs: Any) -> Any:
    shape, batch = shapes

    def one(family: Any, coords: Any, pair: Any) -> Any:
        return cells.draw(family, pair[0], coords, pair[1])

    def all_rows(keys: Array) -> Any:
        return compiled.map_data(one, len(batch), 1, family, coords, (keys, xs))

    mapped = all_rows
    for _ in shape:
        mapped = jax.vmap(mapped)
    return mapped(jax.random.split(key, (*shape, *batch)))


_draw = jax.jit(_draw, static_argnums=1)


def log_conditional_density(
    family: Any, coords: Any, x: Any, given: Any, owner: str
) -> Float[Array, "*batch"]:
    """log p(x_seen) − log p(x_given)."""
    x, batch = check_observation(family, x, owner)
    data, label = split_labels(x)
    masks = _masks(family, data, given, owner)
    restricted = map_leaves(_restrict, data, masks)
    restricted, _ = check_observation(family, restricted, owner)
    restricted = restricted if label is None else Labeled(restricted, label)

    def density(rows: Any) -> Array:
        return ladder.over_data(compiled.log_observable_density, len(batch), family, coords, rows)

    return density(x) - density(restricted)


def _restrict(leaf: Any, mask: Bool[Array, "..."]) -> Incomplete:
    if not is_incomplete(leaf):
        return Incomplete(leaf, jnp.broadcast_to(mask, leaf.shape))
    return Incomplete(leaf.values, leaf.observed & mask)


def _masks(family: Any, data: Any, given: Any, owner: str) -> Any:
    # whether cells are given, of the structure of the data
    supports, treedef = jax.tree.flatten(family.observed_support, is_leaf=is_support)
    try:
        masks = treedef.flatten_up_to(given)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{owner}: `given` must have one mask for each leaf of the data, but is of type "
            f"{type(given).__name__}."
        ) from error
    for mask, support in zip(masks, supports, strict=True):
        if jnp.shape(mask) != support.shape or jnp.result_type(mask) != jnp.bool_:
            raise ValueError(
                f"{owner}: `given` must say of every cell, by True or False, whether it is given: "
                f"shape {support.shape}, but it has shape {jnp.shape(mask)} and type "
                f"{jnp.result_type(mask)}."
            )
    return jax.tree.unflatten(treedef, [jnp.asarray(mask) for mask in masks])


@jax.jit
def maximum_likelihood(
    family: Any, xs: Any, weights: Array | None, prior: Any
) -> tuple[Any, Array]:
    """The estimate from rows with missing cells, by EM, and whether it is valid."""
    key = jax.random.key(0)
    parts, total = compiled.shares_of(xs, weights), compiled.total_weight(xs, weights)
    rows = fill(key, xs)
    features = jax.vmap(family._features)(rows)
    start = family._initialize_from_sample((), rows, features, parts * parts.shape[0])
    rounding = 4 * jnp.finfo(parts.dtype).eps

    def proceed(state: Any) -> Array:
        _, before, value, steps = state
        settled = jnp.abs(value - before) <= rounding * jnp.maximum(jnp.abs(value), 1)
        return ~settled & jnp.isfinite(value) & (steps < _MOST_STEPS)

    def step(state: Any) -> Any:
        coords, _, before, steps = state
        value, means = compiled.density_and_expectation(family, coords, xs, parts)
        value = value + compiled.log_prior(prior, family, coords, total)
        means = family._target(means, total, prior)
        return family._maximize(means, coords), before, value, steps + 1

    none = jnp.full((), jnp.inf, parts.dtype)
    begin = (start, -none, jnp.zeros_like(none), jnp.zeros((), int))
    coords, _, value, _ = jax.lax.while_loop(proceed, step, step(step(begin)))
    return coords, family._in_domain(coords) & jnp.isfinite(value)
