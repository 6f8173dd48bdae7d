"""Natural gradients: against the Fisher information, EM, closed forms, and the domain."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import expfam as ef
from tests.registry import DIAGONAL

pytestmark = pytest.mark.slow

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
CENTERS = np.array([[3.0, 0], [-3.0, 0], [0, 3.0]])
XS = jnp.asarray(CENTERS[RNG.integers(0, 3, 300)] + RNG.normal(size=(300, 2)))
MIXTURE = ef.Mixture(ef.Normal(2), 3)


def negative(model, xs):
    return jax.jit(lambda params: -model.average_log_observable_density(params, xs))


@pytest.mark.parametrize(
    ("model", "xs"),
    [
        (MIXTURE, XS),
        (ef.analytic_hmog(2, DIAGONAL, 1, 2), XS),
        (ef.Mixture(ef.Gamma(), 2), jnp.exp(XS[:, 0] / 2)),
    ],
    ids=["mixture", "hmog", "gamma"],
)
def test_small_steps_are_the_inverse_fisher_information_times_the_gradient(model, xs):
    params = model.initialize_from_sample(KEY, xs)
    slope = ef.gradient(negative(model, xs))(params)
    optimizer = ef.natural_gradient_descent(model, 1e-6)
    change, _ = optimizer.update(slope, optimizer.init(params), params)
    exact = np.linalg.solve(model.fisher_information(params), model.flatten(slope))
    # Of the change divided by the rate, about half of the digits are left.
    np.testing.assert_allclose(
        model.flatten(change) / -1e-6, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max()
    )


@pytest.mark.parametrize(
    ("model", "pseudo_count"), [(MIXTURE, None), (ef.factor_analysis(2, 1), 10.0)]
)
def test_the_whole_way_is_em(model, pseudo_count):
    params = start = model.initialize_from_sample(KEY, XS)
    prior = None if pseudo_count is None else ef.weak_prior(model, XS, pseudo_count)
    whole = ef.NaturalGradient(1.0, steps=5)
    fit = ef.fit(model, XS, key=KEY, method=whole, params=start, prior=prior)
    for _ in range(5):
        params = model.expectation_maximization(params, XS, prior=prior)
    np.testing.assert_allclose(model.flatten(fit.params), model.flatten(params), rtol=1e-7)


def test_damped_steps_are_those_of_the_transformation_and_never_lower_the_likelihood():
    params = MIXTURE.initialize_from_sample(KEY, XS)
    method = ef.NaturalGradient(0.3, steps=20)
    fit = ef.fit(MIXTURE, XS, key=KEY, method=method, params=params)
    assert np.diff(fit.log_likelihoods).min() > -1e-12
    assert fit.log_likelihoods[-1] > fit.log_likelihoods[0] + 1e-3
    optimizer = ef.natural_gradient_descent(MIXTURE, optax.constant_schedule(0.3))
    state, loss = optimizer.init(params), jax.jit(jax.grad(negative(MIXTURE, XS)))
    for _ in range(20):
        change, state = optimizer.update(loss(params), state, params)
        params = optax.apply_updates(params, change)
    assert int(state.count) == 20
    np.testing.assert_allclose(MIXTURE.flatten(params), MIXTURE.flatten(fit.params), rtol=1e-7)


@pytest.mark.parametrize(
    ("family", "xs"), [(ef.Poisson(), jnp.array([1, 5, 0, 3])), (ef.Normal(2), XS)]
)
def test_one_step_finds_the_maximum_likelihood(family, xs):
    params = family.initialize(KEY)
    optimizer = ef.natural_gradient_descent(family, 1.0)
    slope = jax.grad(lambda params: -jnp.mean(family.log_density(params, xs)))(params)
    change, _ = optimizer.update(slope, optimizer.init(params), params)
    found = family.flatten(optax.apply_updates(params, change))
    np.testing.assert_allclose(found, family.flatten(family.maximum_likelihood(xs)), rtol=1e-9)
    fit = ef.fit(family, xs, key=KEY, method=ef.NaturalGradient(1.0, steps=1), params=params)
    np.testing.assert_allclose(family.flatten(fit.params), found, rtol=1e-9)


@pytest.mark.parametrize("family", [ef.Poisson(), ef.Normal(2), ef.Bernoulli(), MIXTURE])
def test_no_step_leaves_the_domain(family):
    optimizer = ef.natural_gradient_descent(family, 1e3)

    @jax.jit
    def step(params, slope):
        change, _ = optimizer.update(slope, optimizer.init(params), params)
        return optax.apply_updates(params, change), change

    for seed in range(3):
        keys = jax.random.split(jax.random.key(seed), 3)
        params, *others = (family.initialize(key) for key in keys)
        slope = family.to_mean(others[0]) - family.to_mean(others[1])
        following, change = step(params, slope)
        assert bool(family.in_domain(following))
        assert np.abs(family.flatten(change)).max() > 1e-3
        # A step downhill: the gradient is a direction in mean coordinates.
        assert float(change @ slope) < 0


def test_a_gradient_that_is_not_finite_is_not_hidden():
    poisson = ef.Poisson()
    params, optimizer = poisson.from_rate(2.0), ef.natural_gradient_descent(poisson, 1.0)
    change, _ = optimizer.update(ef.Mean(jnp.asarray(jnp.nan)), optimizer.init(params), params)
    assert np.isnan(change.coords)


def test_momentum_comes_before_it_in_a_chain():
    params = MIXTURE.initialize_from_sample(KEY, XS)
    optimizer = optax.chain(optax.trace(0.5), ef.natural_gradient_descent(MIXTURE, 0.4))
    loss = jax.jit(jax.value_and_grad(negative(MIXTURE, XS)))
    state, values = optimizer.init(params), []
    for _ in range(20):
        value, slope = loss(params)
        values.append(float(value))
        change, state = optimizer.update(slope, state, params)
        params = optax.apply_updates(params, change)
    assert values[-1] < values[0] - 1e-3


def test_mini_batches_with_a_decaying_rate_come_near():
    normal = ef.Normal(2)
    schedule = optax.exponential_decay(0.5, 50, 0.5)
    method = ef.NaturalGradient(schedule, steps=300, batch_size=50)
    fit = ef.fit(normal, XS, key=KEY, method=method, params=normal.initialize(KEY))
    best = normal.maximum_likelihood(XS)
    assert 0 < normal.kl_divergence(best, fit.params) < 0.005


def test_settings_out_of_range_are_refused():
    for rate in (0, 1.5, -1.0, "fast"):
        with pytest.raises(ValueError, match="NaturalGradient: `learning_rate`"):
            ef.NaturalGradient(rate)
    with pytest.raises(ValueError, match="`batch_size` must be an integer of at least 1"):
        ef.NaturalGradient(batch_size=0)
    with pytest.raises(ValueError, match="natural_gradient_descent: `learning_rate`"):
        ef.natural_gradient_descent(MIXTURE, 0.0)
    optimizer, params = ef.natural_gradient_descent(MIXTURE, 0.1), MIXTURE.initialize(KEY)
    with pytest.raises(TypeError, match="`params` must be in natural coordinates"):
        optimizer.update(params, optimizer.init(params))
    with pytest.raises(TypeError, match="`updates` must be in mean coordinates"):
        optimizer.update(params.coords, optimizer.init(params), params)
