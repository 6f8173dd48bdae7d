"""The Dirichlet family: probabilities of K categories."""

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
from ..cells import Whole
from ..observed import AbstractObservedFamily
from ..special.gamma import (
    deviance,
    deviance_from_gap,
    digamma_rise,
    factorial_remainder,
    inverse_digamma,
    log_beta,
    log_gap,
    scaled_deviance,
    shape_remainder,
    trigamma,
    trigamma_defect,
    trigamma_rest,
)
from ..special.gaps import gap_beyond, gap_of_step
from ..support import Support


@final
class Dirichlet(AbstractObservedFamily[Array]):
    """Distributions of vectors of probabilities, p(x) = Γ(Σ_k α_k) Π_k x_k^(α_k−1) / Γ(α_k).

    | natural θ_k | mean η_k | statistic s_k(x) | base measure |
    | --- | --- | --- | --- |
    | α_k | digamma(α_k) − digamma(Σ_j α_j) | log x_k | 1/Π_k x_k |

    The density is against Lebesgue measure of x_1 … x_(K−1). In draws, what is below the smallest
    normal number is rounded up to it: 0 is not in the support.

    Attributes:
        size: number of probabilities K.

    References:
        Minka, Estimating a Dirichlet distribution (2000).

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> dirichlet = ef.Dirichlet(3)
        >>> params = dirichlet.from_concentration(jnp.ones(3))
        >>> [round(float(m), 4) for m in dirichlet.to_mean(params).coords]
        [-1.5, -1.5, -1.5]
    """

    size: int = eqx.field(static=True, converter=whole("Dirichlet", "size", 2))

    @property
    def spaces(self) -> Any:
        """ℝᴷ."""
        return Euclidean((self.size,))

    @property
    def support(self) -> Support:
        """Positive vectors that sum to one."""
        return Support((self.size,), "simplex")

    def from_concentration(self, concentration: Float[Array, " k"]) -> Natural[Array]:
        """The distribution with given concentrations α, shape `(K,)`, positive and finite."""
        if jnp.shape(concentration) != (self.size,):
            raise ValueError(
                f"Dirichlet.from_concentration: `concentration` must have shape ({self.size},), "
                f"but has shape {jnp.shape(concentration)}."
            )
        alpha = jnp.asarray(concentration, float)
        return require(
            Natural(alpha),
            self._in_domain(alpha),
            "Dirichlet.from_concentration: `concentration` must be positive and finite.",
        )

    def concentration(self, params: Natural[Array]) -> Float[Array, " k"]:
        """The concentrations α."""
        self._check_point(params, Natural, "concentration", "params")
        return params.coords

    readers = (concentration,)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: coords / jnp.sum(coords))

    def _sufficient_statistic(self, x: Array) -> Array:
        return jnp.log(x)

    def _log_base_measure(self, x: Array) -> Array:
        return -jnp.sum(jnp.log(x))

    def _log_normalizer(self, coords: Array) -> Array:
        return log_normalizer(coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return jnp.dot(coords - 1, jnp.log(x))

    def _log_density(self, coords: Array, x: Array) -> Array:
        # In the form of Loader, with n = Σ_k α_k, and R what Stirling's main term leaves over:
        # R(n) − log n + Σ_k log α_k − R(α_k) − D(α_k, n x_k) − log x_k.
        n = jnp.sum(coords)
        terms = jnp.log(coords) - jnp.log(x) - factorial_remainder(coords)
        terms = terms - share_deviance(coords, x)
        return factorial_remainder(n) - jnp.log(n) + jnp.sum(terms)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return invert_mean(means, start)

    def _estimate(self, xs: Array, shares: Array) -> Array:
        # Rows sum to one only up to rounding, which would count as much as what they differ by:
        # with sums S of a center c near the rows and S (1 + t) of a row x, x/S(1 + t) − c/S is
        # (x − c − ct)/S(1 + t), of exact differences.
        parts = shares.astype(xs.dtype)
        center = parts @ xs
        total = jnp.sum(center)
        steps = xs - center
        off = jnp.sum(steps, axis=1, keepdims=True) / total
        sums = total * (1 + off)
        return estimate(center / total, xs / sums, (steps - center * off) / sums, parts)

    def _entropy(self, coords: Array) -> Array:
        return entropy(coords)

    def _divergence(self, p: Array, q: Array) -> Array:
        return divergence(p, q)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.all((coords > 0) & jnp.isfinite(coords))

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        draws = jax.nn.log_softmax(jax.random.loggamma(key, coords, dtype=coords.dtype))
        return jnp.maximum(jnp.exp(draws), jnp.finfo(draws.dtype).tiny)

    def _features(self, x: Array) -> Array:
        # Roots of probabilities lie on a sphere, whose distances are those of the distributions.
        return jnp.sqrt(x)

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return self._from_unconstrained(jax.random.normal(key, (self.size,)))

    def _weak_means(self, xs: Array) -> Array:
        # α of the proportions of the data, with a total of K
        share = jnp.maximum(jnp.mean(xs, axis=0), 1e-3 / self.size)
        return mean_of(self.size * share / jnp.sum(share))

    def _to_unconstrained(self, coords: Array) -> Array:
        return jnp.log(coords)

    def _from_unconstrained(self, free: Array) -> Array:
        return jnp.exp(free)


# Kernels of vectors of concentrations, of use for two of them (the beta family) too.


def share_deviance(alpha: Array, x: Array) -> Array:
    """D(α_k, n x_k) with n = Σ_k α_k, for shares x however small."""
    # Where n x falls below the smallest number it is α log α/n − α log x − α.
    n = jnp.sum(alpha)
    small = n * x < jnp.finfo(x.dtype).tiny
    limit = alpha * (jnp.log(alpha / n) - jnp.log(x) - 1)
    return jnp.where(small, limit, deviance(alpha, jnp.where(small, alpha, n * x)))


@jax.custom_jvp
def log_normalizer(alpha: Float[Array, " k"]) -> Float[Array, ""]:
    """log Π_k Γ(α_k) − log Γ(Σ_k α_k), as a product of beta functions: α_k against those before."""
    before = jnp.cumsum(alpha)[:-1]
    return jnp.sum(log_beta(before, alpha[1:]))


@log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return log_normalizer(*primals), jnp.dot(mean_of(*primals), tangents[0])


@jax.custom_jvp
def mean_of(alpha: Float[Array, " k"]) -> Float[Array, " k"]:
    """E log x_k = digamma(α_k) − digamma(α_k + what the others sum to)."""
    return -digamma_rise(alpha, _others(alpha))


@mean_of.defjvp
def _mean_of_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # With trigamma(a) = 1/a + τ(a), r_k = dα_k/α_k and its mean r̄ with weights α_k/n, the change is
    # r_k − r̄ + τ(α_k) dα_k − τ(n) dn: the large parts, nearly equal where all α_k change in
    # proportion, are subtracted first.
    (alpha,), (change,) = primals, tangents
    n = jnp.sum(alpha)
    ratios = change / alpha
    for _ in range(2):  # the second time for the rounding of the mean
        ratios = ratios - jnp.dot(alpha / n, ratios)
    rest = trigamma_rest(alpha) * change
    whole = trigamma_rest(n) * jnp.sum(change)
    return mean_of(alpha), ratios + rest - whole


def entropy(alpha: Float[Array, " k"]) -> Float[Array, ""]:
    """−E log p(x), without the terms of the size of Σ_k α_k that cancel."""
    # With gaps g(a) = log a − digamma(a), E D(α_k, n x_k) = α_k (g(α_k) − g(n)).
    n = jnp.sum(alpha)
    own = factorial_remainder(alpha) + alpha * log_gap(alpha) - jnp.log(alpha) + mean_of(alpha)
    return jnp.log(n) - factorial_remainder(n) - n * log_gap(n) + jnp.sum(own)


def divergence(own: Float[Array, " k"], other: Float[Array, " k"]) -> Float[Array, ""]:
    """KL, with Σ_k α_k log α_k/n, to which the parts that grow with α add up, on its own."""
    # Of Σ_k α_k log α_k − n log n the Bregman divergence is Σ_k D(α'_k, α_k n'/n); the rest of ψ is
    # convex, too.
    n, step = jnp.sum(own), jnp.sum(other - own)
    shares = scaled_deviance(other, own, jnp.sum(other) / n, step / n)

    def rest(alpha: Array) -> Array:
        remainders = shape_remainder(jnp.append(alpha, jnp.sum(alpha)))
        return jnp.sum(remainders[:-1]) - remainders[-1]

    return jnp.sum(shares) + bregman_divergence(rest, other, own)


def invert_mean(
    means: Float[Array, " k"], start: Float[Array, " k"] | None = None
) -> Float[Array, " k"]:
    """The α with given E log x_k; as a step of a fit from `start` takes it, where that is given."""
    # e^η, which sum to less than one, as shares and −log of their sum
    largest = jnp.arange(means.shape[0]) == jnp.argmax(means)
    top = jnp.sum(jnp.where(largest, means, 0))
    log_shares = jax.nn.log_softmax(means)
    gap = -top - jnp.log1p(jnp.sum(jnp.where(largest, 0, jnp.exp(means - top))))
    scale = jnp.dot(jnp.exp(log_shares), jnp.abs(means))
    if start is not None:
        return from_gap(log_shares, gap_of_step(gap, _gap_of(start), scale))
    # what is lost in rounding has the least gap that is not
    noise = jnp.finfo(means.dtype).eps * scale
    return from_gap(log_shares, jnp.where(gap > -4 * noise, jnp.maximum(gap, noise / 8), jnp.nan))


def estimate(
    center: Float[Array, " k"],
    rows: Float[Array, "n k"],
    steps: Float[Array, "n k"],
    shares: Float[Array, " n"],
) -> Float[Array, " k"]:
    """The maximum of the likelihood of rows of probabilities.

    Args:
        center: a vector of probabilities close to the mean of the rows.
        rows: vectors of probabilities.
        steps: rows − center, to all of their digits where they are small.
        shares: of the rows, that sum to one.
    """
    # 1. log m_k − Σ w log x_k is Σ w D(c_k, x_k)/c_k, with terms that are not negative, up to the
    #    rounding of the mean m = c (1 + r): it is less by D(1, 1 + r_k), as for the gamma.
    # 2. With these gaps, Σ_k exp Σ w log x_k = 1 + Σ_k m_k expm1(−gap_k).
    # 3. Rows that are equal up to rounding have no concentration.
    rest = shares @ steps / center
    spread = shares @ deviance_from_gap(-steps, rows) / center
    off = deviance_from_gap(-rest, 1 + rest)
    gaps, means = spread - off, center * (1 + rest)
    loss = -jnp.sum(means * jnp.expm1(-gaps))
    eps = jnp.finfo(rows.dtype).eps
    noise = 64 * eps * eps * jnp.min(means) + 16 * eps * jnp.dot(means, jnp.abs(off))
    gap = gap_beyond(-jnp.log1p(-loss), noise)
    return from_gap(jnp.log(means) - gaps + gap, gap)


@jax.custom_jvp
def from_gap(log_shares: Float[Array, " k"], gap: Float[Array, ""]) -> Float[Array, " k"]:
    """The α with E log x_k = log s_k − G, for shares s that sum to one and a gap G > 0."""
    # 1. With g(a) = log a − digamma(a) and α_k = n s_k exp(δ_k) it is δ_k = g(α_k) − g(n) − G:
    #    differences of moderate numbers. n makes Σ s_k expm1(δ_k) zero, which is
    #    Σ s_k (g(α_k) − g(n) + D(1, exp δ_k)) = G, of positive terms.
    # 2. With p = α/n, n (G + KL(p ‖ s)) = Σ α_k g(α_k) − n g(n), which is between (K − 1)/2 and
    #    K − ½, because a g(a) is between ½ and 1. Solved for t = log n − log (K − 1)/2G.
    size = log_shares.shape[0]
    shares = jnp.exp(log_shares)
    origin = jnp.log((size - 1) / (2 * gap))
    low = -jnp.log1p(-jnp.min(log_shares) / gap) - 0.1
    high = jnp.log(jnp.asarray((2 * size - 1) / (size - 1), gap.dtype)) + 0.1

    def respond(step: Array) -> tuple[Array, Array]:
        # α and δ for a given t, by Newton steps in log α. Of small α the product of the steps keeps
        # its digits, of large ones δ does.
        log_n = origin + step
        own = log_gap(jnp.exp(log_n))
        alpha = inverse_digamma(log_shares - gap + (log_n - own))
        delta = jnp.log(alpha) - log_shares - log_n
        for _ in range(2):
            change = log_gap(alpha) - own - gap - delta
            change = change / (1 + alpha * trigamma_rest(alpha))
            alpha, delta = alpha * jnp.exp(change), delta + change
        return jnp.where(jnp.abs(delta) < 1, jnp.exp(log_n + log_shares + delta), alpha), delta

    def excess(step: Array, _: None) -> Array:
        alpha, delta = jax.lax.stop_gradient(respond(step))
        n = jnp.exp(origin + jax.lax.stop_gradient(step))
        near = jnp.minimum(delta, 1)
        above = shares * deviance_from_gap(-jnp.expm1(near), jnp.exp(near))
        above = jnp.where(delta < 1, above, alpha / n - shares * (1 + delta))
        # where the others sum to little, g(α_k) − g(n) from what they add
        others = _others(alpha)
        few = others < 0.5
        short = digamma_rise(alpha, others) - jnp.log1p(others / alpha)
        falls = jnp.where(few, short, log_gap(alpha) - log_gap(n))
        total = jnp.dot(shares, falls) + jnp.sum(above)
        # the derivative is that of Σ s_k exp(δ_k), with dδ/dt = −(ατ(α) − nτ(n))/(1 + ατ(α))
        bend, whole_bend = alpha * trigamma_rest(alpha), n * trigamma_rest(n)
        slope = -jnp.dot(alpha / n, (bend - whole_bend) / (1 + bend))
        rise = slope * (1 + whole_bend * jnp.sum(jnp.where(few, shares, 0)))
        # of a large G the sum Σ α_k itself has more digits
        whole = jnp.sum(alpha) / n
        value = jnp.where(gap < 1, jnp.log(total / gap), jnp.log(whole))
        return differentiated_as(value, jnp.where(gap < 1, rise / total, slope / whole) * step)

    return respond(solve_decreasing(excess, None, low, high))[0]


@from_gap.defjvp
def _from_gap_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    alpha = from_gap(*primals)
    return alpha, _respond(alpha, tangents[0] - tangents[1])


def _gap_of(alpha: Float[Array, " k"]) -> Float[Array, ""]:
    # −log Σ_k exp E log x_k, which is −log Σ_k α_k/n exp(g(n) − g(α_k))
    n = jnp.sum(alpha)
    return -jnp.log1p(jnp.dot(alpha / n, jnp.expm1(log_gap(n) - log_gap(alpha))))


def _others(alpha: Float[Array, " k"]) -> Float[Array, " k"]:
    # what the others sum to
    zero = jnp.zeros((1,), alpha.dtype)
    before = jnp.concatenate([zero, jnp.cumsum(alpha)[:-1]])
    return before + jnp.concatenate([jnp.cumsum(alpha[:0:-1])[::-1], zero])


def _respond(alpha: Array, change: Array) -> Array:
    # Solves (diag t − T 11ᵀ) dα = dη with t = trigamma(α), T = trigamma(Σα). By Sherman & Morrison
    # dα = (dη + Σ(dη/t)/d)/t with d = 1/T − Σ 1/t, the difference of the defects a − 1/trigamma(a).
    slopes = trigamma(alpha)
    defect = jnp.sum(trigamma_defect(alpha)) - trigamma_defect(jnp.sum(alpha))
    return (change + jnp.sum(change / slopes) / defect) / slopes
