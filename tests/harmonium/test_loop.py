"""What a loop in Python over `expectation_maximization` looks at once, and what at every step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.harmonium.steps import _rows_for_steps
from tests.registry import DIAGONAL

P = 3
MODELS = {
    "mixture": ef.Mixture(ef.Normal(P), 2),
    "factor analysis": ef.factor_analysis(P, 1),
    "HMoG": ef.analytic_hmog(P, DIAGONAL, 1, 2),
}
OTHER = ef.factor_analysis(P, 2)


def rows(n=41):
    return np.random.default_rng(0).normal(size=(n, P))


@pytest.fixture(params=list(MODELS))
def model(request):
    return MODELS[request.param]


def test_array_of_numpy_that_changes_is_looked_at_again(model):
    xs = rows()
    params = model.initialize(jax.random.key(0))
    before = model.expectation_maximization(params, xs)
    xs[:] = 2 * xs + 1
    after = model.expectation_maximization(params, xs)
    wanted = model.expectation_maximization(params, jnp.asarray(xs))
    np.testing.assert_allclose(model.flatten(after), model.flatten(wanted), rtol=1e-9, atol=1e-9)
    assert not np.allclose(model.flatten(before), model.flatten(after))
    xs[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"`xs` must be finite real numbers.*nan at \(3, 1\)"):
        model.expectation_maximization(params, xs)


def test_rows_and_weights_that_are_refused_are_refused_again(model):
    xs = jnp.asarray(rows())
    params = model.initialize(jax.random.key(0))
    for _ in range(2):
        with pytest.raises(ValueError, match="`xs` must be finite"):
            model.expectation_maximization(params, xs.at[0, 0].set(jnp.inf))
        with pytest.raises(ValueError, match="`weights` must be finite, not negative"):
            model.expectation_maximization(params, xs, -jnp.ones(len(xs)))
        with pytest.raises(ValueError, match="`params` is not a point of"):
            model.expectation_maximization(OTHER.initialize(jax.random.key(0)), xs)
        params = model.expectation_maximization(params, xs)


def test_same_rows_with_other_weights_or_for_another_model():
    xs = jnp.asarray(rows())
    weights = jnp.linspace(0.1, 3.0, len(xs))
    for model in MODELS.values():
        params = model.initialize(jax.random.key(0))
        plain = model.expectation_maximization(params, xs)
        weighted = model.expectation_maximization(params, xs, weights)
        assert not np.allclose(model.flatten(plain), model.flatten(weighted))
        traced = jax.jit(model.expectation_maximization)(params, xs, weights)
        np.testing.assert_allclose(
            model.flatten(weighted), model.flatten(traced), rtol=1e-9, atol=1e-9
        )


def test_loops_in_python_and_compiled_ones_agree(model):
    xs = jnp.asarray(rows())
    start = model.initialize(jax.random.key(0))
    looped = start
    for _ in range(5):
        looped = model.expectation_maximization(looped, xs)

    def scan(xs):
        step = model.expectation_maximization
        return jax.lax.scan(lambda params, _: (step(params, xs), None), start, length=5)[0]

    for result in (scan(xs), jax.jit(scan)(xs), jax.jit(lambda: scan(xs))()):
        np.testing.assert_allclose(
            model.flatten(result), model.flatten(looped), rtol=1e-9, atol=1e-9
        )


def test_step_of_constants_under_jit(model):
    xs, params = jnp.asarray(rows()), model.initialize(jax.random.key(0))
    got = jax.jit(lambda: model.expectation_maximization(params, xs))()
    wanted = model.expectation_maximization(params, xs)
    np.testing.assert_allclose(model.flatten(got), model.flatten(wanted), rtol=1e-9, atol=1e-9)


def test_factor_analysis_of_many_rows_is_stepped_on_few():
    model = MODELS["factor analysis"]
    xs = jnp.asarray(rows(1000))
    _, few, weights = _rows_for_steps(model, xs, None, "here")
    assert few.shape == (2 * P, P)
    np.testing.assert_allclose(jnp.sum(weights), 1000, rtol=1e-12)
    _, again, _ = _rows_for_steps(model, xs, None, "here")
    assert again is few
