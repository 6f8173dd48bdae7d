"""Which estimates lie at an end of their range, in words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..families.compiled import total_weight
from ..families.ends import Gaps, gaps
from ..families.support import Support, leaves_of

# Rows expected of an event, or a component, below which none has it: one that occurred is expected
# about once.
_NONE = 0.01


def on_boundary(model: Any, coords: Any, xs: Any, weights: Any) -> tuple[str, ...]:
    """The events that are never, or always, expected, and the components without weight.

    Args:
        model: the model.
        coords: its natural coordinates.
        xs: rows that it was fitted to.
        weights: of the rows; `None`: equal.
    """
    leaves = leaves_of(model.observed_support)
    if all(leaf.is_real for leaf in leaves):
        return ()
    found, shares = jax.device_get(_look(model, coords))
    rows = float(total_weight(xs, weights)) * shares
    names = [f"component {k}: " if model.n_labels else "" for k in range(len(shares))]
    words = [f"{name}no weight" for name, n in zip(names, rows, strict=True) if n < _NONE]
    for i, one in enumerate(found):
        if one is not None:
            x = "x" if len(leaves) == 1 else f"x[{i}]"
            words += _words(leaves[i], one, x, names, rows)
    return tuple(words)


@jax.jit
def _look(model: Any, coords: Any) -> tuple[list[Gaps | None], Float[Array, " k"]]:
    # Arrays of the gaps, along an axis of components, and the weights of these.
    found = gaps(model, coords)
    if model.n_labels:
        return found, jnp.exp(model.interaction.log_weights(coords))
    return jax.tree.map(lambda leaf: leaf[None], found), jnp.ones(1)


def _words(support: Support, found: Gaps, x: str, names: list[str], rows: np.ndarray) -> list[str]:
    words = []
    for gap, end in ((found.low, _low(support)), (found.high, support.limit or 1)):
        expected = gap * np.reshape(rows, (-1, *(1,) * (gap.ndim - 1)))
        holds = np.reshape(rows >= _NONE, (-1, *(1,) * (gap.ndim - 1)))
        for k, *index in np.argwhere((expected < _NONE) & holds):
            # the last index of categories is the category
            last = index.pop() if support.kind == "category" else None
            where = f"{names[k]}{x}" + "".join(f"[{place}]" for place in index)
            words.append(f"{where} is always {end}" if last is None else f"{where} is never {last}")
    return words


def _low(support: Support) -> int:
    return 1 if support.kind == "positive count" else 0
