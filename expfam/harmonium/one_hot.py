"""The interaction of a mixture: a latent component number selects the distribution of x.

Coordinates are held in the one-hot basis, in which all components are treated alike and none is got
by subtraction: natural coordinates (θ_k, w_k) of the statistics 1[z = k] s(x) and 1[z = k]. Then

    ψ(θ) = log Σ_k exp(w_k + ψ_X(θ_k)),   ψ(θ | x) = log Σ_k exp(w_k + ψ_X(θ_k | x)),

and component k has the weight π_k ∝ exp(w_k + ψ_X(θ_k)). The component may itself be a harmonium
over (x, y); then the latent variables are (y, z).
"""

from functools import partial
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..families import cells
from ..families.compiled import dtype_of
from ..families.frame import rescale
from ..families.observations import split_labels
from ..families.outcomes import n_outcomes
from ..families.real.normal import NormalCoords
from ..families.reframe import between, reframe
from ..geometry import spaces as sp
from ..geometry.derivatives import differentiated_as
from ..geometry.duality import invert_gradient, minimize_tilted
from ..geometry.embeddings import Splitting
from ..geometry.structures import AbstractStructure, Identity
from ..geometry.table import Kind, Table
from . import starts
from .base import AbstractHarmonium
from .far import distinct_logits
from .interaction import AbstractInteraction, HarmoniumCoords, LikelihoodCoords


@final
class OneHotInteraction(AbstractInteraction):
    """Components p(x | z = k) of one family, complete or differing in a part of the coordinates.

    Attributes:
        component: family of the components.
        n_components: number of components K.
        varying: the covariance structure in which normal components differ, beside their location;
            `None` where they differ in everything. The rest of the precision is shared.
        latent_posterior: categorical, or a mixture of the posteriors of the component.
        latent_prior: categorical, or a mixture of the priors of the component.
    """

    component: Any  # a family; its kernels are called, whatever it is
    n_components: int = eqx.field(static=True)
    varying: AbstractStructure | None
    latent_posterior: Any  # families
    latent_prior: Any

    # ---------------------------------------------------------------- structure

    @property
    def nested(self) -> bool:
        """Whether the component has latent variables itself."""
        return isinstance(self.component, AbstractHarmonium)

    @property
    def observable(self) -> Any:
        """The component, or its observable family."""
        return self.component.observable if self.nested else self.component

    @property
    def posterior_family(self) -> Any:
        """Family of z, or (y, z), given x."""
        return self.latent_posterior

    @property
    def prior_family(self) -> Any:
        """Family of z, or (y, z)."""
        return self.latent_prior

    @property
    def observed_support(self) -> Any:
        """That of the component."""
        return self.component.observed_support

    @property
    def n_labels(self) -> int:
        """K."""
        return self.n_components

    @property
    def n_parameters(self) -> int:
        """Weights, and those of the components; at most as many as x has probabilities."""
        own = self.n_components * self.component.n_parameters
        if self.varying is not None:
            own = LikelihoodCoords(self.spaces.observable, self.spaces.interaction)
            own = sum(space.dim for space in jax.tree.leaves(own, is_leaf=sp.is_space))
        return int(min(own + self.n_components - 1, n_outcomes(self.observed_support) - 1))

    @property
    def splitting(self) -> Splitting:
        """The decomposition of the precisions of normal components into varying part and rest."""
        whole = self.component.structure
        part = whole if self.varying is None else self.varying
        return Splitting(whole, part, self.component.size)

    @property
    def spaces(self) -> HarmoniumCoords:
        """Shared rest, K varying parts, K weights."""
        if self.varying is None:
            shared, part = None, self.component.spaces
        else:
            size = self.component.size
            shared = self.splitting.rest_space
            part = NormalCoords(sp.Euclidean((size,)), self.varying.space(size))
        weights = sp.OneHot(self.n_components)
        return HarmoniumCoords(shared, sp.replicate(part, self.n_components), weights)

    @property
    def likelihood_spaces(self) -> LikelihoodCoords:
        """Shared rest and K varying parts; of a harmonium, the likelihoods of the components."""
        if self.nested:
            own = self.component.interaction.likelihood_spaces
            return LikelihoodCoords(None, sp.replicate(own, self.n_components))
        return LikelihoodCoords(self.spaces.observable, self.spaces.interaction)

    def component_coords(self, shared: Any, varying: Any) -> Any:
        """Natural coordinates θ_k of one component."""
        if self.varying is None:
            return varying
        return NormalCoords(varying.first, self.splitting.join(shared, varying.second))

    def components(self, coords: HarmoniumCoords | LikelihoodCoords) -> Any:
        """Natural coordinates of all components, along a leading axis."""
        return self._over_components(lambda component: component, coords)

    def log_weights(self, coords: HarmoniumCoords) -> Float[Array, " k"]:
        """log π_k."""
        return jax.nn.log_softmax(coords.latent + self._normalizers(coords))

    # ---------------------------------------------------------------- densities

    def sufficient_statistic(self, x: Any, z: Any) -> HarmoniumCoords:
        data, k = self._regroup(x, z)
        statistic = self.component._sufficient_statistic(data)
        indicator = (k == jnp.arange(self.n_components)).astype(dtype_of(statistic))
        return self._split_means(
            statistic,
            jax.tree.map(lambda a: jnp.tensordot(indicator, a, axes=0), statistic),
            indicator,
        )

    def log_base_measure(self, x: Any, z: Any) -> Array:
        return self.component._log_base_measure(self._regroup(x, z)[0])

    def log_normalizer(self, coords: HarmoniumCoords, label: Any = None) -> Array:
        return jax.nn.logsumexp(self.labeled(coords.latent + self._normalizers(coords), label))

    def log_normalizer_given(self, coords: HarmoniumCoords, x: Any) -> Array:
        return jax.nn.logsumexp(self.logits_given(coords, x))

    def log_evidence(self, coords: HarmoniumCoords, x: Any) -> Array:
        # log Σ_k π_k p(x | z = k), with the derivatives of w_k + ψ_X(θ_k | x)
        x, label = split_labels(x)
        weights = differentiated_as(self.log_weights(coords), coords.latent)
        own = self._over_components(lambda c: cells.log_evidence(self.component, c, x), coords)
        return jax.nn.logsumexp(self.labeled(weights + own, label))

    def log_assignments(self, coords: HarmoniumCoords, x: Any) -> Float[Array, " k"]:
        """log p(z = k | x)."""
        return jax.nn.log_softmax(distinct_logits(self, coords, x))

    def labeled(self, logits: Float[Array, " k"], label: Any) -> Float[Array, " k"]:
        """Logits of the components that a label admits; −∞ for the others."""
        if label is None:
            return logits
        return jnp.where((label < 0) | (label == jnp.arange(self.n_components)), logits, -jnp.inf)

    def likelihood(self, coords: HarmoniumCoords | LikelihoodCoords, z: Any) -> Any:
        y, k = z if self.nested else (None, z)
        chosen = jax.tree.map(lambda leaf: leaf[k.astype(int)], coords.interaction)
        component = self.component_coords(coords.observable, chosen)
        return self.component.interaction.likelihood(component, y) if self.nested else component

    def posterior(self, coords: HarmoniumCoords, x: Any) -> Any:
        logits = distinct_logits(self, coords, x)
        if not self.nested:
            return logits[1:] - logits[0]
        parts = self._over_components(lambda c: self.component.interaction.posterior(c, x), coords)
        own = jax.vmap(self.component.family_given(x)._log_normalizer)(parts)
        return HarmoniumCoords(None, parts, _anchored(logits - own))

    def impute(self, coords: HarmoniumCoords, x: Any) -> Any:
        shares, (x, _) = jnp.exp(self.log_assignments(coords, x)), split_labels(x)
        own = self._over_components(partial(cells.expectation, self.component, x=x), coords)
        return jax.tree.map(lambda leaf: jnp.tensordot(shares, leaf, axes=1), own)

    def draw_missing(self, key: Key[Array, ""], coords: HarmoniumCoords, x: Any) -> Any:
        first, second = jax.random.split(key)
        chosen = jax.random.categorical(first, self.log_assignments(coords, x))
        component = jax.tree.map(lambda leaf: leaf[chosen], self.components(coords))
        return cells.draw(self.component, second, component, split_labels(x)[0])

    # ---------------------------------------------------------------- conjugation

    def conjugation(self, likelihood: LikelihoodCoords) -> tuple[Any, Array]:
        if not self.nested:
            normalizers = self._normalizers(likelihood)
            return normalizers[1:] - normalizers[0], normalizers[0]
        shifts, offsets = jax.vmap(self.component.interaction.conjugation)(likelihood.interaction)
        return HarmoniumCoords(None, shifts, _anchored(offsets)), offsets[0]

    def split(self, coords: HarmoniumCoords) -> tuple[LikelihoodCoords, Any]:
        if not self.nested:
            logits = self.log_weights(coords)
            likelihood = LikelihoodCoords(coords.observable, coords.interaction)
            return likelihood, logits[1:] - logits[0]
        likelihoods, priors = jax.vmap(self.component.interaction.split)(coords.interaction)
        own = jax.vmap(self.component.prior_family._log_normalizer)(priors)
        weights = _anchored(self.log_weights(coords) - own)
        return LikelihoodCoords(None, likelihoods), HarmoniumCoords(None, priors, weights)

    def join(self, likelihood: LikelihoodCoords, prior: Any) -> HarmoniumCoords:
        if self.nested:
            parts = jax.vmap(self.component.interaction.join)(
                likelihood.interaction, prior.interaction
            )
            own = jax.vmap(self.component.prior_family._log_normalizer)(prior.interaction)
            return self.weighted(LikelihoodCoords(None, parts), prior.latent + own)
        return self.weighted(likelihood, self.prior_family._logits(prior))

    def weighted(self, likelihood: LikelihoodCoords, log_weights: Array) -> HarmoniumCoords:
        """The mixture of given components with given log-weights (up to a constant)."""
        latent = _anchored(log_weights - self._normalizers(likelihood))
        return HarmoniumCoords(likelihood.observable, likelihood.interaction, latent)

    def translate(self, coords: HarmoniumCoords, offset: Any) -> HarmoniumCoords:
        if self.nested:
            moved = jax.vmap(lambda c: self.component.interaction.translate(c, offset))(
                coords.interaction
            )
            return eqx.tree_at(lambda c: c.interaction, coords, moved)
        if self.varying is None:
            moved = jax.tree.map(jnp.add, coords.interaction, offset)
            return HarmoniumCoords(coords.observable, moved, coords.latent)
        rest, part = self.splitting.split_natural(offset.second)
        varying = jax.tree.map(jnp.add, coords.interaction, NormalCoords(offset.first, part))
        shared = jax.tree.map(jnp.add, coords.observable, rest)
        return HarmoniumCoords(shared, varying, coords.latent)

    def reframe(self, target: Any, coords: HarmoniumCoords) -> tuple[HarmoniumCoords, Array]:
        # The constants of the components go into their weights, up to one that all have.
        own, other = self.component, target.component
        if self.nested:
            parts, constants = jax.vmap(lambda c: own.interaction.reframe(other.interaction, c))(
                coords.interaction
            )
            shared = None
        elif self.varying is None:
            parts, constants = jax.vmap(lambda c: reframe(own, other, c))(coords.interaction)
            shared = None
        else:
            factors, _ = between(own.frame, other.frame)
            moved, constants = jax.vmap(lambda c: reframe(own, other, c))(self.components(coords))
            varying = jax.tree.map(
                lambda leaf: jax.vmap(lambda one: rescale(one, factors))(leaf),
                coords.interaction.second,
            )
            parts = NormalCoords(moved.first, varying)
            shared = rescale(coords.observable, factors)
        latent = coords.latent + constants
        return HarmoniumCoords(shared, parts, _anchored(latent)), latent[0]

    def marginal(self, means: HarmoniumCoords) -> Any:
        total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), means.interaction)
        if self.nested:
            return self.component.interaction.marginal(total)
        if self.varying is None:
            return total
        return NormalCoords(total.first, self.splitting.join_mean(means.observable, total.second))

    # ---------------------------------------------------------------- estimation

    def maximize(self, means: HarmoniumCoords, start: HarmoniumCoords | None) -> HarmoniumCoords:
        # A component that holds no mass keeps its shape: nothing is known about it.
        weights = means.latent
        alive = weights > jnp.finfo(weights.dtype).eps
        inverse = 1 / jnp.where(alive, weights, 1)
        own = jax.tree.map(lambda leaf: _scale_rows(inverse, leaf), means.interaction)
        if self.varying is None:
            likelihood = self._maximize_components(own, start)
        elif self.varying == Identity():
            likelihood = self._maximize_tied(means, own)
        else:
            likelihood = self._maximize_convex(means, own, start)
        if start is not None:
            likelihood = LikelihoodCoords(
                likelihood.observable,
                jax.tree.map(
                    lambda new, old: jnp.where(_rows(alive, new), new, old),
                    likelihood.interaction,
                    start.interaction,
                ),
            )
        floor = jnp.finfo(weights.dtype).tiny
        return self.weighted(likelihood, jnp.log(jnp.maximum(weights, floor)))

    def _maximize_components(self, own: Any, start: HarmoniumCoords | None) -> LikelihoodCoords:
        if start is None:
            parts = jax.vmap(lambda means: self.component._maximize(means, None))(own)
        else:
            parts = jax.vmap(self.component._maximize)(own, start.interaction)
        return LikelihoodCoords(None, parts)

    def _maximize_tied(self, means: HarmoniumCoords, own: NormalCoords) -> LikelihoodCoords:
        # One covariance for all: the mean of the conditional covariances, E[xxᵀ] − Σ π_k μ_k μ_kᵀ.
        structure = self.component.structure
        second = self.marginal(means).second
        outer = jax.vmap(structure.outer)(own.first)
        between = jax.tree.map(lambda leaf: jnp.tensordot(means.latent, leaf, axes=1), outer)
        covariance = jax.tree.map(jnp.subtract, second, between)
        factor = structure.precision_factor(covariance, second, self.component.size)
        first = jax.vmap(
            lambda mean: structure.apply(factor, structure.apply_transposed(factor, mean))
        )(own.first)
        rest, part = self.splitting.split_natural(structure.from_factor(factor))
        parts = jax.tree.map(lambda a: jnp.broadcast_to(a, (self.n_components, *a.shape)), part)
        return LikelihoodCoords(rest, NormalCoords(first, parts))

    def _maximize_convex(
        self, means: HarmoniumCoords, own: NormalCoords, start: HarmoniumCoords | None
    ) -> LikelihoodCoords:
        # Weights come in closed form; what is left is the convex Σ π_k ψ_X(θ_k) − ⟨θ, η⟩.
        spaces = LikelihoodCoords(self.spaces.observable, self.spaces.interaction)
        target = sp.pack(spaces, LikelihoodCoords(means.observable, means.interaction), "mean")

        def potential(vector: Array) -> Array:
            likelihood = sp.unpack(spaces, vector, "natural")
            return jnp.dot(means.latent, self._normalizers(likelihood))

        if start is None:
            origin = sp.pack(spaces, self._maximize_tied(means, own), "natural")
            return sp.unpack(spaces, invert_gradient(potential, target, origin), "natural")
        # Descent from the present point: even an inexact M-step does not lower the likelihood.
        origin = sp.pack(spaces, LikelihoodCoords(start.observable, start.interaction), "natural")
        return sp.unpack(spaces, minimize_tilted(potential, target, origin), "natural")

    def whiten(self, means: HarmoniumCoords) -> HarmoniumCoords:
        if not self.nested:
            return means
        weights = means.latent
        inverse = 1 / jnp.where(weights > 0, weights, 1)
        own = jax.tree.map(lambda leaf: _scale_rows(inverse, leaf), means.interaction)
        white = jax.vmap(self.component._whiten)(own)
        scaled = jax.tree.map(lambda leaf: _scale_rows(weights, leaf), white)
        return HarmoniumCoords(means.observable, scaled, weights)

    def complete(self, means: HarmoniumCoords, mass: Array | float) -> HarmoniumCoords:
        # Σ_k E[1[z = k]] = E[1], and E[1[z = k]] is the mass of component k.
        others = means.latent[1:]
        weights = jnp.concatenate([(mass - jnp.sum(others))[None], others])
        parts = means.interaction
        if self.nested:
            parts = jax.vmap(self.component._complete)(parts, weights)
        return HarmoniumCoords(means.observable, parts, weights)

    def entropy(self, coords: HarmoniumCoords) -> Array:
        logs = self.log_weights(coords)
        own = self._over_components(self.component._entropy, coords)
        return jnp.dot(jnp.exp(logs), own - logs)

    def in_domain(self, coords: HarmoniumCoords) -> Bool[Array, ""]:
        inside = self._over_components(self.component._in_domain, coords)
        return jnp.all(inside) & jnp.all(jnp.isfinite(coords.latent))

    def features(self, x: Any) -> Array:
        return self.component._features(x)

    def initialize(self, key: Key[Array, ""]) -> HarmoniumCoords:
        keys = jax.random.split(key, self.n_components + 1)
        parts = jax.vmap(self.component._initialize)(keys[1:])
        logits = 0.1 * jax.random.normal(keys[0], (self.n_components,))
        return self._from_components(parts, logits)

    def sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        return starts.sketch_mixture(self, rng, table, kind)

    def initialize_from_sample(
        self, sketch: Any, xs: Any, features: Array, weights: Array
    ) -> HarmoniumCoords:
        return starts.start_mixture(self, sketch, xs, features, weights)

    def compress(self, xs: Any, weights: Any) -> tuple[Any, Any, Any]:
        return self.observable, xs, weights

    def weak_means(self, xs: Any) -> HarmoniumCoords:
        own = self.component._weak_means(xs)
        weights = jnp.full((self.n_components,), 1 / self.n_components, dtype_of(own))
        joint = jax.tree.map(lambda leaf: jnp.tensordot(weights, leaf, axes=0), own)
        return self._split_means(own, joint, weights)

    def _from_components(self, parts: Any, log_weights: Array) -> HarmoniumCoords:
        if self.varying is None:
            return self.weighted(LikelihoodCoords(None, parts), log_weights)
        # The closest mixture with a shared rest: the M-step from the means of the components.
        # One of weight zero is not lost by it.
        weights = jax.nn.softmax(log_weights)
        weights = jnp.maximum(weights, 4 * jnp.finfo(weights.dtype).eps)
        own = jax.vmap(jax.grad(self.component._log_normalizer))(parts)
        joint = jax.tree.map(lambda leaf: _scale_rows(weights, leaf), own)
        total = jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), joint)
        found = self.maximize(self._split_means(total, joint, weights), None)
        return self.weighted(LikelihoodCoords(found.observable, found.interaction), log_weights)

    # ---------------------------------------------------------------- unconstrained chart

    def to_unconstrained(self, coords: HarmoniumCoords) -> PyTree[Array]:
        logs = self.log_weights(coords)
        if self.varying is None:
            return logs, jax.vmap(self.component._to_unconstrained)(coords.interaction)
        structure = self.component.structure
        means = self._over_components(lambda c: self.component._moments(c)[0], coords)
        if self.varying == Identity():
            own = self.component_coords(
                coords.observable, jax.tree.map(lambda a: a[0], coords.interaction)
            )
            return logs, (means, structure.to_unconstrained(structure.factor(own.second)))
        free = jax.vmap(lambda v: self.splitting.dominated(v, coords.observable))(
            coords.interaction.second
        )
        return logs, (means, coords.observable, free)

    def from_unconstrained(self, free: PyTree[Array]) -> HarmoniumCoords:
        logs, rest = free
        if self.varying is None:
            parts = jax.vmap(self.component._from_unconstrained)(rest)
            return self.weighted(LikelihoodCoords(None, parts), logs)
        structure = self.component.structure
        if self.varying == Identity():
            means, shape = rest
            second = structure.from_factor(structure.from_unconstrained(shape))
            shared, varying = self.splitting.split_natural(second)
            varying = jax.tree.map(
                lambda a: jnp.broadcast_to(a, (self.n_components, *a.shape)), varying
            )
        else:
            means, shared, shape = rest
            if shared.ndim == 2:
                shared = (shared + shared.T) / 2
            shared = self.splitting.rest(shared)
            varying = jax.vmap(lambda v: self.splitting.dominate(v, shared))(shape)

        def first(mean: Array, part: Any) -> Array:
            factor = structure.factor(self.splitting.join(shared, part))
            return structure.apply(factor, structure.apply_transposed(factor, mean))

        parts = NormalCoords(jax.vmap(first)(means, varying), varying)
        return self.weighted(LikelihoodCoords(shared, parts), logs)

    # ---------------------------------------------------------------- shared

    def _regroup(self, x: Any, z: Any) -> tuple[Any, Any]:
        # Complete data of the component, and the component number.
        return ((x, z[0]), z[1]) if self.nested else (x, z)

    def _over_components(self, function: Any, coords: HarmoniumCoords | LikelihoodCoords) -> Any:
        # The shared rest stays without a leading axis: what depends on it alone is done once.
        return jax.vmap(
            lambda varying: function(self.component_coords(coords.observable, varying))
        )(coords.interaction)

    def _normalizers(self, coords: HarmoniumCoords | LikelihoodCoords) -> Float[Array, " k"]:
        return self._over_components(self.component._log_normalizer, coords)

    def logits_given(self, coords: HarmoniumCoords, x: Any) -> Float[Array, " k"]:
        """w_k + ψ(θ_k | x)."""
        x, label = split_labels(x)
        given = partial(cells.log_normalizer_given, self.component, x=x)
        return self.labeled(coords.latent + self._over_components(given, coords), label)

    def _split_means(self, total: Any, joint: Any, weights: Array) -> HarmoniumCoords:
        # Mean coordinates from E[s(x)], E[1[z = k] s(x)] and E[1[z = k]].
        if self.varying is None:
            return HarmoniumCoords(None, joint, weights)
        rest = self.splitting.split_mean(total.second)[0]
        part = jax.vmap(lambda leaf: self.splitting.split_mean(leaf)[1])(joint.second)
        return HarmoniumCoords(rest, NormalCoords(joint.first, part), weights)


def _anchored(log_weights: Float[Array, " k"]) -> Float[Array, " k"]:
    # Weights are defined up to a constant: that of component 0 is set to zero.
    return log_weights - log_weights[0]


def _rows(values: Array, like: Array) -> Array:
    return jnp.reshape(values, values.shape + (1,) * (like.ndim - 1))


def _scale_rows(values: Array, leaf: Array) -> Array:
    return _rows(values, leaf) * leaf
