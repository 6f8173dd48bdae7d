"""Compiled bodies of the methods of conjugate priors.

Most give a value, and the conditions for it to be finite, by their names.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..families.compiled import dtype_of, repeat, shares, weighted_average
from ..geometry.duality import bregman_divergence

Conditions = dict[str, Bool[Array, ""]]


def conjugacy_of(family: Any) -> Any:
    """What a family says about the normalizer of its conjugate priors, `None` if nothing."""
    return getattr(family, "_conjugacy", None)


def raw(prior: Any) -> tuple[Any, Array]:
    """φ and ν, as raw coordinates and an array of their type."""
    total = prior.total.coords
    return total, prior.count.astype(dtype_of(total))


def to_means(family: Any, total: Any, count: Array) -> Any:
    """φ/ν; with two counts, the mean coordinates of the mode."""
    if count.ndim:
        return conjugacy_of(family).to_means(total, count)
    return jax.tree.map(lambda phi: phi / count, total)


def from_means(family: Any, means: Any, count: Array) -> Any:
    """The inverse."""
    count = count.astype(dtype_of(means))
    if count.ndim:
        return conjugacy_of(family).from_means(means, count)
    return jax.tree.map(lambda mean: mean * count, means)


def _kernel(prior: Any, name: str) -> Any:
    return partial(getattr(conjugacy_of(prior.family), name), prior.family)


@jax.jit
def conditions(prior: Any) -> Conditions:
    """What has to hold for the prior to be proper."""
    return _kernel(prior, "conditions")(*raw(prior))


@jax.jit
def holds(prior: Any, values: dict[str, Array]) -> Bool[Array, ""]:
    """Whether the hyper-parameters that a prior was made of can be read again, up to a percent."""
    read = _kernel(prior, "hyperparameters")(*raw(prior))
    near = [
        jnp.max(jnp.abs(read[name] - value)) <= 0.01 * jnp.max(jnp.abs(value))
        for name, value in values.items()
        if value is not None
    ]
    return jnp.all(jnp.stack(near))


@partial(jax.jit, static_argnums=1)
def evaluate(prior: Any, name: str, *args: Any) -> tuple[Array, Conditions]:
    """A kernel of φ, ν, and more."""
    return _kernel(prior, name)(*raw(prior), *args), conditions(prior)


@jax.jit
def expectations(prior: Any) -> tuple[Any, Float[Array, ""], Conditions]:
    """E[θ] and E[ψ(θ)]: the gradient of log Z."""
    log_normalizer = _kernel(prior, "log_normalizer")
    natural, minus_psi = jax.grad(log_normalizer, argnums=(0, 1))(*raw(prior))
    return natural, -jnp.sum(minus_psi), conditions(prior)


@partial(jax.jit, static_argnums=(1, 2))
def sample(
    prior: Any, shape: tuple[int, ...], predictive: bool, key: Key[Array, ""]
) -> tuple[Any, Conditions]:
    """Draws of θ with leading axes, or of data, each with a θ of its own."""
    kernel = _kernel(prior, "sample")

    def draw(key: Array, point: tuple) -> Any:
        first, second = jax.random.split(key)
        coords = kernel(first, *point)
        return prior.family._sample(second, coords) if predictive else coords

    for size in reversed(shape):
        draw = repeat(draw, size)
    return draw(key, raw(prior)), conditions(prior)


@jax.jit
def divergence(prior: Any, other: Any) -> tuple[Float[Array, ""], Conditions]:
    """KL(prior ‖ other), as a Bregman divergence of log Z."""
    (total, count), (end, end_count) = raw(prior), raw(other)
    shape = jnp.broadcast_shapes(count.shape, end_count.shape)
    log_normalizer = _kernel(prior, "log_normalizer")
    value = bregman_divergence(
        lambda point: log_normalizer(*point),
        (end, jnp.broadcast_to(end_count, shape)),
        (total, jnp.broadcast_to(count, shape)),
    )
    of_other = {f"{text} (of the other)": holds for text, holds in conditions(other).items()}
    return value, conditions(prior) | of_other


@jax.jit
def observe(prior: Any, xs: Any, weights: Array | None) -> tuple[Any, Array]:
    """φ + Σ w s(x) and ν + Σ w."""
    total, count = raw(prior)
    rows = jax.tree.leaves(xs)[0].shape[0]
    n = jnp.asarray(rows, count.dtype) if weights is None else jnp.sum(weights).astype(count.dtype)
    average = weighted_average(prior.family, xs, shares(weights, rows, dtype_of(xs)))
    added = jax.tree.map(lambda own, new: own + n * new.astype(own.dtype), total, average)
    return added, count + n


@jax.jit
def log_evidence(prior: Any, xs: Any, weights: Array | None) -> tuple[Float[Array, ""], Conditions]:
    """The log-density of rows at a point in the middle of the posterior, and the remainder."""
    after = observe(prior, xs, weights)
    reference, remainder = _kernel(prior, "compare")(raw(prior), after)
    logs = jax.vmap(lambda x: prior.family._log_density(reference, x))(xs)
    fit = jnp.sum(logs) if weights is None else jnp.dot(weights.astype(logs.dtype), logs)
    return fit + remainder, conditions(prior)


@partial(jax.jit, static_argnums=1)
def log_predictive(prior: Any, n_axes: int, x: Any) -> tuple[Float[Array, "*batch"], Conditions]:
    """The log-predictive of data points with leading axes."""
    one = partial(_kernel(prior, "log_predictive"), *raw(prior))
    for _ in range(n_axes):
        one = jax.vmap(one)
    return one(x), conditions(prior)
