"""The linear Gaussian interaction: x | y is normal with a mean linear in y.

    p(x | y) = N(x; W y + b, Ψ),   Θ_XY = Ψ⁻¹W between the first-order statistics of x and y,

where y is the latent variable itself, or the observable of a latent harmonium (then that
harmonium's latent variables are latent too). The interaction is conjugated,

    ψ_X(θ_X + Θ y) = ⟨ρ, (y, yyᵀ)⟩ + χ,   ρ = (ΘᵀΨ θ_X, ½ ΘᵀΨΘ),   χ = ψ_X(θ_X).
"""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..families import cells
from ..families.observations import has_gaps, split_labels
from ..families.real.normal import Normal, NormalCoords
from ..families.reframe import between, reframe_normal
from ..geometry import spaces as sp
from ..geometry.derivatives import differentiated_as
from ..geometry.duality import invert_gradient, minimize_tilted
from ..geometry.linalg import eigh, factorize
from ..geometry.structures import Diagonal, Identity, PositiveDefinite
from ..geometry.table import Kind, Table
from . import latent as lat
from . import starts
from .evidence import filled_cells, log_evidence, project, whitened, whitened_data
from .identified import n_identified
from .interaction import AbstractInteraction, HarmoniumCoords, LikelihoodCoords
from .rows import sigma_rows


@final
class LinearInteraction(AbstractInteraction):
    """A linear Gaussian likelihood, with latent variables whose location is y.

    Attributes:
        likelihood_family: normal family of x given y.
        latent_posterior: family of the latent variables given x; its location is normal, of some
            covariance structure.
        latent_prior: family of the latent variables, with full covariance.
        whitening: whether `whiten`, and with it every EM step, standardizes y.
    """

    likelihood_family: Normal
    latent_posterior: Any  # families
    latent_prior: Any
    whitening: bool = eqx.field(static=True)

    # ---------------------------------------------------------------- structure

    @property
    def observable(self) -> Normal:
        """Normal family of x given y."""
        return self.likelihood_family

    @property
    def posterior_family(self) -> Any:
        """Family of the latent variables given x."""
        return self.latent_posterior

    @property
    def prior_family(self) -> Any:
        """Family of the latent variables."""
        return self.latent_prior

    @property
    def location(self) -> Normal:
        """The normal family of y in the posterior."""
        return lat.location(self.posterior_family)

    @property
    def restricted(self) -> bool:
        """Whether posteriors lie in a smaller family than the prior."""
        return self.posterior_family != self.prior_family

    @property
    def observed_support(self) -> Any:
        """Real vectors."""
        return self.observable.support

    @property
    def n_labels(self) -> int:
        """That of the latent family."""
        return self.prior_family.n_labels

    @property
    def n_parameters(self) -> int:
        """See `harmonium.identified`."""
        own = self.observable
        return n_identified(own.structure, own.size, self.posterior_family)

    @property
    def spaces(self) -> HarmoniumCoords:
        """Observable, p × d, latent."""
        loadings = sp.Euclidean((self.observable.size, self.location.size))
        return HarmoniumCoords(self.observable.spaces, loadings, self.posterior_family.spaces)

    @property
    def likelihood_spaces(self) -> LikelihoodCoords:
        """Observable, p × d."""
        return LikelihoodCoords(self.spaces.observable, self.spaces.interaction)

    # ---------------------------------------------------------------- densities

    def sufficient_statistic(self, x: Any, z: Any) -> HarmoniumCoords:
        y = self.prior_family._observe(z)
        return HarmoniumCoords(
            self.observable._sufficient_statistic(x),
            jnp.outer(self.observable._enter(x), y),
            self.posterior_family._sufficient_statistic(z),
        )

    def log_base_measure(self, x: Any, z: Any) -> Array:
        return self.observable._log_base_measure(x) + self.posterior_family._log_base_measure(z)

    def log_normalizer(self, coords: HarmoniumCoords, label: Any = None) -> Array:
        latent = lat.log_normalizer(self.prior_family, self.prior(coords), label)
        return latent + self.observable._log_normalizer(coords.observable)

    def log_normalizer_given(self, coords: HarmoniumCoords, x: Any) -> Array:
        # ψ(θ | x) = ⟨θ_X, s(x)⟩ + log μ(x) + ψ_Z(θ_Z + xᵀΘ), with ψ_X(θ_X | x_seen) in place of the
        # first two where cells are missing
        x, label = split_labels(x)
        own = cells.log_normalizer_given(self.observable, coords.observable, x)
        return own + lat.log_normalizer(self._family_given(x), self.posterior(coords, x), label)

    def log_evidence(self, coords: HarmoniumCoords, x: Any) -> Array:
        # see `harmonium.evidence`
        x, label = split_labels(x)
        fixed = jax.lax.stop_gradient(coords)
        white, gain, value = whitened_data(self.observable, fixed, x)
        rest, score, gain = project(white, gain)
        own = cells.log_normalizer_given(self.observable, coords.observable, x)
        return differentiated_as(value + rest, own) + log_evidence(
            self.prior_family,
            self._family_given(x),
            self.prior(fixed),
            self.posterior(coords, x),
            score,
            gain,
            label,
        )

    def _family_given(self, x: Any) -> Any:
        return self.prior_family if has_gaps(x) else self.posterior_family

    def likelihood(self, coords: HarmoniumCoords | LikelihoodCoords, z: Any) -> NormalCoords:
        y = self.prior_family._observe(z)
        return NormalCoords(
            coords.observable.first + coords.interaction @ y, coords.observable.second
        )

    def posterior(self, coords: HarmoniumCoords, x: Any) -> Any:
        # Only the first-order part depends on x: second-order parts stay unbatched under vmap.
        # With missing cells, ψ_X(θ_X + Θ y | x_seen) is quadratic in y: x̂ takes the place of x, and
        # ½ΘᵀC Θ is added, C being the covariance of the missing cells given y and those seen.
        x, _ = split_labels(x)
        if has_gaps(x):
            filled, covariance = filled_cells(self.observable, coords.observable, x)
            spread = jax.vmap(covariance, 1, 1)(coords.interaction)
            offset = NormalCoords(filled @ coords.interaction, 0.5 * coords.interaction.T @ spread)
            latent = lat.embed(coords.latent, self.posterior_family, self.prior_family)
            return lat.translate(self.prior_family, latent, offset)
        structure = self.location.structure.space(self.location.size)
        first = self.observable._enter(x) @ coords.interaction
        offset = NormalCoords(first, sp.zeros(structure, first.dtype))
        return lat.translate(self.posterior_family, coords.latent, offset)

    def log_weights(self, coords: HarmoniumCoords) -> Float[Array, " k"]:
        return self.prior_family.interaction.log_weights(self.prior(coords))

    def log_assignments(self, coords: HarmoniumCoords, x: Any) -> Float[Array, " k"]:
        """log p(z = k | x), where the latent family is a mixture."""
        x, label = split_labels(x)
        upper = self._family_given(x).interaction
        logs = upper.log_weights(self.posterior(coords, x))
        return jax.nn.log_softmax(upper.labeled(logs, label))

    def impute(self, coords: HarmoniumCoords, x: Any) -> Any:
        y = self.latent_mean(coords, x)
        x, _ = split_labels(x)
        filled, covariance = filled_cells(self.observable, coords.observable, x)
        return self.observable._leave(filled + covariance(coords.interaction @ y))

    def latent_mean(self, coords: HarmoniumCoords, x: Any) -> Float[Array, " d"]:
        """E[y | x]."""
        data, label = split_labels(x)
        family = self._family_given(data)
        means = jax.grad(lambda c: lat.log_normalizer(family, c, label))(
            self.posterior(coords, data)
        )
        return lat.marginal(family, means).first

    def draw_missing(self, key: Key[Array, ""], coords: HarmoniumCoords, x: Any) -> Any:
        first, second = jax.random.split(key)
        data, label = split_labels(x)
        posterior = lat.labeled(self._family_given(data), self.posterior(coords, data), label)
        latent = self._family_given(data)._sample(first, posterior)
        return cells.draw(self.observable, second, self.likelihood(coords, latent), data)

    # ---------------------------------------------------------------- conjugation

    def prior(self, coords: HarmoniumCoords) -> Any:
        """Natural coordinates θ_Z + ρ of the prior."""
        shift, _ = self._shift(coords)
        embedded = lat.embed(coords.latent, self.posterior_family, self.prior_family)
        return lat.translate(self.prior_family, embedded, shift)

    def conjugation(self, likelihood: LikelihoodCoords) -> tuple[Any, Array]:
        shift, offset = self._shift(likelihood)
        nothing = sp.zeros(self.prior_family.spaces, likelihood.interaction.dtype)
        return lat.translate(self.prior_family, nothing, shift), offset

    def _shift(self, coords: HarmoniumCoords | LikelihoodCoords) -> tuple[NormalCoords, Array]:
        # ρ as an offset of the location, and χ. ΘᵀΨΘ = VᵀV.
        _, gain, mean = whitened(self.observable, coords)
        shift = NormalCoords(gain.T @ mean, 0.5 * gain.T @ gain)
        return shift, self.observable._log_normalizer(coords.observable)

    def split(self, coords: HarmoniumCoords) -> tuple[LikelihoodCoords, Any]:
        likelihood = LikelihoodCoords(coords.observable, coords.interaction)
        return likelihood, self.prior(coords)

    def join(self, likelihood: LikelihoodCoords, prior: Any) -> HarmoniumCoords:
        shift, _ = self._shift(likelihood)
        full = lat.translate(self.prior_family, prior, jax.tree.map(jnp.negative, shift))
        latent = lat.restrict(full, self.prior_family, self.posterior_family)
        return HarmoniumCoords(likelihood.observable, likelihood.interaction, latent)

    def translate(self, coords: HarmoniumCoords, offset: NormalCoords) -> HarmoniumCoords:
        moved = jax.tree.map(jnp.add, coords.observable, offset)
        return HarmoniumCoords(moved, coords.interaction, coords.latent)

    def reframe(self, target: Any, coords: HarmoniumCoords) -> tuple[HarmoniumCoords, Array]:
        # uᵀΘy = vᵀ(aΘ)y + (Θᵀb)ᵀy for u = a v + b
        factors, offsets = between(self.observable.frame, target.observable.frame)
        observable, constant = reframe_normal(
            self.observable.structure, coords.observable, factors, offsets
        )
        offsets = offsets + jnp.zeros_like(coords.observable.first)
        zero = sp.zeros(self.location.structure.space(self.location.size), offsets.dtype)
        shift = NormalCoords(offsets @ coords.interaction, zero)
        latent = lat.translate(self.posterior_family, coords.latent, shift)
        loadings = (factors * coords.interaction.T).T
        return HarmoniumCoords(observable, loadings, latent), constant

    def marginal(self, means: HarmoniumCoords) -> NormalCoords:
        return means.observable

    # ---------------------------------------------------------------- usual parameters

    def from_loadings(self, loadings: Array, mean: Array, factor: Any) -> LikelihoodCoords:
        """The likelihood N(W y + b, Ψ) with Ψ⁻¹ = L Lᵀ given by its factor L."""
        structure = self.observable.structure

        def precision(vector: Array) -> Array:
            return structure.apply(factor, structure.apply_transposed(factor, vector))

        first = precision(mean)
        interaction = jax.vmap(precision, 1, 1)(loadings)
        return LikelihoodCoords(NormalCoords(first, structure.from_factor(factor)), interaction)

    def loadings(self, coords: HarmoniumCoords | LikelihoodCoords) -> tuple[Array, Array, Any]:
        """W = ΨΘ, b = Ψθ_X, and the factor L of Ψ⁻¹."""
        structure = self.observable.structure
        factor, inverse = structure.factors(coords.observable.second)

        def covariance(vector: Array) -> Array:
            return structure.apply_transposed(inverse, structure.apply(inverse, vector))

        loadings = jax.vmap(covariance, 1, 1)(coords.interaction)
        return loadings, covariance(coords.observable.first), factor

    def usual_likelihood(self, coords: HarmoniumCoords) -> tuple[Array, Array, Array]:
        """Loadings W, mean b and noise covariance Ψ, in raw units."""
        loadings, _, _ = self.loadings(coords)
        mean, noise = self.observable._usual(coords.observable)
        frame = self.observable.frame
        return loadings if frame is None else loadings * frame.scale[:, None], mean, noise

    def from_usual_likelihood(self, loadings: Array, observable: NormalCoords) -> LikelihoodCoords:
        """The likelihood with loadings W in raw units, and p(x | y = 0)."""
        frame = self.observable.frame
        if frame is not None:
            loadings = loadings / frame.scale[:, None]
        mean, _ = self.observable._moments(observable)
        factor = self.observable.structure.factor(observable.second)
        return self.from_loadings(loadings, mean, factor)

    # ---------------------------------------------------------------- estimation

    def maximize(self, means: HarmoniumCoords, start: HarmoniumCoords | None) -> HarmoniumCoords:
        if self.restricted:
            return self._maximize_convex(means, start)
        # The likelihood is the regression of x on y, the prior is fitted by itself.
        prior = None if start is None else self.prior(start)
        return self.join(self._regression(means), self.prior_family._maximize(means.latent, prior))

    def _regression(self, means: HarmoniumCoords) -> LikelihoodCoords:
        # W = Cov(x, y) Cov(y)⁻¹, b = E[x] − W E[y], Ψ = Cov(x) − W Cov(y, x)
        location = lat.marginal(self.posterior_family, means.latent)
        structure = self.observable.structure
        cross = means.interaction - jnp.outer(means.observable.first, location.first)
        inverse = PositiveDefinite().precision_factor(
            location.second - jnp.outer(location.first, location.first),
            location.second,
            self.location.size,
        )
        loadings = cross @ inverse @ inverse.T
        mean = means.observable.first - loadings @ location.first
        outer = structure.outer(means.observable.first)
        explained = structure.restrict_product(loadings, cross)
        noise = jax.tree.map(
            lambda second, square, part: second - square - part,
            means.observable.second,
            outer,
            explained,
        )
        factor = structure.precision_factor(noise, means.observable.second, self.observable.size)
        return self.from_loadings(loadings, mean, factor)

    def _maximize_convex(
        self, means: HarmoniumCoords, start: HarmoniumCoords | None
    ) -> HarmoniumCoords:
        def potential(vector: Array) -> Array:
            return self.log_normalizer(sp.unpack(self.spaces, vector, "natural"))

        target = sp.pack(self.spaces, means, "mean")
        if start is None:
            origin = sp.pack(self.spaces, self._independent(means), "natural")
            return sp.unpack(self.spaces, invert_gradient(potential, target, origin), "natural")
        # Descent from the present point: even an inexact M-step does not lower the likelihood.
        origin = sp.pack(self.spaces, start, "natural")
        return sp.unpack(self.spaces, minimize_tilted(potential, target, origin), "natural")

    def _independent(self, means: HarmoniumCoords) -> HarmoniumCoords:
        return HarmoniumCoords(
            self.observable._maximize(means.observable, None),
            jnp.zeros_like(means.interaction),
            self.posterior_family._maximize(means.latent, None),
        )

    def whiten(self, means: HarmoniumCoords) -> HarmoniumCoords:
        return self.standardize(means) if self.whitening else means

    def standardize(self, means: HarmoniumCoords) -> HarmoniumCoords:
        """The same distribution of x, with y of mean 0 and covariance I."""
        # y ↦ Aᵀ(y − m) with A Aᵀ = Cov(y)⁻¹, as far as the posterior family is closed under it.
        location = lat.marginal(self.posterior_family, means.latent)
        structure = lat.gauge(self.posterior_family)
        inner = lat.project_location(location, self.location, structure)
        spread = structure.outer(inner.first)
        covariance = None if spread is None else inner.second - spread
        factor = structure.precision_factor(covariance, inner.second, self.location.size)
        frame = jax.vmap(lambda row: structure.apply_transposed(factor, row))(
            jnp.eye(self.location.size, dtype=location.first.dtype)
        )
        cross = means.interaction - jnp.outer(means.observable.first, location.first)
        latent = lat.push(self.posterior_family, means.latent, location.first, frame)
        return HarmoniumCoords(means.observable, cross @ frame, latent)

    def complete(self, means: HarmoniumCoords, mass: Array | float) -> HarmoniumCoords:
        latent = self.posterior_family._complete(means.latent, mass)
        return HarmoniumCoords(means.observable, means.interaction, latent)

    def entropy(self, coords: HarmoniumCoords) -> Array:
        # The covariance of x given y does not depend on y.
        return self.prior_family._entropy(self.prior(coords)) + self.observable._entropy(
            coords.observable
        )

    def in_domain(self, coords: HarmoniumCoords) -> Bool[Array, ""]:
        # Loadings that are not finite leave no finite prior θ_Z + ρ.
        inside = self.prior_family._in_domain(self.prior(coords))
        return inside & self.observable._in_domain(coords.observable)

    def features(self, x: Any) -> Array:
        return self.observable._features(x)

    def initialize(self, key: Key[Array, ""]) -> HarmoniumCoords:
        keys = jax.random.split(key, 3)
        mean, _ = self.observable._moments(self.observable._initialize(keys[0]))
        noise = self.observable._initialize(keys[0]).second
        size = (self.observable.size, self.location.size)
        loadings = jax.random.normal(keys[1], size) / jnp.sqrt(1.0 * self.location.size)
        factor = self.observable.structure.factor(noise)
        frame, _ = self._frame(loadings, factor)
        likelihood = self.from_loadings(loadings @ frame, mean, factor)
        return self._join_nearest(likelihood, self.prior_family._initialize(keys[2]))

    def sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        return starts.sketch_linear(self, rng, table, kind)

    def initialize_from_sample(
        self, sketch: Any, xs: Any, features: Array, weights: Array
    ) -> HarmoniumCoords:
        return starts.start_linear(self, sketch, xs, features, weights)

    def compress(self, xs: Any, weights: Any) -> tuple[Any, Any, Any]:
        # Where all is normal, ψ(θ | x) is quadratic in x. The few rows are taken from the origin of
        # the frame: far from zero they would be rounded.
        few = has_gaps(xs) or jax.tree.leaves(xs)[0].shape[0] <= 2 * self.observable.size
        if few or not lat.is_normal(self.posterior_family):
            return self.observable, xs, weights
        frame, zero = self.observable.frame, jnp.zeros_like(xs[0])
        if frame is None:
            return self.observable, *sigma_rows(xs, weights, zero)
        nearer = replace(self.observable, frame=replace(frame, shift=zero))
        return nearer, *sigma_rows(xs, weights, frame.shift)

    def weak_means(self, xs: Any) -> HarmoniumCoords:
        # No loadings. Two rows ±1 in every latent direction: mean 0, variance 1.
        latent = jnp.stack([jnp.ones(self.location.size), -jnp.ones(self.location.size)])
        return HarmoniumCoords(
            self.observable._weak_means(xs),
            jnp.zeros((self.observable.size, self.location.size), xs.dtype),
            self.posterior_family._weak_means(latent.astype(xs.dtype)),
        )

    def _join_nearest(self, likelihood: LikelihoodCoords, prior: Any) -> HarmoniumCoords:
        if self.restricted:
            shift, _ = self._shift(likelihood)
            prior = lat.snap(prior, shift.second, self.prior_family, self.location.structure)
        return self.join(likelihood, prior)

    def _frame(self, loadings: Array, factor: Any) -> tuple[Array, Array]:
        # A frame F of the latent space (loadings W F, scores F⁻¹y) and its inverse, in which WᵀΨ⁻¹W
        # has the structure of the posterior precision: joining a prior of it loses nothing.
        structure = self.location.structure
        dim = loadings.shape[1]
        if structure == PositiveDefinite():
            identity = jnp.eye(dim, dtype=loadings.dtype)
            return identity, identity
        white = jax.vmap(
            lambda column: self.observable.structure.apply_transposed(factor, column), 1, 1
        )(loadings)
        values, vectors = eigh(white.T @ white)
        if structure == Diagonal():
            return vectors, vectors.T
        values = jnp.maximum(values, 1e-6 * values[-1])
        level = jnp.mean(values)
        if structure == Identity():
            # Posterior precision I = prior precision + g I
            level = level / (1 + level)
        scale = jnp.sqrt(level / values)
        return vectors * scale, (vectors / scale).T

    # ---------------------------------------------------------------- unconstrained chart

    def to_unconstrained(self, coords: HarmoniumCoords) -> PyTree[Array]:
        loadings, mean, factor = self.loadings(coords)
        shift, _ = self._shift(coords)
        prior = self.prior(coords)
        if not self.restricted:
            free = self.prior_family._to_unconstrained(prior)
        else:
            free = lat.to_free(prior, shift.second, self.prior_family, self.location.structure)
        if self.location.structure == Identity():
            # I − G = B Bᵀ: the free loadings W B⁻ᵀ may be any matrix.
            identity = jnp.eye(self.location.size, dtype=loadings.dtype)
            _, inverse = factorize(identity - 2 * shift.second)
            loadings = loadings @ inverse.T
        return loadings, mean, self.observable.structure.to_unconstrained(factor), free

    def from_unconstrained(self, free: PyTree[Array]) -> HarmoniumCoords:
        loadings, mean, logs, latent = free
        structure = self.observable.structure
        factor = structure.from_unconstrained(logs)
        if self.location.structure == Identity():
            # W = W̃ C⁻ᵀ with C Cᵀ = I + W̃ᵀΨ⁻¹W̃ has WᵀΨ⁻¹W = I − C⁻¹C⁻ᵀ, smaller than I.
            white = jax.vmap(lambda c: structure.apply_transposed(factor, c), 1, 1)(loadings)
            size = self.location.size
            _, inverse = factorize(jnp.eye(size, dtype=white.dtype) + white.T @ white)
            loadings = loadings @ inverse.T
        likelihood = self.from_loadings(loadings, mean, factor)
        if not self.restricted:
            return self.join(likelihood, self.prior_family._from_unconstrained(latent))
        shift, _ = self._shift(likelihood)
        prior = lat.from_free(latent, shift.second, self.prior_family, self.location.structure)
        return self.join(likelihood, prior)
