"""Fitting methods: what one step does with averages over rows. The loop is in `fitting.loop`."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, final

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from ..families import ascent
from ..families.base import AbstractExponentialFamily
from .acceleration import accelerate, begin
from .assignments import ASSIGNMENTS, reweighted, weights_to_hold
from .averages import Averages
from .settings import check_forgetting, check_tolerance, whole


@final
class Plan(NamedTuple):
    """How long a method goes on, and what it reads for a step.

    Attributes:
        steps: number of steps at most; `None`: as many as `passes` give.
        tolerance: remaining gain in nats a row at which to stop; `None`: never.
        batch_size: number of rows for a step; `None`: all. Of data in blocks, a step is made after
            every block, however long it is.
        block_size: number of rows looked at together, which bounds memory; `None`: the usual.
        passes: how often the data are read, block by block and in order; `None`: as often as steps
            need, and from an array batches are drawn with replacement.
        assignments: how rows are assigned to components, one of `assignments.ASSIGNMENTS`.
        posterior: from the prior and the last state to the posterior, where a method finds one.
    """

    steps: int | None
    tolerance: float | None
    batch_size: int | None = None
    block_size: int | None = None
    passes: int | None = None
    assignments: str = "soft"
    posterior: Callable[[Any, Any], Any] | None = None

    @property
    def noisy(self) -> bool:
        """Whether the objective of a step depends on chance."""
        return self.batch_size is not None or self.assignments == "sampled"


@final
class Step(eqx.Module):
    """What one step of a method gives.

    Attributes:
        present: the state before the step; where a method tries points out, the one it kept.
        following: the state after the step.
        objective: the objective at the present state.
        valid: whether the following state is valid.
        comparable: whether the objective may be compared with that of the step before, to tell
            whether the fit has converged.
        remaining: the method's own estimate of what is left to gain, in nats a row; `None`: it is
            estimated from the last objectives.
    """

    present: Any
    following: Any
    objective: Float[Array, ""]
    valid: Bool[Array, ""]
    comparable: Bool[Array, ""] | bool = True
    remaining: Float[Array, ""] | None = None


class AbstractMethod(eqx.Module):
    """A way to improve parameters step by step, from averages over rows.

    All members but `plan` are kernels, for one restart. What a method supplies works with restarts,
    weights, priors, blocks, checkpoints and several devices. Fields that decide what is computed
    are static; programs do not depend on the others.
    """

    @property
    @abstractmethod
    def plan(self) -> Plan:
        """How long the method goes on, and what it reads for a step."""

    @abstractmethod
    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The state of the method at given coordinates, a tree of arrays."""

    @abstractmethod
    def point(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates at which a state needs averages."""

    @abstractmethod
    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """One step.

        Args:
            model: the model.
            state: the state before the step.
            averages: over rows, at the `point` of the state.
            prior: a conjugate prior, or `None`.
            objective: from coordinates to the objective there, differentiable, at the cost of
                another look at the rows; refuses where they are not in memory.
        """

    @abstractmethod
    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates that a state has reached."""


@final
class EM(AbstractMethod):
    """Expectation maximization (Dempster, Laird & Rubin 1977).

    Every step is `model.expectation_maximization`: closed form where there is one, else a convex
    solve. The objective never falls, up to rounding.

    Attributes:
        max_steps: number of steps at most.
        tolerance: stop when further steps would gain less than this, in nats a row, as estimated
            from the last steps; `None`: take all steps.
        block_size: number of rows that are looked at together, which bounds temporary memory;
            `None`: 1024 in float32 and 512 in float64, which is fast and takes little memory.
        acceleration: number of steps that are remembered, to learn from them what EM does not know
            of the curvature (a quasi-Newton method, Jamshidian & Jennrich 1997); 0 (default) for
            plain steps. 8 needs about a tenth of the steps, or fewer, where EM is slow: clusters
            that overlap, factor analysis with small noise, HMoG. A step costs the same. The
            objective never falls: a step that lowers it is replaced by a plain one.
        assignments: "soft" (default): rows count for all components, by their responsibilities.
            "hard": for the most probable one alone (classification EM): the objective is the mean
            of log p(x, z) at the best z of every row, and rises until no row changes its component.
            With unit variances and equal weights that is k-means; with a conjugate prior it is
            coordinate ascent on the posterior of parameters and components. "sampled": for one
            drawn from the responsibilities (stochastic EM), which leaves poor optima; all steps are
            taken.
        fixed_weights: weights of the components that no step changes: K numbers, or "equal";
            `None` (default): they are estimated.

    References:
        Celeux & Govaert 1992, A classification EM algorithm for clustering and two stochastic
        versions.
    """

    max_steps: int = eqx.field(converter=whole("EM", "max_steps"), default=500)
    tolerance: float | None = 1e-6
    block_size: int | None = eqx.field(
        static=True, converter=whole("EM", "block_size", 1, optional=True), default=None
    )
    acceleration: int = eqx.field(static=True, converter=whole("EM", "acceleration"), default=0)
    assignments: str = eqx.field(static=True, default="soft")
    fixed_weights: tuple[float, ...] | str | None = eqx.field(
        static=True, converter=weights_to_hold, default=None
    )

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        check_tolerance("EM", self.tolerance)
        if self.assignments not in ASSIGNMENTS:
            raise ValueError(
                f"EM: `assignments` must be one of {ASSIGNMENTS}, but is {self.assignments!r}."
            )
        if self.acceleration and (self.assignments != "soft" or self.fixed_weights is not None):
            raise ValueError(
                "EM: `acceleration` must be 0 where `assignments` are not soft or `fixed_weights` "
                f"are given, but is {self.acceleration}: it learns from the steps of plain EM."
            )

    @property
    def plan(self) -> Plan:
        """All rows for every step."""
        tolerance = None if self.assignments == "sampled" else self.tolerance
        return Plan(
            self.max_steps,
            tolerance,
            block_size=self.block_size,
            assignments=self.assignments,
        )

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The coordinates; with acceleration, a memory of steps; of guarded models, an ascent."""
        if self.acceleration:
            return begin(model, coords, self.acceleration)
        held = self._held(model, coords)
        return ascent.begin(held) if self._guards(model) else held

    def point(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates themselves, or those to be tried."""
        return state.candidate if self.acceleration or self._guards(model) else state

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """The M-step; with acceleration, what is learned from it."""
        if self.acceleration:
            present, following, comparable, remaining = accelerate(model, state, averages, prior)
            kept = present.kept
            return Step(present, following, kept.objective, kept.valid, comparable, remaining)
        at = self.point(model, state)
        image, valid = model._m_step(at, averages.means, averages.total, prior)
        value, image = averages.objective(model, at, prior), self._held(model, image)
        if not self._guards(model):
            return Step(state, image, value, valid)
        present, following, good = ascent.proceed(model, state, value, image)
        return Step(present, following, present.best, valid | ~good, good)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates themselves, or those that were kept."""
        if self.acceleration:
            return state.kept.coords
        return state.kept if self._guards(model) else state

    def _guards(self, model: AbstractExponentialFamily) -> bool:
        # Objectives at drawn assignments cannot be compared.
        return model._guarded and self.assignments != "sampled"

    def _held(self, model: Any, coords: Any) -> Any:
        # With the weights that are fixed: the components of an M-step do not depend on them.
        if self.fixed_weights is None:
            return coords
        count = model.n_labels
        fixed = (1 / count,) * count if self.fixed_weights == "equal" else self.fixed_weights
        if len(fixed) != count:
            raise ValueError(
                f"EM: `fixed_weights` must be {count} numbers, one for each component, but are "
                f"{len(fixed)}."
            )
        return reweighted(model, coords, jnp.asarray(fixed, jax.tree.leaves(coords)[0].dtype))


@final
class StepwiseEM(AbstractMethod):
    """Stepwise, or online, EM: a step after every block, for one pass or endless streams.

    Averages of the statistics forget: with every block they move by (t + delay)^−decay towards the
    average of the block, t being the number of the step (Cappé & Moulines 2009). Latent variables
    are not whitened.

    Attributes:
        decay: between 0.5, which learns fast and forgets fast, and 1, which never forgets.
        delay: makes the first steps smaller.
        passes: how often all blocks are read.
        block_size: size of the blocks where the data are an array.
    """

    decay: float = eqx.field(static=True, default=0.7)
    delay: float = eqx.field(static=True, default=1.0)
    passes: int = eqx.field(converter=whole("StepwiseEM", "passes", 1), default=1)
    block_size: int = eqx.field(
        static=True, converter=whole("StepwiseEM", "block_size", 1), default=1024
    )

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        check_forgetting("StepwiseEM", self.decay, self.delay)

    @property
    def plan(self) -> Plan:
        """A block for every step, all blocks `passes` times."""
        return Plan(None, None, batch_size=self.block_size, passes=self.passes)

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The coordinates, the averages that forget, and the number of steps done."""
        return coords, jax.grad(model._log_normalizer)(coords), jnp.zeros((), int)

    def point(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of a state."""
        return state[0]

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """Move the averages, and maximize."""
        # s ← (1 − γ) s + γ s̄, θ = (∇ψ)⁻¹(s): Cappé & Moulines 2009, eq. (7)–(8). Latent frames must
        # stay the same from step to step, so nothing is whitened.
        coords, means, count = state
        rate = (count + 1.0 + self.delay) ** -self.decay
        means = blend(means, averages.means, rate)
        target = model._target(means, averages.total, prior)
        following, valid = model._attain(coords, target)
        value = averages.objective(model, coords, prior)
        return Step(state, (following, means, count + 1), value, valid)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of a state."""
        return state[0]


@final
class Gradient(AbstractMethod):
    """Gradient ascent on the mean log-likelihood by any Optax optimizer.

    It moves in an unconstrained chart (means, loadings, log-Cholesky factors, log-weights), so that
    no step can leave the domain. The objective is that of EM. Optimizers that look at the objective
    several times in a step, such as `optax.lbfgs()`, need the rows in memory.

    Attributes:
        optimizer: an Optax optimizer, e.g. `optax.adam(1e-2)`.
        steps: number of steps at most.
        batch_size: number of rows drawn with replacement for each step; `None`: all rows. Of data
            in blocks, every block is a batch, whatever its size.
        tolerance: stop when further steps would gain less than this, in nats a row, as estimated
            from the last steps; `None` (default): take all steps.
    """

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(converter=whole("Gradient", "steps"), default=1000)
    batch_size: int | None = eqx.field(
        static=True, converter=whole("Gradient", "batch_size", 1, optional=True), default=None
    )
    tolerance: float | None = None

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        if not hasattr(self.optimizer, "update"):
            raise TypeError(
                "Gradient: `optimizer` must be an Optax optimizer, e.g. optax.adam(1e-2), but is "
                f"of type {type(self.optimizer).__name__}."
            )
        check_tolerance("Gradient", self.tolerance)

    @property
    def plan(self) -> Plan:
        """All rows, or a batch, for every step."""
        return Plan(self.steps, self.tolerance, self.batch_size)

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """Free parameters, and the state of the optimizer."""
        free = model._to_unconstrained(coords)
        return free, self.optimizer.init(free)

    def point(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of the free parameters."""
        return model._from_unconstrained(state[0])

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """One step of the optimizer."""
        free, memory = state
        chart = model._from_unconstrained
        value = averages.objective(model, chart(free), prior)
        slope = jax.tree.map(jnp.negative, averages.slope(model, chart, free, prior))
        change, memory = optax.with_extra_args_support(self.optimizer).update(
            slope,
            memory,
            free,
            value=-value,
            grad=slope,
            value_fn=lambda free: -objective(chart(free)),
        )
        following = optax.apply_updates(free, change)
        leaves = jax.tree.leaves((following, slope))
        valid = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))
        return Step(state, (following, memory), value, valid)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of the free parameters."""
        return model._from_unconstrained(state[0])


def blend(own: Any, other: Any, rate: Any) -> Any:
    """Averages that go the share `rate` of the way from one to the other."""
    return jax.tree.map(lambda a, b: (a + rate * (b - a)).astype(a.dtype), own, other)
