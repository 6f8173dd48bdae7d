"""Families of which everything is observed."""

from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ..geometry.derivatives import differentiated_as
from ..geometry.grouping import ByClusters
from ..geometry.points import pairing
from ..geometry.table import Kind, Table
from . import compiled
from .base import AbstractExponentialFamily, Data

C = TypeVar("C")


class AbstractObservedFamily(AbstractExponentialFamily[C]):
    """A family of which everything is observed: ψ(θ | x) = ⟨θ, s(x)⟩ + log μ(x).

    A family may have an attribute `_conjugacy` besides, which says how its conjugate priors are
    normalized (see `families.conjugacy.base`), and a kernel `_divergence(p, q)` of the
    Kullback–Leibler divergence, where that can be written without the differences of ψ.
    """

    @property
    def observed_support(self) -> Any:
        """Everything: the same as `support`."""
        return self.support

    @property
    def n_labels(self) -> int:
        """None: nothing is latent."""
        return 0

    @property
    def n_parameters(self) -> int:
        """All coordinates."""
        return self.dim

    def _log_evidence(self, coords: C, x: Data) -> Float[Array, ""]:
        return differentiated_as(
            self._log_density(coords, x), self._log_normalizer_given(coords, x)
        )

    def _attains(self, coords: C, xs: Data, shares: Float[Array, " n"]) -> Bool[Array, ""]:
        return compiled.has_average(self, coords, xs, shares)

    @property
    def _guarded(self) -> bool:
        return False

    @property
    def _grouping(self) -> ByClusters:
        return ByClusters()

    def _observe(self, x: Data) -> Data:
        return x

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> tuple[()]:
        return ()

    def _initialize_from_sample(
        self,
        sketch: Any,
        xs: Data,
        features: Float[Array, "n features"],
        weights: Float[Array, " n"],
    ) -> C:
        # The maximum of the likelihood; where it is not attained, that with one imagined row more.
        parts = compiled.shares_of(xs, weights)
        share = 1 / (1 + jnp.sum(weights))
        smooth = jax.tree.map(
            lambda own, weak: ((1 - share) * own + share * weak).astype(own.dtype),
            compiled.weighted_average(self, xs, parts),
            self._weak_means(xs),
        )
        attained = self._estimate(xs, parts)
        inside = self._in_domain(attained)
        return jax.tree.map(
            lambda one, other: jnp.where(inside, one, other),
            attained,
            self._maximize(smooth, None),
        )

    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        return self, xs, weights

    def _whiten(self, means: C) -> C:
        return means

    def _complete(self, means: C, mass: Array | float) -> C:
        return means


def is_fully_observed(family: object) -> bool:
    """Whether something is a family without latent variables."""
    return (
        isinstance(family, AbstractExponentialFamily) and family.observed_support == family.support
    )


def estimate_from_average(
    family: AbstractExponentialFamily[Any], xs: Data, shares: Float[Array, " n"]
) -> Any:
    """The maximum of the likelihood, where the average statistic determines it to all digits."""
    return family._maximize(compiled.weighted_average(family, xs, shares), None)


def halfway_to_origin(family: AbstractObservedFamily[Any], xs: Data) -> Any:
    """Mean coordinates half like the data, half like the origin of the natural coordinates."""
    average = compiled.average_statistic(family, xs, None)
    origin = jax.grad(family._log_normalizer)(jax.tree.map(jnp.zeros_like, average))
    return jax.tree.map(lambda one, other: (one + other) / 2, average, origin)


def given_by_density(family: AbstractObservedFamily[Any], coords: Any, x: Data) -> Array:
    """ψ(θ | x) with the value ψ(θ) + log p(x; θ), where the terms of ⟨θ, s(x)⟩ cancel.

    The derivatives are those of ⟨θ, s(x)⟩ + log μ(x), which lose nothing.
    """
    linear = pairing(coords, family._sufficient_statistic(x)) + family._log_base_measure(x)
    value = family._log_normalizer(coords) + family._log_density(coords, x)
    return differentiated_as(value, linear)
