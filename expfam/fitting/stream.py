"""Fits of data that come in blocks: exact EM by sums over blocks, and stepwise EM."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from ..priors.conjugate import check_prior
from .blocks import checked, head, reader
from .checkpoint import Checkpoint, Position, Sums
from .methods import EM, Step, StepwiseEM
from .result import Fit, Status
from .standardize import change_frame, change_frame_of_prior, in_frame_of
from .starts import starts

Read = Callable[[], Iterator[Any]]


def fit_blocks(
    model: AbstractExponentialFamily,
    xs: Any,
    key: Any,
    method: EM | StepwiseEM,
    params: Natural[Any] | None,
    prior: Any,
    restarts: int,
    bar: Any,
    path: Path | None,
    every: int,
) -> Fit:
    """`fit`, for data in blocks.

    A start is found from the first 16384 rows; with restarts, the best of so many after 20 steps of
    EM on them.
    """
    check_prior(model, prior, "fit")
    read = reader(xs, None if isinstance(method, EM) else method.passes)
    sample, blocks = head(model, read())
    # The blocks that were read for the start are not lost where they can be read only once.
    first: list[Iterator[Any]] = [blocks]

    def again() -> Iterator[Any]:
        return first.pop() if first else read()

    inner = in_frame_of(model, sample, None, scaled=False)
    if params is None:
        moved = change_frame_of_prior(model, inner, prior)
        found = starts(inner, key, sample, None, moved, restarts)
        coords = jax.tree.map(lambda leaf: leaf[0], found)
    else:
        model._check_point(params, Natural, "fit", "params")
        coords = change_frame(model, inner, jax.tree.map(jnp.asarray, params.coords))
    moved = change_frame_of_prior(model, inner, prior)
    checkpoint = Checkpoint(path, every, f"{method!r} of {model!r}")
    run: Any = _run_em if isinstance(method, EM) else _run_stepwise
    try:
        position, status = run(inner, coords, again, method, moved, bar, checkpoint)
    except KeyboardInterrupt:
        if checkpoint.position is None:
            raise
        position, status = checkpoint.position, Status.INTERRUPTED
    values = jnp.asarray(position.trace)
    return Fit(
        params=Natural(change_frame(inner, model, _coords(inner, method, position.state))),
        log_likelihoods=values,
        steps=position.step,
        converged=status is Status.CONVERGED,
        status=status,
        restart_log_likelihoods=values[-1:],
    )


def _run_em(
    model: AbstractExponentialFamily,
    coords: Any,
    read: Read,
    method: EM,
    prior: Any,
    bar: Any,
    checkpoint: Checkpoint,
) -> tuple[Position, Status]:
    """Exact EM: every step reads all blocks and adds up their statistics."""
    start = Position(method.init(model, coords), _empty(coords), 0, 0, [])
    position = checkpoint.restore(start)
    while True:
        sums, coords = position.sums, method.point(position.state)
        for i, xs, _ in checked(model, read(), position.block):
            added = _add(model, coords, sums, xs)
            # While a block is summed up, the next is read, but no more.
            jax.block_until_ready(sums)
            sums = added
            checkpoint.keep(replace(position, sums=sums, block=i + 1))
        step = _finish(model, method, position.state, sums, prior)
        trace = [*position.trace, float(step.objective)]
        status = _judge(trace, step, method)
        if bar is not None:
            bar.update(1)
            bar.set_postfix(log_likelihood=f"{trace[-1]:.4f}")
        if status is not None:
            return replace(position, state=step.present, trace=trace), status
        position = Position(step.following, _empty(coords), position.step + 1, 0, trace)


def _run_stepwise(
    model: AbstractExponentialFamily,
    coords: Any,
    read: Read,
    method: StepwiseEM,
    prior: Any,
    bar: Any,
    checkpoint: Checkpoint,
) -> tuple[Position, Status]:
    """Stepwise EM: a step after every block, from averages that forget."""
    means = jax.jit(jax.grad(model._log_normalizer))(coords)
    start = replace(_empty(coords), means=means)
    position = checkpoint.restore(Position(coords, start, 0, 0, []))
    done = 0
    for _ in range(method.passes):
        blocks = 0
        for _, xs, n in checked(model, read(), 0):
            blocks += 1
            if done + blocks <= position.block:
                continue
            rate = (position.step + 1 + method.delay) ** -method.decay
            following, sums, objective, valid = _stepwise(
                model, position.state, position.sums, xs, rate, float(n), prior
            )
            trace = [*position.trace, float(objective)]
            if not (np.isfinite(trace[-1]) and bool(valid)):
                status = Status.DEGENERATE if np.isfinite(trace[-1]) else Status.NOT_FINITE
                return position, status
            position = Position(following, sums, position.step + 1, done + blocks, trace)
            if bar is not None:
                bar.update(1)
                bar.set_postfix(log_likelihood=f"{trace[-1]:.4f}")
            checkpoint.keep(position)
        done += blocks
    return position, Status.STEPS_TAKEN


def _empty(coords: Any) -> Sums:
    nothing = jax.tree.map(jnp.zeros_like, coords)
    zero = jnp.zeros((), jax.tree.leaves(coords)[0].dtype)
    return Sums(zero, nothing, zero)


def _add(model: Any, coords: Any, sums: Sums, pieces: list[tuple[Any, Array]]) -> Sums:
    for rows, weights in pieces:
        sums = _add_piece(model, coords, sums, rows, weights)
    return sums


@jax.jit
def _add_piece(model: Any, coords: Any, sums: Sums, xs: Any, weights: Array) -> Sums:
    value, means = model._density_and_expectation(coords, xs, weights)
    count = sums.count + jnp.sum(weights).astype(sums.count.dtype)
    share = jnp.sum(weights).astype(sums.count.dtype) / count
    average = jax.tree.map(lambda a, b: a + share * (b - a), sums.means, means)
    return Sums(sums.value + share * (value - sums.value), average, count)


@jax.jit
def _finish(model: Any, method: EM, state: Any, sums: Sums, prior: Any) -> Step:
    return method.advance(model, state, sums.value, sums.means, sums.count, prior)


@jax.jit
def _blend(
    model: Any, coords: Any, old: Sums, new: Sums, rate: Array, prior: Any
) -> tuple[Any, Sums, Array, Bool[Array, ""]]:
    # s ← (1 − γ) s + γ s̄, θ = (∇ψ)⁻¹(s): Cappé & Moulines 2009, eq. (7)–(8). Latent frames must
    # stay the same from step to step, so nothing is whitened.
    means = jax.tree.map(lambda a, b: a + rate * (b - a), old.means, new.means)
    count = old.count + new.count
    target = means if prior is None else prior._average(means, count)
    following = model._maximize(target, coords)
    return following, Sums(new.value, means, count), new.value, model._in_domain(following)


def _stepwise(
    model: Any, coords: Any, sums: Sums, xs: Any, rate: float, n: float, prior: Any
) -> tuple[Any, Sums, Array, Array]:
    new = _add(model, coords, _empty(coords), xs)
    return _blend(model, coords, sums, new, jnp.asarray(rate, new.count.dtype), prior)


def _judge(trace: list[float], step: Step, method: EM) -> Status | None:
    if not np.isfinite(trace[-1]):
        return Status.NOT_FINITE
    if method.tolerance is not None and len(trace) > 1 and step.comparable:
        settled = method.tolerance * max(abs(trace[-1]), 1)
        if abs(trace[-1] - trace[-2]) <= settled:
            return Status.CONVERGED
    if len(trace) > method.max_steps:
        return Status.STEPS_TAKEN
    return None if step.valid else Status.DEGENERATE


def _coords(model: Any, method: EM | StepwiseEM, state: Any) -> Any:
    return method.coords(model, state) if isinstance(method, EM) else state
