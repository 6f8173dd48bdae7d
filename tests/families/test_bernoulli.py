"""Bernoullis against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import expfam as ef
from tests.registry import CLOSE, EXACT

FAMILY = ef.Bernoulli()
PROBABILITIES = [1e-6, 0.1, 0.5, 0.9, 1 - 1e-6]

each = pytest.mark.parametrize("p", PROBABILITIES)


@each
def test_probability_round_trip_and_charts(p):
    params = FAMILY.from_probability(p)
    np.testing.assert_allclose(FAMILY.probability(params), p, rtol=CLOSE)
    np.testing.assert_allclose(params.coords, special.logit(p), rtol=CLOSE, atol=EXACT)
    np.testing.assert_allclose(FAMILY.to_mean(params).coords, p, rtol=CLOSE)


@each
def test_densities_and_entropy_are_those_of_scipy(p):
    # Close to 1, a probability that is rounded to float32 has another rest.
    p = float(jnp.asarray(p))
    params, reference = FAMILY.from_probability(p), stats.bernoulli(p)
    x = np.array([0, 1, 1])
    np.testing.assert_allclose(
        FAMILY.log_density(params, jnp.asarray(x)), reference.logpmf(x), rtol=CLOSE
    )
    np.testing.assert_allclose(FAMILY.entropy(params), reference.entropy(), rtol=CLOSE)


@pytest.mark.parametrize("theta", [-800.0, 800.0])
def test_extreme_coordinates_keep_their_digits(theta):
    params = ef.Natural(jnp.asarray(theta))
    densities = FAMILY.log_density(params, jnp.array([0, 1]))
    np.testing.assert_allclose(densities, [min(0, -theta), min(0, theta)], atol=EXACT)
    np.testing.assert_allclose(FAMILY.entropy(params), 0, atol=EXACT)


def test_divergence_is_the_closed_form():
    p, q = 0.2, 0.7
    expected = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    value = FAMILY.kl_divergence(FAMILY.from_probability(p), FAMILY.from_probability(q))
    np.testing.assert_allclose(value, expected, rtol=CLOSE)


@pytest.mark.parametrize("dtype", [int, float, bool])
def test_maximum_likelihood_is_the_share_of_ones(dtype):
    x = jnp.asarray(np.array([1, 0, 0, 1, 0], dtype))
    np.testing.assert_allclose(FAMILY.probability(FAMILY.maximum_likelihood(x)), 0.4, rtol=CLOSE)
    weights = jnp.array([3.0, 1.0, 0.0, 0.0, 1.0])
    weighted = FAMILY.maximum_likelihood(x, weights)
    np.testing.assert_allclose(FAMILY.probability(weighted), 0.6, rtol=CLOSE)


def test_fisher_information_is_the_variance():
    params = FAMILY.from_probability(0.3)
    np.testing.assert_allclose(FAMILY.fisher_information(params), [[0.21]], rtol=CLOSE)


def test_samples_are_integers():
    draws = FAMILY.sample(jax.random.key(0), FAMILY.from_probability(0.3), (1000,))
    assert jnp.issubdtype(draws.dtype, jnp.integer)
    assert set(np.asarray(draws).tolist()) == {0, 1}
