"""Sequences with a chain of states: emissions of any family, and a state at every step.

With natural coordinates (θ_k, w_k) of a mixture, the first step, and b_jk of the statistics
Σ_t 1[z_t = j, z_(t+1) = k], a path of states has the weight

    w[z_1] + Σ_t b[z_t, z_(t+1)] + Σ_t ψ_X(θ[z_t]),    given x: ψ_X(θ[z_t] | x_t) in place of ψ_X,

and ψ(θ), ψ(θ | x) are logarithms of sums over all paths, in T steps (`harmonium.paths`). Transition
probabilities are the same at every step where Σ_k exp(b_jk + ψ_X(θ_k)) is the same for all j. All
estimates, and free parameters, are of that kind.
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..families import cells, compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.cells import AbstractCells
from ..families.compiled import dtype_of
from ..families.observed import estimate_from_average
from ..families.outcomes import n_outcomes
from ..families.support import Support, replicate
from ..geometry import spaces
from ..geometry.derivatives import differentiated_as
from ..geometry.grouping import ByClusters
from ..geometry.table import Kind, Table
from . import paths
from .interaction import HarmoniumCoords, LikelihoodCoords
from .mixture import Mixture


@final
class ChainCoords(eqx.Module):
    """Coordinates of sequences with a chain of states.

    Attributes:
        states: those of Σ_t 1[z_t = k] s(x_t) and of 1[z_1 = k].
        transition: those of Σ_t 1[z_t = j, z_(t+1) = k], row by row.
    """

    states: HarmoniumCoords
    transition: Any


class AbstractChain(AbstractExponentialFamily[ChainCoords]):
    """Sequences x_1 … x_T of any family, which depend on a Markov chain of states.

    Attributes:
        emission: family of x_t given the state.
        n_states: number of states K.
        n_steps: number of steps T.
        parallel: whether steps are combined in rounds instead of one after the other.
    """

    emission: eqx.AbstractVar[AbstractExponentialFamily]
    n_states: eqx.AbstractVar[int]
    n_steps: eqx.AbstractVar[int]
    parallel: eqx.AbstractVar[bool]

    @property
    def mixture(self) -> Mixture:
        """The family of a single step: a mixture over states."""
        return Mixture(self.emission, self.n_states)

    @property
    def spaces(self) -> ChainCoords:
        """Those of a mixture, and K² transitions."""
        return ChainCoords(self.mixture.spaces, spaces.OneHot(self.n_states**2))

    @property
    def support(self) -> Any:
        """Sequences of complete data of the emission, and of states."""
        return replicate(
            (self.emission.support, Support((), "category", self.n_states)), self.n_steps, True
        )

    @property
    def observed_support(self) -> Any:
        """Sequences of observations."""
        return replicate(self.emission.observed_support, self.n_steps, alike=True)

    @property
    def n_labels(self) -> int:
        """None: states differ from step to step."""
        return 0

    @property
    def n_parameters(self) -> int:
        """Those of the emissions, of the first state, and of transitions alike at every step."""
        free = self.n_states * (self.emission.n_parameters + self.n_states) - 1
        return int(min(free, n_outcomes(self.observed_support) - 1))

    @property
    def _cells(self) -> "ChainCells":
        return ChainCells()

    # ---------------------------------------------------------------- chains

    def logarithms(self, coords: ChainCoords) -> tuple[Array, Array, Array]:
        """log π_k, log A_jk, and what was taken from the logarithm of every path for that."""
        own = self._normalizers(coords.states)
        initial, rows = coords.states.latent + own, self._rows(coords) + own
        first, level = jax.nn.logsumexp(initial), jax.nn.logsumexp(rows[0])
        return initial - first, rows - level, first + (self.n_steps - 1) * level

    def joined(self, states: HarmoniumCoords, log_transition: Float[Array, "k k"]) -> ChainCoords:
        """Natural coordinates, from those of the first step and log A."""
        rows = jnp.ravel(log_transition - self._normalizers(states))
        return ChainCoords(states, rows - rows[0])

    def given(self, coords: ChainCoords, x: Data) -> tuple[Array, Array, Array]:
        """The chain given a sequence: log π, log A, and log p(x_t | z_t)."""
        initial, transition, _ = self.logarithms(coords)
        return initial, transition, self._scores(cells.log_evidence, coords, x)

    def smoothed(self, coords: ChainCoords, x: Data) -> Float[Array, "t k"]:
        """p(z_t | x_1 … x_T)."""
        return paths.smoothed(*self.given(coords, x), parallel=self.parallel)

    def drawn(self, key: Key[Array, ""], coords: ChainCoords, x: Data) -> Int[Array, " t"]:
        """A draw from p(z_1 … z_T | x_1 … x_T)."""
        return paths.draw_path(key, *self.given(coords, x), parallel=self.parallel)

    def _normalizers(self, states: HarmoniumCoords) -> Float[Array, " k"]:
        return jax.vmap(self.emission._log_normalizer)(states.interaction)

    def _rows(self, coords: ChainCoords) -> Float[Array, "k k"]:
        return jnp.reshape(coords.transition, (self.n_states, self.n_states))

    def _scores(self, kernel: Any, coords: ChainCoords, x: Data) -> Float[Array, "t k"]:
        def step(x: Data) -> Array:
            return jax.vmap(lambda c: kernel(self.emission, c, x))(coords.states.interaction)

        return jax.vmap(step)(x)

    def _alone(self, coords: ChainCoords) -> tuple[Array, Array, Array]:
        # log π, log A and the logarithm of the sum over all paths: 0 for equal transitions.
        initial, transition, _ = self.logarithms(coords)
        return initial, transition, paths.log_total(initial, transition, self.n_steps)

    # ---------------------------------------------------------------- kernels

    def _sufficient_statistic(self, x: Data) -> ChainCoords:
        own = jax.vmap(self.emission._sufficient_statistic)(x[0])
        z = jax.nn.one_hot(x[1], self.n_states, dtype=dtype_of(own))
        joint = jax.tree.map(lambda leaf: jnp.tensordot(z.T, leaf, axes=1), own)
        return ChainCoords(HarmoniumCoords(None, joint, z[0]), jnp.ravel(z[:-1].T @ z[1:]))

    def _log_base_measure(self, x: Data) -> Array:
        return jnp.sum(jax.vmap(self.emission._log_base_measure)(x[0]))

    def _log_normalizer(self, coords: ChainCoords) -> Array:
        return self.logarithms(coords)[2] + self._alone(coords)[2]

    def _log_normalizer_given(self, coords: ChainCoords, x: Data) -> Array:
        scores = self._scores(cells.log_normalizer_given, coords, x)
        weights = coords.states.latent, self._rows(coords)
        return paths.filtered(*weights, scores, self.parallel)[1]

    def _log_density(self, coords: ChainCoords, x: Data) -> Array:
        scores = self._scores(_log_density, coords, x[0])
        initial, transition, total = self._alone(coords)
        z = x[1].astype(int)
        steps = jnp.sum(transition[z[:-1], z[1:]]) + jnp.sum(scores[jnp.arange(z.size), z])
        return initial[z[0]] + steps - total

    def _log_evidence(self, coords: ChainCoords, x: Data) -> Array:
        initial, transition, total = self._alone(coords)
        own = differentiated_as(initial, coords.states.latent)
        rows = differentiated_as(transition, self._rows(coords))
        scores = self._scores(cells.log_evidence, coords, x)
        given = paths.filtered(own, rows, scores, self.parallel)[1]
        return given - jax.lax.stop_gradient(total)

    def _maximize(self, means: ChainCoords, start: ChainCoords | None) -> ChainCoords:
        # Emissions from all steps, the first state from the first, transitions row by row.
        first, counts = means.states, self._rows(means)
        visits = first.latent + jnp.sum(counts, axis=0)
        every = HarmoniumCoords(None, first.interaction, visits)
        share = jax.tree.map(lambda leaf: leaf / self.n_steps, every)
        states = self.mixture._maximize(share, None if start is None else start.states)
        floor = jnp.finfo(visits.dtype).tiny
        initial, rows = (jnp.log(jnp.maximum(a, floor)) for a in (first.latent, counts))
        likelihood = LikelihoodCoords(None, states.interaction)
        states = self.mixture.interaction.weighted(likelihood, initial)
        return self.joined(states, jax.nn.log_softmax(rows))

    def _estimate(self, xs: Data, shares: Array) -> ChainCoords:
        return estimate_from_average(self, xs, shares)

    def _attains(self, coords: ChainCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        return compiled.has_average(self, coords, xs, shares)

    @property
    def _guarded(self) -> bool:
        return self.emission._guarded

    @property
    def _grouping(self) -> ByClusters:
        return ByClusters()

    def _entropy(self, coords: ChainCoords) -> Array:
        initial, transition, _ = self.logarithms(coords)
        weights = initial, transition
        total, shares = jax.value_and_grad(lambda w: paths.log_total(w[0], w[1], self.n_steps))(
            weights
        )
        visits = shares[0] + jnp.sum(shares[1], axis=0)
        own = jax.vmap(self.emission._entropy)(coords.states.interaction)
        linear = jnp.sum(initial * shares[0]) + jnp.sum(transition * shares[1])
        return total - linear + jnp.dot(visits, own)

    def _in_domain(self, coords: ChainCoords) -> Bool[Array, ""]:
        finite = jnp.all(jnp.isfinite(coords.transition))
        return self.mixture._in_domain(coords.states) & finite

    def _sample(self, key: Key[Array, ""], coords: ChainCoords) -> Data:
        first, second = jax.random.split(key)
        initial, transition, _ = self.logarithms(coords)
        nothing = jnp.zeros((self.n_steps, self.n_states), initial.dtype)
        z = paths.draw_path(first, initial, transition, nothing, self.parallel)
        chosen = jax.tree.map(lambda leaf: leaf[z], coords.states.interaction)
        keys = jax.random.split(second, self.n_steps)
        return jax.vmap(self.emission._sample)(keys, chosen), z

    def _observe(self, x: Data) -> Data:
        return jax.vmap(self.emission._observe)(x[0])

    def _features(self, x: Data) -> Array:
        return jnp.ravel(jax.vmap(self.emission._features)(x))

    def _initialize(self, key: Key[Array, ""]) -> ChainCoords:
        first, second = jax.random.split(key)
        noise = 0.1 * jax.random.normal(second, (self.n_states, self.n_states))
        return self.joined(self.mixture._initialize(first), jax.nn.log_softmax(noise))

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        # Of the mixture of all steps: states that do not depend on the one before.
        rows = np.reshape(table.rows, (len(table.rows) * self.n_steps, -1))
        pooled = Table(rows, np.repeat(table.weights, self.n_steps), table.eps)
        return self.mixture._sketch(rng, pooled, kind)

    def _initialize_from_sample(
        self,
        sketch: Any,
        xs: Data,
        features: Float[Array, "n features"],
        weights: Float[Array, " n"],
    ) -> ChainCoords:
        every = jnp.repeat(weights, self.n_steps)
        steps = jnp.reshape(features, (every.shape[0], -1))
        states = self.mixture._initialize_from_sample(sketch, _pooled(xs), steps, every)
        logs = self.mixture.interaction.log_weights(states)
        return self.joined(states, jnp.broadcast_to(logs, (self.n_states, self.n_states)))

    def _weak_means(self, xs: Data) -> ChainCoords:
        one = self.mixture._weak_means(_pooled(xs))
        every = jax.tree.map(lambda leaf: leaf * self.n_steps, one.interaction)
        pairs = jnp.tensordot(one.latent, one.latent, axes=0) * (self.n_steps - 1)
        return ChainCoords(HarmoniumCoords(None, every, one.latent), jnp.ravel(pairs))

    def _to_unconstrained(self, coords: ChainCoords) -> PyTree[Array]:
        return self.mixture._to_unconstrained(coords.states), self.logarithms(coords)[1]

    def _from_unconstrained(self, free: PyTree[Array]) -> ChainCoords:
        states, logs = free
        return self.joined(self.mixture._from_unconstrained(states), jax.nn.log_softmax(logs))

    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        return self, xs, weights

    def _whiten(self, means: ChainCoords) -> ChainCoords:
        return means

    def _complete(self, means: ChainCoords, mass: Array | float) -> ChainCoords:
        # Every step has a state, and every step but the last a transition.
        rest = means.transition[1:]
        counts = jnp.append((self.n_steps - 1) * mass - jnp.sum(rest), rest)
        others = means.states.latent[1:]
        first = jnp.append(mass - jnp.sum(others), others)
        visits = first + jnp.sum(jnp.reshape(counts, (self.n_states, -1)), axis=0)
        parts = jax.vmap(self.emission._complete)(means.states.interaction, visits)
        return ChainCoords(HarmoniumCoords(None, parts, first), counts)


@final
class ChainCells(AbstractCells):
    """Steps, and cells of steps, that are missing; states tell what can be known of them."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """ψ(θ | x_seen)."""
        return family._log_normalizer_given(coords, x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """log p(x_seen)."""
        return family._log_evidence(coords, x)

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """That of the emissions, weighted by the probabilities of the states."""
        shares = family.smoothed(coords, x)

        def step(x: Any, share: Array) -> Any:
            own = jax.vmap(lambda c: cells.expectation(family.emission, c, x))(
                coords.states.interaction
            )
            return jax.tree.map(lambda leaf: jnp.tensordot(share, leaf, axes=1), own)

        return jax.vmap(step)(x, shares)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """A path of states, then what is missing of their emissions."""
        first, second = jax.random.split(key)
        z = family.drawn(first, coords, x)
        chosen = jax.tree.map(lambda leaf: leaf[z], coords.states.interaction)
        keys = jax.random.split(second, family.n_steps)
        return jax.vmap(lambda k, c, x: cells.draw(family.emission, k, c, x))(keys, chosen, x)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """Refused: a mixture over all paths of states."""
        raise TypeError(
            f"{type(family).__name__}: the distribution of missing steps is a mixture over all "
            "paths of states; draw from it with `sample_missing`."
        )


def _log_density(family: Any, coords: Any, x: Any) -> Array:
    return family._log_density(coords, x)


def _pooled(xs: Data) -> Data:
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), xs)
