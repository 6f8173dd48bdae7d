"""Time of an EM step against scikit-learn and against EM written by hand, from the same start.

Prints, for each model and precision, milliseconds per step of this library, of scikit-learn, and of
a batched JAX program written for that one model, with the mean log-likelihood that each has after
the steps: the ratios mean something only where these agree. All run by turns in one process; times
are medians. Also prints the time of the first call, which compiles. `--gmmx` adds gmmx, another
library in JAX, in float32, where it is installed (it takes gigabytes, and minutes; float64 it does
not take); `--json` writes the same to a file.

    python benchmarks/em_steps.py [--rows 100000] [--steps 10] [--rounds 5] [--gmmx] [--json FILE]
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from by_hand import hmog_by_hand, hmog_likelihood, mixture_by_hand, mixture_likelihood
from sklearn.decomposition import FactorAnalysis
from sklearn.mixture import GaussianMixture

import expfam as ef


def blobs(n: int, dim: int, k: int) -> np.ndarray:
    """Standardized rows of overlapping clusters."""
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(k, dim))
    rows = centers[rng.integers(0, k, n)] + rng.normal(size=(n, dim))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def low_rank(n: int, p: int, d: int, k: int) -> np.ndarray:
    """Standardized rows of clusters in d dimensions, seen in p."""
    rng = np.random.default_rng(1)
    latent = blobs(n, d, k)
    rows = latent @ rng.normal(size=(d, p)) + rng.uniform(0.5, 1.5, p) * rng.normal(size=(n, p))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def loop(step: Callable[..., Any], steps: int) -> Callable[[Any, Any], Any]:
    """A plain Python loop over steps."""

    def run(state: Any, xs: Any) -> Any:
        for _ in range(steps):
            state = step(state, xs)
        return jax.block_until_ready(state)

    return run


def by_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each run."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def first_call(model: Any, params: Any, xs: Any) -> float:
    """Seconds of tracing and compiling an EM step."""
    jax.clear_caches()
    start = time.perf_counter()
    jax.block_until_ready(model.expectation_maximization(params, xs).coords)
    return time.perf_counter() - start


def by_gmmx(state: Any, xs: Any, steps: int) -> tuple[Callable[[], Any], float]:
    """A fit by gmmx, and the mean log-likelihood that it has after the steps."""
    from gmmx import EMFitter, GaussianMixtureModelJax

    weights, means, covariances = state
    start = GaussianMixtureModelJax.from_squeezed(means, covariances, weights)
    fitter = EMFitter(max_iter=steps, tol=0.0, reg_covar=0.0)
    end = fitter.fit(xs, start).gmm
    return lambda: jax.block_until_ready(fitter.fit(xs, start)), float(jnp.mean(end.score(xs)))


def mixtures(
    rows: np.ndarray, k: int, steps: int, rounds: int, kind: str, gmmx: bool
) -> dict[str, Any]:
    """A Gaussian mixture, from the clusters of the library's own start."""
    structure, varying = {
        "full": (ef.PositiveDefinite(), None),
        "diag": (ef.Diagonal(), None),
        "spherical": (ef.Scale(), None),
        "tied": (ef.PositiveDefinite(), ef.Identity()),
    }[kind]
    xs = jnp.asarray(rows)
    model = ef.Mixture(ef.Normal(rows.shape[1], structure), k, varying)
    params = model.initialize_from_sample(jax.random.key(0), xs)
    compile_time = first_call(model, params, xs)
    moments = jax.vmap(model.component.mean_covariance)(model.components(params))
    weights, means, covariances = (np.asarray(a) for a in (model.weights(params), *moments))
    inverse = np.linalg.inv(covariances)
    precisions = {
        "full": inverse,
        "diag": np.diagonal(inverse, axis1=1, axis2=2),
        "spherical": inverse[:, 0, 0],
        "tied": inverse[0],
    }[kind]
    peer = GaussianMixture(k, covariance_type=kind, max_iter=steps, tol=0.0, reg_covar=0.0)
    peer.set_params(
        weights_init=weights.astype(float) / weights.sum(dtype=float),
        means_init=means,
        precisions_init=precisions,
    )
    runs = {
        "expfam": lambda: loop(model.expectation_maximization, steps)(params, xs),
        "scikit-learn": lambda: peer.fit(rows),
    }
    likelihoods = {
        "expfam": float(model.average_log_observable_density(runs["expfam"](), xs)),
        "scikit-learn": float(runs["scikit-learn"]().score(rows)),
    }
    if kind == "full":
        state = tuple(jnp.asarray(a) for a in (weights, means, covariances))
        runs["by hand"] = lambda: loop(mixture_by_hand, steps)(state, xs)
        likelihoods["by hand"] = float(mixture_likelihood(runs["by hand"](), xs))
        if gmmx:
            runs["gmmx"], likelihoods["gmmx"] = by_gmmx(state, xs, steps)
    return result(runs, likelihoods, rounds, steps, compile_time)


def hierarchical(rows: np.ndarray, d: int, k: int, steps: int, rounds: int) -> dict[str, Any]:
    """An HMoG with diagonal noise."""
    xs = jnp.asarray(rows)
    model = ef.analytic_hmog(rows.shape[1], ef.Diagonal(), d, k)
    params = model.initialize_from_sample(jax.random.key(0), xs)
    compile_time = first_call(model, params, xs)
    found = model.parameters(params)
    state = (found.weights, found.latent_means, found.latent_covariances)
    state = (*state, found.loadings, found.mean, jnp.diag(found.noise))
    gradient = jax.jit(
        jax.value_and_grad(lambda p: model.average_log_observable_density(ef.Natural(p), xs))
    )
    runs = {
        "expfam": lambda: loop(model.expectation_maximization, steps)(params, xs),
        "by hand": lambda: loop(hmog_by_hand, steps)(state, xs),
        "gradient": lambda: [jax.block_until_ready(gradient(params.coords)) for _ in range(steps)],
    }
    likelihoods = {
        "expfam": float(model.average_log_observable_density(runs["expfam"](), xs)),
        "by hand": float(hmog_likelihood(runs["by hand"](), xs)),
    }
    return result(runs, likelihoods, rounds, steps, compile_time)


def factors(rows: np.ndarray, d: int, rounds: int) -> dict[str, Any]:
    """Whole fits of factor analysis to the same likelihood."""
    xs = jnp.asarray(rows)
    model = ef.factor_analysis(rows.shape[1], d)
    peer = FactorAnalysis(d, tol=1e-3, max_iter=2000, svd_method="lapack")
    method = ef.EM(max_steps=1000, tolerance=1e-7)
    runs = {
        "expfam": lambda: ef.fit(model, xs, key=jax.random.key(0), method=method),
        "scikit-learn": lambda: peer.fit(rows),
    }
    likelihoods = {
        "expfam": runs["expfam"]().log_likelihood,
        "scikit-learn": float(runs["scikit-learn"]().score(rows)),
    }
    return result(runs, likelihoods, rounds, 1, float("nan"))


def result(
    runs: dict[str, Any], likelihoods: dict[str, float], rounds: int, steps: int, first: float
) -> dict[str, Any]:
    """Milliseconds a step, likelihoods, and the time of the first call."""
    times = {name: 1e3 * t / steps for name, t in by_turns(runs, rounds).items()}
    return {"milliseconds": times, "log_likelihood": likelihoods, "first_call_seconds": first}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gmmx", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    n, steps, rounds = options.rows, options.steps, options.rounds
    print(f"{jax.default_backend()}, JAX {jax.__version__}; milliseconds a step (a fit: FA)")
    header = f"{'model':34}{'expfam':>9}{'sklearn':>9}{'by hand':>9}{'gradient':>9}{'gmmx':>9}"
    print(f"{header}{'first s':>9}   mean log-likelihoods")
    table = {}
    for wide in (False, True):
        jax.config.update("jax_enable_x64", wide)
        dtype = np.float64 if wide else np.float32
        mixed = blobs(n, 20, 10).astype(dtype)
        thin = low_rank(n // 10, 100, 10, 10).astype(dtype)
        wider = low_rank(n // 5, 100, 10, 10).astype(dtype)
        cases: dict[str, Callable[[], Any]] = {
            f"mixture {kind} N={n} D=20 K=10": lambda kind=kind, mixed=mixed: mixtures(
                mixed, 10, steps, rounds, kind, options.gmmx and mixed.dtype == np.float32
            )
            for kind in ("full", "diag", "spherical", "tied")
        }
        cases[f"HMoG N={n // 10} p=100 d=10 K=10"] = lambda thin=thin: hierarchical(
            thin, 10, 10, steps, rounds
        )
        cases[f"FA N={n // 5} p=100 d=10"] = lambda wider=wider: factors(wider, 10, rounds)
        for name, case in cases.items():
            found = table[f"{name} {dtype.__name__}"] = case()
            times = found["milliseconds"]
            names = ("expfam", "scikit-learn", "by hand", "gradient", "gmmx")
            columns = [times.get(k) for k in names]
            shown = "".join(f"{t:9.1f}" if t else f"{'–':>9}" for t in columns)
            values = " ".join(f"{v:.5f}" for v in found["log_likelihood"].values())
            first = found["first_call_seconds"]
            print(f"{name:34}{shown}{first:9.2f}   {values}  {dtype.__name__}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
