"""Sums over all states of binary variables with pairwise couplings, by elimination.

With the plan of `elimination`, p(x) = p(x_root) Π_i p(x_i | x_N(i)), where N(i) are the neighbors
that remain when node i is summed out. One pass over the nodes gives the log-odds of x_i for every
state of N(i), and the table of the root: densities, entropy and draws are made of these, all
without a difference of large numbers.
"""

from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .elimination import Plan


@final
class Conditionals(NamedTuple):
    """A distribution of binary vectors, factored along an elimination order.

    Attributes:
        log_normalizer: logarithm of the sum over all states.
        root: log-probabilities of the states of the root, `(2^(w + 1),)`.
        log_odds: of x_i = 1 for every state of the neighbors of an eliminated node,
            `(n − w − 1, 2^w)`.
    """

    log_normalizer: Float[Array, ""]
    root: Float[Array, " states"]
    log_odds: Float[Array, "nodes states"]


def conditionals(
    plan: Plan, bias: Float[Array, " n"], coupling: Float[Array, " m"]
) -> Conditionals:
    """Sum out all nodes.

    Args:
        plan: the plan of the graph.
        bias: coefficients of x_i.
        coupling: coefficients of x_i x_j, one for each edge.
    """
    # Fill-in has the coupling zero.
    padded = jnp.concatenate([coupling, jnp.zeros((1,), coupling.dtype)])
    fields = padded[plan.edges] @ _bits(plan.width, bias.dtype).T + bias[plan.nodes][:, None]
    numbers = _bits(plan.width + 1, jnp.int32)

    def step(carry: tuple[Array, Array], row: tuple) -> tuple[tuple[Array, Array], Array]:
        # The message over the neighbors, less its value at state 0 so that it stays small.
        tables, constant = carry
        i, parent, places, field = row
        own = jnp.reshape(tables[i], (-1, 2))
        odds = own[:, 1] - own[:, 0] + field
        message = own[:, 0] + _softplus(odds)
        tables = tables.at[parent].add((message - message[0])[numbers @ places])
        return (tables, constant + message[0]), odds

    count, states = len(plan.nodes), 2 ** (plan.width + 1)
    empty = jnp.zeros((count + 1, states), bias.dtype), jnp.zeros((), bias.dtype)
    rows = jnp.arange(count), plan.parents, plan.places, fields
    (tables, constant), log_odds = jax.lax.scan(step, empty, rows)
    root, total = _normalize(tables[count] + _energies(bias[plan.root], padded[plan.root_edges]))
    return Conditionals(total + constant, root, log_odds)


@jax.custom_jvp
def _normalize(table: Float[Array, " states"]) -> tuple[Float[Array, " states"], Float[Array, ""]]:
    # Log-probabilities, and the logarithm of the sum. Relative to the largest entry, whose own
    # logarithm is −log(1 + rest): it keeps its digits where it is close to 0.
    largest = jnp.argmax(table)
    gaps = table - table[largest]
    rest = jnp.sum(jnp.where(jnp.arange(len(table)) == largest, 0, jnp.exp(gaps)))
    return gaps - jnp.log1p(rest), table[largest] + jnp.log1p(rest)


@_normalize.defjvp
def _normalize_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    logs, total = _normalize(*primals)
    slope = jnp.dot(jnp.exp(logs), tangents[0])
    return (logs, total), (tangents[0] - slope, slope)


def log_probability(plan: Plan, given: Conditionals, x: Array) -> Float[Array, ""]:
    """log p(x), a sum of terms that are not positive."""
    odds = jnp.take_along_axis(given.log_odds, _number(_padded(x)[plan.neighbors])[:, None], axis=1)
    terms = _softplus(jnp.where(x[plan.nodes] > 0, -odds[:, 0], odds[:, 0]))
    return given.root[_number(x[plan.root])] - jnp.sum(terms)


def entropy(plan: Plan, given: Conditionals) -> Float[Array, ""]:
    """−E[log p(x)], a sum of terms that are not negative."""
    numbers = _bits(plan.width + 1, jnp.int32)

    def step(tables: Array, row: tuple) -> tuple[Array, None]:
        # The entropy of what has been summed out, for every state of the neighbors.
        i, parent, places, odds = row
        own = jnp.reshape(tables[i], (-1, 2))
        one, zero = jax.nn.sigmoid(odds), jax.nn.sigmoid(-odds)
        value = one * (_softplus(-odds) + own[:, 1]) + zero * (_softplus(odds) + own[:, 0])
        return tables.at[parent].add(value[numbers @ places]), None

    count = len(plan.nodes)
    empty = jnp.zeros((count + 1, given.root.shape[0]), given.root.dtype)
    rows = jnp.arange(count), plan.parents, plan.places, given.log_odds
    tables, _ = jax.lax.scan(step, empty, rows)
    return jnp.dot(jnp.exp(given.root), tables[count] - given.root)


def draw(plan: Plan, given: Conditionals, noise: Float[Array, " n"]) -> Array:
    """A draw, from uniform numbers: the root first, then every node given its neighbors."""
    sums = jnp.cumsum(jnp.exp(given.root))
    width = len(plan.root)
    state = jnp.searchsorted(sums, noise[0] * sums[-1], side="right")
    state = jnp.minimum(state, len(sums) - 1).astype(jnp.int32)
    bits = (state >> jnp.arange(width, dtype=jnp.int32)) & 1
    x = jnp.zeros((noise.shape[0] + 1,), jnp.int32).at[plan.root].set(bits)

    def step(x: Array, row: tuple) -> tuple[Array, None]:
        node, neighbors, odds, level = row
        chance = jax.nn.sigmoid(odds[_number(x[neighbors])])
        return x.at[node].set((level < chance).astype(jnp.int32)), None

    rows = plan.nodes, plan.neighbors, given.log_odds, noise[width:]
    x, _ = jax.lax.scan(step, x, rows, reverse=True)
    return x[:-1]


def _softplus(x: Array) -> Array:
    # log(1 + eˣ) without a rule of its own: from a `scan`, JAX 0.10.2 loses derivatives of such
    # rules in forward over reverse mode, which Hessians are taken in.
    below, above = jnp.where(x > 0, -x, x), jnp.where(x > 0, x, 0)
    return above + jnp.log1p(jnp.exp(below))


def _bits(width: int, dtype: Any) -> Array:
    # The bits of all numbers below 2^width, the lowest first.
    return ((jnp.arange(2**width)[:, None] >> jnp.arange(width)) & 1).astype(dtype)


def _number(bits: Array) -> Array:
    # The numbers with given bits, along the last axis.
    places = 1 << np.arange(bits.shape[-1], dtype=np.int32)
    return jnp.sum(bits.astype(jnp.int32) * places, axis=-1)


def _padded(x: Array) -> Array:
    return jnp.concatenate([x, jnp.zeros((1,), x.dtype)])


def _energies(bias: Float[Array, " k"], coupling: Float[Array, "k k"]) -> Float[Array, " states"]:
    # Σ b_i x_i + ½ Σ W_ij x_i x_j of all states, from those of the low and of the high half.
    half = bias.shape[0] // 2
    low, high = (_bits(k, bias.dtype) for k in (half, bias.shape[0] - half))

    def own(bits: Array, part: slice) -> Array:
        return bits @ bias[part] + 0.5 * jnp.sum((bits @ coupling[part, part]) * bits, axis=-1)

    cross = high @ coupling[half:, :half] @ low.T
    sums = own(high, slice(half, None))[:, None] + own(low, slice(0, half))
    return jnp.reshape(sums + cross, (-1,))
