"""Accelerated EM climbs where EM climbs, in fewer steps; averages of rows are taken once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import DIAGONAL, FULL

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def factors(noise):
    rows = RNG.normal(size=(300, 2)) @ RNG.normal(size=(2, 6))
    return jnp.asarray(rows + noise * RNG.uniform(0.05, 1, size=6) * RNG.normal(size=(300, 6)))


def overlapping():
    centers = 1.6 * RNG.normal(size=(3, 2))
    return jnp.asarray(centers[np.arange(600) % 3] + RNG.normal(size=(600, 2)))


# Model, rows, and how many times fewer steps the slow ones need at least.
CASES = {
    "factor analysis near a Heywood case": (ef.factor_analysis(6, 2), factors(0.3), 4),
    "overlapping diagonal mixture": (ef.Mixture(ef.Normal(2, DIAGONAL), 3), overlapping(), 4),
    "overlapping mixture": (ef.Mixture(ef.Normal(2), 3), overlapping(), 1.5),
    "HMoG": (ef.analytic_hmog(6, DIAGONAL, 2, 3), factors(1.0), 1.5),
}


@pytest.mark.parametrize("name", CASES)
def test_accelerated_em_is_monotone_and_needs_fewer_steps(name):
    model, xs, factor = CASES[name]
    plain, fast = (
        ef.fit(model, xs, key=jax.random.key(1), method=ef.EM(steps, None, acceleration=memory))
        for steps, memory in ((1000, 0), (500, 8))
    )
    values = np.asarray(fast.log_likelihoods)
    assert np.diff(values).min() > -1e-10
    # What is returned has the likelihood that is told.
    own = model.average_log_observable_density(fast.params, xs)
    np.testing.assert_allclose(own, values[-1], rtol=1e-9)
    goal = plain.log_likelihoods[-1] - 1e-6
    slow = int(np.argmax(plain.log_likelihoods >= goal))
    assert values[-1] >= goal
    assert int(np.argmax(values >= goal)) * factor <= slow


def test_it_stops_and_restarts_as_plain_em_does():
    model, xs, _ = CASES["overlapping diagonal mixture"]
    method = ef.EM(tolerance=1e-9, acceleration=5)
    fit = ef.fit(model, xs, key=jax.random.key(0), method=method, restarts=3)
    assert fit.converged
    further = ef.fit(model, xs, key=jax.random.key(0), method=ef.EM(200, None), params=fit.params)
    assert float(further.log_likelihoods[-1] - fit.log_likelihoods[-1]) < 1e-5


def test_refused_settings():
    with pytest.raises(ValueError, match="`acceleration` must be an integer of at least 0"):
        ef.EM(acceleration=-1)


@pytest.mark.parametrize(
    "model",
    [
        ef.factor_analysis(6, 2),
        ef.LinearGaussian(6, DIAGONAL, 2, DIAGONAL),
        ef.Hierarchical(ef.factor_analysis(6, 2), ef.LinearGaussian(2, FULL, 1)),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_normal_models_see_only_the_mean_and_covariance_of_rows(model, weighted):
    xs = factors(0.5) + 3.0
    weights = jnp.asarray(RNG.uniform(size=len(xs))) if weighted else None
    near, few, shares = model._compress(xs, weights)
    assert near == model
    assert few.shape == (12, 6)
    params = model.initialize_from_sample(jax.random.key(0), xs)
    expected = model.mean_posterior_statistics(params, xs, weights)
    found = model.mean_posterior_statistics(params, few, shares)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)
    total = len(xs) if weights is None else weights.sum()
    np.testing.assert_allclose(shares.sum(), total)


def test_other_models_keep_their_rows():
    xs = factors(0.5)
    for model in (ef.analytic_hmog(6, DIAGONAL, 2, 3), ef.mixture_of_factor_analyzers(6, 1, 2)):
        assert model._compress(xs, None) == (model, xs, None)
