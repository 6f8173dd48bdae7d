"""CPU seconds of the first results in a fresh process, against scikit-learn and JAX by hand.

Every number is the median of fresh processes: what the import costs, the first fit, the same with
ten rows fewer, with the number of programs that this compiles, predictions for 1000, 10 and 1 rows,
twenty fits of a bootstrap, and cross-validation (five folds, one to eight components). `cached`
is a process that finds its programs on disk. CPU seconds are those of all threads.

    python benchmarks/first_result.py [--rounds 3] [--without-cross-validation] [--json FILE]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

KINDS = ("mixture", "HMoG", "factor analysis", "cross-validation")
PEERS = {
    "mixture": ("expfam", "by hand", "scikit-learn"),
    "HMoG": ("expfam", "by hand"),
    "factor analysis": ("expfam", "by hand", "scikit-learn"),
    "cross-validation": ("expfam", "scikit-learn"),
}
FOLDS, MOST, BOOTSTRAP = 5, 8, 20
P, D, K = 20, 3, 3


def blobs() -> np.ndarray:
    """272 rows of two columns in two clusters, about as Old Faithful erupts."""
    rng = np.random.default_rng(0)
    short, long = rng.normal((2, 54), (0.3, 6), (97, 2)), rng.normal((4.3, 80), (0.4, 6), (175, 2))
    return np.concatenate([short, long]).astype(np.float32)


def low_rank() -> np.ndarray:
    """300 rows of twenty columns, of three clusters in three dimensions."""
    rng = np.random.default_rng(1)
    latent = 3 * np.eye(K)[rng.integers(K, size=300)] + 0.5 * rng.normal(size=(300, D))
    rows = latent @ rng.normal(size=(D, P)) + 0.5 * rng.normal(size=(300, P))
    return rows.astype(np.float32)


def folds(rows: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Rows to learn from, and rows to be scored on."""
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    return [(rows[fold != i], rows[fold == i]) for i in range(FOLDS)]


Model = tuple[Callable[[np.ndarray, int], Any], Callable[[Any, np.ndarray], Any]]


def by_expfam(kind: str) -> Model:
    """A fit with a number of components, and the mean log-density of rows."""
    import jax

    import expfam as ef

    def model(k: int) -> Any:
        return {
            "HMoG": lambda: ef.analytic_hmog(P, ef.Diagonal(), D, K),
            "factor analysis": lambda: ef.factor_analysis(P, D),
        }.get(kind, lambda: ef.Mixture(ef.Normal(2), k))()

    def fit(rows: np.ndarray, k: int) -> Any:
        return ef.fit(model(k), rows, key=jax.random.key(0), throw=False)

    def score(found: Any, rows: np.ndarray) -> float:
        return float(np.mean(np.asarray(found.model.log_observable_density(found.params, rows))))

    return fit, score


def by_hand(kind: str) -> Model:
    """The same of a program written for one model."""
    import by_hand as hand
    import jax
    import jax.numpy as jnp

    def fit(rows: np.ndarray, k: int) -> Any:
        key, xs = jax.random.key(0), jnp.asarray(rows)
        if kind == "mixture":
            return jax.block_until_ready(hand.fit_mixture(key, xs, k))
        return jax.block_until_ready(hand.fit_hmog(key, xs, D, K if kind == "HMoG" else 1))

    likelihood = hand.mixture_likelihood if kind == "mixture" else hand.hmog_likelihood
    score = jax.jit(likelihood)
    return fit, lambda found, rows: float(score(found[0], jnp.asarray(rows)))


def by_sklearn(kind: str) -> Model:
    """The same of scikit-learn."""
    from sklearn.decomposition import FactorAnalysis
    from sklearn.mixture import GaussianMixture

    def fit(rows: np.ndarray, k: int) -> Any:
        if kind == "factor analysis":
            return FactorAnalysis(D).fit(rows)
        return GaussianMixture(k, random_state=0).fit(rows)

    return fit, lambda found, rows: float(found.score(rows))


def measure(kind: str, peer: str) -> dict[str, float]:
    """What this process takes for one thing after the other."""
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(Path(__file__).parent))
    found: dict[str, float] = {}
    programs: list[str] = []
    begun = 0.0

    def note(name: str) -> None:
        nonlocal begun
        now = time.process_time()
        found[name], found[f"{name}, programs"] = now - begun, len(programs)
        programs.clear()
        begun = time.process_time()

    make = {"expfam": by_expfam, "by hand": by_hand, "scikit-learn": by_sklearn}[peer]
    fit, score = make(kind)
    if peer != "scikit-learn":
        import jax

        def listen(event: str, duration: float, **names: Any) -> None:
            if event.endswith("backend_compile_duration"):
                programs.append(names.get("fun_name", ""))

        jax.monitoring.register_event_duration_secs_listener(listen)
    note("import")
    rows = blobs() if kind in ("mixture", "cross-validation") else low_rank()
    if kind == "cross-validation":
        fits = [
            (part, rest, fit(part, k)) for k in range(1, MOST + 1) for part, rest in folds(rows)
        ]
        note("40 fits")
        [score(one, rest) for _, rest, one in fits]
        note("40 scores")
        return found
    first = fit(rows, 2)
    note("first fit")
    fit(rows[:-10], 2)
    note("fit of ten rows fewer")
    many = np.concatenate([rows] * 4)[:1000]
    for n in (1000, 10, 1):
        score(first, many[:n])
        note(f"densities of {n}")
    rng = np.random.default_rng(0)
    for _ in range(BOOTSTRAP):
        fit(rows[rng.integers(len(rows), size=len(rows))], 2)
    note("bootstrap of 20 fits")
    return found


def run(kind: str, peer: str, cache: str | None) -> dict[str, float]:
    """Measure in a fresh process."""
    command = [sys.executable, __file__, "--measure", kind, peer]
    own = {
        "JAX_COMPILATION_CACHE_DIR": cache or "",
        "JAX_ENABLE_COMPILATION_CACHE": str(bool(cache)),
    }
    own |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "OMP_NUM_THREADS": "1"}
    own |= {"JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1"}
    output = subprocess.run(
        command, env=os.environ | own, check=True, capture_output=True, text=True
    )
    return json.loads(output.stdout.splitlines()[-1])


def medians(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of several runs."""
    return {name: statistics.median(one[name] for one in runs) for name in runs[0]}


def main() -> None:
    """Print a table for each kind of model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-cross-validation", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*options.measure)))
        return
    table: dict[str, Any] = {}
    for kind in KINDS[:3] if options.without_cross_validation else KINDS:
        with tempfile.TemporaryDirectory() as cache:
            run(kind, "expfam", cache)
            sources = [(peer, peer, None) for peer in PEERS[kind]] + [("cached", "expfam", cache)]
            turns = [
                {name: run(kind, peer, where) for name, peer, where in sources}
                for _ in range(options.rounds)
            ]
        table[kind] = {name: medians([turn[name] for turn in turns]) for name, *_ in sources}
        columns = table[kind]
        print(f"\n| {kind}, CPU s (programs) | " + " | ".join(columns) + " |")
        print("| --- |" + " ---: |" * len(columns))
        for stage in columns["expfam"]:
            if stage.endswith(", programs"):
                continue
            cells = [
                f"{column[stage]:.2f}"
                + (f" ({column[f'{stage}, programs']:.0f})" if name != "scikit-learn" else "")
                for name, column in columns.items()
            ]
            print(f"| {stage} | " + " | ".join(cells) + " |", flush=True)
    if options.json:
        options.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
