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

from ...geometry.structures import AbstractStructure, Leaf, Scale
from ..frame import rescale
from ..pairs.normal_gamma import from_usual
from ..pairs.normal_inverse_gamma import NormalInverseGamma
from ..pairs.normal_inverse_wishart import NormalInverseWishart
from ..product import Replicated
from .base import AbstractConjugacy, Counts, Scalar, positive
from .precision import PrecisionPrior

_LOG_2 = math.log(2)
_LOG_PI = math.log(math.pi)


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

    def _parts(
        self, total: Any, count: Counts
    ) -> tuple[Scalar, Float[Array, " d"], PrecisionPrior, Scalar]:
        # κ, m, the prior of P with Ψ and N, and N − ν
        location, scale = (count, count) if count.ndim == 0 else (count[0], count[1])
        mean = total.first / location
        scatter = total.second - location * self.structure.outer(mean)
        if scatter.ndim == 2:
            scatter = (scatter + scatter.T) / 2
        added = jnp.asarray(self._added(scatter), scatter.dtype)
        precision = PrecisionPrior(self.structure, self.size, scatter, scale + added)
        return location, mean, precision, added

    def _added(self, scatter: Leaf) -> float:
        # N − ν, N in units of one dimension
        return self.size + 2.0 if scatter.ndim == 2 else 1 + 2 * scatter.size / self.size

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """κ > 0, Ψ is positive definite, and N > d − 1."""
        location, mean, precision, _ = self._parts(total, count)
        located = (location > 0) & jnp.all(jnp.isfinite(mean))
        return {"count (of the location) > 0": located} | precision.conditions()

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½ d log 2π/κ, and the log-normalizer of the prior of P."""
        location, _, precision, _ = self._parts(total, count)
        return self._location_width(location) + precision.log_normalizer()

    def _location_width(self, location: Scalar) -> Scalar:
        return self.size / 2 * (_LOG_2 + _LOG_PI - jnp.log(location))

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """About the point with mean m and covariance Ψ/N, N the degrees of freedom."""
        # −½κ|Lᵀ(μ − m)|² − ½ d log 2π/κ and the log-density of P
        structure = self.structure
        location, mean, precision, added = self._parts(total, count)
        factor, inverse = structure.factors(coords.second)
        gap = structure.apply(inverse, coords.first)
        gap = gap - structure.apply_transposed(factor, mean)
        given = -0.5 * location * jnp.dot(gap, gap) - self._location_width(location)
        return given + precision.log_density(coords.second, added)

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """The normal of m' and Ψ'/N'; pulls of the prior, and how much narrower it has become."""
        # −N KL of the covariances − κ KL of the means + changes of width
        location, mean, precision, _ = self._parts(*before)
        location_after, mean_after, precision_after, _ = self._parts(*after)
        covariance = precision_after.covariance()
        end = family._from_moments(mean_after, covariance, covariance)
        gap = self.structure.apply_transposed(self.structure.factor(end.second), mean - mean_after)
        pull = 0.5 * location * jnp.dot(gap, gap) + precision.pull(end.second)
        narrower = 0.5 * self.size * jnp.log1p((location_after - location) / location)
        return end, precision_after.width() - precision.width() - narrower - pull

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Array) -> Scalar:
        """Of a multivariate t, or a product of t distributions where P is diagonal."""
        location, mean, precision, _ = self._parts(total, count)
        gap = family._enter(x) - mean
        return precision.log_predictive(gap, 1 + 1 / location) - family._log_volume

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """½ d log 2πe/κ + ½ E log |P| and the entropy of P."""
        location, _, precision, _ = self._parts(total, count)
        given = self.size / 2 + self._location_width(location) + precision.log_determinant() / 2
        return given + precision.entropy()

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """P, then Pμ = L(Lᵀm + z/√κ)."""
        first, second = jax.random.split(key)
        location, mean, precision, _ = self._parts(total, count)
        natural = precision.sample(first)
        factor = self.structure.factor(natural)
        noise = jax.random.normal(second, mean.shape, mean.dtype) / jnp.sqrt(location)
        whitened = self.structure.apply_transposed(factor, mean) + noise
        return type(total)(self.structure.apply(factor, whitened), natural)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a normal–inverse-Wishart."""
        scale = self.structure.space(self.size)
        shape = () if scale is None else scale.shape
        return {"mean": (self.size,), "count": (), "scale": shape, "freedom": ()}

    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """m, κ, Ψ, and the degrees of freedom: of P = tI twice the shape of t, with Ψ = tr Ψ."""
        location, mean, precision, _ = self._parts(total, count)
        scale, freedom = usual_scale(family, precision)
        return {"mean": _leave(family, mean), "count": location, "scale": scale, "freedom": freedom}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Any, Counts]:
        """The inverse, with two counts."""
        location, mean = values["count"], family._enter(values["mean"])
        scatter, freedom = from_usual_scale(family, values)
        total = type(family.spaces)(
            location * mean, scatter + location * self.structure.outer(mean)
        )
        return total, jnp.stack([location, freedom - self._added(scatter)])

    def distribution(self, family: Any, total: Any, count: Counts) -> tuple[Any, Any] | None:
        """Of mean and covariance, or of each mean and variance; none if all share a variance."""
        precision = self._parts(total, count)[2]
        if precision.copies > 1:
            return None
        usual = self.hyperparameters(family, total, count)
        mean, location, freedom = usual["mean"], usual["count"], usual["freedom"]
        if precision.is_full:
            own = NormalInverseWishart(self.size)
            args = mean, location, usual["scale"], freedom
            return own, own.from_location_count_scale_freedom(*args).coords
        scales = jnp.broadcast_to(usual["scale"], mean.shape) / 2
        each = jax.vmap(lambda m, s: from_usual(m, location, freedom / 2, s)[0])
        return Replicated(NormalInverseGamma(), self.size), each(mean, scales)

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


def usual_scale(family: Any, precision: PrecisionPrior) -> tuple[Leaf, Scalar]:
    """Ψ in the units of the data, and the degrees of freedom: of P = tI twice the shape of t."""
    scale = precision.scatter
    if family.frame is not None:
        scale = rescale(scale, family.frame.scale)
    return scale, precision.copies * precision.freedom


def from_usual_scale(family: Any, values: dict[str, Array]) -> tuple[Leaf, Scalar]:
    """The inverse: Ψ in the frame of the family, and N, of `scale` and `freedom`."""
    scatter = values["scale"]
    if family.frame is not None:
        scatter = rescale(scatter, 1 / family.frame.scale)
    copies = 1 if scatter.ndim == 2 else family.size // scatter.size
    return scatter, values["freedom"] / copies


def _leave(family: Any, mean: Array) -> Array:
    return mean if family.frame is None else family.frame.leave(mean)
