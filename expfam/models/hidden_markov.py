"""Hidden Markov models: sequences x_1 … x_T whose distributions follow a chain of states."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from ..families import compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.conversion import Numbers
from ..families.readings import read_each
from ..geometry.checks import require, require_shape, whole
from ..geometry.points import Mean, Natural
from ..harmonium import paths, steps
from ..harmonium.chain import AbstractChain, ChainCoords
from ..harmonium.interaction import HarmoniumCoords
from ..priors.conjugate import ConjugatePrior


@final
class HiddenMarkov(AbstractChain):
    """Hidden Markov models: p(x, z) = π[z_1] Π_t A[z_t, z_(t+1)] Π_t p(x_t; θ[z_t]).

    Rows are sequences. Natural coordinates are θ_k, log π_k − ψ(θ_k) and log A_jk − ψ(θ_k), up to
    constants; ψ(θ | x) is the forward recursion, its gradient is smoothing. The exponential family
    that they span is larger: transitions may depend on the step. Estimates are those for which they
    do not.

    Missing steps (`expfam.incomplete`) make sequences of unequal length. Points of models
    `with_steps` of another length are the same.

    Attributes:
        emission: family of x_t given the state; it may have latent variables itself.
        n_states: number of states K.
        n_steps: number of steps T, at least 2.
        parallel: whether steps are combined in about log₂ T rounds, each of K times the
            work, instead of one after the other: for few long sequences on accelerators; on a CPU
            it is slower.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> model = ef.HiddenMarkov(ef.Poisson(), n_states=2, n_steps=4)
        >>> rates = jax.vmap(model.emission.from_rate)(jnp.array([1.0, 20.0]))
        >>> stay = jnp.array([[0.9, 0.1], [0.1, 0.9]])
        >>> params = model.from_chain(jnp.array([0.5, 0.5]), stay, rates)
        >>> model.most_probable_path(params, jnp.array([0, 2, 18, 22])).tolist()
        [0, 0, 1, 1]
    """

    emission: AbstractExponentialFamily
    n_states: int = eqx.field(static=True, converter=whole("HiddenMarkov", "n_states", 1))
    n_steps: int = eqx.field(static=True, converter=whole("HiddenMarkov", "n_steps", 2))
    parallel: bool = eqx.field(static=True, default=False)

    def with_steps(self, n_steps: int) -> "HiddenMarkov":
        """The same model of sequences of another length, which has the same points."""
        return replace(self, n_steps=n_steps)

    def from_chain(
        self, initial: Float[Array, " k"], transition: Float[Array, "k k"], emissions: Natural[Any]
    ) -> Natural[ChainCoords]:
        """The model with given positive probabilities of states, and given emissions.

        Args:
            initial: probabilities π of the first state.
            transition: probabilities A_jk that state k follows state j.
            emissions: p(x_t | z_t = k) of all states, stacked along a leading axis of every leaf.
        """
        owner, size = self._owner("from_chain"), (self.n_states, self.n_states)
        require_shape(transition, size, owner, "transition")
        rows = jnp.asarray(transition, float)
        good = jnp.all(rows > 0) & jnp.all(jnp.abs(jnp.sum(rows, axis=1) - 1) < 1e-4)
        message = f"{owner}: rows of `transition` must be positive and sum to one."
        states = self.mixture.from_components(initial, emissions).coords
        return Natural(self.joined(states, jnp.log(require(rows, good, message))))

    def initial_probabilities(self, params: Natural[ChainCoords]) -> Float[Array, " k"]:
        """The probabilities π of the first state."""
        self._check_point(params, Natural, "initial_probabilities", "params")
        return self.mixture.weights(Natural(params.coords.states))

    def transition_matrix(self, params: Natural[ChainCoords]) -> Float[Array, "k k"]:
        """The probabilities A_jk that state k follows state j."""
        self._check_point(params, Natural, "transition_matrix", "params")
        rows = _transition(self, params.coords)
        sums = jnp.sum(rows, axis=1)
        message = f"{self._owner('transition_matrix')}: `params` have one for every step."
        return require(rows, jnp.all(jnp.abs(sums - 1) < 1e-3), message)

    def emissions(self, params: Natural[ChainCoords]) -> Natural[Any]:
        """p(x_t | z_t = k) of all states, stacked along a leading axis of every leaf."""
        self._check_point(params, Natural, "emissions", "params")
        return self.mixture.components(Natural(params.coords.states))

    def _read_emissions(self, params: Natural[ChainCoords]) -> Any:
        return {"emissions": read_each(self.emission, self.emissions(params))}

    readers = (initial_probabilities, transition_matrix, _read_emissions)

    def log_observable_density(
        self, params: Natural[ChainCoords], x: Data
    ) -> Float[Array, "*batch"]:
        """The log-density of sequences, with any leading axes."""
        kernel = compiled.log_observable_density
        return self._per_observation(kernel, params, x, "log_observable_density")

    def average_log_observable_density(
        self, params: Natural[ChainCoords], xs: Data, weights: Numbers | None = None
    ) -> Float[Array, ""]:
        """The (weighted) mean of log p(x) over sequences."""
        return steps.average_log_observable_density(self, params, xs, weights)

    def mean_posterior_statistics(
        self, params: Natural[ChainCoords], xs: Data, weights: Numbers | None = None
    ) -> Mean[ChainCoords]:
        """The E-step (Baum & Welch): expected statistics of states and moves, given sequences."""
        return steps.mean_posterior_statistics(self, params, xs, weights)

    def expectation_maximization(
        self,
        params: Natural[ChainCoords],
        xs: Data,
        weights: Numbers | None = None,
        prior: ConjugatePrior | None = None,
    ) -> Natural[ChainCoords]:
        """One step of expectation maximization; see that of mixtures."""
        return steps.expectation_maximization(self, params, xs, weights, prior)

    def observable_sample(self, key: Key[Array, ""], params: Natural[ChainCoords], n: int) -> Data:
        """Draw n sequences."""
        return jax.vmap(self._observe)(self.sample(key, params, (n,)))

    def posterior_soft_assignments(
        self, params: Natural[ChainCoords], x: Data
    ) -> Float[Array, "*batch t k"]:
        """Smoothing: p(z_t | x_1 … x_T) at every step."""
        return self._per_observation(HiddenMarkov.smoothed, params, x, "posterior_soft_assignments")

    def filtered_soft_assignments(
        self, params: Natural[ChainCoords], x: Data
    ) -> Float[Array, "*batch t k"]:
        """Filtering: p(z_t | x_1 … x_t) at every step."""
        return self._per_observation(_filtered, params, x, "filtered_soft_assignments")

    def most_probable_path(self, params: Natural[ChainCoords], x: Data) -> Int[Array, "*batch t"]:
        """The most probable states, as a sequence, given the observations."""
        return self._per_observation(_best_path, params, x, "most_probable_path")

    def forecast(self, params: Natural[ChainCoords], x: Data) -> Natural[HarmoniumCoords]:
        """p(x_(T+1) | x_1 … x_T) given one sequence, a point of `mixture`."""
        last = self.filtered_soft_assignments(params, x)[-1]
        return self.mixture.from_components(
            last @ self.transition_matrix(params), self.emissions(params)
        )


def _filtered(model: HiddenMarkov, coords: ChainCoords, x: Data) -> Array:
    return jnp.exp(paths.filtered(*model.given(coords, x), parallel=model.parallel)[0])


def _best_path(model: HiddenMarkov, coords: ChainCoords, x: Data) -> Array:
    return paths.best_path(*model.given(coords, x))


@jax.jit
def _transition(model: HiddenMarkov, coords: ChainCoords) -> Array:
    return jnp.exp(model.logarithms(coords)[1])
