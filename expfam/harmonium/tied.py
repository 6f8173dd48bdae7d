"""Priors of normals that share one precision: their means are normal given it.

Given P, component k has a mean that is normal around m_k with precision κ_k P; P has scatter Ψ and
degrees of freedom of its own. Of each component with P alone that is the usual prior of a normal
(`families.conjugacy.location_scale`), its marginal. What is held of all together is φ_k = κ_k m_k,
Φ = Ψ + Σ κ_k m_k m_kᵀ, the κ_k, and the count ν of P, the same for all.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..families.real.normal import NormalCoords

Counts = Float[Array, "k 2"]


def _outer(component: Any, first: Array, count: Counts) -> Any:
    # κ_k m_k m_kᵀ
    structure = component.structure
    return jax.vmap(lambda phi, kappa: structure.outer(phi) / kappa)(first, count[:, 0])


def gather(component: Any, parts: NormalCoords, count: Counts) -> NormalCoords:
    """φ_k and Φ, from the marginals.

    Args:
        component: the normal.
        parts: pseudo-statistics of the marginals.
        count: their counts.
    """
    outer = _outer(component, parts.first, count)
    return NormalCoords(parts.first, parts.second[0] + jnp.sum(outer[1:], axis=0))


def spread(component: Any, total: NormalCoords, count: Counts) -> NormalCoords:
    """The inverse: pseudo-statistics of the marginals."""
    outer = _outer(component, total.first, count)
    scatter = total.second - jnp.sum(outer, axis=0)
    return NormalCoords(total.first, scatter + outer)


def of_precision(component: Any, parts: NormalCoords, count: Counts) -> tuple[Any, Array]:
    """The prior of P with a mean of its own, around zero, that all have alike."""
    scatter = parts.second[0] - _outer(component, parts.first, count)[0]
    return NormalCoords(jnp.zeros_like(parts.first[0]), scatter), count[0].at[0].set(1)


def sample(
    component: Any, conjugacy: Any, key: Key[Array, ""], parts: NormalCoords, count: Counts
) -> NormalCoords:
    """Components with one draw of P."""
    structure = component.structure
    first, second = jax.random.split(key)
    drawn = conjugacy.sample(component, first, *of_precision(component, parts, count)).second
    factor = structure.factor(drawn)
    noise = jax.random.normal(second, parts.first.shape, parts.first.dtype)

    def one(phi: Array, kappa: Array, noise: Array) -> Array:
        whitened = structure.apply_transposed(factor, phi / kappa) + noise / jnp.sqrt(kappa)
        return structure.apply(factor, whitened)

    firsts = jax.vmap(one)(parts.first, count[:, 0], noise)
    return NormalCoords(firsts, jnp.broadcast_to(drawn, (len(firsts), *drawn.shape)))
