"""What a fit reports: its result, and what it warns of."""

import warnings
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from .diagnosis import diagnose
from .loop import CODES, RUNNING, Journal
from .methods import AbstractMethod
from .result import ConvergenceWarning, Fit, FitError, Status
from .sources import AbstractSource
from .standardize import change_frame

_SOUND = (Status.STEPS_TAKEN, Status.CONVERGED, Status.INTERRUPTED)


def report(
    model: AbstractExponentialFamily, source: AbstractSource, journal: Journal, interrupted: bool
) -> Fit:
    """The result of a fit, from its journal."""
    left = Status.INTERRUPTED if interrupted else Status.STEPS_TAKEN
    statuses = tuple(left if code == RUNNING else CODES[code] for code in journal.codes)
    dtype = journal.remaining.dtype
    finals = np.array([_last_finite(trace) for trace in journal.traces], dtype)
    # A restart that degenerates climbs without bound: it is kept only if all do.
    sound = np.array([status in _SOUND for status in statuses])
    ranked = np.where(np.isnan(finals), -np.inf, finals)
    best = int(np.argmax(np.where(sound, ranked, -np.inf) if sound.any() else ranked))
    coords = jax.tree.map(lambda leaf: jnp.asarray(leaf[best]), journal.ends)
    return Fit(
        params=Natural(change_frame(source.inner, model, coords)),
        log_likelihoods=jnp.asarray(journal.traces[best] or [jnp.nan], dtype),
        steps=int(journal.taken[best]),
        converged=statuses[best] is Status.CONVERGED,
        status=statuses[best],
        remaining_gain=float(journal.remaining[best]),
        restart_log_likelihoods=jnp.asarray(finals),
        restart_statuses=statuses,
        model=model,
    )


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
            f"fit took all {result.steps} steps, and further ones would gain about "
            f"{result.remaining_gain:.2g} nats a row; the tolerance is {tolerance:.2g}. Allow more "
            "steps, or a larger tolerance, or EM(acceleration=8)."
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


def _warn(message: str) -> None:
    warnings.warn(message, ConvergenceWarning, stacklevel=4)


def _last_finite(trace: list[float]) -> float:
    finite = [value for value in trace if np.isfinite(value)]
    return finite[-1] if finite else float("nan")
