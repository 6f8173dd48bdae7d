"""Densities sum or integrate to one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import (
    DIAGONAL,
    FLOAT32,
    FULL,
    IDENTITY,
    SCALE,
    STRUCTURES,
    random_params,
)

pytestmark = pytest.mark.slow

TOTAL = 1e-4 if FLOAT32 else 1e-8
COUNTS = jnp.arange(60)


def grid(*axes):
    """All combinations, each axis flattened."""
    return [np.ravel(axis) for axis in np.meshgrid(*axes, indexing="ij")]


def combined(*axes):
    return tuple(jnp.asarray(axis) for axis in grid(*axes))


DISCRETE = {
    "categorical": (ef.Categorical(4), jnp.arange(4)),
    "bernoulli": (ef.Bernoulli(), jnp.arange(2)),
    "poisson": (ef.Poisson(), COUNTS),
    "product": (
        ef.Product((ef.Bernoulli(), ef.Poisson())),
        combined(np.arange(2), np.arange(60)),
    ),
    "replicated": (ef.Replicated(ef.Bernoulli(), 3), jnp.stack(combined(*[[0, 1]] * 3), axis=-1)),
    "mixture": (ef.Mixture(ef.Poisson(), 2), combined(np.arange(60), np.arange(2))),
    "nested_mixture": (
        ef.Mixture(ef.Mixture(ef.Categorical(3), 2), 2),
        (lambda x, y, z: (x, (y, z)))(*combined(np.arange(3), [0, 1], [0, 1])),
    ),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_densities_of_discrete_families_sum_to_one(name):
    family, support = DISCRETE[name]
    params = random_params(family, jax.random.key(0))
    np.testing.assert_allclose(jnp.sum(family.density(params, support)), 1, rtol=TOTAL)


@pytest.mark.parametrize("name", ["mixture", "nested_mixture"])
def test_observable_densities_sum_over_latent_variables(name):
    family, (x, _) = DISCRETE[name]
    params = random_params(family, jax.random.key(1))
    densities = np.asarray(family.density(params, DISCRETE[name][1]))
    values = np.unique(x)
    sums = [densities[np.asarray(x) == value].sum() for value in values]
    observable = np.exp(family.log_observable_density(params, jnp.asarray(values)))
    # Densities below the smallest normal number are rounded to zero.
    np.testing.assert_allclose(observable, sums, rtol=TOTAL, atol=np.finfo(densities.dtype).tiny)
    np.testing.assert_allclose(observable.sum(), 1, rtol=TOTAL)


# The sum over an equidistant grid converges faster than any power of its step for these densities.


@pytest.mark.parametrize("structure", STRUCTURES, ids=["full", "diagonal", "scale", "identity"])
def test_densities_of_normals_integrate_to_one(structure):
    family = ef.Normal(1, structure)
    params = random_params(family, jax.random.key(0))
    x = jnp.linspace(-30, 30, 2001)
    total = jnp.sum(family.density(params, x[:, None])) * (x[1] - x[0])
    np.testing.assert_allclose(total, 1, rtol=TOTAL)


def test_densities_of_mixtures_of_normals_integrate_to_one():
    family = ef.Mixture(ef.Normal(1), 2)
    params = random_params(family, jax.random.key(0))
    x = jnp.linspace(-30, 30, 2001)
    step = x[1] - x[0]
    observable = jnp.sum(jnp.exp(family.log_observable_density(params, x[:, None]))) * step
    np.testing.assert_allclose(observable, 1, rtol=TOTAL)
    parts = [
        jnp.sum(family.density(params, (x[:, None], jnp.full(x.shape, k)))) * step for k in (0, 1)
    ]
    np.testing.assert_allclose(parts, family.weights(params), rtol=TOTAL)


def test_densities_of_pairs_integrate_to_one():
    family = ef.Product((ef.Normal(1), ef.Normal(1, SCALE)))
    params = random_params(family, jax.random.key(0))
    axis = np.linspace(-20, 20, 301)
    x, y = combined(axis, axis)
    density = family.density(params, (x[:, None], y[:, None]))
    np.testing.assert_allclose(jnp.sum(density) * (axis[1] - axis[0]) ** 2, 1, rtol=TOTAL)


PLANES = {
    "normal": ef.Normal(2, FULL),
    "linear": ef.LinearGaussian(2, IDENTITY, 1),
    "linear_restricted": ef.LinearGaussian(2, DIAGONAL, 1, IDENTITY),
    "factor_mixture": ef.mixture_of_factor_analyzers(2, 1, 2),
    "analytic": ef.analytic_hmog(2, DIAGONAL, 1, 2),
    "symmetric": ef.symmetric_hmog(2, SCALE, 1, IDENTITY, 2),
    "differentiable": ef.differentiable_hmog(2, DIAGONAL, 1, IDENTITY, 2),
}


@pytest.mark.parametrize("name", PLANES)
def test_observable_densities_integrate_to_one_in_the_plane(name):
    family = PLANES[name]
    params = random_params(family, jax.random.key(0))
    axis = np.linspace(-30, 30, 401)
    points = jnp.stack(combined(axis, axis), axis=-1)
    method = "log_density" if name == "normal" else "log_observable_density"
    densities = jnp.exp(getattr(family, method)(params, points))
    np.testing.assert_allclose(jnp.sum(densities) * (axis[1] - axis[0]) ** 2, 1, rtol=TOTAL)
