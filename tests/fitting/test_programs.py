"""What a fit compiles: one program for its steps and those of its starts, whatever the rows."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.fitting.starts import _lost
from expfam.geometry.programs import compiled_once, is_at_hand

RNG = np.random.default_rng(0)
ROWS = np.concatenate([RNG.normal(size=(120, 7)), RNG.normal(size=(90, 7)) + 4])
KEY, OTHER = jax.random.key(0), jax.random.key(1)
# Of sizes that no other test has.
MODELS = {
    "mixture": ef.Mixture(ef.Normal(7, ef.Diagonal()), 2),
    "factor analysis": ef.factor_analysis(7, 1),
}


@pytest.fixture
def programs():
    """Names of the programs that were compiled since it was made, with their numbers."""
    found = Counter()

    def listen(event, duration, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.update([fun_name.removeprefix("jit(").removesuffix(")")])

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", MODELS)
def test_a_first_fit_compiles_one_loop_and_another_number_of_rows_nothing(programs, name):
    first = ef.fit(MODELS[name], ROWS, key=KEY)
    assert programs["climb"] == 1
    assert programs["initialize_from_sample"] == 1
    assert sum(programs.values()) <= 14, programs
    programs.clear()
    fewer = ef.fit(MODELS[name], ROWS[:-10], key=KEY, weights=np.ones(len(ROWS) - 10))
    assert first.converged
    assert fewer.converged
    ef.fit(MODELS[name], ROWS[:-15], key=OTHER, method=ef.EM(50, 1e-5))
    assert not programs


def test_numbers_of_restarts_share_a_loop(programs):
    ef.fit(MODELS["mixture"], ROWS, key=KEY, restarts=4)
    programs.clear()
    ef.fit(MODELS["mixture"], ROWS, key=KEY, restarts=7)
    assert not programs


def test_equally_good_starts_keep_their_order():
    objectives = np.array([-3.0, -2.0, -2.0 + 1e-15, -np.inf, -2.0 + 1e-9])
    assert np.argsort(_lost(objectives), kind="stable").tolist() == [4, 1, 2, 0, 3]
    assert _lost(np.full(2, -np.inf)).tolist() == [0, 0]


def test_what_runs_once_is_the_same_function():
    def double(tree):
        return {"twice": 2 * tree["one"]}

    once, tree = compiled_once(double), {"one": jnp.arange(3.0)}
    np.testing.assert_array_equal(once(tree)["twice"], [0, 2, 4])
    # Inside of other programs, mapped, and differentiated.
    np.testing.assert_array_equal(jax.jit(once)(tree)["twice"], [0, 2, 4])
    np.testing.assert_array_equal(jax.vmap(once)(tree)["twice"], [0, 2, 4])
    assert jax.grad(lambda x: once({"one": x})["twice"])(1.0) == 2


def test_what_is_handed_on_is_not_compiled(programs):
    rows = np.arange(3.0)
    assert compiled_once(lambda tree: tree)(rows) is rows
    assert not programs


def test_arrays_at_hand_are_those_that_numpy_can_see():
    assert is_at_hand(np.ones(2))
    assert is_at_hand(jnp.ones(2)) == (jax.default_backend() == "cpu")
    assert not is_at_hand(KEY)
    seen = []
    jax.jit(lambda x: seen.append(is_at_hand(x)) or x)(1.0)
    assert seen == [False]
