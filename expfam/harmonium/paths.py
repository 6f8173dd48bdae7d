"""Chains of states z_1 … z_T: sums, maxima and draws over all K^T paths, in T steps.

The weight of a path is exp(initial[z_1] + Σ_t transition[z_t, z_(t+1)] + Σ_t scores[t, z_t]), where
scores say what was seen of step t. Logarithms of sums are normalized at every step, so that no
digits are lost along long chains. Derivatives of the sum over all paths are smoothing.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key


def filtered(
    initial: Float[Array, " k"],
    transition: Float[Array, "k k"],
    scores: Float[Array, "t k"],
    parallel: bool,
) -> tuple[Float[Array, "t k"], Float[Array, ""]]:
    """log p(z_t | what was seen up to t) for all t, and the logarithm of the sum over all paths.

    Args:
        initial: logarithms of weights of the first state.
        transition: those of state j followed by state k.
        scores: those of the states of every step.
        parallel: whether the steps are combined in about log₂ T rounds (Särkkä & García-Fernández
            2021), each of K times the work, instead of one after the other.
    """
    first, begin = _normalized(initial + scores[0])
    if parallel:
        following, totals = _all_at_once(first, transition, scores[1:])
    else:

        def step(before: Array, score: Array) -> tuple[Array, tuple[Array, Array]]:
            after, total = _normalized(score + _sum(before[:, None] + transition, 0))
            return after, (after, total)

        _, (following, totals) = jax.lax.scan(step, first, scores[1:])
    return jnp.concatenate([first[None], following]), begin + jnp.sum(totals)


def _all_at_once(first: Array, transition: Array, scores: Array) -> tuple[Array, Array]:
    # Sums over the paths of longer and longer stretches, from any state to any state.
    def combine(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        (one, scale), (other, factor) = left, right
        product = _sum(one[:, :, :, None] + other[:, None, :, :], 2)
        top = jnp.max(product, axis=(1, 2))
        return product - top[:, None, None], scale + factor + top

    stretches = transition + scores[:, None, :]
    stretches, scales = jax.lax.associative_scan(combine, (stretches, jnp.zeros_like(scores[:, 0])))
    after, totals = jax.vmap(lambda one: _normalized(_sum(first[:, None] + one, 0)))(stretches)
    totals = totals + scales
    return after, jnp.diff(totals, prepend=0)


def log_total(
    initial: Float[Array, " k"], transition: Float[Array, "k k"], steps: int
) -> Float[Array, ""]:
    """The logarithm of the sum over all paths of which nothing was seen, by repeated squaring."""
    bits = np.array([bit == "1" for bit in f"{steps - 1:b}"[::-1]])

    def step(carry: tuple[Array, Array], bit: Array) -> tuple[tuple[Array, Array], None]:
        vector, power = carry
        vector = jnp.where(bit, _sum(vector[:, None] + power, 0), vector)
        return (vector, _sum(power[:, :, None] + power[None], 1)), None

    (vector, _), _ = jax.lax.scan(step, (initial, transition), jnp.asarray(bits))
    return _sum(vector, 0)


def smoothed(
    initial: Float[Array, " k"],
    transition: Float[Array, "k k"],
    scores: Float[Array, "t k"],
    parallel: bool,
) -> Float[Array, "t k"]:
    """p(z_t | all that was seen): the derivative of the sum over all paths by the scores."""
    return jax.grad(lambda s: filtered(initial, transition, s, parallel)[1])(scores)


def best_path(
    initial: Float[Array, " k"], transition: Float[Array, "k k"], scores: Float[Array, "t k"]
) -> Int[Array, " t"]:
    """The path of largest weight (Viterbi 1967)."""

    def step(best: Array, score: Array) -> tuple[Array, Array]:
        through = best[:, None] + transition
        best = score + jnp.max(through, axis=0)
        return best - jnp.max(best), jnp.argmax(through, axis=0)

    best, origins = jax.lax.scan(step, initial + scores[0], scores[1:])
    return _backwards(lambda later, origin: origin[later], jnp.argmax(best), origins)


def draw_path(
    key: Key[Array, ""],
    initial: Float[Array, " k"],
    transition: Float[Array, "k k"],
    scores: Float[Array, "t k"],
    parallel: bool,
) -> Int[Array, " t"]:
    """A path drawn in proportion to its weight: filter forward, draw backward."""
    own, _ = filtered(initial, transition, scores, parallel)
    keys = jax.random.split(key, own.shape[0])

    def draw(later: Array, given: tuple[Array, Array]) -> Array:
        return jax.random.categorical(given[0], given[1] + transition[:, later])

    return _backwards(draw, jax.random.categorical(keys[-1], own[-1]), (keys[:-1], own[:-1]))


def _backwards(choose: Callable[..., Array], last: Array, given: Any) -> Array:
    # The states before the last, each chosen by the one that follows.
    def step(later: Array, own: Any) -> tuple[Array, Array]:
        state = choose(later, own)
        return state, state

    _, path = jax.lax.scan(step, last, given, reverse=True)
    return jnp.concatenate([path, last[None]])


def _normalized(logs: Array) -> tuple[Array, Array]:
    total = _sum(logs, -1)
    return logs - total, total


def _sum(logs: Array, axis: int) -> Array:
    # log Σ exp, of finite numbers
    top = jax.lax.stop_gradient(jnp.max(logs, axis=axis, keepdims=True))
    return jnp.squeeze(top, axis) + jnp.log(jnp.sum(jnp.exp(logs - top), axis=axis))
