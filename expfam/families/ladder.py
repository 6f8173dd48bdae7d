"""Numbers of rows in few sizes, so that other numbers of rows run the same compiled programs.

Rows are filled up to the next rung of a ladder: with rows of weight zero where they are summed,
with rows whose results are dropped where each has its own. Results are the same, up to the rounding
of sums. Arrays go to the device by `device_put`: `jnp.asarray` compiles a program for every shape.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from ..geometry.programs import is_at_hand
from . import compiled
from .compiled import dtype_of

# The lowest rung of rows that are summed, and of rows that have results of their own: one row and a
# thousand run the same program. The number of rows from which on a copy of them costs too much.
_SUMMED, _MAPPED, _MANY = 128, 1024, 1 << 17
# Numbers that rows up to the lowest rung hold together at most: of sequences it is lower.
_NUMBERS = 1 << 15

# whether rows are filled up
_SETTING = {"pad": True}


def pad_rows(on: bool) -> None:
    """Say whether numbers of rows are rounded up to few sizes, as they are by default.

    Programs are compiled for every number of rows anew. Rounded up, folds, subsets, batches and new
    data find those that are there. Turn it off where memory or the last third of speed counts more.

    Args:
        on: whether to round up.
    """
    _SETTING["pad"] = bool(on)


def over_data(kernel: Any, n_axes: int, family: Any, coords: Any, x: Any) -> Any:
    """A kernel (family, coordinates, datum), compiled and mapped over leading axes of the data."""
    if n_axes > 1 or any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((coords, x))):
        return compiled.over_data(kernel, n_axes, 1)(family, coords, x)
    rows = x if n_axes else jax.tree.map(lambda leaf: np.asarray(leaf)[None], x)
    if not _can_pad(rows):
        return compiled.over_data(kernel, n_axes, 1)(family, coords, x)
    n = jax.tree.leaves(rows)[0].shape[0]
    rows = _lengthen(rows, rung(n, _lowest(rows, _MAPPED)))
    found = jax.tree.map(np.asarray, compiled.over_data(kernel, 1, 1)(family, coords, rows))
    return jax.tree.map(lambda leaf: jax.device_put(leaf[:n] if n_axes else leaf[0]), found)


def padded(xs: Any, weights: Array | None) -> tuple[Any, Array | None]:
    """Weighted rows up to the next rung: the last one repeated, with weight zero.

    Rows stay as they are where they are too many, are being traced, or do not lie on one CPU.

    Args:
        xs: rows, a tree of arrays with one leading axis.
        weights: of the rows, or `None`.
    """
    n = jax.tree.leaves(xs)[0].shape[0]
    size = rung(n, _lowest(xs, _SUMMED))
    if n == size or not _can_pad((xs, weights)):
        return xs, weights
    own = np.ones(n, dtype_of(xs)) if weights is None else np.asarray(weights)
    shares = np.concatenate([own, np.zeros(size - n, own.dtype)])
    return _lengthen(xs, size), jax.device_put(shares)


def rung(n: int, lowest: int) -> int:
    """The next rung at or above a number of rows: 1, 1½, 2, 3, 4, 6, … times the lowest."""
    size = lowest
    while size < n:
        size *= 2
    return 3 * size // 4 if lowest < size and n <= 3 * size // 4 else size


def _lowest(rows: Any, most: int) -> int:
    numbers = sum(int(np.prod(np.shape(leaf)[1:])) for leaf in jax.tree.leaves(rows))
    return min(most, max(1, _NUMBERS // max(1, numbers)))


def _can_pad(rows: Any) -> bool:
    if isinstance(jnp.zeros(()), Tracer):
        # while a program around this is traced, nothing is at hand
        return False
    leaves = jax.tree.leaves(rows)
    few = bool(leaves) and 0 < leaves[0].shape[0] <= _MANY
    return _SETTING["pad"] and few and all(map(is_at_hand, leaves))


def _lengthen(rows: Any, size: int) -> Any:
    return jax.tree.map(lambda leaf: jax.device_put(_longer(np.asarray(leaf), size)), rows)


def _longer(leaf: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([leaf, np.broadcast_to(leaf[-1:], (size - len(leaf), *leaf.shape[1:]))])
