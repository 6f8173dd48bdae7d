"""The negative binomial family: failures before a fixed number of successes."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.concentration import Waiting
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average
from ..special.counts import count_rule, draw_poisson, expectation
from ..special.gamma import deviance, factorial_remainder, log_choices
from ..special.logistic import log1mexp, odds
from ..support import Support


@final
class NegativeBinomial(AbstractObservedFamily[Array]):
    """Distributions of the number of failures before r successes.

    The density is p(x) = Γ(x + r)/(x! Γ(r)) (1 − p)ˣ pʳ; r need not be whole.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log(1 − p) | r(1 − p)/p | x | Γ(x + r)/(x! Γ(r)) |

    Attributes:
        count: number of successes r, fixed and positive.

    References:
        Johnson, Kemp & Kotz, Univariate Discrete Distributions (2005), chapter 5.

    Examples:
        >>> import expfam as ef
        >>> family = ef.NegativeBinomial(2.0)
        >>> round(float(family.to_mean(family.from_probability(0.25)).coords), 4)
        6.0
    """

    count: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse a count that is not positive."""
        if not isinstance(self.count, (int, float)) or not 0 < self.count < float("inf"):
            raise ValueError(
                f"NegativeBinomial: `count` must be a positive number, but is {self.count}."
            )

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """0, 1, 2, …."""
        return Support((), "count")

    def from_probability(self, probability: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given probability p of success, strictly between 0 and 1."""
        p = jnp.asarray(probability, float)
        return require(
            Natural(jnp.log1p(-p)),
            (p > 0) & (p < 1),
            "NegativeBinomial.from_probability: `probability` must lie strictly between 0 and 1.",
        )

    def probability(self, params: Natural[Array]) -> Float[Array, ""]:
        """The probability p of success."""
        self._check_point(params, Natural, "probability", "params")
        return -jnp.expm1(params.coords)

    readers = (probability,)

    @property
    def _conjugacy(self) -> Waiting:
        return Waiting(self.count)

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        # r/(x + r) of the number of ways to have r successes among x + r trials
        count, r = x.astype(float), jnp.asarray(self.count, float)
        total = count + r
        return log_choices(total, jnp.stack([count, r])) + jnp.log(r / total)

    def _log_normalizer(self, coords: Array) -> Array:
        return -self.count * log1mexp(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return coords * x.astype(coords.dtype) + self._log_base_measure(x).astype(coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # r/(x + r) of the binomial probability of r successes among x + r trials
        r = jnp.asarray(self.count, coords.dtype)
        count = x.astype(coords.dtype)
        total = count + r
        remainders = [factorial_remainder(value) for value in (total, count, r)]
        fit = deviance(count, total * jnp.exp(coords)) + deviance(r, -total * jnp.expm1(coords))
        return jnp.log(r / total) + remainders[0] - remainders[1] - remainders[2] - fit

    def _maximize(self, means: Array, start: Array | None) -> Array:
        # log(1 − p) with p = r/(r + η)
        return -jnp.log1p(self.count / off_zero(means))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        # The tail falls like e^(θx): 60 of its lengths beyond twelve standard deviations.
        mean = self.count * odds(coords)
        deviation = jnp.sqrt(mean * (1 + odds(coords)))
        rule = count_rule(mean - 12 * deviation, mean + 12 * deviation - 60 / coords)

        def surprise(x: Array) -> Array:
            return -self._log_density(coords, x)

        return expectation(rule, lambda x: -surprise(x), surprise)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords) & (coords < 0)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        # a Poisson whose rate has a gamma distribution with mean r (1 − p)/p
        first, second = jax.random.split(key)
        count = jnp.asarray(self.count, coords.dtype)
        log_draw = jax.random.loggamma(first, count, dtype=coords.dtype)
        return draw_poisson(second, jnp.exp(log_draw) * odds(coords))

    def _features(self, x: Array) -> Array:
        return jnp.log1p(x.astype(float))[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return self._from_unconstrained(jax.random.normal(key))

    def _weak_means(self, xs: Array) -> Array:
        return (jnp.mean(xs.astype(float)) + self.count) / 2

    def _to_unconstrained(self, coords: Array) -> Array:
        return jnp.log(-coords)

    def _from_unconstrained(self, free: Array) -> Array:
        return -jnp.exp(free)
