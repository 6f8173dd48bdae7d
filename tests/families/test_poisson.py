"""Poissons against scipy and mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.registry import CLOSE, FLOAT32

FAMILY = ef.Poisson()


def exact_entropy(rate):
    """λ − λ log λ + e^(−λ) Σ λˣ log(x!)/x!, summed in 40 digits over all counts that matter."""
    with mpmath.workdps(40):
        rate = mpmath.mpf(rate)
        width = 40 * mpmath.sqrt(rate) + 60
        first, last = max(0, int(rate - width)), int(rate + width)
        log_term = first * mpmath.log(rate) - rate - mpmath.loggamma(first + 1)
        log_factorial, total = mpmath.loggamma(first + 1), mpmath.mpf(0)
        for x in range(first, last):
            total += mpmath.exp(log_term) * log_factorial
            log_term += mpmath.log(rate) - mpmath.log(x + 1)
            log_factorial += mpmath.log(x + 1)
        return float(rate - rate * mpmath.log(rate) + total)


@pytest.mark.parametrize("rate", [0.1, 3, 50, 150, 199, 201, 250, 5000])
def test_entropy_is_exact(rate):
    params = FAMILY.from_rate(float(rate))
    tolerance = 1e-5 if FLOAT32 else 1e-11
    np.testing.assert_allclose(FAMILY.entropy(params), exact_entropy(rate), rtol=tolerance)


@pytest.mark.parametrize("rate", [1e-3, 2.5, 700.0])
def test_densities_are_those_of_scipy(rate):
    params = FAMILY.from_rate(rate)
    counts = np.array([0, 1, 2, 7, 100, 1000])
    expected = stats.poisson(rate).logpmf(counts)
    np.testing.assert_allclose(
        FAMILY.log_density(params, jnp.asarray(counts)), expected, rtol=CLOSE, atol=CLOSE
    )


@pytest.mark.parametrize("count", [10**4, 10**6, 10**8])
def test_densities_at_large_counts_near_the_rate(count):
    # Terms of the size of count · log(count) cancel.
    params = FAMILY.from_rate(float(count))
    offsets = np.array([-2, 0, 3]) * int(count**0.5)
    counts = count + offsets
    expected = [
        float(x * mpmath.log(count) - count - mpmath.loggamma(x + 1)) for x in map(int, counts)
    ]
    densities = FAMILY.log_density(params, jnp.asarray(counts))
    np.testing.assert_allclose(densities, expected, atol=0.01 if FLOAT32 else 1e-6)


def test_rate_is_mean_and_variance():
    params = FAMILY.from_rate(4.5)
    np.testing.assert_allclose(FAMILY.rate(params), 4.5, rtol=CLOSE)
    np.testing.assert_allclose(params.coords, np.log(4.5), rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.to_mean(params).coords, 4.5, rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.fisher_information(params), [[4.5]], rtol=CLOSE)


def test_divergence_is_the_closed_form():
    p, q = 2.0, 5.0
    value = FAMILY.kl_divergence(FAMILY.from_rate(p), FAMILY.from_rate(q))
    np.testing.assert_allclose(value, p * np.log(p / q) - p + q, rtol=CLOSE)


@pytest.mark.parametrize("dtype", [int, float])
def test_maximum_likelihood_is_the_mean_count(dtype):
    counts = jnp.asarray(np.array([0, 3, 5], dtype))
    np.testing.assert_allclose(FAMILY.rate(FAMILY.maximum_likelihood(counts)), 8 / 3, rtol=CLOSE)
    fit = FAMILY.maximum_likelihood(counts, jnp.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(FAMILY.rate(fit), 13 / 4, rtol=CLOSE)


@pytest.mark.parametrize("rate", [0.1, 30.0, 1e6])
def test_samples_pass_a_chi_square_test(rate):
    draws = np.asarray(FAMILY.sample(jax.random.key(0), FAMILY.from_rate(rate), (100_000,)))
    reference = stats.poisson(rate)
    edges = np.unique(reference.ppf(np.linspace(0.02, 0.98, 9)))
    cells = np.diff(np.concatenate([[0], reference.cdf(edges), [1]]))
    counts = np.bincount(np.searchsorted(edges, draws), minlength=len(cells))
    assert stats.chisquare(counts, len(draws) * cells).pvalue > 1e-4
