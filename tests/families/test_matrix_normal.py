"""Matrix normals against scipy and normals of the stacked columns."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

import expfam as ef
from tests.families.reference import BAR
from tests.registry import CLOSE


def positive(size, seed):
    root = np.eye(size) + 0.3 * np.random.default_rng(seed).normal(size=(size, size))
    return root @ root.T


MEAN = np.random.default_rng(0).normal(size=(2, 3))
ROWS, COLUMNS = positive(2, 1), positive(3, 2)
FAMILY = ef.MatrixNormal(2, 3, row_covariance=jnp.asarray(ROWS))
PARAMS = FAMILY.from_mean_column_covariance(jnp.asarray(MEAN), jnp.asarray(COLUMNS))
REFERENCE = stats.matrix_normal(MEAN, ROWS, COLUMNS)


def test_usual_parameters_densities_and_entropy():
    mean, covariance = FAMILY.mean_column_covariance(PARAMS)
    np.testing.assert_allclose(mean, MEAN, rtol=CLOSE)
    np.testing.assert_allclose(covariance, COLUMNS, rtol=CLOSE)
    xs = np.random.default_rng(3).normal(size=(4, 2, 3))
    found = FAMILY.log_density(PARAMS, jnp.asarray(xs))
    np.testing.assert_allclose(found, REFERENCE.logpdf(xs), rtol=CLOSE)
    np.testing.assert_allclose(FAMILY.entropy(PARAMS), REFERENCE.entropy(), rtol=CLOSE)


def test_charts_and_log_normalizer_are_the_explicit_formulas():
    precision, inverse = np.linalg.inv(COLUMNS), np.linalg.inv(ROWS)
    natural, means = PARAMS.coords, FAMILY.to_mean(PARAMS)
    np.testing.assert_allclose(natural.first, inverse @ MEAN @ precision, rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(natural.second, -precision / 2, rtol=CLOSE, atol=CLOSE)
    second = 2 * COLUMNS + MEAN.T @ inverse @ MEAN
    np.testing.assert_allclose(means.coords.first, MEAN, rtol=CLOSE)
    np.testing.assert_allclose(means.coords.second, second, rtol=CLOSE)
    back = FAMILY.to_natural(means).coords
    np.testing.assert_allclose(back.first, natural.first, rtol=CLOSE, atol=CLOSE)
    log_det = np.log(np.linalg.det(COLUMNS))
    psi = (np.sum(natural.first * MEAN) + 2 * log_det) / 2
    np.testing.assert_allclose(FAMILY.log_normalizer(PARAMS), psi, rtol=10 * BAR)


def test_draws_have_the_covariance_of_a_kronecker_product():
    xs = np.asarray(FAMILY.sample(jax.random.key(0), PARAMS, (100_000,)), float)
    rows = (xs - MEAN).reshape(len(xs), -1)
    covariance, expected = rows.T @ rows / len(xs), np.kron(ROWS, COLUMNS)
    errors = np.sqrt(np.outer(np.diag(expected), np.diag(expected)) * 2 / len(xs))
    assert np.all(np.abs(covariance - expected) < 5 * errors)


def test_estimates_far_from_the_origin_are_centered():
    # 10³ widths, where sums of squares would leave a float32 no digits of the covariance
    noise = np.random.default_rng(4).normal(size=(50, 2, 3))
    rows = (1000 + noise).astype(np.float32)
    family = ef.MatrixNormal(2, 3)
    coords = jax.jit(family._estimate)(jnp.asarray(rows, float), jnp.full(50, 1 / 50))
    centered = rows.astype(float) - rows.astype(float).mean(0)
    expected = np.einsum("nij,nik->jk", centered, centered) / 100
    found = np.linalg.inv(-2 * np.asarray(coords.second, float))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_weights_repeat_rows():
    xs = jnp.asarray(np.random.default_rng(5).normal(size=(4, 2, 3)))
    weighted = FAMILY.maximum_likelihood(xs, jnp.array([1.0, 2.0, 1.0, 1.0]))
    repeated = FAMILY.maximum_likelihood(xs[jnp.array([0, 1, 1, 2, 3])])
    np.testing.assert_allclose(
        FAMILY.flatten(weighted), FAMILY.flatten(repeated), rtol=10 * CLOSE, atol=10 * CLOSE
    )
