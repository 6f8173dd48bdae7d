"""Conjugate priors in the form of Diaconis & Ylvisaker: pseudo-statistics and a pseudo-count."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..geometry.points import Mean, pairing


@final
class ConjugatePrior(eqx.Module):
    """A conjugate prior of an exponential family, as `count` imagined observations.

    Mathematically, its log-density in natural coordinates is ⟨φ, θ⟩ − ν ψ(θ) up to a constant, with
    pseudo-statistics φ = ν η₀ and pseudo-count ν (Diaconis & Ylvisaker 1979). For a latent-variable
    model the imagined observations are complete: they include the latent variables.

    Attributes:
        mean: η₀, the average statistic of the imagined observations.
        count: ν, their number; any positive number.
    """

    mean: Mean[Any]
    count: Float[Array, ""] = eqx.field(converter=lambda count: jnp.asarray(count, float))

    def __check_init__(self) -> None:
        """Refuse a mean of another type and a count that is not a scalar."""
        if not isinstance(self.mean, Mean):
            raise TypeError(
                "ConjugatePrior: `mean` must be in mean coordinates (an expfam.Mean), but is of "
                f"type {type(self.mean).__name__}."
            )
        if jnp.shape(self.count) != ():
            raise ValueError(
                f"ConjugatePrior: `count` must be a number, but has shape {jnp.shape(self.count)}."
            )

    def observe(self, mean: Mean[Any], count: Float[Array, ""] | float) -> "ConjugatePrior":
        """The posterior after `count` observations with the given average statistic."""
        total = self.count + count
        return ConjugatePrior(self.mean * (self.count / total) + mean * (count / total), total)

    def _average(self, means: Any, count: Array | int) -> Any:
        # (φ + n η̂)/(ν + n) of raw mean coordinates
        share = self.count / (self.count + count)
        return jax.tree.map(
            lambda own, other: (share * own + (1 - share) * other).astype(other.dtype),
            self.mean.coords,
            means,
        )

    def _log_density(self, natural: Any, log_normalizer: Array) -> Array:
        # ⟨φ, θ⟩ − ν ψ(θ) of raw natural coordinates: the logarithm up to a constant
        return self.count * (pairing(natural, self.mean.coords) - log_normalizer)
