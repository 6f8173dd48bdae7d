"""The categorical family: one of K categories."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..conjugacy.concentration import Trials
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special.logistic import divergence, logsumexp, surprisals
from ..support import Support


@final
class Categorical(AbstractObservedFamily[Array]):
    """Distributions over K categories 0 … K − 1, with category 0 as the reference.

    | natural θ_k | mean η_k | statistic s_k(x) | base measure |
    | --- | --- | --- | --- |
    | log π_k/π_0 | π_k | 1[x = k] | 1 |

    for k = 1 … K − 1.

    Attributes:
        n_categories: number of categories K.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> categorical = ef.Categorical(3)
        >>> params = categorical.from_probabilities(jnp.array([0.5, 0.25, 0.25]))
        >>> [round(float(p), 2) for p in categorical.probabilities(params)]
        [0.5, 0.25, 0.25]
    """

    n_categories: int = eqx.field(static=True, converter=whole("Categorical", "n_categories", 1))

    @property
    def spaces(self) -> Any:
        """ℝ^(K−1)."""
        return Euclidean((self.n_categories - 1,))

    @property
    def support(self) -> Support:
        """0 … K − 1."""
        return Support((), "category", self.n_categories)

    def from_probabilities(self, probabilities: Float[Array, " k"]) -> Natural[Array]:
        """The distribution with given positive probabilities, shape `(K,)`, that sum to one."""
        if jnp.shape(probabilities) != (self.n_categories,):
            raise ValueError(
                "Categorical.from_probabilities: `probabilities` must have shape "
                f"({self.n_categories},), but has shape {jnp.shape(probabilities)}."
            )
        p = jnp.asarray(probabilities, float)
        tolerance = self.n_categories * 4 * jnp.finfo(p.dtype).eps ** 0.5
        return require(
            Natural(jnp.log(p[1:]) - jnp.log(p[0])),
            jnp.all(p > 0) & (jnp.abs(jnp.sum(p) - 1) < tolerance),
            "Categorical.from_probabilities: `probabilities` must be positive and sum to one.",
        )

    def probabilities(self, params: Natural[Array]) -> Float[Array, " k"]:
        """The probabilities of all K categories."""
        self._check_point(params, Natural, "probabilities", "params")
        return jax.nn.softmax(self._logits(params.coords))

    readers = (probabilities,)

    def _logits(self, coords: Array) -> Array:
        return jnp.concatenate([jnp.zeros((1,), coords.dtype), coords])

    @property
    def _conjugacy(self) -> Trials:
        return Trials()

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: jax.nn.softmax(family._logits(coords)))

    def _sufficient_statistic(self, x: Array) -> Array:
        return (x == jnp.arange(1, self.n_categories)).astype(float)

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: Array) -> Array:
        return logsumexp(self._logits(coords))

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return self._logits(coords)[x.astype(int)]

    def _log_density(self, coords: Array, x: Array) -> Array:
        return -surprisals(self._logits(coords))[x.astype(int)]

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return jnp.log(off_zero(means)) - jnp.log(off_zero(1 - jnp.sum(means)))

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

    def _entropy(self, coords: Array) -> Array:
        own = surprisals(self._logits(coords))
        return jnp.sum(jnp.exp(-own) * own)

    def _divergence(self, p: Array, q: Array) -> Array:
        return divergence(self._logits(p), self._logits(q))

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(coords))

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        return jax.random.categorical(key, self._logits(coords))

    def _features(self, x: Array) -> Array:
        return (x == jnp.arange(self.n_categories)).astype(float)

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key, (self.n_categories - 1,))

    def _weak_means(self, xs: Array) -> Array:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free
