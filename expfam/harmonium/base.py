"""Harmoniums: exponential families of (x, z) of which only x is observed."""

from abc import abstractmethod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key, PyTree

from ..families import compiled
from ..families.base import (
    AbstractExponentialFamily,
    Data,
)
from ..families.conversion import Numbers
from ..families.observations import has_gaps
from ..families.observed import estimate_from_average
from ..families.support import check_data
from ..geometry.checks import require
from ..geometry.grouping import AbstractGrouping
from ..geometry.manifold import layout_of
from ..geometry.points import Mean, Natural
from ..geometry.table import Kind, Table
from ..priors.conjugate import ConjugatePrior
from . import steps
from .interaction import AbstractInteraction, HarmoniumCoords, LikelihoodCoords
from .observed_part import HarmoniumCells


class AbstractHarmonium(AbstractExponentialFamily[HarmoniumCoords]):
    """A conjugated latent-variable model; see `harmonium.interaction` for the mathematics.

    Complete data are pairs (x, z); observations are x.
    """

    @property
    @abstractmethod
    def interaction(self) -> AbstractInteraction:
        """How x and z depend on each other; supplies all kernels."""

    @abstractmethod
    def _conditional(self, coords: HarmoniumCoords, x: Data) -> tuple[Any, Any] | None:
        """A family of the missing cells, and their distribution given the others."""

    @abstractmethod
    def _observing(self, observable: Any) -> Any:
        """The same model with another family of x given z, which differs in its frames."""

    @property
    def observable(self) -> Any:
        """The family of x given z."""
        return self.interaction.observable

    @property
    def posterior_family(self) -> Any:
        """The family of z given x."""
        return self.interaction.posterior_family

    @property
    def prior_family(self) -> Any:
        """The family of z."""
        return self.interaction.prior_family

    def family_given(self, x: Data) -> Any:
        """The family of z given x: smaller than that of the prior only where x is complete."""
        return self.prior_family if has_gaps(x) else self.posterior_family

    @property
    def spaces(self) -> HarmoniumCoords:
        """Spaces of the observable, interaction and latent coordinates."""
        return self.interaction.spaces

    @property
    def observed_support(self) -> Any:
        """Support of the observation x."""
        return self.interaction.observed_support

    @property
    def support(self) -> Any:
        """Supports of x and z."""
        return (self.observed_support, self.prior_family.support)

    # ---------------------------------------------------------------- observations

    def log_observable_density(
        self, params: Natural[HarmoniumCoords], x: Data
    ) -> Float[Array, "*batch"]:
        """The log-density of observations, log p(x) = ψ(θ | x) − ψ(θ).

        Args:
            params: natural coordinates.
            x: observations, structured like `observed_support`, with any leading axes.
        """
        kernel = compiled.log_observable_density
        return self._per_observation(kernel, params, x, "log_observable_density")

    def average_log_observable_density(
        self, params: Natural[HarmoniumCoords], xs: Data, weights: Numbers | None = None
    ) -> Float[Array, ""]:
        """The (weighted) mean of log p(x) over rows: the mean log-likelihood per row.

        Args:
            params: natural coordinates.
            xs: rows of observations, with one leading axis n.
            weights: n numbers, not negative; equal where not given.
        """
        return steps.average_log_observable_density(self, params, xs, weights)

    def observable_sample(
        self, key: Key[Array, ""], params: Natural[HarmoniumCoords], n: int
    ) -> Data:
        """Draw n observations x, by drawing (x, z) and dropping z."""
        return self.sample(key, params, (n,))[0]

    # ---------------------------------------------------------------- components

    def posterior_categorical(
        self, params: Natural[HarmoniumCoords], x: Data
    ) -> Natural[Float[Array, " k_minus_1"]]:
        """p(z | x) for one observation, in the K − 1 natural coordinates of `Categorical(K)`.

        Args:
            params: natural coordinates.
            x: one observation.
        """
        x = self._check_one(x, self.observed_support, "posterior_categorical", "x")
        logs = self._log_assignments(params, x, "posterior_categorical")
        return Natural(logs[1:] - logs[0])

    def posterior_soft_assignments(
        self, params: Natural[HarmoniumCoords], x: Data
    ) -> Float[Array, "*batch k"]:
        """Responsibilities p(z | x): the probability of every component, along the last axis.

        Args:
            params: natural coordinates.
            x: observations with any leading axes; cells may be missing, labels known.
        """
        return jnp.exp(self._log_assignments(params, x, "posterior_soft_assignments"))

    def posterior_hard_assignment(
        self, params: Natural[HarmoniumCoords], x: Data
    ) -> Int[Array, "*batch"]:
        """The most probable component given x; see `posterior_soft_assignments`."""
        return jnp.argmax(self._log_assignments(params, x, "posterior_hard_assignment"), axis=-1)

    def _log_assignments(
        self, params: Natural[HarmoniumCoords], x: Data, method: str
    ) -> Float[Array, "*batch k"]:
        if not self.n_labels:
            raise TypeError(
                f"{self._owner(method)}: the model has no component number; mixtures and "
                "hierarchical mixtures have."
            )
        return self._per_observation(log_assignments, params, x, method)

    # ---------------------------------------------------------------- posterior, likelihood, prior

    def posterior_at(self, params: Natural[HarmoniumCoords], x: Data) -> Natural[Any]:
        """The posterior p(z | x) given one observation, a point of `posterior_family`.

        Args:
            params: natural coordinates.
            x: one observation; use `jax.vmap` for more.
        """
        self._check_point(params, Natural, "posterior_at", "params")
        x = self._check_one(x, self.observed_support, "posterior_at", "x")
        return Natural(_posterior(self, params.coords, x))

    def likelihood_at(self, params: Natural[HarmoniumCoords], z: Data) -> Natural[Any]:
        """The likelihood p(x | z) given one latent state, a point of `observable`.

        Args:
            params: natural coordinates.
            z: one latent state, structured like `prior_family.support`; `jax.vmap` for more.
        """
        self._check_point(params, Natural, "likelihood_at", "params")
        z = self._check_one(z, self.prior_family.support, "likelihood_at", "z")
        return Natural(_likelihood(self, params.coords, z))

    def prior(self, params: Natural[HarmoniumCoords]) -> Natural[Any]:
        """The prior p(z), with natural coordinates θ_Z + ρ, a point of `prior_family`."""
        return self.split_conjugated(params)[1]

    def split_conjugated(
        self, params: Natural[HarmoniumCoords]
    ) -> tuple[Natural[LikelihoodCoords], Natural[Any]]:
        """Likelihood and prior of a model; the inverse of `join_conjugated`."""
        self._check_point(params, Natural, "split_conjugated", "params")
        likelihood, prior = _split(self, params.coords)
        return Natural(likelihood), Natural(prior)

    def join_conjugated(
        self, likelihood: Natural[LikelihoodCoords], prior: Natural[Any]
    ) -> Natural[HarmoniumCoords]:
        """The model with a given likelihood p(x | z) and prior p(z).

        Args:
            likelihood: as `split_conjugated` returns it.
            prior: a point of `prior_family`.

        Raises:
            ValueError: where posteriors of that model do not lie in `posterior_family`.
        """
        self.prior_family._check_point(prior, Natural, "join_conjugated", "prior")
        self._check_likelihood(likelihood, "join_conjugated")
        coords, exact = _join(self, likelihood.coords, prior.coords)
        return require(
            Natural(coords),
            exact,
            f"{self._owner('join_conjugated')}: `prior` and `likelihood` must have posteriors in "
            f"{self.posterior_family!r}, but theirs need a larger family.",
        )

    def conjugation_parameters(self, likelihood: Natural[LikelihoodCoords]) -> Natural[Any]:
        """The conjugation parameters ρ of a likelihood, in the coordinates of `prior_family`.

        Mathematically, ψ_X(θ_X + Θ_XZ s_Z(z)) = ⟨ρ, s_Z(z)⟩ + χ for all z.
        """
        self._check_likelihood(likelihood, "conjugation_parameters")
        return Natural(_conjugation(self, likelihood.coords))

    # ---------------------------------------------------------------- expectation maximization

    def mean_posterior_statistics(
        self, params: Natural[HarmoniumCoords], xs: Data, weights: Numbers | None = None
    ) -> Mean[HarmoniumCoords]:
        """The E-step: the average over rows of E[s(x, z) | x], which is the mean of ∇ψ(θ | x).

        Args:
            params: natural coordinates.
            xs: rows of observations, with one leading axis n.
            weights: n numbers, not negative; equal where not given.
        """
        return steps.mean_posterior_statistics(self, params, xs, weights)

    def expectation_maximization(
        self,
        params: Natural[HarmoniumCoords],
        xs: Data,
        weights: Numbers | None = None,
        prior: ConjugatePrior | None = None,
    ) -> Natural[HarmoniumCoords]:
        """One step of expectation maximization; compiled, so loop over it in plain Python.

        Mathematically, θ' = (∇ψ)⁻¹(η̂) with η̂ the mean of ∇ψ(θ | x); with a conjugate prior of
        pseudo-statistics φ and pseudo-count ν, θ' = (∇ψ)⁻¹((φ + n η̂)/(ν + n)).

        JAX arrays are checked, and for factor analysis summed up, only in the first step on them;
        arrays of NumPy, which may change, in every step.

        Args:
            params: natural coordinates.
            xs: rows of observations, with one leading axis n.
            weights: n numbers, not negative; equal where not given. Their sum stands for n.
            prior: conjugate prior, for a MAP step.

        Returns:
            The next parameters. The mean log-likelihood (with a prior: the log-posterior) is not
            smaller than before, up to rounding.

        Raises:
            ValueError: where the step has no finite result, e.g. a covariance becomes singular
                (RuntimeError under `jit`).
        """
        return steps.expectation_maximization(self, params, xs, weights, prior)

    # ---------------------------------------------------------------- kernels

    @property
    def n_labels(self) -> int:
        """The number of components."""
        return self.interaction.n_labels

    @property
    def n_parameters(self) -> int:
        """How many parameters the law of x determines; see the interaction."""
        return self.interaction.n_parameters

    @property
    def _cells(self) -> HarmoniumCells:
        return HarmoniumCells()

    def _sufficient_statistic(self, x: Data) -> HarmoniumCoords:
        return self.interaction.sufficient_statistic(*x)

    def _log_base_measure(self, x: Data) -> Array:
        return self.interaction.log_base_measure(*x)

    def _log_normalizer(self, coords: HarmoniumCoords) -> Array:
        return self.interaction.log_normalizer(coords)

    def _log_normalizer_given(self, coords: HarmoniumCoords, x: Data) -> Array:
        return self.interaction.log_normalizer_given(coords, x)

    def _log_evidence(self, coords: HarmoniumCoords, x: Data) -> Array:
        return self.interaction.log_evidence(coords, x)

    def _log_density(self, coords: HarmoniumCoords, x: Data) -> Array:
        observed, latent = x
        conditional = self.interaction.likelihood(coords, latent)
        _, prior = self.interaction.split(coords)
        return self.observable._log_density(conditional, observed) + self.prior_family._log_density(
            prior, latent
        )

    def _maximize(self, means: HarmoniumCoords, start: HarmoniumCoords | None) -> HarmoniumCoords:
        return self.interaction.maximize(means, start)

    def _estimate(self, xs: Data, shares: Array) -> HarmoniumCoords:
        return estimate_from_average(self, xs, shares)

    def _attains(self, coords: HarmoniumCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        return compiled.has_average(self, coords, xs, shares)

    @property
    def _guarded(self) -> bool:
        return self.observable._guarded

    @property
    def _grouping(self) -> AbstractGrouping:
        return self.observable._grouping

    def _entropy(self, coords: HarmoniumCoords) -> Array:
        return self.interaction.entropy(coords)

    def _in_domain(self, coords: HarmoniumCoords) -> Bool[Array, ""]:
        return self.interaction.in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: HarmoniumCoords) -> Data:
        first, second = jax.random.split(key)
        latent = self.prior_family._sample(first, self.interaction.split(coords)[1])
        conditional = self.interaction.likelihood(coords, latent)
        return self.observable._sample(second, conditional), latent

    def _observe(self, x: Data) -> Data:
        return x[0]

    def _features(self, x: Data) -> Array:
        return self.interaction.features(x)

    def _initialize(self, key: Key[Array, ""]) -> HarmoniumCoords:
        return self.interaction.initialize(key)

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        return self.interaction.sketch(rng, table, kind)

    def _initialize_from_sample(
        self, sketch: Any, xs: Data, features: Array, weights: Array
    ) -> HarmoniumCoords:
        return self.interaction.initialize_from_sample(sketch, xs, features, weights)

    def _weak_means(self, xs: Data) -> HarmoniumCoords:
        return self.interaction.weak_means(xs)

    def _to_unconstrained(self, coords: HarmoniumCoords) -> PyTree[Array]:
        return self.interaction.to_unconstrained(coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> HarmoniumCoords:
        return self.interaction.from_unconstrained(free)

    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        observable, rows, parts = self.interaction.compress(xs, weights)
        return self if rows is xs else self._observing(observable), rows, parts

    def _whiten(self, means: HarmoniumCoords) -> HarmoniumCoords:
        return self.interaction.whiten(means)

    def _complete(self, means: HarmoniumCoords, mass: Array | float) -> HarmoniumCoords:
        return self.interaction.complete(means, mass)

    # ---------------------------------------------------------------- checks

    def _check_one(self, data: Any, support: Any, method: str, argument: str) -> Any:
        data, batch = check_data(data, support, self._owner(method), argument)
        if batch:
            raise ValueError(
                f"{self._owner(method)}: `{argument}` must be a single one, but has leading axes "
                f"{batch}; use jax.vmap for more."
            )
        return data

    def _check_likelihood(self, likelihood: Any, method: str) -> None:
        layout = layout_of(self.interaction.likelihood_spaces)
        self._check_coords(likelihood, Natural, layout, method, "likelihood")


# Compiled bodies of the public methods.


def log_assignments(model: Any, coords: Any, x: Any) -> Float[Array, " k"]:
    """log p(z = k | x)."""
    return model.interaction.log_assignments(coords, x)


def latent_mean(model: Any, coords: Any, x: Any) -> Float[Array, " d"]:
    """E[y | x], of a linear interaction."""
    return model.interaction.latent_mean(coords, x)


@jax.jit
def _posterior(model: Any, coords: Any, x: Any) -> Any:
    return model.interaction.posterior(coords, x)


@jax.jit
def _likelihood(model: Any, coords: Any, z: Any) -> Any:
    return model.interaction.likelihood(coords, z)


@jax.jit
def _split(model: Any, coords: Any) -> Any:
    return model.interaction.split(coords)


@jax.jit
def _join(model: Any, likelihood: Any, prior: Any) -> tuple[Any, Array]:
    coords = model.interaction.join(likelihood, prior)
    returned = model.prior_family._flatten(model.interaction.split(coords)[1], "natural")
    given = model.prior_family._flatten(prior, "natural")
    scale = jnp.finfo(given.dtype).eps ** 0.5 * (1 + jnp.max(jnp.abs(given), initial=0.0))
    return coords, jnp.all(jnp.abs(given - returned) <= scale)


@jax.jit
def _conjugation(model: Any, likelihood: Any) -> Any:
    return model.interaction.conjugation(likelihood)[0]
