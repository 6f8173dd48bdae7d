"""Variational Bayes on real data, from many starts, and on many rows."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.fitting.test_variational import KEY, problem
from tests.registry import FLOAT32

DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="shared/data is not there")
pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["full", "spherical", "bernoulli", "categorical", "poisson"])
@pytest.mark.parametrize("sticks", [None, 0.5])
def test_the_bound_never_falls_in_many_steps_from_many_starts(name, sticks):
    mixture, rows, prior = problem(name, 4, weights=0.3, stick_breaking=sticks)
    method = ef.VariationalBayes(200, tolerance=None)
    for seed in range(20):
        start = mixture.initialize(jax.random.key(seed))
        fit = ef.fit(mixture, rows, key=KEY, prior=prior, method=method, params=start)
        assert fit.steps == 200
        assert np.min(np.diff(fit.log_likelihoods)) > (-2e-6 if FLOAT32 else -1e-11)


def read(name, columns):
    """Columns of a file, without their names."""
    return np.loadtxt(DATA / f"{name}.csv.gz", delimiter=",", skiprows=1, usecols=columns)


def process(xs, count, **weights):
    """A mixture of normals, and a prior of it from the scale of the rows."""
    normal = ef.Normal(xs.shape[1])
    spread = np.cov(xs.T).reshape(xs.shape[1], -1)
    component = ef.ConjugatePrior.from_hyperparameters(
        normal,
        mean=jnp.asarray(xs.mean(axis=0)),
        count=0.1,
        scale=jnp.asarray(0.3 * spread),
        freedom=xs.shape[1] + 2.0,
    )
    mixture = ef.Mixture(normal, count)
    return mixture, ef.MixturePrior.from_components(mixture, component, **weights)


@needs_data
def test_galaxies_occupy_few_of_fifteen_components():
    xs = read("galaxies", 0)[:, None] / 1000
    mixture, prior = process(xs, 15, stick_breaking=1.0)
    method = ef.VariationalBayes(1000)
    fit = ef.fit(mixture, xs, key=KEY, prior=prior, method=method, restarts=4)
    assert 3 <= fit.posterior.n_occupied() <= 7
    small = fit.posterior.without_empty()
    assert small.family.n_components == fit.posterior.n_occupied()
    # what was taken for empty is worth little
    gap = small.log_predictive(xs) - fit.posterior.log_predictive(xs)
    assert np.max(np.abs(gap)) < 0.2


def test_one_pass_through_a_million_rows_reaches_the_bound():
    rng = np.random.default_rng(0)
    centers = 3 * rng.normal(size=(6, 3))
    xs = centers[rng.integers(0, 6, 1_000_000)] + rng.normal(size=(1_000_000, 3))
    xs = jnp.asarray(xs, jnp.result_type(float))
    mixture = ef.Mixture(ef.Normal(3), 6)
    component = ef.weak_prior(ef.Normal(3), xs[:1000], 3.0)
    prior = ef.MixturePrior.from_components(mixture, component)
    run = partial(ef.fit, mixture, key=KEY, prior=prior)
    start = run(xs[:2000], method=ef.EM(20, tolerance=None)).params
    method = ef.StochasticVariationalBayes(block_size=10_000, n_rows=len(xs))
    once = run(ef.Blocks(xs, 10_000), params=start, method=method).posterior
    whole = run(xs, params=start, method=ef.VariationalBayes(30, tolerance=None))
    point = ef.Natural(once._point())
    fit = mixture.average_log_observable_density(point, xs) + mixture.log_normalizer(point)
    assert fit - once._divergence(prior) / len(xs) > whole.log_likelihood - 0.01


@pytest.mark.skipif(FLOAT32, reason="it compares float32 with float64")
@pytest.mark.parametrize("name", ["full", "diagonal", "poisson"])
def test_float32_finds_the_same_posterior(name):
    mixture, rows, prior = problem(name, 3, weights=0.5)
    start = mixture.initialize(jax.random.key(1))
    method = ef.VariationalBayes(50, tolerance=None)
    single, double = (
        ef.fit(
            mixture,
            cast(rows, dtype),
            key=KEY,
            prior=cast(prior, dtype),
            params=cast(start, dtype),
            method=method,
        )
        for dtype in (jnp.float32, jnp.float64)
    )
    assert single.log_likelihoods.dtype == jnp.float32
    np.testing.assert_allclose(single.log_likelihoods, double.log_likelihoods, rtol=1e-3)
    np.testing.assert_allclose(single.posterior.rows, double.posterior.rows, rtol=1e-3, atol=1e-3)


def cast(tree, dtype):
    """Real numbers in another precision."""
    return jax.tree.map(
        lambda leaf: leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf, tree
    )
