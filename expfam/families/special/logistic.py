"""Functions of log-odds and of log-probabilities, with derivatives that do not saturate."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .gamma import deviance_from_gap

_LOG_2 = 0.6931471805599453


@jax.custom_jvp
def sigmoid(x: Array) -> Array:
    """1/(1 + e^(−x)), with the derivative σ(x) σ(−x) in place of σ(x)(1 − σ(x))."""
    return jax.nn.sigmoid(x)


@sigmoid.defjvp
def _sigmoid_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x,) = primals
    return sigmoid(x), sigmoid(x) * sigmoid(-x) * tangents[0]


@jax.custom_jvp
def softplus(x: Array) -> Array:
    """log(1 + eˣ), whose derivative is `sigmoid`."""
    return jax.nn.softplus(x)


@softplus.defjvp
def _softplus_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x,) = primals
    return softplus(x), sigmoid(x) * tangents[0]


@jax.custom_jvp
def log1mexp(x: Array) -> Array:
    """log(1 − eˣ) for x < 0; NaN above."""
    far = x < -_LOG_2
    low, high = jnp.where(far, x, -1), jnp.where(far, -1, x)
    return jnp.where(far, jnp.log1p(-jnp.exp(low)), jnp.log(-jnp.expm1(high)))


@log1mexp.defjvp
def _log1mexp_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x,) = primals
    return log1mexp(x), -odds(x) * tangents[0]


@jax.custom_jvp
def odds(x: Array) -> Array:
    """eˣ/(1 − eˣ) for x < 0, the odds of an event of log-probability x."""
    return 1 / jnp.expm1(-x)


@odds.defjvp
def _odds_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (x,) = primals
    value = odds(x)
    return value, value * (1 + value) * tangents[0]


@jax.custom_jvp
def surprisals(logits: Array) -> Array:
    """−log p_k for p ∝ exp(logits), with all digits also where one of them is close to 0."""
    top, largest = _top(logits), jnp.max(logits)
    others = jnp.sum(jnp.where(top, 0, jnp.exp(logits - largest)))
    return (largest - logits) + jnp.log1p(others)


@surprisals.defjvp
def _surprisals_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # Σ_j p_j d_j − d_k, with changes d relative to that of the largest logit.
    (logits,), (change,) = primals, tangents
    top = _top(logits)
    apart = change - jnp.sum(jnp.where(top, change, 0))
    others = jnp.dot(jnp.where(top, 0, softmax(logits)), apart)
    return surprisals(logits), others - apart


@jax.custom_jvp
def logsumexp(logits: Array) -> Array:
    """log Σ_k exp(logits_k), whose derivative is `softmax`."""
    return jax.nn.logsumexp(logits)


@logsumexp.defjvp
def _logsumexp_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return logsumexp(*primals), jnp.dot(softmax(*primals), tangents[0])


@jax.custom_jvp
def softmax(logits: Array) -> Array:
    """p_k ∝ exp(logits_k), with derivatives in which 1 − p_k is never a difference."""
    return jax.nn.softmax(logits)


@softmax.defjvp
def _softmax_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    # dp_k = p_k (d_k − Σ_j p_j d_j), with changes d relative to that of the largest logit.
    (logits,), (change,) = primals, tangents
    shares, top = softmax(logits), _top(logits)
    apart = change - jnp.sum(jnp.where(top, change, 0))
    return shares, shares * (apart - jnp.dot(jnp.where(top, 0, shares), apart))


def divergence(own: Array, other: Array) -> Array:
    """Σ_k p_k log(p_k/q_k) for p and q ∝ exp(logits), as a sum of terms that are not negative."""
    # 1. With d_k = log(q_k/p_k) it is Σ_k p_k (exp(d_k) − 1 − d_k) = Σ_k D(p_k, q_k).
    # 2. d_k = δ_k − log Σ_j p_j exp(δ_j) for the changes δ of the logits, relative to that of the
    #    largest logit: the probability of the others may be as small as it likes.
    top, known = _top(own), surprisals(own)
    change = other - own
    change = change - jnp.sum(jnp.where(top, change, 0))
    rises = jnp.where(
        change < 1,
        jnp.exp(-known) * jnp.expm1(jnp.minimum(change, 1)),
        jnp.exp(jnp.minimum(change - known, 20)) - jnp.exp(-known),
    )
    frequent = jnp.max(change - known) < 20
    total = jnp.where(frequent, jnp.log1p(jnp.sum(rises)), logsumexp(change - known))
    logs = change - total
    p, q = jnp.exp(-known), jnp.exp(logs - known)
    low, high = jnp.where(logs < 0, logs, 0), jnp.where(logs < 0, 0, logs)
    gap = jnp.where(logs < 0, -p * jnp.expm1(low), q * jnp.expm1(-high))
    near = jnp.abs(logs) < 0.5
    close = deviance_from_gap(jnp.where(near, gap, 0), jnp.where(near & (q > 0), q, 1))
    return jnp.sum(jnp.where(near, close, -p * logs - gap))


def _top(logits: Array) -> Array:
    return jnp.arange(logits.shape[0]) == jnp.argmax(logits)
