"""Functions of log-odds and of log-probabilities, with derivatives that do not saturate."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

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


def surprisals(logits: Array) -> Array:
    """−log p_k for p ∝ exp(logits), with all digits also where one of them is close to 0."""
    top, largest = _top(logits), jnp.max(logits)
    others = jnp.sum(jnp.where(top, 0, jnp.exp(logits - largest)))
    return (largest - logits) + jnp.log1p(others)


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


def _top(logits: Array) -> Array:
    return jnp.arange(logits.shape[0]) == jnp.argmax(logits)
