"""What missing cells cost: steps of EM on incomplete rows, as ratios to the step on complete ones.

Run with `uv run --group test python benchmarks/missing_cells.py`; threads as JAX has them.
"""

import statistics
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import expfam as ef


def milliseconds(step, repeats):
    """The median time of a step, the first one left out."""
    jax.block_until_ready(step())
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(step())
        times.append(time.perf_counter() - begin)
    return 1e3 * statistics.median(times)


def compare(name, model, n, own_patterns):
    """Print the ratios of one model; rows of own patterns are fewer, and scaled up."""
    rng = np.random.default_rng(0)
    params = model.initialize(jax.random.key(0))
    xs = model.observable_sample(jax.random.key(1), model.initialize(jax.random.key(2)), n)
    size = xs.shape[1]
    some = (rng.random((20, size)) < 0.7)[rng.integers(0, 20, n)]
    each = rng.random((own_patterns, size)) < 0.7
    cases = {
        "complete": (xs, 7, 1.0),
        "a mask of ones": (ef.incomplete(xs, np.ones(xs.shape, bool)), 7, 1.0),
        "20 patterns": (ef.incomplete(xs, some), 5, 1.0),
        "own patterns": (ef.incomplete(xs[:own_patterns], each), 3, n / own_patterns),
    }
    whole = None
    for case, (rows, repeats, factor) in cases.items():
        rows = jax.tree.map(jnp.asarray, rows)
        step = partial(model.expectation_maximization, params, rows)
        time_of_step = factor * milliseconds(step, repeats)
        whole = time_of_step if whole is None else whole
        print(f"{name:28} {case:16} {time_of_step:10.1f} ms {time_of_step / whole:8.2f} x")


compare("mixture, full, D=20, K=10", ef.Mixture(ef.Normal(20), 10), 100_000, 2_000)
compare(
    "mixture, diagonal, D=20, K=10", ef.Mixture(ef.Normal(20, ef.Diagonal()), 10), 100_000, 20_000
)
compare("HMoG, p=100, d=10, K=10", ef.analytic_hmog(100, ef.Diagonal(), 10, 10), 10_000, 500)
