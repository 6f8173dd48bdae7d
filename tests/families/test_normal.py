"""Normals against scipy, numpy and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import EPSILON
from tests.registry import CLOSE, DIAGONAL, EXACT, FLOAT32, FULL, IDENTITY, SCALE, STRUCTURES

SIZE = 3
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=SIZE)
ROOT = RNG.normal(size=(SIZE, SIZE)) + 2 * np.eye(SIZE)
ROWS = RNG.normal(size=(40, SIZE)) @ ROOT + [1.0, -2.0, 0.5]
WEIGHTS = RNG.uniform(size=40)

each = pytest.mark.parametrize(
    "structure", STRUCTURES, ids=["full", "diagonal", "scale", "identity"]
)


def usual(structure, matrix):
    """A covariance matrix of a structure, and how `from_mean_covariance` takes it."""
    if structure == FULL:
        return matrix, jnp.asarray(matrix)
    if structure == DIAGONAL:
        return np.diag(np.diagonal(matrix)), jnp.asarray(np.diagonal(matrix))
    if structure == SCALE:
        variance = np.trace(matrix) / SIZE
        return variance * np.eye(SIZE), jnp.asarray(variance)
    return np.eye(SIZE), None


def normal_of(structure, mean=MEAN, matrix=ROOT @ ROOT.T):
    family = ef.Normal(SIZE, structure)
    covariance, given = usual(structure, matrix)
    return family, family.from_mean_covariance(jnp.asarray(mean), given), covariance


@each
def test_densities_are_those_of_scipy(structure):
    family, params, covariance = normal_of(structure)
    expected = stats.multivariate_normal(MEAN, covariance).logpdf(ROWS)
    np.testing.assert_allclose(family.log_density(params, jnp.asarray(ROWS)), expected, rtol=CLOSE)


@each
def test_mean_and_covariance_are_read_back(structure):
    family, params, covariance = normal_of(structure)
    mean, matrix = family.mean_covariance(params)
    np.testing.assert_allclose(mean, MEAN, rtol=CLOSE)
    np.testing.assert_allclose(matrix, covariance, rtol=0, atol=CLOSE * np.max(covariance))


@each
def test_natural_and_mean_coordinates(structure):
    family, params, covariance = normal_of(structure)
    precision = np.linalg.inv(covariance)
    np.testing.assert_allclose(params.coords.first, precision @ MEAN, rtol=CLOSE)
    means = family.to_mean(params)
    np.testing.assert_allclose(means.coords.first, MEAN, rtol=CLOSE)
    second_moment = covariance + np.outer(MEAN, MEAN)
    natural, mean = {
        FULL: (-precision / 2, second_moment),
        DIAGONAL: (np.diagonal(-precision / 2), np.diagonal(second_moment)),
        SCALE: (-precision[0, 0] / 2, np.trace(second_moment)),
        IDENTITY: (None, None),
    }[structure]
    if structure == IDENTITY:
        assert params.coords.second is None
        assert means.coords.second is None
    else:
        np.testing.assert_allclose(params.coords.second, natural, rtol=CLOSE, atol=CLOSE)
        np.testing.assert_allclose(means.coords.second, mean, rtol=CLOSE)


@each
def test_entropy_and_divergence_are_the_closed_forms(structure):
    family, p, sigma = normal_of(structure)
    shift = np.array([0.5, -0.5, 1.0])
    _, q, other = normal_of(structure, MEAN + shift, ROOT.T @ ROOT)
    np.testing.assert_allclose(
        family.entropy(p), stats.multivariate_normal(MEAN, sigma).entropy(), rtol=CLOSE
    )
    # KL = ½ (tr(Σ_q⁻¹Σ_p) + δᵀΣ_q⁻¹δ − d − log |Σ_p|/|Σ_q|)
    product = np.linalg.solve(other, sigma)
    expected = 0.5 * (
        np.trace(product)
        + shift @ np.linalg.solve(other, shift)
        - SIZE
        - np.linalg.slogdet(product)[1]
    )
    np.testing.assert_allclose(family.kl_divergence(p, q), expected, rtol=CLOSE)


@each
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_maximum_likelihood_is_the_moments(structure, weights):
    family = ef.Normal(SIZE, structure)
    given = None if weights is None else jnp.asarray(weights)
    mean, matrix = family.mean_covariance(family.maximum_likelihood(jnp.asarray(ROWS), given))
    np.testing.assert_allclose(mean, np.average(ROWS, axis=0, weights=weights), rtol=CLOSE)
    covariance, _ = usual(structure, np.cov(ROWS.T, bias=True, aweights=weights))
    np.testing.assert_allclose(matrix, covariance, rtol=0, atol=CLOSE * np.max(covariance))


@each
def test_maximum_likelihood_of_rows_far_from_the_origin(structure):
    rows = (1e4 + RNG.normal(size=(200, SIZE))).astype(np.float32)
    family = ef.Normal(SIZE, structure)
    _, matrix = family.mean_covariance(family.maximum_likelihood(jnp.asarray(rows)))
    expected, _ = usual(structure, np.cov(rows.T.astype(float), bias=True))
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-3)


@each
def test_divergence_of_close_pairs(structure):
    # of a shift by 10⁻⁴ standard deviations along every axis, and nothing else
    family = ef.Normal(SIZE, structure)
    _, given = usual(structure, np.eye(SIZE))
    p = family.from_mean_covariance(jnp.full(SIZE, 2.0), given)
    q = family.from_mean_covariance(jnp.full(SIZE, 2.0 + 2**-13), given)
    np.testing.assert_allclose(family.kl_divergence(p, q), SIZE / 2 * 2.0**-26, rtol=1e-4)
    assert family.kl_divergence(p, p) == 0


def test_initialize_from_sample_is_maximum_likelihood():
    family, rows = ef.Normal(SIZE), jnp.asarray(ROWS)
    start = family.initialize_from_sample(jax.random.key(0), rows)
    fit = family.maximum_likelihood(rows)
    np.testing.assert_allclose(family.flatten(start), family.flatten(fit), rtol=CLOSE)


def test_log_normalizer_given_is_linear_in_the_statistic():
    family, params, _ = normal_of(FULL)
    x = jnp.asarray(ROWS)
    base = -0.5 * SIZE * np.log(2 * np.pi)
    np.testing.assert_allclose(family.log_base_measure(x), np.full(40, base), rtol=EXACT)
    linear = ROWS @ np.asarray(params.coords.first) + np.einsum(
        "ni,ij,nj->n", ROWS, params.coords.second, ROWS
    )
    given = family.log_normalizer_given(params, x)
    np.testing.assert_allclose(given, linear + base, rtol=0, atol=CLOSE * np.max(np.abs(linear)))


def test_samples_have_the_mean_and_covariance():
    family, params, covariance = normal_of(FULL)
    draws = np.asarray(family.sample(jax.random.key(0), params, (200, 100))).reshape(-1, SIZE)
    errors = 5 / np.sqrt(len(draws))
    whitened = (draws - MEAN) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=errors)
    np.testing.assert_allclose(np.cov(whitened.T), np.eye(SIZE), atol=errors * 2**0.5)
    for column in whitened.T:
        assert stats.kstest(column, "norm").pvalue > 1e-4


@pytest.mark.parametrize("offset", [1e2, 1e4] if FLOAT32 else [1e3, 1e6])
def test_densities_do_not_cancel_far_from_the_origin(offset):
    # Natural forms as such would lose (offset/width)² in units of rounding.
    family = ef.Normal(SIZE, DIAGONAL)
    mean, variances = np.full(SIZE, offset), np.array([1.0, 4.0, 0.25])
    x = mean + np.array([0.5, -1.0, 0.25])
    params = family.from_mean_covariance(jnp.asarray(mean), jnp.asarray(variances))
    expected = stats.norm(mean, np.sqrt(variances)).logpdf(x).sum()
    rounding = 40 * EPSILON * offset
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(x)), expected, rtol=0, atol=rounding
    )


def test_sizes_and_structures():
    assert ef.Normal(5).dim == 20
    assert ef.Normal(5, DIAGONAL).dim == 10
    assert ef.Normal(5, SCALE).dim == 6
    assert ef.Normal(5, IDENTITY).dim == 5
    assert ef.Normal(2) == ef.Normal(2, ef.PositiveDefinite())
    assert hash(ef.Normal(2)) == hash(ef.Normal(2, ef.PositiveDefinite()))


def test_a_point_off_the_domain_is_not_a_distribution():
    for structure in (FULL, DIAGONAL, SCALE):
        family, params, _ = normal_of(structure)
        assert family.in_domain(params)
        assert not family.in_domain(-params)
        assert not family.in_domain(0.0 * params)
    family, params, _ = normal_of(IDENTITY)
    assert family.in_domain(-params)
