"""Push-forwards: the families of y = f(x) for a bijection f of the data."""

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .. import compiled
from ..base import AbstractExponentialFamily
from ..cells import AbstractCells, conditional, draw, log_evidence, log_normalizer_given
from ..conjugacy.carried import Carried, carry
from ..observations import Incomplete
from ..observed import AbstractObservedFamily, is_fully_observed
from ..support import Support
from .bijections import AbstractBijection


@final
class PushForward(AbstractObservedFamily[Any]):
    """The family of y = f(x), for x of a given family and a bijection f.

    Mathematically, p(y) = p_base(f⁻¹(y)) / |det f'(f⁻¹(y))|: coordinates and log-normalizer are
    those of the base, the statistic is s(f⁻¹(y)), and the base measure gets the Jacobian. So
    divergences, Fisher information and both charts do not change, and constructors and readers of
    the base can be used: `family.base.from_rate(2.0)` is a point of `family`.

    Attributes:
        base: the family of x, of single numbers or vectors that are real or positive. It must have
            E[log |f'(x)|] in closed form, for the entropy.
        bijection: f, e.g. `ExponentialMap()`.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.PushForward(ef.Exponential(), ef.LogarithmMap())
        >>> params = family.base.from_rate(2.0)
        >>> float(family.log_density(params, jnp.array(0.0)).round(3))
        -1.307
    """

    base: AbstractExponentialFamily
    bijection: AbstractBijection

    def __check_init__(self) -> None:
        """Refuse a base that the bijection is not defined on, or that has no closed entropy."""
        own = self.base.support
        if not isinstance(own, Support) or not is_fully_observed(self.base):
            raise TypeError(
                "PushForward: `base` must be a family of one array without latent variables, but "
                f"is {self.base!r}."
            )
        if self.bijection.image(own) is None:
            raise TypeError(
                f"PushForward: {self.bijection!r} is not defined on the support of `base`, "
                f"{own.values}."
            )
        if self.bijection.mean_log_slope(self.base) is None:
            raise TypeError(
                f"PushForward: the entropy under {self.bijection!r} needs E[x] or E[log x], which "
                f"`base`, {self.base!r}, does not have in closed form. Give the family a kernel "
                "`_mean_value` or `_mean_logarithm` of its natural coordinates."
            )

    @property
    def spaces(self) -> Any:
        """Those of the base."""
        return self.base.spaces

    @property
    def support(self) -> Support:
        """The image of that of the base."""
        support = self.bijection.image(self.base.support)
        assert support is not None  # checked above
        return support

    @property
    def _cells(self) -> "MappedCells":
        return MappedCells()

    @property
    def _conjugacy(self) -> Carried | None:
        return carry(self.base)

    def _sufficient_statistic(self, x: Array) -> Any:
        return self._carried(self.base._sufficient_statistic, x)

    def _log_base_measure(self, x: Array) -> Array:
        return self._carried(
            lambda x: self.base._log_base_measure(x) - self.bijection.log_slope(x), x
        )

    def _log_normalizer(self, coords: Any) -> Array:
        return self.base._log_normalizer(coords)

    def _log_normalizer_given(self, coords: Any, x: Array) -> Array:
        return self._carried(
            lambda x: self.base._log_normalizer_given(coords, x) - self.bijection.log_slope(x), x
        )

    def _log_density(self, coords: Any, x: Array) -> Array:
        return self._carried(
            lambda x: self.base._log_density(coords, x) - self.bijection.log_slope(x), x
        )

    def _carried(self, kernel: Callable[[Array], Any], x: Array) -> Any:
        # Where the origin falls below the smallest number, kernels are linear in its logarithm:
        # as far below as it is, with the slope at a number that is small, and no end of the type.
        value, below = kernel(self.bijection.inverse(x)), self.bijection.log_below(x)
        if below is None:
            return value
        small = jnp.finfo(below.dtype).tiny ** 0.5
        point = jnp.where(below < 0, small, 1).astype(below.dtype)
        _, rise = jax.jvp(kernel, (point,), (point * below,))
        return jax.tree.map(jnp.add, value, rise)

    def _maximize(self, means: Any, start: Any) -> Any:
        return self.base._maximize(means, start)

    def _estimate(self, xs: Array, shares: Array) -> Any:
        return self.base._estimate(jax.vmap(self.bijection.inverse)(xs), shares)

    def _entropy(self, coords: Any) -> Array:
        mean_log_slope = self.bijection.mean_log_slope(self.base)
        assert mean_log_slope is not None  # checked above
        return self.base._entropy(coords) + mean_log_slope(coords)

    def _divergence(self, p: Any, q: Any) -> Array:
        return compiled.divergence(self.base, p, q)

    def _in_domain(self, coords: Any) -> Bool[Array, ""]:
        return self.base._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: Any) -> Array:
        return self.bijection.draw(self.base)(key, coords)

    def _features(self, x: Array) -> Float[Array, " features"]:
        return self.base._features(self.bijection.inverse(x))

    def _initialize(self, key: Key[Array, ""]) -> Any:
        return self.base._initialize(key)

    def _weak_means(self, xs: Array) -> Any:
        return self.base._weak_means(jax.vmap(self.bijection.inverse)(xs))

    def _to_unconstrained(self, coords: Any) -> PyTree[Array]:
        return self.base._to_unconstrained(coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> Any:
        return self.base._from_unconstrained(free)


@final
class MappedCells(AbstractCells):
    """What is missing of f(x) is missing of x, entry by entry."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """That of the base, with the slope at the cells seen."""
        origin = _origin(family, x)
        return log_normalizer_given(family.base, coords, origin) - _log_slope(family, origin)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """That of the base, with the slope at the cells seen."""
        origin = _origin(family, x)
        return log_evidence(family.base, coords, origin) - _log_slope(family, origin)

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """The expectation of f(x) has no closed form."""
        raise TypeError(
            f"{family!r}: the expectation of a missing cell has no closed form; draw it with "
            "`sample_missing`."
        )

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """f of draws."""
        drawn = family.bijection.forward(draw(family.base, key, coords, _origin(family, x)))
        return jnp.where(x.observed, x.values, drawn)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """The push-forward of the conditional."""
        found = conditional(family.base, coords, _origin(family, x))
        return None if found is None else (PushForward(found[0], family.bijection), found[1])


def _origin(family: Any, x: Incomplete) -> Incomplete:
    return Incomplete(family.bijection.inverse(x.values), x.observed)


def _log_slope(family: Any, origin: Incomplete) -> Float[Array, ""]:
    slopes = jax.vmap(family.bijection.log_slope)(jnp.ravel(origin.values))
    return jnp.sum(jnp.where(jnp.ravel(origin.observed), slopes, 0))
