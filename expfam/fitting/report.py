"""What a fit reports: its result, and what it warns of."""

import warnings
from collections import Counter
from typing import Any

import jax
import numpy as np

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from .boundary import on_boundary
from .diagnosis import diagnose
from .loop import CODES, RUNNING, Journal
from .methods import AbstractMethod, Plan
from .result import ConvergenceWarning, Fit, FitError, Status
from .sources import AbstractSource
from .standardize import change_frame, change_frame_of_prior

_SOUND = (Status.STEPS_TAKEN, Status.CONVERGED, Status.INTERRUPTED)


# Nats a row by which the parameters that are returned may miss what a fit reports; more is no
# rounding: variances have shrunk to that of the data.
_LARGEST_GAP = 0.1


def report(
    model: AbstractExponentialFamily,
    source: AbstractSource,
    journal: Journal,
    method: AbstractMethod,
    prior: Any,
    interrupted: bool,
) -> Fit:
    """The result of a fit, from its journal.

    What is reported is compared with the density of the parameters that are returned.
    """
    left = Status.INTERRUPTED if interrupted else Status.STEPS_TAKEN
    statuses = tuple(left if code == RUNNING else CODES[code] for code in journal.codes)
    dtype = journal.remaining.dtype
    finals = np.array([_last_finite(trace) for trace in journal.traces], dtype)
    # A restart that degenerates climbs without bound: it is kept only if all do.
    sound = np.array([status in _SOUND for status in statuses])
    ranked = np.where(np.isnan(finals), -np.inf, finals)
    best = int(np.argmax(np.where(sound, ranked, -np.inf) if sound.any() else ranked))
    coords = jax.tree.map(lambda leaf: leaf[best], journal.ends)
    params = Natural(change_frame(source.inner, model, coords))
    trace = np.array(journal.traces[best] or [np.nan], dtype)
    plan = method.plan
    comparable = statuses[best] in _SOUND and not plan.noisy and plan.posterior is None
    width = source.width(len(statuses))
    value = source.density(model, method, params.coords, prior, width) if comparable else None
    if value is not None and not abs(value - trace[-1]) <= _LARGEST_GAP:
        if source.precise:
            statuses = (*statuses[:best], Status.DEGENERATE, *statuses[best + 1 :])
        else:
            trace[-1] = value
    return Fit(
        params=params,
        log_likelihoods=jax.device_put(trace),
        steps=int(journal.taken[best]),
        converged=statuses[best] is Status.CONVERGED,
        status=statuses[best],
        remaining_gain=float(journal.remaining[best]),
        restart_log_likelihoods=jax.device_put(finals),
        restart_statuses=statuses,
        model=model,
        boundary=on_boundary(model, params.coords, source.few, source.parts),
        posterior=_posterior(model, source, journal, plan, prior, best),
    )


def _posterior(
    model: AbstractExponentialFamily,
    source: AbstractSource,
    journal: Journal,
    plan: Plan,
    prior: Any,
    best: int,
) -> Any:
    # In the frame of the model, as the prior is given.
    if plan.posterior is None:
        return None
    state = jax.tree.map(lambda leaf: leaf[best], journal.run.state)
    moved = change_frame_of_prior(model, source.inner, prior)
    return change_frame_of_prior(source.inner, model, plan.posterior(moved, state))


def announce(result: Fit, method: AbstractMethod, source: AbstractSource, throw: bool) -> None:
    """Raise, or warn, where a fit did not end well.

    Raises:
        FitError: where it failed, and `throw`.
    """
    if result.status not in _SOUND and throw:
        raise FitError(
            f"fit stopped after {result.steps} steps. {result.status.value} "
            f"{diagnose(source.sample)} The error's `fit` holds the parameters before; "
            "throw=False returns it.",
            result,
        )
    tolerance = method.plan.tolerance
    if result.status is Status.STEPS_TAKEN and tolerance is not None:
        _warn(
            f"fit took all {result.steps} steps, and further ones would gain {_gain(result)}; the "
            f"tolerance is {tolerance:.2g}. Allow more steps, or a larger tolerance, or "
            "EM(acceleration=8)."
        )
    first, last = np.asarray(result.log_likelihoods)[[0, -1]]
    if result.status in _SOUND and not method.plan.noisy and last < first - _LARGEST_GAP:
        _warn(
            f"fit ended at {last:.4g} nats a row, below the {first:.4g} of its start. Give smaller "
            "steps, e.g. a smaller learning rate."
        )
    counts = Counter(result.restart_statuses)
    lost = [status for status in counts if status not in _SOUND]
    if tolerance is not None and result.status is Status.CONVERGED:
        lost += [Status.STEPS_TAKEN] * (counts[Status.STEPS_TAKEN] > 0)
    if result.status in _SOUND and lost:
        _warn(
            f"fit: of {len(result.restart_statuses)} restarts "
            + ", ".join(f"{counts[status]} ended as {status.name}" for status in lost)
            + "; the best of the others is returned. `restart_statuses` says which."
        )


def _gain(result: Fit) -> str:
    known = np.isfinite(result.remaining_gain)
    return f"about {result.remaining_gain:.2g} nats a row" if known else "more than can be told"


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=4)


def _last_finite(trace: list[float]) -> float:
    finite = [value for value in trace if np.isfinite(value)]
    return finite[-1] if finite else float("nan")
