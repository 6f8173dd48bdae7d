"""Where fits start: short runs of many starts of several kinds, of which likelihood chooses."""

from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.compiled import initialize_from_sample
from ..families.observations import labeled, split_labels
from ..families.sketches import KINDS, sketches, some_rows
from ..families.support import check_observations
from .loop import RUNNING, Rules, begin, take
from .methods import EM, AbstractMethod
from .sources import CHUNK, climb, slots_for

# Starts that are tried for each one that is asked for.
_TRIED = 4

# Steps of EM that tell good starts from bad ones: those of one call of the loop.
_STEPS = CHUNK


def starts(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    key: Key[Array, ""],
    xs: Any,
    weights: Float[Array, " n"] | None,
    prior: Any,
    count: int,
) -> tuple[Any, np.ndarray]:
    """Coordinates to start from, the best first, along a leading axis.

    Several times as many starts of all kinds are improved by a few steps of EM on some of the rows;
    the likelihood then chooses (Biernacki, Celeux & Govaert 2003). Degenerate ones come last.

    Args:
        model: the model, in the frame of the rows.
        method: of the fit; steps of plain EM are those of its own program.
        key: JAX random key.
        xs: rows of observations; of a stream, the first ones.
        weights: n numbers, not negative; equal where not given.
        prior: conjugate prior, or `None`.
        count: number of starts.

    Returns:
        The coordinates, NumPy arrays, and which of them lie in the domain.
    """
    kinds = list(islice(cycle(KINDS), _TRIED * count))
    found = sketches(model, key, xs, weights, kinds)
    if not jax.tree.leaves(found):
        # Without latent variables there is one start, the maximum.
        coords, valid = initialize_from_sample(model, found, key, xs, weights)
        return jax.tree.map(lambda a: np.stack([a] * count), (coords, valid))
    made = [
        initialize_from_sample(model, take(found, i), key, xs, weights) for i in range(len(kinds))
    ]
    coords, valid = jax.tree.map(lambda *leaves: np.stack(leaves), *made)
    rows, parts = some_rows(xs, weights)
    coords, ranked = _climb(model, method, coords, valid, rows, parts, prior, slots_for(count))
    best = np.argsort(_lost(ranked), kind="stable")[:count]
    return take(coords, best), valid[best]


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


def _lost(objectives: np.ndarray) -> np.ndarray:
    # What is lost against the best, in units of rounding: where that is all, the first one counts.
    top = objectives.max()
    unit = 64 * np.finfo(objectives.dtype).eps * max(1.0, abs(top))
    return np.floor((top - objectives) / unit) if np.isfinite(top) else np.zeros_like(objectives)


def _climb(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    coords: Any,
    valid: np.ndarray,
    xs: Any,
    weights: Array | None,
    prior: Any,
    width: int,
) -> tuple[Any, np.ndarray]:
    # What a few steps reach, and the objective before the last one, −∞ where any was not valid. All
    # run in the slots of the loop, a few at a time.
    usual = isinstance(method, EM) and method.plan.assignments == "soft" and not method.acceleration
    plain = method if usual else EM()
    reached, ranked = [], []
    for first in range(0, len(valid), width):
        slots = np.arange(first, first + width) % len(valid)
        run = begin(model, plain, take(coords, slots), valid[slots])
        data = xs, weights, prior, None, Rules(_STEPS, -1.0), _STEPS
        run, _, ends = climb(model, plain, *data, run)
        reached.append(jax.tree.map(np.asarray, ends))
        objectives = np.asarray(run.past)[:, 0]
        ranked.append(np.where(np.asarray(run.code) == RUNNING, objectives, -np.inf))
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(valid)], *reached)
    return joined, np.concatenate(ranked)[: len(valid)]
