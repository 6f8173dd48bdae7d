"""Where fits start: short runs of many starts of several kinds, of which likelihood chooses."""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.compiled import initialize_from_sample
from ..families.observations import labeled, split_labels
from ..families.sketches import KINDS, sketches, some_rows
from ..families.support import check_observations

# Starts that are tried for each one that is asked for.
_TRIED = 4

# Steps of EM that tell good starts from bad ones.
_STEPS = 20


def starts(
    model: AbstractExponentialFamily,
    key: Key[Array, ""],
    xs: Any,
    weights: Float[Array, " n"] | None,
    prior: Any,
    count: int,
) -> Any:
    """Coordinates to start from, the best first, along a leading axis.

    Several times as many starts of all kinds are improved by a few steps of EM on some of the rows;
    the likelihood then chooses (Biernacki, Celeux & Govaert 2003). Degenerate ones come last.

    Args:
        model: the model, in the frame of the rows.
        key: JAX random key.
        xs: rows of observations; of a stream, the first ones.
        weights: n numbers, not negative; equal where not given.
        prior: conjugate prior, or `None`.
        count: number of starts.
    """
    kinds = list(islice(cycle(KINDS), _TRIED * count))
    found = sketches(model, key, xs, weights, kinds)
    if not jax.tree.leaves(found):
        # Without latent variables there is one start, the maximum.
        coords, _ = initialize_from_sample(model, found, key, xs, weights)
        return jax.tree.map(lambda leaf: jnp.stack([leaf] * count), coords)
    coords = _starts(model, found, key, xs, weights)
    rows, parts = some_rows(xs, weights)
    climbed, objectives, sound = _climb(model, coords, rows, parts, prior)
    ranked = np.where(np.asarray(sound), np.asarray(objectives), -np.inf)
    best = np.argsort(-ranked, kind="stable")[:count]
    return jax.tree.map(lambda leaf: leaf[best], climbed)


def clustered(
    model: AbstractExponentialFamily, xs: Any, weights: Any, start: ArrayLike | Sequence[Any]
) -> tuple[Any, Any]:
    """Rows, and their weights, of which a clustering says the component.

    Args:
        model: the model.
        xs: n rows.
        weights: of the rows; `None`: equal.
        start: component numbers of the rows, −1 where not known, or responsibilities `(n, K)`.

    Raises:
        TypeError: a model without components.
        ValueError: a clustering of another shape, or that none can be.
    """
    count = model.n_labels
    if not count:
        raise TypeError(
            f"fit: `start` is a clustering, but {type(model).__name__} has no components."
        )
    given = np.asarray(start)
    data, _ = split_labels(xs)
    if given.ndim == 1:
        return labeled(data, given), weights
    checked, n = check_observations(model, data, "fit")
    if given.shape != (n, count):
        raise ValueError(
            f"fit: `start` must hold {n} component numbers, or responsibilities of shape "
            f"({n}, {count}), but has shape {given.shape}."
        )
    if not (np.all(given >= 0) and np.all(np.isfinite(given))):
        raise ValueError("fit: `start` must not be negative, and finite.")
    # Each row once for every component, with the weight of its responsibility.
    own = np.ones(n) if weights is None else np.asarray(weights)
    rows = jax.tree.map(lambda leaf: jnp.repeat(leaf, count, axis=0), checked)
    labels = np.tile(np.arange(count), n)
    return labeled(rows, labels), (own[:, None] * given).reshape(-1)


@jax.jit
def _starts(
    model: AbstractExponentialFamily, found: Any, key: Array, xs: Any, weights: Array | None
) -> Any:
    return jax.vmap(lambda sketch: initialize_from_sample(model, sketch, key, xs, weights)[0])(
        found
    )


@jax.jit
def _climb(
    model: AbstractExponentialFamily, starts: Any, xs: Any, weights: Array | None, prior: Any
) -> tuple[Any, Float[Array, " starts"], Bool[Array, " starts"]]:
    # What a few steps reach, its objective, and whether all of them were valid.
    def climb(coords: Any) -> tuple[Any, Array, Array]:
        def step(state: Any, _: None) -> tuple[Any, None]:
            coords, _, sound = state
            following, objective, valid = model._em_step(coords, xs, weights, prior)
            sound = sound & valid & jnp.isfinite(objective)
            kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), following, coords)
            return (kept, objective, sound), None

        zero = jnp.zeros((), jax.tree.leaves(coords)[0].dtype)
        begin = coords, zero, model._in_domain(coords)
        return jax.lax.scan(step, begin, length=_STEPS)[0]

    return jax.vmap(climb)(starts)
