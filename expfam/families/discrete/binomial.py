"""The binomial family: successes among a fixed number of trials."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.concentration import Trials
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special.counts import Rule, count_rule, draw_binomial, expectation
from ..special.gamma import deviance, factorial_remainder, log_choices
from ..special.logistic import divergence, sigmoid, softplus
from ..support import Support


@final
class Binomial(AbstractObservedFamily[Array]):
    """Distributions of the number of successes among n trials, p(x) = C(n, x) pˣ(1 − p)ⁿ⁻ˣ.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | log p/(1 − p) | np | x | C(n, x) |

    Attributes:
        n_trials: number of trials n.

    References:
        Loader, Fast and accurate computation of binomial probabilities (2000).

    Examples:
        >>> import expfam as ef
        >>> binomial = ef.Binomial(10)
        >>> round(float(binomial.to_mean(binomial.from_probability(0.25)).coords), 4)
        2.5
    """

    n_trials: int = eqx.field(static=True, converter=whole("Binomial", "n_trials", 1))

    @property
    def spaces(self) -> Any:
        """ℝ."""
        return Euclidean(())

    @property
    def support(self) -> Support:
        """0 … n."""
        return Support((), "bounded count", limit=self.n_trials)

    def from_probability(self, probability: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given probability p of success, strictly between 0 and 1."""
        p = jnp.asarray(probability, float)
        return require(
            Natural(jnp.log(p) - jnp.log1p(-p)),
            (p > 0) & (p < 1),
            "Binomial.from_probability: `probability` must lie strictly between 0 and 1.",
        )

    def probability(self, params: Natural[Array]) -> Float[Array, ""]:
        """The probability p of success."""
        self._check_point(params, Natural, "probability", "params")
        return jax.nn.sigmoid(params.coords)

    readers = (probability,)

    @property
    def _conjugacy(self) -> Trials:
        return Trials(self.n_trials)

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x.astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        n, count = jnp.asarray(self.n_trials, float), x.astype(float)
        return log_choices(n, jnp.stack([count, n - count]))

    def _log_normalizer(self, coords: Array) -> Array:
        return self.n_trials * softplus(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        count = x.astype(coords.dtype)
        return coords * count + self._log_base_measure(x).astype(coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        # R(n) − R(x) − R(n − x) − D(x, np) − D(n − x, n(1 − p))
        n = jnp.asarray(self.n_trials, coords.dtype)
        count = x.astype(coords.dtype)
        misses = n - count
        remainders = [factorial_remainder(value) for value in (n, count, misses)]
        fit = deviance(count, n * sigmoid(coords)) + deviance(misses, n * sigmoid(-coords))
        return remainders[0] - remainders[1] - remainders[2] - fit

    def _maximize(self, means: Array, start: Array | None) -> Array:
        n = self.n_trials
        return jnp.log(off_zero(means, n)) - jnp.log(off_zero(n - means, n))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        return self._expect(coords, lambda x: -self._log_density(coords, x))

    def _expect(self, coords: Array, function: Callable[[Array], Array]) -> Array:
        # E[f(X)]. Where p > ½, failures are summed over in place of successes, so that the mean is
        # at most n/2 and the end of the range far off.
        theta, n = jnp.where(coords > 0, -coords, coords), self.n_trials
        mean = n * sigmoid(theta)
        width = 12 * jnp.sqrt(mean * sigmoid(-theta)) + 40
        rule = count_rule(mean - width, jnp.minimum(mean + width, n))
        inside = rule.points <= n
        points = jnp.where(inside, rule.points, 0)

        def log_mass(x: Array) -> Array:
            return jnp.where(inside, self._log_density(theta, x), -jnp.inf)

        def value(x: Array) -> Array:
            return function(jnp.where(coords > 0, n - x, x))

        return expectation(Rule(points, rule.log_weights), log_mass, value)

    def _divergence(self, p: Array, q: Array) -> Array:
        one, other = (jnp.stack([jnp.zeros_like(theta), theta]) for theta in (p, q))
        return self.n_trials * divergence(one, other)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.isfinite(coords)

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        return draw_binomial(key, self.n_trials, coords)

    def _features(self, x: Array) -> Array:
        # The arcsine of the root has nearly the same variance at every p (Anscombe 1948).
        share = (x.astype(float) + 3 / 8) / (self.n_trials + 3 / 4)
        return jnp.arcsin(jnp.sqrt(share))[None]

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key)

    def _weak_means(self, xs: Array) -> Array:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free
