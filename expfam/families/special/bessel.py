"""Modified Bessel functions of any order and argument, as the von Mises–Fisher family needs them.

With G(κ) = Γ(v + 1) (2/κ)ᵛ I_v(κ) = ₀F₁(; v + 1; κ²/4), everything is a smooth function of κ²:

1. At orders V of 30 or more, Debye's expansion, uniform in κ. With z = κ/V, s = √(1 + z²) − 1 and
   p = 1/(1 + s) it is log G = V (s − log(1 + s/2)) + C(s),
   C(s) = −½ log(1 + s) + Σ_k (D_k(p) − D_k(1))/Vᵏ (Abramowitz & Stegun 9.7.7; its logarithm).
2. At lower orders, steps down from there. The ratio r_v = I_(v+1)/I_v = κ a_v has
   a_v = 1/(2(v + 1) + κ² a_(v+1)), and log G_v = log G_(v+1) + log(1 + κ² a_(v+1)/(2(v + 1))):
   errors shrink, and hardly anything cancels.
3. For κ ≥ 100 the expansion holds at every order V ≥ 1, because p/V is about 1/κ; only Σ D_k(1)/Vᵏ
   does not, which is −δ(V) for the remainder δ of Stirling's formula.
"""

import math
from fractions import Fraction
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .constants import LOG_2_PI

_ORDER = 30
_TERMS = 10
_FAR = 100.0


@final
class Bessel(NamedTuple):
    """What is known of I_v at κ.

    Attributes:
        log: log G.
        ratio: a = r/κ.
        slope: dr/dκ.
        surplus: log G − κ r.
        deficit: κ (1 − r).
    """

    log: Float[Array, ""]
    ratio: Float[Array, ""]
    slope: Float[Array, ""]
    surplus: Float[Array, ""]
    deficit: Float[Array, ""]


def bessel(order: float, square: Float[Array, ""]) -> Bessel:
    """The functions of order v ≥ 0, at a given κ²."""
    steps = max(0, -int((order - _ORDER) // 1))
    state = _debye(order + steps, square, False)
    if not steps:
        return state
    orders = jnp.asarray([order + n for n in reversed(range(steps))], square.dtype)
    state = jax.lax.scan(lambda above, v: (_down(v, square, above), None), state, orders)[0]
    far = _debye(order + 1 if order < 1 else order, square, True)
    if order < 1:
        far = _down(order, square, far)
    return jax.tree.map(lambda a, b: jnp.where(square > _FAR**2, a, b), far, state)


def _down(v: Array | float, square: Array, above: Bessel) -> Bessel:
    # From order v + 1 to v. The slope is r'_v = r_v² (2(v + 1)/κ² − r'_(v+1)); the deficit
    # c_v = (2(v + 1) − c_(v+1)) r_v; and κ (r_(v+1) − r_v) = c_v − c_(v+1).
    twice = 2 * (v + 1)
    ratio = 1 / (twice + square * above.ratio)
    growth = jnp.log1p(square * above.ratio / twice)
    slope = ratio * ratio * (twice - square * above.slope)
    deficit = (twice - above.deficit) * _root(square) * ratio
    surplus = above.surplus + growth + deficit - above.deficit
    return Bessel(above.log + growth, ratio, slope, surplus, deficit)


def _debye(order: float, square: Array, far: bool) -> Bessel:
    # 1. ds/dκ = κ/(V²(1 + s)), so r = z/(2 + s) + C'(s) ds/dκ, and likewise dr/dκ.
    # 2. V s = κ z/(2 + s), so that log G − κ r = −V log(1 + s/2) + C(s) − κ C'(s) ds/dκ.
    kappa = _root(square)
    z = kappa / order
    s = square / order**2 / (1 + jnp.sqrt(1 + z * z))
    value, first, second = _corrections(order, s, far)
    change = 1 / (order**2 * (1 + s))  # ds/dκ over κ
    ratio = 1 / (order * (2 + s)) + first * change
    slope = 1 / (order * (1 + s) * (2 + s)) + second * square * change**2
    slope = slope + first * change / (1 + s) ** 2
    half = order * jnp.log1p(s / 2)
    deficit = kappa * (1 + 1 / (1 + s + z)) / (2 + s) - first * square * change
    surplus = value - half - first * square * change
    return Bessel(order * s - half + value, ratio, slope, surplus, deficit)


def _corrections(order: float, s: Array, far: bool) -> tuple[Array, Array, Array]:
    # C(s) and its first two derivatives, with dp/ds = −p² and s p = 1 − p.
    scales = float(order) ** -np.arange(1.0, _TERMS + 1)
    p = 1 / (1 + s)
    # All terms Vᵏ together are one polynomial T(p).
    value, first, second = _polynomial(scales @ (_LOGS if far else _QUOTIENTS), p)
    if far:
        value = value + _stirling(order)
    else:
        # (p − 1) T(p)
        gap = -s * p
        value, first, second = gap * value, value + gap * first, 2 * first + gap * second
    return (
        value - 0.5 * jnp.log1p(s),
        -p * (0.5 + p * first),
        p * p * (0.5 + p * (2 * first + p * second)),
    )


def _polynomial(coefficients: np.ndarray, p: Array) -> Float[Array, "3"]:
    # its value and first two derivatives, as products with all powers: few operations to compile
    rows = [coefficients]
    for _ in range(2):
        rows.append(np.append(rows[-1][1:] * np.arange(1, len(rows[-1])), 0))
    powers, square = jnp.ones(1, p.dtype), p
    while powers.shape[0] < len(coefficients):
        powers, square = jnp.concatenate([powers, square * powers]), square * square
    return jnp.asarray(rows, p.dtype) @ powers[: len(coefficients)]


def _stirling(order: float) -> float:
    # δ(V) = log Γ(V + 1) − (V + ½) log V + V − ½ log 2π
    return math.lgamma(order + 1) - (order + 0.5) * math.log(order) + order - LOG_2_PI / 2


def _root(square: Array) -> Array:
    # κ, with derivative zero in place of an infinite one at zero
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _debye_polynomials(terms: int) -> tuple[np.ndarray, np.ndarray]:
    # 1. U_(k+1) = ½ p²(1 − p²) U_k' + ⅛ ∫₀ᵖ (1 − 5t²) U_k dt, exactly (A. & S. 9.3.10).
    # 2. Σ D_k/Vᵏ = log Σ U_k/Vᵏ: k D_k = k U_k − Σ_j j D_j U_(k−j).
    # 3. D_k(p) − D_k(1) = −(1 − p) Q_k(p): the coefficients of Q_k are sums of those above them.
    size = 3 * terms + 1
    polynomials = [[Fraction(1)] + [Fraction(0)] * (size - 1)]
    for _ in range(terms):
        u, following = polynomials[-1], [Fraction(0)] * size
        for i, a in enumerate(u):
            if a:
                following[i + 1] += a * Fraction(i, 2) + a * Fraction(1, 8 * (i + 1))
                following[i + 3] -= a * Fraction(i, 2) + a * Fraction(5, 8 * (i + 3))
        polynomials.append(following)
    logs = [[Fraction(0)] * size]
    for k in range(1, terms + 1):
        own = [k * a for a in polynomials[k]]
        for j in range(1, k):
            for i, a in enumerate(logs[j]):
                for m, b in enumerate(polynomials[k - j][: size - i] if a else []):
                    own[i + m] -= j * a * b
        logs.append([a / k for a in own])
    quotients = [[sum(d[i + 1 :]) for i in range(size)] for d in logs[1:]]
    return np.array(logs[1:], float), np.array(quotients, float)


_LOGS, _QUOTIENTS = _debye_polynomials(_TERMS)
