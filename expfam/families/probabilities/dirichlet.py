"""The Dirichlet family: probabilities of K categories."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.duality import bregman_divergence
from ...geometry.points import Natural
from ...geometry.roots import solve_decreasing
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..observed import AbstractObservedFamily, estimate_from_average
from ..special.gamma import (
    deviance,
    digamma,
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
from ..support import Support

_POLISH_STEPS = 24


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
        terms = jnp.log(coords / x) - factorial_remainder(coords) - deviance(coords, n * x)
        return factorial_remainder(n) - jnp.log(n) + jnp.sum(terms)

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return invert_mean(means)

    def _estimate(self, xs: Array, shares: Array) -> Array:
        return estimate_from_average(self, xs, shares)

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
    zero = jnp.zeros((1,), alpha.dtype)
    before = jnp.concatenate([zero, jnp.cumsum(alpha)[:-1]])
    after = jnp.concatenate([jnp.cumsum(alpha[:0:-1])[::-1], zero])
    return -digamma_rise(alpha, before + after)


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


@jax.custom_jvp
def invert_mean(means: Float[Array, " k"]) -> Float[Array, " k"]:
    """The α with given E log x_k."""
    # 1. α_k = digamma⁻¹(η_k + digamma(n)) for the n that they sum to: one equation in log n.
    # 2. Newton steps in log α with the exact residual.
    low, high = jnp.asarray(-30, means.dtype), jnp.asarray(30, means.dtype)

    def excess(log_n: Array, eta: Array) -> Array:
        parts = inverse_digamma(eta + digamma(jnp.exp(log_n)))
        return jnp.log(jnp.sum(parts)) - log_n

    log_n = solve_decreasing(excess, means, low, high)

    def polish(_: Array, alpha: Array) -> Array:
        step = _respond(alpha, means - mean_of(alpha)) / alpha
        return alpha * jnp.exp(jnp.clip(step, -1, 1))

    near = inverse_digamma(means + digamma(jnp.exp(log_n)))
    return jax.lax.fori_loop(0, _POLISH_STEPS, polish, near)


@invert_mean.defjvp
def _invert_mean_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    alpha = invert_mean(*primals)
    return alpha, _respond(alpha, tangents[0])


def _respond(alpha: Array, change: Array) -> Array:
    # Solves (diag t − T 11ᵀ) dα = dη with t = trigamma(α), T = trigamma(Σα). By Sherman & Morrison
    # dα = (dη + Σ(dη/t)/d)/t with d = 1/T − Σ 1/t, the difference of the defects a − 1/trigamma(a).
    slopes = trigamma(alpha)
    defect = jnp.sum(trigamma_defect(alpha)) - trigamma_defect(jnp.sum(alpha))
    return (change + jnp.sum(change / slopes) / defect) / slopes
