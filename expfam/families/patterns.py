"""Rows in the order of which cells they miss: what depends on these alone is computed once.

A normal with missing cells needs one factorization for each pattern of missing cells. Rows are
brought, on the host, into groups of one pattern each, filled up with rows of weight zero.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from ..geometry.shards import devices_of
from .compiled import dtype_of
from .observations import Incomplete, incomplete_leaves, is_incomplete, map_leaves

# Sizes of groups to choose from, and what a factorization costs, in rows.
_SIZES, _FACTORIZATION = (1024, 512, 256, 128, 64, 32, 16, 8), 8


def by_pattern(xs: Any, weights: Array | None) -> tuple[Any, Array | None]:
    """The same weighted rows, in groups of one pattern of missing cells each.

    Rows stay as they are where nothing is missing, where nearly each has a pattern of its own,
    and where they are not at hand (under `jit`, on several devices).

    Args:
        xs: rows.
        weights: of the rows, or `None`.
    """
    masks = [leaf.observed for leaf in incomplete_leaves(xs)]
    known = not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((xs, weights)))
    if not masks or not known or devices_of(xs) is not None:
        return xs, weights
    seen = np.concatenate([np.asarray(mask).reshape(len(mask), -1) for mask in masks], axis=1)
    n = len(seen)
    packed = np.packbits(seen, axis=1)
    _, pattern, counts = np.unique(packed, axis=0, return_inverse=True, return_counts=True)

    def cost(size: int) -> int:
        return int(np.sum(-(-counts // size))) * (size + _FACTORIZATION)

    size = min(_SIZES, key=cost)
    if cost(size) >= n * (1 + _FACTORIZATION):
        return xs, weights
    # Each pattern fills whole groups; what is left of the last one repeats a row, with weight zero.
    order = np.argsort(pattern.reshape(-1), kind="stable")
    filled = -(-counts // size) * size
    begins, starts = np.cumsum(counts) - counts, np.cumsum(filled) - filled
    owner = np.repeat(np.arange(len(counts)), filled)
    place = np.arange(filled.sum()) - starts[owner]
    rows = jnp.asarray(order[begins[owner] + np.minimum(place, counts[owner] - 1)])
    dtype = dtype_of(xs) if weights is None else weights.dtype
    own = jnp.ones(n, dtype) if weights is None else weights

    def chosen(leaf: Any) -> Any:
        moved = jax.tree.map(lambda a: jnp.asarray(a)[rows], leaf)
        return Incomplete(moved.values, moved.observed, size) if is_incomplete(leaf) else moved

    return map_leaves(chosen, xs), jnp.where(place < counts[owner], own[rows], 0)
