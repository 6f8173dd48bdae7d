"""Priors, and posteriors, of mixtures: weights and components apart.

A distribution of the parameters of a mixture under which weights and components are independent,
every component has a conjugate prior (φ_k, ν_k), and the weights have a prior of their own. After n
rows with responsibilities r_nk it has φ_k + Σ r_nk s(x_n), ν_k + Σ r_nk, and weights that counted
Σ r_nk: the posterior that variational Bayes looks for is of the same kind.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, SupportsIndex, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..families.base import Data
from ..families.compiled import dtype_of, repeat
from ..families.real.normal import NormalCoords
from ..families.support import check_data
from ..geometry.duality import bregman_divergence
from ..geometry.points import Mean, Natural, pairing
from ..geometry.structures import Identity
from ..priors.base import AbstractPrior
from ..priors.compiled import conjugacy_of, to_means
from ..priors.conjugate import ConjugatePrior
from ..priors.weights import AbstractWeightPrior, DirichletWeights, StickBreaking
from .interaction import HarmoniumCoords, LikelihoodCoords
from .mixture import Mixture
from .tied import gather, of_precision, sample, spread


@final
class MixturePrior(AbstractPrior):
    """A prior of a mixture: of its weights, and of every component.

    Make one with `from_components`. Fits take it as `prior=`, for a MAP estimate, or, with
    `method=VariationalBayes()`, for the posterior, which is a `MixturePrior` again.

    Attributes:
        family: the mixture.
        total: φ_k, the pseudo-statistics of every component, along a leading axis; where normals
            share their precision, see `harmonium.tied`.
        count: ν_k, their pseudo-counts, shape `(K,)`; for location and scale of normals `(K, 2)`.
        weights: the prior of the weights.
        rows: number of rows that every component has taken up, shape `(K,)`; zeros in a prior.
        allow_empty: in MAP estimates, whether a component that a Dirichlet prior with α < 1 gives a
            negative weight is emptied; else such a fit ends as degenerate.

    References:
        Attias 1999, A variational Bayesian framework for graphical models. Blei & Jordan 2006,
        Variational inference for Dirichlet process mixtures.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> poisson = ef.Poisson()
        >>> component = ef.ConjugatePrior.from_hyperparameters(poisson, shape=1.0, rate=0.1)
        >>> prior = ef.MixturePrior.from_components(ef.Mixture(poisson, 3), component, weights=0.5)
        >>> [round(float(weight), 3) for weight in prior.expected_weights]
        [0.333, 0.333, 0.333]
    """

    family: Mixture
    total: Mean[Any]
    count: Float[Array, "k *counts"]
    weights: AbstractWeightPrior
    rows: Float[Array, " k"]
    allow_empty: bool = eqx.field(static=True, default=False)

    @staticmethod
    def from_components(
        mixture: Mixture,
        components: ConjugatePrior | Sequence[ConjugatePrior],
        weights: Any = 1.0,
        stick_breaking: Any = None,
        allow_empty: bool = False,
    ) -> "MixturePrior":
        """The prior with given priors of the components.

        Args:
            mixture: a mixture whose components differ in everything, or, of normals, in their
                means alone (`varying=Identity()`): then the prior of the covariance is that of one.
            components: a conjugate prior of `mixture.component`, or, where components differ in
                everything, one for each.
            weights: concentration α of a Dirichlet prior of the weights: a number, or K.
            stick_breaking: instead of `weights`, the concentration γ of a Dirichlet process, of
                which the mixture holds the first K components: a number, or a pair, shape and rate
                of a gamma prior of γ.
            allow_empty: see the class.

        Raises:
            TypeError: what is no mixture, or components without normalized conjugate priors.
            ValueError: priors of another family, or not proper; concentrations that are not
                positive.
        """
        owner = "MixturePrior.from_components"
        _check_mixture(mixture, owner)
        count = mixture.n_components
        each = [components] * count if isinstance(components, ConjugatePrior) else list(components)
        if len(each) != count:
            raise ValueError(
                f"{owner}: `components` must be one prior, or {count} of them, but are {len(each)}."
            )
        tied = mixture.interaction.varying is not None
        if tied and not isinstance(components, ConjugatePrior):
            raise ValueError(
                f"{owner}: `components` must be one prior where components share their precision."
            )
        for one in each:
            if not isinstance(one, ConjugatePrior) or one.family != mixture.component:
                raise ValueError(
                    f"{owner}: `components` must be ConjugatePrior of {mixture.component!r}, but "
                    f"got {getattr(one, 'family', one)!r}."
                )
            one.log_normalizer()  # which refuses what is not proper
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[one.total for one in each])
        counts = jnp.stack([one.count for one in each])
        if tied:
            counts = counts if counts.ndim == 2 else jnp.stack([counts, counts], axis=1)
            stacked = Mean(gather(mixture.component, stacked.coords, counts))
        prior = _weight_prior(weights, stick_breaking, count, owner)
        return MixturePrior(mixture, stacked, counts, prior, jnp.zeros(count), allow_empty)

    @staticmethod
    def of(prior: ConjugatePrior) -> "MixturePrior":
        """A conjugate prior of a mixture, e.g. a `weak_prior`, in this form.

        Of its imagined rows, those of component k count for the prior of the component, and for a
        Dirichlet prior of the weights.
        """
        _check_mixture(prior.family, "MixturePrior.of", tied=False)
        total: HarmoniumCoords = prior.total.coords
        counts = total.latent
        weights = DirichletWeights(counts)
        zeros = jnp.zeros_like(counts)
        return MixturePrior(prior.family, Mean(total.interaction), counts, weights, zeros)  # pyright: ignore[reportArgumentType] (checked: a mixture)

    # ---------------------------------------------------------------- what it says

    def component(self, k: SupportsIndex) -> ConjugatePrior:
        """The distribution of the parameters of component k."""
        totals, counts = self._parts()
        total = jax.tree.map(lambda leaf: leaf[k], totals)
        return ConjugatePrior(self.family.component, Mean(total), counts[k])

    @property
    def expected_weights(self) -> Float[Array, " k"]:
        """E[π_k]; of broken sticks what remains for components beyond the last is left out."""
        return self.weights.mean()

    def expected_params(self) -> Natural[HarmoniumCoords]:
        """The mixture of the expected weights and the expected natural coordinates."""
        return Natural(_expected(self))

    def n_occupied(self, rows: float = 1.0) -> int:
        """The number of components that have taken up at least so many rows."""
        return int(jnp.sum(self.rows >= rows))

    def without_empty(self, rows: float = 1.0) -> "MixturePrior":
        """The same of a smaller mixture: of components that have taken up at least so many rows.

        The others are taken for empty. Its `family` is the smaller mixture.

        Raises:
            ValueError: where no component has.
        """
        chosen = np.flatnonzero(np.asarray(self.rows) >= rows)
        if not chosen.size:
            raise ValueError(
                f"MixturePrior.without_empty: no component has taken up {rows} rows; the most are "
                f"{float(jnp.max(self.rows)):.3g}."
            )
        totals, counts = jax.tree.map(lambda leaf: leaf[chosen], self._parts())
        if self._tied:
            totals = gather(self.family.component, totals, counts)
        return replace(
            self,
            family=replace(self.family, n_components=chosen.size),
            total=Mean(totals),
            count=counts,
            weights=self.weights.kept(chosen),
            rows=self.rows[chosen],
        )

    def posterior_soft_assignments(self, x: Data) -> Float[Array, "*batch k"]:
        """Responsibilities: of every component in rows, along the last axis.

        Args:
            x: observations with any leading axes; cells may be missing.
        """
        params = Natural(_point(self))
        return self.family.posterior_soft_assignments(params, x)

    def posterior_hard_assignment(self, x: Data) -> Int[Array, "*batch"]:
        """The component with the largest responsibility."""
        return jnp.argmax(self.posterior_soft_assignments(x), axis=-1)

    def log_predictive(self, x: Data) -> Float[Array, "*batch"]:
        """The log-density log ∫ p(x; θ) p(θ) dθ of each data point, a mixture of predictives.

        Args:
            x: complete data, structured like the support, with any leading axes.
        """
        support = self.family.observed_support
        x, batch = check_data(x, support, "MixturePrior.log_predictive", "x")
        return _log_predictive(self, len(batch), x)

    def sample(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Natural[HarmoniumCoords]:
        """Draw mixtures; the leaves of the result have leading axes `shape`."""
        return Natural(_sample(self, tuple(shape), False, key))

    def sample_predictive(self, key: Key[Array, ""], shape: tuple[int, ...] = ()) -> Data:
        """Draw data points, each from a mixture of its own."""
        return _sample(self, tuple(shape), True, key)

    def credible_interval(
        self,
        read: Callable[[Natural[HarmoniumCoords]], Any],
        key: Key[Array, ""],
        level: float = 0.95,
        n_draws: int = 1000,
    ) -> tuple[Any, Any]:
        """Both ends of the central interval that holds a quantity with a given probability.

        Args:
            read: from a mixture's natural coordinates to the quantity, an array or a tree of them,
                e.g. `mixture.weights`.
            key: JAX random key.
            level: the probability.
            n_draws: number of mixtures that are drawn.
        """
        if not 0 < level < 1:
            raise ValueError(
                f"MixturePrior.credible_interval: `level` must lie between 0 and 1, but is {level}."
            )
        values = jax.vmap(read)(self.sample(key, (n_draws,)))
        ends = (1 - level) / 2, (1 + level) / 2
        low, high = (jax.tree.map(partial(jnp.quantile, q=end, axis=0), values) for end in ends)
        return low, high

    # ---------------------------------------------------------------- kernels

    def in_frame_of(self, target: Any, change: Callable[..., Any]) -> "MixturePrior":
        """The same prior of a mixture that differs in the frames of its components."""
        joint = self._joint()
        moved = change(self.family, target, joint, jnp.sum(joint.latent))
        total = moved.interaction
        if self._tied:
            total = NormalCoords(total.first, moved.observable)
        return replace(self, family=target, total=Mean(total))

    def at_start(self) -> AbstractPrior:
        """With flat weights: no component is emptied before the fit."""
        if self._tied:
            joint = self._joint()
            return ConjugatePrior(self.family, Mean(joint), jnp.sum(joint.latent))
        return replace(self, weights=DirichletWeights(jnp.ones_like(self.rows)))

    @property
    def _tied(self) -> bool:
        return self.family.interaction.varying is not None

    def _joint(self) -> HarmoniumCoords:
        # As pseudo-statistics of the mixture, of so many rows of every component.
        total = self.total.coords
        rows = self.count if self.count.ndim == 1 else self.count[:, 0]
        rows = rows.astype(dtype_of(total))
        if self._tied:
            return HarmoniumCoords(total.second, NormalCoords(total.first, None), rows)
        return HarmoniumCoords(None, total, rows)

    def _average(self, means: HarmoniumCoords, count: Any) -> HarmoniumCoords:
        self._refuse_tied()
        after = self._observe(means, count)
        averages = jax.vmap(partial(to_means, self.family.component))(
            *after._parts(dtype_of(means))
        )
        shares = after.weights.mode().astype(means.latent.dtype)
        tiny = jnp.finfo(shares.dtype).tiny
        if self.allow_empty:
            shares = jnp.maximum(shares, tiny)
        shares = jnp.where(shares > 0, shares, jnp.nan) / jnp.sum(shares)
        joint = jax.tree.map(lambda leaf: _rows(jnp.maximum(shares, tiny), leaf) * leaf, averages)
        return HarmoniumCoords(None, joint, shares)

    def _log_density(self, natural: HarmoniumCoords, log_normalizer: Array) -> Array:
        # Σ_k ⟨φ_k, θ_k⟩ − ν_k ψ(θ_k), and that of the weights
        self._refuse_tied()
        component, totals = self.family.component, self.total.coords
        logs = self.family.interaction.log_weights(natural)

        def one(coords: Any, total: Any, count: Array) -> Array:
            if count.ndim:
                lost = jnp.dot(count, conjugacy_of(component).normalizers(coords))
            else:
                lost = count * component._log_normalizer(coords)
            return pairing(coords, total) - lost

        parts = jax.vmap(one)(natural.interaction, totals, self.count)
        return jnp.sum(parts) + self.weights.log_density(logs)

    def _refuse_tied(self) -> None:
        if self._tied:
            raise TypeError(
                "MixturePrior: MAP estimates of components that share their precision take a "
                "conjugate prior of the mixture, e.g. expfam.weak_prior(model, xs)."
            )

    def _parts(self, dtype: Any = None) -> tuple[Any, Array]:
        # φ_k and ν_k of every component by itself
        total = self.total.coords
        dtype = dtype_of(total) if dtype is None else dtype
        total, count = jax.tree.map(lambda leaf: leaf.astype(dtype), (total, self.count))
        return spread(self.family.component, total, count) if self._tied else total, count

    def _observe(self, means: HarmoniumCoords, count: Any) -> "MixturePrior":
        """After `count` rows with given averages E[1[z = k] s(x)] and E[1[z = k]]."""
        rows = (count * means.latent).astype(self.rows.dtype)
        added = rows if self.count.ndim == 1 else rows[:, None]
        new = means.interaction
        if self._tied:
            new = NormalCoords(new.first, self.family.interaction.marginal(means).second)
            added = jnp.stack([rows, jnp.full_like(rows, jnp.sum(rows))], axis=1)
        total = jax.tree.map(
            lambda own, new: own + (count * new).astype(own.dtype), self.total.coords, new
        )
        return replace(
            self,
            total=Mean(total),
            count=self.count + added,
            weights=self.weights.observe(rows),
            rows=self.rows + rows,
        )

    def _expectations(self) -> tuple[Any, Array]:
        # E[θ_k] and E[ψ(θ_k)]: the gradient of log Z
        def one(total: Any, count: Array) -> tuple[Any, Array]:
            normalizer = partial(conjugacy_of(component).log_normalizer, component)
            natural, minus = jax.grad(normalizer, argnums=(0, 1))(total, count)
            return natural, -jnp.sum(minus)

        component = self.family.component
        return jax.vmap(one)(*self._parts())

    def _point(self) -> HarmoniumCoords:
        # (E[θ_k], E[log π_k] − E[ψ(θ_k)]): where an E-step gives the responsibilities of VB.
        natural, normalizers = self._expectations()
        logs = self.weights.mean_logarithm().astype(normalizers.dtype)
        own = self._likelihood(natural)
        return HarmoniumCoords(own.observable, own.interaction, logs - normalizers)

    def _likelihood(self, natural: Any) -> LikelihoodCoords:
        # Of components; a precision that all share is there once.
        if not self._tied:
            return LikelihoodCoords(None, natural)
        shared, _ = self.family.interaction.splitting.split_natural(natural.second[0])
        return LikelihoodCoords(shared, NormalCoords(natural.first, None))

    def _divergence(self, other: "MixturePrior") -> Array:
        # KL of the components, Bregman divergences of log Z, and of the weights
        component = self.family.component
        conjugacy = conjugacy_of(component)

        def one(own: Any, end: Any) -> Array:
            return bregman_divergence(lambda p: conjugacy.log_normalizer(component, *p), end, own)

        own, end = self._parts(), other._parts()
        components = jnp.sum(jax.vmap(one)(own, end))
        if self._tied:
            # KL of a component is that of the precision, and of the mean given it.
            precision = one(of_precision(component, *own), of_precision(component, *end))
            components = components - (len(self.rows) - 1) * precision
        return components + self.weights.divergence(other.weights)


def _rows(values: Array, like: Array) -> Array:
    return jnp.reshape(values, values.shape + (1,) * (like.ndim - 1))


@jax.jit
def _point(prior: MixturePrior) -> HarmoniumCoords:
    return prior._point()


@jax.jit
def _expected(prior: MixturePrior) -> HarmoniumCoords:
    natural, _ = prior._expectations()
    weights = jnp.log(prior.weights.mean()).astype(dtype_of(natural))
    return prior.family.interaction.weighted(prior._likelihood(natural), weights)


@partial(jax.jit, static_argnums=1)
def _log_predictive(prior: MixturePrior, n_axes: int, x: Any) -> Array:
    component = prior.family.component
    own = partial(conjugacy_of(component).log_predictive, component)
    logs = jnp.log(prior.weights.mean())
    logs = logs - jax.nn.logsumexp(logs)

    def one(x: Any) -> Array:
        return jax.nn.logsumexp(logs + jax.vmap(own, in_axes=(0, 0, None))(*prior._parts(), x))

    for _ in range(n_axes):
        one = jax.vmap(one)
    return one(x)


@partial(jax.jit, static_argnums=(1, 2))
def _sample(prior: MixturePrior, shape: tuple[int, ...], predictive: bool, key: Array) -> Any:
    mixture = prior.family
    component = mixture.component

    def draw(key: Array, prior: MixturePrior) -> Any:
        first, second, third = jax.random.split(key, 3)
        conjugacy = conjugacy_of(component)
        if prior._tied:
            parts = sample(component, conjugacy, first, *prior._parts())
        else:
            keys = jax.random.split(first, mixture.n_components)
            parts = jax.vmap(partial(conjugacy.sample, component))(keys, *prior._parts())
        logs = prior.weights.sample(second).astype(dtype_of(parts))
        coords = mixture.interaction.weighted(prior._likelihood(parts), logs)
        return mixture._observe(mixture._sample(third, coords)) if predictive else coords

    for size in reversed(shape):
        draw = repeat(draw, size)
    return draw(key, prior)


def _check_mixture(mixture: Any, owner: str, tied: bool = True) -> None:
    if not isinstance(mixture, Mixture):
        raise TypeError(f"{owner}: it must be a prior of a Mixture, but is one of {mixture!r}.")
    varying = mixture.interaction.varying
    if varying is not None and not (tied and varying == Identity()):
        allowed = ", or varying=Identity()" if tied else ""
        raise TypeError(
            f"{owner}: components of the mixture must differ in everything, but share a part of "
            f"their precisions; leave `varying` out{allowed}."
        )
    if conjugacy_of(mixture.component) is None:
        raise TypeError(
            f"{owner}: the normalizer of conjugate priors of {mixture.component!r} is not known, "
            "which posteriors need. MAP estimates need none: prior=expfam.weak_prior(model, xs)."
        )


def _weight_prior(weights: Any, sticks: Any, count: int, owner: str) -> AbstractWeightPrior:
    if sticks is None:
        alpha = np.broadcast_to(np.asarray(weights, float), (count,))
        if not (np.all(alpha > 0) and np.all(np.isfinite(alpha))):
            raise ValueError(f"{owner}: `weights` must be positive numbers, but are {weights!r}.")
        return DirichletWeights(jnp.asarray(alpha, float))
    given = np.atleast_1d(np.asarray(sticks, float))
    if given.shape not in ((1,), (2,)) or not (np.all(given > 0) and np.all(np.isfinite(given))):
        raise ValueError(
            f"{owner}: `stick_breaking` must be one positive number, or a pair of them, but is "
            f"{sticks!r}."
        )
    shape = jnp.asarray(given[0], float) if len(given) == 2 else None
    rate = given[1] if len(given) == 2 else 1 / given[0]
    return StickBreaking(jnp.ones(count), jnp.zeros(count), shape, jnp.asarray(rate, float))
