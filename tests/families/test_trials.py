"""Binomial and multinomial, geometric and negative binomial, against mpmath and scipy."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import BAR, DIGITS, assert_exact, cells_of, exact
from tests.registry import CLOSE, EXACT

pytestmark = pytest.mark.slow

GEOMETRIC = ef.Geometric()


@pytest.mark.parametrize("n", [1, 10, 1000])
@pytest.mark.parametrize("p", [1e-4, 0.3, 0.999])
def test_binomial_densities_and_entropy(n, p):
    family = ef.Binomial(n)
    params = family.from_probability(p)
    counts = sorted({0, 1, int(n * p), n - 1, n})
    with mpmath.workdps(30):
        theta = exact(params.coords)
        logs = -mpmath.log1p(mpmath.exp(-theta)), -mpmath.log1p(mpmath.exp(theta))

        def log_mass(x):
            return mpmath.log(mpmath.binomial(n, x)) + x * logs[0] + (n - x) * logs[1]

        entropy = -sum(mpmath.exp(log_mass(x)) * log_mass(x) for x in range(n + 1))
        values = [*family.log_density(params, jnp.asarray(counts)), family.entropy(params)]
        assert_exact(values, [*map(log_mass, counts), entropy])
        assert_exact([family.log_normalizer(params)], [-n * logs[1]])
        assert_exact([family.to_mean(params).coords], [n * mpmath.exp(logs[0])])


@pytest.mark.parametrize("p", [1e-4, 0.3, 0.999])
def test_binomial_entropy_of_many_trials(p):
    # about ½ log(2πe σ²), whose next term is (4 − 1/pq)/(12n) − 1/2n …: scipy sums all of them
    n = 10**5
    family = ef.Binomial(n)
    expected = stats.binom(n, p).entropy()
    np.testing.assert_allclose(family.entropy(family.from_probability(p)), expected, rtol=1e-5)


def test_binomial_maximum_likelihood_and_draws():
    family = ef.Binomial(40)
    fit = family.maximum_likelihood(jnp.array([10, 20, 30]))
    np.testing.assert_allclose(family.probability(fit), 0.5, rtol=CLOSE)
    params = family.from_probability(0.2)
    draws = np.asarray(family.sample(jax.random.key(0), params, (100_000,)))
    assert family.support.contains(jnp.asarray(draws))
    assert stats.chisquare(*cells_of(stats.binom(40, 0.2), draws)).pvalue > 1e-4


def test_multinomial_is_that_of_scipy():
    family, p = ef.Multinomial(6, 3), np.array([0.2, 0.3, 0.5])
    params = family.from_probabilities(jnp.asarray(p))
    counts = np.array([x for x in itertools.product(range(7), repeat=3) if sum(x) == 6])
    reference = stats.multinomial(6, p)
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(counts)), reference.logpmf(counts), rtol=CLOSE
    )
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)
    np.testing.assert_allclose(family.probabilities(params), p, rtol=CLOSE)
    np.testing.assert_allclose(family.fisher_information(params), reference.cov()[1:, 1:], CLOSE)
    draws = np.asarray(family.sample(jax.random.key(0), params, (5000,)))
    for column, share in zip(draws.T, p, strict=True):
        observed = np.bincount(column, minlength=7)
        expected = 5000 * stats.binom(6, share).pmf(range(7))
        keep = expected > 5
        gap = (observed[keep] - expected[keep]) ** 2 / expected[keep]
        assert stats.chi2(keep.sum()).sf(gap.sum()) > 1e-4


@pytest.mark.parametrize("r", [0.5, 3.0, 1e3])
@pytest.mark.parametrize("theta", [-1e-8, -1e-2, -1.0, -50.0])
def test_negative_binomial_near_its_edges(r, theta):
    family, params = ef.NegativeBinomial(r), ef.Natural(jnp.asarray(theta))
    means = family.to_mean(params)
    with mpmath.workdps(DIGITS):
        t = exact(params.coords)
        mean = r / mpmath.expm1(-t)
        variance = mean / -mpmath.expm1(t)
        psi = -r * mpmath.log(-mpmath.expm1(t))
        values = [family.log_normalizer(params), means.coords, family.fisher_information(params)]
        assert_exact([float(np.squeeze(v)) for v in values], [psi, mean, variance])
        assert_exact([family.to_natural(means).coords], [t])


@pytest.mark.parametrize("r", [0.5, 3.0, 100.0])
@pytest.mark.parametrize("theta", [-0.02, -1.0])
def test_negative_binomial_densities_and_entropy(r, theta):
    family, params = ef.NegativeBinomial(r), ef.Natural(jnp.asarray(theta))
    with mpmath.workdps(25):
        t = exact(params.coords)

        def log_mass(x):
            coefficient = mpmath.loggamma(x + r) - mpmath.loggamma(x + 1) - mpmath.loggamma(r)
            return coefficient + x * t + r * mpmath.log(-mpmath.expm1(t))

        mean = float(r / mpmath.expm1(-t))
        last = int(mean + 14 * (mean / -np.expm1(theta)) ** 0.5 - 60 / theta)
        entropy = -sum(mpmath.exp(log_mass(x)) * log_mass(x) for x in range(last))
        counts = [0, 1, 10, 1000]
        values = [*family.log_density(params, jnp.asarray(counts)), family.entropy(params)]
        assert_exact(values, [*map(log_mass, counts), entropy])


@pytest.mark.parametrize("p", [0.001, 0.2, 0.999])
def test_negative_binomial_draws(p):
    family = ef.NegativeBinomial(2.5)
    draws = np.asarray(family.sample(jax.random.key(0), family.from_probability(p), (100_000,)))
    assert stats.chisquare(*cells_of(stats.nbinom(2.5, p), draws)).pvalue > 1e-4


@pytest.mark.parametrize("p", [1e-6, 0.25, 0.999])
def test_geometric_is_that_of_scipy(p):
    params, reference = GEOMETRIC.from_probability(p), stats.geom(p, loc=-1)
    np.testing.assert_allclose(GEOMETRIC.probability(params), p, rtol=CLOSE)
    np.testing.assert_allclose(GEOMETRIC.entropy(params), reference.entropy(), rtol=CLOSE)
    np.testing.assert_allclose(GEOMETRIC.to_mean(params).coords, reference.mean(), rtol=CLOSE)
    counts = np.array([0, 1, 7])
    np.testing.assert_allclose(
        GEOMETRIC.log_density(params, jnp.asarray(counts)), reference.logpmf(counts), rtol=CLOSE
    )


def test_geometric_draws_begin_at_zero():
    params = GEOMETRIC.from_probability(0.25)
    draws = np.asarray(GEOMETRIC.sample(jax.random.key(0), params, (100_000,)))
    assert draws.min() == 0
    assert stats.chisquare(*cells_of(stats.geom(0.25, loc=-1), draws)).pvalue > 1e-4


@pytest.mark.parametrize("theta", [-1e-12, -1e-3, -40.0])
def test_geometric_divergence_of_close_pairs(theta):
    p, q = ef.Natural(jnp.asarray(theta)), ef.Natural(jnp.asarray(theta * (1 + 1e-4)))
    with mpmath.workdps(DIGITS):
        a, b = exact(p.coords), exact(q.coords)
        psi = [-mpmath.log(-mpmath.expm1(t)) for t in (a, b)]
        expected = psi[1] - psi[0] - (b - a) / mpmath.expm1(-a)
        assert_exact([GEOMETRIC.kl_divergence(p, q)], [expected], max(1e-8, 10 * BAR))
    assert GEOMETRIC.kl_divergence(p, p) == 0
    density = GEOMETRIC.log_density(p, jnp.array(0))
    np.testing.assert_allclose(density, -float(psi[0]), rtol=EXACT)
