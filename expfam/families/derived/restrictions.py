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
from .. import compiled
from ..product import Replicated


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


def maximize_average(restriction: AbstractRestriction, base: Any, xs: Any, shares: Array) -> Any:
    """The maximum of the likelihood of rows, from their average statistic."""
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
        return maximize_average(self, base, xs, shares)

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
        require_base(base, Replicated, self, "a Replicated family")

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


def require_base(base: Any, kind: type, restriction: AbstractRestriction, wanted: str) -> None:
    """Refuse a base of another class than a restriction applies to."""
    if not isinstance(base, kind):
        raise TypeError(
            f"SubFamily: {type(restriction).__name__} restricts {wanted}, but `base` is {base!r}."
        )
