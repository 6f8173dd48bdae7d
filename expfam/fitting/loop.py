"""The loop of all fits: steps of several restarts, and the one judge of when each has arrived.

A fit is a sequence of steps from averages over rows; where the rows come from, an array or blocks,
is a source's business (`fitting.sources`). Restarts share compiled programs for few numbers of
them, powers of two, the slots: a restart that is done makes room for one that waits, and where none
does, a fit that takes long goes on with fewer slots.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ..families.base import AbstractExponentialFamily
from ..geometry.programs import compiled_once
from .averages import Averages
from .methods import AbstractMethod, Step
from .result import Status

CODES = (Status.STEPS_TAKEN, Status.CONVERGED, Status.DEGENERATE, Status.NOT_FINITE)
RUNNING = -1

# Seconds of steps that are worth compiling a program of fewer slots.
_WORTHWHILE = 2.0


@final
class Rules(NamedTuple):
    """When to stop, as numbers that compiled programs do not depend on.

    Attributes:
        steps: number of steps at most.
        tolerance: remaining gain at which to stop, in nats a row; negative: never.
    """

    steps: Any
    tolerance: Any


@final
class Run(eqx.Module):
    """Where restarts are; leaves have a leading axis of slots outside of kernels.

    Attributes:
        state: of the method.
        past: the last two objectives, the newest first; NaN where there was none.
        remaining: what was left to gain, as estimated at the last step.
        code: `RUNNING`, or how the restart ended, an index of `CODES`.
        taken: number of steps taken.
    """

    state: Any
    past: Float[Array, "*slots 2"]
    remaining: Float[Array, "*slots"]
    code: Int[Array, "*slots"]
    taken: Int[Array, "*slots"]


@final
class Progress(NamedTuple):
    """What steps give: the run, the objectives looked at, one row a step, and the coordinates."""

    run: Run
    objectives: Float[Array, "steps slots"]
    coords: Any


def begin(
    model: AbstractExponentialFamily, method: AbstractMethod, coords: Any, valid: np.ndarray
) -> Run:
    """The start of restarts, one for each slot.

    Args:
        model: the model.
        method: the method.
        coords: where to start.
        valid: which of these lie in the domain; the others end at once.
    """
    first = jax.tree.leaves(coords)[0]
    whole, shape = jnp.result_type(int), valid.shape
    numbers = (
        np.full((*shape, 2), np.nan, first.dtype),
        np.full(shape, np.inf, first.dtype),
        np.where(valid, RUNNING, CODES.index(Status.NOT_FINITE)).astype(whole),
        np.zeros(shape, whole),
    )
    state = each(partial(_init, model, method), coords)
    return Run(state, *map(jax.device_put, numbers))


@compiled_once
def _init(model: AbstractExponentialFamily, method: AbstractMethod, coords: Any) -> Any:
    return method.init(model, coords)


def proceed(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    run: Run,
    averages: Averages,
    prior: Any,
    objective: Callable[[Any], Array],
    rules: Rules,
) -> tuple[Run, Float[Array, ""]]:
    """One step of one restart, and the objective before it; a kernel."""
    step = method.advance(model, run.state, averages, prior, objective)
    code, remaining = _judge(run, step, rules)
    moves, active = code == RUNNING, run.code == RUNNING
    state = jax.tree.map(lambda new, old: jnp.where(moves, new, old), step.following, step.present)
    past = jnp.stack([step.objective, run.past[0]])
    following = Run(state, past, remaining, code, run.taken + moves)
    return jax.tree.map(lambda new, old: jnp.where(active, new, old), following, run), past[0]


def _judge(run: Run, step: Step, rules: Rules) -> tuple[Int[Array, ""], Float[Array, ""]]:
    # Of one restart, from the objective at its present parameters and the validity of the next.
    # 1. Gains that shrink by a constant rate add up to change · rate/(1 − rate) (Aitken). Rounding
    #    counts as if it had made the last gain smaller, so that it feigns no fast convergence.
    # 2. Once is chance: the estimate must hold twice. Where the objective moves by no more than
    #    rounding nothing is left that could be seen.
    objective, (last, before) = step.objective, run.past
    rounding = 4 * jnp.finfo(objective.dtype).eps * jnp.maximum(jnp.abs(objective), 1)
    change = jnp.abs(objective - last)
    rate = (change + rounding) / jnp.abs(last - before)
    remaining = step.remaining
    if remaining is None:
        remaining = jnp.where(rate < 1, change * rate / (1 - rate), jnp.inf)
    close = jnp.maximum(remaining, run.remaining) <= rules.tolerance
    settled = (close | (change <= rounding)) & (rules.tolerance >= 0) & step.comparable
    code = jnp.where(step.valid, RUNNING, CODES.index(Status.DEGENERATE))
    code = jnp.where(run.taken >= rules.steps, CODES.index(Status.STEPS_TAKEN), code)
    code = jnp.where(settled, CODES.index(Status.CONVERGED), code)
    code = jnp.where(jnp.isfinite(objective), code, CODES.index(Status.NOT_FINITE))
    return code, remaining.astype(run.remaining.dtype)


def each(function: Callable[..., Any], *trees: Any) -> Any:
    """Call a kernel for every slot; for one alone without a batch axis, which compiles faster."""
    if jax.tree.leaves(trees)[0].shape[0] > 1:
        return jax.vmap(function)(*trees)
    return jax.tree.map(lambda a: a[None], function(*jax.tree.map(lambda a: a[0], trees)))


@final
@dataclass
class Journal:
    """What is known of all restarts: everything that is needed to go on, or to report.

    Attributes:
        run: the restarts under way.
        coords: their coordinates.
        slots: which restart each slot of the run holds.
        ends: coordinates of all restarts: of those that wait their start, of others what was
            reached. NumPy arrays with a leading axis of restarts.
        valid: which of the starts lie in the domain.
        codes, taken, remaining: as of a run, for all restarts.
        traces: the objectives of all restarts.
        started: number of restarts that were started.
        sums: averages of a pass through blocks that is under way.
        passes: number of passes done; of a pass under way `block` blocks were read.
        block: see `passes`.
        seen: number of rows of the pass under way that were read.
        rows: number of rows of a pass, as far as is known.
    """

    run: Run
    coords: Any
    slots: np.ndarray
    ends: Any
    valid: np.ndarray
    codes: np.ndarray
    taken: np.ndarray
    remaining: np.ndarray
    traces: list[list[float]]
    started: int
    sums: Averages | None = None
    passes: int = 0
    block: int = 0
    seen: int = 0
    rows: int = 0

    def live(self) -> Bool[np.ndarray, " slots"]:
        """Which slots hold a restart that goes on."""
        return np.asarray(self.run.code) == RUNNING

    def note(self, progress: Progress) -> None:
        """Take down what steps gave."""
        before = np.asarray(self.run.taken)
        live = self.live()
        self.run, objectives, self.coords = progress
        seen = np.asarray(self.run.taken) - before + ~self.live()
        columns = np.asarray(objectives).T
        for slot in np.flatnonzero(live):
            self.traces[self.slots[slot]].extend(columns[slot, : seen[slot]].tolist())

    def settle(self) -> None:
        """Take down where the restarts of all slots are."""
        run = self.run
        places = self.codes, self.taken, self.remaining, *jax.tree.leaves(self.ends)
        found = run.code, run.taken, run.remaining, *jax.tree.leaves(self.coords)
        for place, values in zip(places, found, strict=True):
            place[self.slots] = np.asarray(values)


def open_journal(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    coords: Any,
    valid: np.ndarray,
    width: int,
) -> Journal:
    """The journal at the start.

    Args:
        model: the model.
        method: the method.
        coords: where restarts start, a leading axis of restarts.
        valid: which of these lie in the domain.
        width: number of slots.
    """
    ends = jax.tree.map(np.array, coords)
    first = jax.tree.leaves(ends)[0]
    slots = np.arange(width)
    chosen = take(ends, slots)
    return Journal(
        begin(model, method, chosen, valid[slots]),
        chosen,
        slots,
        ends,
        valid,
        np.full(len(first), RUNNING),
        np.zeros(len(first), int),
        np.full(len(first), np.inf, first.dtype),
        [[] for _ in first],
        len(slots),
    )


def follow(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    journal: Journal,
    steps: Iterable[Progress],
    after: Callable[[], None],
) -> bool:
    """Take steps until every restart has ended; says whether it was interrupted.

    Args:
        model: the model.
        method: the method.
        journal: where the fit is; it is written to.
        steps: makes steps from where the journal is.
        after: called after steps.
    """
    begun = time.monotonic()
    try:
        _refill(model, method, journal)
        for progress in steps if journal.live().any() else ():
            journal.note(progress)
            _refill(model, method, journal)
            late = time.monotonic() - begun > _WORTHWHILE
            if late and method.plan.posterior is None and _narrow(journal):
                begun = time.monotonic()
            after()
            if not journal.live().any():
                break
        else:
            # The data were read as often as the method asks for.
            code = np.asarray(journal.run.code)
            code = np.where(code == RUNNING, CODES.index(Status.STEPS_TAKEN), code)
            journal.run = eqx.tree_at(lambda run: run.code, journal.run, code)
    except KeyboardInterrupt:
        return True
    finally:
        journal.settle()
    return False


def _refill(model: AbstractExponentialFamily, method: AbstractMethod, journal: Journal) -> None:
    # Slots that are done take restarts that wait. A start outside of the domain is done at once.
    count = len(journal.traces)
    while journal.started < count and not journal.live().all():
        journal.settle()
        new = np.flatnonzero(~journal.live())[: count - journal.started]
        journal.slots[new] = np.arange(journal.started, journal.started + len(new))
        journal.started += len(new)
        starts = take(journal.ends, journal.slots)
        fresh = begin(model, method, starts, journal.valid[journal.slots]), starts

        def choose(fresh: Any, old: Any, new: Any = new) -> np.ndarray:
            chosen = np.array(old)
            chosen[new] = np.asarray(fresh)[new]
            return chosen

        journal.run, journal.coords = jax.tree.map(choose, fresh, (journal.run, journal.coords))


def _narrow(journal: Journal) -> bool:
    # Fewer slots, where none waits and at most half go on: a power of two of them, in which some
    # that are done may fill up.
    live = journal.live()
    if journal.started < len(journal.traces) or not 0 < 2 * live.sum() <= len(live):
        return False
    journal.settle()
    chosen = np.argsort(~live, kind="stable")[: 1 << (int(live.sum()) - 1).bit_length()]
    journal.run, journal.coords = take((journal.run, journal.coords), chosen)
    journal.slots = journal.slots[chosen]
    return True


def take(tree: Any, index: Any) -> Any:
    """Some of what has a leading axis, on the host."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[index], tree)
