"""Linear Gaussian models against Gaussian conditioning, scikit-learn and closed forms.

Rubin & Thayer 1982 (EM for factor analysis), Tipping & Bishop 1999 (probabilistic PCA).
"""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import FactorAnalysis

import expfam as ef
from tests.harmonium.reference import (
    close,
    condition,
    factorizations,
    marginal,
    normalizer,
    read_linear,
    read_location_prior,
    run_em,
    structured,
)
from tests.registry import DIAGONAL, FULL, IDENTITY, SCALE, STRUCTURES, random_params

P, D = 4, 2
MODELS = {
    f"{type(obs_rep).__name__}-{type(pst_rep).__name__}": ef.LinearGaussian(P, obs_rep, D, pst_rep)
    for obs_rep in STRUCTURES
    for pst_rep in STRUCTURES
}
all_models = pytest.mark.parametrize("name", MODELS)
observed_structures = pytest.mark.parametrize("obs_rep", STRUCTURES, ids=repr)


def rows(seed, n=12):
    return np.random.default_rng(seed).normal(scale=1.5, size=(n, P))


def factor_data(seed, n, p, d, noise):
    """Rows of a factor model, with noise of the given standard deviations."""
    rng = np.random.default_rng(seed)
    loadings, mean = rng.normal(size=(p, d)), rng.normal(size=p)
    return rng.normal(size=(n, d)) @ loadings.T + mean + noise * rng.normal(size=(n, p))


@jax.jit
def readings(model, params, xs):
    posteriors = jax.vmap(lambda x: model.posterior_at(params, x))(xs)
    own = model.parameters(params)
    return {
        "density": model.log_observable_density(params, xs),
        "scores": model.latent_mean(params, xs),
        "posteriors": jax.vmap(model.posterior_family.mean_covariance)(posteriors),
        "parameters": (own.loadings, own.mean, own.noise),
        "prior": (own.latent_mean, own.latent_covariance),
        "observable": model.observable_distribution(params),
    }


# ---------------------------------------------------------------- densities and posteriors


@all_models
def test_density_and_posterior_are_those_of_the_joint_normal(name):
    model = MODELS[name]
    params, xs = random_params(model, jax.random.key(1)), rows(1)
    likelihood, prior = read_linear(params.coords), read_location_prior(params.coords)
    found = readings(model, params, jnp.asarray(xs))
    mean, covariance = marginal(*likelihood, *prior)
    close(found["density"], stats.multivariate_normal(mean, covariance).logpdf(xs))
    latent_means, latent_covariance = condition(*likelihood, *prior, xs)
    close(found["scores"], latent_means)
    close(found["posteriors"][0], latent_means)
    close(found["posteriors"][1], np.broadcast_to(latent_covariance, (len(xs), D, D)))
    for actual, expected in zip(
        (*found["parameters"], *found["prior"], *found["observable"]),
        (*likelihood, *prior, mean, covariance),
        strict=True,
    ):
        close(actual, expected)


@pytest.mark.parametrize("second", [0.0, -2.0])
def test_density_where_loadings_depend_on_each_other(second):
    model, rng = ef.factor_analysis(P, D), np.random.default_rng(5)
    column, mean, noise = rng.normal(size=P), rng.normal(size=P), rng.uniform(0.5, 2.0, size=P)
    loadings, xs = np.stack([column, second * column], axis=1), rows(6)
    params = model.from_loadings(jnp.asarray(loadings), jnp.asarray(mean), jnp.asarray(noise))
    normal = stats.multivariate_normal(mean, loadings @ loadings.T + np.diag(noise))
    close(model.log_observable_density(params, jnp.asarray(xs)), normal.logpdf(xs))


def usual_parameters(obs_rep):
    """Loadings, mean, noise as `from_loadings` takes it, and noise as a matrix."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(P, P)) + 2 * np.eye(P)
    full = root @ root.T
    given = {FULL: full, DIAGONAL: np.diag(full), SCALE: np.float64(0.7), IDENTITY: None}[obs_rep]
    matrix = {FULL: full, DIAGONAL: np.diag(np.diag(full)), SCALE: 0.7 * np.eye(P)}
    return rng.normal(size=(P, D)), rng.normal(size=P), given, matrix.get(obs_rep, np.eye(P))


@observed_structures
def test_usual_parameters_round_trip(obs_rep):
    model = ef.LinearGaussian(P, obs_rep, D)
    loadings, mean, given, noise = usual_parameters(obs_rep)
    given = None if given is None else jnp.asarray(given)
    xs = rows(3)
    other = np.array([0.5, -1.0]), np.array([[2.0, 0.6], [0.6, 1.0]])
    for latent in ((np.zeros(D), np.eye(D)), other):
        arguments = () if latent is not other else tuple(map(jnp.asarray, latent))
        params = model.from_loadings(jnp.asarray(loadings), jnp.asarray(mean), given, *arguments)
        found = readings(model, params, jnp.asarray(xs))
        for actual, expected in zip(
            (*found["parameters"], *found["prior"]), (loadings, mean, noise, *latent), strict=True
        ):
            close(actual, expected)
        expected = stats.multivariate_normal(*marginal(loadings, mean, noise, *latent)).logpdf(xs)
        close(found["density"], expected)


def test_one_observation_and_leading_axes():
    model = ef.factor_analysis(P, D)
    params, xs = random_params(model, jax.random.key(4)), rows(4, 6)
    likelihood, prior = read_linear(params.coords), read_location_prior(params.coords)
    latent_means, covariance = condition(*likelihood, *prior, xs)
    close(model.latent_mean(params, jnp.asarray(xs[0])), latent_means[0])
    posterior = model.posterior_at(params, jnp.asarray(xs[0]))
    found = model.posterior_family.mean_covariance(posterior)
    close(found[0], latent_means[0])
    close(found[1], covariance)
    boxed = jnp.asarray(xs).reshape(2, 3, P)
    close(model.latent_mean(params, boxed), latent_means.reshape(2, 3, D))
    assert model.log_observable_density(params, boxed).shape == (2, 3)
    with pytest.raises(ValueError, match="`x` must be a single one"):
        model.posterior_at(params, jnp.asarray(xs))


def test_errors():
    for lat_dim in (0, P, P + 1):
        with pytest.raises(ValueError, match="`lat_dim` must be an integer"):
            ef.LinearGaussian(P, DIAGONAL, lat_dim)
    model = ef.factor_analysis(P, D)
    good = jnp.ones((P, D)), jnp.zeros(P), jnp.ones(P)
    with pytest.raises(ValueError, match=r"`loadings` must have shape \(4, 2\)"):
        model.from_loadings(jnp.ones((P, D + 1)), *good[1:])
    with pytest.raises(ValueError, match="`covariance` must be positive and finite"):
        model.from_loadings(*good[:2], -jnp.ones(P))
    with pytest.raises(ValueError, match=r"have shape \(4,\)"):
        model.from_loadings(*good[:2], jnp.eye(P))
    with pytest.raises(ValueError, match="`covariance` must be symmetric, positive definite"):
        model.from_loadings(*good, jnp.zeros(D), jnp.zeros((D, D)))
    restricted = ef.LinearGaussian(P, DIAGONAL, D, DIAGONAL)
    slanted = jnp.asarray(np.random.default_rng(0).normal(size=(P, D)))
    with pytest.raises(ValueError, match=r"posteriors must have covariances in Diagonal\(\)"):
        restricted.from_loadings(slanted, *good[1:])
    with pytest.raises(TypeError, match="params"):
        model.parameters(model.to_mean(model.initialize(jax.random.key(0))))
    with pytest.raises(TypeError, match="means"):
        model.whiten_prior(model.initialize(jax.random.key(0)))


@pytest.mark.parametrize("name", ["PositiveDefinite-PositiveDefinite", "Scale-Diagonal"])
def test_conjugation(name):
    # ψ_X(θ_X + Θ y) = ⟨ρ, (y, yyᵀ)⟩ + χ for all y, and prior = θ_Z + ρ.
    model = MODELS[name]
    params = random_params(model, jax.random.key(5))
    loadings, mean, noise = read_linear(params.coords)
    precision = np.linalg.inv(noise)
    likelihood, prior = model.split_conjugated(params)
    rho = model.conjugation_parameters(likelihood)
    close(rho.coords.first, loadings.T @ precision @ mean)
    close(rho.coords.second, 0.5 * loadings.T @ precision @ loadings)
    offset = normalizer(mean, noise)
    for y in np.random.default_rng(5).normal(scale=2, size=(5, D)):
        conditional = model.likelihood_at(params, jnp.asarray(y))
        found = model.observable.mean_covariance(conditional)
        close(found[0], loadings @ y + mean)
        close(found[1], noise)
        linear = np.asarray(rho.coords.first) @ y + y @ np.asarray(rho.coords.second) @ y
        close(normalizer(loadings @ y + mean, noise), linear + offset)
        close(model.observable.log_normalizer(conditional), linear + offset)
    found = model.prior_family.mean_covariance(prior)
    for actual, expected in zip(found, read_location_prior(params.coords), strict=True):
        close(actual, expected)
    close(model.flatten(model.join_conjugated(likelihood, prior)), model.flatten(params))


def test_complete_density_factorizes():
    model = MODELS["Diagonal-Diagonal"]
    params = random_params(model, jax.random.key(6))
    (loadings, mean, noise), prior = read_linear(params.coords), read_location_prior(params.coords)
    rng = np.random.default_rng(6)
    xs, ys = rng.normal(size=(5, P)), rng.normal(size=(5, D))
    expected = stats.multivariate_normal(*prior).logpdf(ys) + stats.multivariate_normal(
        np.zeros(P), noise
    ).logpdf(xs - ys @ loadings.T - mean)
    close(model.log_density(params, (jnp.asarray(xs), jnp.asarray(ys))), expected)
    x, y = jnp.asarray(xs[0]), jnp.asarray(ys[0])
    by_definition = (
        params @ model.sufficient_statistic((x, y))
        + model.log_base_measure((x, y))
        - model.log_normalizer(params)
    )
    close(by_definition, expected[0])


def test_samples_have_the_moments_of_the_model():
    model = MODELS["Diagonal-Scale"]
    params = random_params(model, jax.random.key(7))
    likelihood, prior = read_linear(params.coords), read_location_prior(params.coords)
    n = 100_000
    xs, ys = (np.asarray(leaf) for leaf in model.sample(jax.random.key(8), params, (n,)))
    for sample, (mean, covariance) in ((xs, marginal(*likelihood, *prior)), (ys, prior)):
        scale = np.diag(covariance)
        assert np.all(abs(sample.mean(axis=0) - mean) < 5 * np.sqrt(scale / n))
        error = np.sqrt((np.outer(scale, scale) + covariance**2) / n)
        assert np.all(abs(np.cov(sample.T) - covariance) < 5 * error)
    assert model.observable_sample(jax.random.key(9), params, 7).shape == (7, P)


# ---------------------------------------------------------------- whitening


def whitened(model, params, xs):
    """Readings before and after whitening."""
    after = model.to_natural(model.whiten_prior(model.to_mean(params)))
    return readings(model, params, xs), readings(model, after, xs)


@observed_structures
def test_whitening_keeps_p_and_makes_the_latent_marginal_standard(obs_rep):
    model = ef.LinearGaussian(P, obs_rep, D)
    params = random_params(model, jax.random.key(10))
    before, after = whitened(model, params, jnp.asarray(rows(10)))
    np.testing.assert_allclose(after["density"], before["density"], rtol=1e-10)
    np.testing.assert_allclose(after["prior"][0], np.zeros(D), atol=1e-10)
    np.testing.assert_allclose(after["prior"][1], np.eye(D), atol=1e-10)


@pytest.mark.parametrize("pst_rep", [DIAGONAL, SCALE, IDENTITY], ids=repr)
def test_whitening_of_restricted_posteriors(pst_rep):
    # As the docstring says: Diagonal, every variance 1; Scale, their mean; Identity, none.
    model = ef.LinearGaussian(P, DIAGONAL, D, pst_rep)
    params = random_params(model, jax.random.key(11))
    before, after = whitened(model, params, jnp.asarray(rows(11)))
    np.testing.assert_allclose(after["density"], before["density"], rtol=1e-10)
    np.testing.assert_allclose(after["prior"][0], np.zeros(D), atol=1e-10)
    variances = np.diag(after["prior"][1])
    if pst_rep == DIAGONAL:
        np.testing.assert_allclose(variances, np.ones(D), atol=1e-10)
    elif pst_rep == SCALE:
        np.testing.assert_allclose(variances.mean(), 1, atol=1e-10)
    else:
        expected = np.diag(read_location_prior(params.coords)[1])
        np.testing.assert_allclose(variances, expected, rtol=1e-10)
    # The mean coordinates are those of the model they came from.
    back = model.to_natural(model.to_mean(params))
    close(model.flatten(back), model.flatten(params), 1e-8)


@observed_structures
def test_em_whitens_unless_switched_off(obs_rep):
    # p(x) after a step is the same with and without, the latent marginal is standard with, and
    # the average posterior without.
    white = ef.LinearGaussian(P, obs_rep, D)
    plain = ef.LinearGaussian(P, obs_rep, D, whiten=False)
    params, xs = random_params(white, jax.random.key(12)), rows(12, 30)
    likelihood, prior = read_linear(params.coords), read_location_prior(params.coords)
    expected = em_step(*likelihood, *prior, xs, obs_rep)
    found = {
        model: readings(
            model, model.expectation_maximization(params, jnp.asarray(xs)), jnp.asarray(xs)
        )
        for model in (white, plain)
    }
    for actual, wanted in zip(
        (*found[plain]["parameters"], *found[plain]["prior"]), expected, strict=True
    ):
        close(actual, wanted)
    np.testing.assert_allclose(found[white]["prior"][0], np.zeros(D), atol=1e-10)
    np.testing.assert_allclose(found[white]["prior"][1], np.eye(D), atol=1e-10)
    for actual, wanted in zip(found[white]["observable"], marginal(*expected), strict=True):
        close(actual, wanted)


# ---------------------------------------------------------------- estimation


def em_step(loadings, mean, noise, latent_mean, latent_covariance, xs, obs_rep):
    """One step of Rubin & Thayer 1982, with a free latent prior: regression of x on E[y | x]."""
    scores, spread = condition(loadings, mean, noise, latent_mean, latent_covariance, xs)
    new_mean = scores.mean(axis=0)
    new_covariance = spread + np.cov(scores.T, ddof=0)
    centered = xs - xs.mean(axis=0)
    cross = centered.T @ (scores - new_mean) / len(xs)
    new_loadings = cross @ np.linalg.inv(new_covariance)
    residual = np.cov(xs.T, ddof=0) - new_loadings @ cross.T
    return (
        new_loadings,
        xs.mean(axis=0) - new_loadings @ new_mean,
        structured(obs_rep, residual),
        new_mean,
        new_covariance,
    )


@pytest.mark.parametrize("pst_rep", [DIAGONAL, SCALE, IDENTITY], ids=repr)
def test_em_of_restricted_posteriors_matches_expected_statistics(pst_rep):
    # The M-step is solved: the new model has the expectations of the E-step, in the statistic.
    model = ef.LinearGaussian(P, DIAGONAL, D, pst_rep, whiten=False)
    params, xs = random_params(model, jax.random.key(13)), rows(13, 30)
    likelihood, prior = read_linear(params.coords), read_location_prior(params.coords)
    scores, spread = condition(*likelihood, *prior, xs)
    after = model.expectation_maximization(params, jnp.asarray(xs))
    likelihood, (latent_mean, covariance) = (
        read_linear(after.coords),
        read_location_prior(after.coords),
    )
    center, observed = marginal(*likelihood, latent_mean, covariance)
    cross = likelihood[0] @ covariance + np.outer(center, latent_mean)
    close(center, xs.mean(axis=0), 1e-7)
    close(np.diag(observed) + center**2, (xs**2).mean(axis=0), 1e-7)
    close(cross, xs.T @ scores / len(xs), 1e-7)
    close(latent_mean, scores.mean(axis=0), 1e-7)
    fitted = np.diag(covariance) + latent_mean**2
    wanted = np.diag(spread) + (scores**2).mean(axis=0)
    if pst_rep == DIAGONAL:
        close(fitted, wanted, 1e-7)
    elif pst_rep == SCALE:
        close(fitted.sum(), wanted.sum(), 1e-7)


def test_em_of_factor_analysis_reaches_scikit_learn():
    xs = factor_data(15, 200, 8, 2, noise=np.linspace(0.5, 1.5, 8))
    peer = FactorAnalysis(2, svd_method="lapack", tol=1e-8, max_iter=5000).fit(xs)
    model = ef.factor_analysis(8, 2)
    start = model.initialize_from_sample(jax.random.key(15), jnp.asarray(xs))
    params = run_em(model, start, jnp.asarray(xs), 1000)
    score = float(model.average_log_observable_density(params, jnp.asarray(xs)))
    assert abs(score - peer.score(xs)) < 1e-7
    own = model.parameters(params)
    np.testing.assert_allclose(np.diag(own.noise), peer.noise_variance_, atol=1e-3)
    np.testing.assert_allclose(own.mean, peer.mean_, atol=1e-10)
    outer = peer.components_.T @ peer.components_
    np.testing.assert_allclose(own.loadings @ own.loadings.T, outer, atol=1e-3)


def test_em_of_probabilistic_pca_reaches_the_closed_form():
    # Tipping & Bishop 1999, equations 7 and 8: W = U(Λ − σ²I)^½, σ² the mean of the other λ.
    p, d = 5, 2
    xs = factor_data(16, 100, p, d, noise=0.5)
    values, vectors = np.linalg.eigh(np.cov(xs.T, ddof=0))
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = values[d:].mean()
    outer = (vectors[:, :d] * (values[:d] - variance)) @ vectors[:, :d].T
    logs = np.log(values[:d]).sum() + (p - d) * np.log(variance)
    best = -0.5 * (p * np.log(2 * np.pi) + logs + p)
    model = ef.probabilistic_pca(p, d)
    start = model.initialize(jax.random.key(17))
    params = run_em(model, start, jnp.asarray(xs), 2000)
    own = model.parameters(params)
    close(model.average_log_observable_density(params, jnp.asarray(xs)), best, 1e-9)
    close(own.loadings @ own.loadings.T, outer, 1e-6)
    close(own.noise, variance * np.eye(p), 1e-6)
    # The start from principal components is already there.
    start = model.initialize_from_sample(jax.random.key(18), jnp.asarray(xs))
    close(model.average_log_observable_density(start, jnp.asarray(xs)), best, 1e-9)


# ---------------------------------------------------------------- compiled form


N_ROWS = 50


@pytest.mark.parametrize("obs_rep", [DIAGONAL, SCALE, IDENTITY, FULL], ids=repr)
def test_factorizations_of_the_compiled_step(obs_rep):
    # One d × d factorization serves all rows: that of the posterior precision.
    p, d = 7, 3
    model = ef.LinearGaussian(p, obs_rep, d)
    coords, xs = random_params(model, jax.random.key(19)).coords, jnp.ones((N_ROWS, p))
    e_step = Counter(factorizations(lambda c, x: model._expectation(c, x, None), coords, xs))
    assert e_step == Counter({("potrf", (d, d)): 1, ("trsm", (d, d)): 1})
    # The densities add the prior, the covariance of the scores, and a basis of the loadings; the
    # M-step whitening, the regression on y, the fit of the prior, and its check; each once.
    step = Counter(factorizations(lambda c, x: model._em_step(c, x, None, None), coords, xs))
    assert step.pop(("geqrf", (p, d))) == step.pop(("orgqr", (p, d))) == 1
    assert {shape for _, shape in step} <= {(d, d), (p, p)}
    assert step[("potrf", (d, d))] == 6
    # A full noise has its own at the present point, at the next one, and in the check.
    assert step[("potrf", (p, p))] == (3 if obs_rep == FULL else 0)


def test_factorizations_of_the_gradient():
    p, d = 7, 3
    model = ef.factor_analysis(p, d)
    params, xs = random_params(model, jax.random.key(20)), jnp.ones((N_ROWS, p))

    def log_likelihood(params, xs):
        return model.average_log_observable_density(params, xs)

    # The posterior, the covariance of the scores, and a basis of the loadings once; the prior for
    # the value, and for the derivative; triangular solves.
    found = Counter(factorizations(jax.value_and_grad(log_likelihood), params, xs))
    assert found.pop(("geqrf", (p, d))) == found.pop(("orgqr", (p, d))) == 1
    assert {shape for _, shape in found} == {(d, d)}
    assert found[("potrf", (d, d))] == 4
