"""How rows are assigned to components between two M-steps, and components whose weights are fixed.

Classification EM sees the most probable component of every row as if it were its label, stochastic
EM a draw from its responsibilities (Celeux & Govaert 1992). The rest of a step is that of EM.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.observations import Incomplete, Labeled, is_incomplete, map_leaves, split_labels
from ..harmonium.base import AbstractHarmonium
from ..harmonium.interaction import HarmoniumCoords

ASSIGNMENTS = ("soft", "hard", "sampled")

# Rows whose responsibilities are held at a time.
_ROWS = 1024


def assigned(model: Any, how: str, key: Key[Array, ""] | None, coords: Any, xs: Any) -> Any:
    """Rows of which the component number is seen, as a method assigns it; a kernel.

    Args:
        model: the model; any, where rows stay as they are.
        how: one of `ASSIGNMENTS`; "soft" leaves rows as they are.
        key: for draws; `None` where none are made.
        coords: the coordinates that assign.
        xs: rows; known labels stay.
    """
    if how == "soft":
        return xs

    def label(row: Any) -> Array:
        x, i = row
        logits = model.interaction.log_assignments(coords, x)
        if how == "hard" or key is None:
            return jnp.argmax(logits)
        return jax.random.categorical(jax.random.fold_in(key, i), logits)

    data, _ = split_labels(xs)
    n = jax.tree.leaves(data)[0].shape[0]
    # Each row for itself, whatever pattern of missing cells it shares with others.
    rows = map_leaves(_alone, xs), jnp.arange(n)
    labels = jax.vmap(label)(rows) if n <= _ROWS else jax.lax.map(label, rows, batch_size=_ROWS)
    return Labeled(data, labels)


def _alone(leaf: Any) -> Any:
    return Incomplete(leaf.values, leaf.observed) if is_incomplete(leaf) else leaf


def reweighted(model: AbstractHarmonium, coords: Any, weights: Float[Array, " k"]) -> Any:
    """The same components with other weights; a kernel.

    Mathematically, w_k + log π'_k − log π_k in place of w_k, the coordinate of 1[z = k]: whatever
    else z selects stays.

    Args:
        model: the model, which has components.
        coords: natural coordinates.
        weights: π'.
    """
    change = jnp.log(weights) - model.interaction.log_weights(coords)
    return _shifted(coords, change - change[0])


def _shifted(coords: Any, change: Float[Array, " k"]) -> Any:
    # The log-weights of the component are the innermost latent coordinates.
    latent = coords.latent
    nested = isinstance(latent, HarmoniumCoords)
    return replace(coords, latent=_shifted(latent, change) if nested else latent + change)


def weights_to_hold(weights: Any) -> tuple[float, ...] | str | None:
    """The setting `fixed_weights`, hashable.

    Raises:
        ValueError: what is neither `None`, "equal" nor positive numbers that sum to one.
    """
    if weights is None or (isinstance(weights, str) and weights == "equal"):
        return weights
    try:
        shares = np.asarray(weights, float)
    except (TypeError, ValueError):
        shares = np.zeros(0)
    if shares.ndim != 1 or not (np.all(shares > 0) and abs(np.sum(shares) - 1) < 1e-4):
        raise ValueError(
            'EM: `fixed_weights` must be "equal" or one positive number for each component, which '
            f"sum to one, but is {weights!r}."
        )
    return tuple((shares / np.sum(shares)).tolist())
