"""Rows far from all components of a mixture: which one is the closest."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.observations import has_gaps, split_labels
from ..geometry.points import pairing
from ..geometry.spaces import has_ledger

# Rounding of log-densities, in nats, from which on their differences are formed otherwise.
_ROUNDING = 0.01


def distinct_logits(interaction: Any, coords: Any, x: Any) -> Float[Array, " k"]:
    """Logits of the components given an observation, up to a constant, also far from all of them.

    There the logits are large, and differ by less than their rounding, or are no numbers. What is
    left is ⟨θ_k − θ_0, s(x)⟩, of which all that the components have in common has dropped out.

    Args:
        interaction: a one-hot interaction.
        coords: natural coordinates.
        x: an observation, with or without gaps and label.
    """
    logits = interaction.logits_given(coords, x)
    data, label = split_labels(x)
    if interaction.nested or has_gaps(data) or has_ledger(interaction.component.spaces):
        return logits
    kind = jnp.finfo(logits.dtype)
    parts = interaction.components(coords)
    first = jax.tree.map(lambda leaf: leaf[0], parts)
    # of a size at which products with s(x) are numbers
    largest = float(kind.max) ** 0.75
    statistic = jax.tree.map(
        lambda leaf: jnp.clip(leaf, -largest, largest),
        interaction.component._sufficient_statistic(data),
    )
    apart = jax.vmap(lambda c: pairing(jax.tree.map(jnp.subtract, c, first), statistic))(parts)
    apart = jnp.nan_to_num(apart + (coords.latent - coords.latent[0]))
    far = ~(jnp.max(logits) > -_ROUNDING / kind.eps)
    return jnp.where(far, interaction.labeled(apart, label), logits)
