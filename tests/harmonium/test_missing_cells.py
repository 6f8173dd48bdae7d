"""Missing cells and labels in models with latent variables, against explicit normals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from expfam.families.patterns import by_pattern
from tests.harmonium.reference import softmax
from tests.registry import CLOSE, DIAGONAL, FLOAT32, FULL, IDENTITY, random_params

NATS = 2e-4 if FLOAT32 else 1e-9
p, d, K = 5, 2, 3

MODELS = {
    "mixture": ef.Mixture(ef.Normal(p), K),
    "tied": ef.Mixture(ef.Normal(p), K, IDENTITY),
    "partly_tied": pytest.param(ef.Mixture(ef.Normal(p), K, DIAGONAL), marks=pytest.mark.slow),
    "diagonal": ef.Mixture(ef.Normal(p, DIAGONAL), K),
    "factor_analysis": ef.factor_analysis(p, d),
    "principal_components": pytest.param(ef.probabilistic_pca(p, d), marks=pytest.mark.slow),
    "full_noise": pytest.param(ef.LinearGaussian(p, FULL, d), marks=pytest.mark.slow),
    "diagonal_posterior": pytest.param(
        ef.LinearGaussian(p, DIAGONAL, d, DIAGONAL), marks=pytest.mark.slow
    ),
    "factor_mixture": pytest.param(ef.mixture_of_factor_analyzers(p, d, K), marks=pytest.mark.slow),
    "analytic": ef.analytic_hmog(p, DIAGONAL, d, K),
    "symmetric": pytest.param(
        ef.symmetric_hmog(p, DIAGONAL, d, DIAGONAL, K), marks=pytest.mark.slow
    ),
    "differentiable": pytest.param(
        ef.differentiable_hmog(p, DIAGONAL, d, DIAGONAL, K), marks=pytest.mark.slow
    ),
}
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))

RNG = np.random.default_rng(0)
XS = RNG.normal(size=(7, p))
SEEN = RNG.random((7, p)) < 0.6
SEEN[0], SEEN[1] = True, False


def components(model, params):
    """Weights, means and covariances of x, by the readers of the models."""
    if isinstance(model, ef.LinearGaussian):
        return np.ones(1), [model.observable_distribution(params)]
    if not isinstance(model, ef.Mixture):
        own = model.parameters(params)
        pairs = zip(own.observable_means, own.observable_covariances, strict=True)
        return np.asarray(own.weights), list(pairs)
    normal = isinstance(model.component, ef.Normal)
    read = model.component.mean_covariance if normal else model.component.observable_distribution
    parts = model.components(params).coords
    numbers = range(model.n_components)
    single = [ef.Natural(jax.tree.map(lambda leaf, k=k: leaf[k], parts)) for k in numbers]
    return np.asarray(model.weights(params)), [read(one) for one in single]


def reference(model, params):
    """Log-densities of XS by component, and conditional means of its missing cells."""
    weights, pairs = components(model, params)
    logs, filled = np.zeros((7, len(weights))), np.zeros((7, len(weights), p))
    for k, (mean, covariance) in enumerate(pairs):
        mean, covariance = np.asarray(mean, float), np.asarray(covariance, float)
        for i, (x, seen) in enumerate(zip(XS, SEEN, strict=True)):
            own, cross = covariance[np.ix_(seen, seen)], covariance[np.ix_(~seen, seen)]
            density = stats.multivariate_normal(mean[seen], own).logpdf(x[seen]) if any(seen) else 0
            logs[i, k] = np.log(weights[k]) + density
            filled[i, k] = x
            filled[i, k, ~seen] = mean[~seen] + cross @ np.linalg.solve(own, x[seen] - mean[seen])
    shares = softmax(logs)
    return np.logaddexp.reduce(logs, axis=1), shares, np.einsum("ik,ikp->ip", shares, filled)


@each_model
def test_models_with_missing_cells_are_their_marginals(model):
    params = random_params(model, jax.random.key(0))
    rows = ef.incomplete(jnp.asarray(XS), SEEN)
    logs, shares, filled = reference(model, params)
    np.testing.assert_allclose(model.log_observable_density(params, rows), logs, atol=NATS)
    np.testing.assert_allclose(
        model.average_log_observable_density(params, rows), logs.mean(), atol=NATS
    )
    if shares.shape[1] > 1:
        found = model.posterior_soft_assignments(params, rows)
        np.testing.assert_allclose(found, shares, atol=NATS)
    np.testing.assert_allclose(model.impute(params, rows), filled, atol=100 * NATS)

    # log p(x_rest | x_seen), and the same by the distribution of the missing cells
    x, seen = jnp.asarray(XS[3]), SEEN[3]
    whole = model.log_observable_density(params, x)
    density = model.log_conditional_density(params, x, seen)
    np.testing.assert_allclose(density, whole - logs[3], atol=2 * NATS)
    family, point = model.conditional(params, ef.incomplete(x, seen))
    kernel = getattr(family, "log_observable_density", family.log_density)
    np.testing.assert_allclose(kernel(point, x[~seen]), whole - logs[3], atol=10 * NATS)


@each_model
def test_expected_statistics_are_the_slope_of_the_marginal(model):
    if FLOAT32:
        pytest.skip("central differences need the digits of float64")
    params = random_params(model, jax.random.key(0))
    rows = ef.incomplete(jnp.asarray(XS), SEEN)
    start = model.flatten(params)
    direction = jnp.asarray(np.random.default_rng(1).normal(size=start.shape))

    def value(step):
        moved = model.unflatten(start + step * direction, ef.Natural)
        return jnp.mean(model.log_normalizer_given(moved, rows))

    slope = (value(1e-5) - value(-1e-5)) / 2e-5
    means = model.flatten(model.mean_posterior_statistics(params, rows))
    np.testing.assert_allclose(means @ direction, slope, rtol=1e-6, atol=1e-6)


@each_model
def test_em_climbs_with_missing_cells(model):
    truth = random_params(model, jax.random.key(0))
    xs = np.asarray(model.observable_sample(jax.random.key(1), truth, 150))
    rows = ef.incomplete(np.where(np.random.default_rng(2).random(xs.shape) < 0.7, xs, np.nan))
    params = model.initialize_from_sample(jax.random.key(2), rows)
    values = [float(model.average_log_observable_density(params, rows))]
    for _ in range(12):
        params = model.expectation_maximization(params, rows)
        values.append(float(model.average_log_observable_density(params, rows)))
    assert min(np.diff(values)) >= (-2e-6 if FLOAT32 else -1e-10)
    assert values[-1] > values[0]


def test_rows_of_one_pattern_are_summed_up_together():
    rng = np.random.default_rng(3)
    xs, patterns = rng.normal(size=(300, p)), rng.random((4, p)) < 0.6
    rows = ef.incomplete(jnp.asarray(xs), patterns[rng.integers(0, 4, 300)])
    weights = jnp.asarray(rng.random(300))
    model = MODELS["mixture"]
    params = random_params(model, jax.random.key(0))
    grouped, shares = by_pattern(rows, weights)
    assert grouped.group > 1
    assert all(
        len(np.unique(part, axis=0)) == 1
        for part in np.asarray(grouped.observed).reshape(-1, grouped.group, p)
    )
    np.testing.assert_allclose(jnp.sum(shares), jnp.sum(weights), rtol=1e-6)
    found = model.mean_posterior_statistics(params, rows, weights)
    under_jit = jax.jit(model.mean_posterior_statistics)(params, rows, weights)
    np.testing.assert_allclose(
        model.flatten(found), model.flatten(under_jit), rtol=CLOSE, atol=CLOSE
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixture", "factor_analysis", "analytic"])
def test_estimates_from_incomplete_rows_are_near_the_truth(name):
    if FLOAT32:
        pytest.skip("the standard errors of 10⁴ rows are looked at once, in float64")
    model = {
        "mixture": ef.Mixture(ef.Normal(2), 2),
        "factor_analysis": ef.factor_analysis(4, 1),
        "analytic": ef.analytic_hmog(4, DIAGONAL, 1, 2),
    }[name]
    truth = random_params(model, jax.random.key(4))
    xs = model.observable_sample(jax.random.key(5), truth, 10_000)
    seen = np.random.default_rng(6).random(xs.shape) < 0.7
    rows = ef.incomplete(xs, seen)
    method = ef.EM(acceleration=8, tolerance=1e-9)
    fit = ef.fit(model, rows, key=jax.random.key(0), params=truth, method=method)
    # Twice the log-likelihood ratio is χ² of as many degrees of freedom as there are parameters
    # (Wilks 1938): all of them together lie within four standard deviations.
    ratio = 2 * 10_000 * (fit.log_likelihood - float(fit.log_likelihoods[0]))
    free = model.dim if name == "mixture" else {"factor_analysis": 12, "analytic": 15}[name]
    assert abs(ratio - free) < 4 * np.sqrt(2 * free)
