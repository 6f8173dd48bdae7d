"""Priors of the weights of a mixture: Dirichlet distributions, and broken sticks.

Each is the posterior of its own kind, too: it holds what is imagined and what was counted.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.probabilities import dirichlet
from ..families.special.divergence import gamma_divergence
from ..families.special.gamma import digamma

Counts = Float[Array, " k"]
Scalar = Float[Array, ""]

# Rounds in which sticks and their concentration are matched to each other.
_ROUNDS = 30


class AbstractWeightPrior(eqx.Module):
    """A distribution of the weights π_1 … π_K of a mixture. All methods are kernels."""

    @abstractmethod
    def observe(self, counts: Counts) -> "AbstractWeightPrior":
        """The posterior after so many rows of every component."""

    @abstractmethod
    def mean(self) -> Counts:
        """E[π_k]."""

    @abstractmethod
    def mean_logarithm(self) -> Counts:
        """E[log π_k]."""

    @abstractmethod
    def divergence(self, other: Any) -> Scalar:
        """KL(self ‖ other), of another one of the same kind."""

    @abstractmethod
    def mode(self) -> Counts:
        """The most probable weights, up to a constant; negative where there are none."""

    @abstractmethod
    def log_density(self, logs: Counts) -> Scalar:
        """The logarithm of the density at log π, up to a constant, against which `mode` is."""

    @abstractmethod
    def sample(self, key: Key[Array, ""]) -> Counts:
        """A draw of log π."""

    @abstractmethod
    def kept(self, ones: np.ndarray) -> "AbstractWeightPrior":
        """Given that all components but these are empty."""


@final
class DirichletWeights(AbstractWeightPrior):
    """Weights with a Dirichlet distribution.

    Attributes:
        concentration: α_k, positive; α_k below 1 favors weights of zero.
    """

    concentration: Counts

    def observe(self, counts: Counts) -> "DirichletWeights":
        """α_k + n_k."""
        return DirichletWeights(self.concentration + counts)

    def mean(self) -> Counts:
        """α_k / Σ α."""
        return self.concentration / jnp.sum(self.concentration)

    def mean_logarithm(self) -> Counts:
        """digamma(α_k) − digamma(Σ α)."""
        return dirichlet.mean_of(self.concentration)

    def divergence(self, other: "DirichletWeights") -> Scalar:
        """KL of two Dirichlet distributions."""
        return dirichlet.divergence(self.concentration, other.concentration)

    def mode(self) -> Counts:
        """α_k − 1."""
        return self.concentration - 1

    def log_density(self, logs: Counts) -> Scalar:
        """Σ (α_k − 1) log π_k."""
        return jnp.dot(self.concentration - 1, logs)

    def sample(self, key: Key[Array, ""]) -> Counts:
        """From logarithms of gamma variables."""
        draws = jax.random.loggamma(key, self.concentration, dtype=self.concentration.dtype)
        return jax.nn.log_softmax(draws)

    def kept(self, ones: np.ndarray) -> "DirichletWeights":
        """α_k of these."""
        return DirichletWeights(self.concentration[ones])


@final
class StickBreaking(AbstractWeightPrior):
    """Weights of a Dirichlet process: π_k = v_k Π_{j<k} (1 − v_j), with v_k ~ Beta(1, γ).

    Of infinitely many components, all but the first K are left empty (Blei & Jordan 2006; Kurihara,
    Welling & Teh 2007). What remains of the stick belongs to these: the K weights sum to less than
    one by a little.

    Attributes:
        broken: first parameters of the beta distributions of v_k; 1 where nothing was counted.
        left: how many rows come after each component; 0 where nothing was counted.
        shape: γ has a gamma distribution of this shape; `None` where it is known.
        rate: and of this rate; where γ is known, 1/γ.
    """

    broken: Counts
    left: Counts
    shape: Scalar | None
    rate: Scalar

    @property
    def concentration(self) -> Scalar:
        """E[γ]."""
        return (1 if self.shape is None else self.shape) / self.rate

    def _sticks(self) -> Float[Array, "k 2"]:
        return jnp.stack([self.broken, self.concentration + self.left], axis=1)

    def _logarithms(self) -> Float[Array, "k 2"]:
        # E log v_k and E log (1 − v_k)
        return jax.vmap(dirichlet.mean_of)(self._sticks())

    def observe(self, counts: Counts) -> "StickBreaking":
        """v_k ~ Beta(1 + n_k, γ + Σ_{j>k} n_j), and γ given the sticks, until both agree."""
        after = jnp.cumsum(counts[::-1])[::-1] - counts
        broken, left = self.broken + counts, self.left + after
        if self.shape is None:
            return StickBreaking(broken, left, None, self.rate)
        shape = self.shape + counts.shape[0]

        def match(rate: Array, _: None) -> tuple[Array, None]:
            sticks = StickBreaking(broken, left, shape, rate)
            return self.rate - jnp.sum(sticks._logarithms()[:, 1]), None

        rate = jax.lax.scan(match, self.rate, length=_ROUNDS)[0]
        return StickBreaking(broken, left, shape, rate)

    def mean(self) -> Counts:
        """E[v_k] Π_{j<k} E[1 − v_j]."""
        sticks = self._sticks()
        shares = sticks / jnp.sum(sticks, axis=1, keepdims=True)
        before = jnp.cumprod(shares[:, 1]) / shares[:, 1]
        return shares[:, 0] * before

    def mean_logarithm(self) -> Counts:
        """E log v_k + Σ_{j<k} E log (1 − v_j)."""
        return _along(self._logarithms())

    def divergence(self, other: "StickBreaking") -> Scalar:
        """KL of the sticks given γ, averaged over γ, and that of γ."""
        # 1. KL(Beta(a, b) ‖ Beta(1, γ)) = KL(Beta(a, b) ‖ Beta(1, γ̄)) at γ̄ = E γ, plus
        #    (log γ̄ − log γ) + (γ̄ − γ) E log(1 − v) averaged over γ: the second is 0.
        # 2. E log γ = digamma(shape) − log rate.
        center = jnp.stack([other.broken, self.concentration + other.left], axis=1)
        sticks = jnp.sum(jax.vmap(dirichlet.divergence)(self._sticks(), center))
        if self.shape is None or other.shape is None:
            return sticks
        spread = jnp.log(self.shape) - digamma(self.shape)
        ends = (self.rate, self.shape), (other.rate, other.shape)
        own = gamma_divergence(*ends, other.rate - self.rate)
        return sticks + self.broken.shape[0] * spread + own

    def mode(self) -> Counts:
        """v_k = (a − 1)/(a + b − 2) of every stick but the last, which is all that remains."""
        sticks = self._sticks()[:-1] - 1
        shares = sticks / jnp.sum(sticks, axis=1, keepdims=True)
        one = jnp.ones(1, shares.dtype)
        before = jnp.append(one, jnp.cumprod(shares[:, 1]))
        return jnp.append(shares[:, 0], one) * before

    def log_density(self, logs: Counts) -> Scalar:
        """Σ_{k<K} (a_k − 1) log v_k + (b_k − 1) log (1 − v_k)."""
        remain = jax.lax.cumlogsumexp(logs, reverse=True)
        split = jnp.stack([logs[:-1] - remain[:-1], remain[1:] - remain[:-1]], axis=1)
        return jnp.sum((self._sticks()[:-1] - 1) * split)

    def sample(self, key: Key[Array, ""]) -> Counts:
        """From logarithms of gamma variables, given a draw of γ."""
        first, second = jax.random.split(key)
        drawn = 1
        if self.shape is not None:
            drawn = jax.random.gamma(first, self.shape, dtype=self.rate.dtype)
        gamma = drawn / self.rate
        sticks = jnp.stack([self.broken, gamma + self.left], axis=1)
        logs = jax.random.loggamma(second, sticks, dtype=sticks.dtype)
        return _along(jax.nn.log_softmax(logs, axis=1))

    def kept(self, ones: np.ndarray) -> "StickBreaking":
        """The sticks of these: nothing is broken off for the rest."""
        return StickBreaking(self.broken[ones], self.left[ones], self.shape, self.rate)


def _along(logs: Float[Array, "k 2"]) -> Counts:
    return logs[:, 0] + jnp.cumsum(logs[:, 1]) - logs[:, 1]
