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

from ..families.real.normal import Normal, NormalCoords
from ..geometry.derivatives import differentiated_as
from ..geometry.linalg import factorize, log_determinant, orthonormal_basis
from ..geometry.structures import PositiveDefinite
from .mixture import Mixture


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
) -> Float[Array, ""]:
    """log E exp(−½‖s − R y‖²), with the derivatives of ψ of the posterior.

    Args:
        prior_family: family of the latent variables.
        posterior_family: family of the latent variables given s.
        prior: natural coordinates, under which the expectation is.
        posterior: natural coordinates.
        score: s.
        gain: R.
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
        return jax.nn.logsumexp(weights + parts)
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
