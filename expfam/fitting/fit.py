"""`fit`: from data to fitted parameters, with restarts, progress, and a report of how it went."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from ..families.base import DEGENERATE, AbstractExponentialFamily, Data
from ..families.compiled import dtype_of
from ..families.support import check_rows, check_weights
from ..geometry.points import Natural
from ..geometry.shards import with_automatic_axes
from ..priors.conjugate import ConjugatePrior, check_prior
from .blocks import Blocks, is_stream
from .diagnosis import diagnose
from .methods import EM, AbstractMethod, Step, StepwiseEM
from .result import ConvergenceWarning, Fit, FitError, PrecisionWarning, Status
from .standardize import change_frame, change_frame_of_prior, in_frame_of, widths_from_origin
from .starts import starts
from .stream import fit_blocks

# Steps compiled into one call: a progress bar moves, and an interrupt is heard, in between.
_CHUNK = 20

# Relative error of variances, from the distance to the origin, beyond which `fit` warns.
_LARGEST_LOSS = 2e-4

_CODES = (Status.STEPS_TAKEN, Status.CONVERGED, Status.DEGENERATE, Status.NOT_FINITE)
_RUNNING = -1


def fit(
    model: AbstractExponentialFamily,
    xs: Data,
    *,
    key: Key[Array, ""],
    method: AbstractMethod | StepwiseEM | None = None,
    params: Natural[Any] | None = None,
    weights: Array | None = None,
    prior: ConjugatePrior | None = None,
    restarts: int = 1,
    progress: bool = False,
    throw: bool = True,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 16,
) -> Fit:
    """Fit a model to rows of observations.

    Args:
        model: any family or latent-variable model.
        xs: rows of observations, with one leading axis n; or blocks of such rows, for data that do
            not fit in memory: a NumPy memory map, a list or other object that can be iterated again
            and again (`Blocks`), or a function that returns an iterator. Arrays that are sharded
            along rows are fitted on all devices of their mesh.
        key: JAX random key, for the starts (and for mini-batches).
        method: `EM(...)` (default), `StepwiseEM(...)`, `Gradient(...)`, or `NaturalGradient(...)`.
        params: where to start; by default `model.initialize_from_sample`.
        weights: n numbers, not negative; equal where not given.
        prior: conjugate prior, for a MAP estimate; e.g. `weak_prior(model, xs)`.
        restarts: number of random starts, run as one batched program; the best result is kept.
        progress: whether to show a progress bar (needs tqdm).
        throw: whether a failure raises `FitError`; otherwise it is a status of the result.
        checkpoint: file, for data in blocks, that the position is written to; where it exists, the
            fit goes on from there and gives what it had given without interruption.
        checkpoint_every: number of blocks between two writes.

    Returns:
        A `Fit`, with the last valid parameters whatever happened.

    Raises:
        FitError: where a step had no finite result; its `fit` holds what was reached before.
        ValueError: data, weights or settings that cannot be fitted.
        TypeError: arguments of another type.

    Warns:
        PrecisionWarning: where the data lie so far from the origin that the parameters, in raw
            units, cannot hold the result; see `standardize`.
        ConvergenceWarning: where the steps did not suffice to reach the tolerance.
    """
    method = EM() if method is None else method
    _check_arguments(model, method, params, restarts)
    if isinstance(method, StepwiseEM) or is_stream(xs) or checkpoint is not None:
        result = _fit_blocks(
            model,
            xs,
            key,
            method,
            params,
            weights,
            prior,
            restarts,
            progress,
            checkpoint,
            checkpoint_every,
        )
        _announce(result, method, throw, lambda: f"In general, {DEGENERATE}")
        return result
    owner = "fit"
    xs, n = check_rows(xs, model.observed_support, owner)
    weights = check_weights(weights, n, float, owner)
    check_prior(model, prior, owner)

    _warn_of_offset(model, xs, weights)

    # The steps are done about the mean of the data, where statistics lose no digits.
    inner = in_frame_of(model, xs, weights, scaled=False)
    starts_key, steps_key = jax.random.split(key)
    # `near` has its origin where the few rows have theirs; its coordinates are those of `inner`.
    near, few, parts = _compress(inner, xs, weights)
    if params is None:
        inner_prior = change_frame_of_prior(model, near, prior)
        coords = starts(near, starts_key, few, parts, inner_prior, restarts)
    else:
        model._check_point(params, Natural, owner, "params")
        coords = jax.tree.map(lambda leaf: with_automatic_axes(jnp.asarray(leaf)), params.coords)
        coords = change_frame(model, inner, coords)
        coords = jax.tree.map(lambda leaf: leaf[None], coords)
    prior = change_frame_of_prior(model, inner, prior)

    moving, rows, parts = (near, few, parts) if method.averages else (inner, xs, weights)
    run = _begin(moving, method, coords)
    run, interrupted = _loop(moving, method, run, rows, parts, prior, steps_key, progress)
    result = _report(model, inner, method, run, interrupted)
    _announce(result, method, throw, lambda: diagnose(xs, n))
    return result


def _fit_blocks(
    model: Any,
    xs: Any,
    key: Any,
    method: Any,
    params: Any,
    weights: Any,
    prior: Any,
    restarts: int,
    progress: bool,
    checkpoint: Any,
    every: int,
) -> Fit:
    if not isinstance(method, (EM, StepwiseEM)):
        raise TypeError(
            "fit: `method` must be expfam.EM() or expfam.StepwiseEM() where `xs` comes in blocks, "
            f"but is {method!r}."
        )
    if weights is not None:
        raise ValueError("fit: `weights` must be left out where `xs` comes in blocks.")
    if not is_stream(xs):
        xs = Blocks(xs, method.block_size or Blocks(xs).size)
    path = None if checkpoint is None else Path(checkpoint)
    bar = _progress_bar(method.max_steps if isinstance(method, EM) else None) if progress else None
    try:
        return fit_blocks(model, xs, key, method, params, prior, restarts, bar, path, every)
    finally:
        if bar is not None:
            bar.close()


def _announce(result: Fit, method: Any, throw: bool, cause: Callable[[], str]) -> None:
    failed = result.status in (Status.DEGENERATE, Status.NOT_FINITE)
    if failed and throw:
        raise FitError(
            f"fit stopped after {result.steps} steps. {result.status.value} "
            f"{cause()} The error's `fit` holds the parameters before; throw=False returns "
            "it.",
            result,
        )
    tolerance = getattr(method, "tolerance", None)
    if result.status is Status.STEPS_TAKEN and tolerance is not None:
        warnings.warn(
            f"fit took all {result.steps} steps and the objective still changed by "
            f"{_last_change(result):.2g} (relative) in the last one; the tolerance is "
            f"{tolerance:.2g}. Allow more steps, or a larger tolerance.",
            ConvergenceWarning,
            stacklevel=3,
        )


@final
class _Run(eqx.Module):
    # The state of all restarts; every leaf has a leading axis of restarts, but for `step`.
    state: Any
    trace: Float[Array, "restarts steps_plus_1"]
    code: Int[Array, " restarts"]
    taken: Int[Array, " restarts"]
    step: Int[Array, ""]


@jax.jit
def _compress(model: AbstractExponentialFamily, xs: Any, weights: Array | None) -> Any:
    return model._compress(xs, weights)


@eqx.filter_jit
def _begin(model: AbstractExponentialFamily, method: AbstractMethod, coords: Any) -> _Run:
    state = jax.vmap(lambda c: method.init(model, c))(coords)
    inside = jax.vmap(model._in_domain)(coords)
    count = inside.shape[0]
    trace = jnp.full((count, method.limit + 1), jnp.nan, jax.tree.leaves(coords)[0].dtype)
    code = jnp.where(inside, _RUNNING, _CODES.index(Status.NOT_FINITE))
    return _Run(state, trace, code, jnp.zeros(count, int), jnp.zeros((), int))


@eqx.filter_jit(donate="none")
def _advance(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    run: _Run,
    xs: Any,
    weights: Array | None,
    prior: ConjugatePrior | None,
    key: Key[Array, ""],
    last: Int[Array, ""],
) -> _Run:
    def proceed(run: _Run) -> Bool[Array, ""]:
        return (run.step < last) & jnp.any(run.code == _RUNNING)

    def advance(run: _Run) -> _Run:
        draw = jax.random.fold_in(key, run.step)
        step = jax.vmap(lambda state: method.step(model, state, xs, weights, prior, draw))(
            run.state
        )
        before = jax.lax.dynamic_index_in_dim(
            run.trace, jnp.maximum(run.step - 1, 0), axis=1, keepdims=False
        )
        active = run.code == _RUNNING
        code = _judge(method, run.step, before, step)
        code = jnp.where(active, code, run.code)
        moves = code == _RUNNING
        state = _where(moves, step.following, _where(active, step.present, run.state))
        column = jnp.where(active, step.objective, jnp.nan)
        trace = run.trace.at[:, run.step].set(column)
        return _Run(state, trace, code, run.taken + moves, run.step + 1)

    return jax.lax.while_loop(proceed, advance, run)


def _where(condition: Bool[Array, " restarts"], new: Any, old: Any) -> Any:
    # Restart by restart.
    def choose(a: Array, b: Array) -> Array:
        return jnp.where(jnp.reshape(condition, condition.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(choose, new, old)


def _judge(
    method: AbstractMethod, number: Array, before: Array, step: Step
) -> Int[Array, " restarts"]:
    # Of every restart, from the objective at its present parameters and the validity of the next.
    objective = step.objective
    code = jnp.where(step.valid, _RUNNING, _CODES.index(Status.DEGENERATE))
    code = jnp.where(number >= method.limit, _CODES.index(Status.STEPS_TAKEN), code)
    if method.tolerance is not None:
        tolerance = max(method.tolerance, 4 * float(jnp.finfo(objective.dtype).eps))
        small = jnp.abs(objective - before) <= tolerance * jnp.maximum(jnp.abs(objective), 1)
        settled = (number > 0) & small & step.comparable
        code = jnp.where(settled, _CODES.index(Status.CONVERGED), code)
    return jnp.where(jnp.isfinite(objective), code, _CODES.index(Status.NOT_FINITE))


def _loop(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    run: _Run,
    xs: Any,
    weights: Array | None,
    prior: ConjugatePrior | None,
    key: Key[Array, ""],
    progress: bool,
) -> tuple[_Run, bool]:
    bar = _progress_bar(method.limit) if progress else None
    try:
        while int(run.step) <= method.limit and bool(jnp.any(run.code == _RUNNING)):
            last = jnp.minimum(run.step + _CHUNK, method.limit + 1)
            run = _advance(model, method, run, xs, weights, prior, key, last)
            if bar is not None:
                values = np.asarray(run.trace[:, int(run.step) - 1])
                bar.update(min(int(run.step), method.limit) - bar.n)
                bar.set_postfix(
                    log_likelihood=f"{np.nanmax(values):.4f}" if np.isfinite(values).any() else "–",
                    running=int(jnp.sum(run.code == _RUNNING)),
                )
    except KeyboardInterrupt:
        return run, True
    finally:
        if bar is not None:
            bar.close()
    return run, False


def _report(
    model: AbstractExponentialFamily,
    inner: AbstractExponentialFamily,
    method: AbstractMethod,
    run: _Run,
    interrupted: bool,
) -> Fit:
    codes, trace, taken = (np.asarray(a) for a in (run.code, run.trace, run.taken))
    finals = np.array([_last_finite(row) for row in trace], trace.dtype)
    # A restart that degenerates climbs without bound: it is kept only if all do.
    sound = np.isin(codes, [_RUNNING, *(_CODES.index(s) for s in _CODES[:2])])
    ranked = np.where(np.isnan(finals), -np.inf, finals)
    best = int(np.argmax(np.where(sound, ranked, -np.inf) if sound.any() else ranked))
    coords = eqx.filter_jit(method.coords)(inner, jax.tree.map(lambda leaf: leaf[best], run.state))
    coords = change_frame(inner, model, coords)
    steps = int(taken[best])
    status = _CODES[codes[best]] if codes[best] != _RUNNING else Status.STEPS_TAKEN
    if interrupted and codes[best] == _RUNNING:
        status = Status.INTERRUPTED
    return Fit(
        params=Natural(coords),
        log_likelihoods=jnp.asarray(trace[best, : steps + 1]),
        steps=steps,
        converged=status is Status.CONVERGED,
        status=status,
        restart_log_likelihoods=jnp.asarray(finals),
    )


def _warn_of_offset(model: Any, xs: Any, weights: Array | None) -> None:
    widths = widths_from_origin(model, xs, weights)
    dtype = dtype_of(xs)
    loss = float(jnp.finfo(dtype).eps) * widths**2
    if loss > _LARGEST_LOSS:
        warnings.warn(
            f"fit: some column of `xs` lies {widths:.3g} standard deviations from the origin, so "
            f"that parameters of type {dtype} hold its variance only to a relative error of about "
            f"{loss:.1g}. Fit expfam.standardize(model, xs) instead of the model, or use float64.",
            PrecisionWarning,
            stacklevel=3,
        )


def _last_finite(row: np.ndarray) -> float:
    finite = row[np.isfinite(row)]
    return float(finite[-1]) if finite.size else float("nan")


def _last_change(result: Fit) -> float:
    values = np.asarray(result.log_likelihoods)
    if values.size < 2:
        return float("nan")
    return abs(values[-1] - values[-2]) / max(abs(values[-1]), 1)


def _progress_bar(total: int | None) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "fit: progress=True needs tqdm; install it with pip install 'expfam[progress]'."
        ) from error
    return tqdm(total=total, desc="fit", unit="step", leave=False)


def _check_arguments(model: Any, method: Any, params: Any, restarts: Any) -> None:
    if not isinstance(model, AbstractExponentialFamily):
        raise TypeError(
            "fit: `model` must be a family, e.g. expfam.Mixture(expfam.Normal(2), 3), but is of "
            f"type {type(model).__name__}."
        )
    if not isinstance(method, (AbstractMethod, StepwiseEM)):
        raise TypeError(
            "fit: `method` must be expfam.EM(...), expfam.StepwiseEM(...), expfam.Gradient(...) or "
            f"expfam.NaturalGradient(...), but is of type {type(method).__name__}."
        )
    if not isinstance(restarts, int) or restarts < 1:
        raise ValueError(f"fit: `restarts` must be an integer of at least 1, but is {restarts}.")
    if params is not None and restarts > 1:
        raise ValueError(
            f"fit: `restarts` must be 1 where `params` gives the start, but is {restarts}."
        )
