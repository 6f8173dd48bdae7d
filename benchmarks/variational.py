"""Time of a step of variational Bayes against scikit-learn, from the same prior and the same start.

Prints milliseconds per step of `VariationalBayes`, of scikit-learn's `BayesianGaussianMixture`, and
of `EM` from the same start, by turns in one process (medians), with what tells that both did the
same: the largest difference of the expected weights after the steps, and of the components' means.

    python benchmarks/variational.py [--rows 100000] [--dim 20] [--components 10] [--steps 20]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.mixture import BayesianGaussianMixture

import expfam as ef

KEY = jax.random.key(0)
COUNT, CONCENTRATION = 1.0, 0.5


def blobs(n: int, dim: int, k: int) -> np.ndarray:
    """Standardized rows of overlapping clusters."""
    rng = np.random.default_rng(0)
    centers = 2 * rng.normal(size=(k, dim))
    rows = centers[rng.integers(0, k, n)] + rng.normal(size=(n, dim))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


def by_turns(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each run, after a first that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


class Peer:
    """scikit-learn's variational Bayes, step by step, from given responsibilities."""

    def __init__(self, rows: np.ndarray, k: int, sticks: bool) -> None:
        """Its settings."""
        self.rows = rows
        self.model = BayesianGaussianMixture(
            n_components=k,
            weight_concentration_prior_type="dirichlet_process"
            if sticks
            else "dirichlet_distribution",
            weight_concentration_prior=CONCENTRATION,
            mean_precision_prior=COUNT,
            mean_prior=np.zeros(rows.shape[1], rows.dtype),
            degrees_of_freedom_prior=rows.shape[1] + 2,
            covariance_prior=np.eye(rows.shape[1], dtype=rows.dtype),
            reg_covar=0,
        )
        self.model._check_parameters(rows)

    def run(self, shares: np.ndarray, steps: int) -> BayesianGaussianMixture:
        """The posterior after so many steps, of which the first has these responsibilities."""
        self.model._initialize(self.rows, shares)
        for _ in range(steps):
            log_prob, logs = self.model._e_step(self.rows)
            self.model._m_step(self.rows, logs)
            self.model._compute_lower_bound(logs, log_prob)
        return self.model


def compare(rows: np.ndarray, k: int, sticks: bool, steps: int, rounds: int) -> None:
    """Print one line of the table."""
    xs, dim = jnp.asarray(rows), rows.shape[1]
    normal = ef.Normal(dim)
    mixture = ef.Mixture(normal, k)
    component = ef.ConjugatePrior.from_hyperparameters(
        normal, mean=jnp.zeros(dim), count=COUNT, scale=jnp.eye(dim), freedom=dim + 2.0
    )
    weights = {"stick_breaking": CONCENTRATION} if sticks else {"weights": CONCENTRATION}
    prior = ef.MixturePrior.from_components(mixture, component, **weights)
    start = mixture.initialize_from_sample(KEY, xs[:2000])
    shares = np.asarray(mixture.posterior_soft_assignments(start, xs))
    # The first posterior of both is that of the responsibilities at the start.
    peer = Peer(rows, k, sticks)

    def fit(method: Any) -> ef.Fit:
        return ef.fit(mixture, xs, key=KEY, prior=prior, params=start, method=method)

    runs = {
        "expfam": lambda: fit(ef.VariationalBayes(steps, tolerance=None)),
        "scikit-learn": lambda: peer.run(shares, steps - 1),
        "EM": lambda: ef.fit(
            mixture, xs, key=KEY, params=start, method=ef.EM(steps, tolerance=None)
        ),
    }
    own, other = runs["expfam"](), runs["scikit-learn"]()
    other._set_parameters(other._get_parameters())
    found = np.asarray(own.posterior.expected_weights)
    gap = np.max(np.abs(found / found.sum() - other.weights_))
    means, _ = jax.vmap(normal.mean_covariance)(mixture.components(own.params))
    shift = np.max(np.abs(np.asarray(means) - other.means_))
    times = {name: 1e3 * t / steps for name, t in by_turns(runs, rounds).items()}
    kind = "sticks" if sticks else "Dirichlet"
    shown = "".join(f"{times[name]:9.1f}" for name in runs)
    ratio = times["scikit-learn"] / times["expfam"]
    print(f"{kind:12}{rows.dtype!s:10}{shown}{ratio:8.1f}{gap:12.1e}{shift:12.1e}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=20)
    parser.add_argument("--components", type=int, default=10)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"{jax.default_backend()}, JAX {jax.__version__}; milliseconds a step, "
        f"N={options.rows} D={options.dim} K={options.components}"
    )
    print(
        f"{'weights':12}{'numbers':10}{'expfam':>9}{'sklearn':>9}{'EM':>9}{'ratio':>8}"
        f"{'weights gap':>12}{'means gap':>12}"
    )
    rows = blobs(options.rows, options.dim, options.components)
    for wide in (False, True):
        jax.config.update("jax_enable_x64", wide)
        typed = rows.astype(np.float64 if wide else np.float32)
        for sticks in (False, True):
            compare(typed, options.components, sticks, options.steps, options.rounds)


if __name__ == "__main__":
    main()
