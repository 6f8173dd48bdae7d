"""Frames: the same distributions in coordinates about the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.fitting.standardize import change_frame, change_frame_of_prior, in_frame_of
from tests.registry import DIAGONAL, FULL, IDENTITY, SCALE, random_params

pytestmark = pytest.mark.slow

P, D, K = 3, 2, 2
MODELS = {
    "normal": ef.Normal(P),
    "normal, diagonal": ef.Normal(P, DIAGONAL),
    "normal, scale": ef.Normal(P, SCALE),
    "normal, identity": ef.Normal(P, IDENTITY),
    "mixture": ef.Mixture(ef.Normal(P), K),
    "mixture, tied": ef.Mixture(ef.Normal(P), K, IDENTITY),
    "mixture by diagonal": ef.Mixture(ef.Normal(P), K, DIAGONAL),
    "mixture by scale": ef.Mixture(ef.Normal(P), K, SCALE),
    "mixture of mixtures": ef.Mixture(ef.Mixture(ef.Normal(P, DIAGONAL), 2), K),
    "factor analysis": ef.factor_analysis(P, D),
    "mixture of factor analyzers": ef.mixture_of_factor_analyzers(P, 1, K),
    "analytic HMoG": ef.analytic_hmog(P, DIAGONAL, D, K),
    "differentiable HMoG": ef.differentiable_hmog(P, FULL, D, DIAGONAL, K),
    "mixed types": ef.Mixture(ef.Product((ef.Normal(P), ef.Poisson())), K),
    "replicated": ef.Replicated(ef.Normal(P), 2),
}


def rows(name, n=30):
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(n, P)) * [1.0, 20.0, 0.05] + [1.0, -200.0, 3.0]
    if name == "mixed types":
        return jnp.asarray(xs), jnp.asarray(rng.poisson(2.0, n))
    return jnp.stack([xs, xs[::-1]], axis=1) if name == "replicated" else jnp.asarray(xs)


def log_density(model, params, xs):
    observed = getattr(model, "log_observable_density", model.log_density)
    return observed(params, xs)


def equal(left, right, tolerance=1e-9):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("scaled", [False, True])
def test_a_frame_changes_coordinates_and_nothing_else(name, scaled):
    model, xs = MODELS[name], rows(name)
    moved = in_frame_of(model, xs, None, scaled)
    params = random_params(model, jax.random.key(1))
    inside = ef.Natural(change_frame(model, moved, params.coords))
    np.testing.assert_allclose(
        log_density(moved, inside, xs), log_density(model, params, xs), rtol=1e-9
    )
    equal(change_frame(moved, model, inside.coords), params.coords)
    # A prior whose mean is the mean of the point has the mean of the point in the frame.
    prior = ef.ConjugatePrior.from_mean(model, model.to_mean(params), 2.0)
    equal(change_frame_of_prior(model, moved, prior).mean, moved.to_mean(inside), 1e-8)


def test_usual_parameters_are_in_raw_units():
    xs = rows("")
    normal = ef.standardize(ef.Normal(P), xs)
    assert float(jnp.abs(normal.average_sufficient_statistic(xs).coords.first).max()) < 1e-12
    mean, covariance = normal.mean_covariance(normal.maximum_likelihood(xs))
    np.testing.assert_allclose(mean, xs.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(xs.T, bias=True), rtol=1e-10)
    again = normal.from_mean_covariance(mean, covariance)
    equal(normal.mean_covariance(again), (mean, covariance))

    plain, framed = ef.analytic_hmog(P, DIAGONAL, D, K), ef.standardize(MODELS["analytic HMoG"], xs)
    params = random_params(plain, jax.random.key(2))
    usual = plain.parameters(params)
    given = (usual.weights, usual.latent_means, usual.latent_covariances, usual.loadings)
    inside = framed.from_parameters(*given, usual.mean, jnp.diag(usual.noise))
    equal(framed.parameters(inside), usual)
    np.testing.assert_allclose(
        framed.log_observable_density(inside, xs),
        plain.log_observable_density(params, xs),
        rtol=1e-9,
    )
    sample = framed.observable_sample(jax.random.key(3), inside, 20_000)
    spread = jnp.sqrt(jnp.diag(jnp.cov(sample.T)))
    weights = usual.weights @ usual.observable_means
    assert float(jnp.max(jnp.abs(sample.mean(axis=0) - weights) / spread)) < 0.05


def test_structures_stay_what_they_are():
    xs = rows("")
    for model in (ef.Normal(P, SCALE), ef.Mixture(ef.Normal(P), K, SCALE)):
        frame = ef.standardize(model, xs)
        frame = getattr(frame, "observable", frame).frame
        assert float(jnp.ptp(frame.scale)) == 0
    identity = ef.standardize(ef.Normal(P, IDENTITY), xs)
    np.testing.assert_array_equal(identity.frame.scale, np.ones(P))


@pytest.mark.parametrize(
    "model", [ef.Mixture(ef.Normal(P), K), ef.factor_analysis(P, D), MODELS["analytic HMoG"]]
)
def test_fits_of_standardized_models_agree(model):
    xs = rows("", 200)
    method = ef.EM(max_steps=30, tolerance=None)
    results = [
        ef.fit(m, xs, key=jax.random.key(0), method=method)
        for m in (model, ef.standardize(model, xs))
    ]
    # k-means sees other units, so the starts differ for mixtures; factor analysis is equivariant.
    for result in results:
        assert (np.diff(result.log_likelihoods) > -1e-9).all()
    own = model.average_log_observable_density(results[0].params, xs)
    np.testing.assert_allclose(own, results[0].log_likelihoods[-1], rtol=1e-9)


def test_fit_warns_far_from_the_origin():
    xs = jnp.asarray(1e6 + np.random.default_rng(0).normal(size=(50, 2)), jnp.float32)
    xs = xs + jnp.arange(50, dtype=jnp.float32)[:, None] % 7
    with pytest.warns(ef.PrecisionWarning, match=r"deviations from the origin.*standardize"):
        ef.fit(ef.Normal(2), xs, key=jax.random.key(0), throw=False)
    ef.fit(ef.standardize(ef.Normal(2), xs), xs, key=jax.random.key(0))
