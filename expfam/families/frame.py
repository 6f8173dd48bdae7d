"""Frames: affine changes of real coordinates, in which statistics are taken."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..geometry.structures import AbstractStructure, Identity, Leaf, Scale


@final
class Frame(eqx.Module):
    """Where a family of real vectors has its origin and its units: u = (x − shift)/scale.

    Attributes:
        shift: origin, shape `(d,)`.
        scale: positive units, shape `(d,)`.
    """

    shift: Float[Array, " d"]
    scale: Float[Array, " d"]

    def enter(self, x: Float[Array, " d"]) -> Float[Array, " d"]:
        """u of x."""
        return (x - self.shift) / self.scale

    def leave(self, u: Float[Array, " d"]) -> Float[Array, " d"]:
        """x of u."""
        return self.shift + self.scale * u

    @property
    def log_volume(self) -> Float[Array, ""]:
        """log |dx/du|."""
        return jnp.sum(jnp.log(self.scale))


def frame_of(xs: Any, shares: Any, structure: AbstractStructure | None) -> Frame:
    """The frame of the weighted mean and standard deviations of rows.

    Args:
        xs: rows, shape `(n, d)`, of JAX or of NumPy.
        shares: weights that sum to one, shape `(n,)`.
        structure: covariance structure that the scaling has to keep: one unit for all columns with
            `Scale`, unit 1 with `Identity`, or where it is `None`.

    Raises:
        ValueError: a row, of NumPy, whose square is too large for the type.
    """
    xp: Any = np if isinstance(xs, np.ndarray) else jnp
    # The mean about a first mean: the first one carries the rounding of a long sum.
    first = shares @ xs
    centered = xs - first
    shift = first + shares @ centered
    if structure is None or structure == Identity():
        return _frame(shift, xp.ones_like(shift))
    with np.errstate(over="ignore", invalid="ignore"):
        variances = shares @ (xs - shift) ** 2
    if xp is np and not np.all(np.isfinite(variances)):
        i, j = np.unravel_index(np.argmax(np.abs(xs)), xs.shape)
        raise ValueError(
            f"the squares of `xs` must be numbers of type {xs.dtype}, but row {i}, column {j}, is "
            f"{xs[i, j]:.3g}. If it stands for a missing value, mark it with expfam.incomplete."
        )
    if structure == Scale():
        variances = xp.full_like(variances, xp.mean(variances))
    # Constant columns keep their unit.
    noise = 16 * jnp.finfo(xs.dtype).eps ** 2 * shift**2
    return _frame(shift, xp.sqrt(xp.where(variances > noise, variances, 1)).astype(shift.dtype))


def _frame(*arrays: Any) -> Frame:
    return Frame(*(jax.device_put(a) if isinstance(a, np.ndarray) else a for a in arrays))


def rescale(leaf: Leaf, factors: Array | float) -> Leaf:
    """aΘa of a second-order leaf, for a diagonal matrix a."""
    if leaf is None or not isinstance(factors, jax.Array):
        return leaf
    if leaf.ndim == 2:
        return leaf * jnp.outer(factors, factors)
    return leaf * (factors**2 if leaf.ndim == 1 else factors[0] ** 2)
