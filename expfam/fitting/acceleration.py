"""Anderson acceleration of EM, with a safeguard that keeps it monotone.

Every step evaluates the EM map g once, at a candidate; the E-step gives the objective there for
nothing. The next candidate combines the steps before (Anderson 1965; for EM: Henderson & Varadhan
2019). In free parameters u, with residuals r = g(u) − u and differences ΔU, ΔR of the last m steps,

    u' = u + r − (ΔU + ΔR) γ,   γ = argmin ‖r − ΔR γ‖² + λ‖γ‖²

A candidate with a smaller objective is dropped for the plain EM step from the last point kept.
"""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int

from ..families.base import AbstractExponentialFamily
from ..geometry.linalg import factorize

Map = Callable[[Any], tuple[Any, Float[Array, ""], Bool[Array, ""]]]


@final
class Memory(eqx.Module):
    """The state of accelerated EM.

    Attributes:
        candidate: coordinates to be evaluated next.
        kept: coordinates of the last point kept.
        image: the EM step from there.
        objective: the objective there.
        point: its free parameters.
        residual: of the EM step from there, in free parameters.
        moves: differences ΔU of the points kept, a ring of m rows.
        bends: differences ΔR of their residuals.
        count: number of points kept since the memory was cleared.
    """

    candidate: Any
    kept: Any
    image: Any
    objective: Float[Array, ""]
    point: Float[Array, " dim"]
    residual: Float[Array, " dim"]
    moves: Float[Array, "m dim"]
    bends: Float[Array, "m dim"]
    count: Int[Array, ""]


def begin(model: AbstractExponentialFamily, coords: Any, memory: int) -> Memory:
    """The memory at the start: nothing is known of the objective."""
    point, _ = ravel_pytree(model._to_unconstrained(coords))
    empty = jnp.zeros((memory, point.shape[0]), point.dtype)
    unknown = jnp.full((), -jnp.inf, point.dtype)
    nothing, none = jnp.zeros_like(point), jnp.zeros((), int)
    return Memory(coords, coords, coords, unknown, point, nothing, empty, empty, none)


def accelerate(
    model: AbstractExponentialFamily, memory: Memory, evaluate: Map
) -> tuple[Memory, Memory, Bool[Array, ""]]:
    """One step: evaluate the candidate, keep or drop it, and propose the next.

    Returns:
        The memory with what was kept, the same with the next candidate, and whether the candidate
        was kept.
    """
    image, objective, valid = evaluate(memory.candidate)
    slack = 8 * jnp.finfo(objective.dtype).eps * jnp.maximum(jnp.abs(memory.objective), 1)
    first = memory.objective == -jnp.inf
    good = first | (valid & (objective >= memory.objective - slack))
    point, restore = ravel_pytree(model._to_unconstrained(memory.candidate))
    residual = ravel_pytree(model._to_unconstrained(image))[0] - point

    # The first point has none before it to differ from.
    count = jnp.where(good, memory.count + 1, 0)
    slot = jnp.maximum(memory.count - 1, 0) % memory.moves.shape[0]
    new = good & (memory.count > 0)
    moves = _record(memory.moves, slot, point - memory.point, new)
    bends = _record(memory.bends, slot, residual - memory.residual, new)
    # A memory that was cleared starts over with zeros, which combine to nothing.
    moves, bends = (jnp.where(good, rows, 0) for rows in (moves, bends))

    kept, image = _choose(good, (memory.candidate, image), (memory.kept, memory.image))
    point, residual, objective = _choose(
        good, (point, residual, objective), (memory.point, memory.residual, memory.objective)
    )
    present = Memory(kept, kept, image, objective, point, residual, moves, bends, count)
    following = restore(point + residual - _combine(moves, bends, residual))
    candidate = _choose(count > 1, model._from_unconstrained(following), image)
    return present, eqx.tree_at(lambda m: m.candidate, present, candidate), good


def _combine(moves: Array, bends: Array, residual: Array) -> Float[Array, " dim"]:
    gram = bends @ bends.T
    ridge = jnp.finfo(gram.dtype).eps ** 0.75 * jnp.trace(gram)
    safe = jnp.where(ridge > 0, ridge, 1)
    _, inverse = factorize(gram + safe * jnp.eye(gram.shape[0], dtype=gram.dtype))
    weights = inverse.T @ (inverse @ (bends @ residual))
    return weights @ (moves + bends)


def _record(rows: Array, slot: Array, row: Array, new: Array) -> Array:
    return jnp.where(new, rows.at[slot].set(row), rows)


def _choose(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
