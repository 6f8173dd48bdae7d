"""Beta and Dirichlet priors: of families whose parameters are probabilities.

With concentrations α, linear in (φ, ν) up to a constant, Z is Π_k Γ(α_k)/Γ(Σ_k α_k).
"""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..probabilities import dirichlet
from ..probabilities.beta import Beta, BetaCoords
from ..special.gamma import deviance, digamma_gap, factorial_remainder
from ..special.logistic import softplus
from .base import AbstractConjugacy, Counts, Scalar, positive, predict_by_remainder

Alpha = Float[Array, " k"]


@final
class Trials(AbstractConjugacy):
    """Priors of log-odds against category 0, for counts of categories among n trials.

    The concentrations are nν − Σ_k φ_k of category 0, and φ_k of the others. The statistic of two
    categories is a number, and the prior a beta.

    Attributes:
        n_trials: number of trials n.
    """

    n_trials: int = eqx.field(static=True, default=1)

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def concentration(self, total: Array, count: Counts) -> Alpha:
        """α, category 0 first."""
        others = jnp.reshape(total, (-1,))
        return jnp.concatenate([(self.n_trials * count - jnp.sum(others))[None], others])

    def conditions(self, family: Any, total: Array, count: Counts) -> dict[str, Bool[Array, ""]]:
        """All concentrations are positive."""
        return positive(**self.hyperparameters(family, total, count))

    def log_normalizer(self, family: Any, total: Array, count: Counts) -> Scalar:
        """log Π_k Γ(α_k) − log Γ(Σ_k α_k)."""
        return _log_normalizer(self, total, count)

    def log_density(self, family: Any, total: Array, count: Counts, coords: Array) -> Scalar:
        """The density of a Dirichlet against its base measure, which is Lebesgue measure of θ."""
        logits = jnp.concatenate([jnp.zeros((1,), coords.dtype), jnp.reshape(coords, (-1,))])
        return _log_density(self.concentration(total, count), jax.nn.log_softmax(logits))

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Array, Scalar]:
        """The log-odds of probabilities α/Σα, and `_remainder`."""
        start, end = (self.concentration(*one) for one in (before, after))
        reference = jnp.reshape(jnp.log(end[1:] / end[0]), after[0].shape)
        return reference, _remainder(start, end)

    def log_predictive(self, family: Any, total: Array, count: Counts, x: Array) -> Scalar:
        """Of a beta-binomial, or Dirichlet-multinomial."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Array, count: Counts) -> Scalar:
        """That of the probabilities, with log |dθ/dπ| = −Σ_k log π_k."""
        alpha = self.concentration(total, count)
        return dirichlet.entropy(alpha) - jnp.sum(dirichlet.mean_of(alpha))

    def sample(self, family: Any, key: Key[Array, ""], total: Array, count: Counts) -> Array:
        """Differences of logarithms of gamma variables."""
        alpha = self.concentration(total, count)
        logs = jax.random.loggamma(key, alpha, dtype=alpha.dtype)
        return jnp.reshape(logs[1:] - logs[0], total.shape)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of either kind."""
        shape = family.spaces.shape
        if not shape:
            return {"alpha": (), "beta": ()}
        return {"concentration": (shape[0] + 1,)}

    def hyperparameters(self, family: Any, total: Array, count: Counts) -> dict[str, Array]:
        """α and β of the probability of success; all concentrations where φ is a vector."""
        alpha = self.concentration(total, count)
        if total.ndim == 0:
            return {"alpha": alpha[1], "beta": alpha[0]}
        return {"concentration": alpha}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Array, Counts]:
        """The inverse."""
        if "alpha" in values:
            return values["alpha"], (values["alpha"] + values["beta"]) / self.n_trials
        alpha = values["concentration"]
        return alpha[1:], jnp.sum(alpha) / self.n_trials

    def distribution(self, family: Any, total: Array, count: Counts) -> tuple[Any, Any]:
        """A beta or a Dirichlet."""
        alpha = self.concentration(total, count)
        if total.ndim == 0:
            return Beta(), BetaCoords(alpha[1], alpha[0])
        return dirichlet.Dirichlet(alpha.shape[0]), alpha


@jax.custom_jvp
def _log_normalizer(trials: Trials, total: Array, count: Counts) -> Scalar:
    return dirichlet.log_normalizer(trials.concentration(total, count))


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # The slopes are E θ_k = digamma(α_k) − digamma(α_0), the expected log-odds, which are small
    # where both are close, and n E log π_0.
    trials, total, count = primals
    _, change, added = tangents
    alpha = trials.concentration(total, count)
    first, others = alpha[0], alpha[1:]
    odds = digamma_gap(others, jnp.broadcast_to(first, others.shape))
    slope = jnp.dot(odds, jnp.reshape(change, (-1,)))
    slope = slope + trials.n_trials * dirichlet.mean_of(alpha)[0] * added
    return _log_normalizer(*primals), slope


@final
class Waiting(AbstractConjugacy):
    """Priors of θ = log(1 − p), for numbers of failures before r successes of probability p.

    The concentrations are rν + 1 of successes and φ of failures: p has a beta prior.

    Attributes:
        successes: r.
    """

    successes: float = eqx.field(static=True, default=1.0)

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def concentration(self, total: Array, count: Counts) -> Alpha:
        """α of p and of 1 − p."""
        return jnp.stack([self.successes * count + 1, total])

    def conditions(self, family: Any, total: Array, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Both concentrations are positive."""
        return positive(**self.hyperparameters(family, total, count))

    def log_normalizer(self, family: Any, total: Array, count: Counts) -> Scalar:
        """log B(α, β)."""
        return dirichlet.log_normalizer(self.concentration(total, count))

    def log_density(self, family: Any, total: Array, count: Counts, coords: Array) -> Scalar:
        """With dθ = dp/(1 − p), that of a beta against its base measure, over p."""
        log_p = jnp.log(-jnp.expm1(coords))
        own = _log_density(self.concentration(total, count), jnp.stack([log_p, coords]))
        return own - log_p

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Array, Scalar]:
        """θ = log(1 − p) at p = α/(α + β), and `_remainder`."""
        start, end = (self.concentration(*one) for one in (before, after))
        return -jnp.log1p(end[0] / end[1]), _remainder(start, end)

    def log_predictive(self, family: Any, total: Array, count: Counts, x: Array) -> Scalar:
        """Of a beta-negative-binomial."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Array, count: Counts) -> Scalar:
        """That of p, with log |dθ/dp| = −log(1 − p)."""
        alpha = self.concentration(total, count)
        return dirichlet.entropy(alpha) - dirichlet.mean_of(alpha)[1]

    def sample(self, family: Any, key: Key[Array, ""], total: Array, count: Counts) -> Array:
        """From logarithms of gamma variables."""
        alpha = self.concentration(total, count)
        logs = jax.random.loggamma(key, alpha, dtype=alpha.dtype)
        return -softplus(logs[0] - logs[1])

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a beta."""
        return {"alpha": (), "beta": ()}

    def hyperparameters(self, family: Any, total: Array, count: Counts) -> dict[str, Array]:
        """α and β of the probability of success."""
        alpha = self.concentration(total, count)
        return {"alpha": alpha[0], "beta": alpha[1]}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Array, Counts]:
        """The inverse."""
        return values["beta"], (values["alpha"] - 1) / self.successes

    def distribution(self, family: Any, total: Array, count: Counts) -> tuple[Any, Any]:
        """A beta."""
        return Beta(), BetaCoords(*self.concentration(total, count))


def _log_density(alpha: Alpha, logs: Alpha) -> Scalar:
    # Against Π_k dπ_k/π_k, in the form of Loader (2000) with n = Σα and R what Stirling's main term
    # leaves over: R(n) − log n + Σ_k log α_k − R(α_k) − D(α_k, n π_k).
    n = jnp.sum(alpha)
    expected = n * jnp.exp(logs)
    # Where n π_k is no number any more, its logarithm is one.
    tiny = expected < 1e6 * jnp.finfo(expected.dtype).tiny
    far = alpha * (jnp.log(alpha / n) - logs) - alpha
    fit = jnp.where(tiny, far, deviance(alpha, jnp.where(tiny, 1, expected)))
    terms = jnp.log(alpha) - factorial_remainder(alpha) - fit
    return factorial_remainder(n) - jnp.log(n) + jnp.sum(terms)


def _remainder(alpha: Alpha, after: Alpha) -> Scalar:
    # With π = α'/n' and g(a, a') = R(a') − R(a) − log a'/a it is
    # Σ_k g(α_k, α_k') − g(n, n') − Σ_k D(α_k, n π_k): no term is of the size of log Γ.
    n, n_after = jnp.sum(alpha), jnp.sum(after)
    pull = jnp.sum(deviance(alpha, n * (after / n_after)))
    return jnp.sum(narrowing(alpha, after)) - narrowing(n, n_after) - pull


def narrowing(shape: Array, after: Array) -> Array:
    """R(a') − R(a) − log a'/a for shapes of gamma priors, with log Γ(a) = a log a − a + R − log a.

    R − log a is the width of log Z: what log Γ(a) has beyond the height of its integrand.
    """
    change = jnp.log1p((after - shape) / shape)
    return factorial_remainder(after) - factorial_remainder(shape) - change
