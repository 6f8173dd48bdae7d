"""The gamma family of positive numbers."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.roots import solve_decreasing
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..conjugacy.integrals import Shape
from ..observed import AbstractObservedFamily
from ..special.divergence import gamma_divergence
from ..special.gamma import deviance, factorial_remainder, log_gap
from ..special.gaps import gap_beyond, gap_of_step
from ..support import Support


@final
class GammaCoords(eqx.Module):
    """Coordinates of a gamma, and of its relatives.

    Attributes:
        value: pairs with the positive number itself: natural −β, mean k/β; a scalar.
        logarithm: pairs with its logarithm: natural k, mean digamma(k) − log β; a scalar.
    """

    value: Any
    logarithm: Any


@final
class Gamma(AbstractObservedFamily[GammaCoords]):
    """Distributions of a positive number, p(x) = βᵏ xᵏ⁻¹ e^(−βx) / Γ(k).

    | | value | logarithm |
    | --- | --- | --- |
    | natural θ | −β | k |
    | mean η | k/β | digamma(k) − log β |
    | statistic s(x) | x | log x |

    The base measure is 1/x. A draw below the smallest normal number, which small shapes have often,
    is rounded up to it: 0 is not in the support.

    References:
        Minka, Estimating a gamma distribution (2002); Loader, Fast and accurate computation of
        binomial probabilities (2000), for the density.

    Examples:
        >>> import expfam as ef
        >>> gamma = ef.Gamma()
        >>> params = gamma.from_shape_rate(3.0, 2.0)
        >>> float(gamma.to_mean(params).coords.value)
        1.5
    """

    @property
    def spaces(self) -> GammaCoords:
        """ℝ²."""
        return GammaCoords(Euclidean(()), Euclidean(()))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_shape_rate(
        self, shape: Float[Array, ""] | float, rate: Float[Array, ""] | float
    ) -> Natural[GammaCoords]:
        """The distribution with given shape k and rate β, both positive and finite."""
        coords = GammaCoords(-jnp.asarray(rate, float), jnp.asarray(shape, float))
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Gamma.from_shape_rate: `shape` and `rate` must be positive and finite.",
        )

    def shape_rate(self, params: Natural[GammaCoords]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Shape k and rate β."""
        self._check_point(params, Natural, "shape_rate", "params")
        return params.coords.logarithm, -params.coords.value

    readers = (shape_rate,)

    @property
    def _conjugacy(self) -> Shape:
        return Shape()

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: family._mean_value(coords))

    def _sufficient_statistic(self, x: Array) -> GammaCoords:
        return GammaCoords(x, jnp.log(x))

    def _log_base_measure(self, x: Array) -> Array:
        return -jnp.log(x)

    def _log_normalizer(self, coords: GammaCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: GammaCoords, x: Array) -> Array:
        return coords.value * x + (coords.logarithm - 1) * jnp.log(x)

    def _log_density(self, coords: GammaCoords, x: Array) -> Array:
        # k log βx − βx − log Γ(k) in the form of Loader: log k − R(k) − D(k, βx)
        k, scaled = coords.logarithm, -coords.value * x
        # The smallest x may fall below the smallest number: then D = k log k/β − k log x − k.
        small = scaled < jnp.finfo(x.dtype).tiny
        limit = k * (jnp.log(self._mean_value(coords)) - jnp.log(x) - 1)
        spread = jnp.where(small, limit, deviance(k, jnp.where(small, k, scaled)))
        return jnp.log(k) - factorial_remainder(k) - spread - jnp.log(x)

    def _maximize(self, means: GammaCoords, start: GammaCoords | None) -> GammaCoords:
        gap = jnp.log(means.value) - means.logarithm
        if start is not None:
            gap = gap_of_step(gap, log_gap(start.logarithm), 1 + jnp.abs(means.logarithm))
        return from_gap(means.value, gap)

    def _estimate(self, xs: Array, shares: Array) -> GammaCoords:
        # 1. The gap log m − Σ w log x is Σ w D(m, x)/m, with terms that are not negative …
        # 2. … up to the rounding of the mean m: with c = Σ w (x − m)/m it is less by D(1, 1 + c).
        parts = shares.astype(xs.dtype)
        mean = parts @ xs
        rest = parts @ (xs - mean) / mean
        gap = parts @ deviance(mean, xs) / mean - deviance(jnp.ones_like(rest), 1 + rest)
        # Rows that are equal up to rounding have no shape.
        return from_gap(mean, gap_beyond(gap, 64 * jnp.finfo(gap.dtype).eps ** 2))

    def _entropy(self, coords: GammaCoords) -> Array:
        # ψ − ⟨θ, η⟩ + E log x with gap = log k − digamma(k)
        k = coords.logarithm
        return factorial_remainder(k) + (k - 1) * log_gap(k) - jnp.log(-coords.value)

    def _divergence(self, p: GammaCoords, q: GammaCoords) -> Array:
        own, other = ((-point.value, point.logarithm) for point in (p, q))
        return gamma_divergence(own, other, p.value - q.value)

    def _in_domain(self, coords: GammaCoords) -> Bool[Array, ""]:
        rate, k = -coords.value, coords.logarithm
        return (rate > 0) & (k > 0) & jnp.isfinite(rate) & jnp.isfinite(k)

    def _sample(self, key: Key[Array, ""], coords: GammaCoords) -> Array:
        # The logarithm of a small shape is far below that of the smallest number.
        log_draw = self._sample_logarithm(key, coords)
        return jnp.maximum(jnp.exp(log_draw), jnp.finfo(log_draw.dtype).tiny)

    def _sample_logarithm(self, key: Key[Array, ""], coords: GammaCoords) -> Array:
        return jax.random.loggamma(key, coords.logarithm, dtype=coords.logarithm.dtype) - jnp.log(
            -coords.value
        )

    def _mean_value(self, coords: GammaCoords) -> Array:
        return coords.logarithm / -coords.value

    def _mean_logarithm(self, coords: GammaCoords) -> Array:
        return jnp.log(self._mean_value(coords)) - log_gap(coords.logarithm)

    def _features(self, x: Array) -> Array:
        return jnp.log(x)[None]

    def _initialize(self, key: Key[Array, ""]) -> GammaCoords:
        return self._from_unconstrained(jax.random.normal(key, (2,)))

    def _weak_means(self, xs: Array) -> GammaCoords:
        # Those of an exponential distribution with the mean of the data: k = 1.
        mean = jnp.mean(xs)
        return GammaCoords(mean, jnp.log(mean) - log_gap(jnp.ones_like(mean)))

    def _to_unconstrained(self, coords: GammaCoords) -> Array:
        # logarithms of mean and shape
        log_shape = jnp.log(coords.logarithm)
        return jnp.stack([log_shape - jnp.log(-coords.value), log_shape])

    def _from_unconstrained(self, free: Array) -> GammaCoords:
        return GammaCoords(-jnp.exp(free[1] - free[0]), jnp.exp(free[1]))


@jax.custom_jvp
def _log_normalizer(coords: GammaCoords) -> Array:
    # log Γ(k) − k log β = R(k) − log k + k (log k/β − 1), R what Stirling's main term leaves over
    rate, k = -coords.value, coords.logarithm
    return factorial_remainder(k) - jnp.log(k) + k * (jnp.log(k / rate) - 1)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # dψ = ⟨dθ, η⟩ with E log x = log k/β − (log k − digamma(k))
    (coords,), (direction,) = primals, tangents
    mean, mean_log = Gamma()._mean_value(coords), Gamma()._mean_logarithm(coords)
    slope = direction.value * mean + direction.logarithm * mean_log
    return _log_normalizer(coords), slope


def from_gap(mean: Array, gap: Array) -> GammaCoords:
    """The gamma with a given mean and gap log E[x] − E[log x] > 0.

    The shape solves log k − digamma(k) = gap, which lies between 1/(2k) and 1/k.
    """
    log_gap_wanted = jnp.log(gap)

    def excess(log_shape: Array, wanted: Array) -> Array:
        return jnp.log(log_gap(jnp.exp(log_shape))) - wanted

    low, high = -jnp.log(2 * gap), -log_gap_wanted
    shape = jnp.exp(solve_decreasing(excess, log_gap_wanted, low, high, steps=6))
    return GammaCoords(-shape / mean, shape)
