"""A plain Python loop over `expectation_maximization`, against the same steps in `jax.lax.scan`.

Prints, for every model at several sizes, the time per step of both, their ratio and their
difference, measured by turns in one process on one thread: the fastest of several rounds. The
difference, what a call costs beside its arithmetic, hardly depends on the size.

    python benchmarks/loop_overhead.py
"""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax

import expfam as ef

# N, p, d and K (rows, columns, latent dimensions, components): small data, the digits, and more.
SIZES = [(2000, 20, 4, 5), (1797, 64, 10, 10), (10_000, 100, 10, 10)]


def models(p: int, d: int, k: int) -> dict[str, Any]:
    """The models that are stepped."""
    return {
        "analytic HMoG": ef.analytic_hmog(p, ef.Diagonal(), d, k),
        "factor analysis": ef.factor_analysis(p, d),
        "Gaussian mixture": ef.Mixture(ef.Normal(p), k),
    }


def clusters(key: jax.Array, n: int, model: Any) -> jax.Array:
    """Standardized rows of an HMoG whose clusters overlap, so that EM goes on for long."""
    xs = model.observable_sample(key, model.initialize(key), n)
    return (xs - xs.mean(axis=0)) / xs.std(axis=0)


def python_loop(model: Any, steps: int) -> Callable[[ef.Natural, jax.Array], ef.Natural]:
    """The loop that users write."""

    def run(params: ef.Natural, xs: jax.Array) -> ef.Natural:
        for _ in range(steps):
            params = model.expectation_maximization(params, xs)
        return params

    return run


def scan(model: Any, steps: int) -> Callable[[ef.Natural, jax.Array], ef.Natural]:
    """The same steps as one compiled program."""

    def step(params: ef.Natural, xs: jax.Array) -> ef.Natural:
        return model.expectation_maximization(params, xs)

    @jax.jit
    def run(params: ef.Natural, xs: jax.Array) -> ef.Natural:
        return jax.lax.scan(lambda p, _: (step(p, xs), None), params, length=steps)[0]

    return run


def measure(model: Any, xs: jax.Array, steps: int, rounds: int) -> tuple[float, float]:
    """Seconds per step of the Python loop and of the scan."""
    start = model.initialize_from_sample(jax.random.key(1), xs)
    runs = [python_loop(model, steps), scan(model, steps)]
    best = [float("inf")] * len(runs)
    for run in runs:
        jax.block_until_ready(run(start, xs))
    for _ in range(rounds):
        for i, run in enumerate(runs):
            begin = time.perf_counter()
            jax.block_until_ready(run(start, xs))
            best[i] = min(best[i], (time.perf_counter() - begin) / steps)
    return best[0], best[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--float64", action="store_true")
    options = parser.parse_args()
    jax.config.update("jax_enable_x64", options.float64)
    print(f"{'model':18} {'loop ms':>9} {'scan ms':>9} {'ratio':>7} {'difference ms':>14}")
    for n, *size in SIZES:
        by_name = models(*size)
        xs = clusters(jax.random.key(0), n, by_name["analytic HMoG"]).astype(float)
        p, d, k = size
        print(f"N={n} p={p} d={d} K={k} {xs.dtype}, {jax.default_backend()}")
        for name, model in by_name.items():
            loop, compiled = measure(model, xs, options.steps, options.rounds)
            times = f"{1e3 * loop:9.3f} {1e3 * compiled:9.3f}"
            print(f"{name:18} {times} {loop / compiled:7.2f} {1e3 * (loop - compiled):14.3f}")


if __name__ == "__main__":
    main()
