"""Restrictions of natural coordinates: θ = Aτ + b, with some of them fixed or tied.

A restriction says how τ is embedded in the coordinates of a base family, and how points of its
domain are found. `SubFamily` makes a family of it.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ...geometry.duality import invert_gradient
from ...geometry.points import pairing
from ...geometry.spaces import Euclidean, is_space
from ...geometry.structures import Identity, Leaf
from .. import compiled
from ..conjugacy.rate import Rate
from ..positive.gamma import Gamma, GammaCoords
from ..product import Replicated
from ..real.normal import Normal, NormalCoords
from ..special.gamma import inverse_digamma
from .bijections import as_floats, check_positive


class AbstractRestriction(eqx.Module):
    """An affine map θ = Aτ + b into the natural coordinates of a base family.

    A restriction may have an attribute `_conjugacy` besides, as families do.
    """

    @abstractmethod
    def check(self, base: Any) -> None:
        """Refuse a base family that the restriction does not apply to."""

    @abstractmethod
    def spaces(self, base: Any) -> Any:
        """The spaces of τ."""

    @abstractmethod
    def embed(self, base: Any, coords: Any) -> Any:
        """Aτ + b, in natural coordinates of the base."""

    @abstractmethod
    def project(self, base: Any, means: Any) -> Any:
        """Aᵀη, of mean coordinates of the base."""

    @abstractmethod
    def maximize(self, base: Any, means: Any, start: Any) -> Any:
        """τ with Aᵀ∇ψ(Aτ + b) = Aᵀη; `start` is a first guess, or `None`."""

    @abstractmethod
    def estimate(self, base: Any, xs: Any, shares: Float[Array, " n"]) -> Any:
        """The maximum of the likelihood of rows."""

    @abstractmethod
    def to_unconstrained(self, base: Any, coords: Any) -> PyTree[Array]:
        """Free parameters of τ, of any real value."""

    @abstractmethod
    def from_unconstrained(self, base: Any, free: PyTree[Array]) -> Any:
        """τ with the given free parameters."""


def _from_average(restriction: AbstractRestriction, base: Any, xs: Any, shares: Array) -> Any:
    average = compiled.weighted_average(base, xs, shares)
    return restriction.maximize(base, restriction.project(base, average), None)


@final
class AffineRestriction(AbstractRestriction):
    """Any affine restriction, θ = b + Σ_j τ_j a_j.

    Means are inverted by a convex solve. The free parameters are τ + Aᵀ∇ψ(Aτ + b), the gradient of
    a convex function that takes every value once.

    Attributes:
        directions: a_j, coordinates of the base with a leading axis.
        offset: b, coordinates of the base.
        start: τ of a point of the domain, where solves begin; zeros by default.
    """

    directions: Any
    offset: Any
    start: Any = None

    def check(self, base: Any) -> None:
        """Refuse directions and an offset that are not structured like the base."""
        leaves, treedef = jax.tree.flatten(base.spaces, is_leaf=is_space)
        shapes = [space.shape for space in leaves]
        try:
            offset = [jnp.shape(leaf) for leaf in treedef.flatten_up_to(self.offset)]
            directions = [jnp.shape(leaf) for leaf in treedef.flatten_up_to(self.directions)]
        except (ValueError, TypeError):
            offset, directions = None, [()]
        count = directions[0][:1]
        if offset != shapes or not count or directions != [count + shape for shape in shapes]:
            raise ValueError(
                "AffineRestriction: `offset` must be structured like natural coordinates of the "
                f"base, with shapes {shapes}, and `directions` likewise with one leading axis."
            )

    @property
    def count(self) -> int:
        """Number of directions."""
        return jax.tree.leaves(self.directions)[0].shape[0]

    def spaces(self, base: Any) -> Euclidean:
        """One number for each direction."""
        return Euclidean((self.count,))

    def embed(self, base: Any, coords: Array) -> Any:
        """b + Σ_j τ_j a_j."""
        return jax.tree.map(
            lambda b, a: (
                jnp.asarray(b, coords.dtype)
                + jnp.tensordot(coords, jnp.asarray(a, coords.dtype), axes=1)
            ),
            self.offset,
            self.directions,
        )

    def project(self, base: Any, means: Any) -> Array:
        """⟨a_j, η⟩ for every direction."""
        pairings = jax.vmap(lambda direction: pairing(direction, means))(self.directions)
        return pairings.astype(compiled.dtype_of(means))

    def maximize(self, base: Any, means: Array, start: Any) -> Array:
        """A convex solve."""
        begin = self._origin(means) if start is None else start
        return invert_gradient(lambda c: self._log_normalizer(base, c), means, begin)

    def estimate(self, base: Any, xs: Any, shares: Array) -> Array:
        """From the average statistic."""
        return _from_average(self, base, xs, shares)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """The gradient of ψ + ½τ²."""
        return jax.grad(lambda c: self._log_normalizer(base, c))(coords) + coords

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """The inverse, by a convex solve."""
        return invert_gradient(
            lambda c: self._log_normalizer(base, c) + 0.5 * jnp.dot(c, c), free, self._origin(free)
        )

    def _log_normalizer(self, base: Any, coords: Array) -> Array:
        return base._log_normalizer(self.embed(base, coords))

    def _origin(self, like: Array) -> Array:
        return jnp.zeros_like(like) if self.start is None else jnp.asarray(self.start, like.dtype)


@final
class SharedParameters(AbstractRestriction):
    """Independent copies that share all parameters: a restriction of `Replicated` families."""

    def check(self, base: Any) -> None:
        """Refuse what is not a replicated family."""
        _require(base, Replicated, self, "a Replicated family")

    def spaces(self, base: Any) -> Any:
        """Those of one copy."""
        return base.family.spaces

    def embed(self, base: Any, coords: Any) -> Any:
        """The same coordinates for every copy."""
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (base.copies, *leaf.shape)), coords)

    def project(self, base: Any, means: Any) -> Any:
        """The sum over the copies."""
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), means)

    def maximize(self, base: Any, means: Any, start: Any) -> Any:
        """That of one copy, from the average over the copies."""
        average = jax.tree.map(lambda leaf: leaf / base.copies, means)
        return base.family._maximize(average, start)

    def estimate(self, base: Any, xs: Any, shares: Array) -> Any:
        """That of one copy, from the rows of all."""
        pooled = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), xs)
        return base.family._estimate(pooled, jnp.repeat(shares / base.copies, base.copies))

    def to_unconstrained(self, base: Any, coords: Any) -> PyTree[Array]:
        """That of one copy."""
        return base.family._to_unconstrained(coords)

    def from_unconstrained(self, base: Any, free: PyTree[Array]) -> Any:
        """That of one copy."""
        return base.family._from_unconstrained(free)


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
        _require(base, Gamma, self, "Gamma()")

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
        return _from_average(self, base, xs, shares)

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
        _require(base, Gamma, self, "Gamma()")

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
        return _from_average(self, base, xs, shares)

    def to_unconstrained(self, base: Any, coords: Array) -> Array:
        """The logarithm of k."""
        return jnp.log(coords)

    def from_unconstrained(self, base: Any, free: Array) -> Array:
        """The inverse."""
        return jnp.exp(free)


@final
class ZeroMean(AbstractRestriction):
    """Normals of mean zero: τ = −½Σ⁻¹ as the covariance structure stores it, with statistic xxᵀ."""

    def check(self, base: Any) -> None:
        """Refuse what is not a normal with a free covariance."""
        _require(base, Normal, self, "a Normal")
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
        return _from_average(self, base, xs, shares)

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

    def check(self, base: Any) -> None:
        """Refuse what is not a normal whose covariances are given like this one."""
        _require(base, Normal, self, "a Normal")
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


def _require(base: Any, kind: type, restriction: AbstractRestriction, wanted: str) -> None:
    if not isinstance(base, kind):
        raise TypeError(
            f"SubFamily: {type(restriction).__name__} restricts {wanted}, but `base` is {base!r}."
        )
