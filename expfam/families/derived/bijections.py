"""Bijections of data, with the supports that they map and the logarithm of their slope.

A bijection y = f(x) acts on every entry of a data point. The entropy of a push-forward needs
E[log |f'(x)|], which is E[x] or E[log x] for the maps here: families that have these in closed form
offer them as the kernels `_mean_value` and `_mean_logarithm` of natural coordinates.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..compiled import dtype_of
from ..support import Kind, Support


def capability(family: Any, kernel: str) -> Callable[..., Array] | None:
    """A kernel that only some families have, such as `_mean_logarithm`; `None` without it."""
    return getattr(family, kernel, None)


def as_floats(values: Any) -> Float[Array, "..."]:
    """Values of a setting of a family, as an array of JAX's floating-point type."""
    return jnp.asarray(values, float)


class AbstractBijection(eqx.Module):
    """A smooth bijection y = f(x) of single numbers, applied to every entry of the data."""

    @abstractmethod
    def image(self, support: Support) -> Support | None:
        """The support that a support is mapped to; `None` where the map is not defined on it."""

    @abstractmethod
    def forward(self, x: Array) -> Array:
        """y = f(x)."""

    @abstractmethod
    def inverse(self, y: Array) -> Array:
        """x = f⁻¹(y)."""

    @abstractmethod
    def log_below(self, y: Array) -> Array | None:
        """log f⁻¹(y), less that of the smallest number, where it is below that; else 0.

        There `inverse` is rounded to the smallest number. `None` where that cannot be.
        """

    @abstractmethod
    def log_slope(self, x: Array) -> Float[Array, ""]:
        """log |det f'(x)|: the sum of log |f'(x_i)| over the entries."""

    @abstractmethod
    def mean_log_slope(self, family: Any) -> Callable[[Any], Array] | None:
        """E[log |det f'(x)|] as a function of the natural coordinates of the family of x.

        `None` where the family does not have it in closed form.
        """

    @abstractmethod
    def draw(self, family: Any) -> Callable[[Any, Any], Array]:
        """A sampler (key, natural coordinates) of y = f(x), by way of log x where that is exact."""


@final
class ExponentialMap(AbstractBijection):
    """y = m eˣ, from real numbers to positive ones, or from x ≥ 0 to y ≥ m.

    Attributes:
        scale: m, positive.
    """

    scale: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        """Refuse a scale that is not positive."""
        check_positive(self.scale, "ExponentialMap", "scale")

    def image(self, support: Support) -> Support | None:
        """Positive numbers, or numbers of at least m."""
        if support.kind == "nonnegative":
            return Support(support.shape, "at least", whole=support.whole, bound=self.scale)
        return _with_kind(support, "positive") if support.kind == "real" else None

    def forward(self, x: Array) -> Array:
        """m eˣ, rounded to the positive numbers of the type."""
        return _representable(self.scale * jnp.exp(x))

    def inverse(self, y: Array) -> Array:
        """log y/m, with its relative precision where y is close to m."""
        gap = (y - self.scale) / self.scale
        near = jnp.abs(gap) < 0.5
        return jnp.where(near, jnp.log1p(jnp.where(near, gap, 0)), jnp.log(y / self.scale))

    def log_below(self, y: Array) -> None:
        """Never."""
        return

    def log_slope(self, x: Array) -> Float[Array, ""]:
        """Σ x + log m."""
        return jnp.sum(x + self._log_scale(x))

    def mean_log_slope(self, family: Any) -> Callable[[Any], Array] | None:
        """Σ E[x] + log m."""
        mean = capability(family, "_mean_value")
        return None if mean is None else lambda coords: self.log_slope(mean(coords))

    def draw(self, family: Any) -> Callable[[Any, Any], Array]:
        """m eˣ of draws."""
        return lambda key, coords: self.forward(family._sample(key, coords))

    def _log_scale(self, x: Array) -> Array:
        return jnp.log(jnp.asarray(self.scale, x.dtype))


@final
class LogarithmMap(AbstractBijection):
    """y = log x, from positive numbers to real ones."""

    def image(self, support: Support) -> Support | None:
        """Real numbers."""
        positive = support.kind in ("positive", "nonnegative")
        return _with_kind(support, "real") if positive else None

    def forward(self, x: Array) -> Array:
        """The logarithm of x."""
        return jnp.log(jnp.maximum(x, jnp.finfo(x.dtype).tiny))

    def inverse(self, y: Array) -> Array:
        """eʸ, rounded to the positive numbers of the type."""
        return _representable(jnp.exp(y))

    def log_below(self, y: Array) -> Array:
        """Of y itself."""
        return _below(y)

    def log_slope(self, x: Array) -> Float[Array, ""]:
        """−Σ log x."""
        return -jnp.sum(jnp.log(x))

    def mean_log_slope(self, family: Any) -> Callable[[Any], Array] | None:
        """−Σ E[log x]."""
        mean = capability(family, "_mean_logarithm")
        return None if mean is None else lambda coords: -jnp.sum(mean(coords))

    def draw(self, family: Any) -> Callable[[Any, Any], Array]:
        """Draws of log x."""
        logs = capability(family, "_sample_logarithm")
        return logs or (lambda key, coords: self.forward(family._sample(key, coords)))


@final
class RootMap(AbstractBijection):
    """y = x^(1/n), from positive numbers to positive ones.

    Degree 2 is the square root, degree ½ the square, degree −1 the reciprocal.

    Powers beyond the range of the type are rounded to its ends, as if y itself had been rounded.

    Attributes:
        degree: n, finite and not zero.
    """

    degree: float = eqx.field(static=True)

    def __check_init__(self) -> None:
        """Refuse degrees of zero."""
        if not 0 < abs(self.degree) < float("inf"):
            raise ValueError(
                f"RootMap: `degree` must be finite and not zero, but is {self.degree}."
            )

    def image(self, support: Support) -> Support | None:
        """Positive numbers."""
        positive = support.kind in ("positive", "nonnegative")
        return _with_kind(support, "positive") if positive else None

    def forward(self, x: Array) -> Array:
        """x^(1/n)."""
        if self.degree == 2:
            return _representable(jnp.sqrt(x))
        return _representable(x ** (1 / self.degree))

    def inverse(self, y: Array) -> Array:
        """yⁿ."""
        if float(self.degree).is_integer():
            return _representable(y ** int(self.degree))
        return _representable(jnp.sqrt(y) if self.degree == 0.5 else y**self.degree)

    def log_below(self, y: Array) -> Array:
        """Of n log y."""
        return _below(self.degree * jnp.log(y))

    def log_slope(self, x: Array) -> Float[Array, ""]:
        """Σ (1/n − 1) log x − log |n|."""
        return self._of_logarithm(jnp.log(x))

    def mean_log_slope(self, family: Any) -> Callable[[Any], Array] | None:
        """Σ (1/n − 1) E[log x] − log |n|."""
        mean = capability(family, "_mean_logarithm")
        return None if mean is None else lambda coords: self._of_logarithm(mean(coords))

    def draw(self, family: Any) -> Callable[[Any, Any], Array]:
        """exp(log x/n) of draws of log x, which a family of small shapes has; or x^(1/n)."""
        logs = capability(family, "_sample_logarithm")
        if logs is None:
            return lambda key, coords: self.forward(family._sample(key, coords))
        return lambda key, coords: _representable(jnp.exp(logs(key, coords) / self.degree))

    def _of_logarithm(self, log_x: Array) -> Array:
        constant = jnp.log(jnp.asarray(abs(self.degree), log_x.dtype))
        return jnp.sum((1 / self.degree - 1) * log_x - constant)


@final
class AffineMap(AbstractBijection):
    """y = b + a x, from real numbers to real ones.

    Attributes:
        shift: b, of the shape of the data or a number.
        scale: a, likewise; not zero.
    """

    shift: Float[Array, "..."] = eqx.field(converter=as_floats)
    scale: Float[Array, "..."] = eqx.field(converter=as_floats, default=1.0)

    def image(self, support: Support) -> Support | None:
        """Real numbers."""
        return support if support.kind == "real" else None

    def forward(self, x: Array) -> Array:
        """b + a x."""
        return self.shift.astype(x.dtype) + self.scale.astype(x.dtype) * x

    def inverse(self, y: Array) -> Array:
        """(y − b)/a."""
        return (y - self.shift.astype(y.dtype)) / self.scale.astype(y.dtype)

    def log_below(self, y: Array) -> None:
        """Never."""
        return

    def log_slope(self, x: Array) -> Float[Array, ""]:
        """Σ log |a|."""
        return jnp.sum(jnp.broadcast_to(jnp.log(jnp.abs(self.scale)), x.shape)).astype(x.dtype)

    def mean_log_slope(self, family: Any) -> Callable[[Any], Array] | None:
        """Σ log |a|, whatever the family."""
        shape = family.support.shape
        return lambda coords: self.log_slope(jnp.zeros(shape, dtype_of(coords)))

    def draw(self, family: Any) -> Callable[[Any, Any], Array]:
        """b + a x of draws."""
        return lambda key, coords: self.forward(family._sample(key, coords))


def check_positive(value: Any, owner: str, argument: str) -> None:
    """Refuse a setting of a family that is not a positive, finite number.

    Raises:
        ValueError: a value that is not positive, or not finite.
    """
    if not 0 < value < float("inf"):
        raise ValueError(f"{owner}: `{argument}` must be positive and finite, but is {value}.")


def _with_kind(support: Support, kind: Kind) -> Support:
    return Support(support.shape, kind, whole=support.whole)


def _representable(x: Array) -> Array:
    limits = jnp.finfo(x.dtype)
    return jnp.clip(x, limits.tiny, limits.max)


def _below(log_x: Array) -> Array:
    # Zero itself, where it is admitted, counts as the smallest number.
    gap = log_x - jnp.log(jnp.finfo(log_x.dtype).tiny).astype(log_x.dtype)
    return jnp.where(jnp.isneginf(gap), 0, jnp.minimum(gap, 0))
