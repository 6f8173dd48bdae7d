"""Sums over all counts, without truncation error, in a fixed number of terms."""

from collections.abc import Callable
from typing import NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erfc
from jaxtyping import Array, Float, Key

from .gamma import deviance, deviance_from_gap, factorial_remainder

# The handover from terms to nodes, where a smooth weight falls from 1 to 0.
_CENTER, _WIDTH = 384.0, 40.0
_TERMS = 640
_FIRST_NODE = 144.0
_PANELS, _ORDER = 24, 12

# Above this rate, differences of log-factorials in float32 bend the draws of JAX.
_LARGE_RATE = 1000.0
# Successes from which on binomials are drawn by rejection.
_MANY = 10.0
# Rounds of rejection; each ends with a probability of more than ½.
_ROUNDS = 200


@final
class Rule(NamedTuple):
    """Points and weights of a sum over counts.

    Attributes:
        points: the points, not all of them whole.
        log_weights: logarithms of their weights.
    """

    points: Float[Array, " n"]
    log_weights: Float[Array, " n"]


def count_rule(low: Array, high: Array) -> Rule:
    """A rule with Σ_x f(x) = Σ_j w_j f(x_j) over x = 0, 1, …, for smooth f ≥ 0.

    With a weight w(x) that falls from 1 to 0 around 384, Σ f = Σ w f + Σ (1 − w) f. The first sum
    ends at 640. The second equals ∫ (1 − w) f dx to rounding, because the summand is smooth on the
    scale of its steps (the remainder of Poisson's summation formula falls like exp(−2π²s²) in the
    scale s): it is taken by Gauss's rule on panels of log x.

    Args:
        low: below it, f does not matter; of use where that is beyond the first terms.
        high: above it, f does not matter.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_ORDER)
    places = (np.arange(_PANELS)[:, None] + (1 + nodes) / 2).ravel() / _PANELS
    parts = np.tile(weights / 2, _PANELS) / _PANELS
    # The sum does not depend on where the nodes lie, so they do not move.
    low, high = jax.lax.stop_gradient((low, high))
    begin = jnp.log(jnp.maximum(low, _FIRST_NODE))
    length = jnp.log(jnp.maximum(high, _TERMS)) - begin
    points = jnp.exp(begin + length * jnp.asarray(places, length.dtype))
    scales = jnp.log(length * jnp.asarray(parts, length.dtype)) + jnp.log(points)
    whole = jnp.arange(_TERMS, dtype=length.dtype)
    return Rule(
        jnp.concatenate([whole, points]),
        jnp.concatenate([_log_weight(whole), scales + _log_weight(2 * _CENTER - points)]),
    )


def expectation(
    rule: Rule, log_mass: Callable[[Array], Array], function: Callable[[Array], Array]
) -> Array:
    """E[f(X)] for a distribution of counts with the given log-masses."""
    masses = jnp.exp(log_mass(rule.points) + rule.log_weights)
    values = jnp.where(masses > 0, function(rule.points), 0)
    # The masses sum to one, up to rounding that divides out.
    return jnp.dot(masses, values) / jnp.sum(masses)


def draw_poisson(key: Key[Array, ""], rate: Float[Array, ""]) -> Array:
    """A draw of a Poisson of any rate."""
    first, second = jax.random.split(key)
    few = jax.random.poisson(first, jnp.minimum(rate, _LARGE_RATE))
    many = _transformed_rejection(second, jnp.maximum(rate, _LARGE_RATE))
    return jnp.where(rate < _LARGE_RATE, few.astype(many.dtype), many)


def _transformed_rejection(key: Key[Array, ""], rate: Array) -> Array:
    # Algorithm PTRS of Hörmann, The transformed rejection method for generating Poisson random
    # variables (1993), without its squeezes; log p(x) = −R(x) − D(x, λ).
    b = 0.931 + 2.53 * jnp.sqrt(rate)
    a = -0.059 + 0.02483 * b
    height = 1.1239 + 1.1328 / (b - 3.4)

    def propose(state: tuple) -> tuple:
        count, _, key = state
        key, first = jax.random.split(key)
        u, v = jax.random.uniform(first, (2,), rate.dtype)
        near = jnp.maximum(0.5 - jnp.abs(u - 0.5), jnp.finfo(rate.dtype).eps)
        x = jnp.floor((2 * a / near + b) * (u - 0.5) + rate + 0.43)
        inside = jnp.maximum(x, 0)
        log_mass = -factorial_remainder(inside) - deviance(inside, rate)
        accepted = (x >= 0) & (jnp.log(v * height / (a / near**2 + b)) <= log_mass)
        return jnp.where(accepted, _ROUNDS, count + 1), inside, key

    begin = jnp.asarray(0), jnp.floor(rate), key
    draw = jax.lax.while_loop(lambda state: state[0] < _ROUNDS, propose, begin)[1]
    return draw.astype(int)


def draw_binomial(key: Key[Array, ""], n: int, log_odds: Float[Array, ""]) -> Array:
    """A draw of a binomial of any number of trials, given the log-odds of success."""
    # Of the rarer outcome few are drawn by inversion, many by rejection.
    first, second = jax.random.split(key)
    p = jax.nn.sigmoid(-jnp.abs(log_odds))
    mean = n * p
    few = jax.random.binomial(first, n, jnp.minimum(p, _MANY / n), dtype=p.dtype).astype(int)
    many = _rejected_binomial(second, n, jnp.maximum(p, jnp.minimum(_MANY / n, 0.5)))
    rarer = jnp.where(mean < _MANY, few, many)
    return jnp.where(log_odds > 0, n - rarer, rarer)


def _rejected_binomial(key: Key[Array, ""], n: int, p: Array) -> Array:
    # Algorithm BTRS of Hörmann, The generation of binomial random variates (1993), p ≤ ½. Counts
    # are told by their distance from m, close to the mean, as numbers may not hold them to a unit:
    # log p(x)/p(m) = R(m) − R(x) + R(n − m) − R(n − x) − D(x, np) − D(n − x, nq) + the same at m.
    mean, other = n * p, n * (1 - p)
    spread = jnp.sqrt(mean * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * spread
    mode = jnp.floor(mean)
    fraction = mean - mode

    def log_mass(step: Array) -> Array:
        x = jnp.clip(mode + step, 0, n)
        gap = step - fraction
        fit = deviance_from_gap(gap, mean) + deviance_from_gap(-gap, other)
        return -factorial_remainder(x) - factorial_remainder(n - x) - fit

    def propose(state: tuple) -> tuple:
        count, _, key = state
        key, first = jax.random.split(key)
        u, v = jax.random.uniform(first, (2,), p.dtype)
        u = u - 0.5
        near = jnp.maximum(0.5 - jnp.abs(u), jnp.finfo(p.dtype).eps)
        step = jnp.floor((2 * a / near + b) * u + fraction + 0.5)
        inside = (mode + step >= 0) & (mode + step <= n)
        height = jnp.log(v * alpha / (a / near**2 + b))
        accepted = inside & (height <= log_mass(step) - log_mass(jnp.zeros_like(step)))
        return jnp.where(accepted, _ROUNDS, count + 1), step, key

    begin = jnp.asarray(0), jnp.zeros_like(mean), key
    step = jax.lax.while_loop(lambda state: state[0] < _ROUNDS, propose, begin)[1]
    return mode.astype(int) + step.astype(int)


def _log_weight(x: Array) -> Array:
    # ½ erfc of the distance from the center, at least as large as a number can be
    half = 0.5 * erfc((x - _CENTER) / _WIDTH)
    return jnp.log(jnp.maximum(half, jnp.finfo(x.dtype).tiny))
