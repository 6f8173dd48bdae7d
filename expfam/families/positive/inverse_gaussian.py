"""The inverse Gaussian family of positive numbers."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.integrals import PassageTimes
from ..observed import AbstractObservedFamily
from ..special.constants import LOG_2_PI
from ..special.gamma import scaled_deviance, scaled_exp1
from ..special.gaps import gap_beyond, gap_of_step
from ..support import Support


@final
class InverseGaussianCoords(eqx.Module):
    """Coordinates of an inverse Gaussian.

    Attributes:
        value: pairs with x: natural −λ/(2μ²); a scalar.
        reciprocal: pairs with 1/x: natural −λ/2; a scalar.
    """

    value: Any
    reciprocal: Any


@final
class InverseGaussian(AbstractObservedFamily[InverseGaussianCoords]):
    """First passage times of a drifting Brownian motion, with mean μ and shape λ.

    The density is p(x) = √(λ/(2πx³)) exp(−λ(x − μ)²/(2μ²x)).

    | | value | reciprocal |
    | --- | --- | --- |
    | natural θ | −λ/(2μ²) | −λ/2 |
    | mean η | μ | 1/μ + 1/λ |
    | statistic s(x) | x | 1/x |

    The base measure is (2πx³)^(−½).

    References:
        Tweedie, Statistical properties of inverse Gaussian distributions I (1957); Michael,
        Schucany & Haas, Generating random variates using transformations with multiple roots
        (1976), for sampling.

    Examples:
        >>> import expfam as ef
        >>> family = ef.InverseGaussian()
        >>> float(family.to_mean(family.from_mean_shape(2.0, 4.0)).coords.reciprocal)
        0.75
    """

    @property
    def spaces(self) -> InverseGaussianCoords:
        """ℝ²."""
        return InverseGaussianCoords(Euclidean(()), Euclidean(()))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_mean_shape(
        self, mean: Float[Array, ""] | float, shape: Float[Array, ""] | float
    ) -> Natural[InverseGaussianCoords]:
        """The distribution with given mean μ and shape λ, both positive and finite."""
        coords = _from_mean_shape(jnp.asarray(mean, float), jnp.asarray(shape, float))
        return require(
            Natural(coords),
            self._in_domain(coords) & jnp.all(jnp.asarray(mean) > 0),
            "InverseGaussian.from_mean_shape: `mean` and `shape` must be positive and finite.",
        )

    def mean_shape(
        self, params: Natural[InverseGaussianCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean μ and shape λ; the variance is μ³/λ."""
        self._check_point(params, Natural, "mean_shape", "params")
        return _mean_shape(params.coords)

    readers = (mean_shape,)

    @property
    def _conjugacy(self) -> PassageTimes:
        return PassageTimes()

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: mean_statistic(family, coords).value)

    def _sufficient_statistic(self, x: Array) -> InverseGaussianCoords:
        return InverseGaussianCoords(x, 1 / x)

    def _log_base_measure(self, x: Array) -> Array:
        return -1.5 * jnp.log(x) - jnp.asarray(LOG_2_PI / 2, x.dtype)

    def _log_normalizer(self, coords: InverseGaussianCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: InverseGaussianCoords, x: Array) -> Array:
        return coords.value * x + coords.reciprocal / x + self._log_base_measure(x)

    def _log_density(self, coords: InverseGaussianCoords, x: Array) -> Array:
        mean, shape = _mean_shape(coords)
        residual = (x - mean) / mean
        fit = 0.5 * shape * residual * residual / x
        return 0.5 * jnp.log(shape) - fit + self._log_base_measure(x)

    def _maximize(
        self, means: InverseGaussianCoords, start: InverseGaussianCoords | None
    ) -> InverseGaussianCoords:
        gap = means.reciprocal - 1 / means.value
        if start is not None:
            gap = gap_of_step(gap, 1 / _mean_shape(start)[1], means.reciprocal)
        return _from_mean_shape(means.value, 1 / gap)

    def _estimate(self, xs: Array, shares: Array) -> InverseGaussianCoords:
        # 1/λ = Σ w (1/x − 1/m) = Σ w (x − m)²/(m² x), up to the rounding of the mean m
        parts = shares.astype(xs.dtype)
        mean = parts @ xs
        mean = mean + parts @ (xs - mean)
        residuals = (xs - mean) / mean
        spread = parts @ (residuals * residuals / xs)
        noise = 64 * jnp.finfo(xs.dtype).eps ** 2 / mean
        return _from_mean_shape(mean, 1 / gap_beyond(spread, noise))

    def _entropy(self, coords: InverseGaussianCoords) -> Array:
        # ½ − ½ log λ + ½ log 2π + 3/2 E log x
        _, shape = _mean_shape(coords)
        constant = 0.5 + LOG_2_PI / 2
        return constant - 0.5 * jnp.log(shape) + 1.5 * self._mean_logarithm(coords)

    def _mean_logarithm(self, coords: InverseGaussianCoords) -> Array:
        # log μ − e^(2λ/μ) E₁(2λ/μ)
        mean, shape = _mean_shape(coords)
        return jnp.log(mean) - scaled_exp1(2 * shape / mean)

    def _divergence(self, p: InverseGaussianCoords, q: InverseGaussianCoords) -> Array:
        # 1. ½ D(1, λ'/λ) + λ'(μ − μ')²/(2μμ'²).
        # 2. With r₁, r₂ for θ'/θ the second is λ/(2μ) (√r₁ − √r₂)².
        mean, shape = _mean_shape(p)
        pairs = [(p.value, q.value), (p.reciprocal, q.reciprocal)]
        ratios = jnp.stack([other / own for own, other in pairs])
        changes = jnp.stack([(other - own) / own for own, other in pairs])
        near = jnp.all(jnp.abs(changes) < 0.5)
        apart = jnp.where(near, changes[0] - changes[1], ratios[0] - ratios[1])
        fit = 0.5 * shape / mean * (apart / jnp.sum(jnp.sqrt(ratios))) ** 2
        one = jnp.ones_like(shape)
        return 0.5 * scaled_deviance(one, one, ratios[1], changes[1]) + fit

    def _in_domain(self, coords: InverseGaussianCoords) -> Bool[Array, ""]:
        both = jnp.stack([coords.value, coords.reciprocal])
        return jnp.all((both < 0) & jnp.isfinite(both))

    def _sample(self, key: Key[Array, ""], coords: InverseGaussianCoords) -> Array:
        # 1. λ(x − μ)²/(μ²x) is χ² with one degree of freedom; its two roots have the product μ².
        # 2. The smaller, μ/(1 + w + √(w(2 + w))) with w = μχ²/(2λ), has probability μ/(μ + x).
        first, second = jax.random.split(key)
        mean, shape = _mean_shape(coords)
        w = 0.5 * (mean / shape) * jax.random.normal(first, dtype=mean.dtype) ** 2
        ratio = 1 + w + jnp.sqrt(w * (2 + w))
        smaller = jax.random.uniform(second, dtype=mean.dtype) * (1 + ratio) < ratio
        return mean * jnp.where(smaller, 1 / ratio, ratio)

    def _features(self, x: Array) -> Array:
        return jnp.log(x)[None]

    def _initialize(self, key: Key[Array, ""]) -> InverseGaussianCoords:
        return self._from_unconstrained(jax.random.normal(key, (2,)))

    def _weak_means(self, xs: Array) -> InverseGaussianCoords:
        # the mean of the data, and a shape equal to it
        mean = jnp.mean(xs)
        return InverseGaussianCoords(mean, 2 / mean)

    def _to_unconstrained(self, coords: InverseGaussianCoords) -> Array:
        return jnp.log(jnp.stack(_mean_shape(coords)))

    def _from_unconstrained(self, free: Array) -> InverseGaussianCoords:
        return _from_mean_shape(jnp.exp(free[0]), jnp.exp(free[1]))


def _from_mean_shape(mean: Array, shape: Array) -> InverseGaussianCoords:
    return InverseGaussianCoords(-shape / mean / mean / 2, -shape / 2)


@jax.custom_jvp
def _log_normalizer(coords: InverseGaussianCoords) -> Array:
    # −½ log λ − λ/μ
    roots = jnp.sqrt(-coords.value) * jnp.sqrt(-coords.reciprocal)
    return -0.5 * jnp.log(-2 * coords.reciprocal) - 2 * roots


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (coords,), (change,) = primals, tangents
    mean, shape = _mean_shape(coords)
    slope = change.value * mean + change.reciprocal * (1 / mean + 1 / shape)
    return _log_normalizer(coords), slope


@jax.custom_jvp
def _mean_shape(coords: InverseGaussianCoords) -> tuple[Array, Array]:
    mean = jnp.sqrt(-coords.reciprocal) / jnp.sqrt(-coords.value)
    return mean, -2 * coords.reciprocal


@_mean_shape.defjvp
def _mean_shape_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    # As a difference of relative changes, which are equal where μ stays: those of √θ₂/√θ₁ would be
    # subtracted after rounding.
    (coords,), (change,) = primals, tangents
    mean, shape = _mean_shape(coords)
    ratio = change.reciprocal / coords.reciprocal - change.value / coords.value
    return (mean, shape), (0.5 * mean * ratio, -2 * change.reciprocal)
