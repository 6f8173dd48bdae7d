"""Mixtures whose weights depend on covariates."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..families import cells, compiled
from ..families.base import Data
from ..families.cells import AbstractCells
from ..families.conversion import Numbers
from ..families.discrete.categorical import Categorical
from ..families.readings import read_each, readings
from ..geometry import spaces
from ..geometry.derivatives import differentiated_as
from ..geometry.grouping import AbstractGrouping
from ..geometry.points import Natural
from ..geometry.table import Kind, Table
from ..harmonium import starts, steps
from ..harmonium.interaction import LikelihoodCoords
from ..harmonium.mixture import Mixture
from ..priors.conjugate import ConjugatePrior
from .conditional import AbstractConditional, refuse
from .regression import Regression


@final
class ExpertsCoords(eqx.Module):
    """Coordinates of a mixture of experts.

    Attributes:
        gate: those of the gate.
        experts: those of the experts, along a leading axis.
        sizes: −ψ of the experts, shape `(K,)`; their mean leaf holds the weights.
    """

    gate: Any
    experts: Any
    sizes: Any


@final
class MixtureOfExperts(AbstractConditional[ExpertsCoords]):
    """A mixture p(y | u) = Σ_k π_k(u) p(y | u; θ_k), with weights that depend on the covariates.

    The gate π is a regression of the component number, a multinomial logit. Gates of gates are
    experts that are mixtures of experts themselves. A step of EM is one Newton step of the gate and
    of each expert; where the objective falls, it is halved. Data are pairs (u, y).

    Attributes:
        gate: `Regression(Categorical(K), p)`; by its `columns` it may use other covariates than the
            experts.
        expert: a `Regression`, or a `MixtureOfExperts`.

    References:
        Jacobs, Jordan, Nowlan & Hinton, Adaptive mixtures of local experts (1991); Grün & Leisch,
        FlexMix version 2 (2008), for the name of concomitant variables.

    Examples:
        >>> import expfam as ef
        >>> gate = ef.Regression(ef.Categorical(3), n_covariates=2, columns=(1,))
        >>> expert = ef.Regression(ef.Poisson(), n_covariates=2, columns=(0,))
        >>> ef.MixtureOfExperts(gate, expert).dim
        10
    """

    gate: Regression
    expert: AbstractConditional

    def __check_init__(self) -> None:
        """Refuse gates and experts that are none, or of other covariates."""
        if not (isinstance(self.gate, Regression) and isinstance(self.gate.response, Categorical)):
            raise TypeError(
                "MixtureOfExperts: `gate` must be a regression of the component number, e.g. "
                f"expfam.Regression(expfam.Categorical(3), n_covariates=2), but is {self.gate!r}."
            )
        if not isinstance(self.expert, AbstractConditional):
            raise TypeError(
                "MixtureOfExperts: `expert` must be an expfam.Regression or an "
                f"expfam.MixtureOfExperts, but is {self.expert!r}."
            )
        if self.gate.support[0] != self.expert.observed_support[0]:
            raise ValueError(
                "MixtureOfExperts: `gate` and `expert` must have the same covariates; `columns` "
                f"says which each uses. Theirs are {self.gate.support[0]} and "
                f"{self.expert.observed_support[0]}."
            )

    @property
    def n_components(self) -> int:
        """The number of experts K."""
        return self.gate._link.size + 1

    @property
    def spaces(self) -> ExpertsCoords:
        """Those of the gate and of the experts; sizes are no coordinates."""
        count = self.n_components
        experts = spaces.replicate(self.expert.spaces, count)
        return ExpertsCoords(self.gate.spaces, experts, spaces.Ledger((count,)))

    @property
    def observed_support(self) -> tuple[Any, Any]:
        """Covariates and response."""
        return self.expert.observed_support

    @property
    def support(self) -> tuple[Any, Any]:
        """Covariates and response, and the component number with the latent part of the expert."""
        number = self.gate.response.support
        if self.expert.support == self.observed_support:
            return self.observed_support, number
        return self.observed_support, (self.expert.support[1], number)

    # ---------------------------------------------------------------- usual parameters

    def from_experts(self, gate: Natural[Any], experts: Natural[Any]) -> Natural[ExpertsCoords]:
        """The mixture with given gate and experts.

        Args:
            gate: natural coordinates of the gate.
            experts: natural coordinates of the experts, stacked along a leading axis of every leaf.
        """
        self.gate._check_point(gate, Natural, "from_experts", "gate")
        return Natural(self._joined(gate.coords, experts.coords))

    def gate_params(self, params: Natural[ExpertsCoords]) -> Natural[Any]:
        """The gate, a point of `gate`."""
        self._check_point(params, Natural, "gate_params", "params")
        return Natural(params.coords.gate)

    def experts(self, params: Natural[ExpertsCoords]) -> Natural[Any]:
        """The experts, stacked along a leading axis of every leaf."""
        self._check_point(params, Natural, "experts", "params")
        return Natural(params.coords.experts)

    def _read_parts(self, params: Natural[ExpertsCoords]) -> Any:
        gate = readings(self.gate, self.gate_params(params))
        return {"gate": gate, "experts": read_each(self.expert, self.experts(params))}

    readers = (_read_parts,)

    def log_observable_density(
        self, params: Natural[ExpertsCoords], x: Data
    ) -> Float[Array, "*batch"]:
        """log p(y | u), with any leading axes."""
        kernel = compiled.log_observable_density
        return self._per_observation(kernel, params, x, "log_observable_density")

    def average_log_observable_density(
        self, params: Natural[ExpertsCoords], xs: Data, weights: Numbers | None = None
    ) -> Float[Array, ""]:
        """The (weighted) mean of log p(y | u) over rows.

        Args:
            params: natural coordinates.
            xs: rows (u, y).
            weights: n numbers, not negative; equal where not given.
        """
        return steps.average_log_observable_density(self, params, xs, weights)

    def expectation_maximization(
        self,
        params: Natural[ExpertsCoords],
        xs: Data,
        weights: Numbers | None = None,
        prior: ConjugatePrior | None = None,
    ) -> Natural[ExpertsCoords]:
        """One step of expectation maximization, after which the objective is not smaller.

        Args:
            params: natural coordinates.
            xs: rows (u, y).
            weights: n numbers, not negative; equal where not given.
            prior: conjugate prior, for a MAP step.
        """
        return steps.expectation_maximization(self, params, xs, weights, prior)

    def posterior_soft_assignments(
        self, params: Natural[ExpertsCoords], x: Data
    ) -> Float[Array, "*batch k"]:
        """p(z | u, y): the probability of every expert, along the last axis."""
        logs = self._per_observation(_log_joint, params, x, "posterior_soft_assignments")
        return jax.nn.softmax(logs, axis=-1)

    def posterior_hard_assignment(
        self, params: Natural[ExpertsCoords], x: Data
    ) -> Int[Array, "*batch"]:
        """The most probable expert given covariates and response."""
        logs = self._per_observation(_log_joint, params, x, "posterior_hard_assignment")
        return jnp.argmax(logs, axis=-1)

    # ---------------------------------------------------------------- kernels

    @property
    def _cells(self) -> "ExpertCells":
        return ExpertCells()

    @property
    def _guarded(self) -> bool:
        return True

    @property
    def _grouping(self) -> AbstractGrouping:
        return self.expert._grouping

    @property
    def component(self) -> AbstractConditional:
        """The expert."""
        return self.expert

    def _joined(self, gate: Any, experts: Any) -> ExpertsCoords:
        return ExpertsCoords(gate, experts, -jax.vmap(self.expert._log_normalizer)(experts))

    def _log_gate(self, coords: ExpertsCoords, u: Data) -> Float[Array, " k"]:
        own = self.expert._design(u)
        return jax.vmap(lambda k: self.gate._log_evidence(coords.gate, (own, k)))(
            jnp.arange(self.n_components)
        )

    def _log_normalizer(self, coords: ExpertsCoords) -> Array:
        return jnp.zeros((), coords.sizes.dtype)

    def _log_normalizer_given(self, coords: ExpertsCoords, x: Data) -> Array:
        return _evidence(self, cells.log_normalizer_given, coords, x)

    def _log_evidence(self, coords: ExpertsCoords, x: Data) -> Array:
        value = jax.nn.logsumexp(_log_joint(self, coords, x))
        return differentiated_as(value, self._log_normalizer_given(coords, x))

    def _log_density(self, coords: ExpertsCoords, x: Data) -> Array:
        observed, latent = x
        nested = self.expert.support != self.observed_support
        k = latent[1] if nested else latent
        own = jax.tree.map(lambda leaf: leaf[k.astype(int)], coords.experts)
        rest = self.expert._log_density(own, (observed, latent[0]) if nested else observed)
        return self._log_gate(coords, observed[0])[k.astype(int)] + rest

    def _response_given(self, coords: ExpertsCoords, u: Data) -> tuple[Any, Any]:
        first = jax.tree.map(lambda leaf: leaf[0], coords.experts)
        family, _ = self.expert._response_given(first, u)
        points = jax.vmap(lambda c: self.expert._response_given(c, u)[1])(coords.experts)
        mixture = Mixture(family, self.n_components)
        likelihood = LikelihoodCoords(None, points)
        return mixture, mixture.interaction.weighted(likelihood, self._log_gate(coords, u))

    def _mean_given(self, coords: ExpertsCoords, u: Data) -> Any:
        means = jax.vmap(lambda c: self.expert._mean_given(c, u))(coords.experts)
        shares = jnp.exp(self._log_gate(coords, u))
        return jax.tree.map(lambda leaf: jnp.tensordot(shares, leaf, axes=1), means)

    def _log_density_of_covariates(self, coords: ExpertsCoords, u: Data) -> Array:
        return jnp.zeros((), coords.sizes.dtype)

    def _design(self, u: Data) -> Array:
        return self.expert._design(u)

    def _maximize(self, means: ExpertsCoords, start: ExpertsCoords | None) -> ExpertsCoords:
        if start is None:
            refuse(self, "mean coordinates are those of steps from other coefficients")
        # An expert that holds no mass stays what it is.
        alive = means.sizes > jnp.finfo(means.sizes.dtype).eps
        inverse = 1 / jnp.where(alive, means.sizes, 1)
        own = jax.tree.map(lambda leaf: _rows(inverse, leaf) * leaf, means.experts)
        experts = jax.vmap(self.expert._maximize)(own, start.experts)
        experts = jax.tree.map(
            lambda new, old: jnp.where(_rows(alive, new), new, old), experts, start.experts
        )
        return self._joined(self.gate._maximize(means.gate, start.gate), experts)

    def _estimate(self, xs: Data, shares: Array) -> ExpertsCoords:
        refuse(self, "the component number is latent; call `expfam.fit`")

    def _attains(self, coords: ExpertsCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        refuse(self, "the component number is latent; call `expfam.fit`")

    def _in_domain(self, coords: ExpertsCoords) -> Bool[Array, ""]:
        experts = jax.vmap(self.expert._in_domain)(coords.experts)
        return self.gate._in_domain(coords.gate) & jnp.all(experts)

    def _sample(self, key: Key[Array, ""], coords: ExpertsCoords) -> Data:
        refuse(self, "covariates have no distribution here")

    def _features(self, x: Data) -> Array:
        return self.expert._features(x)

    def _initialize(self, key: Key[Array, ""]) -> ExpertsCoords:
        first, *keys = jax.random.split(key, self.n_components + 1)
        experts = jax.vmap(self.expert._initialize)(jnp.stack(keys))
        return self._joined(self.gate._initialize(first), experts)

    def _observe(self, x: Data) -> Data:
        return x[0]

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        return starts.sketch_mixture(self, rng, table, kind)

    def _initialize_from_sample(
        self, sketch: Any, xs: Data, features: Array, weights: Array
    ) -> ExpertsCoords:
        # Experts are fitted to the groups of rows, and the gate to their numbers.
        labels = self._grouping.labels(sketch.groups, features)
        experts, _ = starts.start_components(self, sketch, labels, xs, features, weights)
        design = jax.vmap(self.expert._design)(xs[0])
        gate = self.gate._initialize_from_sample((), (design, labels), features, weights)
        return self._joined(gate, experts)

    def _weak_means(self, xs: Data) -> ExpertsCoords:
        count, rows = self.n_components, xs[0]
        design = jax.vmap(self.expert._design)(rows)
        own = self.expert._weak_means(xs)
        labels = jnp.arange(design.shape[0]) % count
        gate = self.gate._weak_means((design, labels))
        share = 1 / count
        experts = jax.tree.map(
            lambda leaf: jnp.broadcast_to(share * leaf, (count, *leaf.shape)), own
        )
        return ExpertsCoords(gate, experts, jnp.full((count,), share, design.dtype))

    def _to_unconstrained(self, coords: ExpertsCoords) -> PyTree[Array]:
        experts = jax.vmap(self.expert._to_unconstrained)(coords.experts)
        return self.gate._to_unconstrained(coords.gate), experts

    def _from_unconstrained(self, free: PyTree[Array]) -> ExpertsCoords:
        gate, experts = free
        return self._joined(
            self.gate._from_unconstrained(gate),
            jax.vmap(self.expert._from_unconstrained)(experts),
        )


@final
class ExpertCells(AbstractCells):
    """Of mixtures of experts, cells of the response can be missing."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """The sum over experts."""
        return _evidence(family, cells.log_normalizer_given, coords, x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """The sum over experts."""
        value = jax.nn.logsumexp(_log_joint(family, coords, x))
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """The mean over experts."""
        shares = jax.nn.softmax(_log_joint(family, coords, x))
        found = jax.vmap(lambda c: cells.expectation(family.expert, c, x)[1])(coords.experts)
        return x[0], jax.tree.map(lambda leaf: jnp.tensordot(shares, leaf, axes=1), found)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """A draw of one expert."""
        first, second = jax.random.split(key)
        chosen = jax.random.categorical(first, _log_joint(family, coords, x))
        own = jax.tree.map(lambda leaf: leaf[chosen], coords.experts)
        return cells.draw(family.expert, second, own, x)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """Not of all responses a family: `response_given` where the whole response is missing."""
        refuse(family, "missing responses have no family of their own")


def _log_joint(model: MixtureOfExperts, coords: ExpertsCoords, x: Data) -> Float[Array, " k"]:
    # log π_k(u) p(y | u; θ_k)
    own = jax.vmap(lambda c: cells.log_evidence(model.expert, c, x))(coords.experts)
    return model._log_gate(coords, x[0]) + own


def _evidence(model: MixtureOfExperts, kernel: Any, coords: ExpertsCoords, x: Data) -> Array:
    # The same sum, with the statistics of experts and gate as its derivatives.
    own = jax.vmap(lambda c: kernel(model.expert, c, x))(coords.experts)
    return jax.nn.logsumexp(model._log_gate(coords, x[0]) + own + coords.sizes)


def _rows(factors: Array, leaf: Array) -> Array:
    return jnp.reshape(factors, (-1,) + (1,) * (leaf.ndim - 1))
