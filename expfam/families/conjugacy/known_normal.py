"""Priors of normals of which the mean, or the covariance, is known.

Around a known mean, a prior with φ and ν has the density exp(−½ tr φP) |P|^(ν/2) in the precision
P = −2Θ, so that P has the prior of `precision` with Ψ = φ and N = ν + d + 1 degrees of freedom
(N = ν + 2 for a diagonal, ν + 2/d for P = tI). With a known covariance Σ, the mean is normal around
φ/ν with covariance Σ/ν.
"""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.structures import Leaf
from ..matrices.inverse_wishart import InverseWishart
from ..matrices.wishart import WishartCoords
from ..positive.gamma import GammaCoords
from ..positive.inverse_gamma import InverseGamma
from ..product import Replicated
from ..special.constants import LOG_2_PI
from .base import AbstractConjugacy, Counts, Scalar, positive
from .location_scale import from_usual_scale, usual_scale
from .precision import PrecisionPrior


@final
class KnownMean(AbstractConjugacy):
    """Priors of the covariance of a normal with mean zero; inverse Wishart, or inverse gamma."""

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def _prior(self, family: Any, total: Leaf, count: Counts) -> PrecisionPrior:
        scatter = (total + total.T) / 2 if total.ndim == 2 else total
        normal = family.base
        return PrecisionPrior(
            normal.structure, normal.size, scatter, count + _added(normal, scatter)
        )

    def conditions(self, family: Any, total: Leaf, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Ψ is positive definite, and N > d − 1."""
        return self._prior(family, total, count).conditions()

    def log_normalizer(self, family: Any, total: Leaf, count: Counts) -> Scalar:
        """That of the prior of P."""
        return self._prior(family, total, count).log_normalizer()

    def log_density(self, family: Any, total: Leaf, count: Counts, coords: Leaf) -> Scalar:
        """About the point with covariance Ψ/N."""
        prior = self._prior(family, total, count)
        return prior.log_density(coords, _added(family.base, prior.scatter))

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Leaf, Scalar]:
        """The normal with covariance Ψ'/N'; −N KL of the covariances, and changes of width."""
        start, end = (self._prior(family, *one) for one in (before, after))
        middle = end.middle()
        return middle, end.width() - start.width() - start.pull(middle)

    def log_predictive(self, family: Any, total: Leaf, count: Counts, x: Array) -> Scalar:
        """Of a multivariate t, or a product of t distributions where P is diagonal."""
        gap = family.base._enter(x)
        value = self._prior(family, total, count).log_predictive(gap, jnp.ones((), gap.dtype))
        return value - family.base._log_volume

    def entropy(self, family: Any, total: Leaf, count: Counts) -> Scalar:
        """That of P, in other units."""
        return self._prior(family, total, count).entropy()

    def sample(self, family: Any, key: Key[Array, ""], total: Leaf, count: Counts) -> Leaf:
        """−½ times a draw of P."""
        return self._prior(family, total, count).sample(key)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of an inverse Wishart."""
        return {"scale": family.spaces.shape, "freedom": ()}

    def hyperparameters(self, family: Any, total: Leaf, count: Counts) -> dict[str, Array]:
        """Ψ, and the degrees of freedom: of P = tI twice the shape of t, with Ψ = tr Ψ."""
        scale, freedom = usual_scale(family.base, self._prior(family, total, count))
        return {"scale": scale, "freedom": freedom}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Leaf, Counts]:
        """The inverse."""
        scatter, freedom = from_usual_scale(family.base, values)
        return scatter, freedom - _added(family.base, scatter)

    def distribution(self, family: Any, total: Leaf, count: Counts) -> tuple[Any, Any]:
        """Of the covariance, of each variance, or of the one variance."""
        usual = self.hyperparameters(family, total, count)
        half, shape = usual["scale"] / 2, usual["freedom"] / 2
        if half.ndim == 2:
            return InverseWishart(family.base.size), WishartCoords(-half, shape)
        coords = GammaCoords(-half, jnp.broadcast_to(shape, half.shape))
        own = InverseGamma()
        return (Replicated(own, half.size) if half.ndim else own), coords


@final
class KnownCovariance(AbstractConjugacy):
    """Priors of the mean of a normal with a given covariance Σ: normal around φ/ν, with Σ/ν."""

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def _factors(self, family: Any, total: Array) -> tuple[Leaf, Leaf]:
        # L of the precision Σ⁻¹ = LLᵀ, and L⁻¹
        return family.base.structure.factors(family._embed(total).second)

    def _whiten(self, family: Any, total: Array, x: Array) -> Array:
        # Lᵀx
        return family.base.structure.apply_transposed(self._factors(family, total)[0], x)

    def _log_det(self, family: Any, total: Array) -> Array:
        # log|L|
        return family.base.structure.log_det(self._factors(family, total)[0], family.base.size)

    def conditions(self, family: Any, total: Array, count: Counts) -> dict[str, Bool[Array, ""]]:
        """The count is positive."""
        return positive(count=count)

    def log_normalizer(self, family: Any, total: Array, count: Counts) -> Scalar:
        """½ φᵀΣ⁻¹φ/ν + ½ d log 2π/ν − ½ (ν + 1) log |Σ|."""
        pull = self._whiten(family, total, total)
        width = family.base.size / 2 * (LOG_2_PI - jnp.log(count))
        return (
            jnp.dot(pull, pull) / (2 * count) + width + (count + 1) * self._log_det(family, total)
        )

    def log_density(self, family: Any, total: Array, count: Counts, coords: Array) -> Scalar:
        """−½ν|L⁻¹θ − Lᵀm|² − ½ d log 2π/ν − log |L|."""
        _, inverse = self._factors(family, total)
        gap = family.base.structure.apply(inverse, coords) - self._whiten(
            family, total, total / count
        )
        width = family.base.size / 2 * (LOG_2_PI - jnp.log(count))
        return -0.5 * count * jnp.dot(gap, gap) - width - self._log_det(family, total)

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Array, Scalar]:
        """Σ⁻¹m', and −½ν|Lᵀ(m − m')|² − ½ d log ν'/ν."""
        (total, count), (total_after, count_after) = before, after
        mean = total_after / count_after
        gap = self._whiten(family, total, total / count - mean)
        narrower = jnp.log1p((count_after - count) / count)
        remainder = -0.5 * count * jnp.dot(gap, gap) - family.base.size / 2 * narrower
        return self._pull(family, total, mean), remainder

    def _pull(self, family: Any, total: Array, mean: Array) -> Array:
        # Σ⁻¹m
        factor = self._factors(family, total)[0]
        return family.base.structure.apply(factor, self._whiten(family, total, mean))

    def log_predictive(self, family: Any, total: Array, count: Counts, x: Array) -> Scalar:
        """Normal around m, with covariance (1 + 1/ν)Σ."""
        gap = self._whiten(family, total, family.base._enter(x) - total / count)
        grown = 1 + 1 / count
        constant = family.base.size / 2 * (LOG_2_PI + jnp.log(grown)) + family.base._log_volume
        return self._log_det(family, total) - 0.5 * jnp.dot(gap, gap) / grown - constant

    def entropy(self, family: Any, total: Array, count: Counts) -> Scalar:
        """½ d log 2πe/ν + log |L|."""
        width = family.base.size / 2 * (1 + LOG_2_PI - jnp.log(count))
        return width + self._log_det(family, total)

    def sample(self, family: Any, key: Key[Array, ""], total: Array, count: Counts) -> Array:
        """L(Lᵀm + z/√ν)."""
        noise = jax.random.normal(key, total.shape, total.dtype) / jnp.sqrt(count)
        whitened = self._whiten(family, total, total / count) + noise
        return family.base.structure.apply(self._factors(family, total)[0], whitened)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a mean that is worth some rows."""
        return {"mean": (family.base.size,), "count": ()}

    def hyperparameters(self, family: Any, total: Array, count: Counts) -> dict[str, Array]:
        """The mean of μ, and ν: the covariance of μ is Σ/ν."""
        mean, frame = total / count, family.base.frame
        return {"mean": mean if frame is None else frame.leave(mean), "count": count}

    def from_hyperparameters(
        self, family: Any, values: dict[str, Float[Array, "..."]]
    ) -> tuple[Array, Counts]:
        """The inverse."""
        return values["count"] * family.base._enter(values["mean"]), values["count"]

    def distribution(self, family: Any, total: Array, count: Counts) -> tuple[Any, Any]:
        """A normal, of the mean."""
        coords = family._embed(self._pull(family, total, total))
        return family.base, type(coords)(coords.first, coords.second * count)


def _added(normal: Any, scatter: Leaf) -> float:
    # N − ν, N in units of one dimension
    return normal.size + 1.0 if scatter.ndim == 2 else 2 * scatter.size / normal.size
