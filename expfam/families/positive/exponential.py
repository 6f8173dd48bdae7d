"""The exponential family of waiting times."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.rate import Rate
from ..observed import AbstractObservedFamily, estimate_from_average
from ..special.constants import EULER
from ..support import Support


@final
class Exponential(AbstractObservedFamily[Array]):
    """Distributions of a waiting time without memory, p(x) = λ e^(−λx).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −λ | 1/λ | x | 1 |

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 19.

    Examples:
        >>> import expfam as ef
        >>> exponential = ef.Exponential()
        >>> float(exponential.to_mean(exponential.from_rate(4.0)).coords)
        0.25
    """

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """[0, ∞)."""
        return Support((), "nonnegative")

    def from_rate(self, rate: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given rate λ, positive and finite."""
        value = jnp.asarray(rate, float)
        return require(
            Natural(-value),
            (value > 0) & jnp.isfinite(value),
            "Exponential.from_rate: `rate` must be positive and finite.",
        )

    def rate(self, params: Natural[Array]) -> Float[Array, ""]:
        """The rate λ, one over the mean."""
        self._check_point(params, Natural, "rate", "params")
        return -params.coords

    readers = (rate,)

    @property
    def _conjugacy(self) -> Rate:
        return Rate()

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros((), x.dtype)

    def _log_normalizer(self, coords: Array) -> Array:
        return -jnp.log(-coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return coords * x

    def _log_density(self, coords: Array, x: Array) -> Array:
        return jnp.log(-coords) + coords * x

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return -1 / means

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        return 1 - jnp.log(-coords)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords) & (coords < 0)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        return jax.random.exponential(key, dtype=coords.dtype) / -coords

    def _mean_value(self, coords: Array) -> Array:
        return -1 / coords

    def _mean_logarithm(self, coords: Array) -> Array:
        # digamma(1) − log λ, with Euler's constant
        return -jnp.log(-coords) - jnp.asarray(EULER, coords.dtype)

    def _features(self, x: Array) -> Array:
        return jnp.sqrt(x)[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return self._from_unconstrained(jax.random.normal(key))

    def _weak_means(self, xs: Array) -> Array:
        mean = jnp.mean(xs)
        return jnp.where(mean > 0, mean, 1)

    def _to_unconstrained(self, coords: Array) -> Array:
        return jnp.log(-coords)

    def _from_unconstrained(self, free: Array) -> Array:
        return -jnp.exp(free)
