"""Trees of arrays in a few lines, for people."""

import re
from html import escape
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .programs import is_at_hand

# Numbers of an array that are shown in full; of longer ones the first and last, or the range.
_FEW = 12


def readable(title: str, tree: Any) -> str:
    """A title, and a line for every array of a tree: its name, shape and numbers.

    Args:
        title: the first line.
        tree: a tree of arrays; those that are being traced are shown as their types.
    """
    found = jax.tree_util.tree_leaves_with_path(tree)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found]
    width = max(map(len, names), default=0)
    lines = [
        f"  {name:{width}}  {numbers(leaf)}" for name, (_, leaf) in zip(names, found, strict=True)
    ]
    return "\n".join([title, *lines])


def numbers(leaf: Any) -> str:
    """An array in one line."""
    if not (eqx.is_array(leaf) and is_at_hand(leaf)):
        return eqx.tree_pformat(leaf)
    array = np.asarray(leaf)
    if array.size > _FEW and array.ndim > 1:
        return f"shape {array.shape}, from {array.min():.4g} to {array.max():.4g}"
    shown = np.array2string(array, precision=4, threshold=_FEW, edgeitems=3, separator=", ")
    joined = re.sub(r" +(?=[,\]])|(?<=\[) +", "", " ".join(shown.split()))
    return joined if array.size <= _FEW else f"{joined}  shape {array.shape}"


def as_html(text: str) -> str:
    """Text for a notebook, its lines as they are."""
    return f"<pre>{escape(text)}</pre>"
