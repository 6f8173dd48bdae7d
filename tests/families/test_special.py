"""Special functions against mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from expfam.families.special import counts, gamma, logistic
from expfam.families.special.bessel import bessel
from tests.families.reference import BAR, DIGITS, EPSILON, assert_exact, exact
from tests.registry import FLOAT32

DTYPE = np.float32 if FLOAT32 else np.float64
X = np.concatenate([10.0 ** np.arange(-8, 11), [0.5, 1.1, 1.9, 2.5, 3.5, 9.99, 10.01]])
X = X.astype(DTYPE)
LEFT, RIGHT = (np.ravel(a).astype(DTYPE) for a in np.meshgrid(*[10.0 ** np.arange(-3, 9)] * 2))

ONE = {
    "log_gamma": (gamma.log_gamma, mpmath.loggamma),
    "digamma": (gamma.digamma, mpmath.digamma),
    "trigamma": (gamma.trigamma, lambda x: mpmath.psi(1, x)),
    "log_gap": (gamma.log_gap, lambda x: mpmath.log(x) - mpmath.digamma(x)),
    "slope_of_log_gap": (
        jax.vmap(jax.grad(gamma.log_gap)),
        lambda x: 1 / x - mpmath.psi(1, x),
    ),
    "trigamma_rest": (gamma.trigamma_rest, lambda x: mpmath.psi(1, x) - 1 / x),
    "slope_of_shape_remainder": (
        jax.vmap(jax.grad(gamma.shape_remainder)),
        lambda x: mpmath.digamma(x) - mpmath.log(x),
    ),
    "bend_of_shape_remainder": (
        jax.vmap(jax.grad(jax.grad(gamma.shape_remainder))),
        lambda x: mpmath.psi(1, x) - 1 / x,
    ),
    "trigamma_defect": (gamma.trigamma_defect, lambda x: x - 1 / mpmath.psi(1, x)),
    "scaled_exp1": (gamma.scaled_exp1, lambda x: mpmath.exp(x) * mpmath.e1(x)),
}


@pytest.mark.parametrize("name", ONE)
def test_functions_of_one_number(name):
    function, reference = ONE[name]
    x = X[X < 1e6] if name == "scaled_exp1" else X
    x = x[x != 1] if name == "log_gamma" else x
    with mpmath.workdps(DIGITS):
        assert_exact(jax.jit(function)(jnp.asarray(x)), [reference(a) for a in exact(x)])


TWO = {
    "log_rise": (gamma.log_rise, lambda x, n: mpmath.loggamma(x + n) - mpmath.loggamma(x)),
    "digamma_rise": (gamma.digamma_rise, lambda x, n: mpmath.digamma(x + n) - mpmath.digamma(x)),
    "digamma_gap": (gamma.digamma_gap, lambda x, y: mpmath.digamma(x) - mpmath.digamma(y)),
    "log_beta": (
        gamma.log_beta,
        lambda x, n: mpmath.loggamma(x) + mpmath.loggamma(n) - mpmath.loggamma(x + n),
    ),
}


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_numbers_of_any_magnitudes(name):
    function, reference = TWO[name]
    with mpmath.workdps(DIGITS):
        expected = [reference(a, b) for a, b in zip(exact(LEFT), exact(RIGHT), strict=True)]
        values = np.asarray(jax.jit(function)(jnp.asarray(LEFT), jnp.asarray(RIGHT)))
        # B(1, 1) = Γ(2)/Γ(1) = 1, the logarithm of which is 0 up to rounding
        kept = [i for i, b in enumerate(expected) if abs(b) > 1e-12]
        assert_exact(values[kept], [expected[i] for i in kept])


@pytest.mark.parametrize("x", [1e-3, 1.0, 3.0, 50.0, 1e6])
def test_gap_of_digammas_of_close_numbers(x):
    x, y = DTYPE(x), DTYPE(x * (1 + 1e-3))
    found, slopes = jax.jit(jax.value_and_grad(gamma.digamma_gap, (0, 1)))(x, y)
    with mpmath.workdps(DIGITS):
        a, b = exact(x), exact(y)
        expected = mpmath.digamma(a) - mpmath.digamma(b), mpmath.psi(1, a), -mpmath.psi(1, b)
        assert_exact([found, *slopes], expected)


def test_difference_of_close_products():
    a, b = DTYPE(1e4 / 3), DTYPE(-0.7)
    c, d = DTYPE(1e8 / 7), DTYPE(float(a) * float(b) / float(DTYPE(1e8 / 7)))
    with mpmath.workdps(DIGITS):
        expected = exact(a) * exact(b) - exact(c) * exact(d)
        found = jax.jit(gamma.difference_of_products)(a, b, c, d)
        assert_exact([found], [expected])


@pytest.mark.parametrize("gap", [0.0, 1e-7, 1e-3, 0.5, -0.9])
@pytest.mark.parametrize("mean", [1e-3, 1.0, 1e8])
def test_deviance_of_close_numbers(gap, mean):
    x, m = DTYPE(mean * (1 + gap)), DTYPE(mean)
    with mpmath.workdps(DIGITS):
        a, b = exact(x), exact(m)
        expected = a * mpmath.log(a / b) - a + b
        assert_exact(gamma.deviance(jnp.asarray(x), jnp.asarray(m)), [expected])


def test_deviance_and_remainder_at_zero():
    assert gamma.deviance(jnp.asarray(0.0), jnp.asarray(3.0)) == 3
    assert gamma.factorial_remainder(jnp.asarray(0.0)) == 0


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 150, 10**4, 10**5, 10**7])
def test_what_is_above_a_factorial(count):
    # Where counts are large, what is lost is little beside half a unit in the last place.
    with mpmath.workdps(DIGITS):
        factorial = mpmath.loggamma(count + 1)
        value = DTYPE(float(factorial) + 1 + 1e-5 * count)
        found = gamma.above_factorial(jnp.asarray(value), jnp.asarray(count, DTYPE))
        error = abs(exact(found) - (exact(value) - factorial))
        assert error < exact(value) / (20 if count > 100 else 1) * EPSILON


@pytest.mark.parametrize("y", [-1e8, -100.0, -2.3, -2.0, 0.5, 20.0])
def test_digamma_is_inverted(y):
    x = gamma.inverse_digamma(jnp.asarray(y))
    np.testing.assert_allclose(float(mpmath.digamma(float(x))), y, rtol=BAR)


@pytest.mark.parametrize("x", [-1e-8, -0.1, -1.0, -40.0, -80.0])
def test_logarithm_of_a_complement_and_its_derivatives(x):
    log1mexp = logistic.log1mexp
    value = jnp.asarray(x)
    with mpmath.workdps(DIGITS):
        a = exact(value)
        p = mpmath.exp(a)
        expected = [mpmath.log1p(-p), -p / (1 - p), -p / (1 - p) ** 2]
    slopes = [jax.grad(log1mexp)(value), jax.grad(jax.grad(log1mexp))(value)]
    assert_exact([log1mexp(value), *slopes], expected)


@pytest.mark.parametrize("x", [-80.0, -1.0, 0.0, 40.0])
def test_sigmoid_does_not_saturate(x):
    value = jnp.asarray(x)
    slope = jax.grad(jax.grad(logistic.softplus))(value)
    np.testing.assert_allclose(slope, np.exp(-abs(x)) / (1 + np.exp(-abs(x))) ** 2, rtol=BAR)


@pytest.mark.parametrize("size", [2, 3, 10, 62, 1000])
def test_bessel_functions_of_any_order_and_argument(size):
    v = size / 2 - 1
    function = jax.jit(lambda square: bessel(v, square))
    for kappa in (1e-3, 0.5, 30.0, 99.0, 101.0, 1e4, 1e6):
        square = jnp.asarray(kappa) ** 2
        with mpmath.workdps(DIGITS):
            k = mpmath.sqrt(exact(square))
            low, high = mpmath.besseli(v, k), mpmath.besseli(v + 1, k)
            ratio = high / low
            log = mpmath.loggamma(v + 1) + v * mpmath.log(2 / k) + mpmath.log(low)
            slope = 1 - ratio**2 - (2 * v + 1) / k * ratio
            deficit = k * (1 - ratio)
        value = function(square)
        assert_exact([value.log, value.ratio], [log, ratio / k])
        assert_exact([value.slope, value.deficit], [slope, deficit], 2 * BAR)


@pytest.mark.parametrize("rate", [0.5, 300.0, 700.0, 1e5])
def test_sums_over_all_counts(rate):
    # Masses of a Poisson sum to one, and their expectation is the rate.
    width = 12 * rate**0.5
    rule = counts.count_rule(jnp.asarray(rate - width), jnp.asarray(rate + width + 60))

    def log_mass(x):
        return -gamma.factorial_remainder(x) - gamma.deviance(x, jnp.asarray(rate))

    total = jnp.sum(jnp.exp(log_mass(rule.points) + rule.log_weights))
    np.testing.assert_allclose(total, 1, rtol=10 * BAR if FLOAT32 else BAR)
    mean = counts.expectation(rule, log_mass, lambda x: x)
    np.testing.assert_allclose(mean, rate, rtol=BAR)
