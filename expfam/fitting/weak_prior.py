"""Weak conjugate priors from the scale of the data: the cure for degenerate fits."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.base import AbstractExponentialFamily, Data
from ..families.normal import Normal, NormalCoords
from ..families.product import Product, Replicated
from ..families.support import check_rows
from ..geometry.points import Mean
from ..harmonium.base import AbstractHarmonium
from ..harmonium.interaction import HarmoniumCoords
from ..harmonium.linear import LinearInteraction
from ..priors.conjugate import ConjugatePrior


def weak_prior(model: AbstractExponentialFamily, xs: Data, count: float = 1.0) -> ConjugatePrior:
    """A conjugate prior worth a few rows, which keeps covariances and probabilities off zero.

    The imagined rows have the column means and variances of the data, without correlations. In a
    mixture they are spread evenly over the components; latent variables are imagined standard
    normal and without loadings. For families of discrete data the imagined rows are half like the
    data, half like the origin of the natural coordinates (e.g. uniform).

    Args:
        model: any model.
        xs: rows of observations, with one leading axis n.
        count: how many rows the prior is worth; more pulls harder.

    Returns:
        A prior for `fit(..., prior=)` and `expectation_maximization(..., prior=)`.

    Raises:
        ValueError: where `count` is not positive.
    """
    xs, _ = check_rows(xs, model.observed_support, "weak_prior")
    if not count > 0:
        raise ValueError(f"weak_prior: `count` must be positive, but is {count}.")
    return ConjugatePrior(Mean(jax.jit(_weak)(model, xs)), count)


def _weak(family: AbstractExponentialFamily, xs: Any) -> Any:
    if isinstance(family, Normal):
        return _weak_normal(family, xs)
    if isinstance(family, Product):
        return tuple(_weak(f, x) for f, x in zip(family.factors, xs, strict=True))
    if isinstance(family, Replicated):
        return jax.vmap(lambda one: _weak(family.family, one), in_axes=1)(xs)
    if isinstance(family, AbstractHarmonium):
        return _weak_harmonium(family, xs)
    average = jax.tree.map(
        lambda leaf: jnp.mean(leaf, axis=0), jax.vmap(family._sufficient_statistic)(xs)
    )
    origin = jax.grad(family._log_normalizer)(jax.tree.map(jnp.zeros_like, average))
    return jax.tree.map(lambda a, b: (a + b) / 2, average, origin)


def _weak_normal(family: Normal, xs: Float[Array, "n d"]) -> NormalCoords:
    mean = jnp.mean(xs, axis=0)
    variances = jnp.mean((xs - mean) ** 2, axis=0)
    # A constant column gets a small share of the scale of the others, or of its own value.
    spread = jnp.max(variances)
    scale = jnp.where(spread > 0, spread, jnp.maximum(jnp.max(mean**2), 1.0))
    noise = 16 * jnp.finfo(xs.dtype).eps * mean**2
    variances = jnp.where(variances > noise, variances, jnp.maximum(1e-3 * scale, 2 * noise))
    return NormalCoords(
        mean, family.structure.restrict(jnp.diag(variances) + jnp.outer(mean, mean))
    )


def _weak_harmonium(model: AbstractHarmonium, xs: Any) -> HarmoniumCoords:
    interaction: Any = model.interaction
    if isinstance(interaction, LinearInteraction):
        # Two rows ±1 in every latent direction: mean 0, variance 1.
        dim = interaction.location.size
        latent = jnp.stack([jnp.ones(dim, xs.dtype), -jnp.ones(dim, xs.dtype)])
        return HarmoniumCoords(
            _weak(interaction.observable, xs),
            jnp.zeros((interaction.observable.size, dim), xs.dtype),
            _weak(interaction.posterior_family, latent),
        )
    own = _weak(interaction.component, xs)
    share = 1 / interaction.n_components
    weights = jnp.full((interaction.n_components,), share)
    joint = jax.tree.map(
        lambda leaf: jnp.broadcast_to(share * leaf, (weights.size, *leaf.shape)), own
    )
    return interaction._split_means(own, joint, weights)
