"""Fully observed families in another frame: the same distributions in other coordinates.

With u = a v + b between two frames, ⟨θ, s(u)⟩ = ⟨θ', s(v)⟩ + c, where θ' and c are linear in θ, and
ψ(θ) = ψ'(θ') + c up to the volume of the frames.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..geometry.structures import AbstractStructure
from .frame import Frame, frame_of, rescale
from .positive.log_normal import LogNormal
from .product import Product, Replicated
from .real.normal import Normal, NormalCoords


def framed(
    family: Any,
    xs: Any,
    shares: Any,
    scaled: bool,
    keeps: AbstractStructure | None = None,
) -> Any:
    """A family with its (log-)normal parts in the frame of rows; others stay as they are.

    Args:
        family: fully observed.
        xs: rows of its data, of JAX or of NumPy.
        shares: weights of the rows, which sum to one.
        scaled: whether units change, too; otherwise they stay.
        keeps: covariance structure that the scaling of a normal has to keep; by default its own.
    """
    if isinstance(family, Normal):
        structure = family.structure if keeps is None else keeps
        frame = frame_of(xs, shares, structure if scaled else None)
        if not scaled and family.frame is not None:
            frame = Frame(frame.shift, family.frame.scale)
        return Normal(family.size, family.structure, frame)
    if isinstance(family, LogNormal):
        logs = np.log(xs) if isinstance(xs, np.ndarray) else jnp.log(xs)
        normal = framed(family.normal, logs, shares, scaled, keeps)
        return LogNormal(family.size, family.structure, normal.frame)
    if isinstance(family, Product):
        pairs = zip(family.factors, xs, strict=True)
        return Product(tuple(framed(f, x, shares, scaled) for f, x in pairs))
    if isinstance(family, Replicated):
        # One frame for all copies: of their rows taken together.
        pooled = jax.tree.map(lambda leaf: leaf.reshape((-1, *leaf.shape[2:])), xs)
        every = (shares / family.copies).repeat(family.copies)
        return Replicated(framed(family.family, pooled, every, scaled), family.copies)
    return family


def reframe(source: Any, target: Any, coords: Any) -> tuple[Any, Float[Array, ""]]:
    """Natural coordinates in `target`, which differs from `source` in its frames, and c."""
    if isinstance(source, Normal | LogNormal):
        factors, offsets = between(source.frame, target.frame)
        return reframe_normal(source.structure, coords, factors, offsets)
    if isinstance(source, Product):
        triples = zip(source.factors, target.factors, coords, strict=True)
        moved, constants = zip(*(reframe(*triple) for triple in triples), strict=True)
        return tuple(moved), jnp.sum(jnp.stack(constants))
    if isinstance(source, Replicated):
        moved, constants = jax.vmap(lambda c: reframe(source.family, target.family, c))(coords)
        return moved, jnp.sum(constants)
    return coords, jnp.zeros((), jnp.result_type(*jax.tree.leaves(coords)))


def between(source: Frame | None, target: Frame | None) -> tuple[Any, Any]:
    """Factors a and offsets b of u = a v + b, from the target's v to the source's u."""
    if source is None:
        return (1.0, 0.0) if target is None else (target.scale, target.shift)
    if target is None:
        return 1 / source.scale, -source.shift / source.scale
    return target.scale / source.scale, (target.shift - source.shift) / source.scale


def reframe_normal(
    structure: AbstractStructure, coords: NormalCoords, factors: Any, offsets: Any
) -> tuple[NormalCoords, Float[Array, ""]]:
    """Natural coordinates of v, from those of u = a v + b, and c.

    θ₁ᵀu + uᵀΘu = (a(θ₁ + 2Θb))ᵀv + vᵀ(aΘa)v + c with c = (θ₁ + Θb)ᵀb. With `Identity`, Θ = −½I is
    part of the base measure.
    """
    offsets = offsets + jnp.zeros_like(coords.first)
    if coords.second is None:
        slope = -0.5 * offsets
    else:
        # Symmetrized, so that the transposed map gives symmetric mean coordinates.
        second = coords.second
        second = (second + second.T) / 2 if second.ndim == 2 else second
        slope = structure.multiply(second, offsets)
    first = factors * (coords.first + 2 * slope)
    constant = jnp.dot(coords.first + slope, offsets)
    return NormalCoords(first, rescale(coords.second, factors)), constant
