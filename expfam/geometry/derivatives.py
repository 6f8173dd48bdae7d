"""Rules of differentiation: along some arguments, and as another expression."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float


def derivative_along(
    function: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...]
) -> Any:
    """The derivative of a function in the directions that are given to a rule of `custom_jvp`.

    Nothing is done for arguments that do not move.

    Args:
        function: of the primals, to a tree of arrays.
        primals: trees of arrays.
        tangents: trees like these, with a `SymbolicZero` for every array that does not move: those
            of a rule that was defined with `symbolic_zeros=True`.
    """
    leaves, structure = jax.tree.flatten(primals)
    directions = structure.flatten_up_to(tangents)
    moving = [i for i, one in enumerate(directions) if not isinstance(one, SymbolicZero)]
    if not moving:
        return jax.tree.map(jnp.zeros_like, jax.eval_shape(function, *primals))

    def restricted(*moved: Array) -> Any:
        replaced = list(leaves)
        for i, leaf in zip(moving, moved, strict=True):
            replaced[i] = leaf
        return function(*jax.tree.unflatten(structure, replaced))

    at = [leaves[i] for i in moving]
    return jax.jvp(restricted, at, [directions[i] for i in moving])[1]


def sum_of_moves(
    slopes: tuple[Array, ...], tangents: tuple[Any, ...], value: Array
) -> Float[Array, "..."]:
    """Σ slope · tangent over the arguments that move, in a rule with `symbolic_zeros=True`.

    An argument that does not move, a count of zero, say, may have an infinite slope.

    Args:
        slopes: the derivative in every argument.
        tangents: arrays, or a `SymbolicZero` for every argument that does not move.
        value: of the function, where none moves.
    """
    moving = [
        slope * tangent
        for slope, tangent in zip(slopes, tangents, strict=True)
        if not isinstance(tangent, SymbolicZero)
    ]
    return sum(moving, start=jnp.zeros_like(value))


def not_negative(value: Array) -> Array:
    """max(v, 0) of a v that is negative by rounding alone, with the derivatives of v.

    At a tie with 0, where divergences have their minimum, `maximum` has half of them.
    """
    return differentiated_as(jnp.maximum(value, 0), value)


@jax.custom_jvp
def differentiated_as(value: Array, expression: Array) -> Array:
    """A value, with the derivatives of an expression from which it differs by a constant.

    For values that are computed without cancellation, where derivatives of something simpler are
    exact. The expression itself is not computed.
    """
    return value


@differentiated_as.defjvp
def _differentiated_as_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    return differentiated_as(*primals), tangents[1]
