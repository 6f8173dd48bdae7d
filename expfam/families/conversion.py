"""Data of any kind as arrays of numbers: what is converted, exactly, and what is refused by name.

Whole numbers are numbers: in columns of real numbers they are converted, where the type holds them.
No library of tables is imported: columns and frames come as what NumPy makes of them.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike

from ..geometry.checks import require

# What weights and other vectors are given as.
Numbers = ArrayLike | Sequence[float | int | bool]

_GAPS = "where these are missing cells, give expfam.incomplete(…) of it"
_CATEGORIES = (
    "Number categories, e.g. by np.unique(column, return_inverse=True), or read the data frame "
    "by expfam.tables.read."
)


def as_array(data: Any, owner: str, argument: str) -> Array | np.ndarray:
    """Arrays as they are; lists, columns and frames as arrays.

    Raises:
        TypeError: what are no numbers: text, categories, dates, missing or masked cells.
        ValueError: lists of unequal length.
    """
    if isinstance(data, jax.Array):
        return data
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.is_masked(data):
            raise TypeError(f"{owner}: `{argument}` is a masked array with masked cells; {_GAPS}.")
        data = data.data
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(
            f"{owner}: `{argument}` must be one array, but its rows have different lengths."
        ) from error
    if array.dtype == object:
        array = _as_numbers(array, owner, argument)
    number = jnp.issubdtype(array.dtype, jnp.number) or array.dtype == np.bool_
    if not number or jnp.issubdtype(array.dtype, jnp.complexfloating):
        text = array.dtype.kind in "USO"
        hint = f" {_CATEGORIES}" if text else ""
        raise TypeError(f"{owner}: `{argument}` must be numbers, but has type {array.dtype}.{hint}")
    return array


def _as_numbers(array: np.ndarray, owner: str, argument: str) -> np.ndarray:
    # Columns of several types, and nullable ones, come as arrays of objects.
    cells = array.ravel().tolist()
    if all(isinstance(cell, int) and abs(cell) < 2**63 for cell in cells):
        return array.astype(int)
    text = next((cell for cell in cells if isinstance(cell, str)), None)
    if text is not None:
        raise TypeError(
            f"{owner}: `{argument}` must be numbers, but holds text, e.g. {text!r}. {_CATEGORIES}"
        )
    try:
        return array.astype(float)
    except (TypeError, ValueError) as error:
        kinds = sorted({type(c).__name__ for c in cells if not isinstance(c, int | float)})
        raise TypeError(
            f"{owner}: `{argument}` must be numbers, but holds {', '.join(kinds)}; {_GAPS}."
        ) from error


def as_numbers(array: Array | np.ndarray, real: bool, owner: str, argument: str) -> Any:
    """Numbers as the types that are computed in: floating-point ones, or integers of JAX's type.

    Args:
        array: numbers of any type.
        real: whether they stand for real numbers; else for counts, which may have any type.
        owner: class and method, for messages.
        argument: public name of the argument, for messages.

    Raises:
        ValueError: whole numbers that the type does not hold (RuntimeError under `jit`).
    """
    dtype = array.dtype
    if jnp.issubdtype(dtype, jnp.floating):
        # JAX factorizes no matrices of shorter numbers; longer ones than float64 it does not have.
        short = jnp.dtype(dtype).itemsize < 4
        return array.astype(float) if short or jnp.dtype(dtype).itemsize > 8 else array
    target = jnp.result_type(float if real else int)
    limit = (2 << jnp.finfo(target).nmant) if real else int(jnp.iinfo(target).max)
    if dtype == np.bool_ or jnp.iinfo(dtype).max <= limit:
        return array.astype(target)
    held = _known(_lies_within, array, limit)
    return require(
        array.astype(target),
        held,
        f"{owner}: `{argument}` has type {dtype} and holds a number beyond {limit}, up to which "
        f"{target} holds whole numbers. Count in another unit, or, if that is a type of 32 bits, "
        "switch to 64 by jax.config.update('jax_enable_x64', True).",
    )


def _lies_within(array: Array | np.ndarray, limit: int) -> Any:
    below = array <= limit
    if jnp.issubdtype(array.dtype, jnp.signedinteger):
        below = below & (array >= -limit)
    return below.all()


def _known(condition: Callable[..., Any], array: Any, *args: Any) -> Any:
    # Where the values are known, the condition is, too: also while other values are being traced.
    if isinstance(array, Tracer):
        return condition(array, *args)
    with jax.ensure_compile_time_eval():
        return bool(condition(array, *args))
