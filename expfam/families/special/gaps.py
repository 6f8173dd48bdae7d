"""Gaps of averages, log E x − E log x and their like, of which the spread of the rows is known.

A gap of zero belongs to rows that are equal: their likelihood has no maximum.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Scalar = Float[Array, ""]


def gap_beyond(gap: Scalar, noise: Scalar | np.floating) -> Scalar:
    """A gap that is more than its rounding; NaN below that."""
    return jnp.where(gap > noise, gap, jnp.nan)


def gap_of_step(gap: Scalar, present: Scalar, scale: Scalar) -> Scalar:
    """A gap that is the difference of averages of a given size, as a step of a fit takes it.

    What differs from the gap of the present point by no more than rounding is no reason to move:
    the objective would fall as often as rise. NaN where nothing but rounding is left.
    """
    noise = 16 * jnp.finfo(gap.dtype).eps * scale
    return gap_beyond(jnp.where(jnp.abs(gap - present) <= noise, present, gap), noise)
