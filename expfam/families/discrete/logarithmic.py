"""The logarithmic (log-series) family of positive counts."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.roots import solve_decreasing
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.integrals import Abundance
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average
from ..special.counts import count_rule, expectation
from ..special.logistic import log1mexp, odds
from ..support import Support


@final
class Logarithmic(AbstractObservedFamily[Array]):
    """Distributions of positive counts, p(x) = −pˣ/(x log(1 − p)): species by abundance.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log p | −p/((1 − p) log(1 − p)) | x | 1/x |

    References:
        Fisher, Corbet & Williams, The relation between the number of species and the number of
        individuals (1943); Kemp, Efficient generation of logarithmically distributed
        pseudo-random variables (1981), for sampling.

    Examples:
        >>> import expfam as ef
        >>> family = ef.Logarithmic()
        >>> round(float(family.to_mean(family.from_probability(0.5)).coords), 4)
        1.4427
    """

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """1, 2, 3, …."""
        return Support((), "positive count")

    def from_probability(self, probability: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given p, strictly between 0 and 1."""
        p = jnp.asarray(probability, float)
        return require(
            Natural(jnp.log(p)),
            (p > 0) & (p < 1),
            "Logarithmic.from_probability: `probability` must lie strictly between 0 and 1.",
        )

    def probability(self, params: Natural[Array]) -> Float[Array, ""]:
        """The parameter p."""
        self._check_point(params, Natural, "probability", "params")
        return jnp.exp(params.coords)

    readers = (probability,)

    @property
    def _conjugacy(self) -> Abundance:
        return Abundance()

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return -jnp.log(x.astype(float))

    def _log_normalizer(self, coords: Array) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        count = x.astype(coords.dtype)
        return coords * count - jnp.log(count)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # θx − ψ = θ(x − 1) − (ψ − θ): all terms are small where p is
        count = x.astype(coords.dtype)
        return coords * (count - 1) - jnp.log(count) - _log_ratio(coords)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        # 1. With p = 1 − e^(−u) the mean is (eᵘ − 1)/u. It increases in u from 1, and is more than
        #    1 + u/2; its root is below 2 log η + 2, and above 2(η − 1)/η.
        # 2. Solved for log u, on the scale of log(η − 1).
        above_one = off_zero(means - 1)
        excess_wanted = jnp.log(above_one)

        def excess(log_u: Array, wanted: Array) -> Array:
            return wanted - _log_excess(jnp.exp(log_u))

        low = jnp.log(2 * above_one / means)
        high = jnp.log(jnp.minimum(2 * above_one, 2 * jnp.log(means) + 2))
        u = jnp.exp(solve_decreasing(excess, excess_wanted, low - 0.1, high + 0.1))
        return log1mexp(-u)

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        # The tail falls like e^(θx). The rule sums over x = 0, 1, …; 0 is x = 1, without weight.
        def log_mass(x: Array) -> Array:
            values = self._log_density(coords, jnp.maximum(x, 1))
            return jnp.where(x < 1, -jnp.inf, values)

        rule = count_rule(jnp.zeros_like(coords), -60 / coords)
        return expectation(rule, log_mass, lambda x: -self._log_density(coords, jnp.maximum(x, 1)))

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords) & (coords < 0)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        # A geometric count with log q = log(1 − (1 − p)ᵘ), u uniform, is logarithmic.
        first, second = jax.random.split(key)
        u = jax.random.uniform(first, dtype=coords.dtype)
        waiting = jax.random.exponential(second, dtype=coords.dtype)
        log_q = log1mexp(jnp.minimum(u * log1mexp(coords), -jnp.finfo(coords.dtype).tiny))
        return 1 + jnp.floor(waiting / -log_q).astype(int)

    def _features(self, x: Array) -> Array:
        return jnp.log(x.astype(float))[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return self._from_unconstrained(jax.random.normal(key))

    def _weak_means(self, xs: Array) -> Array:
        return (jnp.mean(xs.astype(float)) + 2) / 2

    def _to_unconstrained(self, coords: Array) -> Array:
        return jnp.log(-coords)

    def _from_unconstrained(self, free: Array) -> Array:
        return -jnp.exp(free)


@jax.custom_jvp
def _log_normalizer(theta: Array) -> Array:
    # log(−log(1 − p))
    return theta + _log_ratio(theta)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), _mean(*primals) * tangents[0]


@jax.custom_jvp
def _mean(theta: Array) -> Array:
    # p/(1 − p) over −log(1 − p); of rare p, with both over p, which may be too small for a number
    rare = theta < -2
    low, high = jnp.where(rare, theta, -2), jnp.where(rare, -2, theta)
    near_one = jnp.exp(-log1mexp(low) - _log_ratio(low))
    return jnp.where(rare, near_one, odds(high) / -log1mexp(high))


@_mean.defjvp
def _mean_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # The variance η (1/(1 − p) − η): with p = 1 − e^(−u) it is η (eᵘ − (eᵘ − 1)/u).
    (theta,) = primals
    u = -log1mexp(theta)
    low, high = jnp.minimum(u, 0.5), jnp.maximum(u, 0.5)
    gap = jnp.where(u < 0.5, _variance_series(low), jnp.exp(high) - jnp.expm1(high) / high)
    return _mean(theta), _mean(theta) * gap * tangents[0]


def _log_ratio(theta: Array) -> Array:
    # log(−log(1 − p)/p) = log(1 + p/2 + p²/3 + …)
    p = jnp.exp(theta)
    small = jnp.where(p < 0.1, p, 0.1)
    series = jnp.zeros_like(p)
    for k in range(20, 1, -1):
        series = (series + 1 / k) * small
    far = jnp.where(p < 0.1, -1, theta)
    return jnp.where(p < 0.1, jnp.log1p(series), jnp.log(-log1mexp(far)) - far)


def _log_excess(u: Array) -> Array:
    # log((eᵘ − 1)/u − 1) = log(u/2 + u²/6 + …)
    low = jnp.minimum(u, 0.5)
    series = jnp.zeros_like(u)
    for k in range(16, 2, -1):
        series = (series + 1) * low / k
    near = jnp.log(low / 2) + jnp.log1p(series)
    high = jnp.clip(u, 0.5, None)
    return jnp.where(u < 0.5, near, high - jnp.log(high) + jnp.log1p(-(1 + high) * jnp.exp(-high)))


def _variance_series(u: Array) -> Array:
    # eᵘ − (eᵘ − 1)/u = Σ_k uᵏ k/(k + 1)!, k ≥ 1
    total, factorial = jnp.zeros_like(u), 1.0
    power = jnp.ones_like(u)
    for k in range(1, 17):
        power, factorial = power * u, factorial * (k + 1)
        total = total + power * (k / factorial)
    return total
