"""The gamma function and its relatives, without the digits that differences of `lgamma` lose.

Stirling's series, log Γ(x) = (x − ½) log x − x + ½ log 2π + δ(x), δ(x) = Σ_j c_j x^(1−2j) with
c_j = B_2j / (2j (2j − 1)), is used from x = 10 on. Smaller arguments are moved up by ten steps of
Γ(x + 1) = x Γ(x), with sums of terms of one sign (Abramowitz & Stegun, section 6.1 to 6.4).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...geometry.derivatives import sum_of_moves
from .constants import EULER, LOG_2_PI

_STEPS = 10
# log 2 with 10 binary places, and the rest
_SHORT_LOG_2, _REST_LOG_2 = 710 / 1024, -0.000212194440054690582767879

# B_2j / 2j for j = 1 … 8, and B_2j / (2j (2j − 1))
_BERNOULLI = np.array([1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510])
_ORDERS = np.arange(1, 9)
_DIGAMMA = _BERNOULLI / (2 * _ORDERS)
_STIRLING = _DIGAMMA / (2 * _ORDERS - 1)

# (−1)ᵏ (ζ(k) − 1) / k for k = 2 … 40; the sum over n converges too slowly below k = 10
_ZETA = np.array([sum(n ** -float(k) for n in range(60, 1, -1)) for k in range(2, 41)])
_ZETA[:8] = [
    0.6449340668482264,
    0.2020569031595943,
    0.0823232337111382,
    0.0369277551433699,
    0.0173430619844491,
    0.0083492773819228,
    0.0040773561979443,
    0.0020083928260822,
]
_TAYLOR = (-1.0) ** np.arange(2, 41) * _ZETA / np.arange(2, 41)


def _polynomial(coefficients: np.ndarray, x: Array) -> Array:
    # Σ_j a_j xʲ, j = 0, 1, …, by Horner's rule
    total = jnp.zeros_like(x)
    for a in coefficients[::-1]:
        total = total * x + float(a)
    return total


def _moved(x: Array) -> tuple[Array, Array, Array]:
    # Whether x is small; x, or x + 10 there; and the ten steps x … x + 9, of use where it is small.
    small = x < _STEPS
    steps = jnp.minimum(x, _STEPS)[..., None] + jnp.arange(_STEPS, dtype=x.dtype)
    return small, jnp.where(small, x + _STEPS, x), steps


@jax.custom_jvp
def log_gamma(x: Array) -> Array:
    """log Γ(x) for x > 0, with its relative precision also near its zeros at 1 and 2."""
    # 1. x ≥ 10: Stirling's series.
    large = jnp.maximum(x, _STEPS)
    series = (large - 0.5) * jnp.log(large) - large + LOG_2_PI / 2 + _stirling(large)
    # 2. x < 10 is m + z with m whole and |z| ≤ ½, and about 2 there is the Taylor series
    #    log Γ(2 + z) = (1 − γ) z + Σ_k (ζ(k) − 1)(−z)ᵏ/k.
    y = jnp.minimum(x, _STEPS)
    m = jnp.floor(y + 0.5)
    z = y - m
    taylor = z * (1 - EULER + z * _polynomial(_TAYLOR, z))
    # 3. Steps from there: down for m = 0 and 1, up by the product of 2 + z … m − 1 + z else.
    ladder = z[..., None] + jnp.arange(2, _STEPS, dtype=x.dtype)
    used = jnp.arange(2, _STEPS) < m[..., None]
    up = jnp.log(jnp.prod(jnp.where(used, ladder, 1), axis=-1))
    down = jnp.where(m < 1, jnp.log(jnp.where(m < 1, y, 1)), 0) + jnp.log1p(jnp.where(m < 2, z, 0))
    return jnp.where(x < _STEPS, taylor + up - down, series)


@log_gamma.defjvp
def _log_gamma_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return log_gamma(*primals), digamma(*primals) * tangents[0]


@jax.custom_jvp
def digamma(x: Array) -> Array:
    """The derivative of log Γ(x), for x > 0."""
    small, y, steps = _moved(x)
    value = jnp.log(y) - _log_gap(y)
    return value - jnp.where(small, jnp.sum(1 / steps, axis=-1), 0)


@digamma.defjvp
def _digamma_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return digamma(*primals), trigamma(*primals) * tangents[0]


def trigamma(x: Array) -> Array:
    """The second derivative of log Γ(x), for x > 0."""
    return 1 / x + trigamma_rest(x)


def _stirling(x: Array) -> Array:
    # δ(x) for x ≥ 10
    return _polynomial(_STIRLING, 1 / (x * x)) / x


def _log_gap(x: Array) -> Array:
    # log x − digamma(x) for x ≥ 10
    return (0.5 + _polynomial(_DIGAMMA, 1 / (x * x)) / x) / x


@jax.custom_jvp
def log_gap(x: Array) -> Array:
    """log x − digamma(x) for x > 0: between 1/(2x) and 1/x."""
    # log (x + 1)/x − 1/x of every step has one sign
    small, y, steps = _moved(x)
    parts = jnp.sum(1 / steps - jnp.log1p(1 / steps), axis=-1)
    return _log_gap(y) + jnp.where(small, parts, 0)


@log_gap.defjvp
def _log_gap_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return log_gap(*primals), -trigamma_rest(*primals) * tangents[0]


def trigamma_rest(x: Array) -> Array:
    """trigamma(x) − 1/x for x > 0: between 1/(2x²) and 1/x²."""
    # 1/x² − (1/x − 1/(x + 1)) = 1/(x²(x + 1)) of every step has one sign
    small, y, steps = _moved(x)
    square = 1 / (y * y)
    tail = square * (0.5 + _polynomial(2 * _ORDERS * _DIGAMMA, square) / y)
    return tail + jnp.where(small, jnp.sum(1 / (steps * steps * (steps + 1)), axis=-1), 0)


def factorial_remainder(x: Array) -> Array:
    """log Γ(x + 1) − (x log x − x) for x ≥ 0: what Stirling's main term leaves over."""
    large = jnp.where(x < _STEPS, _STEPS, x)
    series = LOG_2_PI / 2 + 0.5 * jnp.log(large) + _stirling(large)
    low = jnp.where(x < _STEPS, x, _STEPS)
    safe = jnp.where(low > 0, low, 1)
    direct = log_gamma(low + 1) - jnp.where(low > 0, low * jnp.log(safe) - low, 0)
    return jnp.where(x < _STEPS, direct, series)


def log_choices(total: Array, parts: Array) -> Array:
    """log total!/Π parts! for parts along the last axis that sum to the total.

    R(n) − Σ R(x) + Σ x log(n/x), R what Stirling's main terms leave: terms of one sign are added.
    """
    parts = jnp.asarray(parts)
    n = total[..., None]
    rest = jnp.log1p(-(n - parts) / jnp.where(n > 0, n, 1))
    share = jnp.where(2 * parts > n, -rest, jnp.log(n / jnp.where(parts > 0, parts, n)))
    large = jnp.where(parts > 0, parts * share, 0)
    return factorial_remainder(total) + jnp.sum(large - factorial_remainder(parts), axis=-1)


def above_factorial(value: Array, count: Array) -> Array:
    """v − log k! for whole k ≥ 0, with the rounding of v alone where the two are close.

    For k ≥ 10, log k! = k log k − k + R(k) is taken off in parts, of which the large ones are
    exact: y is log k rounded to 8 binary places, k is cut in two, and short products are exact.
    """
    k = jnp.maximum(jax.lax.stop_gradient(count), _STEPS)
    fraction, exponent = jnp.frexp(k)
    power = exponent.astype(k.dtype)
    y = jnp.round(256 * jnp.log(k)) / 256
    rest = (power * _SHORT_LOG_2 - y) + (power * _REST_LOG_2 + jnp.log(fraction))
    unit = jnp.ldexp(jnp.ones_like(k), exponent - 12)
    high = jnp.floor(k / unit) * unit
    large = (value - high * (y - 1)) - (k - high) * (y - 1) - k * rest - factorial_remainder(k)
    return jnp.where(count < _STEPS, value - log_gamma(jnp.minimum(count, _STEPS) + 1), large)


@jax.custom_jvp
def deviance(x: Array, mean: Array) -> Array:
    """D(x, m) = x log(x/m) − x + m for x ≥ 0, m > 0: not negative, exact where x is close to m."""
    return _deviance(x, mean, x - mean)


def _deviance_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, mean = primals
    value = deviance(x, mean)
    fall = jnp.where(x > 0, (mean - x) / mean, 1)
    return value, sum_of_moves((jnp.log(x / mean), fall), tangents, value)


deviance.defjvp(_deviance_jvp, symbolic_zeros=True)


@jax.custom_jvp
def deviance_from_gap(gap: Array, mean: Array) -> Array:
    """D(m + g, m), where the gap g is known to more digits than m + g."""
    return _deviance(jnp.maximum(mean + gap, 0), mean, gap)


@deviance_from_gap.defjvp
def _deviance_from_gap_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    gap, mean = primals
    rise = jnp.log1p(gap / mean)
    return deviance_from_gap(gap, mean), rise * tangents[0] + (rise - gap / mean) * tangents[1]


def _deviance(x: Array, mean: Array, gap: Array) -> Array:
    # With v = (x − m)/(x + m), log(x/m) = 2 artanh v (Loader 2000): of x ≈ m remains
    # (x − m) v + 2 x Σ_j v^(2j+1)/(2j + 1), j ≥ 1.
    v = gap / jnp.where(x + mean > 0, x + mean, 1)
    near = jnp.abs(v) < 0.1
    small = jnp.where(near, v, 0)
    odd = 1 / (2 * np.arange(1, 10) + 1)
    series = gap * small + 2 * x * small**3 * _polynomial(odd, small * small)
    ratio = jnp.where(x > 0, x / mean, 1)
    return jnp.where(near, series, x * jnp.log(ratio) - gap)


def scaled_deviance(x: Array, base: Array, ratio: Array, change: Array) -> Array:
    """D(x, b r) for a ratio r = 1 + c, exact also where x is close to b and r to 1.

    Of divergences this is the part that grows with counts: where x and b r are equal up to
    rounding, their difference is that of the two differences x − b and b c.
    """
    step = x - base
    near = (jnp.abs(step) < base / 2) & (jnp.abs(change) < 0.5)
    return deviance_from_gap(jnp.where(near, step - base * change, x - base * ratio), base * ratio)


@jax.custom_jvp
def shape_remainder(x: Array) -> Array:
    """log Γ(x) − (x log x − x) for x > 0, which is convex, and of the size of log x."""
    return factorial_remainder(x) - jnp.log(x)


@shape_remainder.defjvp
def _shape_remainder_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return shape_remainder(*primals), -log_gap(*primals) * tangents[0]


@jax.custom_jvp
def log_rise(x: Array, n: Array) -> Array:
    """log Γ(x + n) − log Γ(x) for x > 0 and n ≥ 0."""
    small, y, steps = _moved(x)
    u = jnp.log1p(n / y)
    value = (y - 0.5) * u + n * (jnp.log(y + n) - 1)
    for order, c in zip(_ORDERS, _STIRLING, strict=True):
        power = float(2 * order - 1)
        value = value + float(c) * y**-power * jnp.expm1(-power * u)
    return value - jnp.where(small, jnp.sum(jnp.log1p(n[..., None] / steps), axis=-1), 0)


@log_rise.defjvp
def _log_rise_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, n = primals
    slope = digamma_rise(x, n) * tangents[0] + digamma(x + n) * tangents[1]
    return log_rise(x, n), slope


def digamma_rise(x: Array, n: Array) -> Array:
    """digamma(x + n) − digamma(x) for x > 0 and n ≥ 0."""
    small, y, steps = _moved(x)
    u = jnp.log1p(n / y)
    value = u - 0.5 / y * jnp.expm1(-u)
    for order, c in zip(_ORDERS, _DIGAMMA, strict=True):
        power = float(2 * order)
        value = value - float(c) * y**-power * jnp.expm1(-power * u)
    added = n[..., None]
    return value + jnp.where(small, jnp.sum(added / (steps * (steps + added)), axis=-1), 0)


@jax.custom_jvp
def digamma_gap(x: Array, y: Array) -> Array:
    """digamma(x) − digamma(y) for positive numbers, however close."""
    return jnp.sign(x - y) * digamma_rise(jnp.minimum(x, y), jnp.abs(x - y))


@digamma_gap.defjvp
def _digamma_gap_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # With trigamma(a) = 1/a + τ(a), of changes in proportion, where the first terms cancel, the
    # second are left.
    (x, y), (dx, dy) = primals, tangents
    rest = trigamma_rest(x) * dx - trigamma_rest(y) * dy
    return digamma_gap(x, y), (dx / x - dy / y) + rest


def difference_of_products(a: Array, b: Array, c: Array, d: Array) -> Array:
    """ab − cd, of which no digit is lost where the two are close."""
    # The rounding of either product, by products of halves of the digits (Dekker 1971).
    left, right = a * b, c * d
    return (left - right) + (_lost(a, b, left) - _lost(c, d, right))


def _lost(a: Array, b: Array, product: Array) -> Array:
    # ab less its rounded value
    kind = jnp.finfo(product.dtype)
    high, other = (jax.lax.reduce_precision(v, kind.nexp, kind.nmant // 2) for v in (a, b))
    low, rest = a - high, b - other
    return ((high * other - product) + high * rest + low * other) + low * rest


def log_beta(x: Array, y: Array) -> Array:
    """log B(x, y) of the beta function, for positive arguments of any two magnitudes."""
    low, high = jnp.minimum(x, y), jnp.maximum(x, y)
    return log_gamma(low) - log_rise(high, low)


def trigamma_defect(x: Array) -> Array:
    """x − 1/trigamma(x) for x > 0: between 0 and ½."""
    rest = x * trigamma_rest(x)
    return x * (rest / (1 + rest))


def scaled_exp1(z: Array) -> Array:
    """e^z E₁(z) of the exponential integral, for z > 0."""
    # 1. The power series below 1.5 (Abramowitz & Stegun 5.1.11).
    low = jnp.where(z < 1.5, z, 1.5)
    k = np.arange(1, 31)
    terms = -((-1.0) ** k) / (k * np.cumprod(k.astype(float)))
    series = low * _polynomial(terms, low) - EULER - jnp.log(low)
    # 2. The continued fraction 1/(z + 1 − 1/(z + 3 − 4/(z + 5 − …))) above.
    high = jnp.where(z < 1.5, 1.5, z)
    tail = high + 121
    for n in range(60, 0, -1):
        tail = high + (2 * n - 1) - n * n / tail
    return jnp.where(z < 1.5, jnp.exp(low) * series, 1 / tail)


def inverse_digamma(y: Array) -> Array:
    """The positive x with digamma(x) = y, by five Newton steps (Minka 2000, appendix C)."""
    x = jnp.where(y >= -2.22, jnp.exp(y) + 0.5, -1 / (jnp.minimum(y, -2.22) + EULER))
    for _ in range(5):
        x = x - (digamma(x) - y) / trigamma(x)
    return x
