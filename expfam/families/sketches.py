"""Sketches of starts: the little that decides where a fit begins, found on the host in NumPy.

What is done once on data that are at hand is not worth a compiled program. Only what follows from a
sketch, such as the estimates of the components, is compiled.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.experimental import multihost_utils
from jaxtyping import Array, Key

from ..geometry.programs import compiled_once
from ..geometry.table import Kind, Seeds, Table
from .compiled import dtype_of
from .observations import fill, split_labels

# Rows that are looked at.
_ROWS = 1 << 14

# The kinds of starts, in the order in which they are tried.
KINDS = (
    Kind(scaled=True, white=False, seeds=Seeds.CENTERS),
    Kind(scaled=False, white=False, seeds=Seeds.CENTERS),
    Kind(scaled=True, white=True, seeds=Seeds.CENTERS),
    Kind(scaled=False, white=True, seeds=Seeds.CENTERS),
    Kind(scaled=True, white=False, seeds=Seeds.ROWS),
    Kind(scaled=False, white=False, seeds=Seeds.ROWS),
    Kind(scaled=True, white=True, seeds=Seeds.ROWS),
    Kind(scaled=True, white=True, seeds=Seeds.DIRECTIONS),
)


def sketches(
    family: Any, key: Key[Array, ""], xs: Any, weights: Array | None, kinds: Sequence[Kind]
) -> Any:
    """Sketches of several starts, along a leading axis; without leaves where there is one start.

    Args:
        family: any family.
        key: JAX random key.
        xs: rows of observations.
        weights: of the rows, not negative; equal where not given.
        kinds: the kinds of the starts.
    """
    if family.observed_support == family.support:
        return ()
    xs, weights = some_rows(xs, weights)
    dtype = dtype_of(xs)
    features = _features(family, key, xs)
    weights = jnp.ones(features.shape[0], dtype) if weights is None else weights
    eps = float(jnp.finfo(dtype).eps)
    _, labels = split_labels(xs)
    known = isinstance(labels, np.ndarray | Array) and not isinstance(labels, Tracer)
    names = _fetched(jnp.asarray(labels)) if known else None

    def on_host(words: Any, features: Any, weights: Any) -> Any:
        rows, parts = (np.asarray(a, np.float64) for a in (features, weights))
        seeds = np.random.SeedSequence(np.asarray(words).ravel().tolist()).spawn(len(kinds))
        table = Table(rows, parts, eps, labels=names)
        found = [
            family._sketch(np.random.default_rng(seed), table, kind)
            for seed, kind in zip(seeds, kinds, strict=True)
        ]
        return jax.tree.map(lambda *leaves: np.stack(leaves).astype(dtype), *found)

    known = jax.random.key_data(key), features, weights
    if not any(isinstance(leaf, Tracer) for leaf in known):
        return on_host(*map(_fetched, known))
    # While a program is traced: its first rows are not known yet, but the shapes of sketches are.
    like = on_host(np.zeros(2, np.uint32), np.ones(features.shape), np.ones(weights.shape))
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like)
    return jax.pure_callback(on_host, shapes, *known, vmap_method="sequential")


def some_rows(xs: Any, weights: Array | None) -> tuple[Any, Array | None]:
    """Rows to find a start from, and their weights: all of them, or 16384."""
    n = jax.tree.leaves(xs)[0].shape[0]
    if n <= _ROWS:
        return xs, weights
    chosen = np.sort(np.random.default_rng(0).choice(n, _ROWS, replace=False))
    return jax.tree.map(lambda leaf: leaf[chosen], (xs, weights))


def _fetched(array: Array) -> np.ndarray:
    # Rows that other processes hold are sent around.
    if array.is_fully_addressable or array.is_fully_replicated:
        return np.asarray(array)
    return np.asarray(multihost_utils.process_allgather(array, tiled=True))


@compiled_once
def _features(family: Any, key: Array, xs: Any) -> Array:
    # Vectors in which distances make sense.
    return jax.vmap(family._features)(fill(key, xs))
