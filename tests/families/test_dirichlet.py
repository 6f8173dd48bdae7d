"""Dirichlets and betas against mpmath and scipy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import BAR, DIGITS, assert_exact, exact
from tests.registry import CLOSE, EXACT, FLOAT32

pytestmark = pytest.mark.slow

BETA = ef.Beta()
CONCENTRATIONS = [
    [0.01, 0.01, 0.01],
    [1e-3, 1e-2, 1.0],
    [1e3, 1e3, 1e3],
    [1e-3, 1e8, 5.0],
    [1e8, 1e8, 1e8],
    [1e8, 1e-3],
    [1e-2, 100.0],
    [2e5, 1e4, 3e3, 0.3],
]

each = pytest.mark.parametrize("alpha", CONCENTRATIONS, ids=str)


def point(alpha):
    family = ef.Dirichlet(len(alpha))
    params = family.from_concentration(jnp.asarray(alpha))
    return family, params, exact(params.coords)


def log_normalizer(alpha):
    return sum(map(mpmath.loggamma, alpha)) - mpmath.loggamma(sum(alpha))


def mean_of(alpha):
    return [mpmath.digamma(a) - mpmath.digamma(sum(alpha)) for a in alpha]


@each
def test_log_normalizer_means_and_entropy_of_mixed_magnitudes(alpha):
    family, params, a = point(alpha)
    values = [family.log_normalizer(params), *family.to_mean(params).coords, family.entropy(params)]
    with mpmath.workdps(DIGITS):
        entropy = log_normalizer(a) - sum((x - 1) * m for x, m in zip(a, mean_of(a), strict=True))
        assert_exact(values, [log_normalizer(a), *mean_of(a), entropy])


@each
def test_natural_coordinates_have_the_means_that_were_asked_for(alpha):
    family, params, _ = point(alpha)
    means = family.to_mean(params)
    found = family.to_natural(means).coords
    with mpmath.workdps(DIGITS):
        assert_exact([float(m) for m in mean_of(exact(found))], exact(means.coords))


@each
def test_divergence_of_close_pairs(alpha):
    family, p, a = point(alpha)
    change = 1 + 1e-4 * np.array([1.0, -1.0, 0.5, 0.3])[: len(alpha)]
    q = family.from_concentration(p.coords * change)
    with mpmath.workdps(DIGITS):
        b = exact(q.coords)
        linear = sum((y - x) * m for x, y, m in zip(a, b, mean_of(a), strict=True))
        expected = log_normalizer(b) - log_normalizer(a) - linear
        assert_exact([family.kl_divergence(p, q)], [expected], 1e-4 if FLOAT32 else 1e-10)


def test_densities_are_those_of_scipy():
    alpha, x = np.array([0.5, 2.0, 30.0]), np.array([0.05, 0.15, 0.8])
    family, params, _ = point(alpha)
    expected = stats.dirichlet(alpha).logpdf(x)
    np.testing.assert_allclose(family.log_density(params, jnp.asarray(x)), expected, rtol=CLOSE)
    np.testing.assert_allclose(family.entropy(params), stats.dirichlet(alpha).entropy(), rtol=CLOSE)
    np.testing.assert_allclose(family.concentration(params), alpha)


def test_fisher_information_is_the_closed_form():
    family, params, a = point([0.5, 2.0, 30.0])
    with mpmath.workdps(DIGITS):
        total = mpmath.psi(1, sum(a))
        expected = [
            (mpmath.psi(1, x) if i == j else 0) - total for i, x in enumerate(a) for j in range(3)
        ]
    assert_exact(family.fisher_information(params), expected, 10 * BAR)


def test_solutions_are_differentiable():
    family, params, _ = point([0.5, 2.0, 30.0])
    means = family.to_mean(params).coords
    jacobian = jax.jit(jax.jacobian(lambda m: family.to_natural(ef.Mean(m)).coords))(means)
    identity = jacobian @ family.fisher_information(params)
    np.testing.assert_allclose(identity, np.eye(3), atol=1e-2 if FLOAT32 else 1e-9)


@pytest.mark.parametrize(
    "alpha",
    [[1e-3, 1e-3, 2e-3], [0.05, 0.1, 0.2], [3.0, 1.0, 200.0], [0.01, 1.0, 0.3, 7.0, 0.5, 40.0]],
)
def test_draws_have_the_marginals_of_betas(alpha):
    family, params, _ = point(alpha)
    draws = np.asarray(family.sample(jax.random.key(0), params, (100_000,)), float)
    assert np.all(draws > 0)
    for column, a in zip(draws.T, alpha, strict=True):
        reference = stats.beta(a, sum(alpha) - a)
        inner = (column > 1e-12) & (column < 1 - 1e-6)
        low, high = reference.cdf([1e-12, 1 - 1e-6])
        assert abs(np.mean(inner) - (high - low)) < 5 * 0.5 / len(draws) ** 0.5
        uniform = (reference.cdf(column[inner]) - low) / (high - low)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-4


# ------------------------------------------------------------------------------------ beta


@pytest.mark.parametrize("pair", [(0.5, 2.0), (1e-3, 1e-3), (50.0, 0.1), (1.0, 1.0)])
def test_betas_are_dirichlets_of_two(pair):
    params = BETA.from_concentration(*pair)
    family, same, _ = point(pair)
    for method in ("log_normalizer", "entropy"):
        value = getattr(BETA, method)(params)
        np.testing.assert_allclose(value, getattr(family, method)(same), CLOSE, EXACT)
    x = np.array([0.1, 0.7])
    np.testing.assert_allclose(
        BETA.log_density(params, jnp.asarray(x)),
        stats.beta(*pair).logpdf(x),
        rtol=CLOSE,
        atol=EXACT,
    )
    back = BETA.to_natural(BETA.to_mean(params))
    np.testing.assert_allclose(BETA.concentration(back), pair, rtol=CLOSE)


@pytest.mark.parametrize("pair", [(1e-3, 1e-3), (0.01, 0.02), (2.0, 5.0), (1e3, 10.0)])
def test_draws_of_betas(pair):
    draws = BETA.sample(jax.random.key(0), BETA.from_concentration(*pair), (100_000,))
    assert BETA.support.contains(draws)
    inner = np.asarray(draws, float)
    inner = inner[(inner > 1e-12) & (inner < 1 - 1e-6)]
    low, high = stats.beta(*pair).cdf([1e-12, 1 - 1e-6])
    uniform = (stats.beta(*pair).cdf(inner) - low) / (high - low)
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
