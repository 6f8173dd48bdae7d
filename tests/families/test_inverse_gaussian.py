"""Inverse Gaussians against mpmath and scipy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import DIGITS, assert_exact, exact, relative_error
from tests.registry import CLOSE

FAMILY = ef.InverseGaussian()

each = pytest.mark.parametrize(
    ("mean", "shape"), [(1.0, 1.0), (1e-3, 5.0), (1e4, 3.0), (2.0, 1e6), (1e3, 1e-4)]
)


@each
def test_log_normalizer_means_and_entropy(mean, shape):
    params = FAMILY.from_mean_shape(mean, shape)
    means = FAMILY.to_mean(params).coords
    values = [
        FAMILY.log_normalizer(params),
        means.value,
        means.reciprocal,
        FAMILY.entropy(params),
    ]
    with mpmath.workdps(DIGITS):
        first, second = exact(params.coords.value), exact(params.coords.reciprocal)
        m, s = mpmath.sqrt(second / first), -2 * second
        mean_log = mpmath.log(m) - mpmath.exp(2 * s / m) * mpmath.e1(2 * s / m)
        entropy = (1 + mpmath.log(2 * mpmath.pi / s) + 3 * mean_log) / 2
        assert_exact(values, [-mpmath.log(s) / 2 - s / m, m, 1 / m + 1 / s, entropy])


@each
def test_densities_are_those_of_scipy(mean, shape):
    params = FAMILY.from_mean_shape(mean, shape)
    x = mean * np.array([0.7, 1.0, 1.2])
    expected = stats.invgauss(mean / shape, scale=shape).logpdf(x)
    np.testing.assert_allclose(FAMILY.log_density(params, jnp.asarray(x)), expected, rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.mean_shape(params), [mean, shape], rtol=CLOSE)


def test_natural_coordinates_of_means():
    params = FAMILY.from_mean_shape(2.0, 3.0)
    back = FAMILY.to_natural(FAMILY.to_mean(params))
    np.testing.assert_allclose(FAMILY.flatten(back), FAMILY.flatten(params), rtol=CLOSE)


def test_maximum_likelihood_of_points_that_are_close():
    xs = jnp.asarray(np.array([0.9996, 0.9997, 1.0001, 1.0005, 1.0006], np.float32))
    _, shape = FAMILY.mean_shape(FAMILY.maximum_likelihood(xs))
    with mpmath.workdps(DIGITS):
        values = exact(xs)
        expected = 5 / (sum(1 / x for x in values) - 25 / sum(values))
    assert relative_error(shape, expected) < 1e-3


@each
def test_draws_pass_a_kolmogorov_smirnov_test(mean, shape):
    params = FAMILY.from_mean_shape(mean, shape)
    draws = np.asarray(FAMILY.sample(jax.random.key(0), params, (100_000,)))
    reference = stats.invgauss(mean / shape, scale=shape)
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4
