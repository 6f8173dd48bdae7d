"""Two-sided families: a distance from a center, with a fair sign."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .. import compiled
from ..base import AbstractExponentialFamily
from ..cells import Whole
from ..conjugacy.carried import Carried, carry
from ..observed import AbstractObservedFamily, is_fully_observed
from ..support import Support

_LOG_2 = 0.6931471805599453


@final
class Symmetrized(AbstractObservedFamily[Any]):
    """The family of y = c ± x, for x ≥ 0 of a given family and a sign of probability ½.

    Mathematically, p(y) = ½ p_base(|y − c|): coordinates and log-normalizer are those of the base,
    the statistic is s(|y − c|). So constructors and readers of the base can be used, as
    `family.base.from_rate(2.0)`.

    Attributes:
        base: the family of the distance x = |y − c|.
        center: c.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> laplace = ef.Symmetrized(ef.Exponential(), center=1.0)
        >>> params = laplace.base.from_rate(2.0)
        >>> float(laplace.density(params, jnp.array(1.0)))
        1.0
    """

    base: AbstractExponentialFamily
    center: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        """Refuse a base of anything but positive numbers, and a center that is not finite."""
        own = self.base.support
        if not (
            isinstance(own, Support)
            and own.shape == ()
            and own.kind in ("nonnegative", "positive")
            and is_fully_observed(self.base)
        ):
            raise TypeError(
                "Symmetrized: `base` must be a family of one number that is not negative, but is "
                f"{self.base!r}."
            )
        if not abs(self.center) < float("inf"):
            raise ValueError(f"Symmetrized: `center` must be finite, but is {self.center}.")

    @property
    def spaces(self) -> Any:
        """Those of the base."""
        return self.base.spaces

    @property
    def support(self) -> Support:
        """Real numbers."""
        return Support((), "real")

    def _distance(self, x: Array) -> Array:
        # A family of positive numbers does not admit 0.
        distance = jnp.abs(x - self.center)
        positive = self.base.support.kind == "positive"
        return jnp.maximum(distance, jnp.finfo(x.dtype).tiny) if positive else distance

    @property
    def _conjugacy(self) -> Carried | None:
        return carry(self.base)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: jnp.asarray(family.center, float))

    def _sufficient_statistic(self, x: Array) -> Any:
        return self.base._sufficient_statistic(self._distance(x))

    def _log_base_measure(self, x: Array) -> Array:
        return self.base._log_base_measure(self._distance(x)) - _LOG_2

    def _log_normalizer(self, coords: Any) -> Array:
        return self.base._log_normalizer(coords)

    def _log_normalizer_given(self, coords: Any, x: Array) -> Array:
        return self.base._log_normalizer_given(coords, self._distance(x)) - _LOG_2

    def _log_density(self, coords: Any, x: Array) -> Array:
        return self.base._log_density(coords, self._distance(x)) - _LOG_2

    def _maximize(self, means: Any, start: Any) -> Any:
        return self.base._maximize(means, start)

    def _estimate(self, xs: Array, shares: Array) -> Any:
        return self.base._estimate(self._distance(xs), shares)

    def _entropy(self, coords: Any) -> Array:
        # that of the distance, and that of the sign
        return self.base._entropy(coords) + _LOG_2

    def _divergence(self, p: Any, q: Any) -> Array:
        return compiled.divergence(self.base, p, q)

    def _in_domain(self, coords: Any) -> Bool[Array, ""]:
        return self.base._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: Any) -> Array:
        first, second = jax.random.split(key)
        distance = self.base._sample(first, coords)
        return self.center + jnp.where(jax.random.bernoulli(second), distance, -distance)

    def _features(self, x: Array) -> Float[Array, " features"]:
        return self.base._features(self._distance(x))

    def _initialize(self, key: Key[Array, ""]) -> Any:
        return self.base._initialize(key)

    def _weak_means(self, xs: Array) -> Any:
        return self.base._weak_means(self._distance(xs))

    def _to_unconstrained(self, coords: Any) -> PyTree[Array]:
        return self.base._to_unconstrained(coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> Any:
        return self.base._from_unconstrained(free)
