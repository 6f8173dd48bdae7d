"""Priors of normals: of the mean, given the covariance or along with it.

With location count κ, scale count ν, m = φ₁/κ and the scatter Ψ = φ₂ − κmmᵀ, the density is

    exp(−½κ (μ − m)ᵀP(μ − m) − ½ tr ΨP) |P|^(ν/2)

in the precision P = −2Θ: given P, the mean μ is normal around m with precision κP, and P is Wishart
with N = ν + d + 2 degrees of freedom and scale matrix Ψ⁻¹ (a diagonal has a gamma with shape
(ν + 3)/2 and rate Ψ_i/2 for every coordinate; P = tI has one with shape (d(ν + 1) + 2)/2 and rate
tr Ψ/2). One count, κ = ν, is the prior of Diaconis & Ylvisaker.
"""

import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.duality import bregman_divergence
from ...geometry.linalg import cholesky, factorize
from ...geometry.structures import AbstractStructure, Leaf, Scale
from ..frame import rescale
from ..matrices.wishart import Wishart, WishartCoords
from ..pairs.normal_gamma import from_usual
from ..pairs.normal_inverse_gamma import NormalInverseGamma
from ..pairs.normal_inverse_wishart import NormalInverseWishart
from ..positive.gamma import Gamma, GammaCoords
from ..product import Replicated
from ..special.gamma import factorial_remainder, log_rise
from .base import AbstractConjugacy, Counts, Scalar, positive

_LOG_2 = math.log(2)
_LOG_PI = math.log(math.pi)
_GAMMA = Gamma()


@final
class Location(AbstractConjugacy):
    """Priors of the mean of a normal with unit covariance: normal around φ/ν, with variance 1/ν."""

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """The precision is positive."""
        return positive(precision=count)

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½|φ|²/ν + ½ d log 2π/ν."""
        half = family.size / 2
        return (
            jnp.dot(total.first, total.first) / (2 * count)
            - half * jnp.log(count)
            + (half * (_LOG_2 + _LOG_PI))
        )

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """−½ν|θ − m|² − ½ d log 2π/ν."""
        gap = coords.first - total.first / count
        width = family.size / 2 * (_LOG_2 + _LOG_PI - jnp.log(count))
        return -0.5 * count * jnp.dot(gap, gap) - width

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """m', and −½ν|m − m'|² − ½ d log ν'/ν."""
        (total, count), (total_after, count_after) = before, after
        mean = total_after.first / count_after
        gap = total.first / count - mean
        narrower = jnp.log1p((count_after - count) / count)
        remainder = -0.5 * count * jnp.dot(gap, gap) - family.size / 2 * narrower
        return type(total)(mean, None), remainder

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Array) -> Scalar:
        """Normal around m, with variance 1 + 1/ν."""
        gap = family._enter(x) - total.first / count
        variance = 1 + 1 / count
        constant = family.size / 2 * (_LOG_2 + _LOG_PI + jnp.log(variance))
        return -0.5 * jnp.dot(gap, gap) / variance - constant - family._log_volume

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½ d log 2πe/ν."""
        return family.size / 2 * (1 + _LOG_2 + _LOG_PI - jnp.log(count))

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """A normal vector."""
        noise = jax.random.normal(key, total.first.shape, total.first.dtype)
        return type(total)(total.first / count + noise / jnp.sqrt(count), None)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a normal."""
        return {"mean": (family.size,), "precision": ()}

    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """Mean and precision of μ."""
        return {"mean": _leave(family, total.first / count), "precision": count}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Any, Counts]:
        """The inverse."""
        first = values["precision"] * family._enter(values["mean"])
        return type(family.spaces)(first, None), values["precision"]

    def distribution(self, family: Any, total: Any, count: Counts) -> tuple[Any, Any]:
        """A normal, of the natural coordinates μ."""
        return type(family)(family.size, Scale()), type(total)(total.first, -count / 2)


@final
class LocationScale(AbstractConjugacy):
    """Priors of mean and covariance: normal–Wishart, or normal–gamma.

    Attributes:
        size: dimension d.
        structure: the covariance structure of the family.
    """

    size: int = eqx.field(static=True)
    structure: AbstractStructure

    @property
    def n_counts(self) -> int:
        """2."""
        return 2

    def _parts(self, total: Any, count: Counts) -> tuple[Array, Array, Leaf, Array, Array]:
        # κ, m, Ψ as a mean leaf, N in units of one dimension, and N − ν
        location, scale = (count, count) if count.ndim == 0 else (count[0], count[1])
        mean = total.first / location
        scatter = total.second - location * self.structure.outer(mean)
        if scatter.ndim == 2:
            scatter = (scatter + scatter.T) / 2
        added = jnp.asarray(self._added(scatter), scatter.dtype)
        return location, mean, scatter, scale + added, added

    def _added(self, scatter: Leaf) -> float:
        # N − ν, N in units of one dimension
        return self.size + 2.0 if scatter.ndim == 2 else 1 + 2 / self._copies(scatter)

    def _copies(self, scatter: Leaf) -> int:
        # dimensions that share one entry of a diagonal
        return self.size // scatter.size

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """κ > 0, Ψ is positive definite, and N > d − 1."""
        location, mean, scatter, freedom, _ = self._parts(total, count)
        definite = scatter > 0 if scatter.ndim < 2 else jnp.isfinite(cholesky(scatter))
        least = self.size - 1 if scatter.ndim == 2 else 0
        return {
            "count (of the location) > 0": (location > 0) & jnp.all(jnp.isfinite(mean)),
            "scale positive definite": jnp.all(definite),
            f"freedom > {least}": (freedom > least) & jnp.isfinite(freedom),
        }

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½ d log 2π/κ, and the log-normalizer of the prior of P."""
        location, _, scatter, freedom, _ = self._parts(total, count)
        width = self._log_volume(scatter) + self.size / 2 * (_LOG_2 + _LOG_PI - jnp.log(location))
        return width + _log_normalizer(self._precision(scatter, freedom))

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """About the point with mean m and covariance Ψ/N, N the degrees of freedom."""
        # −½κ|Lᵀ(μ − m)|² − N KL(Ψ/N ‖ P⁻¹) − (N − ν) log|L| − width
        structure, size = self.structure, self.size
        location, mean, scatter, freedom, added = self._parts(total, count)
        factor, inverse = structure.factors(coords.second)
        gap = structure.apply(inverse, coords.first)
        gap = gap - structure.apply_transposed(factor, mean)
        middle = self._middle(family, total, count).second
        pull = 0.5 * location * jnp.dot(gap, gap) + freedom * self._scale_divergence(
            middle, coords.second
        )
        width = size / 2 * (_LOG_2 + _LOG_PI - jnp.log(location)) + self._log_volume(scatter)
        width = width + self._width(scatter, freedom)
        if scatter.ndim == 2:
            width = width + size * (size - 1) / 4 * _LOG_PI
        return -pull - added * structure.log_det(factor, size) - width

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """The normal of m' and Ψ'/N'; pulls of the prior, and how much narrower it has become."""
        # −N KL of the covariances − κ KL of the means + changes of width
        location, mean, scatter, freedom, _ = self._parts(*before)
        location_after, mean_after, scatter_after, freedom_after, _ = self._parts(*after)
        start, end = (self._middle(family, *one) for one in (before, after))
        gap = self.structure.apply_transposed(self.structure.factor(end.second), mean - mean_after)
        pull = 0.5 * location * jnp.dot(gap, gap) + freedom * self._scale_divergence(
            start.second, end.second
        )
        narrower = 0.5 * self.size * jnp.log1p((location_after - location) / location)
        change = self._width(scatter_after, freedom_after) - self._width(scatter, freedom)
        return end, change - narrower - pull

    def _middle(self, family: Any, total: Any, count: Counts) -> Any:
        # the normal with mean m and covariance Ψ/N
        _, mean, scatter, freedom, _ = self._parts(total, count)
        return family._from_moments(mean, scatter / freedom, scatter / freedom)

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Array) -> Scalar:
        """Of a multivariate t, or a product of t distributions where P is diagonal."""
        location, mean, scatter, freedom, _ = self._parts(total, count)
        gap = family._enter(x) - mean
        grown = 1 + 1 / location
        if scatter.ndim == 2:
            # log |Ψ'|/|Ψ| = log(1 + gapᵀΨ⁻¹gap κ/(κ + 1))
            size = self.size
            factor, inverse = factorize(scatter)
            whitened = inverse @ gap
            distance = jnp.dot(whitened, whitened) / grown
            log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
            rise = log_rise((freedom + 1 - size) / 2, jnp.asarray(size / 2, freedom.dtype))
            constant = size / 2 * (_LOG_PI + jnp.log(grown)) + 0.5 * log_det
            value = rise - constant - (freedom + 1) / 2 * jnp.log1p(distance)
        else:
            half = jnp.asarray(self._copies(scatter) / 2, freedom.dtype)
            shape = half * freedom
            distance = self.structure.outer(gap) / (scatter * grown)
            constant = half * (_LOG_PI + jnp.log(scatter * grown))
            fit = (shape + half) * jnp.log1p(distance)
            value = jnp.sum(log_rise(shape, half) - constant - fit)
        return value - family._log_volume

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½ d log 2πe/κ + ½ E log |P| and the entropy of P."""
        location, _, scatter, freedom, _ = self._parts(total, count)
        prior = self._precision(scatter, freedom)
        if isinstance(prior, WishartCoords):
            own = Wishart(self.size)
            log_det = jax.grad(own._log_normalizer)(prior).log_determinant
            entropy = own._entropy(prior)
        else:
            log_det = self._copies(scatter) * jnp.sum(_GAMMA._mean_logarithm(prior))
            entropy = jnp.sum(_GAMMA._entropy(prior))
        given = self.size / 2 * (1 + _LOG_2 + _LOG_PI - jnp.log(location)) + log_det / 2
        return given + entropy + self._log_volume(scatter)

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """P, then Pμ = L(Lᵀm + z/√κ)."""
        first, second = jax.random.split(key)
        location, mean, scatter, freedom, _ = self._parts(total, count)
        prior = self._precision(scatter, freedom)
        if isinstance(prior, WishartCoords):
            precision = Wishart(self.size)._sample(first, prior)
        else:
            logs = jax.random.loggamma(first, prior.logarithm, dtype=scatter.dtype)
            precision = jnp.exp(logs) / -prior.value
        factor = self.structure.factor(-precision / 2)
        noise = jax.random.normal(second, mean.shape, mean.dtype) / jnp.sqrt(location)
        whitened = self.structure.apply_transposed(factor, mean) + noise
        return type(total)(self.structure.apply(factor, whitened), -precision / 2)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a normal–inverse-Wishart."""
        scale = self.structure.space(self.size)
        shape = () if scale is None else scale.shape
        return {"mean": (self.size,), "count": (), "scale": shape, "freedom": ()}

    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """m, κ, Ψ, and the degrees of freedom: of P = tI twice the shape of t, with Ψ = tr Ψ."""
        location, mean, scatter, freedom, _ = self._parts(total, count)
        copies = 1 if scatter.ndim == 2 else self._copies(scatter)
        scale = scatter if family.frame is None else rescale(scatter, family.frame.scale)
        return {
            "mean": _leave(family, mean),
            "count": location,
            "scale": scale,
            "freedom": copies * freedom,
        }

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Any, Counts]:
        """The inverse, with two counts."""
        location, scatter = values["count"], values["scale"]
        mean = family._enter(values["mean"])
        if family.frame is not None:
            scatter = rescale(scatter, 1 / family.frame.scale)
        copies = 1 if scatter.ndim == 2 else self._copies(scatter)
        total = type(family.spaces)(
            location * mean, scatter + location * self.structure.outer(mean)
        )
        return total, jnp.stack([location, values["freedom"] / copies - self._added(scatter)])

    def distribution(self, family: Any, total: Any, count: Counts) -> tuple[Any, Any] | None:
        """Of mean and covariance, or of each mean and variance; none if all share a variance."""
        scatter = self._parts(total, count)[2]
        if scatter.ndim < 2 and self._copies(scatter) > 1:
            return None
        usual = self.hyperparameters(family, total, count)
        mean, location, freedom = usual["mean"], usual["count"], usual["freedom"]
        if scatter.ndim == 2:
            own = NormalInverseWishart(self.size)
            args = mean, location, usual["scale"], freedom
            return own, own.from_location_count_scale_freedom(*args).coords
        scales = jnp.broadcast_to(usual["scale"], mean.shape) / 2
        each = jax.vmap(lambda m, s: from_usual(m, location, freedom / 2, s)[0])
        return Replicated(NormalInverseGamma(), self.size), each(mean, scales)

    def _precision(self, scatter: Leaf, freedom: Array) -> Any:
        # natural coordinates of the prior of P; those of gammas have the shape of the scatter
        if scatter.ndim == 2:
            return WishartCoords(-scatter / 2, freedom / 2)
        shape = freedom * self._copies(scatter) / 2
        return GammaCoords(-scatter / 2, jnp.broadcast_to(shape, scatter.shape))

    def to_means(self, total: Any, count: Counts) -> Any:
        """Mean coordinates of the mode, with two counts: m, and Ψ/ν + mmᵀ."""
        mean = total.first / count[0]
        outer = self.structure.outer(mean)
        return type(total)(mean, (total.second - count[0] * outer) / count[1] + outer)

    def from_means(self, means: Any, count: Counts) -> Any:
        """The inverse."""
        outer = self.structure.outer(means.first)
        second = count[1] * (means.second - outer) + count[0] * outer
        return type(means)(count[0] * means.first, second)

    def normalizers(self, coords: Any) -> Float[Array, "2"]:
        """The terms of ψ that the two counts weigh: ½ μᵀPμ and −½ log |P|."""
        factor, inverse = self.structure.factors(coords.second)
        whitened = self.structure.apply(inverse, coords.first)
        log_det = self.structure.log_det(factor, self.size)
        return jnp.stack([0.5 * jnp.dot(whitened, whitened), -jnp.asarray(log_det)])

    def _scale_divergence(self, start: Leaf, end: Leaf) -> Scalar:
        # KL of the centered normals with these second-order natural leaves
        def potential(second: Leaf) -> Scalar:
            return -jnp.asarray(self.structure.log_det(self.structure.factor(second), self.size))

        return bregman_divergence(potential, end, start)

    def _width(self, scatter: Leaf, freedom: Array) -> Scalar:
        # log Γ_d(a) − d (a log a − a) with a = N/2, up to a constant: the sum over i = 0 … d − 1 of
        # R(a) − log a less log Γ(a)/Γ(a − i/2). For gammas, R(a) − log a.
        if scatter.ndim < 2:
            shape = freedom * self._copies(scatter) / 2
            return scatter.size * (factorial_remainder(shape) - jnp.log(shape))
        half, size = freedom / 2, scatter.shape[0]
        steps = jnp.arange(size, dtype=half.dtype) / 2
        rises = jnp.sum(log_rise(half - steps, steps))
        return size * (factorial_remainder(half) - jnp.log(half)) - rises

    def _log_volume(self, scatter: Leaf) -> float:
        # log |dΘ/dP| of packed entries, Θ = −P/2
        if scatter.ndim == 2:
            return -self.size * (self.size + 3) / 4 * _LOG_2
        return scatter.size * (0.5 * math.log(self._copies(scatter)) - _LOG_2)


def _log_normalizer(prior: Any) -> Scalar:
    if isinstance(prior, WishartCoords):
        return Wishart(prior.matrix.shape[0])._log_normalizer(prior)
    return jnp.sum(_GAMMA._log_normalizer(prior))


def _leave(family: Any, mean: Array) -> Array:
    return mean if family.frame is None else family.frame.leave(mean)
