"""Wisharts against mpmath and scipy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import DIGITS, EPSILON, assert_exact, exact
from tests.registry import CLOSE, FLOAT32

pytestmark = pytest.mark.slow


def scale_of(size):
    root = np.random.default_rng(0).normal(size=(size, size)) + 2 * np.eye(size)
    return root @ root.T


CASES = [(1, 0.001), (1, 5.0), (3, 2.001), (3, 100.0), (3, 1e6), (10, 11.0)]

each = pytest.mark.parametrize(("size", "freedom"), CASES)


@each
def test_log_normalizer_and_means(size, freedom):
    family = ef.Wishart(size)
    params = family.from_scale_freedom(jnp.asarray(scale_of(size)), freedom)
    means = family.to_mean(params).coords
    with mpmath.workdps(DIGITS):
        half = exact(params.coords.log_determinant)
        precision = -mpmath.matrix(exact(params.coords.matrix))
        log_det = mpmath.log(mpmath.det(precision))
        shapes = [half - mpmath.mpf(i) / 2 for i in range(size)]
        constant = mpmath.mpf(size * (size - 1)) / 4 * mpmath.log(mpmath.pi)
        psi = constant + sum(map(mpmath.loggamma, shapes)) - half * log_det
        mean_log = sum(map(mpmath.digamma, shapes)) - log_det
        assert_exact([family.log_normalizer(params), means.log_determinant], [psi, mean_log])
        expected = half * precision**-1
        np.testing.assert_allclose(
            means.matrix, np.array(expected.tolist(), float), rtol=CLOSE, atol=CLOSE * freedom
        )


@each
def test_natural_coordinates_of_means(size, freedom):
    family = ef.Wishart(size)
    params = family.from_scale_freedom(jnp.asarray(scale_of(size)), freedom)
    back = family.to_natural(family.to_mean(params))
    # the gap log |E X| − E log |X| is about d(d + 1)/(2n), of the difference of two numbers
    bar = max(CLOSE, 30 * freedom * EPSILON)
    if bar < 0.1:
        matrix, n = family.scale_freedom(back)
        np.testing.assert_allclose(n, freedom, rtol=bar)
        np.testing.assert_allclose(matrix, scale_of(size), rtol=10 * bar, atol=10 * bar)


@pytest.mark.parametrize(("size", "freedom"), [(1, 5.0), (3, 4.0), (3, 100.0)])
def test_densities_and_entropy_are_those_of_scipy(size, freedom):
    family, scale = ef.Wishart(size), scale_of(size)
    params = family.from_scale_freedom(jnp.asarray(scale), freedom)
    reference = stats.wishart(freedom, scale)
    draws = family.sample(jax.random.key(0), params, (5,))
    expected = reference.logpdf(np.moveaxis(np.asarray(draws, float), 0, -1))
    np.testing.assert_allclose(family.log_density(params, draws), expected, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)


@pytest.mark.parametrize("freedom", [2.01, 4.0])
def test_diagonals_of_draws_are_chi_squares(freedom):
    family, scale = ef.Wishart(3), scale_of(3)
    params = family.from_scale_freedom(jnp.asarray(scale), freedom)
    draws = np.asarray(family.sample(jax.random.key(0), params, (20_000,)), float)
    for i in range(3):
        assert stats.kstest(draws[:, i, i] / scale[i, i], stats.chi2(freedom).cdf).pvalue > 1e-4
    # and that of the inverse of the last conditional variance, with d − 1 degrees less
    if not FLOAT32 and freedom > 3:
        last = 1 / np.linalg.inv(draws)[:, 2, 2] * np.linalg.inv(scale)[2, 2]
        assert stats.kstest(last, stats.chi2(2.0).cdf).pvalue > 1e-4
