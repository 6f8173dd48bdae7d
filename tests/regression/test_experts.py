"""Mixtures of experts: against explicit sums, a published fit, and gates of gates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import poisson

import expfam as ef
from tests.registry import CLOSE, FLOAT32, needs_float64

from .data import table

NOISE = 1e-4 if FLOAT32 else 1e-9
GATE = ef.Regression(ef.Categorical(2), 2, columns=(1,))
EXPERT = ef.Regression(ef.Poisson(), 2, columns=(0,))


def rows(n=300, seed=0):
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n, 2))
    z = rng.uniform(size=n) < 1 / (1 + np.exp(-0.5 - 2 * u[:, 1]))
    return u, rng.poisson(np.exp(np.where(z, 2.0 - 0.5 * u[:, 0], 0.3 + 0.8 * u[:, 0])))


def test_densities_are_sums_over_experts():
    u, y = rows(6)
    model = ef.MixtureOfExperts(GATE, EXPERT)
    gate = GATE.from_coefficients(jnp.array([[2.0]]), jnp.array([0.5]))
    slopes, firsts = np.array([0.8, -0.5]), np.array([0.3, 2.0])
    experts = jax.vmap(EXPERT.from_coefficients)(jnp.asarray(slopes)[:, None], jnp.asarray(firsts))
    params = model.from_experts(gate, experts)
    shares = softmax(np.stack([np.zeros(6), 0.5 + 2 * u[:, 1]], axis=1), axis=1)
    means = np.exp(firsts + u[:, :1] * slopes)
    logs = np.log(shares) + poisson(means).logpmf(y[:, None])
    found = model.log_observable_density(params, (u, y))
    np.testing.assert_allclose(found, logsumexp(logs, axis=1), rtol=CLOSE)
    np.testing.assert_allclose(
        model.posterior_soft_assignments(params, (u, y)), softmax(logs, axis=1), rtol=CLOSE
    )
    np.testing.assert_allclose(ef.assignments_given(model, params, u), shares, rtol=CLOSE)
    np.testing.assert_allclose(
        ef.predict(model, params, u), np.sum(shares * means, axis=1), rtol=CLOSE
    )
    family, point = ef.response_given(model, params, u[0])
    np.testing.assert_allclose(family.log_observable_density(point, y[0]), found[0], rtol=CLOSE)


def test_steps_never_fall_and_find_the_gate():
    u, y = rows()
    model = ef.MixtureOfExperts(GATE, EXPERT)
    for seed in range(2):
        start = model.initialize(jax.random.key(seed))
        method = ef.EM(max_steps=200, tolerance=None)
        fit = ef.fit(model, (u, y), key=jax.random.key(0), params=start, method=method)
        assert np.min(np.diff(fit.log_likelihoods)) >= -NOISE
    fit = ef.fit(model, (u, y), key=jax.random.key(0))
    found = float(GATE.coefficients(model.gate_params(fit.params))[0, 0])
    assert abs(abs(found) - 2.0) < 0.7


@needs_float64
def test_the_slope_of_the_density_is_that_of_its_formula():
    u, y = rows(20)
    expert = ef.Regression(ef.Normal(1), 2)
    model = ef.MixtureOfExperts(GATE, expert)
    xs = (jnp.asarray(u), jnp.asarray(y, float)[:, None])
    free = model._to_unconstrained(model.initialize(jax.random.key(2)).coords)

    @jax.jit
    def slopes(free):
        def own(free):
            return model._objective(model._from_unconstrained(free), xs, None, None, 20)

        def other(free):
            coords = model._from_unconstrained(free)

            def density(x):
                logits = jnp.append(0.0, coords.gate.coefficients @ jnp.append(1.0, x[0][1]))
                parts = jax.vmap(lambda c: expert._log_density(c, x))(coords.experts)
                return jax.nn.logsumexp(jax.nn.log_softmax(logits) + parts)

            return jnp.mean(jax.vmap(density)(xs))

        return jax.grad(own)(free), jax.grad(other)(free)

    own, other = slopes(free)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@needs_float64
@pytest.mark.slow
def test_patents_are_those_of_flexmix():
    data = table("patent")
    u, y = np.stack([data["lgRD"], data["RDS"]], axis=1), data["Patents"].astype(int)
    gate = ef.Regression(ef.Categorical(3), 2, columns=(1,))
    model = ef.MixtureOfExperts(gate, EXPERT)
    assert model.dim == 10
    found = [
        len(y) * ef.fit(model, (u, y), key=jax.random.key(seed)).log_likelihoods[-1]
        for seed in range(5)
    ]
    np.testing.assert_allclose(found, -197.675, atol=2e-3)


@pytest.mark.slow
def test_experts_may_have_gates_of_their_own():
    u, y = rows(100)
    inner = ef.MixtureOfExperts(GATE, EXPERT)
    model = ef.MixtureOfExperts(GATE, inner)
    prior = ef.weak_prior(model, (u, y))
    fit = ef.fit(model, (u, y), key=jax.random.key(0), prior=prior)
    assert np.min(np.diff(fit.log_likelihoods), initial=0) >= -NOISE
    shares = model.posterior_soft_assignments(fit.params, (u, y))
    np.testing.assert_allclose(jnp.sum(shares, axis=1), 1, rtol=CLOSE)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="gate"):
        ef.MixtureOfExperts(EXPERT, EXPERT)
    with pytest.raises(ValueError, match="covariates"):
        ef.MixtureOfExperts(GATE, ef.Regression(ef.Poisson(), 1))
