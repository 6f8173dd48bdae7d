"""Fitting methods: what one step does. The loop around the steps is in `fitting.fit`."""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Key

from ..families import compiled
from ..families.base import AbstractExponentialFamily
from .acceleration import accelerate, begin


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
    """

    present: Any
    following: Any
    objective: Float[Array, ""]
    valid: Bool[Array, ""]
    comparable: Bool[Array, ""] | bool = True


class AbstractMethod(eqx.Module):
    """A way to improve parameters step by step. All methods are kernels, for one start.

    Attributes:
        tolerance: relative change of the objective at which to stop; `None`: never.
    """

    tolerance: eqx.AbstractVar[float | None]

    @property
    @abstractmethod
    def limit(self) -> int:
        """Number of steps at most."""

    @property
    @abstractmethod
    def averages(self) -> bool:
        """Whether steps depend on the rows only through averages of ∇ψ(θ | x)."""

    @abstractmethod
    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The state of the method at given coordinates."""

    @abstractmethod
    def step(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        xs: Any,
        weights: Float[Array, " n"] | None,
        prior: Any,
        key: Key[Array, ""],
    ) -> Step:
        """One step from a state."""

    @abstractmethod
    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of a state."""


@final
class EM(AbstractMethod):
    """Expectation maximization (Dempster, Laird & Rubin 1977).

    Every step is `model.expectation_maximization`: closed form where there is one, else a convex
    solve. The objective never falls, up to rounding.

    Attributes:
        max_steps: number of steps at most.
        tolerance: stop when the objective changes by less than this, relative to its size (or to 1
            if that is larger); `None`: take all steps.
        block_size: number of rows that are looked at together, which bounds temporary memory;
            `None`: 1024 in float32 and 512 in float64, which is fast and takes little memory.
        acceleration: number of steps that are remembered, to learn from them what EM does not know
            of the curvature (a quasi-Newton method, Jamshidian & Jennrich 1997); 0 (default) for
            plain steps. 8 needs about a tenth of the steps, or fewer, where EM is slow: clusters
            that overlap, factor analysis with small noise, HMoG. A step costs the same. The
            objective never falls: a step that lowers it is replaced by a plain one.
    """

    max_steps: int = eqx.field(static=True, default=500)
    tolerance: float | None = eqx.field(static=True, default=1e-6)
    block_size: int | None = eqx.field(static=True, default=None)
    acceleration: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        check_steps("EM", "max_steps", self.max_steps, self.tolerance)
        check_steps("EM", "acceleration", self.acceleration, None)
        if self.block_size is not None and self.block_size < 1:
            raise ValueError(f"EM: `block_size` must be at least 1, but is {self.block_size}.")

    @property
    def limit(self) -> int:
        """`max_steps`."""
        return self.max_steps

    @property
    def averages(self) -> bool:
        """Yes."""
        return True

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The coordinates themselves; with acceleration, a memory of steps."""
        return coords if self.acceleration == 0 else begin(model, coords, self.acceleration)

    def step(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        xs: Any,
        weights: Float[Array, " n"] | None,
        prior: Any,
        key: Key[Array, ""],
    ) -> Step:
        """One EM step."""
        coords = self.point(state)
        value, means = model._density_and_expectation(coords, xs, weights, self.block_size)
        total = compiled.total_weight(xs, weights)
        return self.advance(model, state, value, means, total, prior)

    def point(self, state: Any) -> Any:
        """The coordinates of a state at which the E-step is made."""
        return state if self.acceleration == 0 else state.candidate

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        value: Float[Array, ""],
        means: Any,
        total: Any,
        prior: Any,
    ) -> Step:
        """The rest of a step, without rows.

        Args:
            model: the model.
            state: the state before the step.
            value: mean over rows of log p(x), at the `point` of the state.
            means: mean over rows of ∇ψ(θ | x) there.
            total: weight of all rows.
            prior: a conjugate prior, or `None`.
        """
        if self.acceleration == 0:
            following, objective, valid = model._em_step_from(state, value, means, total, prior)
            return Step(state, following, objective, valid)
        present, following, comparable = accelerate(model, state, value, means, total, prior)
        kept = present.kept
        return Step(present, following, kept.objective, kept.valid, comparable)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates themselves; with acceleration, those that were kept."""
        return state if self.acceleration == 0 else state.kept.coords


@final
class Gradient(AbstractMethod):
    """Gradient ascent on the mean log-likelihood by any Optax optimizer.

    It moves in an unconstrained chart (means, loadings, log-Cholesky factors, log-weights), so that
    no step can leave the domain. The objective is that of EM.

    Attributes:
        optimizer: an Optax optimizer, e.g. `optax.adam(1e-2)`.
        steps: number of steps at most.
        batch_size: number of rows drawn with replacement for each step; `None`: all rows.
        tolerance: stop when the objective changes by less than this, relative to its size (or to 1
            if that is larger); `None` (default): take all steps.
    """

    optimizer: optax.GradientTransformation = eqx.field(static=True)
    steps: int = eqx.field(static=True, default=1000)
    batch_size: int | None = eqx.field(static=True, default=None)
    tolerance: float | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        if not hasattr(self.optimizer, "update"):
            raise TypeError(
                "Gradient: `optimizer` must be an Optax optimizer, e.g. optax.adam(1e-2), but is "
                f"of type {type(self.optimizer).__name__}."
            )
        check_steps("Gradient", "steps", self.steps, self.tolerance)
        check_batch_size("Gradient", self.batch_size)

    @property
    def limit(self) -> int:
        """`steps`."""
        return self.steps

    @property
    def averages(self) -> bool:
        """Unless rows are drawn."""
        return self.batch_size is None

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """Free parameters, and the state of the optimizer."""
        free = model._to_unconstrained(coords)
        return free, self.optimizer.init(free)

    def step(
        self,
        model: AbstractExponentialFamily,
        state: Any,
        xs: Any,
        weights: Float[Array, " n"] | None,
        prior: Any,
        key: Key[Array, ""],
    ) -> Step:
        """One step of the optimizer."""
        free, memory = state
        n = jax.tree.leaves(xs)[0].shape[0]
        total = n if weights is None else jnp.sum(weights)
        xs, weights = draw_rows(key, xs, weights, self.batch_size)

        def loss(free: Any) -> Array:
            coords = model._from_unconstrained(free)
            return -model._objective(coords, xs, weights, prior, total)

        value, slope = jax.value_and_grad(loss)(free)
        change, memory = self.optimizer.update(slope, memory, free)
        following = optax.apply_updates(free, change)
        leaves = jax.tree.leaves((following, slope))
        valid = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in leaves]))
        return Step(state, (following, memory), -value, valid)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of the free parameters."""
        return model._from_unconstrained(state[0])


@final
class StepwiseEM(eqx.Module):
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
    passes: int = eqx.field(static=True, default=1)
    block_size: int = eqx.field(static=True, default=1024)

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        if not 0.5 < self.decay <= 1:
            raise ValueError(
                f"StepwiseEM: `decay` must be greater than 0.5 and at most 1, but is {self.decay}."
            )
        if not self.delay >= 0:
            raise ValueError(f"StepwiseEM: `delay` must not be negative, but is {self.delay}.")
        for name in ("passes", "block_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"StepwiseEM: `{name}` must be an integer of at least 1, but is {value}."
                )


def draw_rows(
    key: Key[Array, ""], xs: Any, weights: Float[Array, " n"] | None, size: int | None
) -> tuple[Any, Float[Array, " batch"] | None]:
    """A mini-batch: `size` rows drawn with replacement, and their weights; `None`: all rows."""
    if size is None:
        return xs, weights
    chosen = jax.random.randint(key, (size,), 0, jax.tree.leaves(xs)[0].shape[0])
    return jax.tree.map(lambda a: a[chosen], (xs, weights))


def check_batch_size(owner: str, size: int | None) -> None:
    """Refuse a size of mini-batches that is no number of rows.

    Raises:
        ValueError: a size below 1.
    """
    if size is not None and size < 1:
        raise ValueError(f"{owner}: `batch_size` must be at least 1, but is {size}.")


def check_steps(owner: str, name: str, steps: int, tolerance: float | None) -> None:
    """Refuse a number of steps, or a tolerance, out of range.

    Raises:
        ValueError: a number of steps that is no whole number from 0 on; a negative tolerance.
    """
    if not isinstance(steps, int) or steps < 0:
        raise ValueError(f"{owner}: `{name}` must be an integer of at least 0, but is {steps}.")
    if tolerance is not None and not tolerance >= 0:
        raise ValueError(f"{owner}: `tolerance` must not be negative, but is {tolerance}.")
