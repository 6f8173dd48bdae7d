"""The von Mises–Fisher family: directions in any dimension."""

import math
from functools import partial
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.derivatives import differentiated_as
from ...geometry.duality import bregman_divergence
from ...geometry.points import Natural
from ...geometry.roots import solve_decreasing
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..conjugacy.integrals import Directions
from ..observed import AbstractObservedFamily
from ..special.bessel import bessel
from ..special.gaps import gap_beyond, gap_of_step
from ..support import Support

# Rounds of the sampler; each ends with a probability of more than ½.
_ROUNDS = 200
# Dimensions up to which normal numbers are cheaper to draw than two gammas.
_FEW = 32


@final
class VonMisesFisher(AbstractObservedFamily[Array]):
    """Distributions of a unit vector in ℝᵈ around a mean direction μ, p(x) ∝ exp(κ μᵀx).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | κ μ | A(κ) μ | x | 1/area of the sphere |

    with A = I_(d/2)/I_(d/2−1). The density is against the area of the sphere, on which the
    distribution with κ = 0 is uniform; its ψ is 0.

    Attributes:
        size: dimension d of the space around the sphere.

    References:
        Mardia & Jupp, Directional Statistics (2000), section 9.3; Hornik & Grün, Amos-type bounds
        for modified Bessel function ratios (2013); Wood, Simulation of the von Mises Fisher
        distribution (1994).

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.VonMisesFisher(3)
        >>> params = family.from_direction_concentration(jnp.array([0.0, 0.0, 1.0]), 2.0)
        >>> [round(float(m), 4) for m in family.to_mean(params).coords]
        [0.0, 0.0, 0.5373]
    """

    size: int = eqx.field(static=True, converter=whole("VonMisesFisher", "size", 2))

    @property
    def spaces(self) -> Any:
        """ℝᵈ."""
        return Euclidean((self.size,))

    @property
    def support(self) -> Support:
        """The unit sphere."""
        return Support((self.size,), "sphere")

    def from_direction_concentration(
        self, direction: Float[Array, " d"], concentration: Float[Array, ""] | float
    ) -> Natural[Array]:
        """The distribution around a direction, of any length but zero, with given κ ≥ 0."""
        if jnp.shape(direction) != (self.size,):
            raise ValueError(
                "VonMisesFisher.from_direction_concentration: `direction` must have shape "
                f"({self.size},), but has shape {jnp.shape(direction)}."
            )
        vector, kappa = jnp.asarray(direction, float), jnp.asarray(concentration, float)
        coords = kappa * vector / jnp.linalg.norm(vector)
        return require(
            Natural(coords),
            self._in_domain(coords) & (kappa >= 0),
            "VonMisesFisher.from_direction_concentration: `direction` must be finite and not zero, "
            "`concentration` finite and not negative.",
        )

    def direction_concentration(
        self, params: Natural[Array]
    ) -> tuple[Float[Array, " d"], Float[Array, ""]]:
        """Mean direction μ, a unit vector (the zero vector where κ = 0), and concentration κ."""
        self._check_point(params, Natural, "direction_concentration", "params")
        return _polar(params.coords)

    readers = (direction_concentration,)

    @property
    def _conjugacy(self) -> Directions:
        return Directions(self.size)

    @property
    def _cells(self) -> Whole:
        return Whole(mean_statistic)

    def _sufficient_statistic(self, x: Array) -> Array:
        return x

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.asarray(-log_area(self.size), x.dtype)

    def _log_normalizer(self, coords: Array) -> Array:
        return log_normalizer(self.size, coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return jnp.dot(coords, x) - jnp.asarray(log_area(self.size), coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        return log_density(self.size, coords, x)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return invert_mean(self.size, means, start)

    def _estimate(self, xs: Array, shares: Array) -> Array:
        # About a center c near the mean direction, x/|x| is sin a across it and 1 − cos a below it.
        parts = shares.astype(xs.dtype)
        center, _ = _polar(parts @ xs)
        steps = xs - center
        across = steps - jnp.outer(steps @ center, center)
        across = across - jnp.outer(across @ center, center)
        along = xs @ center
        squares = jnp.sum(across * across, axis=1)
        lengths = jnp.sqrt(along * along + squares)
        behind = 1 - along / lengths
        front = squares / (lengths * (lengths + jnp.maximum(along, 0)))
        depths = jnp.where(along > 0, front, behind)
        sines = across / lengths[:, None]
        return estimate(self.size, center, parts @ sines, parts @ depths)

    def _entropy(self, coords: Array) -> Array:
        return entropy(self.size, coords)

    def _divergence(self, p: Array, q: Array) -> Array:
        return divergence(self.size, p, q)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(coords))

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        first, second = jax.random.split(key)
        direction, kappa = _polar(coords)
        axis = jnp.where(kappa > 0, direction, jnp.eye(self.size, dtype=coords.dtype)[0])
        depth = sample_depth(self.size, first, kappa)
        noise = jax.random.normal(second, (self.size,), coords.dtype)
        for _ in range(2):  # the second time for the rounding of the first
            noise = noise - axis * jnp.dot(axis, noise)
            noise = noise / jnp.linalg.norm(noise)
        return (1 - depth) * axis + jnp.sqrt(depth * (2 - depth)) * noise

    def _features(self, x: Array) -> Array:
        return x

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key, (self.size,))

    def _weak_means(self, xs: Array) -> Array:
        # half the mean of the data: never on the sphere itself
        return jnp.mean(xs, axis=0) / 2

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free


# Kernels of the dimension and of vectors θ, of use for angles (the von Mises family) too.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_normalizer(size: int, theta: Float[Array, " d"]) -> Float[Array, ""]:
    """log E exp(θᵀx) over the uniform distribution."""
    return bessel(size / 2 - 1, jnp.dot(theta, theta)).log


@log_normalizer.defjvp
def _log_normalizer_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return log_normalizer(size, *primals), jnp.dot(_mean(size, *primals), tangents[0])


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _mean(size: int, theta: Array) -> Array:
    return theta * bessel(size / 2 - 1, jnp.dot(theta, theta)).ratio


@_mean.defjvp
def _mean_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # dη = A(κ)/κ dθ across μ, and A'(κ) dθ along it; the two differ by a factor of up to κ, so what
    # is across is made so twice.
    (theta,), (change,) = primals, tangents
    functions = bessel(size / 2 - 1, jnp.dot(theta, theta))
    axis, _ = _polar(theta)
    along = jnp.dot(axis, change)
    across = change - axis * along
    across = across - axis * jnp.dot(axis, across)
    return theta * functions.ratio, functions.ratio * across + functions.slope * along * axis


# Length and direction of θ have no derivatives at the origin, so what is computed from them has
# rules of its own.


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def entropy(size: int, theta: Array) -> Array:
    """−E log p(x)."""
    surplus = bessel(size / 2 - 1, jnp.dot(theta, theta)).surplus
    return surplus + jnp.asarray(log_area(size), theta.dtype)


@entropy.defjvp
def _entropy_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # −θᵀdη, and only the change along θ counts
    (theta,), (change,) = primals, tangents
    slope = bessel(size / 2 - 1, jnp.dot(theta, theta)).slope
    return entropy(size, theta), -slope * jnp.dot(theta, change)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def log_density(size: int, theta: Float[Array, " d"], x: Float[Array, " d"]) -> Float[Array, ""]:
    """log p(x) of a unit vector, θᵀx − ψ − log area."""
    # κ μᵀx − ψ = −κ|x − μ|²/2 + (κ − ψ) for unit vectors
    axis, kappa = _polar(theta)
    gap = x - axis
    functions = bessel(size / 2 - 1, jnp.dot(theta, theta))
    peak = functions.surplus - functions.deficit + jnp.asarray(log_area(size), theta.dtype)
    return -0.5 * kappa * jnp.dot(gap, gap) - peak


@log_density.defjvp
def _log_density_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # x − η across μ is that of x − μ, and along μ it is (1 − A) − |x − μ|²/2, of small terms.
    (theta, x), (change, move) = primals, tangents
    axis, kappa = _polar(theta)
    gap = x - axis
    along = _distance(size, kappa) - 0.5 * jnp.dot(gap, gap) - jnp.dot(gap, axis)
    score = differentiated_as(gap + along * axis, x - _mean(size, theta))
    return log_density(size, theta, x), jnp.dot(score, change) + jnp.dot(theta, move)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def divergence(size: int, own: Float[Array, " d"], other: Float[Array, " d"]) -> Float[Array, ""]:
    """KL: that of the concentrations at one direction, and κ' A(κ) |μ' − μ|²/2."""
    longer, turn = _longer_and_turn(own, other)
    kappa, kappa_ = _polar(own)[1], _polar(other)[1]
    mean = kappa * bessel(size / 2 - 1, kappa * kappa).ratio
    along = bregman_divergence(partial(_log_decline, size), kappa_, kappa, longer)
    return along + 0.5 * kappa_ * mean * jnp.dot(turn, turn)


@divergence.defjvp
def _divergence_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # (η' − η)ᵀdθ' − (θ' − θ)ᵀdη, where η' − η = (A' − A)μ' + A(μ' − μ)
    (own, other), (change, change_) = primals, tangents
    moved = jax.jvp(partial(_mean, size), (own,), (change,))[1]
    _, turn = _longer_and_turn(own, other)
    (_, kappa), (axis_, kappa_) = _polar(own), _polar(other)
    distance = _distance(size, kappa)
    close = (distance - _distance(size, kappa_)) * axis_ + (1 - distance) * turn
    gap = differentiated_as(close, _mean(size, other) - _mean(size, own))
    return divergence(size, own, other), jnp.dot(gap, change_) - jnp.dot(other - own, moved)


def _longer_and_turn(own: Array, other: Array) -> tuple[Array, Array]:
    # κ' − κ and μ' − μ, made from the step of θ where it is short.
    (axis, kappa), (axis_, kappa_) = _polar(own), _polar(other)
    step, total = other - own, kappa + kappa_
    longer = jnp.dot(step, own + other) / jnp.where(total > 0, total, 1)
    near = jnp.dot(step, step) < 0.25 * kappa * kappa
    close = (step - axis * longer) / jnp.where(near, kappa_, 1)
    return longer, jnp.where(near, close, axis_ - axis)


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_decline(size: int, kappa: Array) -> Array:
    # ψ − κ
    functions = bessel(size / 2 - 1, kappa * kappa)
    return functions.surplus - functions.deficit


@_log_decline.defjvp
def _log_decline_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_decline(size, *primals), -_distance(size, *primals) * tangents[0]


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _distance(size: int, kappa: Array) -> Array:
    # 1 − A(κ): that of the mean from the sphere
    deficit = bessel(size / 2 - 1, kappa * kappa).deficit
    return jnp.where(kappa > 0, deficit / jnp.where(kappa > 0, kappa, 1), 1)


@_distance.defjvp
def _distance_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    slope = bessel(size / 2 - 1, primals[0] * primals[0]).slope
    return _distance(size, *primals), -slope * tangents[0]


def log_area(size: int) -> float:
    """The logarithm of the area 2 π^(d/2)/Γ(d/2) of the unit sphere."""
    return math.log(2) + size / 2 * math.log(math.pi) - math.lgamma(size / 2)


def invert_mean(
    size: int, means: Float[Array, " d"], start: Float[Array, " d"] | None = None
) -> Float[Array, " d"]:
    """The θ with given E[x]; as a step of a fit from `start` takes it, where that is given."""
    rest = _defect(means)
    if start is not None:
        rest = gap_of_step(rest, _defect_of(size, start), jnp.ones_like(rest))
    return from_defect(size, means, rest)


def estimate(
    size: int, center: Float[Array, " d"], across: Float[Array, " d"], depth: Float[Array, ""]
) -> Float[Array, " d"]:
    """The maximum of the likelihood of rows, from their average in parts.

    Args:
        size: dimension d.
        center: a direction c close to the mean.
        across: the average of what is across c.
        depth: 1 − that of what is along c.
    """
    # 1 − ‖η‖²; rows that are equal up to rounding have no concentration
    rest = depth * (2 - depth) - jnp.dot(across, across)
    rest = gap_beyond(rest, 64 * jnp.finfo(rest.dtype).eps ** 2)
    return from_defect(size, center * (1 - depth) + across, rest)


def from_defect(size: int, means: Float[Array, " d"], rest: Float[Array, ""]) -> Float[Array, " d"]:
    """The θ with given η = E[x] and 1 − |η|², which is known to more digits than η is."""
    # κ is from A(κ) = |η|, inside the bounds of Hornik & Grün (eq. 12):
    # 1. G(κ; a, b) = κ/(a + √(κ² + b²)) is R at κ = R/(1 − R²) (a + √(a²R² + b²(1 − R²))), and
    #    G(v + ½, v + 3/2) ≤ A ≤ min(G(v, v + 2), G(v + ½, v + ½)) at v = d/2 − 1.
    # 2. Below a length of √ε/8, κ = d R to rounding.
    # 3. The odds of A and of R are compared, of which neither end of (0, 1) loses digits.
    v = size / 2 - 1
    eps = jnp.finfo(means.dtype).eps
    square = jnp.maximum(jnp.dot(means, means), eps / 64)
    length = jnp.sqrt(square)

    def bound(a: float, b: float) -> Array:
        return jnp.log(length / rest * (a + jnp.sqrt(a * a * square + b * b * rest)))

    def excess(log_kappa: Array, wanted: Array) -> Array:
        return wanted - _log_odds(size, jnp.exp(log_kappa))

    low, high = jnp.maximum(bound(v, v + 2), bound(v + 0.5, v + 0.5)), bound(v + 0.5, v + 1.5)
    wanted = jnp.log(length * (1 + length) / rest)
    return means * jnp.exp(solve_decreasing(excess, wanted, low, high, steps=8)) / length


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _log_odds(size: int, kappa: Array) -> Array:
    # log A/(1 − A)
    functions = bessel(size / 2 - 1, kappa * kappa)
    return jnp.log(kappa * functions.ratio) + jnp.log(kappa / functions.deficit)


@_log_odds.defjvp
def _log_odds_jvp(size: int, primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    functions = bessel(size / 2 - 1, primals[0] * primals[0])
    slope = functions.slope / (functions.ratio * functions.deficit)
    return _log_odds(size, *primals), slope * tangents[0]


def _defect(means: Array) -> Array:
    # 1 − ‖η‖². Squares of entries rounded to half of the digits, and their sum, are exact.
    bits = (jnp.finfo(means.dtype).nmant + 1) // 2
    coarse = jnp.round(means * 2.0**bits) / 2.0**bits
    fine = means - coarse
    return (1 - jnp.sum(coarse * coarse)) - jnp.sum((coarse + means) * fine)


def _defect_of(size: int, theta: Array) -> Array:
    # 1 − A(κ)²
    distance = _distance(size, _polar(theta)[1])
    return distance * (2 - distance)


def sample_depth(size: int, key: Key[Array, ""], kappa: Array) -> Array:
    """A draw of 1 − μᵀx."""
    # Wood's rejection from a transformed Beta((d − 1)/2, (d − 1)/2), in 1 − w in place of w = μᵀx:
    # 1 − w = 2bz/(1 − (1 − b)z) and 1 − x₀ = 2b/(1 + b), with b = (d − 1)/(2κ + √(4κ² + (d − 1)²)).
    m = size - 1
    b = m / (2 * kappa + jnp.sqrt(4 * kappa * kappa + m * m))
    origin = 2 * b / (1 + b)  # 1 − x₀
    scale = origin * (2 - origin)  # 1 − x₀²

    def propose(state: tuple) -> tuple:
        count, _, key = state
        key, first, second = jax.random.split(key, 3)
        odds = _draw_odds(size, first, kappa.dtype)  # z/(1 − z)
        depth = 2 * b * odds / (1 + b * odds)
        ratio = (origin + (1 - origin) * depth) / scale  # (1 − x₀w)/(1 − x₀²)
        fit = kappa * (origin - depth) + m * jnp.log(ratio)
        accepted = -jax.random.exponential(second, dtype=kappa.dtype) <= fit
        return jnp.where(accepted, _ROUNDS, count + 1), depth, key

    start = jnp.asarray(0), jnp.zeros_like(kappa), key
    return jax.lax.while_loop(lambda state: state[0] < _ROUNDS, propose, start)[1]


def _draw_odds(size: int, key: Key[Array, ""], dtype: Any) -> Array:
    # z/(1 − z) of a draw z from Beta((d − 1)/2, (d − 1)/2)
    if size > _FEW:
        logs = jax.random.loggamma(key, jnp.full((2,), (size - 1) / 2, dtype), dtype=dtype)
        return jnp.exp(logs[0] - logs[1])
    # z = (1 + u)/2 for a coordinate u of a uniform direction: no rejections inside of rejections
    noise = jax.random.normal(key, (size,), dtype)
    rest = jnp.dot(noise[1:], noise[1:])
    total = jnp.sqrt(noise[0] ** 2 + rest) + jnp.abs(noise[0])
    odds = total * total / rest
    return jnp.where(noise[0] > 0, odds, 1 / odds)


def _polar(theta: Array) -> tuple[Array, Array]:
    # direction, zero at the origin, and length, with finite derivatives there
    square = jnp.dot(theta, theta)
    positive = square > 0
    kappa = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
    return jnp.where(positive, theta / jnp.where(positive, kappa, 1), 0), kappa
