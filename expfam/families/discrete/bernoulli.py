"""The Bernoulli family: one binary variable."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.concentration import Trials
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special.logistic import divergence, softplus
from ..support import Support


@final
class Bernoulli(AbstractObservedFamily[Array]):
    """Distributions of a binary variable, p(x) = pˣ(1 − p)¹⁻ˣ.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log p/(1 − p) | p | x | 1 |

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> bernoulli = ef.Bernoulli()
        >>> round(float(bernoulli.probability(bernoulli.from_probability(0.25))), 4)
        0.25
    """

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """0 or 1."""
        return Support((), "binary")

    def from_probability(self, probability: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given probability of 1, strictly between 0 and 1."""
        p = jnp.asarray(probability, float)
        return require(
            Natural(jnp.log(p) - jnp.log1p(-p)),
            (p > 0) & (p < 1),
            "Bernoulli.from_probability: `probability` must lie strictly between 0 and 1.",
        )

    def probability(self, params: Natural[Array]) -> Float[Array, ""]:
        """The probability of 1."""
        self._check_point(params, Natural, "probability", "params")
        return jax.nn.sigmoid(params.coords)

    readers = (probability,)

    @property
    def _conjugacy(self) -> Trials:
        return Trials()

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: Array) -> Array:
        return softplus(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return coords * x.astype(coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # −log(1 + exp(∓θ)): no difference of large numbers
        return -jax.nn.softplus(jnp.where(x > 0, -coords, coords))

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return jnp.log(off_zero(means)) - jnp.log(off_zero(1 - means))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        p, rest = jax.nn.sigmoid(coords), jax.nn.sigmoid(-coords)
        return p * jax.nn.softplus(-coords) + rest * jax.nn.softplus(coords)

    def _divergence(self, p: Array, q: Array) -> Array:
        return divergence(jnp.stack([jnp.zeros_like(p), p]), jnp.stack([jnp.zeros_like(q), q]))

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        return jax.random.bernoulli(key, jax.nn.sigmoid(coords)).astype(jnp.int32)

    def _features(self, x: Array) -> Array:
        return x.astype(float)[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key)

    def _weak_means(self, xs: Array) -> Array:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free
