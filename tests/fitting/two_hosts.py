"""A fit on two hosts, each with half of the rows: a program, run twice by `test_devices`.

python two_hosts.py NUMBER PORT
"""

import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

warnings.simplefilter("error")
number, port = map(int, sys.argv[1:])
jax.distributed.initialize(f"127.0.0.1:{port}", num_processes=2, process_id=number)

import expfam as ef  # noqa: E402  JAX has to know of the other host before anything is computed

RNG = np.random.default_rng(0)
CENTERS = np.array([[4.0, 0], [-4.0, 0], [0, 4.0]])
ROWS = CENTERS[RNG.integers(0, 3, 600)] + RNG.normal(size=(600, 2))
WEIGHTS = RNG.uniform(0.5, 2.0, 600)
HALF = slice(300 * number, 300 * (number + 1))
MESH = jax.make_mesh((len(jax.devices()),), ("data",))


def of_all(own):
    """The array of all hosts, of which this one has its own part."""
    sharding = NamedSharding(MESH, PartitionSpec("data", *(None,) * (own.ndim - 1)))
    return jax.make_array_from_process_local_data(sharding, own)


assert jax.process_count() == 2
assert len(jax.devices()) == 4
model = ef.Mixture(ef.Normal(2), 3)
key, method = jax.random.key(0), ef.EM(max_steps=6, tolerance=None, block_size=40)
fits = [
    ef.fit(model, xs, key=key, method=method, weights=weights)
    for xs, weights in ((jnp.asarray(ROWS), WEIGHTS), (of_all(ROWS[HALF]), of_all(WEIGHTS[HALF])))
]
np.testing.assert_allclose(fits[1].log_likelihoods, fits[0].log_likelihoods, rtol=1e-10)
for a, b in zip(*(jax.tree.leaves(fit.params) for fit in fits), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-7)

# Rows of the other host that are no data are refused by both.
bad = np.where(ROWS > 6, np.nan, ROWS)
bad[:300] = ROWS[:300]
assert np.isnan(bad).any()
with pytest.raises(ValueError, match="finite real numbers"):
    ef.fit(model, of_all(bad[HALF]), key=key)
print("equal")
