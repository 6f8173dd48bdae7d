"""Families made of others against scipy, closed forms, and the families that they are made of."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import expfam as ef
from tests.families.reference import BAR
from tests.registry import CLOSE, DIAGONAL, EXACT, FLOAT32, SCALE

pytestmark = pytest.mark.slow

X = np.array([0.3, 1.0, 2.7])
N_DRAWS = 100_000


def named(family, constructor, *values):
    return family, getattr(family, f"from_{constructor}")(*values), values


# A family, the point with given usual parameters, and what scipy has for it.
CASES = {
    "weibull": (named(ef.Weibull(2.5), "scale", 1.7), stats.weibull_min(2.5, scale=1.7)),
    "weibull_of_small_shape": (
        named(ef.Weibull(0.2), "scale", 0.5),
        stats.weibull_min(0.2, 0, 0.5),
    ),
    "rayleigh": (named(ef.Rayleigh(), "scale", 1.7), stats.rayleigh(scale=1.7)),
    "pareto": (named(ef.Pareto(0.25), "tail_index", 1.7), stats.pareto(1.7, scale=0.25)),
    "laplace": (named(ef.Laplace(0.5), "scale", 1.7), stats.laplace(0.5, scale=1.7)),
    "half_normal": (named(ef.HalfNormal(), "scale", 1.7), stats.halfnorm(scale=1.7)),
    "maxwell": (named(ef.Maxwell(), "scale", 1.7), stats.maxwell(scale=1.7)),
    "chi": (named(ef.Chi(), "freedom", 1.7), stats.chi(1.7)),
    "chi_square": (named(ef.ChiSquare(), "freedom", 1.7), stats.chi2(1.7)),
    "inverse_gamma": (named(ef.InverseGamma(), "shape_scale", 3.0, 2.0), stats.invgamma(3, 0, 2)),
    "log_gamma": (
        named(ef.LogGamma(), "shape_rate", 3.0, 2.0),
        stats.loggamma(3.0, loc=-np.log(2.0)),
    ),
}

each = pytest.mark.parametrize("name", CASES)


@each
def test_densities_and_entropies_are_those_of_scipy(name):
    (family, params, _), reference = CASES[name]
    values = np.asarray(family.log_density(params, jnp.asarray(X)), float)
    np.testing.assert_allclose(values, reference.logpdf(X), rtol=BAR, atol=BAR)
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=BAR)


@each
def test_draws_are_those_of_scipy(name):
    (family, params, _), reference = CASES[name]
    draws = np.asarray(family.sample(jax.random.key(0), params, (N_DRAWS,)), float)
    assert family.support.contains(jnp.asarray(draws, float))
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4


@each
def test_usual_parameters_are_read_back(name):
    (family, params, values), _ = CASES[name]
    reader = {"shape_scale": "shape_scale", "shape_rate": "shape_rate"}
    reader = next(
        attribute
        for attribute in ("scale", "tail_index", "freedom", *reader)
        if hasattr(family, f"from_{attribute}")
    )
    np.testing.assert_allclose(np.ravel(getattr(family, reader)(params)), values, rtol=EXACT)


def test_maximum_likelihood_is_the_closed_form():
    xs, weights = jnp.asarray(X), jnp.array([1.0, 2.0, 1.0])
    parts = np.array([0.25, 0.5, 0.25])
    square = parts @ X**2
    expected = {
        "weibull": (parts @ X**2.5) ** (1 / 2.5),
        "rayleigh": np.sqrt(square / 2),
        "pareto": 1 / (parts @ np.log(X / 0.25)),
        "laplace": parts @ abs(X - 0.5),
        "half_normal": np.sqrt(square),
        "maxwell": np.sqrt(square / 3),
    }
    for name, value in expected.items():
        family = CASES[name][0][0]
        read = family.tail_index if name == "pareto" else family.scale
        np.testing.assert_allclose(read(family.maximum_likelihood(xs, weights)), value, rtol=CLOSE)
    # of chi squares digamma(n/2) + log 2 = Σ w log x
    freedom = ef.ChiSquare().freedom(ef.ChiSquare().maximum_likelihood(xs, weights))
    score = special.digamma(float(freedom) / 2) + np.log(2)
    np.testing.assert_allclose(score, parts @ np.log(X), atol=CLOSE)


# ------------------------------------------------------------------------------------ edges


def test_half_normals_admit_zero():
    family = ef.HalfNormal()
    density = family.density(family.from_scale(2.0), jnp.array([0.0, 1e-25]))
    np.testing.assert_allclose(density, np.sqrt(2 / np.pi) / 2, rtol=1e-5 if FLOAT32 else 1e-11)


def test_distances_of_zero_have_the_limit_of_the_density():
    family = ef.Symmetrized(ef.Gamma(), center=1.0)
    params = family.base.from_shape_rate(2.0, 3.0)
    reference = stats.dgamma(2.0, loc=1.0, scale=1 / 3)
    x = np.array([-1.0, 0.5, 2.0])
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(x)), reference.logpdf(x), rtol=CLOSE
    )
    assert family.density(params, jnp.array(1.0)) < 1e-30


def test_draws_of_small_freedom_are_positive_and_keep_their_logarithms():
    family = ef.Chi()
    params = family.from_freedom(0.1)
    draws = family.sample(jax.random.key(0), params, (N_DRAWS,))
    assert np.all(np.asarray(draws) > 0)
    # by the square, what is below the square root of the smallest number counts as that
    floor = float(np.sqrt(np.finfo(draws.dtype).tiny))
    values = np.maximum(np.asarray(draws, float), floor)
    reference = stats.chi(0.1)
    kept = values[values > 2 * floor]
    low = reference.cdf(2 * floor)
    assert abs(len(kept) / N_DRAWS - 1 + low) < 5 * np.sqrt(low / N_DRAWS) + 1e-9
    assert stats.kstest((reference.cdf(kept) - low) / (1 - low), "uniform").pvalue > 1e-4


def test_powers_close_to_the_minimum_of_a_pareto_keep_their_digits():
    family = ef.Pareto(1000.0)
    step = 2.0**-13
    xs = jnp.array([1000.0, 1000.0 + step])
    index = family.tail_index(family.maximum_likelihood(xs))
    np.testing.assert_allclose(index, 2 / np.log1p(step / 1000), rtol=BAR)


# ------------------------------------------------------------------------------------ log-normals

LOGS = np.random.default_rng(0).normal([1.0, -2.0], [0.5, 2.0], (200, 2))
POSITIVE = jnp.asarray(np.exp(LOGS))


def test_log_normals_are_normals_of_the_logarithm():
    family = ef.LogNormal(2)
    normal, params = family.normal, family.maximum_likelihood(POSITIVE)
    mean, covariance = family.log_mean_covariance(params)
    np.testing.assert_allclose(mean, LOGS.mean(axis=0), rtol=CLOSE)
    np.testing.assert_allclose(covariance, np.cov(LOGS.T, bias=True), rtol=CLOSE)
    expected = stats.multivariate_normal(mean, covariance).logpdf(LOGS) - LOGS.sum(axis=1)
    np.testing.assert_allclose(family.log_density(params, POSITIVE), expected, rtol=CLOSE)
    np.testing.assert_allclose(
        family.entropy(params), normal.entropy(params) + np.sum(mean), rtol=CLOSE
    )
    draws = np.asarray(family.sample(jax.random.key(0), params, (N_DRAWS,)))
    for i in range(2):
        reference = stats.lognorm(covariance[i, i] ** 0.5, scale=np.exp(mean[i]))
        assert stats.kstest(draws[:, i], reference.cdf).pvalue > 1e-4
    own_mean, own_covariance = family.mean_covariance(params)
    np.testing.assert_allclose(own_mean[0], stats.lognorm.mean(0.5, scale=np.e), rtol=0.2)
    expected = np.outer(own_mean, own_mean) * np.expm1(covariance)
    np.testing.assert_allclose(own_covariance, expected, rtol=CLOSE)


def test_mixtures_of_log_normals_are_fitted_as_those_of_normals():
    fits = [
        ef.fit(
            ef.Mixture(component, 3),
            rows,
            key=jax.random.key(0),
            method=ef.EM(max_steps=100, tolerance=1e-3),
        )
        for component, rows in [
            (ef.LogNormal(2, DIAGONAL), POSITIVE),
            (ef.Normal(2, DIAGONAL), jnp.log(POSITIVE)),
        ]
    ]
    jacobian = np.sum(LOGS, axis=1).mean()
    # The tolerance is relative, so that one of them may take a step more.
    for own, other in zip(*(fit.log_likelihoods for fit in fits), strict=False):
        np.testing.assert_allclose(own, other - jacobian, rtol=CLOSE)
    assert fits[0].log_likelihoods[-1] > fits[0].log_likelihoods[0]


def test_log_normals_far_from_one_are_standardized():
    xs = jnp.asarray(1e6 * np.exp(0.01 * LOGS))
    logs = np.log(np.asarray(xs, np.float64))
    family = ef.standardize(ef.LogNormal(2), xs)
    params = family.maximum_likelihood(xs)
    mean, covariance = family.log_mean_covariance(params)
    # the logarithm of a rounded number is rounded by as much
    rtol = 2e-2 if FLOAT32 else CLOSE
    np.testing.assert_allclose(covariance, np.cov(logs.T, bias=True), rtol=rtol, atol=1e-7)
    np.testing.assert_allclose(mean, logs.mean(axis=0), rtol=CLOSE)
    expected = stats.multivariate_normal(logs.mean(axis=0), np.cov(logs.T, bias=True))
    expected = np.mean(expected.logpdf(logs) - logs.sum(axis=1))
    np.testing.assert_allclose(np.mean(family.log_density(params, xs)), expected, rtol=1e-3)


# ------------------------------------------------------------------------------------ normals


@pytest.mark.parametrize("structure", [ef.PositiveDefinite(), DIAGONAL, SCALE])
def test_normals_of_known_mean(structure):
    mean = jnp.array([1.0, -2.0])
    family = ef.KnownMeanNormal(mean, structure)
    xs = jnp.asarray(LOGS)
    params = family.maximum_likelihood(xs)
    centered = LOGS - np.asarray(mean)
    spread = centered.T @ centered / len(LOGS)
    if structure == DIAGONAL:
        spread = np.diag(np.diagonal(spread))
    if structure == SCALE:
        spread = np.trace(spread) / 2 * np.eye(2)
    np.testing.assert_allclose(family.covariance(params), spread, rtol=CLOSE, atol=CLOSE)
    reference = stats.multivariate_normal(mean, spread)
    np.testing.assert_allclose(family.log_density(params, xs), reference.logpdf(LOGS), rtol=CLOSE)
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)
    back = family.to_natural(family.to_mean(params))
    np.testing.assert_allclose(back.coords, params.coords, rtol=CLOSE, atol=CLOSE)
    given = {0: spread[0, 0], 1: np.diagonal(spread), 2: spread}[params.coords.ndim]
    given = jnp.asarray(given)
    np.testing.assert_allclose(
        family.from_covariance(given).coords, params.coords, rtol=CLOSE, atol=CLOSE
    )


def test_normals_of_known_covariance():
    covariance = np.array([[2.0, 0.5], [0.5, 1.0]])
    family = ef.KnownCovarianceNormal(jnp.asarray(covariance))
    xs = jnp.asarray(LOGS)
    params = family.maximum_likelihood(xs)
    np.testing.assert_allclose(family.mean(params), LOGS.mean(axis=0), rtol=CLOSE)
    np.testing.assert_allclose(
        params.coords, np.linalg.solve(covariance, LOGS.mean(axis=0)), rtol=CLOSE
    )
    reference = stats.multivariate_normal(LOGS.mean(axis=0), covariance)
    np.testing.assert_allclose(family.log_density(params, xs), reference.logpdf(LOGS), rtol=CLOSE)
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)
    information = np.linalg.inv(family.fisher_information(params))
    np.testing.assert_allclose(information, np.linalg.inv(covariance), rtol=CLOSE)
    mixture = ef.Mixture(family, 2)
    start = mixture.initialize_from_sample(jax.random.key(0), xs)
    following = mixture.expectation_maximization(start, xs)
    gain = [mixture.average_log_observable_density(p, xs) for p in (start, following)]
    assert gain[1] > gain[0]


# ------------------------------------------------------------------------------------ restrictions


def test_von_mises_of_known_direction():
    direction = jnp.array([[0.6, 0.8]])
    family = ef.SubFamily(ef.VonMises(), ef.AffineRestriction(direction, jnp.zeros(2)))
    params = ef.Natural(jnp.array([2.0]))
    np.testing.assert_allclose(
        family.to_mean(params).coords, special.i1(2.0) / special.i0(2.0), rtol=CLOSE
    )
    whole = family.base.from_angle_concentration(np.arctan2(0.8, 0.6), 2.0)
    np.testing.assert_allclose(family.embed(params).coords, whole.coords, rtol=CLOSE)
    xs = jnp.linspace(-3.0, 3.0, 7)
    np.testing.assert_allclose(
        family.log_density(params, xs), family.base.log_density(whole, xs), rtol=CLOSE
    )


def test_any_affine_restriction_of_structured_coordinates():
    # Gammas of shape 1 + τ₀ and rate 2 + τ₁ − τ₀, from a start inside the domain
    gamma = ef.Gamma()
    coords = type(gamma.from_shape_rate(1.0, 1.0).coords)
    family = ef.SubFamily(
        gamma,
        ef.AffineRestriction(
            coords(jnp.array([1.0, -1.0]), jnp.array([1.0, 0.0])), coords(-2.0, 1.0), (0.1, 0.1)
        ),
    )
    params = ef.Natural(jnp.array([0.5, 1.0]))
    np.testing.assert_allclose(gamma.shape_rate(family.embed(params)), [1.5, 2.5], rtol=CLOSE)
    xs = jnp.asarray(X)
    linear = [
        family.sufficient_statistic(x) @ params
        + family.log_base_measure(x)
        - family.log_normalizer(params)
        for x in xs
    ]
    np.testing.assert_allclose(family.log_density(params, xs), linear, rtol=CLOSE, atol=CLOSE)
    free = jax.jit(lambda c: family._from_unconstrained(family._to_unconstrained(c)))
    np.testing.assert_allclose(free(params.coords), params.coords, rtol=CLOSE)
    # with as many directions as coordinates it is the whole family
    estimate = family.embed(family.maximum_likelihood(xs))
    np.testing.assert_allclose(
        gamma.flatten(estimate), gamma.flatten(gamma.maximum_likelihood(xs)), rtol=CLOSE
    )


def test_copies_that_share_parameters_are_one_family_of_all_rows():
    family = ef.SubFamily(ef.Replicated(ef.Gamma(), 3), ef.SharedParameters())
    xs = jnp.asarray(np.random.default_rng(0).gamma(2.0, size=(5, 3)))
    weights = jnp.array([1.0, 2.0, 1.0, 0.0, 1.0])
    params = family.maximum_likelihood(xs, weights)
    gamma = ef.Gamma()
    pooled = gamma.maximum_likelihood(jnp.ravel(xs), jnp.repeat(weights, 3))
    np.testing.assert_allclose(family.flatten(params), gamma.flatten(pooled), rtol=CLOSE)
    np.testing.assert_allclose(
        family.log_density(params, xs), gamma.log_density(pooled, xs).sum(axis=1), rtol=CLOSE
    )
    back = family.to_natural(family.to_mean(params))
    np.testing.assert_allclose(family.flatten(back), family.flatten(params), rtol=CLOSE)


# ------------------------------------------------------------------------------------ push-forwards


def test_reciprocals_of_inverse_gaussians():
    family = ef.PushForward(ef.InverseGaussian(), ef.RootMap(-1.0))
    params = family.base.from_mean_shape(1.5, 1.0)
    reference = stats.recipinvgauss(1.5)
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(X)), reference.logpdf(X), rtol=CLOSE
    )
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=1e-6)


def test_push_forwards_of_push_forwards():
    # Gumbel: −log of an exponential variable
    inner = ef.PushForward(ef.Exponential(), ef.LogarithmMap())
    family = ef.PushForward(inner, ef.AffineMap(2.0, -3.0))
    params = inner.base.from_rate(1.0)
    reference = stats.gumbel_r(2.0, 3.0)
    np.testing.assert_allclose(
        family.log_density(params, jnp.asarray(X)), reference.logpdf(X), rtol=CLOSE
    )
    np.testing.assert_allclose(family.entropy(params), reference.entropy(), rtol=CLOSE)
    draws = np.asarray(family.sample(jax.random.key(0), params, (N_DRAWS,)))
    assert stats.kstest(draws, reference.cdf).pvalue > 1e-4


def test_rows_of_mixed_type_hold_derived_families():
    product = ef.Product((ef.Weibull(2.0), ef.Replicated(ef.Laplace(), 2)))
    params = product.initialize(jax.random.key(0))
    rows = product.sample(jax.random.key(1), params, (4,))
    parts = [ef.Natural(coords) for coords in params.coords]
    expected = product.factors[0].log_density(parts[0], rows[0])
    expected = expected + product.factors[1].log_density(parts[1], rows[1])
    np.testing.assert_allclose(product.log_density(params, rows), expected, rtol=CLOSE)
