"""Categoricals against numpy and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.registry import CLOSE

P = np.array([0.1, 0.2, 0.3, 0.4])
Q = np.array([0.4, 0.1, 0.1, 0.4])
FAMILY = ef.Categorical(4)
PARAMS = FAMILY.from_probabilities(jnp.asarray(P))


def test_probabilities_and_charts():
    np.testing.assert_allclose(FAMILY.probabilities(PARAMS), P, rtol=CLOSE)
    np.testing.assert_allclose(PARAMS.coords, np.log(P[1:] / P[0]), rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.to_mean(PARAMS).coords, P[1:], rtol=CLOSE)
    assert FAMILY.dim == 3


@pytest.mark.parametrize("dtype", [int, float])
def test_densities_are_probabilities(dtype):
    x = jnp.arange(4, dtype=dtype)
    np.testing.assert_allclose(FAMILY.density(PARAMS, x), P, rtol=CLOSE)
    statistics = [FAMILY.sufficient_statistic(k).coords for k in x]
    np.testing.assert_array_equal(statistics, np.eye(4)[:, 1:])


def test_entropy_and_divergence_are_those_of_scipy():
    other = FAMILY.from_probabilities(jnp.asarray(Q))
    np.testing.assert_allclose(FAMILY.entropy(PARAMS), stats.entropy(P), rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.kl_divergence(PARAMS, other), stats.entropy(P, Q), rtol=CLOSE)


def test_maximum_likelihood_is_the_shares():
    x = jnp.array([0, 1, 1, 2, 3, 3, 3, 3])
    fit = FAMILY.maximum_likelihood(x)
    np.testing.assert_allclose(FAMILY.probabilities(fit), [1 / 8, 2 / 8, 1 / 8, 4 / 8], rtol=CLOSE)
    weights = jnp.array([4.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 3.0])
    fit = FAMILY.maximum_likelihood(x, weights)
    np.testing.assert_allclose(FAMILY.probabilities(fit), [0.4, 0.2, 0.1, 0.3], rtol=CLOSE)


def test_fisher_information_is_the_multinomial_covariance():
    expected = np.diag(P[1:]) - np.outer(P[1:], P[1:])
    np.testing.assert_allclose(FAMILY.fisher_information(PARAMS), expected, atol=CLOSE)


def test_samples_pass_a_chi_square_test():
    draws = np.asarray(FAMILY.sample(jax.random.key(0), PARAMS, (5000,)))
    counts = np.bincount(draws, minlength=4)
    assert stats.chisquare(counts, 5000 * P).pvalue > 1e-4


def test_one_category_is_certain():
    family = ef.Categorical(1)
    params = family.from_probabilities(jnp.array([1.0]))
    assert family.dim == 0
    assert family.log_density(params, jnp.array(0)) == 0
    assert family.entropy(params) == 0
    np.testing.assert_array_equal(family.probabilities(params), [1.0])
    fit = family.maximum_likelihood(jnp.zeros(3, int))
    assert fit.coords.shape == (0,)
