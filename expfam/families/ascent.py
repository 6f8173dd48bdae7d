"""Climbs by steps that may be too long: what falls is halved.

Steps of EM with inexact M-steps (one Newton step) are in directions in which the objective grows,
in free parameters, but may overshoot. The next look at the rows tells, and costs nothing more.
"""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .base import AbstractExponentialFamily

# Halvings after which nothing is left of a step, in float64.
_HALVINGS = 50


@final
class Ascent(eqx.Module):
    """Where a climb is.

    Attributes:
        kept: coordinates of the best point.
        best: the objective there; −∞ where nothing is known.
        candidate: coordinates to be looked at next.
    """

    kept: Any
    best: Float[Array, ""]
    candidate: Any


def begin(coords: Any) -> Ascent:
    """The start of a climb."""
    dtype = jax.tree.leaves(coords)[0].dtype
    return Ascent(coords, jnp.full((), -jnp.inf, dtype), coords)


def proceed(
    model: AbstractExponentialFamily, ascent: Ascent, value: Array, image: Any
) -> tuple[Ascent, Ascent, Bool[Array, ""]]:
    """One step.

    Args:
        model: the model.
        ascent: the state before the step.
        value: the objective at the candidate.
        image: where a step from the candidate leads.

    Returns:
        The state with the candidate kept or dropped; the same with the next candidate; and whether
        it was kept.
    """
    slack = 8 * jnp.finfo(value.dtype).eps * jnp.maximum(jnp.abs(ascent.best), 1)
    first = ascent.best == -jnp.inf
    good = first | (value >= ascent.best - slack)
    kept, best = choose(good, (ascent.candidate, value), (ascent.kept, ascent.best))
    candidate = choose(good, image, middle(model, ascent.kept, ascent.candidate))
    return Ascent(kept, best, kept), Ascent(kept, best, candidate), good


def choose(condition: Array, new: Any, old: Any) -> Any:
    """One tree or another."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def not_falling(
    model: AbstractExponentialFamily,
    start: Any,
    end: Any,
    value: Float[Array, ""],
    objective: Callable[[Any], Array],
) -> Any:
    """The end of a step, moved towards its start until the objective is not smaller there.

    Args:
        model: the model.
        start: coordinates before the step.
        end: coordinates after it.
        value: the objective at the start.
        objective: from coordinates to the objective there, at the cost of a look at the rows.
    """
    least = value - 8 * jnp.finfo(value.dtype).eps * jnp.maximum(jnp.abs(value), 1)

    def falls(state: Any) -> Array:
        coords, count = state
        return ~(objective(coords) >= least) & model._in_domain(coords) & (count < _HALVINGS)

    def halve(state: Any) -> Any:
        coords, count = state
        return middle(model, start, coords), count + 1

    return jax.lax.while_loop(falls, halve, (end, jnp.zeros((), int)))[0]


def middle(model: AbstractExponentialFamily, one: Any, other: Any) -> Any:
    """The point half way between two points, in free parameters."""
    ends = model._to_unconstrained(one), model._to_unconstrained(other)
    return model._from_unconstrained(jax.tree.map(lambda a, b: (a + b) / 2, *ends))
