"""`fit`: from data to fitted parameters, with restarts, progress, and a report of how it went."""

import os
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Key

from ..families.base import AbstractExponentialFamily, Data
from ..families.compiled import in_domain
from ..geometry.points import Natural
from ..geometry.programs import compiled_once
from ..geometry.shards import with_automatic_axes
from ..geometry.spaces import has_ledger
from ..priors.base import AbstractPrior
from ..priors.conjugate import check_prior
from .blocks import is_stream
from .checkpoint import Checkpoint, check_checkpoint, mark
from .loop import Journal, Rules, follow, open_journal, take
from .methods import EM, AbstractMethod, StepwiseEM
from .natural_gradient import NaturalGradient
from .report import announce, report
from .result import Fit
from .settings import whole
from .sources import Task, in_blocks, in_memory
from .standardize import change_frame, change_frame_of_prior
from .starts import clustered, starts
from .variational import as_mixture_prior


def fit(
    model: AbstractExponentialFamily,
    xs: Data,
    *,
    key: Key[Array, ""],
    method: AbstractMethod | None = None,
    params: Natural[Any] | None = None,
    start: ArrayLike | Sequence[Any] | None = None,
    weights: Any = None,
    prior: AbstractPrior | None = None,
    restarts: int = 1,
    progress: bool = False,
    throw: bool = True,
    checkpoint: str | os.PathLike[str] | None = None,
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
        method: `EM(...)` (default), `StepwiseEM(...)`, `Gradient(...)`, `NaturalGradient(...)`; or
            for posteriors `VariationalBayes(...)`, `StochasticVariationalBayes(...)`.
        params: where to start; by default the best of several starts of
            `model.initialize_from_sample`, after short runs.
        start: where to start, as a clustering of the rows, of which the components are those of a
            fit with these labels: n component numbers (−1 where not known), or responsibilities of
            shape `(n, K)`.
        weights: n numbers, not negative; equal where not given.
        prior: conjugate prior, for a MAP estimate; e.g. `weak_prior(model, xs)`. Of mixtures also a
            `MixturePrior`, and what variational Bayes begins with.
        restarts: number of random starts, several of which run at a time as one batched program;
            the best result is kept.
        progress: whether to show a progress bar (needs tqdm).
        throw: whether a failure raises `FitError`; otherwise it is a status of the result.
        checkpoint: file that the position is written to, and the result at the end; where it
            exists, the fit goes on from there and gives what it had given without interruption.
        checkpoint_every: number of blocks between two writes; an array is one block of each step.

    Returns:
        A `Fit`, with the last valid parameters whatever happened.

    Raises:
        FitError: where a step had no finite result; its `fit` holds what was reached before.
        ValueError: data, weights or settings that cannot be fitted; a checkpoint of another fit.
        TypeError: arguments of another type.

    Warns:
        PrecisionWarning: where the data lie so far from the origin that the parameters, in raw
            units, cannot hold the result; see `standardize`.
        ConvergenceWarning: where the steps did not suffice to reach the tolerance, some restarts
            failed, or the result is worse than the start.
    """
    method = EM() if method is None else method
    given = {"params": params, "start": start}
    restarts = _check_arguments(model, xs, key, method, given, weights, restarts)
    path, every = check_checkpoint(checkpoint, checkpoint_every)
    check_prior(model, prior, "fit")
    plan = method.plan
    if plan.posterior is not None:
        prior = as_mixture_prior(prior)
    blocks = is_stream(xs) or plan.passes is not None
    source = in_blocks(model, xs, weights, plan) if blocks else in_memory(model, xs, weights)

    starts_key, steps_key = _two_keys(key)
    if params is None:
        rows = source if start is None else in_memory(model, *clustered(model, xs, weights, start))
        near, few = rows.near, (rows.few, rows.parts)
        gentle = None if prior is None else prior.at_start()
        moved = change_frame_of_prior(model, near, gentle)
        coords, valid = starts(near, method, starts_key, *few, moved, restarts)
        if start is not None:
            own = [change_frame(rows.inner, source.inner, take(coords, i)) for i in range(restarts)]
            coords = jax.tree.map(lambda *leaves: np.stack(leaves), *own)
    else:
        coords = jax.tree.map(lambda leaf: with_automatic_axes(jnp.asarray(leaf)), params.coords)
        coords = change_frame(model, source.inner, coords)
        valid = in_domain(source.inner, coords)
        coords, valid = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (coords, valid))

    moving = source.moving(plan)
    # A posterior is read off the state of the best restart: none gives its slot to another.
    width = source.width(restarts) if plan.posterior is None else restarts
    journal = open_journal(moving, method, coords, valid, width)
    given |= {"model": model, "method": method, "prior": prior, "key": key}
    given |= {"xs": source.marks, "restarts": restarts}
    marks = {name: mark(value) for name, value in given.items()} if path else {}
    saved = Checkpoint(path, every, marks)
    saved.restore(journal)
    bar = _progress_bar(plan.steps) if progress else None

    def after() -> None:
        if bar is not None:
            _show(bar, journal)
        saved.keep(journal, min(every, source.chunk))

    task = Task(
        method,
        change_frame_of_prior(model, source.inner, prior),
        steps_key if plan.noisy else None,
        Rules(_or(plan.steps, np.iinfo(np.int32).max), _or(plan.tolerance, -1.0)),
        journal,
        saved,
    )
    try:
        interrupted = follow(moving, method, journal, source.steps(task), after)
    finally:
        if bar is not None:
            bar.close()
    if not interrupted:
        saved.save(journal)
    result = report(model, source, journal, method, prior, interrupted)
    announce(result, method, source, throw)
    return result


@compiled_once
def _two_keys(key: Array) -> tuple[Array, Array]:
    first, second = jax.random.split(key)
    return first, second


def _progress_bar(total: int | None) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "fit: progress=True needs tqdm; install it with pip install 'expfam[progress]'."
        ) from error
    return tqdm(total=total, desc="fit", unit="step", leave=False)


def _show(bar: Any, journal: Journal) -> None:
    bar.update(max(len(trace) for trace in journal.traces) - 1 - bar.n)
    last = [trace[-1] for trace in journal.traces if trace and np.isfinite(trace[-1])]
    waiting = len(journal.traces) - journal.started
    bar.set_postfix(
        log_likelihood=f"{max(last):.4f}" if last else "–",
        running=int(journal.live().sum()) + waiting,
    )


def _check_arguments(
    model: Any, xs: Any, key: Any, method: Any, start: dict[str, Any], weights: Any, restarts: Any
) -> int:
    if not isinstance(model, AbstractExponentialFamily):
        raise TypeError(
            "fit: `model` must be a family, e.g. expfam.Mixture(expfam.Normal(2), 3), but is of "
            f"type {type(model).__name__}."
        )
    if not isinstance(method, AbstractMethod):
        raise TypeError(
            "fit: `method` must be expfam.EM(...), expfam.StepwiseEM(...), expfam.Gradient(...) or "
            f"expfam.NaturalGradient(...), but is of type {type(method).__name__}."
        )
    rows = None if is_stream(xs) else xs
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((rows, key, start, weights))):
        raise TypeError(
            "fit: it looks at numbers to decide when to stop, so it cannot be called inside "
            "jax.jit, jax.vmap or jax.grad. There, take steps of "
            "model.expectation_maximization(params, xs) in jax.lax.scan."
        )
    if not (isinstance(key, jax.Array) and _is_key(key)):
        raise TypeError(
            f"fit: `key` must be one JAX random key, e.g. jax.random.key(0), but is {key!r}."
        )
    if method.plan.assignments != "soft" and not model.n_labels:
        raise TypeError(
            f"fit: `method` assigns rows to components, of which {type(model).__name__} has none; "
            'give a mixture, or EM(assignments="soft").'
        )
    if isinstance(method, StepwiseEM | NaturalGradient) and has_ledger(model.spaces):
        raise TypeError(
            f"fit: `method` must be expfam.EM(...) or expfam.Gradient(...) for {model!r}, whose "
            "statistics are those of a step from the present coefficients, but is "
            f"{type(method).__name__}."
        )
    restarts = whole("fit", "restarts", 1)(restarts)
    named = [name for name, value in start.items() if value is not None]
    if len(named) == 2:
        raise ValueError("fit: `start` must be left out where `params` gives the start.")
    if named and restarts > 1:
        raise ValueError(
            f"fit: `restarts` must be 1 where `{named[0]}` gives the start, but is {restarts}."
        )
    if "params" in named:
        model._check_point(start["params"], Natural, "fit", "params")
    if "start" in named and rows is None:
        raise ValueError("fit: `start` must be left out where `xs` comes in blocks; give `params`.")
    return restarts


def _is_key(key: Array) -> bool:
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return key.shape == () if typed else key.shape == (2,) and key.dtype == jnp.uint32


def _or(setting: Any, other: Any) -> Any:
    return other if setting is None else setting
