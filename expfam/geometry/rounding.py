"""What types of numbers have digits for."""

from typing import Any

import jax.numpy as jnp


def is_coarse(dtype: Any) -> bool:
    """Whether a floating-point type has no digits to spare, as float32 and shorter ones."""
    return bool(jnp.finfo(dtype).eps > jnp.finfo(jnp.float64).eps)
