"""What a family can say about the normalizer of its conjugate priors.

A conjugate prior has the density exp(⟨φ, θ⟩ − ν ψ(θ))/Z(φ, ν) in natural coordinates, packed as
`flatten` packs them. Where Z is known, a family has an attribute `_conjugacy`, an instance of one
of the classes of this folder; a family without one has priors without a normalizer.

All methods are kernels: they take the family, raw pseudo-statistics φ, structured like coordinates,
and the pseudo-count ν, a number; for families of normals also a pair of numbers, one for location
and one for scale.

Evidence is computed about a reference point θ* of the posterior,

    log Z(φ', ν') − log Z(φ, ν) + Σ log μ(x) = Σ log p(x; θ*) + remainder,

because the terms of the remainder are small: how far the data pull θ* away from the prior, and how
much narrower the posterior is.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

Scalar = Float[Array, ""]
Counts = Float[Array, "*counts"]


class AbstractConjugacy(eqx.Module):
    """The normalized conjugate priors of a family."""

    @property
    @abstractmethod
    def n_counts(self) -> int:
        """How many pseudo-counts a prior may have: 1, or 2 for location and scale."""

    @abstractmethod
    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """What has to hold for Z to be finite, in words."""

    @abstractmethod
    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """log Z(φ, ν); its first two derivatives must be exact."""

    @abstractmethod
    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """log p(θ)."""

    @abstractmethod
    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """A point θ* in the middle of the prior (φ', ν') after, and the remainder.

        The remainder is log Z' − log Z − ⟨φ' − φ, θ*⟩ + (ν' − ν) ψ(θ*).
        """

    @abstractmethod
    def log_predictive(self, family: Any, total: Any, count: Counts, x: Any) -> Scalar:
        """log ∫ p(x; θ) p(θ) dθ of one data point."""

    @abstractmethod
    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """−E log p(θ)."""

    @abstractmethod
    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """One draw of θ."""

    @abstractmethod
    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """The usual hyper-parameters and their shapes; none where the prior has no name."""

    @abstractmethod
    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """The usual hyper-parameters, by name."""

    @abstractmethod
    def from_hyperparameters(
        self, family: Any, values: dict[str, Array]
    ) -> tuple[Any, Counts] | None:
        """φ and ν of usual hyper-parameters."""

    @abstractmethod
    def distribution(self, family: Any, total: Any, count: Counts) -> tuple[Any, Any] | None:
        """The family that the prior is named after, and natural coordinates in it."""


class AbstractNamelessConjugacy(AbstractConjugacy):
    """The normalized conjugate priors of a family that have no name, and one pseudo-count."""

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """No usual hyper-parameters."""
        return {}

    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """None."""
        return {}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> None:
        """None."""
        return

    def distribution(self, family: Any, total: Any, count: Counts) -> None:
        """None."""
        return


def add_row(family: Any, total: Any, count: Counts, x: Any) -> tuple[Any, Counts]:
    """φ + s(x) and ν + 1."""
    statistic = family._sufficient_statistic(x)
    added = jax.tree.map(lambda own, new: own + new.astype(own.dtype), total, statistic)
    return added, count + 1


def predict_by_remainder(
    conjugacy: AbstractConjugacy, family: Any, total: Any, count: Counts, x: Any
) -> Scalar:
    """The log-predictive as the evidence of one row."""
    after = add_row(family, total, count, x)
    reference, remainder = conjugacy.compare(family, (total, count), after)
    return family._log_density(reference, x) + remainder


def positive(**values: Array) -> dict[str, Bool[Array, ""]]:
    """The conditions that all values, given by name, are positive and finite."""
    return {
        f"{name} > 0": jnp.all((value > 0) & jnp.isfinite(value)) for name, value in values.items()
    }
