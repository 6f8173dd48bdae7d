"""One way to require something of values: an exception, or `error_if` where they are traced."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool

T = TypeVar("T")


def require(values: T, condition: Bool[Array, ""] | bool, message: str | Callable[[], str]) -> T:
    """Return `values` where a condition on them holds.

    Args:
        values: what to pass on.
        condition: scalar; may be traced.
        message: what was expected, what came, what to do; a function where that costs something.

    Raises:
        ValueError: where the condition is known and false.
        RuntimeError: at run time, from `equinox.error_if`, where the condition was traced.
    """
    if isinstance(condition, Tracer):
        # `error_if` copies what it is given, to one device: it is given one number, which it
        # returns, and which the values are made to depend on.
        one = eqx.error_if(
            jnp.ones(()), ~condition, message if isinstance(message, str) else message()
        )
        return jax.tree.map(lambda leaf: _where(one == 1, leaf), values)
    if not condition:
        raise ValueError(message if isinstance(message, str) else message())
    return values


def _where(good: Bool[Array, ""], leaf: Array) -> Array:
    # EQX_ON_ERROR=nan makes values NaN where it can.
    bad = jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0
    return jnp.where(good, leaf, jnp.asarray(bad, leaf.dtype))


def require_shape(value: Any, shape: tuple[int, ...], owner: str, argument: str) -> None:
    """Refuse an argument of another shape.

    Args:
        value: an array, a number, or nested sequences of numbers.
        shape: what its shape must be.
        owner: class and method, for the message.
        argument: public name of the argument, for the message.

    Raises:
        ValueError: where it has another shape.
    """
    if jnp.shape(value) != shape:
        raise ValueError(
            f"{owner}: `{argument}` must have shape {shape}, but has shape {jnp.shape(value)}."
        )
