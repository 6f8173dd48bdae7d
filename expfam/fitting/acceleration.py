"""Quasi-Newton acceleration of EM, with a safeguard that keeps it monotone.

Every step is one E-step, at a candidate. It gives the objective there, the EM step r, and without a
further look at the rows the gradient g of the objective, which in natural coordinates is the mean
of ∇ψ(θ | x) minus ∇ψ(θ). The EM step is that gradient in the metric M of the complete data. A BFGS
method that starts from this metric (Jamshidian & Jennrich 1997, QN2) and remembers m steps (Nocedal
1980) starts as EM and learns what EM lacks, all in free parameters u. It applies M⁻¹ to sums of
gradients only, which gives the same sums of EM steps: M⁻¹g = r, M⁻¹Δg = Δr.

A candidate with a smaller objective is dropped for the plain EM step from the last point kept, and
the memory is cleared.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float

from ..families.ascent import middle
from ..families.base import AbstractExponentialFamily
from .averages import Averages


@final
class Point(eqx.Module):
    """A point that was looked at.

    Attributes:
        coords: its natural coordinates.
        image: those of the EM step from there.
        valid: whether these are valid.
        objective: the objective there.
        free: its free parameters u.
        slope: the gradient g of the objective in free parameters.
        step: the EM step r in free parameters.
    """

    coords: Any
    image: Any
    valid: Bool[Array, ""]
    objective: Float[Array, ""]
    free: Float[Array, " dim"]
    slope: Float[Array, " dim"]
    step: Float[Array, " dim"]


@final
class Changes(eqx.Module):
    """What changed in the last steps, the newest first; rows of zeros stand for none.

    Attributes:
        moves: changes Δu of the points kept.
        falls: of their gradients, −Δg.
        lags: of their EM steps, −Δr.
    """

    moves: Float[Array, "m dim"]
    falls: Float[Array, "m dim"]
    lags: Float[Array, "m dim"]


@final
class Memory(eqx.Module):
    """The state of accelerated EM.

    Attributes:
        candidate: coordinates to be looked at next.
        kept: the last point kept.
        changes: those of the last steps.
    """

    candidate: Any
    kept: Point
    changes: Changes


def begin(model: AbstractExponentialFamily, coords: Any, memory: int) -> Memory:
    """The memory at the start: nothing is known of the objective."""
    free, _ = ravel_pytree(model._to_unconstrained(coords))
    nothing, none = jnp.zeros_like(free), jnp.zeros((memory, free.shape[0]), free.dtype)
    unknown = jnp.full((), -jnp.inf, free.dtype)
    kept = Point(coords, coords, jnp.array(True), unknown, free, nothing, nothing)
    return Memory(coords, kept, Changes(none, none, none))


def accelerate(
    model: AbstractExponentialFamily, memory: Memory, averages: Averages, prior: Any
) -> tuple[Memory, Memory, Bool[Array, ""], Float[Array, ""]]:
    """One step: look at the candidate, keep or drop it, and propose the next.

    Args:
        model: the model.
        memory: the state before the step.
        averages: over rows, at the candidate.
        prior: a conjugate prior, or `None`.

    Returns:
        The memory with what was kept; the same with the next candidate; whether the objective
        tells how far the fit is: it does not where a candidate was dropped, unless it was a plain
        EM step, which falls by no more than rounding; and what is left to gain, as far as the
        memory knows.
    """
    found = _look(model, memory.candidate, averages, prior)
    kept, changes = memory.kept, memory.changes
    slack = 8 * jnp.finfo(found.objective.dtype).eps * jnp.maximum(jnp.abs(kept.objective), 1)
    first = kept.objective == -jnp.inf
    plain = ~first & ~jnp.any(changes.moves)
    good = first | (found.valid & (found.objective >= kept.objective - slack))
    # The first point has none before it to differ from.
    changes = _choose(first, changes, _record(changes, kept, found))
    # A memory that was cleared starts over with zeros, which change nothing.
    changes = jax.tree.map(lambda rows: jnp.where(good, rows, 0), changes)
    kept = _choose(good, found, kept)
    present = Memory(kept.coords, kept, changes)
    _, restore = ravel_pytree(model._to_unconstrained(kept.coords))
    direction = _direction(kept, changes)
    following = model._from_unconstrained(restore(kept.free + direction))
    informed = jnp.any(changes.moves)
    image = kept.image
    if model._guarded:
        # An EM step that fell is halved.
        half = middle(model, kept.coords, memory.candidate)
        image, plain = _choose(good | ~plain, image, half), jnp.array(False)
    candidate = _choose(informed, following, image)
    # The maximum of the quadratic that the memory stands for; without one nothing is known.
    remaining = jnp.where(informed, jnp.dot(direction, kept.slope) / 2, jnp.inf)
    return present, Memory(candidate, kept, changes), good | plain, remaining


def _look(model: AbstractExponentialFamily, coords: Any, averages: Averages, prior: Any) -> Point:
    image, valid = model._m_step(coords, averages.means, averages.total, prior)
    free, restore = ravel_pytree(model._to_unconstrained(coords))
    slope = averages.slope(model, lambda u: model._from_unconstrained(restore(u)), free, prior)
    step = ravel_pytree(model._to_unconstrained(image))[0] - free
    objective = averages.objective(model, coords, prior)
    return Point(coords, image, valid, objective, free, slope, step)


def _record(changes: Changes, before: Point, after: Point) -> Changes:
    move, fall, lag = (
        after.free - before.free,
        before.slope - after.slope,
        before.step - after.step,
    )
    longer = Changes(
        _push(changes.moves, move), _push(changes.falls, fall), _push(changes.lags, lag)
    )
    # Only where the objective is concave along the move, so that the metric stays positive.
    least = jnp.finfo(move.dtype).eps * jnp.linalg.norm(move) * jnp.linalg.norm(fall)
    return _choose(jnp.dot(move, fall) > least, longer, changes)


def _push(rows: Array, row: Array) -> Float[Array, "m dim"]:
    return jnp.concatenate([row[None], rows[:-1]])


def _direction(kept: Point, changes: Changes) -> Float[Array, " dim"]:
    # The two loops of Nocedal (1980), with the EM step in place of a scaled gradient.
    def back(carry: Any, change: Any) -> Any:
        (slope, step), (move, fall, lag, curvature) = carry, change
        weight = _over(jnp.dot(move, slope), curvature)
        return (slope - weight * fall, step - weight * lag), weight

    def forth(direction: Array, change: Any) -> Any:
        move, fall, curvature, weight = change
        excess = weight - _over(jnp.dot(fall, direction), curvature)
        return direction + excess * move, None

    moves, falls, lags = changes.moves, changes.falls, changes.lags
    curvatures = jnp.sum(moves * falls, axis=1)
    start = kept.slope, kept.step
    (_, step), weights = jax.lax.scan(back, start, (moves, falls, lags, curvatures))
    pairs = moves, falls, curvatures, weights
    direction, _ = jax.lax.scan(forth, _stretch(changes) * step, pairs, reverse=True)
    return jnp.where(jnp.dot(direction, kept.slope) > 0, direction, kept.step)


def _stretch(changes: Changes) -> Float[Array, ""]:
    # EM steps are too short. The last move was longer than EM's in ratio ΔuᵀΔg / ΔgᵀM⁻¹Δg; half way
    # between 1 and that, on a scale of logarithms, proved best.
    move, fall, lag = (rows[0] for rows in (changes.moves, changes.falls, changes.lags))
    ratio = jnp.dot(move, fall) / jnp.dot(fall, lag)
    return jnp.where((ratio > 0) & jnp.isfinite(ratio), jnp.sqrt(ratio), 1)


def _over(value: Array, curvature: Array) -> Float[Array, ""]:
    return jnp.where(curvature > 0, value / jnp.where(curvature > 0, curvature, 1), 0)


def _choose(condition: Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
