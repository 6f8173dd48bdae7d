"""The public chart of free parameters: a round trip, derivatives, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

from ..registry import CLOSE, random_params

MIXTURE = ef.Mixture(ef.Normal(2, ef.Diagonal()), 2)


@pytest.mark.parametrize("family", [ef.Poisson(), ef.Normal(3), MIXTURE], ids=repr)
def test_round_trip_and_derivatives(family):
    params = random_params(family, jax.random.key(0))
    free = family.to_unconstrained(params)
    back = family.from_unconstrained(free)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=CLOSE), back, params)
    slope = jax.grad(lambda free: family.log_normalizer(family.from_unconstrained(free)))(free)
    along = jax.tree.map(jnp.ones_like, free)
    moved = jax.jvp(family.from_unconstrained, (free,), (along,))[1]
    total = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(slope))
    np.testing.assert_allclose(total, moved @ family.to_mean(params), rtol=CLOSE)


def test_refusals():
    normal = ef.Normal(2)
    with pytest.raises(TypeError, match=r"`free` must be .* shapes \(\(2,\), \(2, 2\)\), but has"):
        normal.from_unconstrained((jnp.zeros(2), jnp.zeros(3)))
    inside = normal.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
    with pytest.raises(ValueError, match="`params` must be a point inside of the domain"):
        normal.to_unconstrained(-inside)


def test_whole_numbers_of_any_type_are_sizes():
    assert ef.Normal(np.int64(3)) == ef.Normal(3)
    assert ef.Mixture(ef.Poisson(), n_components=np.int64(2)) == ef.Mixture(ef.Poisson(), 2)
    poisson = ef.Poisson()
    assert poisson.sample(jax.random.key(0), poisson.from_rate(2.0), 5).shape == (5,)
