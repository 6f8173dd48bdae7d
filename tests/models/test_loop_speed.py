"""A plain Python loop runs at compiled speed: nothing is compiled after the first step.

The times themselves are measured by `benchmarks/loop_overhead.py`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import DIAGONAL

P, D, K = 3, 2, 2
FACTORIES = {
    "mixture": lambda: ef.Mixture(ef.Normal(P), K),
    "factor analysis": lambda: ef.factor_analysis(P, D),
    "HMoG": lambda: ef.analytic_hmog(P, DIAGONAL, D, K),
}


@pytest.fixture
def compilations(caplog):
    """Names of what was compiled while a function ran."""

    def count(function):
        caplog.clear()
        with jax.log_compiles():
            result = function()
        messages = (record.getMessage() for record in caplog.records)
        return result, [m.split(" with ")[0] for m in messages if m.startswith("Compiling ")]

    return count


@pytest.mark.parametrize("name", FACTORIES)
def test_steps_after_the_first_compile_nothing(name, compilations):
    rng = np.random.default_rng(0)
    # A number of rows of a size that no other test has.
    data = [jnp.asarray(rng.normal(size=(5000, P))) for _ in range(2)]
    model = FACTORIES[name]()
    start = model.initialize(jax.random.key(0))
    params, first = compilations(lambda: model.expectation_maximization(start, data[0]))
    assert first

    def go_on():
        # Other rows and parameters, and an equal model made anew.
        others = FACTORIES[name]().expectation_maximization(params, data[1])
        return model.expectation_maximization(others, data[0])

    _, later = compilations(go_on)
    assert later == []


@pytest.mark.parametrize("name", FACTORIES)
def test_reading_in_a_loop_compiles_nothing(name, compilations):
    xs = jnp.asarray(np.random.default_rng(1).normal(size=(38, P)))
    model = FACTORIES[name]()
    points = [model.initialize(key) for key in jax.random.split(jax.random.key(1), 2)]

    def read(params):
        model.log_observable_density(params, xs)
        model.average_log_observable_density(params, xs)
        model.mean_posterior_statistics(params, xs)
        model.sample(jax.random.key(2), params, (4,))
        return model.to_natural(model.to_mean(params))

    _, first = compilations(lambda: read(points[0]))
    assert first
    _, later = compilations(lambda: read(points[1]))
    assert later == []
