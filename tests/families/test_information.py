"""Divergences, Fisher information, natural gradients and geodesics, each found in another way."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import integrate, stats

import expfam as ef
from tests.registry import BY_NAME, CLOSE, EXACT, FLOAT32, random_params

ORDERS = [0.25, 0.5, 0.999, 1.0, 1.5, 2.0]


def by_quadrature(p, q, order, low, high):
    """D_α of two scipy distributions."""
    if order == 1:
        return integrate.quad(
            lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), low, high, epsabs=0, epsrel=1e-11
        )[0]
    ratio = integrate.quad(
        lambda x: np.exp(order * p.logpdf(x) + (1 - order) * q.logpdf(x)),
        low,
        high,
        epsabs=0,
        epsrel=1e-12,
        limit=200,
    )[0]
    return np.log(ratio) / (order - 1)


@pytest.mark.parametrize("order", ORDERS)
def test_renyi_divergence_of_gammas_by_quadrature(order: float):
    gamma = ef.Gamma()
    p, q = gamma.from_shape_rate(2.0, 1.5), gamma.from_shape_rate(3.0, 1.0)
    expected = by_quadrature(stats.gamma(2, scale=1 / 1.5), stats.gamma(3), order, 1e-12, 200)
    tolerance = 1e-4 if FLOAT32 else 1e-8
    np.testing.assert_allclose(gamma.renyi_divergence(p, q, order), expected, rtol=tolerance)


@pytest.mark.parametrize("order", ORDERS)
def test_renyi_divergence_of_normals_in_closed_form(order: float):
    # Gil, Alajaji & Linder 2013, table 2; of order 1 the limit, the Kullback–Leibler divergence
    normal = BY_NAME["normal_full"]
    p, q = (random_params(normal, jax.random.key(seed)) for seed in (1, 2))
    (m, s), (n, t) = (map(np.asarray, normal.mean_covariance(point)) for point in (p, q))
    middle = (1 - order) * s + order * t
    away = m - n
    if order == 1:
        dets = np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
        expected = (np.trace(np.linalg.solve(t, s)) - 3 + dets) / 2
        expected += away @ np.linalg.solve(t, away) / 2
    else:
        dets = (1 - order) * np.linalg.slogdet(s)[1] + order * np.linalg.slogdet(t)[1]
        expected = order / 2 * away @ np.linalg.solve(middle, away)
        expected += (np.linalg.slogdet(middle)[1] - dets) / (2 * (1 - order))
    if np.all(np.linalg.eigvalsh(middle) > 0):
        np.testing.assert_allclose(normal.renyi_divergence(p, q, order), expected, rtol=CLOSE)
    else:
        assert normal.renyi_divergence(p, q, order) == jnp.inf


def test_renyi_divergence_is_infinite_where_the_integral_is():
    # ∫ p²/q of e^(−x) and 3e^(−3x) grows like e^x
    family = ef.Exponential()
    p, q = family.from_rate(1.0), family.from_rate(3.0)
    assert family.renyi_divergence(p, q, 2.0) == jnp.inf
    assert jnp.isfinite(family.renyi_divergence(q, p, 2.0))


@pytest.mark.parametrize("order", [0.5, 1.0, 2.0])
def test_renyi_divergence_of_close_pairs(order: float):
    shape, other, alpha = mpmath.mpf(1e4), mpmath.mpf(1e4 + 1), mpmath.mpf(order)
    with mpmath.workdps(60):
        if order == 1:
            expected = mpmath.loggamma(other) - mpmath.loggamma(shape)
            expected -= (other - shape) * mpmath.digamma(shape)
        else:
            middle = alpha * shape + (1 - alpha) * other
            jensen = mpmath.loggamma(middle) - alpha * mpmath.loggamma(shape)
            expected = (jensen - (1 - alpha) * mpmath.loggamma(other)) / (alpha - 1)
    gamma = ef.Gamma()
    p, q = (gamma.from_shape_rate(k, 1.0) for k in (1e4, 1e4 + 1))
    found = gamma.renyi_divergence(p, q, order)
    np.testing.assert_allclose(found, float(expected), rtol=1e-4 if FLOAT32 else 1e-11)


def test_bhattacharyya_distance_and_cross_entropy_by_summation():
    family = ef.Poisson()
    p, q = family.from_rate(2.0), family.from_rate(5.0)
    x = np.arange(100)
    own, other = stats.poisson(2).logpmf(x), stats.poisson(5).logpmf(x)
    overlap = -np.log(np.sum(np.exp((own + other) / 2)))
    np.testing.assert_allclose(family.bhattacharyya_distance(p, q), overlap, rtol=EXACT)
    crossed = -np.sum(np.exp(own) * other)
    np.testing.assert_allclose(family.cross_entropy(p, q), crossed, rtol=EXACT)


@pytest.mark.parametrize("name", ["normal_full", "gamma", "categorical", "mixture_poisson"])
def test_information_in_mean_coordinates_is_the_inverse(name: str):
    family = BY_NAME[name]
    theta = random_params(family, jax.random.key(1))
    eta = family.to_mean(theta)
    natural, mean = (np.asarray(family.fisher_information(point)) for point in (theta, eta))
    tolerance = 1e-2 if FLOAT32 else 1e-8
    np.testing.assert_allclose(natural @ mean, np.eye(family.dim), rtol=0, atol=tolerance)
    gradient = family.to_mean(random_params(family, jax.random.key(2)))
    direction = family.natural_gradient(theta, gradient)
    assert isinstance(direction, ef.Natural)
    expected = np.linalg.solve(natural, family.flatten(gradient))
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(family.flatten(direction), expected, rtol=0, atol=scale * tolerance)


def test_information_of_mean_coordinates_bends_the_negative_entropy():
    family = ef.Poisson()  # φ = η log η − η, so that φ″ = 1/η
    means = family.to_mean(family.from_rate(4.0))
    np.testing.assert_allclose(family.fisher_information(means), [[0.25]], rtol=EXACT)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_geodesics_are_straight_in_their_charts(t: float):
    normal = ef.Normal(1)
    p = normal.from_mean_covariance(jnp.array([0.0]), jnp.array([[1.0]]))
    q = normal.from_mean_covariance(jnp.array([2.0]), jnp.array([[4.0]]))
    # a normalized product of powers has the mixed precision; a mixture the mixed moments
    precision = (1 - t) + t / 4
    mean, variance = normal.mean_covariance(normal.exponential_geodesic(p, q, t))
    np.testing.assert_allclose(variance, [[1 / precision]], rtol=EXACT)
    np.testing.assert_allclose(mean, [t * 2 / 4 / precision], rtol=EXACT, atol=EXACT)
    mean, variance = normal.mean_covariance(normal.mixture_geodesic(p, q, t))
    np.testing.assert_allclose(mean, [2 * t], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(variance, [[1 + 3 * t + 4 * t * (1 - t)]], rtol=CLOSE)
