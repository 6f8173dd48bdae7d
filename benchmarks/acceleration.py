"""Steps of plain and of accelerated EM to the same likelihood, where EM is slow.

Prints, for each case, the number of steps to within 10⁻⁶ nats of the mean log-likelihood that plain
EM has after many steps from the same start, for plain and for accelerated EM, their ratio, and how
much higher the accelerated fit ends. All in float64, for several data sets of each kind. Counts, so
that no machine has to be quiet; `--json` writes the same to a file.

    python benchmarks/acceleration.py [--memory 8] [--steps 3000] [--data-sets 3] [--json FILE]
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

import expfam as ef

jax.config.update("jax_enable_x64", True)


def factors(rng: np.random.Generator, noise: float) -> np.ndarray:
    """300 rows of 6 columns that share two factors; small noise makes a Heywood case likely."""
    rows = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 6))
    return rows + noise * rng.uniform(0.05, 1, size=6) * rng.normal(size=(300, 6))


def overlapping(rng: np.random.Generator) -> np.ndarray:
    """600 rows of three clusters in the plane that overlap."""
    centers = 1.6 * rng.normal(size=(3, 2))
    return centers[np.arange(600) % 3] + rng.normal(size=(600, 2))


def crossing(rng: np.random.Generator) -> np.ndarray:
    """1000 rows of 10 columns, of two long clusters that cross in a plane."""
    plane = rng.normal(size=(1000, 2)) * np.repeat([[2.0, 0.5], [0.5, 2.0]], 500, axis=0)
    plane += np.repeat([[1.0, 1.0], [-1.0, -1.0]], 500, axis=0)
    return plane @ rng.normal(size=(2, 10)) + rng.normal(size=(1000, 10))


CASES: dict[str, tuple[Any, Callable[[np.random.Generator], np.ndarray]]] = {
    "factor analysis near a Heywood case": (ef.factor_analysis(6, 2), lambda r: factors(r, 0.3)),
    "factor analysis": (ef.factor_analysis(6, 2), lambda r: factors(r, 1.0)),
    "mixture of factor analyzers": (
        ef.mixture_of_factor_analyzers(6, 1, 2),
        lambda r: factors(r, 1.0),
    ),
    "overlapping clusters, diagonal": (ef.Mixture(ef.Normal(2, ef.Diagonal()), 3), overlapping),
    "overlapping clusters, full": (ef.Mixture(ef.Normal(2), 3), overlapping),
    "HMoG": (ef.analytic_hmog(6, ef.Diagonal(), 2, 3), lambda r: factors(r, 1.0)),
    "HMoG of crossing clusters": (ef.analytic_hmog(10, ef.Diagonal(), 2, 4), crossing),
}


def compare(model: Any, rows: np.ndarray, memory: int, steps: int) -> dict[str, Any]:
    """Both fits of one data set from one start."""
    key = jax.random.key(1)
    plain, fast = (
        ef.fit(model, rows, key=key, method=ef.EM(most, None, acceleration=remembered))
        for most, remembered in ((steps, 0), (steps // 4, memory))
    )
    goal = float(plain.log_likelihoods[-1]) - 1e-6
    values = np.asarray(fast.log_likelihoods)
    slow = int(np.argmax(np.asarray(plain.log_likelihoods) >= goal))
    quick = int(np.argmax(values >= goal)) if values[-1] >= goal else None
    return {"plain": slow, "accelerated": quick, "higher": float(values[-1]) - goal - 1e-6}


def run(memory: int, steps: int, sets: int) -> Iterator[dict[str, Any]]:
    """The comparisons of all cases, one data set after the other."""
    for name, (model, draw) in CASES.items():
        for seed in range(sets):
            rows = draw(np.random.default_rng(seed))
            yield {"case": name, "data": seed, **compare(model, rows, memory, steps)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Steps of plain and accelerated EM.")
    parser.add_argument("--memory", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--data-sets", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    print(f"steps to the likelihood of {options.steps} plain steps; memory {options.memory}")
    print(f"{'case':36} {'plain':>6} {'accelerated':>12} {'ratio':>6} {'ends higher by':>15}")
    found = []
    for row in run(options.memory, options.steps, options.data_sets):
        found.append(row)
        quick = row["accelerated"]
        counts = ("never", "") if quick is None else (quick, f"{quick / row['plain']:.2f}")
        print(
            f"{row['case']:36} {row['plain']:6d} {counts[0]:>12} {counts[1]:>6} "
            f"{row['higher']:15.1e}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
