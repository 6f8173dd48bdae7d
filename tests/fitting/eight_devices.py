"""Fits of rows on eight devices, against the same on one: a program, run by `test_devices`.

The number of devices has to be set before JAX starts, hence in a process of its own.
"""

import math
import re
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import expfam as ef
from expfam.families import compiled
from expfam.families.sketches import KINDS, sketches
from expfam.fitting import sources
from expfam.fitting.loop import Rules, begin, take
from expfam.fitting.standardize import _compiled_frame
from expfam.harmonium import steps

warnings.simplefilter("error")
assert len(jax.devices()) == 8

# No multiple of the blocks, neither of the rows of a device nor of all.
N, P = 8 * 333, 3
RNG = np.random.default_rng(0)
CENTERS = np.array([[4.0, 0, 0], [-4.0, 0, 0], [0, 4.0, 4.0]])
ROWS = CENTERS[RNG.integers(0, 3, N)] + RNG.normal(size=(N, P)) + 5.0
WEIGHTS = RNG.uniform(0.5, 2.0, N)
KEY = jax.random.key(0)
MIXTURE = ef.Mixture(ef.Normal(P), 3)
EM = ef.EM(max_steps=4, tolerance=None, block_size=100)

MESH = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
# What jax.make_mesh makes by itself, on the newest JAX.
EXPLICIT = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Explicit,))
TWO_AXES = jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)


def dealt(mesh, rows=ROWS):
    """Rows dealt out to the devices of a mesh, along its axis `data`."""
    spec = PartitionSpec("data", *(None,) * (np.ndim(rows) - 1))
    return jax.device_put(rows, NamedSharding(mesh, spec))


def close(one, other, tolerance=1e-8):
    leaves = zip(*map(jax.tree.leaves, (one, other)), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def same_fit(model, xs, alone, **options):
    """Equal to rounding, step by step."""
    one, many = (ef.fit(model, data, key=KEY, **options) for data in (alone, xs))
    for name in ("restart_log_likelihoods", "log_likelihoods"):
        np.testing.assert_allclose(getattr(many, name), getattr(one, name), rtol=1e-10)
    close(many.params, one.params, 1e-6)


def moved(program):
    """Numbers that the collectives of a program receive, at most, and the kinds of these."""
    found = re.findall(r"= (.*?) (all-\w+|collective-\w+|reduce-scatter)(?:-start)?\(", program)
    sizes = [
        math.prod(int(size) for size in shape.split(",") if size)
        for shapes, _ in found
        for shape in re.findall(r"\w+\[([\d,]*)\]", shapes)
    ]
    return max(sizes, default=0), {kind for _, kind in found}


def check_programs():
    """Only sums travel: nothing of the size of the rows, and no rows are gathered."""
    xs, weights = dealt(MESH), dealt(MESH, WEIGHTS)
    params = MIXTURE.initialize_from_sample(KEY, xs).coords
    factors = ef.factor_analysis(P, 1)
    found = take(sketches(MIXTURE, KEY, xs, None, KINDS[:1]), 0)
    start = jax.jit(compiled.initialize_from_sample)
    compress = jax.jit(sources._compress)
    run = begin(MIXTURE, EM, jax.tree.map(lambda a: a[None], params), np.ones(1, bool))
    step = jax.jit(MIXTURE.expectation_maximization)
    lowered = {
        "EM step": steps._em_step.lower(MIXTURE, params, xs, None, None),
        "EM step in a program": step.lower(ef.Natural(params), xs, weights),
        "density": steps._average_density.lower(MIXTURE, params, xs, weights),
        "starts": start.lower(MIXTURE, found, KEY, xs, None),
        "compression": compress.lower(factors, xs, weights),
        "frame": _compiled_frame.lower(ef.Normal(P), xs, weights, True, None),
        "loop": sources.climb.lower(MIXTURE, EM, xs, weights, None, KEY, Rules(4, 1e-6), 4, run),
    }
    for name, program in lowered.items():
        built = program.compile()
        text = getattr(built, "compiled", built).as_text()
        size, kinds = moved(text)
        assert kinds == {"all-reduce"}, (name, kinds)
        assert size < 100, (name, size)
        # Every device has its own rows and never all of them.
        assert "[333,3]" in text, name
        assert f"[{N},3]" not in text, name


def check_statistics():
    """Public methods on rows that are dealt out, weights as well."""
    alone = jnp.asarray(ROWS)
    params = MIXTURE.initialize_from_sample(KEY, alone, WEIGHTS)
    following = MIXTURE.expectation_maximization(params, alone, WEIGHTS)
    for mesh in (MESH, EXPLICIT, TWO_AXES):
        xs, weights = dealt(mesh), dealt(mesh, WEIGHTS)
        step = MIXTURE.expectation_maximization(params, xs, weights)
        close(step, following)
        assert step.coords.latent.is_fully_replicated
        assert len(step.coords.latent.devices()) == 8
    xs, weights = dealt(EXPLICIT), dealt(EXPLICIT, WEIGHTS)
    close(MIXTURE.initialize_from_sample(KEY, xs, weights), params)
    for name in ("mean_posterior_statistics", "average_log_observable_density"):
        method = getattr(MIXTURE, name)
        close(method(params, xs, weights), method(params, alone, WEIGHTS))
    close(ef.Normal(P).maximum_likelihood(dealt(MESH)), ef.Normal(P).maximum_likelihood(alone))
    bad = dealt(MESH, np.where(ROWS > 11, np.nan, ROWS))
    with pytest.raises(ValueError, match="the first nan at"):
        MIXTURE.mean_posterior_statistics(params, bad)


def check_seeds():
    """The same sketches, also inside of a program."""
    many = sketches(MIXTURE, KEY, dealt(MESH), dealt(MESH, WEIGHTS), KINDS)
    close(many, sketches(MIXTURE, KEY, jnp.asarray(ROWS), jnp.asarray(WEIGHTS), KINDS))
    start = MIXTURE.initialize_from_sample(KEY, dealt(MESH))
    close(jax.jit(MIXTURE.initialize_from_sample)(KEY, dealt(MESH)), start)


def check_fits():
    """Fits, by all methods."""
    xs, alone = dealt(EXPLICIT), jnp.asarray(ROWS)
    params = MIXTURE.initialize_from_sample(KEY, alone)
    # More components than there are clusters: no two starts are alike.
    same_fit(ef.Mixture(ef.Normal(P, ef.Diagonal()), 6), xs, alone, method=EM, restarts=2)
    prior = ef.weak_prior(MIXTURE, xs)
    weights = dealt(TWO_AXES, WEIGHTS)
    same_fit(
        MIXTURE, dealt(TWO_AXES), alone, method=EM, weights=weights, prior=prior, params=params
    )
    same_fit(ef.factor_analysis(P, 1), xs, alone, method=EM)
    same_fit(ef.analytic_hmog(P, ef.Diagonal(), 1, 2), xs, alone, method=EM)
    batches = ef.NaturalGradient(0.5, steps=4, batch_size=64)
    start = jax.device_put(params, NamedSharding(EXPLICIT, PartitionSpec()))
    same_fit(MIXTURE, xs, alone, method=batches, params=start)
    with jax.set_mesh(EXPLICIT), pytest.raises(ValueError, match="leave out jax"):
        ef.fit(MIXTURE, xs, key=KEY)
    # Blocks that lie on several devices.
    blocks = [dealt(MESH, ROWS[:1600]), dealt(MESH, ROWS[1600:])]
    same_fit(MIXTURE, blocks, alone, method=ef.EM(max_steps=4, tolerance=None), params=params)


if __name__ == "__main__":
    check_programs()
    check_statistics()
    check_seeds()
    check_fits()
    print("equal")
