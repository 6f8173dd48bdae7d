"""Latent families seen from below: normals, or harmoniums whose observable is normal.

A linear Gaussian interaction touches its latent family only at the location y. These functions
reach it, whether y is the latent variable itself or the observable of a latent harmonium.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..families.real.normal import Normal, NormalCoords
from ..geometry import embeddings
from ..geometry.structures import AbstractStructure, Identity, Leaf, PositiveDefinite, Scale
from .base import AbstractHarmonium
from .interaction import HarmoniumCoords
from .mixture import Mixture

# Log-weight below all others at which a component is never drawn, in either type.
_NEVER = 1e4


def location(family: Any) -> Normal:
    """The normal family of y.

    Raises:
        TypeError: where the family has none.
    """
    while isinstance(family, AbstractHarmonium):
        family = family.observable
    if not isinstance(family, Normal):
        raise TypeError(
            "a linear Gaussian model needs a latent family that is Normal, or a model of normal "
            f"observations, but got {family!r}."
        )
    return family


def is_normal(family: Any) -> bool:
    """Whether all latent variables of a family, from y on, are jointly normal."""
    while isinstance(family, AbstractHarmonium) and not isinstance(family, Mixture):
        family = family.posterior_family
    return isinstance(family, Normal)


def translate(family: Any, coords: Any, offset: NormalCoords) -> Any:
    """Add an offset to the natural coordinates of y."""
    if isinstance(family, AbstractHarmonium):
        return family.interaction.translate(coords, offset)
    return jax.tree.map(jnp.add, coords, offset)


def marginal(family: Any, means: Any) -> NormalCoords:
    """The mean coordinates of y: the adjoint of `translate`."""
    return family.interaction.marginal(means) if isinstance(family, AbstractHarmonium) else means


def log_normalizer(family: Any, coords: Any, label: Any) -> Float[Array, ""]:
    """ψ of the latent variables, or given the number of their component where that is not −1."""
    if label is None:
        return family._log_normalizer(coords)
    return family.interaction.log_normalizer(coords, label)


def labeled(family: Any, coords: Any, label: Any) -> Any:
    """Natural coordinates given the number of the component, where that is not −1."""
    if label is None:
        return coords
    if isinstance(family, Mixture):
        # Weights of components are taken relative to that of the first, which must be finite.
        least = jnp.min(coords.latent) - _NEVER
        latent = jnp.maximum(family.interaction.labeled(coords.latent, label), least)
    else:
        latent = labeled(family.posterior_family, coords.latent, label)
    return HarmoniumCoords(coords.observable, coords.interaction, latent)


def embed(coords: Any, source: Any, target: Any) -> Any:
    """Natural coordinates in a family of larger covariance structure, of the same distribution."""
    if source == target:
        return coords
    return _over_components(_embed_normal, coords, source, target)


def restrict(coords: Any, source: Any, target: Any) -> Any:
    """The closest natural coordinates in a family of smaller covariance structure."""
    if source == target:
        return coords
    return _over_components(_restrict_normal, coords, source, target)


def gauge(family: Any) -> AbstractStructure:
    """The matrices A for which y ↦ Aᵀy keeps the family: full, diagonal, scalar, or none."""
    if isinstance(family, Mixture) and isinstance(family.component, Normal):
        # Differences of precisions must keep their structure; a shared precision is free.
        if family.varying is None or family.varying == Identity():
            return family.component.structure
        return family.varying
    if isinstance(family, Mixture) and isinstance(family.component, AbstractHarmonium):
        return gauge(family.component)
    return location(family).structure


def project_location(
    means: NormalCoords, family: Normal, structure: AbstractStructure
) -> NormalCoords:
    """Mean coordinates of y, as far as a smaller structure sees them."""
    second = embeddings.project(means.second, family.structure, structure, family.size)
    return NormalCoords(means.first, second)


def push(
    family: Any,
    means: Any,
    center: Float[Array, " d"],
    frame: Float[Array, "d d"],
    weight: Array | float = 1.0,
) -> Any:
    """Mean coordinates after y ↦ Aᵀ(y − c), for a frame A of the family's gauge.

    Args:
        family: the latent family.
        means: its mean coordinates, times a weight.
        center: c.
        frame: A.
        weight: the weight that is on the mean coordinates.
    """
    if isinstance(family, Normal):
        return _push(family.structure, means, weight, center, frame)
    if not isinstance(family, Mixture):
        # y is the observable of a harmonium whose likelihood is linear in its own latent variables.
        own = _push(location(family).structure, means.observable, weight, center, frame)
        latent = marginal(family.posterior_family, means.latent).first
        cross = frame.T @ (means.interaction - jnp.outer(center, latent))
        return HarmoniumCoords(own, cross, means.latent)
    interaction = family.interaction
    component: Any = family.component
    varying = interaction.varying
    if varying is None:
        moved = jax.vmap(lambda own, mass: push(component, own, center, frame, mass))(
            means.interaction, means.latent
        )
        return HarmoniumCoords(None, moved, means.latent)
    parts = jax.vmap(lambda own, mass: _push(varying, own, mass, center, frame))(
        means.interaction, means.latent
    )
    total = _push(component.structure, interaction.marginal(means), weight, center, frame)
    return HarmoniumCoords(interaction.splitting.rest(total.second), parts, means.latent)


def snap(
    prior: Any,
    shift: Float[Array, "d d"],
    family: Any,
    structure: AbstractStructure,
) -> Any:
    """A prior of the same weights and means whose posteriors have a given smaller structure.

    Args:
        prior: natural coordinates.
        shift: second-order conjugation parameter ρ₂; Θ − ρ₂ gets the structure for every component.
        family: of the prior, a normal or a mixture of normals.
        structure: of the posterior.
    """

    def normal(coords: NormalCoords) -> NormalCoords:
        own = location(family)
        mean, _ = own._moments(coords)
        part = structure.nearest(coords.second - shift)
        second = shift + structure.dense(part, own.size, mean.dtype)
        return NormalCoords(-2 * second @ mean, second)

    return _over_prior(normal, prior, family)


def to_free(
    prior: Any,
    shift: Float[Array, "d d"],
    family: Any,
    structure: AbstractStructure,
) -> PyTree[Array]:
    """Free parameters of a prior whose posteriors have a given smaller structure.

    Args:
        prior: natural coordinates.
        shift: second-order conjugation parameter ρ₂; Θ − ρ₂ has the structure for every component.
        family: of the prior, a normal or a mixture of normals.
        structure: of the posterior.
    """

    def normal(coords: NormalCoords) -> PyTree[Array]:
        own = location(family)
        mean, _ = own._moments(coords)
        if structure == Identity():
            return mean, None
        splitting = embeddings.Splitting(PositiveDefinite(), structure, own.size)
        rest, part = splitting.split_natural(coords.second)
        return mean, splitting.dominated(part, rest)

    if isinstance(family, Normal):
        return normal(prior)
    return family.interaction.log_weights(prior), jax.vmap(normal)(prior.interaction)


def from_free(
    free: PyTree[Array],
    shift: Float[Array, "d d"],
    family: Any,
    structure: AbstractStructure,
) -> Any:
    """The prior with given free parameters: the inverse of `to_free`."""
    own = location(family)

    def normal(one: PyTree[Array]) -> NormalCoords:
        mean, shape = one
        if structure == Identity():
            second = shift - 0.5 * jnp.eye(own.size, dtype=shift.dtype)
        else:
            splitting = embeddings.Splitting(PositiveDefinite(), structure, own.size)
            rest = splitting.rest(shift)
            second = splitting.join(rest, splitting.dominate(shape, rest))
        return NormalCoords(-2 * second @ mean, second)

    if isinstance(family, Normal):
        return normal(free)
    log_weights, parts = free
    return family.interaction._from_components(jax.vmap(normal)(parts), log_weights)


def _over_prior(function: Any, prior: Any, family: Any) -> Any:
    if isinstance(family, Normal):
        return function(prior)
    parts = jax.vmap(function)(prior.interaction)
    return family.interaction._from_components(parts, family.interaction.log_weights(prior))


def _over_components(function: Any, coords: Any, source: Any, target: Any) -> Any:
    if isinstance(source, Normal):
        return function(coords, source, target)
    parts = jax.vmap(lambda c: function(c, source.component, target.component))(coords.interaction)
    return HarmoniumCoords(None, parts, coords.latent)


def _embed_normal(coords: NormalCoords, source: Normal, target: Normal) -> NormalCoords:
    second = embeddings.embed(
        coords.second, source.structure, target.structure, source.size, coords.first.dtype
    )
    return NormalCoords(coords.first, second)


def _restrict_normal(coords: NormalCoords, source: Normal, target: Normal) -> NormalCoords:
    return NormalCoords(coords.first, target.structure.nearest(coords.second))


def _push(
    structure: AbstractStructure,
    means: NormalCoords,
    weight: Array | float,
    center: Float[Array, " d"],
    frame: Float[Array, "d d"],
) -> NormalCoords:
    # E[1 Aᵀ(y − c)] and E[1 Aᵀ(y − c)(y − c)ᵀA] from E[1 y], E[1 yyᵀ] and E[1], as leaves.
    first = frame.T @ (means.first - weight * center)
    cross = structure.restrict_product(means.first[:, None], center[:, None])
    square = structure.outer(center)
    moved = jax.tree.map(lambda m, c, s: m - 2 * c + weight * s, means.second, cross, square)
    return NormalCoords(first, _conjugate(structure, moved, frame))


def _conjugate(structure: AbstractStructure, leaf: Leaf, frame: Array) -> Leaf:
    if structure == PositiveDefinite():
        return frame.T @ leaf @ frame
    if leaf is None:
        return None
    scale = jnp.diagonal(frame) ** 2
    return leaf * (scale[0] if structure == Scale() else scale)
