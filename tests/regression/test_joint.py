"""Regressions with a density of the covariates: against mixtures of joint normals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import expfam as ef
from tests.registry import CLOSE, FLOAT32, needs_float64

NOISE = 1e-4 if FLOAT32 else 1e-9
MEANS = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
SLOPES = np.array([[1.0, 4], [3, 2], [4, 1], [-3, -2]])


def four_clusters(n=1000, seed=0):
    """The problem of the forum, with clusters of equal size."""
    rng = np.random.default_rng(seed)
    z = np.repeat(np.arange(4), n // 4)
    u = MEANS[z] + np.sqrt(0.1) * rng.normal(size=(n, 2))
    y = np.sum(u * SLOPES[z], axis=1, keepdims=True) + 0.1 * rng.normal(size=(n, 1))
    return u, y, z


def as_joint_normals(model, params):
    """Means and covariances of (u, y) of every component."""
    parts = model.components(params)
    normal, own = model.component.covariates, model.component.regression
    mean, covariance = jax.vmap(normal.mean_covariance)(ef.Natural(parts.coords.covariates))
    regression = ef.Natural(parts.coords.regression)
    slope = jax.vmap(own.coefficients)(regression)
    first, noise = jax.vmap(own.intercepts)(regression), jax.vmap(own.dispersion)(regression)
    means = jnp.concatenate([mean, first + jnp.einsum("kmp,kp->km", slope, mean)], axis=1)
    cross = slope @ covariance
    lower = cross @ jnp.swapaxes(slope, 1, 2) + noise
    upper = jnp.concatenate([covariance, jnp.swapaxes(cross, 1, 2)], axis=2)
    return means, jnp.concatenate([upper, jnp.concatenate([cross, lower], axis=2)], axis=1)


def model_of(tempering=1.0):
    regression = ef.Regression(ef.Normal(1), 2)
    return ef.Mixture(ef.JointRegression(ef.Normal(2), regression, tempering=tempering), 4)


@needs_float64
def test_em_is_that_of_joint_normals():
    u, y, _ = four_clusters(200)
    rows = np.concatenate([u, y], axis=1)
    model, normals = model_of(), ef.Mixture(ef.Normal(3), 4)
    params = model.initialize_from_sample(jax.random.key(0), (u, y))
    other = normals.from_components(
        model.weights(params),
        jax.vmap(normals.component.from_mean_covariance)(*as_joint_normals(model, params)),
    )
    for _ in range(5):
        own = model.log_observable_density(params, (u, y))
        np.testing.assert_allclose(own, normals.log_observable_density(other, rows), rtol=1e-9)
        params = model.expectation_maximization(params, (u, y))
        other = normals.expectation_maximization(other, rows)
        found = as_joint_normals(model, params)
        wanted = jax.vmap(normals.component.mean_covariance)(normals.components(other))
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
def test_four_clusters_are_found_from_every_seed():
    u, y, z = four_clusters()
    model = model_of()
    for seed in range(3):
        fit = ef.fit(model, (u, y), key=jax.random.key(seed))
        labels = model.posterior_hard_assignment(fit.params, (u, y))
        order = np.array([np.bincount(labels[z == k], minlength=4).argmax() for k in range(4)])
        assert np.mean(order[z] == labels) > 0.998
        parts = model.components(fit.params).coords
        slopes = jax.vmap(model.component.regression.coefficients)(ef.Natural(parts.regression))
        np.testing.assert_allclose(slopes[order, 0], SLOPES, atol=0.05)
        means, _ = jax.vmap(ef.Normal(2).mean_covariance)(ef.Natural(parts.covariates))
        np.testing.assert_allclose(means[order], MEANS, atol=0.05)
        np.testing.assert_allclose(model.weights(fit.params), 0.25, atol=0.05)


def test_predictions_weigh_components_by_covariates():
    u, y, _ = four_clusters(100)
    model = model_of()
    params = model.initialize_from_sample(jax.random.key(0), (u, y))
    means, covariances = map(np.asarray, as_joint_normals(model, params))
    logs = np.stack(
        [
            scipy.stats.multivariate_normal(means[k, :2], covariances[k, :2, :2]).logpdf(u[:5])
            for k in range(4)
        ],
        axis=1,
    )
    weights = np.exp(logs) * np.asarray(model.weights(params))
    weights /= weights.sum(axis=1, keepdims=True)
    found = ef.assignments_given(model, params, u[:5])
    np.testing.assert_allclose(found, weights, rtol=1e-3 if FLOAT32 else 1e-8, atol=1e-6)
    missing = ef.incomplete(np.full((5, 1), np.nan))
    np.testing.assert_allclose(
        model.posterior_soft_assignments(params, (u[:5], missing)), found, atol=1e-4
    )
    np.testing.assert_allclose(
        model.impute(params, (u[:5], missing))[1], ef.predict(model, params, u[:5]), rtol=1e-4
    )
    family, point = ef.response_given(model, params, u[0])
    assert family == ef.Mixture(ef.Normal(1), 4)
    np.testing.assert_allclose(family.weights(point), weights[0], rtol=1e-3, atol=1e-6)
    draws = ef.sample_response(jax.random.key(1), model, params, np.repeat(u[:1], 4000, axis=0))
    mean = float(ef.predict(model, params, u[0])[0])
    assert abs(float(jnp.mean(draws)) - mean) < 5 * float(jnp.std(draws)) / np.sqrt(4000)


@pytest.mark.slow
def test_tempered_and_mixed_covariates_climb():
    u, y, _ = four_clusters(120)
    start = jax.random.key(0)
    model = model_of(tempering=0.3)
    fit = ef.fit(model, (u, y), key=start)
    assert fit.converged
    assert np.min(np.diff(fit.log_likelihoods), initial=0) >= -NOISE
    # categories and numbers as covariates, a binary response
    rng = np.random.default_rng(0)
    kind, age = rng.integers(0, 3, 300), rng.normal(size=(300, 1))
    level = np.array([-1.0, 0.5, 2.0])[kind] + 1.5 * age[:, 0]
    bought = rng.binomial(1, 1 / (1 + np.exp(-level)))
    covariates = ef.Product((ef.Categorical(3), ef.Normal(1)))
    regression = ef.Regression(ef.Bernoulli(), 3)
    joint = ef.JointRegression(covariates, regression)
    params = joint.maximum_likelihood(((kind, age), bought))
    found = regression.coefficients(ef.Natural(params.coords.regression))
    design = np.column_stack([kind == 1, kind == 2, age]).astype(float)
    alone = regression.coefficients(regression.maximum_likelihood((design, bought)))
    np.testing.assert_allclose(found, alone, rtol=CLOSE)
    mixture = ef.Mixture(joint, 2)
    xs = ((kind, age), bought)
    fit = ef.fit(mixture, xs, key=start, prior=ef.weak_prior(mixture, xs))
    assert np.min(np.diff(fit.log_likelihoods), initial=0) >= -NOISE


def test_the_density_may_be_of_some_columns():
    u, y, _ = four_clusters(200)
    both = np.column_stack([u[:, 0], u[:, 0] ** 2])
    model = ef.JointRegression(ef.Normal(1), ef.Regression(ef.Normal(1), 2), columns=(0,))
    params = model.maximum_likelihood((both, y))
    wanted = ef.Regression(ef.Normal(1), 2).maximum_likelihood((both, y)).coords
    np.testing.assert_allclose(
        params.coords.regression.coefficients, wanted.coefficients, rtol=CLOSE
    )
    normal = ef.Normal(1).maximum_likelihood(both[:, :1])
    np.testing.assert_allclose(params.coords.covariates.first, normal.coords.first, rtol=CLOSE)


def test_wrong_arguments_are_refused():
    regression = ef.Regression(ef.Normal(1), 2)
    with pytest.raises(ValueError, match="columns"):
        ef.JointRegression(ef.Normal(3), regression)
    with pytest.raises(ValueError, match="tempering"):
        ef.JointRegression(ef.Normal(2), regression, tempering=0.0)
    with pytest.raises(TypeError, match="covariates"):
        ef.JointRegression(ef.Mixture(ef.Normal(2), 2), regression)
    with pytest.raises(TypeError, match="regression"):
        ef.JointRegression(ef.Normal(2), ef.Normal(1))
