"""Gammas and inverse gammas against mpmath and scipy."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import BAR, DIGITS, EPSILON, assert_exact, exact, relative_error
from tests.registry import CLOSE, FLOAT32

pytestmark = pytest.mark.slow

GAMMA, INVERSE = ef.Gamma(), ef.InverseGamma()
SHAPES = [1e-8, 1e-3, 0.5, 3.0, 1e3, 1e6, 1e10]

each = pytest.mark.parametrize("shape", SHAPES)


def parameters(params):
    return exact(params.coords.logarithm), -exact(params.coords.value)


def log_normalizer(k, b):
    return mpmath.loggamma(k) - k * mpmath.log(b)


@each
def test_log_normalizer_means_and_entropy_at_every_shape(shape):
    params = GAMMA.from_shape_rate(shape, 2.5)
    means = GAMMA.to_mean(params).coords
    values = [GAMMA.log_normalizer(params), means.value, means.logarithm, GAMMA.entropy(params)]
    with mpmath.workdps(DIGITS):
        k, b = parameters(params)
        psi, mean_log = log_normalizer(k, b), mpmath.digamma(k) - mpmath.log(b)
        entropy = k - mpmath.log(b) + mpmath.loggamma(k) + (1 - k) * mpmath.digamma(k)
        assert_exact(values, [psi, k / b, mean_log, entropy])


@each
def test_fisher_information_is_the_closed_form(shape):
    params = GAMMA.from_shape_rate(shape, 2.5)
    with mpmath.workdps(DIGITS):
        k, b = parameters(params)
        expected = [k / b**2, 1 / b, 1 / b, mpmath.psi(1, k)]
        assert_exact(GAMMA.fisher_information(params), expected)


@each
def test_densities_at_the_mean_and_around_it(shape):
    params = GAMMA.from_shape_rate(shape, 2.5)
    x = jnp.asarray(shape / 2.5 * np.array([0.9, 1.0, 1.01]))
    with mpmath.workdps(DIGITS):
        k, b = parameters(params)
        expected = [
            k * mpmath.log(b) + (k - 1) * mpmath.log(a) - b * a - mpmath.loggamma(k)
            for a in exact(x)
        ]
    # what half a unit in the last place of x and of the rate makes of k(1 − bx/k)
    rounding = shape * EPSILON * 0.2
    np.testing.assert_allclose(
        GAMMA.log_density(params, x), np.asarray(expected, float), rtol=BAR, atol=rounding
    )


@pytest.mark.parametrize("shape", [s for s in SHAPES if s < (1e3 if FLOAT32 else 1e10)])
def test_natural_coordinates_of_means(shape):
    means = GAMMA.to_mean(GAMMA.from_shape_rate(shape, 2.5))
    found = GAMMA.to_natural(means)
    with mpmath.workdps(DIGITS):
        gap = mpmath.log(exact(means.coords.value)) - exact(means.coords.logarithm)
        k, b = parameters(found)
        returned = mpmath.log(k) - mpmath.digamma(k)
        # the gap is the difference of two numbers that are rounded
        rounding = EPSILON * abs(float(means.coords.logarithm)) / float(gap)
        assert relative_error(returned, gap) <= BAR + 2 * rounding
        assert_exact([b * exact(means.coords.value)], [k])


@pytest.mark.parametrize("size", [1e-4, 1e-2, 1.0])
@each
def test_divergence_of_close_and_of_far_pairs(shape, size):
    p = GAMMA.from_shape_rate(shape, 2.5)
    q = GAMMA.from_shape_rate(shape * (1 + size), 2.5 * (1 - size / 3))
    with mpmath.workdps(DIGITS):
        (k, b), (m, c) = parameters(p), parameters(q)
        linear = (b - c) * k / b + (m - k) * (mpmath.digamma(k) - mpmath.log(b))
        expected = log_normalizer(m, c) - log_normalizer(k, b) - linear
        assert_exact([GAMMA.kl_divergence(p, q)], [expected], 1e-4 if FLOAT32 else 1e-10)
    assert GAMMA.kl_divergence(p, p) == 0


@pytest.mark.parametrize("scale", [1.0, 1000.0])
@pytest.mark.parametrize("family", [GAMMA, INVERSE], ids=["gamma", "inverse"])
def test_maximum_likelihood_of_points_that_are_close(family, scale):
    spread = 1 + 1e-3 * np.array([-0.4, -0.3, 0.1, 0.5, 0.6])
    xs = jnp.asarray((scale * spread).astype(np.float32))
    shape = family.maximum_likelihood(xs).coords.logarithm
    with mpmath.workdps(DIGITS):
        values = exact(xs) if family == GAMMA else [1 / x for x in exact(xs)]
        mean = sum(values) / 5
        gap = mpmath.log(mean) - sum(mpmath.log(x) for x in values) / 5
        expected = mpmath.findroot(lambda k: mpmath.log(k) - mpmath.digamma(k) - gap, 1 / (2 * gap))
    assert relative_error(shape, expected) < 1e-3


def test_weighted_maximum_likelihood_repeats_rows():
    xs = jnp.array([0.5, 1.0, 3.0])
    weighted = GAMMA.maximum_likelihood(xs, jnp.array([1.0, 2.0, 1.0]))
    repeated = GAMMA.maximum_likelihood(jnp.array([0.5, 1.0, 1.0, 3.0]))
    np.testing.assert_allclose(GAMMA.flatten(weighted), GAMMA.flatten(repeated), rtol=CLOSE)


def test_estimates_are_differentiable_under_jit_and_vmap():
    xs = jnp.asarray(np.random.default_rng(0).gamma(2.0, size=(3, 50)))

    def shape(xs):
        return GAMMA.shape_rate(GAMMA.maximum_likelihood(xs))[0]

    slopes = jax.jit(jax.vmap(jax.grad(shape)))(xs)
    step = jnp.zeros_like(xs).at[:, 0].set(1e-2 if FLOAT32 else 1e-5)
    ahead, behind = (jax.vmap(shape)(xs + sign * step) for sign in (1, -1))
    np.testing.assert_allclose(slopes[:, 0], (ahead - behind) / 2 / step[:, 0], rtol=2e-2)


@pytest.mark.parametrize("shape", [0.01, 0.3, 5.0, 1e4])
def test_draws_pass_a_kolmogorov_smirnov_test(shape):
    draws = GAMMA.sample(jax.random.key(0), GAMMA.from_shape_rate(shape, 2.0), (100_000,))
    assert np.all(np.asarray(draws) > 0)
    # What is below the smallest number counts as it.
    floor = float(jnp.finfo(draws.dtype).tiny)
    values = np.maximum(np.asarray(draws, float), floor)
    reference = stats.gamma(shape, scale=0.5)
    uniform = reference.cdf(values[values > floor])
    low = reference.cdf(floor)
    assert abs(np.mean(values <= floor) - low) < 5 * np.sqrt(low / len(values)) + 1e-9
    assert stats.kstest((uniform - low) / (1 - low), "uniform").pvalue > 1e-4


@pytest.mark.parametrize("shape", [1e-3, 0.3])
def test_logarithms_of_draws_of_small_shapes(shape):
    # Most draws of shape 10⁻³ are below the smallest number; their logarithms are not.
    params = GAMMA.from_shape_rate(shape, 2.0)
    draws = np.asarray(ef.LogGamma().sample(jax.random.key(0), params, (100_000,)), float)
    reference = stats.loggamma(shape, loc=-np.log(2))
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4


def test_inverse_gamma_is_that_of_scipy():
    params = INVERSE.from_shape_scale(3.0, 2.0)
    reference = stats.invgamma(3.0, scale=2.0)
    x = np.array([0.1, 1.0, 7.0])
    np.testing.assert_allclose(
        INVERSE.log_density(params, jnp.asarray(x)), reference.logpdf(x), rtol=CLOSE
    )
    np.testing.assert_allclose(INVERSE.entropy(params), reference.entropy(), rtol=CLOSE)
    np.testing.assert_allclose(INVERSE.shape_scale(params), [3, 2], rtol=CLOSE)
    draws = np.asarray(INVERSE.sample(jax.random.key(0), params, (100_000,)))
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4


def test_exponential_is_the_gamma_of_shape_one():
    exponential = ef.Exponential()
    one, gamma = exponential.from_rate(2.0), GAMMA.from_shape_rate(1.0, 2.0)
    x = jnp.array([0.1, 1.0, 7.0])
    np.testing.assert_allclose(
        exponential.log_density(one, x), GAMMA.log_density(gamma, x), rtol=CLOSE
    )
    np.testing.assert_allclose(exponential.entropy(one), GAMMA.entropy(gamma), rtol=CLOSE)
    assert exponential.log_density(one, jnp.array(0.0)) == jnp.log(2.0)
    np.testing.assert_allclose(exponential.rate(exponential.maximum_likelihood(x)), 3 / 8.1, CLOSE)
    draws = np.asarray(exponential.sample(jax.random.key(0), one, (100_000,)))
    assert stats.kstest(draws, stats.expon(scale=0.5).cdf).pvalue > 1e-4
