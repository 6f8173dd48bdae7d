"""Priors of normals of a known mean or covariance, against textbook formulas and scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import expfam as ef

from .reference import close

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(7, 2)) + 0.3
MEAN = np.array([0.5, -1.0])
SCALE = np.array([[2.0, 0.3], [0.3, 1.0]])
FREEDOM = 2.5
NORMALS = {
    "full": (ef.PositiveDefinite(), SCALE, lambda m: m),
    "diagonal": (ef.Diagonal(), np.diag(SCALE), np.diag),
    "scale": (ef.Scale(), np.trace(SCALE), np.trace),
}
each = pytest.mark.parametrize("name", NORMALS)


def named(family, **values):
    values = {key: jnp.asarray(value) for key, value in values.items()}
    return ef.ConjugatePrior.from_hyperparameters(family, **values)


def known_mean(name, freedom=FREEDOM):
    structure, scale, restrict = NORMALS[name]
    family = ef.KnownMeanNormal(jnp.asarray(MEAN), structure)
    return named(family, scale=scale, freedom=freedom), scale, restrict


def known_covariance(count=0.5):
    family = ef.KnownCovarianceNormal(jnp.asarray(SCALE))
    return named(family, mean=MEAN, count=count)


# ------------------------------------------------------------------------------- known mean


@each
def test_posterior_covariances_are_those_of_the_textbook(name):
    # Gelman et al., Bayesian Data Analysis (2013), section 3.5: scatter and rows are added.
    prior, scale, restrict = known_mean(name)
    close(prior.hyperparameters()["scale"], scale)
    close(prior.hyperparameters()["freedom"], FREEDOM)
    found = prior.observe(jnp.asarray(ROWS)).hyperparameters()
    close(found["scale"], scale + restrict((ROWS - MEAN).T @ (ROWS - MEAN)))
    # every coordinate of a row adds to the one variance of P = tI
    close(found["freedom"], FREEDOM + (14 if name == "scale" else 7))


def predictive(name, scale, freedom):
    if name == "full":
        degrees = freedom - 1
        return stats.multivariate_t(MEAN, scale / degrees, df=degrees).logpdf
    if name == "scale":
        return stats.multivariate_t(MEAN, scale / freedom * np.eye(2), df=freedom).logpdf
    each = stats.t(freedom, MEAN, np.sqrt(scale / freedom))
    return lambda rows: each.logpdf(rows).sum(axis=-1)


@each
def test_predictives_are_student_t_and_evidence_is_their_product(name):
    prior, scale, restrict = known_mean(name)
    close(prior.log_predictive(jnp.asarray(ROWS)), predictive(name, scale, FREEDOM)(ROWS))
    total, worth = 0.0, 2 if name == "scale" else 1
    for i, row in enumerate(ROWS):
        total += predictive(name, scale, FREEDOM + worth * i)(row)
        scale = scale + restrict(np.outer(row - MEAN, row - MEAN))
    close(prior.log_evidence(jnp.asarray(ROWS)), total)


def test_evidence_is_a_ratio_of_multivariate_gammas():
    # Murphy, Conjugate Bayesian analysis of the Gaussian distribution (2007), section 8
    prior, after = known_mean("full")[0], SCALE + (ROWS - MEAN).T @ (ROWS - MEAN)
    end = FREEDOM + len(ROWS)
    expected = special.multigammaln(end / 2, 2) - special.multigammaln(FREEDOM / 2, 2)
    expected += FREEDOM / 2 * np.log(np.linalg.det(SCALE)) - end / 2 * np.log(np.linalg.det(after))
    close(prior.log_evidence(jnp.asarray(ROWS)), expected - len(ROWS) * np.log(np.pi))


def test_densities_of_precisions_are_those_of_a_wishart():
    prior, reference = known_mean("full")[0], stats.wishart(FREEDOM, np.linalg.inv(SCALE))
    precision = np.array([[1.5, -0.4], [-0.4, 0.7]])
    # of packed entries of Θ = −P/2: a factor 2 for each on the diagonal, √2 for each beside it
    volume = 2 * np.log(2) + 0.5 * np.log(2)
    params = ef.Natural(jnp.asarray(-precision / 2))
    close(prior.log_density(params), reference.logpdf(precision) + volume)
    close(prior.entropy(), reference.entropy() - volume)
    close(prior.expected_natural().coords, -0.5 * FREEDOM * np.linalg.inv(SCALE))
    # ψ = −½ log |P|
    mean_log = special.digamma((FREEDOM - np.arange(2)) / 2).sum() + 2 * np.log(2)
    close(prior.expected_log_normalizer(), -0.5 * (mean_log - np.log(np.linalg.det(SCALE))))
    draws = np.asarray(prior.sample(jax.random.key(0), (20_000,)).coords)
    for i in range(2):
        squares = -2 * draws[:, i, i] / np.linalg.inv(SCALE)[i, i]
        assert stats.kstest(squares, stats.chi2(FREEDOM).cdf).pvalue > 1e-4


@each
def test_covariances_have_a_prior_of_a_named_family(name):
    prior, scale, _ = known_mean(name)
    family, params = prior.distribution()
    if name == "full":
        found = family.scale_freedom(params)
        expected = scale, FREEDOM
    else:
        own = family.family if name == "diagonal" else family
        shape, spread = -params.coords.value, params.coords.logarithm
        assert isinstance(own, ef.InverseGamma)
        found, expected = (shape, spread), (scale / 2, np.full(np.shape(scale), FREEDOM / 2))
    for one, other in zip(found, expected, strict=True):
        close(one, other)
    params = prior.sample(jax.random.key(0))
    assert prior.family.in_domain(params)
    assert prior.kl_divergence(prior) == 0


def test_a_prior_of_too_few_degrees_of_freedom_is_refused():
    with pytest.raises(ValueError, match="does not have freedom > 1"):
        known_mean("full", freedom=0.9)


def test_mode_has_the_mean_covariance():
    # φ/ν with ν = N − d − 1, of packed natural coordinates
    prior = known_mean("full", freedom=8.0)[0]
    close(prior.family.covariance(prior.mode()), SCALE / 5)


# ------------------------------------------------------------------------- known covariance


def test_posterior_means_are_those_of_the_textbook():
    found = known_covariance().observe(jnp.asarray(ROWS)).hyperparameters()
    close(found["mean"], (0.5 * MEAN + ROWS.sum(axis=0)) / 7.5)
    close(found["count"], 7.5)


def test_predictive_and_evidence_are_normal():
    prior = known_covariance()
    expected = stats.multivariate_normal(MEAN, 3 * SCALE).logpdf(ROWS)
    close(prior.log_predictive(jnp.asarray(ROWS)), expected)
    # rows share the mean, of covariance 2Σ
    n = len(ROWS)
    joint = np.kron(np.eye(n) + 2, SCALE)
    expected = stats.multivariate_normal(np.tile(MEAN, n), joint).logpdf(ROWS.ravel())
    close(prior.log_evidence(jnp.asarray(ROWS)), expected)


def test_densities_of_means_are_normal():
    # of θ = Σ⁻¹μ
    prior, inverse = known_covariance(), np.linalg.inv(SCALE)
    reference = stats.multivariate_normal(inverse @ MEAN, 2 * inverse)
    close(prior.log_density(ef.Natural(jnp.asarray(ROWS[0]))), reference.logpdf(ROWS[0]))
    close(prior.entropy(), reference.entropy())
    close(prior.expected_natural().coords, inverse @ MEAN)
    # E ψ = ½ E θᵀΣθ + ½ log |Σ|
    expected = 0.5 * (MEAN @ inverse @ MEAN + 2 * 2) + 0.5 * np.log(np.linalg.det(SCALE))
    close(prior.expected_log_normalizer(), expected)
    draws = np.asarray(prior.sample(jax.random.key(0), (20_000,)).coords) @ SCALE
    white = (draws - MEAN) @ np.linalg.inv(np.linalg.cholesky(2 * SCALE)).T
    assert stats.kstest(white.ravel(), "norm").pvalue > 1e-4
    family, params = prior.distribution()
    mean, covariance = family.mean_covariance(params)
    close(mean, MEAN)
    close(covariance, 2 * SCALE)


def test_diagonal_and_isotropic_covariances_are_known_as_well():
    for structure, covariance in [(ef.Diagonal(), np.array([2.0, 0.5])), (ef.Scale(), 1.5)]:
        base = ef.Normal(2, structure)
        family = ef.SubFamily(base, ef.FixedCovariance(jnp.asarray(covariance)))
        prior = named(family, mean=MEAN, count=0.5)
        spread = covariance * np.eye(2)
        expected = stats.multivariate_normal(MEAN, 3 * spread).logpdf(ROWS)
        close(prior.log_predictive(jnp.asarray(ROWS)), expected)
        mean, found = base.mean_covariance(prior.distribution()[1])
        close(mean, MEAN)
        close(found, 2 * spread)
