"""Digits of predictives at large pseudo-counts, against mpmath."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import expfam as ef
from tests.registry import FLOAT32

from .reference import close

pytestmark = pytest.mark.slow

mpmath.mp.dps = 60
log_gamma, log_beta = mpmath.loggamma, lambda a, b: mpmath.log(mpmath.beta(a, b))


def rises(alpha, counts):
    """log of Γ(α + x)/Γ(α) and of x!, summed; less the same of the totals."""
    alpha, counts = [mpmath.mpf(a) for a in alpha], [mpmath.mpf(x) for x in counts]
    terms = [
        log_gamma(a + x) - log_gamma(a) - log_gamma(x + 1)
        for a, x in zip(alpha, counts, strict=True)
    ]
    n, total = sum(counts), sum(alpha)
    return mpmath.fsum(terms) + log_gamma(total) - log_gamma(total + n) + log_gamma(n + 1)


def binomial(alpha, beta, n, x):
    prior = ef.ConjugatePrior(ef.Binomial(n), ef.Mean(jnp.asarray(alpha)), (alpha + beta) / n)
    return prior, np.array(x), rises([alpha, beta], [x, n - x])


def multinomial(alpha, x):
    prior = ef.ConjugatePrior(
        ef.Multinomial(sum(x), len(x)), ef.Mean(jnp.asarray(alpha[1:])), sum(alpha) / sum(x)
    )
    return prior, np.array(x), rises(alpha, x)


def poisson(shape, rate, x):
    prior = ef.ConjugatePrior(ef.Poisson(), ef.Mean(jnp.asarray(shape)), rate)
    a, b, k = map(mpmath.mpf, (shape, rate, x))
    value = log_gamma(a + k) - log_gamma(a) - log_gamma(k + 1)
    return prior, np.array(x), value + a * mpmath.log(b / (b + 1)) - k * mpmath.log(b + 1)


CASES = {
    "beta-binomial, 1e6": binomial(1e6, 1e6, 100, 50),
    "beta-binomial, 1e6, off": binomial(1e6, 1e6, 100, 30),
    "beta-binomial, uneven": binomial(2e4, 1e6, 50, 2),
    "beta-binomial, uniform": binomial(1.0, 1.0, 10**6, 250_000),
    "beta-binomial, sparse": binomial(0.125, 0.25, 1000, 3),
    "Dirichlet-multinomial, 1e6": multinomial([1e6, 1e6, 1e6], [10, 20, 12]),
    "Dirichlet-multinomial, mixed": multinomial([1e6, 1e3, 0.5], [96, 3, 1]),
    "gamma–Poisson, 1e8": poisson(1e8, 1e5, 1000),
    "gamma–Poisson, 1e8, off": poisson(1e8, 1e5, 1200),
    "gamma–Poisson, vague": poisson(0.5, 0.0009765625, 3),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_digits_of_predictives(case):
    prior, x, expected = case
    close(prior.log_predictive(jnp.asarray(x)), float(expected), 1e-12)
    single = ef.ConjugatePrior(
        prior.family, ef.Mean(prior.total.coords.astype(jnp.float32)), prior.count
    )
    value = single.log_predictive(jnp.asarray(x))
    assert value.dtype == jnp.float32
    close(value, float(expected), 1e-5)


@pytest.mark.parametrize(
    ("total", "count"), [(1.0, 1.998), (500.0, 999.0), (0.5, 1.0004), (3e6, 6.0001e6), (1e-3, 0.5)]
)
@pytest.mark.parametrize("dtype", [jnp.float32] if FLOAT32 else [jnp.float32, jnp.float64])
def test_expected_log_odds_next_to_zero(total, count, dtype):
    total, count = jnp.asarray(total, dtype), jnp.asarray(count, dtype)
    prior = ef.ConjugatePrior(ef.Bernoulli(), ef.Mean(total), count)
    value = prior.expected_natural().coords
    assert value.dtype == dtype
    alpha, nu = mpmath.mpf(float(total)), mpmath.mpf(float(count))
    expected = mpmath.digamma(alpha) - mpmath.digamma(nu - alpha)
    bar = 1e-5 if dtype == jnp.float32 else 1e-12
    close(value, float(expected), bar)


def test_expected_log_odds_change_with_what_was_seen():
    prior = ef.ConjugatePrior(ef.Categorical(3), ef.Mean(jnp.array([2.0, 3.0])), 7.0)

    def odds(total, count):
        moved = ef.ConjugatePrior(prior.family, ef.Mean(total), count)
        return moved.expected_natural().coords

    slopes = jax.jit(jax.jacobian(odds, (0, 1)))(prior.total.coords, prior.count)
    one, two, three = (float(mpmath.psi(1, x)) for x in (2, 3, 2))
    expected = np.array([[one + three, three], [three, two + three]])
    close(slopes[0], expected, 1e-12)
    close(slopes[1], [-three, -three], 1e-12)
