"""Boltzmann machines against sums over all states, and chains against products of matrices."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from expfam.families.special.elimination import eliminate, plan
from tests.families.reference import BAR
from tests.registry import CLOSE, EXACT

pytestmark = pytest.mark.slow

CYCLE = [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)]
FAMILIES = {
    "dense": ef.Boltzmann(5),
    "tree": ef.Boltzmann(6, [(0, 1), (0, 2), (2, 3), (2, 4)]),
    "cycle": ef.Boltzmann(5, CYCLE),
}


def params_of(family):
    vector = np.random.default_rng(0).normal(size=family.dim)
    return family.unflatten(jnp.asarray(vector, float), ef.Natural)


def states_of(size):
    return np.array(list(itertools.product([0, 1], repeat=size)))


def log_weights(family, params):
    # by the definition, in float64
    biases, couplings = (np.asarray(a, float) for a in family.biases_couplings(params))
    x = states_of(family.size)
    return x @ biases + 0.5 * np.einsum("ni,ij,nj->n", x, couplings, x)


@jax.jit
def facts_of(family, params, states):
    return (
        family.log_normalizer(params),
        family.flatten(family.to_mean(params)),
        family.fisher_information(params),
        family.entropy(params),
        family.log_density(params, states),
    )


@pytest.mark.parametrize("name", FAMILIES)
def test_sums_over_all_states(name):
    family = FAMILIES[name]
    params, x = params_of(family), states_of(family.size)
    weights = log_weights(family, params)
    total = np.log(np.sum(np.exp(weights)))
    p = np.exp(weights - total)
    pairs = np.asarray(family.pairs, int).reshape(-1, 2)
    statistic = np.hstack([x, x[:, pairs[:, 0]] * x[:, pairs[:, 1]]])
    mean = p @ statistic
    expected = (
        total,
        mean,
        (statistic * p[:, None]).T @ statistic - np.outer(mean, mean),
        -p @ (weights - total),
        weights - total,
    )
    for value, other in zip(facts_of(family, params, jnp.asarray(x)), expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=10 * BAR, atol=10 * BAR)


@pytest.mark.parametrize("name", ["dense", "tree"])
def test_draws_pass_a_chi_square_test(name):
    family = FAMILIES[name]
    params = params_of(family)
    draws = np.asarray(family.sample(jax.random.key(0), params, (100_000,)))
    values = 2 ** np.arange(family.size)[::-1]
    counts = np.bincount(draws @ values, minlength=2**family.size)
    p = np.exp(log_weights(family, params))
    assert stats.chisquare(counts, p / p.sum() * len(draws)).pvalue > 1e-4


def test_probabilities_close_to_one_keep_their_digits():
    # p(0, 0) = 1/Z with Z = 1 + 2e^−40 + e^−50
    family = ef.Boltzmann(2)
    params = family.from_biases_couplings(jnp.full(2, -40.0), jnp.array([[0.0, 30.0], [30.0, 0.0]]))
    rest = 2 * np.exp(-40.0) + np.exp(-50.0)
    means = family.to_mean(params).coords
    np.testing.assert_allclose(means.bias, np.exp(-40.0) + np.exp(-50.0), rtol=100 * BAR)
    np.testing.assert_allclose(means.coupling, np.exp(-50.0), rtol=100 * BAR)
    entropy = 2 * 40 * np.exp(-40.0) + 50 * np.exp(-50.0) + rest
    np.testing.assert_allclose(family.entropy(params), entropy, rtol=100 * BAR)


# ------------------------------------------------------------------------------------ chains

N = 300
CHAIN = ef.Boltzmann(N, [(i, i + 1) for i in range(N - 1)])


def test_long_chains_are_products_of_transfer_matrices():
    params = params_of(CHAIN)
    b, w = (np.asarray(a, float) for a in (params.coords.bias, params.coords.coupling))
    # T_i(x, y) = exp(b_i y + w_i x y), with the products from both ends scaled to sum to one
    forward, scales = [np.array([1.0, np.exp(b[0])])], []
    matrices = [np.array([[1, np.exp(bi)], [1, np.exp(bi + wi)]]) for bi, wi in zip(b[1:], w)]  # noqa: B905 both have n − 1
    for matrix in matrices:
        scales.append(forward[-1].sum())
        forward.append(forward[-1] / scales[-1] @ matrix)
    backward = [np.ones(2)]
    for matrix in matrices[::-1]:
        backward.append(matrix @ (backward[-1] / backward[-1].sum()))
    total = np.sum(np.log(scales)) + np.log(forward[-1].sum())
    single = np.array([f * g for f, g in zip(forward, backward[::-1], strict=True)])
    single = single / single.sum(axis=1, keepdims=True)
    pairs = [
        f[:, None] * m * g for f, m, g in zip(forward[:-1], matrices, backward[-2::-1], strict=True)
    ]
    both = [pair[1, 1] / pair.sum() for pair in pairs]
    np.testing.assert_allclose(CHAIN.log_normalizer(params), total, rtol=BAR)
    means = CHAIN.to_mean(params)
    np.testing.assert_allclose(means.coords.bias, single[:, 1], rtol=10 * BAR)
    np.testing.assert_allclose(means.coords.coupling, both, rtol=10 * BAR)
    back = CHAIN.to_natural(means)
    np.testing.assert_allclose(CHAIN.flatten(back), CHAIN.flatten(params), atol=100 * CLOSE)
    draws = np.asarray(CHAIN.sample(jax.random.key(0), params, (2_000,)))
    errors = np.sqrt(both * (1 - np.array(both)) / len(draws))
    gaps = np.mean(draws[:, :-1] * draws[:, 1:], axis=0) - both
    assert np.all(np.abs(gaps) < 5 * errors)
    assert np.abs(np.mean(gaps / errors)) < 0.5
    # log p(x) of a draw is its weight less ψ
    x = draws[0]
    weight = b @ x + w @ (x[:-1] * x[1:])
    np.testing.assert_allclose(
        CHAIN.log_density(params, jnp.asarray(x)), weight - total, rtol=EXACT
    )


def test_estimates_of_forests_are_log_odds_ratios():
    family = ef.Boltzmann(3, [(1, 0)])
    rows = np.array([[1, 1, 0], [1, 0, 1], [0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1]])
    weights = np.array([2.0, 1.0, 1.0, 3.0, 2.0, 1.0])
    params = family.maximum_likelihood(jnp.asarray(rows), jnp.asarray(weights))
    biases, couplings = family.biases_couplings(params)
    # counts of (x_0, x_1): 00: 4, 01: 1, 10: 1, 11: 4
    np.testing.assert_allclose(biases, [np.log(1 / 4), np.log(1 / 4), np.log(4 / 6)], rtol=CLOSE)
    np.testing.assert_allclose(couplings[0, 1], np.log(16), rtol=CLOSE)
    again = family.from_biases_couplings(biases, couplings)
    np.testing.assert_allclose(family.flatten(again), family.flatten(params), rtol=CLOSE)
    # Events that never occur have no odds; their likelihood is attained all the same.
    few = jnp.asarray(rows[[0, 2, 3]])
    found = family.maximum_likelihood(few)
    np.testing.assert_allclose(family.log_density(found, few), np.log(1 / 3), rtol=1e-5)


def test_mixtures_of_chains_gain_likelihood_by_em():
    mixture = ef.Mixture(ef.Boltzmann(3, [(0, 1), (1, 2)]), 2)
    rows = np.random.default_rng(0).integers(0, 2, (60, 3))
    rows[30:, 1] = rows[30:, 0]
    rows = jnp.asarray(rows)
    params, values = mixture.initialize_from_sample(jax.random.key(0), rows), []
    for _ in range(4):
        values.append(mixture.average_log_observable_density(params, rows))
        params = mixture.expectation_maximization(params, rows)
    assert np.all(np.diff(values) > 0)


# ------------------------------------------------------------------------------------ plans


def test_chordal_graphs_are_eliminated_without_fill_in():
    band = [(i, i + k) for i in range(40) for k in (1, 2) if i + k < 40]
    for edges in (band, [(0, i) for i in range(1, 40)], []):
        _, neighbors = eliminate(40, tuple(edges))
        assert sum(map(len, neighbors)) == len(edges)


def test_widths_of_graphs():
    grid = [(6 * r + c, 6 * r + c + k) for r in range(6) for c in range(6) for k in (1, 6)]
    grid = [(a, b) for a, b in grid if b < 36 and (b - a == 6 or b % 6)]
    assert plan(5, tuple(CYCLE)).width == 2
    assert plan(36, tuple(grid)).width == 6
    assert plan(300, CHAIN.pairs).width == 1
    assert FAMILIES["dense"]._plan.width == 4
