"""Mixtures of regressions: against sums over components, published fits, and explicit EM."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

import expfam as ef
from tests.registry import CLOSE, FLOAT32, needs_float64

from .data import rows, table

NOISE = 1e-4 if FLOAT32 else 1e-9


def two_lines(n=200, seed=0):
    """Covariates, two responses of lines that cross, and which line it was."""
    rng = np.random.default_rng(seed)
    z, u = rng.integers(0, 2, n), rng.uniform(-2, 2, (n, 1))
    slopes, firsts = np.array([2.0, -1.0]), np.array([0.5, 1.0])
    level = firsts[z] + slopes[z] * u[:, 0]
    return u, level, z, rng


def stacked(model, params):
    parts = model.components(params)
    own = model.component
    first = jnp.asarray(jax.vmap(own.intercepts)(parts))[..., None]
    return np.concatenate([first, jax.vmap(own.coefficients)(parts)], axis=-1)


@pytest.mark.parametrize("kind", ["normal", "poisson"])
def test_densities_and_responsibilities_are_sums_over_components(kind):
    u, _, _, rng = two_lines(7)
    weights, slopes, firsts = np.array([0.3, 0.7]), np.array([[1.0], [-0.5]]), np.array([0.2, 0.9])
    family = ef.Normal(1) if kind == "normal" else ef.Poisson()
    y = rng.normal(size=(7, 1)) if kind == "normal" else rng.poisson(2.0, 7)
    model = ef.Mixture(ef.Regression(family, 1), 2)
    own, ranks = model.component, (1, 1) if kind == "normal" else (0, 0)
    deviations = np.array([0.5, 1.5])
    parts = [
        own.from_coefficients(
            slopes[k].reshape((1,) * ranks[0] + (1,)),
            firsts[k],
            np.array([[deviations[k] ** 2]]) if kind == "normal" else None,
        )
        for k in range(2)
    ]
    params = model.from_components(
        jnp.asarray(weights), jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    )
    means = firsts + u * slopes.T
    if kind == "normal":
        logs = scipy.stats.norm(means, deviations).logpdf(y)
    else:
        logs = scipy.stats.poisson(np.exp(means)).logpmf(y[:, None])
    logs = logs + np.log(weights)
    found = model.log_observable_density(params, (u, y))
    np.testing.assert_allclose(found, logsumexp(logs, axis=1), rtol=CLOSE)
    shares = model.posterior_soft_assignments(params, (u, y))
    wanted = np.exp(logs - logsumexp(logs, axis=1)[:, None])
    np.testing.assert_allclose(shares, wanted, rtol=CLOSE, atol=CLOSE)
    mean = means if kind == "normal" else np.exp(means)
    np.testing.assert_allclose(np.ravel(ef.predict(model, params, u)), mean @ weights, rtol=CLOSE)
    np.testing.assert_allclose(ef.assignments_given(model, params, u[0]), weights, rtol=CLOSE)
    family, point = ef.response_given(model, params, u[0])
    np.testing.assert_allclose(family.log_observable_density(point, y[0]), found[0], rtol=CLOSE)


@needs_float64
def test_a_step_is_that_of_explicit_em():
    # weighted least squares of every component with its responsibilities
    u, level, _, rng = two_lines(60)
    y = (level + 0.4 * rng.normal(size=60))[:, None]
    model = ef.Mixture(ef.Regression(ef.Normal(1), 1), 2)
    params = model.initialize_from_sample(jax.random.key(3), (u, y))
    shares = np.asarray(model.posterior_soft_assignments(params, (u, y)))
    following = model.expectation_maximization(params, (u, y))
    design = np.column_stack([np.ones(60), u])
    for k in range(2):
        left = design.T * shares[:, k]
        beta = np.linalg.solve(left @ design, left @ y[:, 0])
        variance = shares[:, k] @ (y[:, 0] - design @ beta) ** 2 / shares[:, k].sum()
        part = jax.tree.map(lambda leaf, k=k: leaf[k], model.components(following))
        np.testing.assert_allclose(np.ravel(stacked(model, following)[k]), beta, rtol=1e-10)
        np.testing.assert_allclose(model.component.dispersion(part)[0, 0], variance, rtol=1e-10)
    np.testing.assert_allclose(model.weights(following), shares.mean(axis=0), rtol=1e-10)


MONOTONE = {
    "normal": (
        ef.Normal(1),
        lambda level, rng: (level + 0.6 * rng.normal(size=len(level)))[:, None],
    ),
    "bernoulli": (ef.Bernoulli(), lambda level, rng: rng.binomial(1, 1 / (1 + np.exp(-2 * level)))),
    "poisson": (ef.Poisson(), lambda level, rng: rng.poisson(np.exp(level))),
    "gamma": (ef.Gamma(), lambda level, rng: rng.gamma(3.0, np.exp(level) / 3)),
}


@pytest.mark.parametrize("kind", MONOTONE)
def test_em_is_monotone_from_any_start(kind):
    family, draw = MONOTONE[kind]
    u, level, _, rng = two_lines(150)
    xs = (u, draw(level, rng))
    model = ef.Mixture(ef.Regression(family, 1), 2)
    prior = ef.weak_prior(model, xs) if kind == "bernoulli" else None
    for seed in range(3):
        start = model.initialize(jax.random.key(seed))
        method = ef.EM(max_steps=200, tolerance=None)
        fit = ef.fit(
            model, xs, key=jax.random.key(0), params=start, method=method, prior=prior, throw=False
        )
        assert len(fit.log_likelihoods) > 100
        assert np.min(np.diff(fit.log_likelihoods)) >= -NOISE


def test_a_single_step_never_falls():
    u, level, _, rng = two_lines(150)
    xs = (u, rng.poisson(np.exp(level)))
    model = ef.Mixture(ef.Regression(ef.Poisson(), 1), 2)
    params = model.initialize(jax.random.key(1))
    before = -np.inf
    for _ in range(20):
        params = model.expectation_maximization(params, xs)
        value = float(model.average_log_observable_density(params, xs))
        assert value >= before - NOISE
        before = value


@needs_float64
@pytest.mark.slow
def test_published_mixtures_are_found():
    data, gnp = table("npreg"), table("co2_gnp")
    x = data["x"]
    both = np.stack([x, x**2], axis=1)
    cases = [
        (ef.Normal(1), both, data["yn"][:, None], -642.532),
        (ef.Poisson(), x[:, None], data["yp"].astype(int), -440.640),
        (ef.Normal(1), gnp["GNP"][:, None], gnp["CO2"][:, None], -66.93977),
    ]
    for family, u, y, wanted in cases:
        model = ef.Mixture(ef.Regression(family, u.shape[1]), 2)
        found = [
            len(y) * ef.fit(model, (u, y), key=jax.random.key(seed)).log_likelihoods[-1]
            for seed in range(20)
        ]
        # of 20 seeds with default settings
        assert np.sum(np.abs(np.array(found) - wanted) < 2e-3) >= 18


def test_npreg_is_that_of_flexmix():
    data = table("npreg")
    u = np.stack([data["x"], data["x"] ** 2], axis=1)
    model = ef.Mixture(ef.Regression(ef.Normal(1), 2), 2)
    xs = (u, data["yn"][:, None])
    fit = ef.fit(model, xs, key=jax.random.key(0))
    assert model.dim == 9
    np.testing.assert_allclose(200 * fit.log_likelihoods[-1], -642.532, atol=2e-3)
    found = stacked(model, fit.params)[:, 0]
    found = found[np.argsort(found[:, 0])]
    wanted = [[-0.209, 4.816, 0.036], [14.718, 9.846, -0.968]]
    np.testing.assert_allclose(found, wanted, atol=2e-2)
    z = model.posterior_hard_assignment(fit.params, xs)
    right = np.mean(z == data["class"] - 1)
    assert max(right, 1 - right) == pytest.approx(0.95)


def test_labels_weights_and_blocks():
    u, level, z, rng = two_lines(90)
    y = (level + 0.3 * rng.normal(size=90))[:, None]
    model = ef.Mixture(ef.Regression(ef.Normal(1), 1), 2)
    key = jax.random.key(0)
    fit = ef.fit(model, ef.labeled((u, y), z), key=key)
    for k in range(2):
        alone = model.component.maximum_likelihood((u[z == k], y[z == k]))
        own = np.ravel(stacked(model, fit.params)[k])
        wanted = np.ravel(
            [model.component.intercepts(alone), model.component.coefficients(alone)[0]]
        )
        np.testing.assert_allclose(own, wanted, rtol=CLOSE)
    start = model.initialize_from_sample(key, (u, y))
    whole = ef.fit(model, (u, y), key=key, params=start)
    twice = ef.fit(model, (u, y), key=key, params=start, weights=np.full(90, 2.0))
    blocks = ef.fit(model, [(u[:40], y[:40]), (u[40:], y[40:])], key=key, params=start)
    for other in (twice, blocks):
        np.testing.assert_allclose(
            stacked(model, whole.params), stacked(model, other.params), rtol=10 * CLOSE
        )


def test_outliers_and_empty_counts_end_in_words_or_numbers():
    u, level, _, rng = two_lines(60)
    y = (level + 0.3 * rng.normal(size=60))[:, None]
    y[3] = 1e6
    model = ef.Mixture(ef.Regression(ef.Normal(1), 1), 2)
    fit = ef.fit(
        model, (u, y), key=jax.random.key(0), prior=ef.weak_prior(model, (u, y)), throw=False
    )
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(fit.params))
    counts = np.where(np.arange(60) < 30, 0, rng.poisson(5.0, 60))
    poisson = ef.Mixture(ef.Regression(ef.Poisson(), 1), 2)
    fit = ef.fit(
        poisson, (u, counts), key=jax.random.key(0), prior=ef.weak_prior(poisson, (u, counts))
    )
    assert fit.converged
    assert np.isfinite(fit.log_likelihoods[-1])


def test_hidden_markov_models_switch_between_regressions():
    rng = np.random.default_rng(0)
    u, _ = rows("real", 400)
    u = u.reshape(20, 20, 2)
    z = (np.cumsum(rng.uniform(size=(20, 20)) < 0.1, axis=1) % 2).astype(int)
    slopes = np.array([[2.0, 0.0], [-1.0, 1.0]])
    y = np.sum(u * slopes[z], axis=-1, keepdims=True) + 0.1 * rng.normal(size=(20, 20, 1))
    model = ef.HiddenMarkov(ef.Regression(ef.Normal(1), 2), 2, 20)
    fit = ef.fit(model, (u, y), key=jax.random.key(0))
    found = jax.vmap(model.emission.coefficients)(model.emissions(fit.params))[:, 0]
    found = found[np.argsort(-found[:, 0])]
    np.testing.assert_allclose(found, slopes, atol=0.05)
