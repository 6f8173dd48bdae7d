"""Inverse Wisharts against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import BAR, EPSILON, inverse_wishart_entropy
from tests.registry import CLOSE, FLOAT32

pytestmark = pytest.mark.slow

ROOT = np.random.default_rng(0).normal(size=(3, 3)) + 2 * np.eye(3)
SCALE = ROOT @ ROOT.T
FAMILY = ef.InverseWishart(3)


@pytest.mark.parametrize("freedom", [2.1, 4.0, 100.0])
def test_densities_and_entropy_are_those_of_scipy(freedom):
    params = FAMILY.from_scale_freedom(jnp.asarray(SCALE), freedom)
    reference = stats.invwishart(freedom, SCALE)
    matrices = SCALE * np.array([0.3, 1.0, 5.0])[:, None, None] + np.diag([0.1, 0.0, 0.5])
    expected = reference.logpdf(np.moveaxis(matrices, 0, -1))
    found = FAMILY.log_density(params, jnp.asarray(matrices))
    np.testing.assert_allclose(found, expected, rtol=CLOSE, atol=CLOSE)
    expected = inverse_wishart_entropy(freedom, SCALE)
    np.testing.assert_allclose(FAMILY.entropy(params), expected, rtol=CLOSE)
    found = FAMILY.scale_freedom(params)
    np.testing.assert_allclose(found[0], SCALE, rtol=4 * EPSILON)
    np.testing.assert_allclose(found[1], freedom, rtol=4 * EPSILON)


def test_means_are_those_of_the_wishart_of_the_inverse():
    params = FAMILY.from_scale_freedom(jnp.asarray(SCALE), 7.0)
    wishart = ef.Wishart(3).from_scale_freedom(jnp.asarray(np.linalg.inv(SCALE)), 7.0)
    means, other = FAMILY.to_mean(params).coords, ef.Wishart(3).to_mean(wishart).coords
    np.testing.assert_allclose(means.matrix, 7 * np.linalg.inv(SCALE), rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(means.log_determinant, other.log_determinant, rtol=10 * BAR)


def test_draws_have_the_moments_and_the_diagonals_of_the_family():
    params = FAMILY.from_scale_freedom(jnp.asarray(SCALE), 9.0)
    draws = FAMILY.sample(jax.random.key(0), params, (100_000,))
    draws = np.asarray(draws, float)
    errors = draws.std(0) / np.sqrt(len(draws))
    assert np.all(np.abs(draws.mean(0) - SCALE / (9 - 3 - 1)) < 5 * errors)
    for i in range(3):
        diagonal = stats.invgamma((9 - 3 + 1) / 2, scale=SCALE[i, i] / 2)
        assert stats.kstest(draws[:, i, i], diagonal.cdf).pvalue > 1e-4


@pytest.mark.parametrize("family", [ef.Wishart(3), FAMILY], ids=["wishart", "inverse"])
def test_draws_close_to_the_bound_of_the_freedom_lie_in_the_support(family):
    params = family.from_scale_freedom(jnp.asarray(SCALE), 2.01)

    @jax.jit
    @jax.vmap
    def draw(key):
        x = family._sample(key, params.coords)
        return family.support.contains(x), family._log_density(params.coords, x)

    inside, log_densities = draw(jax.random.split(jax.random.key(0), 1000))
    assert np.all(inside)
    assert np.all(np.isfinite(log_densities))


def test_estimates_from_rows_that_are_close_to_each_other():
    noise = 1e-3 * np.random.default_rng(0).normal(size=(50, 3, 3))
    rows = (SCALE + noise + np.swapaxes(noise, 1, 2)).astype(np.float32)
    freedom = FAMILY.scale_freedom(FAMILY.maximum_likelihood(jnp.asarray(rows)))[1]
    inverses = np.linalg.inv(rows.astype(float))
    gap = np.log(np.linalg.det(inverses.mean(0))) - np.mean(np.log(np.linalg.det(inverses)))
    # Σ_i log n/2 − digamma((n − i)/2) is d(d + 1)/(2n) and smaller terms
    np.testing.assert_allclose(freedom, 6 / gap, rtol=1e-2 if FLOAT32 else 1e-4)
    equal = jnp.asarray(np.repeat(rows[:1], 50, axis=0))
    with pytest.raises(ValueError, match="not attained"):
        FAMILY.maximum_likelihood(equal)
