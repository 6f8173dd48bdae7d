"""The bootstrap test finds components that are there, and keeps its level."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.assess.ratio_test import _statistics

ONE, TWO = (ef.Mixture(ef.Poisson(), k) for k in (1, 2))


@pytest.mark.slow
def test_two_components_are_found():
    rng = np.random.default_rng(0)
    rows = rng.poisson(np.where(rng.uniform(size=60) < 0.4, 2.0, 9.0))
    rate = jax.vmap(ef.Poisson().from_rate)(jnp.array([rows.mean()]))
    params = ONE.from_components(jnp.ones(1), rate)
    found = ef.assess.bootstrap_ratio_test(
        ONE, TWO, rows, key=jax.random.key(0), draws=49, params=params, restarts=1
    )
    assert found.p_value == 0.02
    assert found.statistic > found.draws.max()
    assert np.all(found.draws >= 0)


def test_models_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="more components"):
        ef.assess.bootstrap_ratio_test(TWO, ONE, np.arange(5), key=jax.random.key(0))


@pytest.mark.slow
def test_level():
    # with 19 samples the test at 5 % rejects where the rows are above all of them
    rows = np.random.default_rng(1).poisson(4.0, size=(200, 50))
    start = TWO.initialize_from_sample(jax.random.key(0), rows[0]).coords
    means = rows.mean(axis=1)
    rejected = 0
    for k, sample in enumerate(rows):
        own = ONE.from_components(
            jnp.ones(1), jax.vmap(ef.Poisson().from_rate)(jnp.asarray(means[k : k + 1]))
        )
        drawn = np.random.default_rng(k).poisson(means[k], size=(19, 50))
        values = np.asarray(
            _statistics(
                ONE, TWO, 3, own.coords, start, jax.random.key(k), np.concatenate([[sample], drawn])
            )
        )
        rejected += values[0] > values[1:].max()
    assert 0.02 <= rejected / len(rows) <= 0.08
