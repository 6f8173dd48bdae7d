"""One way to require something of values: an exception, or `error_if` where they are traced."""

from collections.abc import Callable
from typing import TypeVar

import equinox as eqx
from jax.core import Tracer
from jaxtyping import Array, Bool

T = TypeVar("T")


def require(values: T, condition: Bool[Array, ""], message: str | Callable[[], str]) -> T:
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
        return eqx.error_if(values, ~condition, message if isinstance(message, str) else message())
    if not condition:
        raise ValueError(message if isinstance(message, str) else message())
    return values
