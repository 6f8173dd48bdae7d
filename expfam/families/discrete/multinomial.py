"""The multinomial family: counts of K categories among a fixed number of trials."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.points import Natural
from ..cells import Whole
from ..conjugacy.concentration import Trials
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special.gamma import deviance, factorial_remainder, log_choices
from ..special.logistic import sigmoid
from ..support import Support
from .binomial import Binomial
from .categorical import Categorical


@final
class Multinomial(AbstractObservedFamily[Array]):
    """Distributions of the counts of K categories among n trials, p(x) = n! Π_k π_k^x_k / x_k!.

    | natural θ_k | mean η_k | statistic s_k(x) | base measure |
    | --- | --- | --- | --- |
    | log π_k/π_0 | n π_k | x_k | n!/Π_j x_j! |

    for k = 1 … K − 1, with category 0 as the reference.

    Attributes:
        n_trials: number of trials n.
        n_categories: number of categories K.

    References:
        Johnson, Kotz & Balakrishnan, Discrete Multivariate Distributions (1997), chapter 35.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> multinomial = ef.Multinomial(10, 3)
        >>> params = multinomial.from_probabilities(jnp.array([0.5, 0.25, 0.25]))
        >>> [round(float(m), 2) for m in multinomial.to_mean(params).coords]
        [2.5, 2.5]
    """

    n_trials: int = eqx.field(static=True, converter=whole("Multinomial", "n_trials", 1))
    n_categories: int = eqx.field(static=True, converter=whole("Multinomial", "n_categories", 1))

    @property
    def spaces(self) -> Any:
        """ℝ^(K−1)."""
        return self._one_trial.spaces

    @property
    def support(self) -> Support:
        """Vectors of K counts that sum to n."""
        return Support((self.n_categories,), "counts of a total", limit=self.n_trials)

    @property
    def _one_trial(self) -> Categorical:
        return Categorical(self.n_categories)

    def from_probabilities(self, probabilities: Float[Array, " k"]) -> Natural[Array]:
        """The distribution with given positive probabilities, shape `(K,)`, that sum to one."""
        if jnp.shape(probabilities) != (self.n_categories,):
            raise ValueError(
                "Multinomial.from_probabilities: `probabilities` must have shape "
                f"({self.n_categories},), but has shape {jnp.shape(probabilities)}."
            )
        p = jnp.asarray(probabilities, float)
        tolerance = self.n_categories * 4 * jnp.finfo(p.dtype).eps ** 0.5
        return require(
            Natural(jnp.log(p[1:]) - jnp.log(p[0])),
            jnp.all(p > 0) & (jnp.abs(jnp.sum(p) - 1) < tolerance),
            "Multinomial.from_probabilities: `probabilities` must be positive and sum to one.",
        )

    def probabilities(self, params: Natural[Array]) -> Float[Array, " k"]:
        """The probabilities of all K categories."""
        self._check_point(params, Natural, "probabilities", "params")
        return jax.nn.softmax(self._one_trial._logits(params.coords))

    readers = (probabilities,)

    @property
    def _conjugacy(self) -> Trials:
        return Trials(self.n_trials)

    @property
    def _cells(self) -> Whole:
        return Whole(
            lambda family, coords: (
                family.n_trials * jax.nn.softmax(family._one_trial._logits(coords))
            )
        )

    def _sufficient_statistic(self, x: Array) -> Array:
        return x[1:].astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return log_choices(jnp.asarray(self.n_trials, float), x.astype(float))

    def _log_normalizer(self, coords: Array) -> Array:
        return self.n_trials * self._one_trial._log_normalizer(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        counts = x[1:].astype(coords.dtype)
        return jnp.dot(coords, counts) + self._log_base_measure(x).astype(coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # R(n) − Σ_k R(x_k) + D(x_k, nπ_k): neither factorials nor powers
        n = jnp.asarray(self.n_trials, coords.dtype)
        counts = x.astype(coords.dtype)
        expected = n * jax.nn.softmax(self._one_trial._logits(coords))
        terms = factorial_remainder(counts) + deviance(counts, expected)
        return factorial_remainder(n) - jnp.sum(terms)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        n = self.n_trials
        return jnp.log(off_zero(means, n)) - jnp.log(off_zero(n - jnp.sum(means), n))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        # −R(n) + Σ_k E[R(x_k) + D(x_k, nπ_k)], where x_k is binomial with n trials and π_k
        logits = self._one_trial._logits(coords)
        others = jnp.where(jnp.eye(self.n_categories, dtype=bool), -jnp.inf, logits)
        log_odds = logits - jax.nn.logsumexp(others, axis=1)
        trials = Binomial(self.n_trials)

        def part(theta: Array) -> Array:
            expected = self.n_trials * sigmoid(theta)
            return trials._expect(theta, lambda x: factorial_remainder(x) + deviance(x, expected))

        if self.n_categories == 1:
            return jnp.zeros((), coords.dtype)
        n = jnp.asarray(self.n_trials, coords.dtype)
        return jnp.sum(jax.vmap(part)(log_odds)) - factorial_remainder(n)

    def _divergence(self, p: Array, q: Array) -> Array:
        return self.n_trials * self._one_trial._divergence(p, q)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(coords))

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        p = jax.nn.softmax(self._one_trial._logits(coords))
        n = jnp.asarray(self.n_trials, coords.dtype)
        return jax.random.multinomial(key, n, p, dtype=coords.dtype).astype(int)

    def _features(self, x: Array) -> Array:
        return jnp.sqrt(x.astype(float) / self.n_trials)

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key, (self.n_categories - 1,))

    def _weak_means(self, xs: Array) -> Array:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free
