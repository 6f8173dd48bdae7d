"""Models in float32: EM stays finite, climbs, and ends where float64 does; no dtype changes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import DIAGONAL, FULL, IDENTITY, SCALE

pytestmark = pytest.mark.slow

N, P, D, K = 120, 4, 2, 3
STEPS = 100

FITTED = {
    "mixture, full": ef.Mixture(ef.Normal(P), K),
    "mixture, tied": ef.Mixture(ef.Normal(P), K, varying=IDENTITY),
    "factor analysis": ef.factor_analysis(P, D),
    "probabilistic PCA": ef.probabilistic_pca(P, D),
    "mixture of factor analyzers": ef.mixture_of_factor_analyzers(P, 1, K),
    "analytic HMoG": ef.analytic_hmog(P, DIAGONAL, D, K),
    "symmetric HMoG": ef.symmetric_hmog(P, DIAGONAL, D, DIAGONAL, K),
    "differentiable HMoG": ef.differentiable_hmog(P, DIAGONAL, D, DIAGONAL, K),
}
# Models whose methods are traced: every structure, closed and solved.
TRACED = {
    "mixture by diagonal": ef.Mixture(ef.Normal(P), K, varying=DIAGONAL),
    "linear, restricted": ef.LinearGaussian(P, DIAGONAL, D, SCALE),
    "symmetric HMoG": ef.symmetric_hmog(P, IDENTITY, D, DIAGONAL, K),
    "differentiable HMoG": ef.differentiable_hmog(P, SCALE, D, FULL, K),
    "hierarchical": ef.Hierarchical(ef.factor_analysis(P, D), ef.LinearGaussian(D, FULL, 1)),
}


def clusters():
    """Standardized rows of three clusters in a plane, with noise."""
    rng = np.random.default_rng(0)
    centers = 2.5 * np.array([[0.0, 1.0], [1.0, -0.5], [-1.0, -0.5]])
    latent = centers[np.arange(N) % K] + 0.8 * rng.normal(size=(N, D))
    rows = latent @ rng.normal(size=(D, P)) + 0.6 * rng.normal(size=(N, P))
    return jnp.asarray((rows - rows.mean(axis=0)) / rows.std(axis=0))


def cast(tree, dtype):
    """Floating-point leaves in another precision."""

    def one(leaf):
        return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(one, tree)


@jax.jit
def climb(model, coords, xs):
    """Objectives and validity of all steps, and the log-likelihood at the end."""

    def step(coords, _):
        coords, objective, valid = model._em_step(coords, xs, None, None)
        return coords, (objective, valid)

    coords, (objectives, valid) = jax.lax.scan(step, coords, length=STEPS)
    densities = jax.vmap(lambda x: model._log_observable_density(coords, x))(xs)
    return objectives, valid, densities.mean()


@pytest.mark.parametrize("name", FITTED)
def test_em_in_float32(name):
    model, xs = FITTED[name], clusters()
    start = cast(model.initialize_from_sample(jax.random.key(1), xs).coords, jnp.float32)
    objectives, valid, end = climb(model, start, cast(xs, jnp.float32))
    assert objectives.dtype == end.dtype == jnp.float32
    assert np.all(valid)
    assert np.all(np.isfinite(objectives))
    assert -np.diff(np.asarray(objectives, np.float64)).min() <= 1e-4
    *_, exact = climb(model, cast(start, jnp.float64), xs)
    assert abs(float(end) - float(exact)) <= 1e-3


# ---------------------------------------------------------------- data types


METHODS = {
    "log_normalizer": lambda m, p, q, x, z: m.log_normalizer(p),
    "log_normalizer_given": lambda m, p, q, x, z: m.log_normalizer_given(p, x),
    "log_observable_density": lambda m, p, q, x, z: m.log_observable_density(p, x),
    "average_log_observable_density": lambda m, p, q, x, z: m.average_log_observable_density(p, x),
    "log_density": lambda m, p, q, x, z: m.log_density(p, (x, z)),
    "log_base_measure": lambda m, p, q, x, z: m.log_base_measure((x, z)),
    "average_sufficient_statistic": lambda m, p, q, x, z: m.average_sufficient_statistic((x, z)),
    "to_mean": lambda m, p, q, x, z: m.to_mean(p),
    "to_natural": lambda m, p, q, x, z: m.to_natural(m.to_mean(p)),
    "negative_entropy": lambda m, p, q, x, z: m.negative_entropy(m.to_mean(p)),
    "entropy": lambda m, p, q, x, z: m.entropy(p),
    "kl_divergence": lambda m, p, q, x, z: m.kl_divergence(p, q),
    "fisher_information": lambda m, p, q, x, z: m.fisher_information(p),
    "flatten": lambda m, p, q, x, z: m.flatten(p),
    "unflatten": lambda m, p, q, x, z: m.unflatten(m.flatten(p), ef.Natural),
    "sample": lambda m, p, q, x, z: m.sample(jax.random.key(0), p, (3,)),
    "observable_sample": lambda m, p, q, x, z: m.observable_sample(jax.random.key(0), p, 3),
    "initialize_from_sample": lambda m, p, q, x, z: m.initialize_from_sample(jax.random.key(0), x),
    "posterior_at": lambda m, p, q, x, z: m.posterior_at(p, x[0]),
    "likelihood_at": lambda m, p, q, x, z: m.likelihood_at(p, jax.tree.map(lambda a: a[0], z)),
    "prior": lambda m, p, q, x, z: m.prior(p),
    "split_conjugated": lambda m, p, q, x, z: m.split_conjugated(p),
    "join_conjugated": lambda m, p, q, x, z: m.join_conjugated(*m.split_conjugated(p)),
    "conjugation_parameters": lambda m, p, q, x, z: m.conjugation_parameters(
        m.split_conjugated(p)[0]
    ),
    "mean_posterior_statistics": lambda m, p, q, x, z: m.mean_posterior_statistics(p, x),
    "with weights": lambda m, p, q, x, z: m.mean_posterior_statistics(p, x, jnp.ones(len(x))),
    "expectation_maximization": lambda m, p, q, x, z: m.expectation_maximization(p, x),
    "with a prior": lambda m, p, q, x, z: m.expectation_maximization(
        p, x, prior=ef.ConjugatePrior.from_mean(m, m.to_mean(q), 2.0)
    ),
    "unconstrained": lambda m, p, q, x, z: m._from_unconstrained(m._to_unconstrained(p.coords)),
}
# Methods that only some models have.
OPTIONAL = {
    "parameters": lambda m, p, q, x, z: m.parameters(p),
    "latent_mean": lambda m, p, q, x, z: m.latent_mean(p, x),
    "whiten_prior": lambda m, p, q, x, z: m.whiten_prior(m.to_mean(p)),
    "observable_distribution": lambda m, p, q, x, z: m.observable_distribution(p),
    "posterior_categorical": lambda m, p, q, x, z: m.posterior_categorical(p, x[0]),
    "posterior_soft_assignments": lambda m, p, q, x, z: m.posterior_soft_assignments(p, x),
    "weights": lambda m, p, q, x, z: m.weights(p),
    "components": lambda m, p, q, x, z: m.components(p),
}


@pytest.mark.parametrize("name", TRACED)
def test_no_method_changes_the_data_type(name):
    model = TRACED[name]

    def float32(function, *args):
        return cast_shapes(jax.eval_shape(function, *args))

    params = float32(model.initialize, jax.random.key(0))
    xs, zs = float32(lambda p: model.sample(jax.random.key(0), p, (5,)), params)
    methods = {**METHODS, **{k: v for k, v in OPTIONAL.items() if hasattr(model, k)}}
    changed = {}
    for method, call in methods.items():
        result = jax.eval_shape(lambda *args, f=call: f(model, *args), params, params, xs, zs)
        floats = {
            str(leaf.dtype)
            for leaf in jax.tree.leaves(result)
            if jnp.issubdtype(leaf.dtype, jnp.floating)
        }
        if floats != {"float32"}:
            changed[method] = floats
    assert not changed


def cast_shapes(tree):
    """Shapes and types, with float32 for every floating-point type."""

    def one(leaf):
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jax.ShapeDtypeStruct(leaf.shape, jnp.float32 if floating else leaf.dtype)

    return jax.tree.map(one, tree)
