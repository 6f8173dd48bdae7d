"""Time of a hidden Markov model on one long sequence, against hmmlearn, from the same parameters.

Prints, for each precision, milliseconds of the log-likelihood, of smoothing, of the most probable
path and of an EM step, those of hmmlearn (float64, both of its implementations), and the ratio. The
ratios mean something only where the log-likelihoods agree, which are printed, too. `--parallel`
adds the associative scan, which takes half a minute to compile for 10⁴ steps.

    python benchmarks/hidden_markov.py [--steps 10000] [--states 8] [--rounds 5] [--parallel]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hmmlearn.hmm import GaussianHMM

import expfam as ef

DIM = 2


def simulated(steps: int, states: int) -> tuple[np.ndarray, ...]:
    """A sequence with normal emissions, and what it was drawn from."""
    rng = np.random.default_rng(0)
    transition = 0.9 * np.eye(states) + 0.1 / states
    transition /= transition.sum(axis=1, keepdims=True)
    means = 3 * rng.normal(size=(states, DIM))
    z = [0]
    for _ in range(steps - 1):
        z.append(rng.choice(states, p=transition[z[-1]]))
    return means[z] + rng.normal(size=(steps, DIM)), transition, means


def milliseconds(function: Callable[[], Any], rounds: int) -> float:
    """Median time of a call, after a first one."""
    function()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def peer(x: np.ndarray, transition: np.ndarray, means: np.ndarray, implementation: str) -> dict:
    """The calls of hmmlearn."""
    states = len(means)
    model = GaussianHMM(
        states, "full", implementation=implementation, n_iter=1, init_params="", tol=-np.inf
    )

    def reset() -> None:
        model.startprob_ = np.full(states, 1 / states)
        model.transmat_, model.means_ = transition, means
        model.covars_ = np.stack([np.eye(DIM)] * states)

    def step() -> None:
        reset()
        model.fit(x)

    reset()
    return {
        "log-likelihood": lambda: model.score(x),
        "smoothing": lambda: model.predict_proba(x),
        "most probable path": lambda: model.predict(x),
        "EM step": step,
    }


def ours(x: np.ndarray, transition: np.ndarray, means: np.ndarray, parallel: bool) -> dict:
    """The same calls of this library."""
    states, dtype = len(means), jnp.zeros(()).dtype
    model = ef.HiddenMarkov(ef.Normal(DIM), states, len(x), parallel)
    emissions = jax.vmap(model.emission.from_mean_covariance)(
        jnp.asarray(means, dtype), jnp.stack([jnp.eye(DIM)] * states)
    )
    params = model.from_chain(jnp.full(states, 1 / states), jnp.asarray(transition), emissions)
    rows = jnp.asarray(x, dtype)
    step = jax.jit(lambda coords, xs: model._em_step(coords, xs, None, None))
    return {
        "log-likelihood": lambda: float(model.log_observable_density(params, rows)),
        "smoothing": lambda: np.asarray(model.posterior_soft_assignments(params, rows)),
        "most probable path": lambda: np.asarray(model.most_probable_path(params, rows)),
        "EM step": lambda: jax.block_until_ready(step(params.coords, rows[None])),
    }


def main() -> None:
    """Parse arguments, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--states", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--parallel", action="store_true")
    options = parser.parse_args()
    data = simulated(options.steps, options.states)
    print(f"T = {options.steps}, K = {options.states}, normal emissions in {DIM} dimensions\n")
    for double in (False, True):
        with jax.enable_x64(double):
            report("float64" if double else "float32", data, options)


def report(precision: str, data: tuple[np.ndarray, ...], options: Any) -> None:
    """Print a table for one precision."""
    columns = {f"hmmlearn, {name}": peer(*data, name) for name in ("log", "scaling")}
    columns["expfam"] = ours(*data, parallel=False)
    if options.parallel:
        columns["expfam, parallel"] = ours(*data, parallel=True)
    print(precision + " (hmmlearn: float64)")
    for name, calls in columns.items():
        print(f"  log-likelihood of {name:18} {calls['log-likelihood']():.6f}")
    print(f"  {'ms':20}" + "".join(f"{name:>20}" for name in columns))
    for task in columns["expfam"]:
        times = [milliseconds(calls[task], options.rounds) for calls in columns.values()]
        ratios = f"   hmmlearn / expfam: {times[0] / times[2]:.2f}, {times[1] / times[2]:.2f}"
        print(f"  {task:20}" + "".join(f"{value:20.2f}" for value in times) + ratios)
    print()


if __name__ == "__main__":
    main()
