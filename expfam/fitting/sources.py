"""Where rows come from: an array, or blocks that are read again and again."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..families import compiled
from ..families.base import AbstractExponentialFamily
from ..families.ladder import padded
from ..families.observations import has_gaps, require_seen
from ..families.patterns import by_pattern
from ..families.support import check_observations, check_weights
from ..geometry.programs import compiled_once
from .assignments import assigned
from .averages import Averages, nothing
from .blocks import Blocks, checked, head, is_stream, reader
from .checkpoint import Checkpoint, marks_of_blocks
from .diagnosis import warn_of_offset
from .loop import RUNNING, Journal, Progress, Rules, Run, begin, each, proceed
from .methods import AbstractMethod, Plan, blend
from .standardize import change_frame_of_prior, in_frame_of, in_raw_units

# Steps compiled into one call: a progress bar moves, and an interrupt is heard, in between.
CHUNK = 20

# Restarts at a time, at most.
_WIDTH = 32


@final
@dataclass
class Task:
    """What is to be done with rows.

    Attributes:
        method: the method.
        prior: in the frame of the rows; `None`: none.
        key: for batches; `None`: there are none.
        rules: when to stop.
        journal: where the fit is.
        saved: where the journal is kept.
    """

    method: AbstractMethod
    prior: Any
    key: Key[Array, ""] | None
    rules: Rules
    journal: Journal
    saved: Checkpoint


class AbstractSource(eqx.Module):
    """Rows, and the steps that are made from them.

    Attributes:
        inner: the model in the frame of the rows.
        near: the same with the origin of `few`; its coordinates are those of `inner`.
        few: rows to start from: those with the same averages where there are fewer, of blocks the
            first.
        parts: their weights.
        sample: rows as they came, of blocks the first.
        marks: what tells the rows from others.
        precise: whether parameters in raw units hold the digits of a fit.
    """

    inner: eqx.AbstractVar[Any]
    near: eqx.AbstractVar[Any]
    few: eqx.AbstractVar[Any]
    parts: eqx.AbstractVar[Any]
    sample: eqx.AbstractVar[Any]
    marks: eqx.AbstractVar[Any]

    precise: eqx.AbstractVar[bool]

    @abstractmethod
    def density(
        self, model: Any, method: AbstractMethod, coords: Any, prior: Any, width: int
    ) -> float | None:
        """The objective at coordinates of the model as it was given; `None` where that is dear.

        Args:
            model: the model as it was given.
            method: of the fit, which does not draw batches.
            coords: coordinates of the model.
            prior: of the model.
            width: number of slots that the fit began with.
        """

    @abstractmethod
    def width(self, restarts: int) -> int:
        """Number of restarts at a time."""

    @property
    @abstractmethod
    def chunk(self) -> int:
        """Number of blocks between two looks at the journal."""

    @abstractmethod
    def moving(self, plan: Plan) -> Any:
        """The model of the steps: `inner` or `near`."""

    @abstractmethod
    def steps(self, task: Task) -> Iterator[Progress]:
        """Steps from where the journal is, and goes on where it is then."""


@final
class Memory(AbstractSource):
    """Rows in memory: the steps of all restarts are one compiled loop.

    Attributes:
        inner, near, few, parts, sample, marks, precise: see above.
        weights: of the rows; `None`: equal.
    """

    inner: Any
    near: Any
    few: Any
    parts: Any
    sample: Any
    marks: Any
    precise: bool
    weights: Any

    def density(
        self, model: Any, method: AbstractMethod, coords: Any, prior: Any, width: int
    ) -> float:
        """One pass through the rows: where a step of the loop begins, for which it is compiled."""
        raw = in_raw_units(self.inner, model)
        prior = change_frame_of_prior(model, raw, prior)
        raw, few, parts = _compress(raw, *arranged(self.sample, self.weights))
        coords = jax.tree.map(lambda leaf: np.stack([leaf] * width), coords)
        run = begin(raw, method, coords, np.ones(width, bool))
        rules = Rules(1, -1.0)
        return float(climb(raw, method, few, parts, prior, None, rules, 1, run).objectives[0, 0])

    def width(self, restarts: int) -> int:
        """Few programs, and enough to keep the processor busy."""
        return slots_for(restarts)

    @property
    def chunk(self) -> int:
        """A step looks at one block."""
        return CHUNK

    def moving(self, plan: Plan) -> Any:
        """Averages are those of few rows, batches are not."""
        return self.inner if plan.batch_size else self.near

    def steps(self, task: Task) -> Iterator[Progress]:
        """A chunk at a time."""
        plan, journal = task.method.plan, task.journal
        data = (self.sample, self.weights) if plan.batch_size else (self.few, self.parts)
        data = self.moving(plan), task.method, *data, task.prior, task.key, task.rules
        most = CHUNK if task.saved.path is None else min(CHUNK, task.saved.every)
        while True:
            yield climb(*data, most, journal.run)


@final
class Stream(AbstractSource):
    """Blocks of rows: a step after all of them, or after each.

    Attributes:
        inner, near, few, parts, sample, marks, precise: see above.
        read: begins to read the blocks.
    """

    inner: Any
    near: Any
    few: Any
    parts: Any
    sample: Any
    marks: Any
    precise: bool
    read: Callable[[], Iterator[Any]]

    def density(
        self, model: Any, method: AbstractMethod, coords: Any, prior: Any, width: int
    ) -> None:
        """Blocks may not be there any more."""

    def width(self, restarts: int) -> int:
        """All, which see the same blocks."""
        return restarts

    @property
    def chunk(self) -> int:
        """Blocks that no step follows are counted where they are read."""
        return 1

    def moving(self, plan: Plan) -> Any:
        """The rows are not compressed."""
        return self.inner

    def steps(self, task: Task) -> Iterator[Progress]:
        """One step at a time."""
        journal, method = task.journal, task.method
        plan = method.plan

        def look(sums: Averages, pieces: Any) -> Averages:
            for rows, weights in pieces:
                sums = add(self.inner, method, sums, rows, weights, task.key, journal.run)
            return sums

        def step(sums: Averages) -> Progress:
            return finish(self.inner, method, sums, task.prior, task.rules, journal.run)

        while True:
            if plan.passes is not None and journal.passes >= plan.passes:
                return
            sums = nothing(journal.coords) if journal.sums is None else journal.sums
            for i, pieces, n in checked(self.inner, self.read(), journal.block):
                added = look(nothing(journal.coords) if plan.batch_size else sums, pieces)
                journal.block, journal.seen = i + 1, journal.seen + n
                if plan.batch_size:
                    # Of all rows, as far as their number is known.
                    journal.rows = max(journal.rows, journal.seen)
                    total = jnp.asarray(journal.rows, added.total.dtype)
                    yield step(Averages(added.value, added.means, total))
                    continue
                # While a block is summed up, the next is read, but no more.
                jax.block_until_ready(sums)
                journal.sums = sums = added
                task.saved.keep(journal)
            journal.sums, journal.block, journal.seen = None, 0, 0
            journal.passes += 1
            if not plan.batch_size:
                yield step(sums)


def in_memory(model: AbstractExponentialFamily, xs: Any, weights: Any) -> Memory:
    """An array as a source.

    Raises:
        TypeError, ValueError: rows or weights that cannot be fitted.
    """
    sample, n = check_observations(model, xs, "fit")
    require_seen(sample, model.observed_support, "fit")
    weights = check_weights(weights, n, float, "fit")
    rows, parts = arranged(sample, weights)
    precise = not warn_of_offset(model, rows, parts)
    # The steps are done about the mean of the data, where statistics lose no digits.
    inner = in_frame_of(model, rows, parts, scaled=False)
    near, few, parts = _compress(inner, rows, parts)
    return Memory(inner, near, few, parts, sample, (sample, weights), precise, weights)


def in_blocks(model: AbstractExponentialFamily, xs: Any, weights: Any, plan: Plan) -> Stream:
    """Blocks, or an array block by block, as a source.

    Raises:
        TypeError: an iterator that must be read more than once.
        ValueError: blocks that cannot be fitted; weights.
    """
    if weights is not None:
        raise ValueError(
            "fit: `weights` must be left out where `xs` comes in blocks, or a step follows each."
        )
    xs = xs if is_stream(xs) else Blocks(xs, plan.batch_size)
    read = reader(xs, plan.passes)
    first, sample, blocks = head(model, read())
    # The blocks that were read for the start are not lost where they can be read only once.
    begun = [blocks]
    inner = in_frame_of(model, sample, None, scaled=False)
    near, few, parts = _compress(inner, sample, None)
    marks = marks_of_blocks(xs, first)

    def again() -> Iterator[Any]:
        return begun.pop() if begun else read()

    return Stream(inner, near, few, parts, sample, marks, True, again)


def arranged(xs: Any, weights: Array | None) -> tuple[Any, Array | None]:
    """Weighted rows for sums over them: in groups of one pattern of gaps, or of a usual number."""
    return by_pattern(xs, weights) if has_gaps(xs) else padded(xs, weights)


def slots_for(restarts: int) -> int:
    """Number of restarts at a time: a power of two, for few programs."""
    return 1 << (min(restarts, _WIDTH).bit_length() - 1)


@compiled_once
def _compress(model: AbstractExponentialFamily, xs: Any, weights: Array | None) -> Any:
    return model._compress(xs, weights)


@jax.jit
def climb(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    xs: Any,
    weights: Float[Array, " n"] | None,
    prior: Any,
    key: Key[Array, ""] | None,
    rules: Rules,
    most: Any,
    run: Run,
) -> Progress:
    """Steps from rows in memory, at most `most` and `CHUNK`, until all restarts have ended."""
    plan = method.plan
    total = compiled.total_weight(xs, weights)

    def step(run: Run) -> tuple[Run, Array]:
        own = _own(key, run.taken)
        rows, parts = _draw(own, xs, weights, plan.batch_size)
        point = method.point(model, run.state)
        rows = assigned(model, plan.assignments, own, point, rows)
        looked = model._density_and_expectation(point, rows, parts, plan.block_size)

        def objective(coords: Any) -> Array:
            return model._objective(coords, rows, parts, prior, total)

        averages = Averages(looked[0], looked[1], total)
        return proceed(model, method, run, averages, prior, objective, rules)

    alone = run.code.shape[0] == 1
    step_each = step if alone else jax.vmap(step)

    def proceeds(carry: Any) -> Array:
        run, _, i = carry
        return (i < most) & jnp.any(run.code == RUNNING)

    def advance(carry: Any) -> Any:
        run, objectives, i = carry
        run, objective = step_each(run)
        return run, objectives.at[i].set(objective), i + 1

    run = jax.tree.map(lambda a: a[0], run) if alone else run
    objectives = jnp.full((CHUNK, *run.code.shape), jnp.nan, run.remaining.dtype)
    run, objectives, _ = jax.lax.while_loop(proceeds, advance, (run, objectives, 0))
    if alone:
        run, objectives = jax.tree.map(lambda a: a[None], run), objectives[:, None]
    return Progress(run, objectives, each(lambda state: method.coords(model, state), run.state))


@jax.jit
def add(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    sums: Averages,
    xs: Any,
    weights: Float[Array, " n"],
    key: Key[Array, ""] | None,
    run: Run,
) -> Averages:
    """Averages over the rows so far, and more of them, at the points of all restarts."""
    plan, own = method.plan, _own(key, sums.total.astype(int))
    total = sums.total + jnp.sum(weights).astype(sums.total.dtype)
    share = jnp.sum(weights).astype(total.dtype) / total

    def look(run: Run, value: Array, means: Any) -> tuple[Array, Any]:
        point = method.point(model, run.state)
        rows = assigned(model, plan.assignments, _own(own, run.taken), point, xs)
        more = model._density_and_expectation(point, rows, weights, plan.block_size)
        return blend((value, means), more, share)

    value, means = each(look, run, sums.value, sums.means)
    return Averages(value, means, total)


@jax.jit
def finish(
    model: AbstractExponentialFamily,
    method: AbstractMethod,
    sums: Averages,
    prior: Any,
    rules: Rules,
    run: Run,
) -> Progress:
    """A step of all restarts, from averages."""

    def step(run: Run, value: Array, means: Any) -> tuple[Run, Array, Any]:
        averages = Averages(value, means, sums.total)
        run, objective = proceed(model, method, run, averages, prior, _refuse, rules)
        return run, objective, method.coords(model, run.state)

    run, objectives, coords = each(step, run, sums.value, sums.means)
    return Progress(run, objectives[None], coords)


def _own(key: Key[Array, ""] | None, count: Any) -> Any:
    # A key for each step, where steps depend on chance.
    return None if key is None else jax.random.fold_in(key, count)


def _refuse(coords: Any) -> Array:
    raise TypeError(
        "fit: the optimizer of `method` looks at the objective several times in a step, for which "
        "the rows must be in memory, but `xs` comes in blocks. Give one array, or an optimizer "
        "that needs no more than the gradient, e.g. optax.adam(1e-2)."
    )


def _draw(
    key: Key[Array, ""] | None, xs: Any, weights: Float[Array, " n"] | None, size: int | None
) -> tuple[Any, Float[Array, " batch"] | None]:
    # A batch: `size` rows drawn with replacement, and their weights; `None`: all rows.
    if size is None or key is None:
        return xs, weights
    chosen = jax.random.randint(key, (size,), 0, jax.tree.leaves(xs)[0].shape[0])
    return jax.tree.map(lambda a: a[chosen], (xs, weights))
