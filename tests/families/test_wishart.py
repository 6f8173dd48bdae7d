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


@pytest.mark.parametrize(
    ("size", "freedom"), [(1, 0.05), (1, 3.0), (3, 2.01), (3, 4.0), (6, 5.2), (6, 300.0)]
)
def test_draws_are_those_of_bartlett(size, freedom):
    # With V = CCᵀ, C⁻¹XC⁻ᵀ is AAᵀ with independent entries: A_ii² is χ² of n − i + 1 degrees of
    # freedom, what is left of it is standard normal (Bartlett 1933).
    family, scale = ef.Wishart(size), scale_of(size)
    params = family.from_scale_freedom(jnp.asarray(scale), freedom)
    draws = np.asarray(family.sample(jax.random.key(0), params, (100_000,)), float)
    np.testing.assert_array_equal(draws, np.swapaxes(draws, 1, 2))
    inverse = np.linalg.inv(np.linalg.cholesky(scale))
    white = inverse @ draws @ inverse.T
    minors = [np.linalg.det(white[:, :i, :i]) for i in range(1, size + 1)]
    # What is below is lost in the rounding of the entries; in float32 so are all the last ones of
    # few degrees of freedom, where the ones before them are small.
    least = 1e-3 if FLOAT32 else 1e-4
    for i in range(size):
        if FLOAT32 and i > 0 and freedom - i < 2:
            continue
        square = minors[i] / (minors[i - 1] if i else 1)
        kept, reference = square > least, stats.chi2(freedom - i)
        below = reference.cdf(least)
        assert abs(np.mean(kept) - (1 - below)) < 5 * 0.5 / len(draws) ** 0.5
        uniform = (reference.cdf(square[kept]) - below) / (1 - below)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    for i in range(1, size):
        assert stats.kstest(white[:, i, 0] / white[:, 0, 0] ** 0.5, "norm").pvalue > 1e-4
    # and quadratic forms aᵀXa are aᵀVa times χ² of n degrees of freedom
    direction = np.arange(1.0, size + 1)
    forms = np.einsum("i,nij,j->n", direction, draws, direction)
    forms /= direction @ scale @ direction
    kept, below = forms > least, stats.chi2(freedom).cdf(least)
    uniform = (stats.chi2(freedom).cdf(forms[kept]) - below) / (1 - below)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
