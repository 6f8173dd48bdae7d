"""One way to require something of values: an exception, or `error_if` where they are traced."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from operator import index
from typing import Any, SupportsIndex, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool

T = TypeVar("T")

_NAN_WHERE_TRACED = ContextVar("_NAN_WHERE_TRACED", default=False)


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
        if _NAN_WHERE_TRACED.get():
            return jax.tree.map(lambda leaf: _where(condition, leaf), values)
        # `error_if` copies what it is given, to one device: it is given one number, which it
        # returns, and which the values are made to depend on.
        one = eqx.error_if(
            jnp.ones(()), ~condition, message if isinstance(message, str) else message()
        )
        return jax.tree.map(lambda leaf: _where(one == 1, leaf), values)
    if not condition:
        raise ValueError(message if isinstance(message, str) else message())
    return values


@contextmanager
def nan_where_traced() -> Iterator[None]:
    """A block in which values whose condition does not hold are NaN where they are traced."""
    token = _NAN_WHERE_TRACED.set(True)
    try:
        yield
    finally:
        _NAN_WHERE_TRACED.reset(token)


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


def whole(owner: str, argument: str, least: int) -> Callable[[SupportsIndex], int]:
    """A converter to Python's whole numbers, of whatever type they are, from a least one on.

    Args:
        owner: class or function, for the message.
        argument: public name of the argument, for the message.
        least: the smallest that is allowed.

    Returns:
        A function that raises a ValueError for a smaller number, or for what is no whole number.
    """

    def convert(value: Any) -> int:
        try:
            number = index(value)
        except TypeError:
            number = least - 1
        if number < least:
            raise ValueError(
                f"{owner}: `{argument}` must be an integer of at least {least}, but is {value!r}."
            )
        return number

    return convert


def check_axes(shape: Any, owner: str) -> tuple[int, ...]:
    """The leading axes of draws: a tuple of lengths, or one length.

    Raises:
        ValueError: where they are not whole numbers from 0 on.
    """
    convert = whole(owner, "shape", 0)
    return tuple(map(convert, shape if isinstance(shape, tuple | list) else (shape,)))


def check_key(key: Any, owner: str) -> None:
    """Refuse what is not one JAX random key.

    Raises:
        TypeError: another type.
        ValueError: several keys.
    """
    kind = getattr(key, "dtype", None)
    typed = kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key)
    if not isinstance(key, jax.Array) or not (typed or kind == jnp.uint32):
        hint = f"jax.random.key({key})" if isinstance(key, int) else "jax.random.key(0)"
        raise TypeError(
            f"{owner}: `key` must be a JAX random key, but is of type {type(key).__name__}; write "
            f"{hint}."
        )
    if key.ndim != (0 if typed else 1):
        raise ValueError(
            f"{owner}: `key` must be one key, but there are keys of shape {key.shape}; take one of "
            "them, or jax.vmap over all."
        )
