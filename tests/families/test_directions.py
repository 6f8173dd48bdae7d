"""Von Mises and von Mises–Fisher distributions against mpmath and scipy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import BAR, DIGITS, assert_exact, exact, relative_error
from tests.registry import CLOSE, EXACT, FLOAT32

pytestmark = pytest.mark.slow

ANGLES = ef.VonMises()
KAPPAS = [1e-6, 0.5, 10.0, 1e4, 1e6]

each_kappa = pytest.mark.parametrize("kappa", KAPPAS)
each_size = pytest.mark.parametrize("size", [2, 3, 100, 1000])


def point(size, kappa):
    family = ef.VonMisesFisher(size)
    direction = np.random.default_rng(0).normal(size=size)
    params = family.from_direction_concentration(jnp.asarray(direction), kappa)
    return family, params, mpmath.sqrt(sum(x * x for x in exact(params.coords)))


def log_normalizer(size, kappa):
    v = mpmath.mpf(size) / 2 - 1
    bessel = mpmath.log(mpmath.besseli(v, kappa))
    return mpmath.loggamma(v + 1) + v * mpmath.log(2 / kappa) + bessel


def mean_length(size, kappa):
    v = mpmath.mpf(size) / 2
    return mpmath.besseli(v, kappa) / mpmath.besseli(v - 1, kappa)


@each_size
@each_kappa
def test_log_normalizer_and_means(size, kappa):
    with mpmath.workdps(DIGITS):
        family, params, k = point(size, kappa)
        assert_exact([family.log_normalizer(params)], [log_normalizer(size, k)])
        means = family.to_mean(params)
        length = mpmath.sqrt(sum(x * x for x in exact(means.coords)))
        assert relative_error(length, mean_length(size, k)) < BAR


@each_size
@each_kappa
def test_natural_coordinates_of_means(size, kappa):
    with mpmath.workdps(DIGITS):
        family, params, _ = point(size, kappa)
        means = family.to_mean(params)
        found = family.direction_concentration(family.to_natural(means))[1]
        wanted = mpmath.sqrt(sum(x * x for x in exact(means.coords)))
        assert relative_error(mean_length(size, exact(found)), wanted) < BAR


@each_size
@each_kappa
def test_divergence_of_close_pairs(size, kappa):
    with mpmath.workdps(DIGITS):
        family, p, k = point(size, kappa)
        q = p * jnp.asarray(1 + 1e-4, p.coords.dtype)
        inner = sum(a * (b - a) for a, b in zip(exact(p.coords), exact(q.coords), strict=True))
        other = mpmath.sqrt(sum(x * x for x in exact(q.coords)))
        expected = log_normalizer(size, other) - log_normalizer(size, k)
        expected -= mean_length(size, k) / k * inner
        bar = 1e-4 if FLOAT32 else 1e-9
        # From 10⁵ on, rounding of the coordinates turns the direction by what counts in float32.
        if not (FLOAT32 and kappa > 1e5):
            assert relative_error(family.kl_divergence(p, q), expected) < bar


@each_size
def test_the_uniform_distribution(size):
    family = ef.VonMisesFisher(size)
    params = ef.Natural(jnp.zeros(size))
    assert family.log_normalizer(params) == 0
    np.testing.assert_array_equal(family.to_mean(params).coords, np.zeros(size))
    np.testing.assert_array_equal(family.to_natural(ef.Mean(jnp.zeros(size))).coords, 0)
    if size < 10:
        fisher = family.fisher_information(params)
        np.testing.assert_allclose(fisher, np.eye(size) / size, rtol=EXACT, atol=EXACT)
    x = jnp.eye(size)[0]
    np.testing.assert_allclose(family.entropy(params), -family.log_density(params, x), rtol=EXACT)


@pytest.mark.parametrize("kappa", [0.3, 20.0, 1e4])
def test_densities_are_those_of_scipy(kappa):
    family, params, _ = point(3, kappa)
    direction, _ = family.direction_concentration(params)
    mu = np.asarray(direction, float)
    reference = stats.vonmises_fisher(mu / np.linalg.norm(mu), kappa)
    x = reference.rvs(20, random_state=0)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(params.coords.dtype)
    expected = reference.logpdf(x.astype(float) / np.linalg.norm(x.astype(float), axis=1)[:, None])
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(x)), expected, rtol=CLOSE, atol=CLOSE
    )
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)


N_BATCHES, N_DRAWS = 50, 2000


@jax.jit
def _summaries(family, params, key, axis, across):
    # Of 10⁵ draws: distances to the axis, and coordinates along a direction across it.
    def batch(key):
        draws = family.sample(key, params, (N_DRAWS,))
        return jnp.linalg.norm(draws - axis, axis=1), draws @ across

    return jax.lax.map(batch, jax.random.split(key, N_BATCHES))


@pytest.mark.parametrize(
    ("size", "kappa"),
    [
        (2, 1.0),
        (2, 1e5),
        (3, 0.0),
        (3, 1.0),
        (4, 1e-3),
        (5, 10.0),
        (10, 1e6),
        (50, 20.0),
        (100, 1.0),
        (300, 100.0),
    ],
)
def test_draws_on_the_sphere(size, kappa):
    family, params, _ = point(size, kappa)
    assert family.support.contains(family.sample(jax.random.key(1), params, (100,)))
    axis = np.eye(size)[0]
    if kappa:
        axis = np.asarray(family.direction_concentration(params)[0], float)
    across = np.eye(size)[-1] - axis[-1] * axis
    across /= np.linalg.norm(across)
    summaries = _summaries(
        family, params, jax.random.key(0), *(jnp.asarray(v, float) for v in (axis, across))
    )
    gaps, along = (np.ravel(np.asarray(values, float)) for values in summaries)
    angles = 2 * np.arcsin(np.minimum(gaps / 2, 1))
    # angles to the axis have the density sin(t)^(d − 2) exp(κ cos t)
    reach = np.pi
    if kappa > 1000:
        reach = 8 * np.sqrt(size / kappa)
    grid = np.linspace(0, reach, 20_001)
    density = np.sin(grid) ** (size - 2) * np.exp(-2 * kappa * np.sin(grid / 2) ** 2)
    total = np.concatenate([[0], np.cumsum(density[1:] + density[:-1])])
    uniform = np.interp(angles, grid, total / total[-1])
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    # around it they are uniform: the square of a coordinate on a sphere has a beta distribution
    squares = (along / np.sin(angles)) ** 2
    if size > 2:
        assert stats.kstest(squares, stats.beta(0.5, size / 2 - 1).cdf).pvalue > 1e-4
    # and either side is as likely
    assert abs(np.mean(along > 0) - 0.5) < 5 * 0.5 / len(along) ** 0.5


@pytest.mark.parametrize("kappa", [0.5, 5.0, 500.0])
def test_angles_are_those_of_scipy(kappa):
    params = ANGLES.from_angle_concentration(1.0, kappa)
    reference = stats.vonmises(kappa, loc=1.0)
    x = np.linspace(0.5, 1.5, 7)
    np.testing.assert_allclose(
        ANGLES.log_density(params, jnp.asarray(x)), reference.logpdf(x), rtol=CLOSE, atol=CLOSE
    )
    np.testing.assert_allclose(ANGLES.entropy(params), reference.entropy(), rtol=CLOSE)
    np.testing.assert_allclose(ANGLES.angle_concentration(params), [1.0, kappa], rtol=CLOSE)
    draws = np.asarray(ANGLES.sample(jax.random.key(0), params, (20_000,)), float)
    assert np.all(np.abs(draws) <= np.pi + 1e-6)
    turned = np.mod(draws - 1 + np.pi, 2 * np.pi) - np.pi
    assert stats.kstest(turned, stats.vonmises(kappa).cdf).pvalue > 1e-4


def test_angles_without_concentration():
    params = ANGLES.from_angle_concentration(0.0, 0.0)
    np.testing.assert_allclose(ANGLES.entropy(params), np.log(2 * np.pi), rtol=EXACT)
    np.testing.assert_allclose(ANGLES.fisher_information(params), np.eye(2) / 2, atol=EXACT)
