"""Errors of one component are textbook formulas; those of models agree with the bootstrap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

from ..registry import FLOAT32, needs_float64

LOOSE = 1e-3 if FLOAT32 else 1e-8


@pytest.fixture(scope="module")
def normal():
    rows = np.random.default_rng(0).normal(size=(50, 2)) @ np.array([[1.0, 0.5], [0.0, 0.7]])
    family = ef.Normal(2)
    rows = jnp.asarray(rows, float)
    return family, family.maximum_likelihood(rows), rows


def test_normal(normal):
    family, _, rows = normal
    found = ef.assess.standard_errors(*normal, family.mean_covariance)
    n, cov = len(rows), np.cov(rows.T, bias=True)
    mean, second = found.standard_error
    np.testing.assert_allclose(mean, np.sqrt(np.diag(cov) / n), rtol=LOOSE)
    squares = np.outer(np.diag(cov), np.diag(cov)) + cov**2
    np.testing.assert_allclose(second, np.sqrt(squares / n), rtol=LOOSE)
    assert found.unidentified == 0
    low, high = ef.assess.confidence_intervals(*normal, family.mean_covariance, level=0.9)
    np.testing.assert_allclose(high[0] - low[0], 2 * 1.6448536 * mean, rtol=1e-5)


def test_sandwich_of_a_mean_is_that_of_the_rows(normal):
    family, _, rows = normal
    found = ef.assess.standard_errors(*normal, family.mean_covariance, method="sandwich")
    deviations = np.asarray(rows - rows.mean(axis=0))
    np.testing.assert_allclose(
        found.standard_error[0], np.sqrt(np.mean(deviations**2, axis=0) / 50), rtol=10 * LOOSE
    )
    products = deviations[:, :, None] * deviations[:, None, :]
    np.testing.assert_allclose(
        found.standard_error[1], np.std(products, axis=0) / 50**0.5, rtol=100 * LOOSE
    )


def test_weights_are_counts():
    counts = np.array([0, 1, 2, 3, 4])
    weights = np.array([3.0, 5.0, 4.0, 1.0, 2.0])
    poisson = ef.Poisson()
    params = poisson.maximum_likelihood(counts, weights)
    rate, n = counts @ weights / weights.sum(), weights.sum()
    found = ef.assess.standard_errors(poisson, params, counts, poisson.rate, weights=weights)
    np.testing.assert_allclose(found.standard_error, np.sqrt(rate / n), rtol=LOOSE)
    scores = ef.assess.standard_errors(
        poisson, params, counts, poisson.rate, weights=weights, method="scores"
    )
    information = weights @ (counts / rate - 1) ** 2
    np.testing.assert_allclose(scores.standard_error, information**-0.5, rtol=LOOSE)


def test_bootstrap_of_a_mean(normal):
    family = normal[0]
    found = ef.assess.standard_errors(
        *normal, family.mean_covariance, method="bootstrap", key=jax.random.key(0), draws=400
    )
    textbook = ef.assess.standard_errors(*normal, family.mean_covariance).standard_error
    np.testing.assert_allclose(found.standard_error[0], textbook[0], rtol=0.15)
    low, high = found.interval(0.5)
    assert np.mean((found.draws[0] > low[0]) & (found.draws[0] < high[0])) == pytest.approx(0.5)


@pytest.mark.slow
def test_turns_of_latent_axes_are_said(recwarn):
    model = ef.factor_analysis(6, 2)
    rng = np.random.default_rng(1)
    loadings = np.array([[2.0, 0], [2, 0], [2, 0.5], [0, 2], [0.5, 2], [0, 2]])
    rows = jnp.asarray(rng.normal(size=(300, 2)) @ loadings.T + rng.normal(size=(300, 6)), float)
    fit = ef.fit(model, rows, key=jax.random.key(0), method=ef.EM(acceleration=8))
    found = ef.assess.standard_errors(
        model,
        fit.params,
        rows,
        lambda p: (model.parameters(p), model.observable_distribution(p)),
    )
    assert not recwarn.list
    own, (mean, second) = found.standard_error
    assert np.all(np.isinf(own.loadings))
    assert np.all(np.isfinite(np.diag(own.noise)))
    assert np.all(np.isfinite(second))
    sizes = np.sqrt(np.diag(found.estimate[1][1]) / 300)
    np.testing.assert_allclose(mean, sizes, rtol=1e-2 if FLOAT32 else 1e-5)


@needs_float64
def test_what_rows_do_not_determine_is_said():
    # the second component holds no row
    mixture = ef.Mixture(ef.Poisson(), 2)
    rates = jax.vmap(mixture.component.from_rate)(jnp.array([2.0, 1e3]))
    params = mixture.from_components(jnp.array([1 - 1e-9, 1e-9]), rates)
    rows = np.array([1, 2, 3, 2, 2])
    with pytest.warns(ef.assess.IdentifiabilityWarning, match="nothing about"):
        found = ef.assess.standard_errors(
            mixture, params, rows, lambda p: jax.vmap(ef.Poisson().rate)(mixture.components(p))
        )
    assert found.unidentified == 1
    np.testing.assert_allclose(found.standard_error[0], np.sqrt(2 / 5), rtol=1e-6)
    assert found.standard_error[1] == np.inf


def test_bad_arguments(normal):
    family = normal[0]
    with pytest.raises(ValueError, match="method"):
        ef.assess.standard_errors(*normal, family.mean_covariance, method="jackknife")
    with pytest.raises(TypeError, match="key"):
        ef.assess.standard_errors(*normal, family.mean_covariance, method="bootstrap")
    with pytest.raises(ValueError, match="level"):
        ef.assess.standard_errors(*normal, family.mean_covariance).interval(2.0)


# ---------------------------------------------------------------- against the bootstrap


def agree(model, params, rows, read, weights=None):
    information = ef.assess.standard_errors(model, params, rows, read, weights=weights)
    bootstrap = ef.assess.standard_errors(
        model,
        params,
        rows,
        read,
        weights=weights,
        method="bootstrap",
        key=jax.random.key(5),
        draws=300,
    )
    pairs = zip(
        jax.tree.leaves(information.standard_error),
        jax.tree.leaves(bootstrap.standard_error),
        strict=True,
    )
    ratios = np.concatenate([np.ravel(a / b) for a, b in pairs])
    # the bootstrap itself is off by 1/√600 for each parameter; all together agree to 5 %
    np.testing.assert_allclose(np.exp(np.mean(np.log(ratios))), 1, atol=0.05)
    np.testing.assert_allclose(ratios, 1, atol=0.15)


@needs_float64
@pytest.mark.slow
def test_mixture_and_bootstrap():
    mixture = ef.Mixture(ef.Normal(1), 2)
    parts = jax.vmap(mixture.component.from_mean_covariance)(
        jnp.array([[0.0], [6.0]]), jnp.array([[[1.0]], [[2.0]]])
    )
    truth = mixture.from_components(jnp.array([0.4, 0.6]), parts)
    rows = mixture.observable_sample(jax.random.key(0), truth, 1000)
    fit = ef.fit(mixture, rows, key=jax.random.key(1), params=truth)

    def read(params):
        moments = jax.vmap(mixture.component.mean_covariance)(mixture.components(params))
        return mixture.weights(params), moments

    agree(mixture, fit.params, rows, read)


@needs_float64
@pytest.mark.slow
def test_latent_classes_and_bootstrap():
    model = ef.Mixture(ef.Replicated(ef.Bernoulli(), 5), 2)
    chances = jnp.array([[0.8, 0.7, 0.9, 0.6, 0.8], [0.2, 0.3, 0.1, 0.4, 0.3]])
    parts = jax.vmap(jax.vmap(ef.Bernoulli().from_probability))(chances)
    truth = model.from_components(jnp.array([0.5, 0.5]), parts)
    rows = model.observable_sample(jax.random.key(0), truth, 2000)
    # rows that are alike are one row that came more often
    rows, counts = np.unique(np.asarray(rows), axis=0, return_counts=True)
    fit = ef.fit(model, rows, key=jax.random.key(1), params=truth, weights=counts)

    def read(params):
        inside = jax.vmap(jax.vmap(ef.Bernoulli().probability))(model.components(params))
        return model.weights(params), inside

    agree(model, fit.params, rows, read, counts)


@needs_float64
@pytest.mark.slow
def test_factor_analysis_and_bootstrap():
    model = ef.factor_analysis(4, 1)
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(600, 1)) * np.array([1.5, 1.0, 0.8, 1.2]) + rng.normal(size=(600, 4))
    rows = jnp.asarray(rows)
    fit = ef.fit(model, rows, key=jax.random.key(1), method=ef.EM(acceleration=8))
    agree(
        model,
        fit.params,
        rows,
        lambda p: (jnp.diag(model.parameters(p).noise), model.observable_distribution(p)),
    )
