"""Variational Bayes of mixtures: EM with expectations of natural coordinates.

With a posterior q(θ) of the kind of the prior (`harmonium.mixture_prior`), and θ̃ = (E[θ_k],
E[log π_k] − E[ψ(θ_k)]) in place of (θ_k, w_k), the E-step is that of EM: responsibilities, and what
is expected of missing cells, are ∇ψ(θ̃ | x). The bound of the log-evidence is, with the best
responsibilities at q,

    Σ_n ψ(θ̃ | x_n) − KL(q ‖ prior),

and the M-step is q = prior + n η̂ (Attias 1999; Bishop 2006, section 10.2).
"""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..families.base import AbstractExponentialFamily
from ..geometry.points import pairing
from ..geometry.programs import compiled_once
from ..harmonium.interaction import LikelihoodCoords
from ..harmonium.mixture import Mixture
from ..harmonium.mixture_prior import MixturePrior
from ..priors.base import AbstractPrior
from .averages import Averages
from .methods import AbstractMethod, Plan, Step, blend
from .settings import check_forgetting, check_tolerance, whole


@final
class Learned(eqx.Module):
    """What variational Bayes knows: the posterior is the prior after `total` rows of `means`.

    Attributes:
        point: θ̃; before the first step the coordinates that the fit starts from.
        logs: log E[π_k].
        means: averages of the complete statistics.
        total: number of rows that they stand for; 0 before the first step.
        count: number of steps made.
    """

    point: Any
    logs: Float[Array, " k"]
    means: Any
    total: Float[Array, ""]
    count: Any


@final
class VariationalBayes(AbstractMethod):
    """Variational Bayes: the posterior of a mixture's parameters, as a `MixturePrior`.

    It needs `prior=`: a `MixturePrior`, or a conjugate prior of the mixture such as `weak_prior`.
    Responsibilities and parameters are taken for independent, so that variances of the posterior
    are too small where clusters overlap. `Fit.posterior` is the posterior, `Fit.params` the mixture
    of its expected weights and natural coordinates, and `Fit.log_likelihoods` the bound of the
    log-evidence over the number of rows, which never falls.

    Attributes:
        max_steps: number of steps at most.
        tolerance: stop when further steps would raise the bound by less than this, in nats a row;
            `None`: take all steps.
        block_size: number of rows that are looked at together; see `EM`.

    References:
        Attias 1999, A variational Bayesian framework for graphical models. Bishop 2006, Pattern
        Recognition and Machine Learning, section 10.2. Blei & Jordan 2006, Variational inference
        for Dirichlet process mixtures.
    """

    max_steps: int = eqx.field(converter=whole("VariationalBayes", "max_steps"), default=500)
    tolerance: float | None = 1e-6
    block_size: int | None = eqx.field(
        static=True, converter=whole("VariationalBayes", "block_size", 1, True), default=None
    )

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        check_tolerance("VariationalBayes", self.tolerance)

    @property
    def plan(self) -> Plan:
        """All rows for every step."""
        return Plan(
            self.max_steps, self.tolerance, block_size=self.block_size, posterior=posterior_of
        )

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Learned:
        """The coordinates, and nothing learned."""
        return _begin(model, coords)

    def point(self, model: AbstractExponentialFamily, state: Learned) -> Any:
        """θ̃."""
        return state.point

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Learned,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """The posterior after the rows, as they are assigned at θ̃."""
        following, valid, bound = _learn(model, state, averages, averages.means, prior)
        return Step(state, following, bound, valid, state.total > 0)

    def coords(self, model: AbstractExponentialFamily, state: Learned) -> Any:
        """Expected weights and natural coordinates."""
        return _expected(model, state)


@final
class StochasticVariationalBayes(AbstractMethod):
    """Variational Bayes with a step after every block: for streams (Hoffman et al. 2013).

    What is known of all rows moves by (t + delay)^−decay towards what a block says, t being the
    number of the step. See `VariationalBayes`.

    Attributes:
        decay: between 0.5, which learns fast and forgets fast, and 1, which never forgets.
        delay: makes the first steps smaller.
        passes: how often all blocks are read.
        block_size: size of the blocks where the data are an array.
        n_rows: number of rows that there are, where it is known: the first steps count the rows
            read so far.

    References:
        Hoffman, Blei, Wang & Paisley 2013, Stochastic variational inference.
    """

    decay: float = eqx.field(static=True, default=0.7)
    delay: float = eqx.field(static=True, default=1.0)
    passes: int = eqx.field(converter=whole("StochasticVariationalBayes", "passes", 1), default=1)
    block_size: int = eqx.field(
        static=True, converter=whole("StochasticVariationalBayes", "block_size", 1), default=1024
    )
    n_rows: int | None = eqx.field(
        static=True, converter=whole("StochasticVariationalBayes", "n_rows", 1, True), default=None
    )

    def __check_init__(self) -> None:
        """Refuse settings out of range."""
        check_forgetting("StochasticVariationalBayes", self.decay, self.delay)

    @property
    def plan(self) -> Plan:
        """A block for every step, all blocks `passes` times."""
        size, passes = self.block_size, self.passes
        return Plan(None, None, batch_size=size, passes=passes, posterior=posterior_of)

    def init(self, model: AbstractExponentialFamily, coords: Any) -> Learned:
        """The coordinates, and nothing learned."""
        return _begin(model, coords)

    def point(self, model: AbstractExponentialFamily, state: Learned) -> Any:
        """θ̃."""
        return state.point

    def advance(
        self,
        model: AbstractExponentialFamily,
        state: Learned,
        averages: Averages,
        prior: Any,
        objective: Callable[[Any], Array],
    ) -> Step:
        """Move what is known of all rows towards what the block says."""
        first = state.total == 0
        rate = jnp.where(first, 1.0, (state.count + 1.0 + self.delay) ** -self.decay)
        means = blend(state.means, averages.means, rate)
        if self.n_rows is not None:
            total = jnp.asarray(self.n_rows, averages.total.dtype)
            averages = Averages(averages.value, averages.means, total)
        following, valid, bound = _learn(model, state, averages, means, prior)
        return Step(state, following, bound, valid)

    def coords(self, model: AbstractExponentialFamily, state: Learned) -> Any:
        """Expected weights and natural coordinates."""
        return _expected(model, state)


@compiled_once
def posterior_of(prior: Any, state: Learned) -> MixturePrior:
    """The posterior that a state stands for.

    Args:
        prior: in the frame of the state.
        state: the state.
    """
    return as_mixture_prior(prior)._observe(state.means, state.total)


def as_mixture_prior(prior: AbstractPrior | None) -> MixturePrior:
    """The prior of a fit, with weights and components apart.

    Raises:
        TypeError: no prior, or one without the normalizers that are needed.
    """
    if prior is None:
        raise TypeError(
            "fit: variational Bayes needs `prior`, e.g. expfam.MixturePrior.from_components(model, "
            "component_prior), or expfam.weak_prior(model, xs)."
        )
    return prior if isinstance(prior, MixturePrior) else MixturePrior.of(prior)  # pyright: ignore[reportArgumentType] (the other kind of prior)


def _begin(model: Any, coords: Any) -> Learned:
    if not isinstance(model, Mixture):
        raise TypeError(
            f"fit: variational Bayes fits a Mixture, but `model` is {type(model).__name__}."
        )
    logs = model.interaction.log_weights(coords)
    nothing = jax.tree.map(jnp.zeros_like, coords)
    return Learned(coords, logs, nothing, jnp.zeros((), logs.dtype), jnp.zeros((), int))


def _learn(
    model: Any, state: Learned, averages: Averages, means: Any, prior: Any
) -> tuple[Learned, Bool[Array, ""], Float[Array, ""]]:
    # The posterior after rows with given means, and the bound before, over the number of rows.
    # Before the first step it is that with the best posterior for the responsibilities at the
    # start θ, −H of which is ⟨θ, η̂⟩ less the average of ψ(θ | x): it may not be compared.
    before = as_mixture_prior(prior)
    dtype = averages.value.dtype
    n = jnp.asarray(averages.total, dtype)
    after = before._observe(means, n)
    present = before._observe(state.means, state.total)
    point = after._point()
    point = jax.tree.map(lambda leaf: leaf.astype(dtype), point)
    first = state.total == 0
    given = averages.value + model._log_normalizer(state.point)
    gain = pairing(jax.tree.map(jnp.subtract, point, state.point), averages.means)
    chosen = jax.tree.map(lambda a, b: jnp.where(first, a, b), after, present)
    bound = given + jnp.where(first, gain, 0) - chosen._divergence(before) / n
    logs = jnp.log(after.weights.mean()).astype(dtype)
    following = Learned(point, logs, means, n, state.count + 1)
    return following, model._in_domain(point), bound.astype(dtype)


def _expected(model: Any, state: Learned) -> Any:
    likelihood = LikelihoodCoords(state.point.observable, state.point.interaction)
    return model.interaction.weighted(likelihood, state.logs)
