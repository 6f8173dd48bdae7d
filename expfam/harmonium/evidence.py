"""Densities of data that are linear in a latent variable, as sums of moderate numbers.

With p(x | y) = N(x; W y + b, Ψ) and Ψ⁻¹ = L Lᵀ,

    p(x) = |L| (2π)^(−p/2) E exp(−½‖t − V y‖²),   t = Lᵀ(x − b),   V = LᵀW,

whatever the distribution of y. With V = Q R, QᵀQ = I, and the scores s = Qᵀt,

    ‖t − V y‖² = ‖t − Q s‖² + ‖s − R y‖²,

and the expectation of what is left is a density of few dimensions: normal where y is normal, a sum
over components where it is a mixture, and of the same kind again where y is linear in another
latent variable. Derivatives are those of ψ(θ | x): of values of ψ that would cancel.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.observations import has_gaps
from ..families.real.normal import Normal, NormalCoords
from ..families.real.partly_seen import cellwise, conditional, log_volume, whitener
from ..families.special.constants import LOG_2_PI
from ..geometry.derivatives import differentiated_as
from ..geometry.linalg import factorize, log_determinant, orthonormal_basis
from ..geometry.structures import PositiveDefinite
from .mixture import Mixture


def whitened(observable: Normal, likelihood: Any) -> tuple[Any, Array, Array]:
    """With Ψ⁻¹ = L Lᵀ: the factor L, V = LᵀW = L⁻¹Θ, and Lᵀb = L⁻¹θ_X.

    Args:
        observable: family of x given y.
        likelihood: coordinates θ_X (`observable`) and Θ (`interaction`).
    """
    structure = observable.structure
    factor, inverse = structure.factors(likelihood.observable.second)
    gain = jax.vmap(lambda column: structure.apply(inverse, column), 1, 1)(likelihood.interaction)
    return factor, gain, structure.apply(inverse, likelihood.observable.first)


def whitened_data(
    observable: Normal, likelihood: Any, x: Any
) -> tuple[Float[Array, " p"], Float[Array, "p d"], Float[Array, ""]]:
    """t, V and log c with p(x | y) = c exp(−½‖t − V y‖²), x being what is seen.

    Args:
        observable: family of x given y.
        likelihood: coordinates θ_X (`observable`) and Θ (`interaction`).
        x: one observation.
    """
    structure, size = observable.structure, observable.size
    factor, gain, center = whitened(observable, likelihood)
    gaussian = jnp.asarray(0.5 * LOG_2_PI, gain.dtype)
    if not has_gaps(x):
        white = structure.residual(factor, observable._enter(x), center)
        return (
            white,
            gain,
            structure.log_det(factor, size) - observable._log_volume - size * gaussian,
        )
    wide, second = cellwise(structure, likelihood.observable.second, size, gain.dtype)
    root, volume = whitener(wide, second, x.observed)
    _, inverse = structure.factors(likelihood.observable.second)
    raw = jax.vmap(lambda column: structure.apply_transposed(inverse, column), 1, 1)
    white = root(observable._enter(x.values) - structure.apply_transposed(inverse, center))
    volume = volume - log_volume(observable, x) - gaussian * jnp.sum(x.observed)
    return white, jax.vmap(root, 1, 1)(raw(gain)), volume


def filled_cells(
    observable: Normal, coords: NormalCoords, x: Any
) -> tuple[Float[Array, " p"], Callable[[Array], Array]]:
    """x̂, missing cells of x filled in at y = 0, and the map v ↦ C v; see `real.partly_seen`.

    Args:
        observable: family of x given y.
        coords: natural coordinates θ_X of it.
        x: one observation with missing cells.
    """
    structure, second = cellwise(
        observable.structure, coords.second, observable.size, coords.first.dtype
    )
    data = observable._enter(x.values)
    filled, covariance = conditional(structure, coords.first, second, data, x.observed, x.group > 1)
    return filled, lambda vector: structure.covary(covariance, vector)


def project(
    white: Float[Array, " p"], gain: Float[Array, "p d"]
) -> tuple[Float[Array, ""], Float[Array, " d"], Float[Array, "d d"]]:
    """r, s and R with −½‖t − V y‖² = r − ½‖s − R y‖² for all y.

    Args:
        white: t.
        gain: V. With V = Q R and QᵀQ = I, s = Qᵀt.
    """
    basis = orthonormal_basis(gain)
    score = white @ basis
    rest = white - basis @ score
    return -0.5 * jnp.dot(rest, rest), score, basis.T @ gain


def log_evidence(
    prior_family: Any,
    posterior_family: Any,
    prior: Any,
    posterior: Any,
    score: Float[Array, " d"],
    gain: Float[Array, "d d"],
    label: Any = None,
) -> Float[Array, ""]:
    """log E exp(−½‖s − R y‖²), with the derivatives of ψ of the posterior.

    Args:
        prior_family: family of the latent variables.
        posterior_family: family of the latent variables given s.
        prior: natural coordinates, under which the expectation is.
        posterior: natural coordinates.
        score: s.
        gain: R.
        label: number of the component of the first mixture on the way, −1 or `None` where it is not
            known.
    """
    if isinstance(prior_family, Normal):
        white, _, value = _absorb(prior_family, prior, score, gain)
        value = value - 0.5 * jnp.dot(white, white)
        return differentiated_as(value, posterior_family._log_normalizer(posterior))
    own, other = prior_family.interaction, posterior_family.interaction
    if isinstance(prior_family, Mixture):
        parts = jax.vmap(
            lambda one, two: log_evidence(
                own.component,
                other.component,
                own.component_coords(prior.observable, one),
                other.component_coords(posterior.observable, two),
                score,
                gain,
            )
        )(prior.interaction, posterior.interaction)
        weights = differentiated_as(own.log_weights(prior), posterior.latent)
        return jax.nn.logsumexp(own.labeled(weights + parts, label))
    # y = A w + b + noise: w is seen through the noise that is absorbed.
    white, effect, value = _absorb(own.observable, prior.observable, score, gain)
    rest, score, gain = project(white, effect(prior.interaction))
    value = differentiated_as(value + rest, other.observable._log_normalizer(posterior.observable))
    return value + log_evidence(
        own.prior_family,
        other.prior_family,
        own.prior(prior),
        other.prior(posterior),
        score,
        gain,
        label,
    )


def _absorb(
    family: Normal, coords: NormalCoords, score: Array, gain: Array
) -> tuple[Array, Callable[[Array], Array], Array]:
    # E exp(−½‖s − R y‖²) = exp(−½‖t‖²) / |C| with t = C⁻¹(s − R μ), C Cᵀ = I + R Σ Rᵀ. Returns t,
    # the map Θ ↦ C⁻¹R Σ Θ, and −log|C|.
    structure = family.structure
    _, inverse = structure.factors(coords.second)
    root = jax.vmap(lambda row: structure.apply(inverse, row))(gain)
    factor, back = factorize(jnp.eye(*root.shape, dtype=root.dtype) + root @ root.T)

    def effect(interaction: Array) -> Array:
        return back @ root @ jax.vmap(lambda c: structure.apply(inverse, c), 1, 1)(interaction)

    center = back @ (root @ structure.apply(inverse, coords.first))
    return (
        PositiveDefinite().residual(back.T, score, center),
        effect,
        -0.5 * log_determinant(factor),
    )
