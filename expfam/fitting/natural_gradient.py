"""Natural gradients: a step in mean coordinates along the gradient in natural coordinates.

The gradient of a loss in natural coordinates is a direction in mean coordinates, and a plain step
there is a natural-gradient step (Raskutti & Mukherjee 2015; Khan & Rue 2021):

    ∇ψ(θ') = ∇ψ(θ) − ϱ ∇L(θ),   θ' − θ = −ϱ F(θ)⁻¹∇L(θ) + O(ϱ²),   F = ∇²ψ

With L the negative mean log-likelihood, ∇L = ∇ψ(θ) − η̂, so that the step goes the share ϱ of the
way from the expectations of the model to those given the data. All the way is EM.
"""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from ..families.base import AbstractExponentialFamily
from ..geometry.points import AbstractPoint, Mean, Natural
from .averages import Averages
from .methods import AbstractMethod, Plan, Step, blend
from .settings import check_tolerance, whole

# A step that leaves the domain is halved, so often at most.
_HALVINGS = 60


@final
class NaturalGradient(AbstractMethod):
    """Natural-gradient ascent on the mean log-likelihood: damped EM.

    Every step goes the share `learning_rate` of the way to the expectations that EM would go to. As
    these form a convex set, no step leaves the domain, and without mini-batches the objective never
    falls, up to rounding. It does not depend on how the model is parametrized. With mini-batches
    and a decaying rate it is stepwise EM on rows drawn anew.

    Attributes:
        learning_rate: a number greater than 0 and at most 1, or an Optax schedule of such numbers;
            1 is EM.
        steps: number of steps at most.
        batch_size: number of rows drawn with replacement for each step; `None`: all rows. Of data
            in blocks, every block is a batch, whatever its size.
        tolerance: stop when further steps would gain less than this, in nats a row, as estimated
            from the last steps; `None` (default): take all steps.
    """

    learning_rate: Any = eqx.field(static=True, default=0.5)
    steps: int = eqx.field(converter=whole("NaturalGradient", "steps"), default=1000)
    batch_size: int | None = eqx.field(
        static=True,
        converter=whole("NaturalGradient", "batch_size", 1, optional=True),
        default=None,
    )
    tolerance: float | None = None

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        _check_rate("NaturalGradient", self.learning_rate, 1.0)
        check_tolerance("NaturalGradient", self.tolerance)

    @property
    def plan(self) -> Plan:
        """All rows, or a batch, for every step."""
        return Plan(self.steps, self.tolerance, self.batch_size)

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Any:
        """The coordinates, and the number of steps done."""
        return coords, jnp.zeros((), int)

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
        """One step in mean coordinates."""
        coords, count = state
        target = model._target(averages.means, averages.total, prior)
        present = jax.grad(model._log_normalizer)(coords)
        means = blend(present, target, _rate_at(self.learning_rate, count))
        # As in EM: whitening keeps the likelihood.
        means = model._whiten(means) if prior is None else means
        following, valid = model._attain(coords, means)
        value = averages.objective(model, coords, prior)
        return Step(state, (following, count + 1), value, valid)

    def coords(self, model: AbstractExponentialFamily, state: Any) -> Any:
        """The coordinates of a state."""
        return state[0]


def natural_gradient_descent(
    model: AbstractExponentialFamily, learning_rate: Any
) -> optax.GradientTransformation:
    """Natural-gradient descent for loops of your own, as an Optax transformation.

    It turns the gradient of a loss at natural coordinates into a change of them: a plain step in
    mean coordinates. No step leaves the domain: where the whole step would, it is halved until it
    does not. In a chain it comes last; what comes before it, such as `optax.trace` for momentum,
    works on directions in mean coordinates.

    Args:
        model: the family or model that the parameters are a point of.
        learning_rate: positive number, or an Optax schedule. For the negative mean log-likelihood,
            1 is a step of EM, and the maximum where nothing is latent.

    Returns:
        A transformation whose `update(gradient, state, params)` takes a gradient from `jax.grad`
        or `expfam.gradient` and the parameters, and returns the change of the parameters, for
        `optax.apply_updates`. The change is zero where no step along the gradient stays inside.

    Examples:
        >>> import jax, jax.numpy as jnp, optax, expfam as ef
        >>> poisson, counts = ef.Poisson(), jnp.array([1, 2, 6])
        >>> optimizer = ef.natural_gradient_descent(poisson, 1.0)
        >>> params = poisson.from_rate(1.0)
        >>> loss = lambda params: -jnp.mean(poisson.log_density(params, counts))
        >>> change, _ = optimizer.update(jax.grad(loss)(params), optimizer.init(params), params)
        >>> print(f"{poisson.rate(optax.apply_updates(params, change)):.4f}")
        3.0000
    """
    _check_rate("natural_gradient_descent", learning_rate, float("inf"))

    def init(params: Any) -> optax.ScaleByScheduleState:
        return optax.ScaleByScheduleState(count=jnp.zeros((), jnp.int32))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        model._check_point(params, Natural, "natural_gradient_descent", "params")
        if isinstance(updates, AbstractPoint):
            # jax.grad tags the gradient with the chart of the parameters.
            updates = Mean(updates.coords)
        model._check_point(updates, Mean, "natural_gradient_descent", "updates")
        rate = _rate_at(learning_rate, state.count)
        change = _descend(model, params.coords, updates.coords, rate)
        return Natural(change), optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformation(init, update)


@jax.jit
def _descend(model: AbstractExponentialFamily, coords: Any, slope: Any, rate: Any) -> Any:
    present = jax.grad(model._log_normalizer)(coords)
    origin = model._flatten(present, "mean")
    rounding = 8 * jnp.finfo(origin.dtype).eps ** 0.5 * jnp.max(jnp.abs(origin), initial=1.0)

    def attempt(state: Any) -> Any:
        rate, tries, _, _ = state
        target = jax.tree.map(lambda own, other: own - rate * other, present, slope)
        following = model._maximize(target, coords)
        # Off the set of expectations a maximum is not finite, or has other expectations.
        wanted = model._flatten(target, "mean")
        got = model._flatten(jax.grad(model._log_normalizer)(following), "mean")
        slack = 0.01 * jnp.max(jnp.abs(wanted - origin), initial=0.0) + rounding
        good = model._in_domain(following) & jnp.all(jnp.abs(got - wanted) <= slack)
        return rate / 2, tries + 1, following, good

    def proceed(state: Any) -> Array:
        return ~state[3] & (state[1] < _HALVINGS)

    start = (jnp.asarray(rate, origin.dtype), jnp.zeros((), int), coords, jnp.zeros((), bool))
    _, _, following, inside = jax.lax.while_loop(proceed, attempt, start)
    # A gradient that is not finite gives a change that is not finite.
    return jax.tree.map(
        lambda new, old, other: jnp.where(inside, new - old, 0 * other).astype(old.dtype),
        following,
        coords,
        slope,
    )


def _rate_at(rate: Any, count: Any) -> Any:
    return rate(count) if callable(rate) else rate


def _check_rate(owner: str, rate: Any, limit: float) -> None:
    if callable(rate):
        return
    if not isinstance(rate, (int, float)) or not 0 < rate <= limit:
        bound = " and at most 1" if limit == 1 else ""
        raise ValueError(
            f"{owner}: `learning_rate` must be a number greater than 0{bound}, or an Optax "
            f"schedule, but is {rate!r}."
        )
