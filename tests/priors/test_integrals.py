"""Priors that are normalized by one integral, against Gauss's rule in another variable."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

import expfam as ef
from tests.registry import FLOAT32, needs_float64

from .reference import close

pytestmark = pytest.mark.slow

Prior = ef.ConjugatePrior
KEY = jax.random.key(0)


def log_integral(log_f, peak):
    """log ∫₀^∞ exp f(t) dt by Gauss's rule on short pieces around a point near the peak."""
    nodes, weights = np.polynomial.legendre.leggauss(16)
    edges = peak * np.concatenate([[0], np.geomspace(1e-9, 1e6, 501)])
    lengths = np.diff(edges)[:, None]
    points = edges[:-1, None] + lengths * (1 + nodes) / 2
    return special.logsumexp(log_f(points), b=weights / 2 * lengths)


def gamma(shape, rate, count):
    family = ef.Gamma()
    prior = Prior.from_mean(family, family.to_mean(family.from_shape_rate(shape, rate)), count)
    first, second = float(prior.total.coords.value), float(prior.total.coords.logarithm)

    def log_f(k):
        power = count * k + 1
        value = second * k - count * special.gammaln(k) + special.gammaln(power)
        return value - power * np.log(first)

    return prior, log_integral(log_f, shape)


def wishart_prior(freedom, count):
    family = ef.Wishart(2)
    scale = jnp.array([[1.0, 0.3], [0.3, 0.5]])
    mean = family.to_mean(family.from_scale_freedom(scale, freedom))
    return Prior.from_mean(family, mean, count)


def wishart_normalizer(prior, count, freedom):
    first, second = np.asarray(prior.total.coords.matrix), prior.total.coords.log_determinant
    log_det = np.linalg.slogdet(first)[1]

    def log_f(t):
        a = 0.5 + t
        power = count * a + 1.5
        value = float(second) * a - count * special.multigammaln(a, 2)
        return value + special.multigammaln(power, 2) - power * log_det

    # an entry off the diagonal is packed times √2
    return log_integral(log_f, freedom / 2 - 0.5) + 0.5 * np.log(2)


def wishart(freedom, count):
    prior = wishart_prior(freedom, count)
    return prior, wishart_normalizer(prior, count, freedom)


def directions(length, count):
    family, axis = ef.VonMisesFisher(3), np.array([1.0, 2.0, -2.0]) / 3
    prior = Prior.from_mean(family, ef.Mean(jnp.asarray(length * axis)), count)

    def psi(kappa):  # log sinh κ/κ
        value = kappa + np.log1p(-np.exp(-2 * kappa)) - np.log(2 * kappa)
        return np.where(kappa > 1e-6, value, 0.0)

    def log_f(kappa):
        return 2 * np.log(kappa) + psi(count * length * kappa) - count * psi(kappa)

    return prior, np.log(4 * np.pi) + log_integral(log_f, 1 / (1 - length))


def angles(length, count):
    family = ef.VonMises()
    prior = Prior.from_mean(family, ef.Mean(jnp.array([0.6, 0.8]) * length), count)

    def psi(kappa):
        return np.log(special.i0e(kappa)) + kappa

    def log_f(kappa):
        return np.log(kappa) + psi(count * length * kappa) - count * psi(kappa)

    return prior, np.log(2 * np.pi) + log_integral(log_f, 1 / (1 - length))


def logarithmic(mean, count):
    prior = Prior.from_mean(ef.Logarithmic(), ef.Mean(jnp.asarray(mean)), count)

    def log_f(t):  # θ = −t
        far, near = -np.log1p(-np.exp(-t)), -np.log(-np.expm1(-t))
        inner = np.where(t < 30, np.where(t > 0.5, far, near), 1.0)
        psi = np.where(t < 30, np.log(inner), -t)
        return -count * mean * t - count * psi

    return prior, log_integral(log_f, 1 / mean)


def passage_times(mean, shape, count):
    family = ef.InverseGaussian()
    prior = Prior.from_mean(family, family.to_mean(family.from_mean_shape(mean, shape)), count)
    first, second = float(prior.total.coords.value), float(prior.total.coords.reciprocal)

    def log_f(v):
        width = second - count**2 / first
        square = first * (v - count / first) ** 2 + width
        return np.log(v) - (count / 2 + 2) * np.log(square)

    constant = (count / 2 + 1) * np.log(2) + special.gammaln(count / 2 + 2)
    return prior, constant + log_integral(log_f, 1 / mean)


CASES = {
    "gamma": (gamma, [(2.0, 3.0, 2.5), (0.01, 1.0, 0.2), (1e3, 0.1, 30.0)]),
    "Wishart": (wishart, [(3.0, 2.5), (1.2, 0.3), (200.0, 20.0)]),
    "directions": (directions, [(0.3, 2.5), (0.99, 20.0), (0.01, 0.5)]),
    "angles": (angles, [(0.3, 2.5), (0.99, 20.0), (0.01, 0.5)]),
    "logarithmic": (logarithmic, [(2.0, 2.5), (1.01, 4.0), (50.0, 30.0)]),
    "inverse Gaussian": (passage_times, [(2.0, 3.0, 2.5), (1.0, 1e3, 0.5), (0.1, 1e-3, 20.0)]),
}


@cache
def cases(name):
    """Priors of a family, each with its log-normalizer."""
    case, values = CASES[name]
    return [case(*each) for each in values]


log_normalizers = jax.jit(jax.vmap(lambda prior: prior.log_normalizer()))


expected_log_normalizers = jax.jit(jax.vmap(lambda prior: prior.expected_log_normalizer()))


def rounding(priors, values):
    """What float32 may change: half a unit in the last place of φ changes log Z by ε of νψ."""
    psi = np.abs(expected_log_normalizers(priors)) * priors.count
    return 1e-6 * (1 + psi + np.abs(np.asarray(values)))


def stacked(name):
    """The priors of a family, as one, and their log-normalizers."""
    priors, expected = zip(*cases(name), strict=True)
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *priors), expected


@pytest.mark.parametrize("name", CASES)
def test_normalizer_against_quadrature(name):
    priors, expected = stacked(name)
    found = log_normalizers(priors)
    if FLOAT32:
        assert np.all(np.abs(found - np.asarray(expected)) <= rounding(priors, expected))
    else:
        close(found, expected, 1e-10, 1e-10)


@pytest.mark.parametrize("name", ["gamma", "logarithmic", "inverse Gaussian"])
def test_evidence_is_the_chain_of_predictives(name):
    prior = cases(name)[0][0]
    xs = jnp.array([1, 3, 2]) if name == "logarithmic" else jnp.array([0.5, 1.5, 1.0])
    posterior, total = prior, 0.0
    for x in xs:
        total += float(posterior.log_predictive(x))
        posterior = posterior.observe(x[None])
    close(prior.log_evidence(xs), total)
    by_normalizers = posterior.log_normalizer() - prior.log_normalizer()
    base = jnp.sum(prior.family.log_base_measure(xs))
    close(prior.log_evidence(xs), by_normalizers + base, 1e-9)


@pytest.mark.parametrize("name", ["gamma", "Wishart", "inverse Gaussian"])
def test_draws_have_the_expectations_of_the_prior(name):
    prior = cases(name)[0][0]
    family = prior.family
    coords = prior.sample(KEY, (20_000,)).coords
    draws = np.asarray(jax.jit(jax.vmap(lambda c: family._flatten(c, "natural")))(coords))
    expected = family.flatten(prior.expected_natural())
    error = draws.std(axis=0) / len(draws) ** 0.5
    assert np.all(abs(draws.mean(axis=0) - expected) < 5 * error)


@pytest.mark.parametrize("name", ["gamma", "angles", "inverse Gaussian"])
def test_normalizer_in_float32(name):
    priors, _ = stacked(name)
    rounded = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), priors)
    exact = jax.tree.map(lambda leaf: leaf.astype(float), rounded)
    values, expected = log_normalizers(rounded), log_normalizers(exact)
    assert values.dtype == jnp.float32
    assert np.all(np.abs(values - expected) <= rounding(exact, expected))


@needs_float64
def test_gradients_of_the_normalizer_against_differences():
    # E[θ] is the gradient in φ: the nodes do not move with it.
    prior = cases("gamma")[0][0]
    family = prior.family

    @jax.jit
    def log_normalizer(vector):
        total = family._unflatten(vector, "mean")
        return Prior(family, ef.Mean(total), prior.count).log_normalizer()

    vector = family.flatten(prior.total)
    steps = 1e-5 * np.eye(2)
    slopes = [(log_normalizer(vector + s) - log_normalizer(vector - s)) / 2e-5 for s in steps]
    close(slopes, family.flatten(prior.expected_natural()), 1e-6)


@pytest.mark.parametrize(("freedom", "count"), [(3.0, 2.5), (1.2, 0.3), (1.05, 0.05)])
def test_expected_log_normalizer_of_wisharts(freedom, count):
    # −d log Z/dν. Of vague priors, what is close to the least degrees of freedom matters.
    prior, step = wishart_prior(freedom, count), 1e-3 * count
    moves = step * np.array([-2, -1, 1, 2])
    values = [wishart_normalizer(prior, count + move, freedom) for move in moves]
    slope = np.dot(values, [1, -8, 8, -1]) / (12 * step)
    close(prior.expected_log_normalizer(), -slope, 1e-8)
    assert np.isfinite(prior.entropy())


def test_a_wishart_of_one_row_is_a_gamma():
    gamma, wishart = ef.Gamma(), ef.Wishart(1)
    xs = jnp.array([0.5, 2.0, 1.5])
    one = Prior.from_mean(gamma, gamma.average_sufficient_statistic(xs), 3.0)
    matrices = xs[:, None, None]
    other = Prior.from_mean(wishart, wishart.average_sufficient_statistic(matrices), 3.0)
    close(one.log_normalizer(), other.log_normalizer(), 1e-12)
