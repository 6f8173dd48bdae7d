"""Accelerated EM climbs where EM climbs, in fewer steps; averages of rows are taken once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import expfam as ef
from expfam.fitting.acceleration import accelerate, begin
from expfam.fitting.averages import Averages
from tests.registry import DIAGONAL, FULL

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)


def factors(noise):
    rows = RNG.normal(size=(300, 2)) @ RNG.normal(size=(2, 6))
    return jnp.asarray(rows + noise * RNG.uniform(0.05, 1, size=6) * RNG.normal(size=(300, 6)))


def overlapping():
    centers = 1.6 * RNG.normal(size=(3, 2))
    return jnp.asarray(centers[np.arange(600) % 3] + RNG.normal(size=(600, 2)))


CASES = {
    "factor analysis near a Heywood case": (ef.factor_analysis(6, 2), factors(0.3)),
    "overlapping diagonal mixture": (ef.Mixture(ef.Normal(2, DIAGONAL), 3), overlapping()),
    "overlapping mixture": (ef.Mixture(ef.Normal(2), 3), overlapping()),
    "HMoG": (ef.analytic_hmog(6, DIAGONAL, 2, 3), factors(1.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_accelerated_em_is_monotone_and_needs_a_quarter_of_the_steps(name):
    model, xs = CASES[name]
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
    assert int(np.argmax(values >= goal)) * 4 <= slow


# With all that a fit may be given, and with nothing.
@pytest.mark.parametrize(("prior", "weighted"), [(False, False), (True, True)])
@pytest.mark.parametrize("name", CASES)
def test_slopes_are_derivatives_of_the_objective(name, prior, weighted):
    model, xs = CASES[name]
    params = model.initialize_from_sample(jax.random.key(2), xs)
    belief = ef.weak_prior(model, xs) if prior else None
    weights = jnp.asarray(RNG.uniform(size=len(xs))) if weighted else None
    total = len(xs) if weights is None else weights.sum()

    @jax.jit
    def first_step(coords):
        value, means = model._density_and_expectation(coords, xs, weights)
        averages = Averages(value, means, total)
        return accelerate(model, begin(model, coords, 3), averages, belief)

    present, *_ = first_step(params.coords)
    free, restore = ravel_pytree(model._to_unconstrained(params.coords))

    def objective(free):
        coords = model._from_unconstrained(restore(free))
        return model._objective(coords, xs, weights, belief, total)

    value, slope = jax.jit(jax.value_and_grad(objective))(free)
    np.testing.assert_allclose(present.kept.objective, value, rtol=1e-10)
    np.testing.assert_allclose(present.kept.slope, slope, rtol=1e-7, atol=1e-9)
    # The EM step goes uphill.
    assert float(jnp.dot(present.kept.step, slope)) > 0


@pytest.mark.parametrize("name", CASES)
def test_in_float32_it_climbs_as_high_as_in_float64(name):
    model, xs = CASES[name]
    params = model.initialize_from_sample(jax.random.key(2), xs)
    near = jax.tree.map(lambda a: a.astype(jnp.float32), (model, params, xs))
    (double, single) = (
        ef.fit(m, rows, key=jax.random.key(1), method=ef.EM(300, None, acceleration=8), params=p)
        for m, p, rows in ((model, params, xs), near)
    )
    values = np.asarray(single.log_likelihoods)
    assert values.dtype == np.float32
    assert np.diff(values).min() > -1e-4
    assert values[-1] > double.log_likelihood - 1e-3


def test_a_prior_is_part_of_what_climbs():
    model, xs = CASES["overlapping mixture"]
    prior = ef.weak_prior(model, xs)
    fits = [
        ef.fit(model, xs, key=jax.random.key(1), prior=prior, method=method)
        for method in (ef.EM(2000, 1e-13), ef.EM(500, 1e-13, acceleration=8))
    ]
    assert float(fits[1].log_likelihood) > float(fits[0].log_likelihood) - 1e-9
    assert fits[1].steps * 4 <= fits[0].steps


def test_where_nothing_is_left_to_climb_it_stops():
    # Rounding alone decides there; the fit must not go on until its last step.
    model, xs = CASES["factor analysis near a Heywood case"]
    best = ef.fit(model, xs, key=jax.random.key(1), method=ef.EM(1000, 0.0, acceleration=8))
    method = ef.EM(1000, 1e-15, acceleration=8)
    fit = ef.fit(model, xs, key=jax.random.key(1), method=method, params=best.params)
    assert fit.converged
    assert fit.steps < 200


def test_it_stops_and_restarts_as_plain_em_does():
    model, xs = CASES["overlapping diagonal mixture"]
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
