"""The geometric family: failures before the first success."""

from typing import Any, final

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
from ..special.logistic import log1mexp, odds
from ..support import Support


@final
class Geometric(AbstractObservedFamily[Array]):
    """Distributions of the number of failures before a success, p(x) = (1 − p)ˣ p.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log(1 − p) | (1 − p)/p | x | 1 |

    References:
        Johnson, Kemp & Kotz, Univariate Discrete Distributions (2005), section 5.2.

    Examples:
        >>> import expfam as ef
        >>> geometric = ef.Geometric()
        >>> round(float(geometric.to_mean(geometric.from_probability(0.25)).coords), 4)
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

    def from_probability(self, probability: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given probability p of success, strictly between 0 and 1."""
        p = jnp.asarray(probability, float)
        return require(
            Natural(jnp.log1p(-p)),
            (p > 0) & (p < 1),
            "Geometric.from_probability: `probability` must lie strictly between 0 and 1.",
        )

    def probability(self, params: Natural[Array]) -> Float[Array, ""]:
        """The probability p of success."""
        self._check_point(params, Natural, "probability", "params")
        return -jnp.expm1(params.coords)

    readers = (probability,)

    @property
    def _conjugacy(self) -> Waiting:
        return Waiting()

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: Array) -> Array:
        return -log1mexp(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return coords * x.astype(coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        return coords * x.astype(coords.dtype) + log1mexp(coords)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        # log(1 − p) with p = 1/(1 + η)
        return -jnp.log1p(1 / off_zero(means))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        return -log1mexp(coords) - coords * odds(coords)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords) & (coords < 0)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        # P(X ≥ x) = e^(θx): the whole part of an exponential waiting time
        return jnp.floor(jax.random.exponential(key, dtype=coords.dtype) / -coords).astype(int)

    def _features(self, x: Array) -> Array:
        return jnp.log1p(x.astype(float))[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return self._from_unconstrained(jax.random.normal(key))

    def _weak_means(self, xs: Array) -> Array:
        return (jnp.mean(xs.astype(float)) + 1) / 2

    def _to_unconstrained(self, coords: Array) -> Array:
        return jnp.log(-coords)

    def _from_unconstrained(self, free: Array) -> Array:
        return -jnp.exp(free)
