"""Derivatives of log-densities of observations: those of explicit normal densities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from jax.nn import logsumexp
from jax.scipy.stats import multivariate_normal

import expfam as ef
from tests.registry import DIAGONAL, FLOAT32

N, P = 11, 3
MODELS = {
    "mixture": ef.Mixture(ef.Normal(P), 2),
    "tied mixture": ef.Mixture(ef.Normal(P), 2, ef.Identity()),
    "factor analysis": ef.factor_analysis(P, 1),
    "HMoG": ef.analytic_hmog(P, DIAGONAL, 1, 2),
    "symmetric HMoG": ef.symmetric_hmog(P, DIAGONAL, 2, DIAGONAL, 2),
}


def normals_of(model, params):
    """Weights, means and covariances of the normals of which p(x) is a mixture."""
    if isinstance(model, ef.Mixture):
        pairs = jax.vmap(model.component.mean_covariance)(model.components(params))
        return model.weights(params), *pairs
    if isinstance(model, ef.LinearGaussian):
        mean, covariance = model.observable_distribution(params)
        return jnp.ones(1), mean[None], covariance[None]
    own = model.parameters(params)
    means = own.latent_means @ own.loadings.T + own.mean
    return own.weights, means, own.loadings @ own.latent_covariances @ own.loadings.T + own.noise


def symmetric(leaf):
    """A gradient by symmetric matrices, however it is shared out to their two halves."""
    square = leaf.ndim > 1 and leaf.shape[-1] == leaf.shape[-2]
    return (leaf + jnp.swapaxes(leaf, -1, -2)) / 2 if square else leaf


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == "symmetric HMoG" else [])
        for name in MODELS
    ],
)
def test_derivatives_are_those_of_the_density(name):
    model = MODELS[name]
    rng = np.random.default_rng(0)
    xs, weights = jnp.asarray(rng.normal(size=(N, P))), jnp.asarray(rng.uniform(size=N))
    params = model.initialize(jax.random.key(0))

    def explicit(coords, xs, weights):
        shares, means, covariances = normals_of(model, ef.Natural(coords))
        each = jax.vmap(lambda m, c: multivariate_normal.logpdf(xs, m, c))(means, covariances)
        own = logsumexp(each.T + jnp.log(shares), axis=1)
        return jnp.dot(weights, own) / jnp.sum(weights)

    def average(coords, xs, weights):
        return model.average_log_observable_density(ef.Natural(coords), xs, weights)

    def each(coords, xs, weights):
        own = model.log_observable_density(ef.Natural(coords), xs)
        return jnp.dot(weights, own) / jnp.sum(weights)

    def derivatives(function):
        value, gradients = jax.value_and_grad(function, (0, 1, 2))(params.coords, xs, weights)
        # Second derivatives along one direction, of all arguments at once.
        primals = (params.coords, xs, weights)
        direction = jax.tree.map(jnp.ones_like, primals)
        gradient = jax.grad(function, (0, 1, 2))
        moved = jax.jvp(gradient, primals, direction)[1]
        return ravel_pytree((value, jax.tree.map(symmetric, (gradients, moved))))[0]

    wanted, *found = jax.jit(lambda: [derivatives(f) for f in (explicit, average, each)])()
    for own in found:
        np.testing.assert_allclose(own, wanted, rtol=1e-8, atol=1e-8)


def test_derivatives_of_rows_in_several_blocks():
    model = MODELS["mixture"]
    xs = jnp.asarray(np.random.default_rng(1).normal(size=(2500, P)))
    params = model.initialize(jax.random.key(0))

    def average(params, xs):
        return model.average_log_observable_density(params, xs)

    def each(params, xs):
        return jnp.mean(model.log_observable_density(params, xs))

    wanted = ravel_pytree(jax.jit(jax.grad(each, (0, 1)))(params, xs))[0]
    found = ravel_pytree(jax.jit(jax.grad(average, (0, 1)))(params, xs))[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_temporaries_of_the_gradient_do_not_grow_with_the_rows():
    model = MODELS["HMoG"]
    params = model.initialize(jax.random.key(0))

    def average(params, xs):
        return model.average_log_observable_density(params, xs)

    def temporaries(n):
        rows = jax.ShapeDtypeStruct((n, P), float)
        compiled = jax.jit(jax.grad(average)).lower(params, rows).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # What is left are a few copies of the share of every row.
    assert temporaries(80_000) - temporaries(40_000) <= 4 * 8 * 40_000


def test_gradients_with_counts():
    model = ef.Mixture(ef.Poisson(), 2)
    xs = jnp.asarray([0, 3, 1, 8])
    params = model.initialize(jax.random.key(0))
    gradient = ef.gradient(lambda p: model.average_log_observable_density(p, xs))(params)
    wanted = model.mean_posterior_statistics(params, xs) - model.to_mean(params)
    np.testing.assert_allclose(ravel_pytree(gradient)[0], ravel_pytree(wanted)[0], atol=1e-12)


def test_second_derivatives_go_through_blocks_of_rows():
    # more rows than one block: differentiated through the scan over blocks they were wrong by .16
    model = ef.Mixture(ef.Categorical(3), 2)
    xs = jnp.asarray(np.random.default_rng(0).integers(0, 3, 1100))
    start = model.flatten(model.initialize(jax.random.key(0)))

    def mean(vector):
        return model.average_log_observable_density(model.unflatten(vector, ef.Natural), xs)

    def plain(vector):
        return jnp.mean(model.log_observable_density(model.unflatten(vector, ef.Natural), xs))

    expected = jax.jit(jax.jacfwd(jax.jacfwd(plain)))(start)
    tolerance = 1e-5 if FLOAT32 else 1e-12
    np.testing.assert_allclose(jax.jit(jax.hessian(mean))(start), expected, atol=tolerance)
