"""Embeddings between covariance structures.

A smaller structure sits in a larger one. `embed` carries natural leaves up (an affine map: the
fixed precision of `Identity` becomes −I/2), `project` carries mean leaves down (its adjoint).
`Splitting` is the orthogonal decomposition of a larger structure into a smaller one and the rest.
"""

from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .linalg import largest_eigenvalue
from .spaces import AbstractSpace, Hollow, Traceless, TracelessDiagonal
from .structures import (
    AbstractStructure,
    Diagonal,
    Identity,
    Leaf,
    PositiveDefinite,
    Scale,
)


def embed(
    natural: Leaf,
    source: AbstractStructure,
    target: AbstractStructure,
    dim: int,
    dtype: jnp.dtype,
) -> Leaf:
    """The natural leaf of a larger structure that stands for the same matrix.

    Args:
        natural: natural leaf of `source`.
        source: the smaller structure.
        target: the larger structure.
        dim: number of rows d.
        dtype: of the result where nothing of the source is stored.

    Raises:
        ValueError: where `target` does not contain `source`.
    """
    _require_nested(source, target)
    return natural if source == target else target.nearest(source.dense(natural, dim, dtype))


def project(mean: Leaf, source: AbstractStructure, target: AbstractStructure, dim: int) -> Leaf:
    """The mean leaf of a smaller structure: the part of the second moments that it sees.

    Args:
        mean: mean leaf of `source`.
        source: the larger structure.
        target: the smaller structure.
        dim: number of rows d.

    Raises:
        ValueError: where `source` does not contain `target`.
    """
    _require_nested(target, source)
    if source == target:
        return mean
    if target == Identity():
        return None
    return target.restrict(mean if mean.ndim == 2 else jnp.diag(mean))


@final
class Splitting(eqx.Module):
    """A larger structure as the orthogonal sum of a smaller one and the rest.

    Natural leaves join, Θ = rest + varying; mean leaves split by the adjoint map. With `Identity`
    as the smaller structure nothing of Θ varies.

    Attributes:
        whole: the larger structure.
        part: the smaller structure.
        dim: number of rows d.
    """

    whole: AbstractStructure
    part: AbstractStructure
    dim: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse structures that are not nested."""
        _require_nested(self.part, self.whole)

    @property
    def rest_space(self) -> AbstractSpace | None:
        """The space of the rest."""
        match self.whole, self.part:
            case (_, Identity()):
                return self.whole.space(self.dim)
            case (PositiveDefinite(), Diagonal()):
                return Hollow(self.dim)
            case (PositiveDefinite(), Scale()):
                return Traceless(self.dim)
            case (Diagonal(), Scale()):
                return TracelessDiagonal(self.dim)
        return None

    def rest(self, leaf: Leaf) -> Leaf:
        """The orthogonal projection of a leaf onto the rest."""
        match self.part:
            case _ if leaf is None or self.part == self.whole:
                return None
            case Identity():
                return leaf
            case Diagonal():
                return leaf - jnp.diag(jnp.diagonal(leaf))
        # Scale
        if leaf.ndim == 1:
            return leaf - jnp.mean(leaf)
        return leaf - jnp.trace(leaf) / self.dim * jnp.eye(self.dim, dtype=leaf.dtype)

    def join(self, rest: Leaf, varying: Leaf) -> Leaf:
        """The natural leaf rest + varying of the larger structure."""
        rest = self.rest(rest)
        if varying is None or rest is None:
            return varying if rest is None else rest
        return rest + self._spread(varying)

    def split_mean(self, mean: Leaf) -> tuple[Leaf, Leaf]:
        """Rest and varying part of a mean leaf: the adjoint of `join`."""
        return self.rest(mean), project(mean, self.whole, self.part, self.dim)

    def split_natural(self, natural: Leaf) -> tuple[Leaf, Leaf]:
        """Rest and varying part of a natural leaf: the inverse of `join`."""
        if natural is None or self.part == self.whole:
            return None, natural
        if self.part == Identity():
            return natural, None
        matrix = natural if natural.ndim == 2 else jnp.diag(natural)
        return self.rest(natural), self.part.nearest(matrix)

    def join_mean(self, rest: Leaf, varying: Leaf) -> Leaf:
        """The mean leaf with the given rest and varying part: the inverse of `split_mean`."""
        rest = self.rest(rest)
        if varying is None or rest is None:
            return varying if rest is None else rest
        return rest + self._spread(varying / self.dim if self.part == Scale() else varying)

    def dominate(self, free: Leaf, rest: Leaf) -> Leaf:
        """A varying part that makes rest + varying negative definite, from free parameters.

        The map is onto: every such varying part has free parameters, of any real value.

        1. `Scale`: v = −λ − eᵘ, where λ is the largest eigenvalue of the rest.
        2. `Diagonal`: write v = −eᵃ g with Σa = 0. The sum is negative definite where g exceeds
           the largest eigenvalue λ(a) of e^(−a/2) rest e^(−a/2), so g = λ(a) + eᵘ; the free
           vector is a + u.
        """
        if self.part == Scale():
            return -_largest(rest) - jnp.exp(free)
        level = jnp.mean(free)
        profile = free - level
        return -jnp.exp(profile) * (_relative_largest(rest, profile) + jnp.exp(level))

    def dominated(self, varying: Leaf, rest: Leaf) -> Leaf:
        """The free parameters of a varying part: the inverse of `dominate`."""
        if self.part == Scale():
            return jnp.log(-varying - _largest(rest))
        logs = jnp.log(-varying)
        level = jnp.mean(logs)
        profile = logs - level
        return profile + jnp.log(jnp.exp(level) - _relative_largest(rest, profile))

    def _spread(self, varying: Array) -> Array:
        if self.whole == Diagonal():
            return jnp.broadcast_to(varying, (self.dim,))
        return varying * jnp.eye(self.dim, dtype=varying.dtype)


def _largest(rest: Array) -> Array:
    return jnp.max(rest) if rest.ndim == 1 else largest_eigenvalue(rest)


def _relative_largest(rest: Array, profile: Array) -> Array:
    scale = jnp.exp(-profile / 2)
    return largest_eigenvalue(scale[:, None] * rest * scale[None, :])


def _require_nested(part: AbstractStructure, whole: AbstractStructure) -> None:
    if part.rank > whole.rank:
        raise ValueError(
            f"{type(part).__name__} is not contained in {type(whole).__name__}: embeddings go from "
            "Identity to Scale to Diagonal to PositiveDefinite, projections back."
        )
