"""Few sizes of rows: the same results, and no new program for another number of rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.families.ladder import _lowest, padded, rung
from tests.registry import EXACT, random_params


@pytest.fixture
def compilations():
    """A function that says how many programs were compiled since it was made."""
    found = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            found.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield lambda: len(found)
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def unpadded():
    ef.pad_rows(False)
    yield
    ef.pad_rows(True)


def test_rungs_rise_by_a_half_and_a_third():
    assert [rung(n, 128) for n in (1, 128, 129, 192, 193, 257, 384, 385)] == [
        128, 128, 192, 192, 256, 384, 384, 512,
    ]  # fmt: skip
    sizes = np.array([rung(n, 128) for n in range(128, 5000)])
    assert np.all(sizes >= np.arange(128, 5000))
    assert np.all(sizes <= 1.5 * np.arange(128, 5000))


@pytest.mark.parametrize("family", [ef.Normal(3), ef.Mixture(ef.Normal(3), 2)], ids=repr)
def test_other_numbers_of_rows_run_the_same_programs(family, compilations):
    params = random_params(family, jax.random.key(0))
    xs = np.random.default_rng(0).normal(size=(1000, 3))
    mixture = isinstance(family, ef.Mixture)
    density = family.log_observable_density if mixture else family.log_density
    whole = density(params, xs)
    before = compilations()
    few, one = density(params, xs[:10]), density(params, xs[3])
    assert compilations() == before
    np.testing.assert_allclose(few, whole[:10], rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(one, whole[3], rtol=EXACT, atol=EXACT)


def test_steps_on_other_numbers_of_rows_run_the_same_program(compilations):
    mixture = ef.Mixture(ef.Normal(2), 2)
    xs = np.random.default_rng(0).normal(size=(250, 2))
    params = mixture.initialize(jax.random.key(0))
    mixture.expectation_maximization(params, xs)
    before = compilations()
    mixture.expectation_maximization(params, xs[:230])
    assert compilations() == before


def test_padding_changes_no_step(unpadded):
    mixture = ef.Mixture(ef.Normal(2), 2)
    rng = np.random.default_rng(0)
    xs, weights = jnp.asarray(rng.normal(size=(70, 2))), jnp.asarray(rng.random(70))
    params = mixture.initialize(jax.random.key(0))
    plain = mixture.expectation_maximization(params, xs, weights)
    ef.pad_rows(True)
    rows, shares = padded(xs, weights)
    assert rows.shape == (128, 2)
    assert float(jnp.sum(shares[70:])) == 0
    again = mixture.expectation_maximization(params, xs + 0, weights)
    np.testing.assert_allclose(
        mixture.flatten(plain), mixture.flatten(again), rtol=100 * EXACT, atol=100 * EXACT
    )


def test_long_rows_are_not_filled_up():
    # one row of 50,000 numbers, e.g. a sequence, costs what it costs alone
    assert _lowest((np.zeros((1, 50_000)), np.zeros((1, 3))), 1024) == 1
    assert _lowest(np.zeros((1, 4096)), 1024) == 8
    assert _lowest(np.zeros((1, 20)), 1024) == 1024
    xs, weights = padded(np.zeros((3, 50_000)), None)
    assert xs.shape == (3, 50_000)
    assert weights is None
