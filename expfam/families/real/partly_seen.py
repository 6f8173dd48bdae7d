"""Normal vectors of which some cells are seen, and the others missing.

With precision P = −2Θ and δ = x − μ on the cells seen, 0 on the others, the missing cells given
those seen have the covariance C = (P_mm)⁻¹, zero outside, and x̂ = μ + δ − C P δ is the vector with
their conditional means filled in. Then

    log p(x_seen) = −½‖Lᵀ(x̂ − μ)‖² + log|L| − log|L_m| − ½ n_seen log 2π,   L_m L_mᵀ = P_mm,

a sum of squares, and ∇ψ(θ | x_seen) = (x̂, x̂x̂ᵀ + C). With all cells missing these are 0 and the
mean coordinates themselves; with none, the density and the statistic of x.
"""

from dataclasses import replace
from functools import partial
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ...geometry import embeddings
from ...geometry.derivatives import differentiated_as
from ...geometry.linalg import invert_principal
from ...geometry.points import pairing
from ...geometry.structures import AbstractStructure, Diagonal, Leaf
from ..cells import AbstractCells
from ..special.constants import LOG_2_PI

Cells = Bool[Array, " d"]
Vector = Float[Array, " d"]


@final
class NormalCells(AbstractCells):
    """Every cell of a normal vector can be missing by itself."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """ψ(θ | x_seen)."""
        value = log_normalizer_given(*_wide(family, coords), *_cells(family, x))
        return value - log_volume(family, x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """log p(x_seen)."""
        fixed = jax.lax.stop_gradient(coords)
        value = log_evidence(*_wide(family, fixed), *_cells(family, x)) - log_volume(family, x)
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """The datum, with conditional means."""
        filled, _ = conditional(*_wide(family, coords), *_cells(family, x))
        return jnp.where(x.observed, x.values, family._leave(filled))

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """The datum, with draws from N(x̂, C): deviations of a whole draw from its own x̂."""
        drawn = family._enter(family._sample(key, coords))
        own, _ = conditional(*_wide(family, coords), *_cells(family, x))
        other, _ = conditional(*_wide(family, coords), drawn, x.observed, x.group > 1)
        return jnp.where(x.observed, x.values, family._leave(own + drawn - other))

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """The normal of the missing cells, of precision P_mm."""
        missing = np.flatnonzero(~np.asarray(x.observed))
        if not missing.size:
            return None
        frame = family.frame
        if frame is not None:
            frame = replace(frame, shift=frame.shift[missing], scale=frame.scale[missing])
        # P_mm x̂_m = θ_m − P_ms x_s
        values = jnp.where(x.observed, family._enter(x.values), 0)
        first = coords.first + 2 * family.structure.multiply(coords.second, values)
        leaf = coords.second
        if leaf is not None and leaf.ndim:
            leaf = leaf[np.ix_(*(missing,) * leaf.ndim)]
        family = replace(family, size=int(missing.size), frame=frame)
        return family, replace(coords, first=first[missing], second=leaf)


def log_volume(family: Any, x: Any) -> Array | float:
    """log |dx/du| of the cells seen, for the frame of a normal family."""
    if family.frame is None:
        return 0.0
    return jnp.sum(jnp.where(x.observed, jnp.log(family.frame.scale), 0))


def _wide(family: Any, coords: Any) -> tuple[AbstractStructure, Array, Leaf]:
    first = coords.first
    structure, second = cellwise(family.structure, coords.second, family.size, first.dtype)
    return structure, first, second


def _cells(family: Any, x: Any) -> tuple[Array, Array, bool]:
    return family._enter(x.values), x.observed, x.group > 1


def cellwise(
    structure: AbstractStructure, natural: Leaf, dim: int, dtype: Any
) -> tuple[AbstractStructure, Leaf]:
    """A structure that holds the precisions of some cells, too, and the natural leaf in it."""
    if structure.rank >= Diagonal().rank:
        return structure, natural
    return Diagonal(), embeddings.embed(natural, structure, Diagonal(), dim, dtype)


def log_normalizer_given(
    structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells, shared: bool
) -> Float[Array, ""]:
    """ψ(θ | x_seen), with the value ψ(θ) + log p(x_seen).

    Args:
        structure: `PositiveDefinite` or `Diagonal`.
        first: natural coordinates, first order.
        second: natural coordinates, second order.
        x: data.
        seen: which cells of them are seen.
        shared: whether many rows share these, so that a matrix for them is worth its price.
    """
    return _given(shared, structure, first, second, jnp.where(seen, x, 0), seen)


def conditional(
    structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells, shared: bool
) -> tuple[Vector, Leaf]:
    """x̂, and the conditional covariance C as a mean leaf; arguments as above."""
    return _conditional(shared, structure, first, second, x, seen)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _conditional(
    shared: bool, structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells
) -> tuple[Vector, Leaf]:
    mean, covariance, gap, _, _ = _filled(shared, structure, first, second, x, seen)
    return mean + gap, covariance


@_conditional.defjvp
def _conditional_jvp(shared: bool, primals: Any, tangents: Any) -> tuple[Any, Any]:
    # dx̂ = C(dθ₁ + 2 dΘ x̂ − P dx) + dx and dC = 2C dΘ C
    structure, _, second, x, seen = primals
    _, d_first, d_second, dx, _ = tangents
    dim = x.shape[-1]
    mean, covariance = _conditional(shared, *primals)
    dx = jnp.where(seen, dx, 0)
    factor = structure.factor(second)
    # Symmetrized, so that the transposed map gives symmetric mean coordinates.
    d_second = (d_second + d_second.T) / 2
    force = d_first + 2 * structure.multiply(d_second, mean)
    force = force - structure.apply(factor, structure.apply_transposed(factor, dx))
    moved = structure.covary(covariance, force) + dx
    return (mean, covariance), (moved, structure.respond(covariance, d_second, dim))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _given(
    shared: bool, structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells
) -> Float[Array, ""]:
    # ψ(θ) + log p(x_seen) = ½‖v‖² − ½‖Lᵀ(x̂ − μ)‖² − log|L_m| − ½ n_seen log 2π
    _, _, gap, rest, white = _filled(shared, structure, first, second, x, seen)
    residual = structure.apply_transposed(structure.factor(second), gap)
    constant = 0.5 * LOG_2_PI * jnp.sum(seen, dtype=x.dtype)
    return 0.5 * (jnp.dot(white, white) - jnp.dot(residual, residual)) - rest - constant


@_given.defjvp
def _given_jvp(shared: bool, primals: Any, tangents: Any) -> tuple[Array, Array]:
    # ⟨dθ, (x̂, x̂x̂ᵀ + C)⟩ + ⟨θ₁ − P x̂, dx⟩ on the cells seen
    structure, first, second, _, seen = primals
    _, d_first, d_second, dx, _ = tangents
    filled, covariance = _conditional(shared, *primals)
    slope = jnp.dot(d_first, filled) + structure.quadratic(d_second, filled)
    slope = slope + pairing(d_second, covariance)
    factor = structure.factor(second)
    score = first - structure.apply(factor, structure.apply_transposed(factor, filled))
    return _given(shared, *primals), slope + jnp.dot(jnp.where(seen, score, 0), dx)


def log_evidence(
    structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells, shared: bool
) -> Float[Array, ""]:
    """log p(x_seen); its derivatives are not to be used. Arguments as above."""
    dim = x.shape[-1]
    _, _, gap, rest, _ = _filled(shared, structure, first, second, x, seen)
    factor = structure.factor(second)
    residual = structure.apply_transposed(factor, gap)
    volume = structure.log_det(factor, dim) - rest
    constant = 0.5 * LOG_2_PI * jnp.sum(seen, dtype=x.dtype)
    return volume - 0.5 * jnp.dot(residual, residual) - constant


def whitener(
    structure: AbstractStructure, second: Leaf, seen: Cells
) -> tuple[Any, Float[Array, ""]]:
    """The map R and log |L| − log |L_m| with p(x_seen) ∝ exp(−½‖R(x − μ)‖²).

    R v = Lᵀ(v − C P v) for v = x − μ on the cells seen, 0 on the others.
    """
    dim = seen.shape[0]
    factor = structure.factor(second)
    covariance, rest = _missing(structure, factor, seen)

    def root(vector: Vector) -> Vector:
        vector = jnp.where(seen, vector, 0)
        force = structure.apply(factor, structure.apply_transposed(factor, vector))
        return structure.apply_transposed(factor, vector - structure.covary(covariance, force))

    return root, structure.log_det(factor, dim) - rest


def _missing(structure: AbstractStructure, factor: Leaf, seen: Cells) -> tuple[Leaf, Array]:
    # C as a mean leaf, and log |L_m|
    if structure == Diagonal():
        logs = jnp.where(seen, 0, jnp.log(factor))
        return jnp.where(seen, 0, 1 / factor**2), jnp.sum(logs)
    return invert_principal(factor @ factor.T, ~seen)


def _filled(
    shared: bool, structure: AbstractStructure, first: Vector, second: Leaf, x: Vector, seen: Cells
) -> tuple[Vector, Leaf, Vector, Array, Vector]:
    # μ, C, x̂ − μ, log |L_m| and v = L⁻¹θ₁ = Lᵀμ
    factor, inverse = structure.factors(second)
    white = structure.apply(inverse, first)
    mean = structure.apply_transposed(inverse, white)
    covariance, rest = _missing(structure, factor, seen)

    def fill(gap: Vector) -> Vector:
        force = structure.apply(factor, structure.apply_transposed(factor, gap))
        return gap - structure.covary(covariance, force)

    gap = jnp.where(seen, x - mean, 0)
    if shared and structure.rank > Diagonal().rank:
        # one product for each row, in place of three
        gap = jax.vmap(fill, 1, 1)(jnp.eye(len(gap), dtype=gap.dtype)) @ gap
        return mean, covariance, gap, rest, white
    return mean, covariance, fill(gap), rest, white
