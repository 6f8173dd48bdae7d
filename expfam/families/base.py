"""Exponential families: densities p(x; θ) = μ(x) exp(⟨θ, s(x)⟩ − ψ(θ)) and everything they imply.

Public methods check, explain and vectorize, once, here. Private kernels (`_log_normalizer`, …) are
for one data point, on raw coordinates, without checks; they are what a family has to supply.
"""

from typing import Any, SupportsIndex, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..geometry.checks import check_axes, check_key, require
from ..geometry.manifold import remembered
from ..geometry.points import Mean, Natural, pairing
from . import cells, compiled, ladder, missing
from .conversion import Numbers
from .errors import DEGENERATE, require_counted, require_prior_of
from .kernels import AbstractKernels, Data
from .observations import has_gaps
from .sketches import KINDS, sketches
from .support import check_data, check_observation, check_observations, check_rows, check_weights

C = TypeVar("C")


class AbstractExponentialFamily(AbstractKernels[C]):
    """An exponential family, of which some statistics may be latent."""

    # ---------------------------------------------------------------- densities and statistics

    def sufficient_statistic(self, x: Data) -> Mean[C]:
        """The sufficient statistic s(x) of one complete data point.

        Args:
            x: one data point, structured like `support`.

        Returns:
            s(x), in mean coordinates.
        """
        x, batch = check_data(x, self.support, self._owner("sufficient_statistic"), "x")
        if batch:
            raise ValueError(
                f"{self._owner('sufficient_statistic')}: `x` must be one data point, but has "
                f"leading axes {batch}; use average_sufficient_statistic, or jax.vmap."
            )
        return Mean(self._sufficient_statistic(x))

    def average_sufficient_statistic(self, xs: Data, weights: Numbers | None = None) -> Mean[C]:
        """The (weighted) average of the sufficient statistic over rows of complete data.

        Args:
            xs: rows, with one leading axis n.
            weights: n numbers, not negative; equal where not given.

        Returns:
            The average, in mean coordinates.
        """
        owner = self._owner("average_sufficient_statistic")
        if has_gaps(xs):
            raise TypeError(
                f"{owner}: `xs` must be complete. What is expected of incomplete rows depends on "
                "the parameters: log_normalizer_given, or mean_posterior_statistics of a model."
            )
        xs, n = check_rows(xs, self.support, owner)
        return Mean(compiled.average_statistic(self, xs, check_weights(weights, n, float, owner)))

    def log_base_measure(self, x: Data) -> Float[Array, "*batch"]:
        """log μ(x), with μ the density of the base measure against Lebesgue or counting measure.

        Args:
            x: complete data points, structured like `support`, with any leading axes.
        """
        x, batch = check_data(x, self.support, self._owner("log_base_measure"), "x")
        return compiled.over_data(type(self)._log_base_measure, len(batch))(self, x)

    def log_normalizer(self, params: Natural[C]) -> Float[Array, ""]:
        """The log-normalizer ψ(θ) = log ∫ μ(x) exp⟨θ, s(x)⟩ dx."""
        self._check_point(params, Natural, "log_normalizer", "params")
        return compiled.log_normalizer(self, params.coords)

    def log_normalizer_given(self, params: Natural[C], x: Data) -> Float[Array, "*batch"]:
        """The log-normalizer given what was observed, ψ(θ | x).

        Mathematically, ψ(θ | x) = log ∫ μ(x, z) exp⟨θ, s(x, z)⟩ dz over everything not observed.
        Its gradient in θ is the expectation of the complete statistic given x.

        Args:
            params: natural coordinates.
            x: observations, structured like `observed_support`, with any leading axes.
        """
        return self._per_observation(cells.log_normalizer_given, params, x, "log_normalizer_given")

    def log_density(self, params: Natural[C], x: Data) -> Float[Array, "*batch"]:
        """The log-density of complete data points.

        Mathematically, log p(x; θ) = ⟨θ, s(x)⟩ + log μ(x) − ψ(θ).

        Args:
            params: natural coordinates.
            x: complete data points, structured like `support`, with any leading axes. Without
                latent variables cells may be missing (`expfam.incomplete`): the density is that of
                what is seen.
        """
        return self._log_density_of(params, x, "log_density")

    def density(self, params: Natural[C], x: Data) -> Float[Array, "*batch"]:
        """The density of complete data points; see `log_density`."""
        return jnp.exp(self._log_density_of(params, x, "density"))

    # ---------------------------------------------------------------- charts

    def to_mean(self, params: Natural[C]) -> Mean[C]:
        """Mean coordinates η = ∇ψ(θ) = E[s(x)]."""
        self._check_point(params, Natural, "to_mean", "params")
        return Mean(compiled.to_mean(self, params.coords))

    def to_natural(self, means: Mean[C]) -> Natural[C]:
        """Natural coordinates θ = (∇ψ)⁻¹(η), in closed form or by a convex solve.

        Raises:
            ValueError: where no finite θ has these means, because they lie on the boundary of, or
                outside, the set of possible expectations (RuntimeError under `jit`).
        """
        return self._to_natural(means, "to_natural")

    def negative_entropy(self, means: Mean[C]) -> Float[Array, ""]:
        """The convex conjugate φ(η) = ⟨θ, η⟩ − ψ(θ) of the log-normalizer, at θ = (∇ψ)⁻¹(η).

        It is E[log p(x) − log μ(x)], the negative entropy relative to the base measure.
        """
        params = self._to_natural(means, "negative_entropy")
        return pairing(params.coords, means.coords) - compiled.log_normalizer(self, params.coords)

    def entropy(self, params: Natural[C]) -> Float[Array, ""]:
        """The entropy −E[log p(x)] of complete data, against Lebesgue or counting measure."""
        self._check_point(params, Natural, "entropy", "params")
        return compiled.entropy(self, params.coords)

    def kl_divergence(self, p: Natural[C], q: Natural[C]) -> Float[Array, ""]:
        """The Kullback–Leibler divergence KL(p ‖ q) = ψ(q) − ψ(p) − ⟨q − p, ∇ψ(p)⟩."""
        self._check_pair(p, q, "kl_divergence")
        return compiled.kl_divergence(self, p.coords, q.coords)

    def cross_entropy(self, p: Natural[C], q: Natural[C]) -> Float[Array, ""]:
        """The cross-entropy −E_p[log q(x)] of complete data: the entropy of p plus KL(p ‖ q)."""
        self._check_pair(p, q, "cross_entropy")
        return compiled.cross_entropy(self, p.coords, q.coords)

    def renyi_divergence(
        self, p: Natural[C], q: Natural[C], order: Float[Array, ""] | float
    ) -> Float[Array, ""]:
        """The Rényi divergence D_α(p ‖ q) = log E_q[(p/q)^α] / (α − 1) of order α > 0.

        Mathematically, (α − 1) D_α = ψ(αp + (1 − α)q) − αψ(p) − (1 − α)ψ(q) (Nielsen & Nock 2011,
        eq. 11). Order 1 is the Kullback–Leibler divergence. Infinite where αp + (1 − α)q is no
        point of the domain, which only orders above 1 can lead to.
        """
        self._check_pair(p, q, "renyi_divergence")
        order = jnp.asarray(order, float)
        value = compiled.renyi_divergence(self, p.coords, q.coords, order)
        owner = self._owner("renyi_divergence")
        return require(value, order > 0, f"{owner}: `order` must be positive.")

    def bhattacharyya_distance(self, p: Natural[C], q: Natural[C]) -> Float[Array, ""]:
        """The Bhattacharyya distance −log ∫ √(p(x) q(x)) dx = (ψ(p) + ψ(q))/2 − ψ((p + q)/2)."""
        self._check_pair(p, q, "bhattacharyya_distance")
        return compiled.renyi_divergence(self, p.coords, q.coords, jnp.asarray(0.5)) / 2

    def fisher_information(self, point: Natural[C] | Mean[C]) -> Float[Array, "dim dim"]:
        """The Fisher information, in the coordinates of `flatten`.

        In natural coordinates it is ∇²ψ(θ), the covariance of the flattened sufficient statistic;
        in mean coordinates its inverse, ∇²φ(η).

        Args:
            point: a distribution, in either chart: that of the result.
        """
        if isinstance(point, Mean):
            params = self._to_natural(point, "fisher_information")
            return compiled.inverse_fisher_information(self, params.coords)
        self._check_point(point, Natural, "fisher_information", "point")
        return compiled.fisher_information(self, point.coords)

    def natural_gradient(self, params: Natural[C], gradient: Mean[C]) -> Natural[C]:
        """The natural gradient F⁻¹g of a function of natural coordinates (Amari 1998).

        It is the direction of steepest ascent where distance is Kullback–Leibler divergence, and
        does not depend on the coordinates.

        Args:
            params: the point θ.
            gradient: g at θ, as `expfam.gradient` returns it.
        """
        self._check_point(params, Natural, "natural_gradient", "params")
        self._check_point(gradient, Mean, "natural_gradient", "gradient")
        return Natural(compiled.natural_gradient(self, params.coords, gradient.coords))

    def exponential_geodesic(
        self, p: Natural[C], q: Natural[C], t: Float[Array, ""] | float
    ) -> Natural[C]:
        """The point t on the e-geodesic from p to q, which is straight in natural coordinates.

        Its density is proportional to p¹⁻ᵗ qᵗ.

        Args:
            p: where t = 0.
            q: where t = 1.
            t: any number for which the point is in the domain.
        """
        self._check_pair(p, q, "exponential_geodesic")
        return p * (1 - t) + q * t

    def mixture_geodesic(
        self, p: Natural[C], q: Natural[C], t: Float[Array, ""] | float
    ) -> Natural[C]:
        """The point t on the m-geodesic from p to q, which is straight in mean coordinates.

        Of all points of the family it is the closest, in Kullback–Leibler divergence, to the
        mixture (1 − t)p + tq.

        Args:
            p: where t = 0.
            q: where t = 1.
            t: any number for which the point has mean coordinates of a distribution.
        """
        self._check_pair(p, q, "mixture_geodesic")
        means = self.to_mean(p) * (1 - t) + self.to_mean(q) * t
        return self._to_natural(means, "mixture_geodesic")

    def in_domain(self, params: Natural[C]) -> Bool[Array, ""]:
        """Whether a point has a finite log-normalizer, so that it is a distribution."""
        self._check_point(params, Natural, "in_domain", "params")
        return compiled.in_domain(self, params.coords)

    # ---------------------------------------------------------------- missing cells

    def log_conditional_density(
        self, params: Natural[C], x: Data, given: Any
    ) -> Float[Array, "*batch"]:
        """log p(x_rest | x_given): the log-density of some cells of observations, given others.

        Args:
            params: natural coordinates.
            x: observations, complete or `incomplete`, with any leading axes.
            given: of every cell of an observation, whether it is given; of tuples, a tuple.
        """
        owner = self._owner("log_conditional_density")
        self._check_point(params, Natural, "log_conditional_density", "params")
        return missing.log_conditional_density(self, params.coords, x, given, owner)

    def conditional(self, params: Natural[C], x: Data) -> tuple[Any, Natural[Any]]:
        """The distribution of the missing cells of one `incomplete` observation, given the others.

        Returns:
            A family of the missing cells, in the order in which they stand, and a point of it: a
            normal of a normal, a mixture of normals of a mixture of normals or an HMoG.

        Raises:
            TypeError: where that distribution has no family.
        """
        self._check_point(params, Natural, "conditional", "params")
        found = missing.conditional(self, params.coords, x, self._owner("conditional"))
        return found[0], Natural(found[1])

    def impute(self, params: Natural[C], xs: Data) -> Data:
        """Observations with the expectation of missing cells, given those seen, in their place.

        Of categories it is the most probable one.

        Args:
            params: natural coordinates.
            xs: `incomplete` observations, with any leading axes.
        """
        self._check_point(params, Natural, "impute", "params")
        return missing.impute(self, params.coords, xs, self._owner("impute"))

    def sample_missing(
        self,
        key: Key[Array, ""],
        params: Natural[C],
        xs: Data,
        shape: SupportsIndex | tuple[SupportsIndex, ...] = (),
    ) -> Data:
        """Observations with draws of missing cells, given those seen: for multiple imputation.

        Args:
            key: JAX random key.
            params: natural coordinates.
            xs: `incomplete` observations, with any leading axes.
            shape: leading axes of the result, or a number; one set of draws each.
        """
        owner = self._owner("sample_missing")
        self._check_point(params, Natural, "sample_missing", "params")
        check_key(key, owner)
        axes = check_axes(shape, owner)
        return missing.sample_missing(key, self, params.coords, xs, axes, owner)

    def to_unconstrained(self, params: Natural[C]) -> PyTree[Array]:
        """Free parameters of a point: a tree of arrays of which any real values are a point.

        A chart for optimizers and samplers: means, loadings, logarithms of variances and weights.

        Raises:
            ValueError: a point outside of the domain, or on its boundary (RuntimeError under
                `jit`).
        """
        self._check_point(params, Natural, "to_unconstrained", "params")
        free, valid = compiled.to_unconstrained(self, params.coords)
        owner = self._owner("to_unconstrained")
        return require(free, valid, f"{owner}: `params` must be a point inside of the domain.")

    def from_unconstrained(self, free: PyTree[Array]) -> Natural[C]:
        """The point with given free parameters; the inverse of `to_unconstrained`.

        Args:
            free: as `to_unconstrained` returns them, with any finite values.

        Raises:
            TypeError: free parameters that are none of this family.
        """
        wanted = remembered(self, "free", lambda: compiled.free_parameters(self))
        leaves, structure = jax.tree.flatten(free)
        came = structure, [jnp.shape(leaf) for leaf in leaves]
        if came != wanted:
            raise TypeError(
                f"{self._owner('from_unconstrained')}: `free` must be free parameters of {self!r}, "
                f"arrays of shapes {jax.tree.unflatten(*wanted)}, but has shapes "
                f"{jax.tree.unflatten(*came)}."
            )
        return Natural(compiled.from_unconstrained(self, free))

    # ---------------------------------------------------------------- sampling and estimation

    def sample(
        self,
        key: Key[Array, ""],
        params: Natural[C],
        shape: SupportsIndex | tuple[SupportsIndex, ...] = (),
    ) -> Data:
        """Draw complete data points.

        Args:
            key: JAX random key.
            params: natural coordinates.
            shape: leading axes of the result; a number of draws n is the shape (n,).

        Returns:
            Data structured like `support`, with leading axes `shape`.
        """
        self._check_point(params, Natural, "sample", "params")
        check_key(key, self._owner("sample"))
        axes = check_axes(shape, self._owner("sample"))
        xs = compiled.sample(self, axes, key, params.coords)
        return require_counted(xs, self.support, self._owner("sample"))

    def maximum_likelihood(
        self, xs: Data, weights: Numbers | None = None, prior: Any = None
    ) -> Natural[C]:
        """The maximum-likelihood estimate from complete data.

        It has the average sufficient statistic as its mean coordinates. An event of discrete data
        that never occurred has the smallest probability that its type of numbers holds: the
        likelihood is that of probability zero, to rounding.

        Args:
            xs: rows of complete data, with one leading axis n.
            weights: n numbers, not negative; equal where not given.
            prior: conjugate prior (`ConjugatePrior`, `weak_prior`), for a MAP estimate: that of the
                rows and its imagined rows together.

        Raises:
            ValueError: where the likelihood has no maximum, e.g. a singular covariance
                (RuntimeError under `jit`); a prior of another family.
        """
        owner = self._owner("maximum_likelihood")
        xs, n = check_rows(xs, self.support, owner)
        checked = check_weights(weights, n, float, owner)
        estimate = missing.maximum_likelihood if has_gaps(xs) else compiled.maximum_likelihood
        require_prior_of(self, prior, owner)
        coords, valid = estimate(self, xs, checked, prior)
        return require(Natural(coords), valid, f"{owner}: {DEGENERATE}")

    def initialize(self, key: Key[Array, ""]) -> Natural[C]:
        """A random point of the domain, of unit scale."""
        check_key(key, self._owner("initialize"))
        return Natural(compiled.initialize(self, key))

    def initialize_from_sample(
        self, key: Key[Array, ""], xs: Data, weights: Numbers | None = None
    ) -> Natural[C]:
        """A point to start a fit from.

        Without latent variables that is the maximum-likelihood estimate; for models with latent
        variables see the class.

        Args:
            key: JAX random key.
            xs: rows of observations, with one leading axis n.
            weights: n numbers, not negative; equal where not given.
        """
        owner = self._owner("initialize_from_sample")
        check_key(key, owner)
        xs, n = check_observations(self, xs, owner)
        checked = check_weights(weights, n, float, owner)
        sketch = jax.tree.map(lambda leaf: leaf[0], sketches(self, key, xs, checked, KINDS[:1]))
        coords, valid = compiled.initialize_from_sample(self, sketch, key, xs, checked)
        return require(Natural(coords), valid, f"{owner}: no start was found; {DEGENERATE}")

    # ---------------------------------------------------------------- shared by public methods

    def _expectation(
        self, coords: C, xs: Data, weights: Float[Array, " n"] | None, block_size: int | None = None
    ) -> C:
        # The mean over rows of ∇ψ(θ | x): the expected complete statistics.
        share = compiled.shares_of(xs, weights, coords)
        return compiled.expectation(self, coords, xs, share, block_size)

    def _density_and_expectation(
        self, coords: C, xs: Data, weights: Float[Array, " n"] | None, block_size: int | None = None
    ) -> tuple[Float[Array, ""], C]:
        # The means over rows of log p(x), and of ∇ψ(θ | x).
        share = compiled.shares_of(xs, weights, coords)
        return compiled.density_and_expectation(self, coords, xs, share, block_size)

    def _objective(
        self, coords: C, xs: Data, weights: Any, prior: Any, total: Any
    ) -> Float[Array, ""]:
        # What fits maximize: the mean log-likelihood per row, with a prior plus its log-density
        # over the number of all rows. Differentiable, with exact derivatives.
        share = compiled.shares_of(xs, weights, coords)
        value = compiled.average_density(self, coords, xs, share)
        return value + compiled.log_prior(prior, self, coords, total)

    def _em_step(
        self, coords: C, xs: Data, weights: Any, prior: Any, block_size: int | None = None
    ) -> tuple[C, Float[Array, ""], Bool[Array, ""]]:
        # One EM step: the next point, the objective of the present one, whether the next is valid.
        value, means = self._density_and_expectation(coords, xs, weights, block_size)
        total = compiled.total_weight(xs, weights)
        following, valid = self._m_step(coords, means, total, prior)
        return following, value + compiled.log_prior(prior, self, coords, total), valid

    def _m_step(self, coords: C, means: C, total: Any, prior: Any) -> tuple[C, Bool[Array, ""]]:
        # The next point, from the average over rows of ∇ψ(θ | x), and whether it is valid.
        # Whitening keeps the likelihood; a prior tells latent frames apart, and sets its own.
        target = self._target(means, total, prior)
        return self._attain(coords, self._whiten(target) if prior is None else target)

    def _target(self, means: C, total: Any, prior: Any) -> C:
        # The expectations that a step goes for: those of the rows, and of the rows of a prior.
        return means if prior is None else prior._average(means, total)

    def _attain(self, coords: C, means: C) -> tuple[C, Bool[Array, ""]]:
        # The point with given expectations, searched from another one, and whether it is valid.
        following = self._maximize(means, coords)
        return following, self._in_domain(following)

    def _check_pair(self, p: Natural[C], q: Natural[C], method: str) -> None:
        self._check_point(p, Natural, method, "p")
        self._check_point(q, Natural, method, "q")

    def _to_natural(self, means: Mean[C], method: str) -> Natural[C]:
        self._check_point(means, Mean, method, "means")
        coords, valid = compiled.to_natural(self, means.coords)
        return require(
            Natural(coords),
            valid,
            f"{self._owner(method)}: `means` must lie inside the set of possible expectations, but "
            "no natural coordinates have these means up to rounding: a variance or a probability "
            "is zero or negative, or less than the rounding of the means (float64 holds more), or "
            "the numbers are not finite.",
        )

    def _per_datum(
        self, name: str, params: Natural[C], x: Data, support: Any, method: str | None = None
    ) -> Float[Array, "*batch"]:
        # The kernel "_name" of one data point, checked and mapped over leading axes of data.
        method = name if method is None else method
        self._check_point(params, Natural, method, "params")
        x, batch = check_data(x, support, self._owner(method), "x")
        return ladder.over_data(getattr(type(self), f"_{name}"), len(batch), self, params.coords, x)

    def _log_density_of(self, params: Natural[C], x: Data, method: str) -> Array:
        if has_gaps(x) and self.observed_support == self.support:
            return self._per_observation(compiled.log_observable_density, params, x, method)
        return self._per_datum("log_density", params, x, self.support, method)

    def _per_observation(self, kernel: Any, params: Natural[C], x: Data, method: str) -> Array:
        # A kernel of one observation, of which cells may be missing.
        self._check_point(params, Natural, method, "params")
        x, batch = check_observation(self, x, self._owner(method))
        return ladder.over_data(kernel, len(batch), self, params.coords, x)

    def _owner(self, method: str) -> str:
        return f"{type(self).__name__}.{method}"
