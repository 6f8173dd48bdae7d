"""Roots of monotone functions of one variable, in a bounded number of steps, differentiable."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Scalar = Float[Array, ""]

_POLISH_STEPS = 3


def solve_decreasing(
    function: Callable[[Scalar, Any], Scalar],
    args: Any,
    low: Scalar,
    high: Scalar,
    steps: int = 40,
) -> Scalar:
    """The root of a decreasing function of one variable inside a bracket.

    Newton's method, with a bisection in place of every step that leaves the bracket (Press et al.,
    Numerical Recipes, section 9.4); then plain Newton steps down to rounding. Differentiable in
    `args` by the implicit function theorem.

    Args:
        function: maps a number and `args` to a number; decreasing in the first.
        args: what else it depends on; derivatives with respect to them are exact.
        low: where the function is not negative.
        high: where it is not positive.
        steps: number of steps.

    Returns:
        The root; NaN where `args` have NaN.
    """
    from .solvers import polish

    fixed, low, high = jax.lax.stop_gradient((args, low, high))

    def step(_: Array, state: tuple) -> tuple:
        x, below, above = state
        value, slope = jax.value_and_grad(function)(x, fixed)
        below = jnp.where(value >= 0, x, below)
        above = jnp.where(value <= 0, x, above)
        following = x - value / slope
        good = (following >= below) & (following <= above)
        return jnp.where(good, following, (below + above) / 2), below, above

    near = jax.lax.fori_loop(0, steps, step, ((low + high) / 2, low, high))[0]
    return polish(function, near, args, 4, _POLISH_STEPS)
