"""Where fits start."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.compiled import dtype_of


@jax.jit
def starts(
    model: AbstractExponentialFamily,
    keys: Key[Array, " restarts"],
    xs: Any,
    weights: Float[Array, " n"] | None,
) -> Any:
    """Coordinates to start from, a leading axis of restarts, one for each key.

    Args:
        model: the model, in the frame of the rows.
        keys: JAX random keys.
        xs: rows of observations; of a stream, the first ones.
        weights: n numbers, not negative; equal where not given.
    """
    n, dtype = jax.tree.leaves(xs)[0].shape[0], dtype_of(xs)
    parts = jnp.ones((n,), dtype) if weights is None else weights.astype(dtype)
    return jax.vmap(lambda key: model._initialize_from_sample(key, xs, parts))(keys)
