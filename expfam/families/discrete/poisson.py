"""The Poisson family: counts."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.rate import LogRate
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special.counts import draw_poisson
from ..special.gamma import deviance, factorial_remainder
from ..support import Support

# Entropy: the sum over counts below a rate of 200, an asymptotic series above (relative error
# below 1e-12 from there on; Evans & Boersma 1988).
_SUM_BELOW = 200.0
_SUM_TERMS = 512


@final
class Poisson(AbstractObservedFamily[Array]):
    """Distributions of counts, p(x) = λˣ e^(−λ) / x!.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log λ | λ | x | 1/x! |

    Examples:
        >>> import expfam as ef
        >>> poisson = ef.Poisson()
        >>> round(float(poisson.rate(poisson.from_rate(3.0))), 4)
        3.0
    """

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """0, 1, 2, …."""
        return Support((), "count")

    def from_rate(self, rate: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given rate λ, positive and finite."""
        value = jnp.asarray(rate, float)
        return require(
            Natural(jnp.log(value)),
            (value > 0) & jnp.isfinite(value),
            "Poisson.from_rate: `rate` must be positive and finite.",
        )

    def rate(self, params: Natural[Array]) -> Float[Array, ""]:
        """The rate λ, which is the mean and the variance."""
        self._check_point(params, Natural, "rate", "params")
        return jnp.exp(params.coords)

    readers = (rate,)

    @property
    def _conjugacy(self) -> LogRate:
        return LogRate()

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return -gammaln(x.astype(float) + 1)

    def _log_normalizer(self, coords: Array) -> Array:
        return jnp.exp(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        count = x.astype(coords.dtype)
        return coords * count - gammaln(count + 1)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # x log λ − λ − log x! in the form of Loader (2000): −R(x) − D(x, λ)
        count = x.astype(coords.dtype)
        return -factorial_remainder(count) - deviance(count, jnp.exp(coords))

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return jnp.log(off_zero(means))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        rate = jnp.exp(coords)
        counts = jnp.arange(_SUM_TERMS, dtype=coords.dtype)
        logs = -factorial_remainder(counts) - deviance(counts, rate)
        exact = -jnp.sum(jnp.exp(logs) * logs)
        inverse = 1 / jnp.maximum(rate, _SUM_BELOW)
        tail = inverse * (1 / 12 + inverse * (1 / 24 + inverse * (19 / 360 + inverse * 9 / 80)))
        asymptotic = 0.5 * (jnp.log(2 * jnp.pi) + 1 + coords) - tail
        return jnp.where(rate < _SUM_BELOW, exact, asymptotic)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(jnp.exp(coords)) & jnp.isfinite(coords)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        return draw_poisson(key, jnp.exp(coords))

    def _features(self, x: Array) -> Array:
        # The square root has nearly the same variance at every rate (Anscombe 1948).
        return jnp.sqrt(x.astype(float) + 3 / 8)[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key)

    def _weak_means(self, xs: Array) -> Array:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free
