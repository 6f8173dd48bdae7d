"""Mixtures of factor analyzers against the explicit mixture (Ghahramani & Hinton 1996)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.harmonium.reference import (
    close,
    clustered,
    compare_mixture,
    condition,
    factorizations,
    marginal,
    mixture_readings,
    normal_terms,
    normalizer,
    read_linear,
    read_location_prior,
    softmax,
    structured,
)
from tests.registry import DIAGONAL, FULL, SCALE, random_params

P, D, K = 4, 2, 3
MODELS = {
    "factor analyzers": ef.mixture_of_factor_analyzers(P, D, K),
    "principal components": ef.mixture_of_factor_analyzers(P, D, K, SCALE),
    "restricted posteriors": ef.Mixture(ef.LinearGaussian(P, DIAGONAL, D, DIAGONAL), K),
}
all_models = pytest.mark.parametrize("name", MODELS)
MODEL = MODELS["factor analyzers"]


def read(params):
    """Weights, and (W, b, Ψ, m, S) of every component.

    π_k ∝ exp(w_k + ψ_k), where ψ_k is the sum of those of the noise at y = 0 and of the prior.
    """
    coords = jax.tree.map(np.asarray, params.coords)
    log_weights, parts = [], []
    for k in range(K):
        own = jax.tree.map(lambda leaf, k=k: leaf[k], coords.interaction)
        likelihood, prior = read_linear(own), read_location_prior(own)
        constant = normalizer(*likelihood[1:]) + normalizer(*prior)
        log_weights.append(coords.latent[k] + constant)
        parts.append((*likelihood, *prior))
    return softmax(np.array(log_weights)), parts


def explicit_terms(weights, parts, xs):
    means, covariances = zip(*(marginal(*part) for part in parts), strict=True)
    return normal_terms(weights, means, covariances, xs)


@jax.jit
def readings(model, params, xs):
    parts = jax.vmap(model.component.parameters)(model.components(params))
    posterior = jax.vmap(lambda x: model.posterior_at(params, x))(xs)
    normals = jax.vmap(model.posterior_family.components)(posterior)
    read_normal = jax.vmap(jax.vmap(model.posterior_family.component.mean_covariance))
    own = (parts.loadings, parts.mean, parts.noise, parts.latent_mean, parts.latent_covariance)
    return {
        **mixture_readings(model, params, xs),
        "weights": model.weights(params),
        "parts": own,
        "posterior weights": jax.vmap(model.posterior_family.weights)(posterior),
        "posterior normals": read_normal(normals),
    }


@all_models
def test_mfa_is_the_explicit_mixture(name):
    model = MODELS[name]
    params = random_params(model, jax.random.key(1))
    weights, parts = read(params)
    xs = np.random.default_rng(1).normal(scale=1.5, size=(10, P))
    terms = explicit_terms(weights, parts, xs)
    found = readings(model, params, jnp.asarray(xs))
    compare_mixture(found, terms)
    close(found["weights"], weights)
    for actual, expected in zip(found["parts"], zip(*parts, strict=True), strict=True):
        close(actual, np.array(expected))
    # p(y, k | x): responsibilities, and Gaussian conditioning in every component.
    close(found["posterior weights"], softmax(terms))
    for k, part in enumerate(parts):
        means, covariance = condition(*part, xs)
        close(found["posterior normals"][0][:, k], means)
        close(found["posterior normals"][1][:, k], np.broadcast_to(covariance, (10, D, D)))


def test_density_integrates_to_one():
    model = ef.mixture_of_factor_analyzers(2, 1, 2)
    params = random_params(model, jax.random.key(2))
    axis = np.linspace(-15, 15, 401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = np.exp(model.log_observable_density(params, jnp.asarray(grid)))
    close(np.trapezoid(np.trapezoid(density, axis), axis), 1, 1e-8)


def test_from_components():
    rng = np.random.default_rng(3)
    loadings, means = rng.normal(size=(K, P, D)), rng.normal(size=(K, P))
    noises, weights = rng.uniform(0.3, 1, size=(K, P)), np.array([0.5, 0.3, 0.2])
    components = jax.vmap(MODEL.component.from_loadings)(
        jnp.asarray(loadings), jnp.asarray(means), jnp.asarray(noises)
    )
    params = MODEL.from_components(jnp.asarray(weights), components)
    parts = [(loadings[k], means[k], np.diag(noises[k]), np.zeros(D), np.eye(D)) for k in range(K)]
    xs = rng.normal(size=(10, P))
    compare_mixture(readings(MODEL, params, jnp.asarray(xs)), explicit_terms(weights, parts, xs))


def test_prior_and_likelihood():
    params = random_params(MODEL, jax.random.key(4))
    weights, parts = read(params)
    likelihood, prior = MODEL.split_conjugated(params)
    close(MODEL.prior_family.weights(prior), weights)
    found = jax.vmap(MODEL.prior_family.component.mean_covariance)(
        MODEL.prior_family.components(prior)
    )
    for k, (loadings, mean, noise, latent_mean, latent_covariance) in enumerate(parts):
        close(found[0][k], latent_mean)
        close(found[1][k], latent_covariance)
        y = np.random.default_rng(k).normal(size=D)
        conditional = MODEL.likelihood_at(params, (jnp.asarray(y), jnp.asarray(k)))
        center, covariance = MODEL.observable.mean_covariance(conditional)
        close(center, loadings @ y + mean)
        close(covariance, noise)
    joined = MODEL.join_conjugated(likelihood, prior)
    close(MODEL.flatten(joined), MODEL.flatten(params))
    # ψ_X(θ_X + Θ s_Z(y, k)) = ⟨ρ, s_Z(y, k)⟩ + χ
    rho = MODEL.conjugation_parameters(likelihood)
    gaps = []
    for k, (loadings, mean, noise, *_) in enumerate(parts):
        y = np.random.default_rng(10 + k).normal(size=D)
        statistic = MODEL.prior_family.sufficient_statistic((jnp.asarray(y), jnp.asarray(k)))
        gaps.append(normalizer(loadings @ y + mean, noise) - float(rho @ statistic))
    close(np.array(gaps), np.full(K, gaps[0]))


def test_complete_data():
    params = random_params(MODEL, jax.random.key(5))
    weights, parts = read(params)
    n = 300
    xs, (ys, zs) = MODEL.sample(jax.random.key(6), params, (n,))
    assert (xs.shape, ys.shape, zs.shape) == ((n, P), (n, D), (n,))
    # log p(x, y, k) = log π_k + log p(y | k) + log p(x | y, k)
    expected = []
    for x, y, k in zip(np.asarray(xs[:5]), np.asarray(ys[:5]), np.asarray(zs[:5]), strict=True):
        loadings, mean, noise, latent_mean, latent_covariance = parts[k]
        expected.append(
            np.log(weights[k])
            + stats.multivariate_normal(latent_mean, latent_covariance).logpdf(y)
            + stats.multivariate_normal(loadings @ y + mean, noise).logpdf(x)
        )
    data = (xs, (ys, zs))
    few = jax.tree.map(lambda leaf: leaf[:5], data)
    close(MODEL.log_density(params, few), np.array(expected))
    # Maximum likelihood from complete data: frequencies, and regression in every class.
    fitted_weights, fitted = read(MODEL.maximum_likelihood(data))
    xs, ys, zs = (np.asarray(leaf) for leaf in jax.tree.leaves(data))
    close(fitted_weights, np.bincount(zs, minlength=K) / n)
    for k in range(K):
        own_x, own_y = xs[zs == k], ys[zs == k]
        design = np.column_stack([own_y, np.ones(len(own_y))])
        solution, *_ = np.linalg.lstsq(design, own_x, rcond=None)
        residuals = own_x - design @ solution
        loadings, mean, noise, latent_mean, latent_covariance = fitted[k]
        close(loadings, solution[:D].T)
        close(mean, solution[D])
        close(noise, np.diag((residuals**2).mean(axis=0)))
        close(latent_mean, own_y.mean(axis=0))
        close(latent_covariance, np.cov(own_y.T, ddof=0))


def em_step(weights, parts, xs, obs_rep):
    """Responsibilities, then factor analysis of weighted rows for every component."""
    shares = softmax(explicit_terms(weights, parts, xs))
    following = []
    for share, part in zip(shares.T / shares.sum(axis=0)[:, None], parts, strict=True):
        scores, spread = condition(*part, xs)
        center, latent_mean = share @ xs, share @ scores
        deviations, latent = xs - center, scores - latent_mean
        latent_covariance = spread + (latent * share[:, None]).T @ latent
        cross = (deviations * share[:, None]).T @ latent
        loadings = cross @ np.linalg.inv(latent_covariance)
        residual = (deviations * share[:, None]).T @ deviations - loadings @ cross.T
        mean, noise = center - loadings @ latent_mean, structured(obs_rep, residual)
        following.append((loadings, mean, noise, latent_mean, latent_covariance))
    return shares.mean(axis=0), following


@pytest.mark.parametrize("name", ["factor analyzers", "principal components"])
def test_em_step_is_the_textbook_one(name):
    model = MODELS[name]
    params, xs = random_params(model, jax.random.key(7)), clustered(7, 40, P)
    expected_weights, expected = em_step(*read(params), xs, model.component.obs_rep)
    weights, parts = read(model.expectation_maximization(params, jnp.asarray(xs)))
    close(weights, expected_weights)
    for actual, wanted in zip(parts, expected, strict=True):
        for found, moment in zip(marginal(*actual), marginal(*wanted), strict=True):
            close(found, moment)
        # Every component is whitened.
        np.testing.assert_allclose(actual[3], np.zeros(D), atol=1e-10)
        np.testing.assert_allclose(actual[4], np.eye(D), atol=1e-10)


def test_em_step_without_whitening():
    component = ef.LinearGaussian(P, DIAGONAL, D, whiten=False)
    model = ef.Mixture(component, K)
    params, xs = random_params(model, jax.random.key(8)), clustered(8, 40, P)
    expected_weights, expected = em_step(*read(params), xs, DIAGONAL)
    weights, parts = read(model.expectation_maximization(params, jnp.asarray(xs)))
    close(weights, expected_weights)
    for actual, wanted in zip(parts, expected, strict=True):
        for found, value in zip(actual, wanted, strict=True):
            close(found, value)


def test_compiled_step_has_no_factorization_of_every_row():
    n = 50
    coords, xs = random_params(MODEL, jax.random.key(9)).coords, jnp.ones((n, P))
    e_step = factorizations(lambda c, x: MODEL._expectation(c, x, None), coords, xs)
    assert e_step == {("potrf", (D, D)): K, ("trsm", (D, D)): K}
    step = factorizations(lambda c, x: MODEL._em_step(c, x, None, None), coords, xs)
    assert step.pop(("geqrf", (P, D))) == step.pop(("orgqr", (P, D))) == K
    assert {shape for _, shape in step} == {(D, D)}


def test_full_noise():
    model = ef.mixture_of_factor_analyzers(3, 1, 2, FULL)
    assert model.component.obs_rep == FULL
    assert model.dim == 2 * (9 + 3 + 2) + 1
