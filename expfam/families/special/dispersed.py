"""Counts of any dispersion, p(x) ∝ exp(θx − ν log x!): sums over all of them, inverse and draws.

Natural coordinates are vectors (θ, −ν), the rate is μ = e^(θ/ν). With ν log μ = θ the masses are
powers of those of a Poisson, and with D the deviance, R what Stirling's main term leaves of log x!,

    θx − ν log x! = νμ − ν (R(x) + D(x, μ)),

of which only the second part, nothing of the size of x log x, enters sums.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ...geometry.duality import minimize_tilted
from .counts import Rule, count_rule
from .gamma import above_factorial, deviance, factorial_remainder, log_gamma
from .logistic import logsumexp, surprisals

# Rounds of the sampler; each ends with a probability of more than ¼.
_ROUNDS = 400
# Newton steps for the logarithm of what dispersion leaves; the relative error it may end with.
_POLISH_STEPS = 16
_CLOSE_ENOUGH = 1e-3

Vector = Float[Array, "2"]
Scalar = Float[Array, ""]


def rate_of(theta: Vector) -> Scalar:
    """μ; not zero where it underflows."""
    log_rate = theta[0] / -theta[1]
    return jnp.maximum(jnp.exp(log_rate), jnp.finfo(log_rate.dtype).tiny)


def log_density(theta: Vector, x: Array) -> Array:
    """log p(x), without νμ, by which both of its parts are larger."""
    return _log_power(theta, x) - _log_sum(theta)


def entropy(theta: Vector) -> Scalar:
    """−E log p(x)."""
    rule = _rule(theta)
    own = surprisals(_log_power(theta, rule.points) + rule.log_weights)
    return jnp.dot(jnp.exp(-own), own + rule.log_weights)


@jax.custom_jvp
def log_normalizer(theta: Vector) -> Scalar:
    """log Σ_x exp(θx − ν log x!), without truncation error."""
    # Below a rate of 1, where both parts cancel, log(1 + Σ_x (μˣ/x!)^ν), x ≥ 1.
    rate, rule = rate_of(theta), _rule(theta)
    powers = theta[0] * rule.points + theta[1] * log_gamma(rule.points + 1)
    rest = (rate < 1) & (rule.points > 0)
    rare = jnp.sum(jnp.where(rest, jnp.exp(jnp.where(rest, powers + rule.log_weights, 0)), 0))
    return jnp.where(rate < 1, jnp.log1p(rare), _log_sum(theta) - theta[1] * rate)


@log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return log_normalizer(*primals), jnp.dot(mean_of(*primals), tangents[0])


@jax.custom_jvp
def mean_of(theta: Vector) -> Vector:
    """E x and E log x!."""
    masses, counts = _masses(theta)
    return jnp.stack([jnp.dot(masses, counts), jnp.dot(masses, log_gamma(counts + 1))])


@mean_of.defjvp
def _mean_of_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # dη = Cov(s) dθ, from statistics about their means. log x! is nearly proportional to x: what it
    # has beyond its chord is a statistic of its own.
    (theta,), (direction,) = primals, tangents
    masses, counts = _masses(theta)
    mean = mean_of(theta)
    slope, above = _chord(mean[0])[1], above_chord(counts, mean[0])
    counts, above = counts - mean[0], above - jnp.dot(masses, above)
    lean = direction[0] + slope * direction[1]
    change = masses * (lean * counts + direction[1] * above)
    rise = jnp.dot(change, counts)
    return mean, jnp.stack([rise, jnp.dot(change, above) + slope * rise])


def invert_mean(means: Vector, start: Vector | None) -> Vector:
    """The θ with given E x and E log x!; NaN where dispersion is lost in their rounding."""
    # Dispersion is what E log x! has over its least value for the mean, that of two neighboring
    # counts: where this drowns in the rounding of the two means, there is no answer.
    count, slope = _chord(means[0])
    gap = above_factorial(means[1], count) - slope * (means[0] - count)
    noise = 2 * jnp.finfo(gap.dtype).eps * (means[1] + slope * means[0])
    return invert_gap(means[0], jnp.where(gap > noise, gap, jnp.nan), start)


def above_chord(x: Array, mean: Scalar) -> Array:
    """log x! less its chord over the two counts next to the mean: convex, not negative at counts.

    With k the lower one it is R(x) − R(k) + D(x, k) − (x − k) log((k + 1)/k), zero at k and k + 1.
    """
    count = _chord(mean)[0]
    step, safe = x - count, jnp.maximum(count, 1)
    remainders = factorial_remainder(x) - factorial_remainder(safe)
    above = remainders + deviance(x, safe) - step * jnp.log1p(1 / safe)
    above = jnp.where(count > 0, above, log_gamma(x + 1))
    return jnp.where((step == 0) | (step == 1), 0, above)


def invert_gap(mean: Scalar, gap: Scalar, start: Vector | None) -> Vector:
    """The θ with a given mean m, and mean of what log x! is above its chord at m.

    The convex problem in the statistics x − m and log x! less the chord, of which nothing cancels,
    from the Poisson of the same mean or from where the caller was. Large dispersions ν leave the
    second a mean like e⁻ᵛ, far below the rounding of the potential: it is solved for in logarithms.
    NaN where there is no solution.
    """
    from ...geometry.solvers import polish

    center = jax.lax.stop_gradient(mean)
    slope = _chord(center)[1]
    if start is None:
        begin = jnp.stack([jnp.log(center) - slope, -jnp.ones_like(slope)])
    else:
        begin = jnp.stack([start[0] + start[1] * slope, start[1]])

    def natural(tilted: Array) -> Array:
        return jnp.stack([tilted[0] - tilted[1] * slope, tilted[1]])

    def potential(tilted: Array) -> Array:
        rule = _rule(jax.lax.stop_gradient(natural(tilted)))
        powers = tilted[0] * (rule.points - center)
        powers = powers + tilted[1] * above_chord(rule.points, center)
        return jnp.where(tilted[1] < 0, logsumexp(powers + rule.log_weights), jnp.nan)

    def residual(tilted: Array, wanted: tuple[Array, Array]) -> Array:
        shift, above = jax.grad(potential)(tilted)
        return jnp.stack([(shift - wanted[0]) / scale, jnp.log(above) - wanted[1]])

    # counts differ from their mean by no less, where it is small, and about √m where it is large
    scale = center / jnp.sqrt(1 + center)
    wanted = mean - center, jnp.log(gap)
    fixed, end = jax.lax.stop_gradient((jnp.stack([wanted[0], gap]), wanted))
    near = minimize_tilted(potential, fixed, jax.lax.stop_gradient(begin))
    found = polish(residual, near, wanted, 8, _POLISH_STEPS)
    solved = jnp.abs(residual(jax.lax.stop_gradient(found), end)) <= _CLOSE_ENOUGH
    return natural(jnp.where((gap > 0) & jnp.all(solved), found, jnp.nan))


def draw(key: Key[Array, ""], theta: Vector) -> Array:
    """A draw of any rate and dispersion."""
    # Rejection with a geometric tail on either side of the mode m, of slope λ = √(ν/(m + 1))
    # at a distance of 1/λ: log p(x) is concave, so lies below its tangents (Devroye 1986, X.3).
    mode = jnp.floor(rate_of(theta))
    top = _log_power(theta, mode)
    reach = jnp.maximum(jnp.ceil(jnp.sqrt((mode + 1) / -theta[1])), 1)

    def above(x: Array) -> Array:
        return jnp.where(x < 0, -jnp.inf, _log_power(theta, jnp.maximum(x, 0))) - top

    # Slopes of chords over the steps just outside of m ± reach bound what lies beyond.
    right = mode + reach
    fall_right = above(right) - above(right + 1)
    left = jnp.maximum(mode - reach, 0)
    fall_left = jnp.where(left > 0, above(left) - above(jnp.maximum(left - 1, 0)), 1)
    masses = jnp.stack(
        [
            jnp.where(left > 0, jnp.exp(above(left)) / jnp.expm1(fall_left), 0),
            right - left + 1,
            jnp.exp(above(right)) / jnp.expm1(fall_right),
        ]
    )

    def propose(state: tuple) -> tuple:
        count, _, key = state
        key, first, second, third = jax.random.split(key, 4)
        part = jax.random.categorical(first, jnp.log(masses))
        waiting = jax.random.exponential(second, dtype=top.dtype)
        u, height = jax.random.uniform(third, (2,), top.dtype)
        beyond_left = left - 1 - jnp.floor(waiting / fall_left)
        beyond_right = right + 1 + jnp.floor(waiting / fall_right)
        within = left + jnp.floor(u * (right - left + 1))
        x = jnp.stack([beyond_left, jnp.minimum(within, right), beyond_right])[part]
        hull = jnp.stack(
            [
                above(left) - fall_left * (left - x),
                jnp.zeros_like(x),
                above(right) - fall_right * (x - right),
            ]
        )[part]
        accepted = jnp.log(height) <= above(x) - hull
        return jnp.where(accepted, _ROUNDS, count + 1), x, key

    begin = jnp.asarray(0), mode, key
    found = jax.lax.while_loop(lambda state: state[0] < _ROUNDS, propose, begin)[1]
    return jnp.maximum(found, 0).astype(int)


def _chord(mean: Scalar) -> tuple[Scalar, Scalar]:
    # The count k at or below the mean, and the slope of log x! from there to the next one.
    count = jnp.floor(jax.lax.stop_gradient(mean))
    return count, jnp.log1p(count)


def _log_power(theta: Vector, x: Array) -> Array:
    # ν (x log μ − log x! − μ)
    return theta[1] * (factorial_remainder(x) + deviance(x, rate_of(theta)))


def _rule(theta: Vector) -> Rule:
    # By D(x, μ) ≥ t²/(2μ + 2t/3) at x = μ + t, the powers are below e⁻⁴⁵ outside.
    rate, nu = rate_of(theta), -theta[1]
    width = 12 * jnp.sqrt(rate / nu)
    return count_rule(rate - width, rate + width + 60 / nu)


def _log_sum(theta: Vector) -> Scalar:
    # ψ − νμ
    rule = _rule(theta)
    return jax.nn.logsumexp(_log_power(theta, rule.points) + rule.log_weights)


def _masses(theta: Vector) -> tuple[Array, Array]:
    # probabilities at the points of the rule, and the points
    rule = _rule(theta)
    return jax.nn.softmax(_log_power(theta, rule.points) + rule.log_weights), rule.points
