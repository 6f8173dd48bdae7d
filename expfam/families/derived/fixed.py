"""Parameters that are fixed: the shape or rate of a gamma, the mean or covariance of a normal."""

from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.spaces import Euclidean
from ...geometry.structures import Identity, Leaf
from ..conjugacy.known_normal import KnownCovariance, KnownMean
from ..conjugacy.rate import Rate
from ..positive.gamma import Gamma, GammaCoords
from ..real.normal import Normal, NormalCoords
from ..special.gamma import inverse_digamma
from .bijections import as_floats, check_positive
from .restrictions import AbstractRestriction, maximize_average, require_base


@final
class FixedShape(AbstractRestriction):
    """Gammas of a fixed shape k: τ = −β, with statistic x.

    Attributes:
        shape: k, positive.
    """

    shape: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a shape that is not positive."""
        check_positive(self.shape, "FixedShape", "shape")

    @property
    def _conjugacy(self) -> Rate:
        return Rate(self.shape)

    def check(self, base: Any) -> None:
        """Refuse what is not a gamma."""
        require_base(base, Gamma, self, "Gamma()")

    def spaces(self, base: Any) -> Euclidean:
        """ℝ."""
        return Euclidean(())

    def embed(self, base: Any, coords: Array) -> GammaCoords:
        """(τ, k)."""
        return GammaCoords(coords, jnp.asarray(self.shape, coords.dtype))

    def project(self, base: Any, means: GammaCoords) -> Array:
        """E[x]."""
        return means.value

    def maximize(self, base: Any, means: Array, start: Any) -> Array:
        """−k/E[x]."""
        return -self.shape / means

    def estimate(self, base: Any, xs: Array, shares: Array) -> Array:
        """From the average statistic."""
        return maximize_average(self, base, xs, shares)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """The logarithm of β."""
        return jnp.log(-coords)

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """The inverse."""
        return -jnp.exp(free)


@final
class FixedRate(AbstractRestriction):
    """Gammas of a fixed rate β: τ = k, with statistic log x.

    Attributes:
        rate: β, positive.
    """

    rate: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a rate that is not positive."""
        check_positive(self.rate, "FixedRate", "rate")

    def check(self, base: Any) -> None:
        """Refuse what is not a gamma."""
        require_base(base, Gamma, self, "Gamma()")

    def spaces(self, base: Any) -> Euclidean:
        """ℝ."""
        return Euclidean(())

    def embed(self, base: Any, coords: Array) -> GammaCoords:
        """(−β, τ)."""
        return GammaCoords(jnp.asarray(-self.rate, coords.dtype), coords)

    def project(self, base: Any, means: GammaCoords) -> Array:
        """E[log x]."""
        return means.logarithm

    def maximize(self, base: Any, means: Array, start: Any) -> Array:
        """k with digamma(k) = E[log x] + log β."""
        return inverse_digamma(means + jnp.log(jnp.asarray(self.rate, means.dtype)))

    def estimate(self, base: Any, xs: Array, shares: Array) -> Array:
        """From the average statistic."""
        return maximize_average(self, base, xs, shares)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """The logarithm of k."""
        return jnp.log(coords)

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """The inverse."""
        return jnp.exp(free)


@final
class ZeroMean(AbstractRestriction):
    """Normals of mean zero: τ = −½Σ⁻¹ as the covariance structure stores it, with statistic xxᵀ."""

    @property
    def _conjugacy(self) -> KnownMean:
        return KnownMean()

    def check(self, base: Any) -> None:
        """Refuse what is not a normal with a free covariance."""
        require_base(base, Normal, self, "a Normal")
        if base.structure == Identity():
            raise ValueError("ZeroMean: a Normal with `Identity` has nothing left to vary.")

    def spaces(self, base: Any) -> Any:
        """That of the covariance structure."""
        return base.structure.space(base.size)

    def embed(self, base: Any, coords: Array) -> NormalCoords:
        """(0, τ)."""
        return NormalCoords(jnp.zeros((base.size,), coords.dtype), coords)

    def project(self, base: Any, means: NormalCoords) -> Array:
        """E[xxᵀ]."""
        return means.second

    def maximize(self, base: Any, means: Array, start: Any) -> Array:
        """−½E[xxᵀ]⁻¹."""
        structure = base.structure
        return structure.from_factor(structure.precision_factor(means, means, base.size))

    def estimate(self, base: Any, xs: Array, shares: Array) -> Array:
        """From the average statistic."""
        return maximize_average(self, base, xs, shares)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """That of the precision factor."""
        return base.structure.to_unconstrained(base.structure.factor(coords))

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """The inverse."""
        return base.structure.from_factor(base.structure.from_unconstrained(free))


@final
class FixedCovariance(AbstractRestriction):
    """Normals of a fixed covariance Σ: τ = Σ⁻¹μ, with statistic x.

    Attributes:
        covariance: Σ, as `Normal.from_mean_covariance` takes it: a matrix, variances, or one
            variance.
    """

    covariance: Float[Array, "..."] = eqx.field(converter=as_floats)

    @property
    def _conjugacy(self) -> KnownCovariance:
        return KnownCovariance()

    def check(self, base: Any) -> None:
        """Refuse what is not a normal whose covariances are given like this one."""
        require_base(base, Normal, self, "a Normal")
        space = base.structure.space(base.size)
        if space is None or self.covariance.shape != space.shape:
            raise ValueError(
                f"FixedCovariance: `covariance` must be one of {base!r}, of shape "
                f"{None if space is None else space.shape}, but has shape {self.covariance.shape}."
            )

    def spaces(self, base: Any) -> Euclidean:
        """ℝᵈ."""
        return Euclidean((base.size,))

    def embed(self, base: Any, coords: Array) -> NormalCoords:
        """(τ, −½Σ⁻¹)."""
        return NormalCoords(coords, base.structure.from_factor(self._factor(base, coords)))

    def project(self, base: Any, means: NormalCoords) -> Array:
        """E[x]."""
        return means.first

    def maximize(self, base: Any, means: Array, start: Any) -> Array:
        """Σ⁻¹E[x]."""
        factor = self._factor(base, means)
        return base.structure.apply(factor, base.structure.apply_transposed(factor, means))

    def estimate(self, base: Any, xs: Array, shares: Array) -> Array:
        """From the mean of the rows."""
        # The mean about a first mean: the first one carries the rounding of a long sum.
        parts = shares.astype(xs.dtype)
        mean = parts @ xs
        return self.maximize(base, mean + parts @ (xs - mean), None)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """τ itself."""
        return coords

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """τ itself."""
        return free

    def _factor(self, base: Any, like: Array) -> Leaf:
        # of the precision; a covariance that is given is exact
        leaf = self.covariance.astype(like.dtype)
        leaf = leaf * base.size if leaf.ndim == 0 else leaf
        return base.structure.precision_factor(leaf, leaf, base.size)
