"""The Conway–Maxwell–Poisson family: counts with more or less dispersion than a Poisson."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.duality import minimize_tilted
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..observed import AbstractObservedFamily
from ..special.counts import Rule, count_rule
from ..special.gamma import above_factorial, deviance, factorial_remainder, log_gamma
from ..special.logistic import logsumexp
from ..support import Support

# Rounds of the sampler; each ends with a probability of more than ¼.
_ROUNDS = 400
# Newton steps for the logarithm of what dispersion leaves; the relative error it may end with.
_POLISH_STEPS = 16
_CLOSE_ENOUGH = 1e-3


@final
class ConwayMaxwellPoissonCoords(eqx.Module):
    """Coordinates of a Conway–Maxwell–Poisson.

    Attributes:
        count: pairs with x: natural ν log μ; a scalar.
        log_factorial: pairs with log x!: natural −ν; a scalar.
    """

    count: Any
    log_factorial: Any


@final
class ConwayMaxwellPoisson(AbstractObservedFamily[ConwayMaxwellPoissonCoords]):
    """Distributions of counts with rate μ and dispersion ν, p(x) ∝ (μˣ/x!)^ν.

    With ν = 1 they are Poissons; below, the variance (about μ/ν) is larger, above, smaller.

    | | count | log_factorial |
    | --- | --- | --- |
    | natural θ | ν log μ | −ν |
    | mean η | E x | E log x! |
    | statistic s(x) | x | log x! |

    The base measure is 1. The sum over all counts in ψ is taken without truncation.

    References:
        Shmueli et al., A useful distribution for fitting discrete data (2005); Guikema & Goffelt, A
        flexible count data regression model for risk analysis (2008), for the rate μ.

    Example:
        >>> import expfam as ef
        >>> family = ef.ConwayMaxwellPoisson()
        >>> params = family.from_rate_dispersion(3.0, 1.0)
        >>> round(float(family.to_mean(params).coords.count), 4)
        3.0
    """

    @property
    def spaces(self) -> ConwayMaxwellPoissonCoords:
        """ℝ²."""
        return ConwayMaxwellPoissonCoords(Euclidean(()), Euclidean(()))

    @property
    def support(self) -> Support:
        """0, 1, 2, …."""
        return Support((), "count")

    def from_rate_dispersion(
        self, rate: Float[Array, ""] | float, dispersion: Float[Array, ""] | float
    ) -> Natural[ConwayMaxwellPoissonCoords]:
        """The distribution with given rate μ and dispersion ν, both positive and finite."""
        mu, nu = jnp.asarray(rate, float), jnp.asarray(dispersion, float)
        coords = ConwayMaxwellPoissonCoords(nu * jnp.log(mu), -nu)
        return require(
            Natural(coords),
            self._in_domain(coords) & (mu > 0),
            "ConwayMaxwellPoisson.from_rate_dispersion: `rate` and `dispersion` must be positive "
            "and finite.",
        )

    def rate_dispersion(
        self, params: Natural[ConwayMaxwellPoissonCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Rate μ and dispersion ν."""
        self._check_point(params, Natural, "rate_dispersion", "params")
        return _rate(params.coords), -params.coords.log_factorial

    def _sufficient_statistic(self, x: Array) -> ConwayMaxwellPoissonCoords:
        return ConwayMaxwellPoissonCoords(x.astype(float), log_gamma(x.astype(float) + 1))

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: ConwayMaxwellPoissonCoords, x: Array) -> Array:
        count = x.astype(coords.count.dtype)
        return coords.count * count + coords.log_factorial * log_gamma(count + 1)

    def _log_density(self, coords: ConwayMaxwellPoissonCoords, x: Array) -> Array:
        # Both ψ and the linear part are νμ larger.
        return _log_power(coords, x.astype(coords.count.dtype)) - _log_sum(coords)

    def _maximize(
        self, means: ConwayMaxwellPoissonCoords, start: ConwayMaxwellPoissonCoords | None
    ) -> ConwayMaxwellPoissonCoords:
        # Dispersion is what E log x! has over its least value for the mean, that of two neighboring
        # counts: where this drowns in the rounding of the two means, there is no answer.
        count, slope = _chord(means.count)
        gap = above_factorial(means.log_factorial, count) - slope * (means.count - count)
        noise = 2 * jnp.finfo(gap.dtype).eps * (means.log_factorial + slope * means.count)
        return _from_gap(means.count, jnp.where(gap > noise, gap, jnp.nan), start)

    def _estimate(self, xs: Array, shares: Array) -> ConwayMaxwellPoissonCoords:
        # Σ w (log x! − its chord at the mean), of terms that are not negative
        parts = shares.astype(float)
        counts = xs.astype(parts.dtype)
        mean = parts @ counts
        mean = mean + parts @ (counts - mean)
        return _from_gap(mean, parts @ _above_chord(counts, mean), None)

    def _entropy(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        rule = _rule(coords)
        powers = _log_power(coords, rule.points)
        masses = jax.nn.softmax(powers + rule.log_weights)
        return _log_sum(coords) - jnp.dot(masses, powers)

    def _in_domain(self, coords: ConwayMaxwellPoissonCoords) -> Bool[Array, ""]:
        inside = (coords.log_factorial < 0) & jnp.isfinite(coords.log_factorial)
        return inside & jnp.isfinite(coords.count) & jnp.isfinite(_rate(coords))

    def _sample(self, key: Key[Array, ""], coords: ConwayMaxwellPoissonCoords) -> Array:
        # Rejection with a geometric tail on either side of the mode m, of slope λ = √(ν/(m + 1))
        # at a distance of 1/λ: log p(x) is concave, so lies below its tangents (Devroye 1986, X.3).
        nu = -coords.log_factorial
        mode = jnp.floor(_rate(coords))
        top = _log_power(coords, mode)
        reach = jnp.maximum(jnp.ceil(jnp.sqrt((mode + 1) / nu)), 1)

        def above(x: Array) -> Array:
            return jnp.where(x < 0, -jnp.inf, _log_power(coords, jnp.maximum(x, 0))) - top

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
        draw = jax.lax.while_loop(lambda state: state[0] < _ROUNDS, propose, begin)[1]
        return jnp.maximum(draw, 0).astype(int)

    def _features(self, x: Array) -> Array:
        return jnp.sqrt(x.astype(float) + 3 / 8)[None]

    def _initialize(self, key: Key[Array, ""]) -> ConwayMaxwellPoissonCoords:
        return self._from_unconstrained(0.5 * jax.random.normal(key, (2,)))

    def _weak_means(self, xs: Array) -> ConwayMaxwellPoissonCoords:
        # those of a Poisson between the mean of the data and 1
        rate = (jnp.mean(xs.astype(float)) + 1) / 2
        return _mean(ConwayMaxwellPoissonCoords(jnp.log(rate), -jnp.ones_like(rate)))

    def _to_unconstrained(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        nu = -coords.log_factorial
        return jnp.stack([coords.count / nu, jnp.log(nu)])

    def _from_unconstrained(self, free: Array) -> ConwayMaxwellPoissonCoords:
        nu = jnp.exp(free[1])
        return ConwayMaxwellPoissonCoords(nu * free[0], -nu)


def _chord(mean: Array) -> tuple[Array, Array]:
    # The count k at or below the mean, and the slope of log x! from there to the next one.
    count = jnp.floor(jax.lax.stop_gradient(mean))
    return count, jnp.log1p(count)


def _above_chord(x: Array, mean: Array) -> Array:
    # log x! less its chord at k: R(x) − R(k) + D(x, k) − (x − k) log((k + 1)/k). It is convex, not
    # negative at counts, and zero at k and k + 1.
    count = _chord(mean)[0]
    step, safe = x - count, jnp.maximum(count, 1)
    remainders = factorial_remainder(x) - factorial_remainder(safe)
    above = remainders + deviance(x, safe) - step * jnp.log1p(1 / safe)
    above = jnp.where(count > 0, above, log_gamma(x + 1))
    return jnp.where((step == 0) | (step == 1), 0, above)


def _from_gap(
    mean: Array, gap: Array, start: ConwayMaxwellPoissonCoords | None
) -> ConwayMaxwellPoissonCoords:
    """The distribution with a given mean m, and mean of what log x! is above its chord at m.

    The convex problem in the statistics x − m and log x! less the chord, of which nothing cancels,
    from the Poisson of the same mean or from where the caller was. Large dispersions ν leave the
    second a mean like e⁻ᵛ, far below the rounding of the potential: it is solved for in logarithms.
    """
    center = jax.lax.stop_gradient(mean)
    slope = _chord(center)[1]
    if start is None:
        begin = jnp.stack([jnp.log(center) - slope, -jnp.ones_like(slope)])
    else:
        begin = jnp.stack([start.count + start.log_factorial * slope, start.log_factorial])

    def coords(theta: Array) -> ConwayMaxwellPoissonCoords:
        return ConwayMaxwellPoissonCoords(theta[0] - theta[1] * slope, theta[1])

    def potential(theta: Array) -> Array:
        rule = _rule(jax.lax.stop_gradient(coords(theta)))
        powers = theta[0] * (rule.points - center)
        powers = powers + theta[1] * _above_chord(rule.points, center)
        return jnp.where(theta[1] < 0, logsumexp(powers + rule.log_weights), jnp.nan)

    def residual(theta: Array, wanted: tuple[Array, Array]) -> Array:
        shift, above = jax.grad(potential)(theta)
        return jnp.stack([(shift - wanted[0]) / scale, jnp.log(above) - wanted[1]])

    # counts differ from their mean by no less, where it is small, and about √m where it is large
    scale = center / jnp.sqrt(1 + center)
    wanted = mean - center, jnp.log(gap)
    fixed, end = jax.lax.stop_gradient((jnp.stack([wanted[0], gap]), wanted))
    near = minimize_tilted(potential, fixed, jax.lax.stop_gradient(begin))
    polish = optx.Newton(
        rtol=8 * float(jnp.finfo(gap.dtype).eps),
        atol=0.0,
        linear_solver=lx.AutoLinearSolver(well_posed=None),
    )
    found = optx.root_find(
        residual, polish, near, args=wanted, max_steps=_POLISH_STEPS, throw=False
    ).value
    solved = jnp.abs(residual(jax.lax.stop_gradient(found), end)) <= _CLOSE_ENOUGH
    return coords(jnp.where((gap > 0) & jnp.all(solved), found, jnp.nan))


def _rate(coords: ConwayMaxwellPoissonCoords) -> Array:
    # μ; not zero where it underflows
    log_rate = coords.count / -coords.log_factorial
    return jnp.maximum(jnp.exp(log_rate), jnp.finfo(log_rate.dtype).tiny)


def _log_power(coords: ConwayMaxwellPoissonCoords, x: Array) -> Array:
    # ν (x log μ − log x! − μ) = −ν (R(x) + D(x, μ)): nothing of the size of x log x
    return coords.log_factorial * (factorial_remainder(x) + deviance(x, _rate(coords)))


def _rule(coords: ConwayMaxwellPoissonCoords) -> Rule:
    # By D(x, μ) ≥ t²/(2μ + 2t/3) at x = μ + t, the powers are below e⁻⁴⁵ outside.
    rate, nu = _rate(coords), -coords.log_factorial
    width = 12 * jnp.sqrt(rate / nu)
    return count_rule(rate - width, rate + width + 60 / nu)


def _log_sum(coords: ConwayMaxwellPoissonCoords) -> Array:
    # ψ − νμ
    rule = _rule(coords)
    return jax.nn.logsumexp(_log_power(coords, rule.points) + rule.log_weights)


@jax.custom_jvp
def _log_normalizer(coords: ConwayMaxwellPoissonCoords) -> Array:
    # Below a rate of 1, where both parts cancel, log(1 + Σ_x (μˣ/x!)^ν), x ≥ 1.
    rate, rule = _rate(coords), _rule(coords)
    powers = coords.count * rule.points + coords.log_factorial * log_gamma(rule.points + 1)
    rest = (rate < 1) & (rule.points > 0)
    rare = jnp.sum(jnp.where(rest, jnp.exp(jnp.where(rest, powers + rule.log_weights, 0)), 0))
    frequent = _log_sum(coords) - coords.log_factorial * rate
    return jnp.where(rate < 1, jnp.log1p(rare), frequent)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (coords,), (direction,) = primals, tangents
    mean = _mean(coords)
    slope = direction.count * mean.count + direction.log_factorial * mean.log_factorial
    return _log_normalizer(coords), slope


@jax.custom_jvp
def _mean(coords: ConwayMaxwellPoissonCoords) -> ConwayMaxwellPoissonCoords:
    masses, counts, logs = _masses(coords)
    return ConwayMaxwellPoissonCoords(jnp.dot(masses, counts), jnp.dot(masses, logs))


@_mean.defjvp
def _mean_jvp(primals: tuple, tangents: tuple) -> tuple[Any, Any]:
    # dη = Cov(s) dθ, from statistics about their means. log x! is nearly proportional to x: what it
    # has beyond its chord is a statistic of its own.
    (coords,), (direction,) = primals, tangents
    masses, counts, _ = _masses(coords)
    mean = _mean(coords)
    slope, above = _chord(mean.count)[1], _above_chord(counts, mean.count)
    counts, above = counts - mean.count, above - jnp.dot(masses, above)
    lean = direction.count + slope * direction.log_factorial
    change = masses * (lean * counts + direction.log_factorial * above)
    rise = jnp.dot(change, counts)
    return mean, ConwayMaxwellPoissonCoords(rise, jnp.dot(change, above) + slope * rise)


def _masses(coords: ConwayMaxwellPoissonCoords) -> tuple[Array, Array, Array]:
    # probabilities at the points of the rule, and both statistics there
    rule = _rule(coords)
    masses = jax.nn.softmax(_log_power(coords, rule.points) + rule.log_weights)
    return masses, rule.points, log_gamma(rule.points + 1)
