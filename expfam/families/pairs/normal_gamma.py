"""The normal-gamma family of pairs of a mean and a precision."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, require_shape
from ...geometry.points import Natural, pairing
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..observed import AbstractObservedFamily, given_by_density
from ..positive.gamma import Gamma, GammaCoords
from ..special.constants import LOG_2_PI
from ..special.divergence import gamma_divergence
from ..special.gamma import scaled_deviance
from ..support import Support

_GAMMA = Gamma()


@final
class NormalGammaCoords(eqx.Module):
    """Coordinates of a normal-gamma, and of its relatives; four scalars.

    Attributes:
        first: pairs with λμ: natural κm.
        second: pairs with −λ/2: natural 2b + κm².
        quadratic: pairs with −λμ²/2: natural κ.
        logarithm: pairs with log(λ)/2: natural 2a.
    """

    first: Any
    second: Any
    quadratic: Any
    logarithm: Any


@final
class NormalGamma(AbstractObservedFamily[NormalGammaCoords]):
    """Distributions of a mean μ and a precision λ > 0: the conjugate priors of a normal number.

    The precision has a gamma distribution with shape a and rate b, and given it the mean is normal
    about the location m with precision κλ: p(μ, λ) = Gamma(λ; a, b) N(μ; m, 1/(κλ)).

    | | first | second | quadratic | logarithm |
    | --- | --- | --- | --- | --- |
    | natural θ | κm | 2b + κm² | κ | 2a |
    | mean η | ma/b | −a/(2b) | −(1/κ + m²a/b)/2 | (digamma(a) − log b)/2 |
    | statistic s(μ, λ) | λμ | −λ/2 | −λμ²/2 | log(λ)/2 |

    The base measure is 1/√(2πλ). Natural coordinates are sums over imagined observations: seeing x,
    of mean μ and precision λ, adds x, x², 1 and 1 to them.

    Like all sums of squares, `second` holds the rate only up to its own rounding: of b, the share
    (1 + κm²/(2b)) ε is lost at rest. Where that matters, take the mean relative to a location near
    m. Draws of the precision below the smallest normal number are rounded up to it.

    References:
        DeGroot, Optimal Statistical Decisions (1970), section 9.6; Bernardo & Smith, Bayesian
        Theory (1994), appendix A.

    Examples:
        >>> import expfam as ef
        >>> family = ef.NormalGamma()
        >>> params = family.from_location_count_shape_rate(1.0, 4.0, 3.0, 2.0)
        >>> float(family.to_mean(params).coords.first)
        1.5
    """

    @property
    def spaces(self) -> NormalGammaCoords:
        """ℝ⁴."""
        return NormalGammaCoords(*(Euclidean(()),) * 4)

    @property
    def support(self) -> tuple[Support, Support]:
        """ℝ, and (0, ∞)."""
        return Support((), "real"), Support((), "positive")

    def from_location_count_shape_rate(
        self,
        location: Float[Array, ""] | float,
        count: Float[Array, ""] | float,
        shape: Float[Array, ""] | float,
        rate: Float[Array, ""] | float,
    ) -> Natural[NormalGammaCoords]:
        """The distribution with given location m, count κ, shape a and rate b.

        Args:
            location: m, the mean of μ.
            count: κ, the number of observations that the knowledge of the mean is worth.
            shape: a, that of the precision.
            rate: b, that of the precision, whose mean is a/b.

        Raises:
            ValueError: where count, shape or rate are not positive, or a number is not finite.
        """
        owner = "NormalGamma.from_location_count_shape_rate"
        given = check_usual(owner, location=location, count=count, shape=shape, rate=rate)
        coords, valid = from_usual(*given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `location` must be finite, and `count`, `shape` and `rate` positive and "
            "finite, the rate not lost in the rounding of count · location².",
        )

    def location_count_shape_rate(
        self, params: Natural[NormalGammaCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
        """Location m, count κ, shape a and rate b."""
        self._check_point(params, Natural, "location_count_shape_rate", "params")
        return usual(params.coords)

    readers = (location_count_shape_rate,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: tuple[Array, Array]) -> NormalGammaCoords:
        mean, precision = x
        first = precision * mean
        return NormalGammaCoords(first, -precision / 2, -first * mean / 2, jnp.log(precision) / 2)

    def _log_base_measure(self, x: tuple[Array, Array]) -> Array:
        return -(jnp.log(x[1]) + LOG_2_PI) / 2

    def _log_normalizer(self, coords: NormalGammaCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: NormalGammaCoords, x: tuple[Array, Array]) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: NormalGammaCoords, x: tuple[Array, Array]) -> Array:
        # that of λ, and that of μ given λ
        (mean, precision), (location, gamma) = x, _split(coords)
        normal = jnp.log(coords.quadratic) + jnp.log(precision) - LOG_2_PI
        fit = coords.quadratic * (jnp.sqrt(precision) * (mean - location)) ** 2
        return _GAMMA._log_density(gamma, precision) + (normal - fit) / 2

    def _maximize(
        self, means: NormalGammaCoords, start: NormalGammaCoords | None
    ) -> NormalGammaCoords:
        # 1. a/b = −2 η_second, m = η_first b/a, and 1/κ = −2 η_quadratic − m²a/b, where noise is
        #    never taken for a variance.
        # 2. The shape is that of a gamma with the same E λ and E log λ.
        precision = -2 * means.second
        location = means.first / precision
        total = -2 * means.quadratic
        spread = total - location * means.first
        begin = None if start is None else _split(start)[1]
        gamma = _GAMMA._maximize(GammaCoords(precision, 2 * means.logarithm), begin)
        return _join(location, _above(spread, 8 * jnp.finfo(total.dtype).eps * total), gamma)

    def _estimate(self, xs: tuple[Array, Array], shares: Array) -> NormalGammaCoords:
        # 1/κ = Σ w λ(μ − m)², about m = Σ wλμ / Σ wλ
        means, precisions = xs
        parts = shares.astype(means.dtype) * precisions
        total = jnp.sum(parts)
        location = parts @ means / total
        location = location + parts @ (means - location) / total
        spread = parts @ (means - location) ** 2
        noise = 64 * jnp.finfo(means.dtype).eps ** 2 * (parts @ means**2)
        return _join(location, _above(spread, noise), _GAMMA._estimate(precisions, shares))

    def _entropy(self, coords: NormalGammaCoords) -> Array:
        # that of λ, and on average that of μ given λ
        normal = 1 + LOG_2_PI - jnp.log(coords.quadratic) - self._mean_logarithm(coords)
        return _GAMMA._entropy(_split(coords)[1]) + normal / 2

    def _mean_logarithm(self, coords: NormalGammaCoords) -> Array:
        # E log λ
        return _GAMMA._mean_logarithm(_split(coords)[1])

    def _divergence(self, p: NormalGammaCoords, q: NormalGammaCoords) -> Array:
        # 1. ½ E κ'λ(m' − m)² + ½ D(1, κ'/κ) + KL of the gammas of λ, with E λ = a/b.
        # 2. m' − m = (dF − m dκ)/κ' for F = κm, where the two are close.
        # 3. The change of 2b = S − κm², S = `second`, is dS − m² dκ − κ'dm (2m + dm).
        (location, own), (location_, other) = _split(p), _split(q)
        count, step = q.quadratic, q.quadratic - p.quadratic
        near = jnp.abs(step) < p.quadratic / 2
        close = (q.first - p.first - step * location) / count
        moved = jnp.where(near, close, location_ - location)
        square = step * location**2 + count * moved * (2 * location + moved)
        change = (q.second - p.second - square) / 2
        gammas = gamma_divergence(
            (-own.value, own.logarithm), (-other.value, other.logarithm), change
        )
        one = jnp.ones_like(step)
        spread = scaled_deviance(one, one, count / p.quadratic, step / p.quadratic)
        shift = count * moved**2 * own.logarithm / -own.value
        return gammas + (spread + shift) / 2

    def _in_domain(self, coords: NormalGammaCoords) -> Bool[Array, ""]:
        location, gamma = _split(coords)
        count = coords.quadratic
        finite = jnp.isfinite(location) & jnp.isfinite(count)
        return (count > 0) & finite & _GAMMA._in_domain(gamma)

    def _sample(self, key: Key[Array, ""], coords: NormalGammaCoords) -> tuple[Array, Array]:
        first, second = jax.random.split(key)
        location, gamma = _split(coords)
        precision = _GAMMA._sample(first, gamma)
        noise = jax.random.normal(second, dtype=location.dtype)
        return location + noise / jnp.sqrt(coords.quadratic) / jnp.sqrt(precision), precision

    def _features(self, x: tuple[Array, Array]) -> Array:
        return jnp.stack([x[0], jnp.log(x[1])])

    def _initialize(self, key: Key[Array, ""]) -> NormalGammaCoords:
        return self._from_unconstrained(jax.random.normal(key, (4,)))

    def _weak_means(self, xs: tuple[Array, Array]) -> NormalGammaCoords:
        # those of the data, with 1/κ larger by 1, and the shape a = 1 of the precision
        means, precisions = xs
        gamma = _GAMMA._weak_means(precisions)
        total = 1 + jnp.mean(precisions * means**2)
        first = jnp.mean(precisions * means)
        return NormalGammaCoords(first, -gamma.value / 2, -total / 2, gamma.logarithm / 2)

    def _to_unconstrained(self, coords: NormalGammaCoords) -> Array:
        # m, log κ, and the logarithms of mean and shape of the precision
        location, gamma = _split(coords)
        own = jnp.stack([location, jnp.log(coords.quadratic)])
        return jnp.concatenate([own, _GAMMA._to_unconstrained(gamma)])

    def _from_unconstrained(self, free: Array) -> NormalGammaCoords:
        return _join(free[0], jnp.exp(-free[1]), _GAMMA._from_unconstrained(free[2:]))


# Kernels of use for normal-inverse-gammas too.


@jax.custom_jvp
def _log_normalizer(coords: NormalGammaCoords) -> Array:
    # that of the gamma of λ, − ½ log κ
    return _GAMMA._log_normalizer(_split(coords)[1]) - jnp.log(coords.quadratic) / 2


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), pairing(tangents[0], _mean(*primals))


def _mean(coords: NormalGammaCoords) -> NormalGammaCoords:
    # E λμ² = E λ (1/(κλ) + m²)
    location, gamma = _split(coords)
    precision = gamma.logarithm / -gamma.value
    square = 1 / coords.quadratic + location**2 * precision
    mean_log = _GAMMA._mean_logarithm(gamma)
    return NormalGammaCoords(location * precision, -precision / 2, -square / 2, mean_log / 2)


def _split(coords: NormalGammaCoords) -> tuple[Array, GammaCoords]:
    # m, and the gamma of λ: the square is completed once
    location = coords.first / coords.quadratic
    rate = (coords.second - location * coords.first) / 2
    return location, GammaCoords(-rate, coords.logarithm / 2)


def _join(location: Array, spread: Array, gamma: GammaCoords) -> NormalGammaCoords:
    # from m, 1/κ, and the gamma of λ
    first = location / spread
    return NormalGammaCoords(
        first, -2 * gamma.value + first * location, 1 / spread, 2 * gamma.logarithm
    )


def _above(value: Array, noise: Array) -> Array:
    return jnp.where(value > noise, value, jnp.nan)


def check_usual(owner: str, **given: Any) -> list[Float[Array, ""]]:
    """The given numbers as scalars; refuses other shapes."""
    for argument, value in given.items():
        require_shape(value, (), owner, argument)
    return [jnp.asarray(value, float) for value in given.values()]


@jax.jit
def from_usual(
    location: Array, count: Array, shape: Array, rate: Array
) -> tuple[NormalGammaCoords, Bool[Array, ""]]:
    """Natural coordinates of m, κ, a and b, and whether they are a point of the domain."""
    coords = NormalGammaCoords(
        count * location, 2 * rate + count * location * location, count, 2 * shape
    )
    return coords, NormalGamma()._in_domain(coords)


@jax.jit
def usual(coords: NormalGammaCoords) -> tuple[Array, Array, Array, Array]:
    """m, κ, a and b."""
    location, gamma = _split(coords)
    return location, coords.quadratic, gamma.logarithm, -gamma.value
