"""How the time of an EM step, its temporary memory and its compilation grow with size.

Measures EM steps of a Gaussian mixture, factor analysis and an HMoG against the number of rows N,
of columns (D or p), of latent dimensions d and of components K, one of them at a time, after
compilation, on pinned threads. The sizes take turns, so that a slow minute of the machine is one
for all of them; times are medians over the turns. Prints a table, with

- the growth of the time from size to size as an exponent (1: linear),
- how far times stray from a straight line in N, the largest N being read from a memory-mapped
  file, in blocks,
- the temporary memory of a step as the compiler states it,
- the seconds that the first call takes.

`--json` and `--picture` write files.

    python benchmarks/scaling.py [--quick] [--threads 2] [--json FILE] [--picture FILE]
"""

import argparse
import os


def options() -> argparse.Namespace:
    """The arguments; threads are pinned before JAX starts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, to try it out")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json")
    parser.add_argument("--picture")
    found = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: found.threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(found.threads)
    return found


OPTIONS = options()

import itertools  # noqa: E402  the number of threads has to be set first
import json  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402

import expfam as ef  # noqa: E402
from expfam.harmonium.steps import _average_density, _em_step  # noqa: E402

KEY = jax.random.key(0)
Times = dict[int, float]


def mixture(**size: int) -> tuple[Any, int]:
    """A Gaussian mixture with full covariances, and its number of columns."""
    return ef.Mixture(ef.Normal(size["D"]), size["K"]), size["D"]


def factors(**size: int) -> tuple[Any, int]:
    """Factor analysis."""
    return ef.factor_analysis(size["p"], size["d"]), size["p"]


def hierarchical(**size: int) -> tuple[Any, int]:
    """An HMoG with diagonal noise."""
    return ef.analytic_hmog(size["p"], ef.Diagonal(), size["d"], size["K"]), size["p"]


# Name, model, sizes from which one at a time departs, and the sizes that it takes.
QUICK = [
    ("mixture", mixture, {"N": 4000, "D": 5, "K": 3}, {"N": [2000, 4000, 8000], "K": [2, 4]}),
    ("FA", factors, {"N": 4000, "p": 10, "d": 2}, {"N": [2000, 4000], "p": [5, 10]}),
    ("HMoG", hierarchical, {"N": 4000, "p": 10, "d": 2, "K": 3}, {"N": [2000, 4000], "d": [2, 4]}),
]
FULL = [
    (
        "mixture",
        mixture,
        {"N": 100_000, "D": 20, "K": 10},
        {
            "N": [10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000],
            "D": [5, 10, 20, 40, 80],
            "K": [2, 5, 10, 20, 40],
        },
    ),
    (
        "FA",
        factors,
        {"N": 20_000, "p": 100, "d": 10},
        {
            "N": [10_000, 30_000, 100_000, 300_000],
            "p": [25, 50, 100, 200, 400],
            "d": [2, 5, 10, 20, 40],
        },
    ),
    (
        "HMoG",
        hierarchical,
        {"N": 20_000, "p": 100, "d": 10, "K": 10},
        {
            "N": [10_000, 30_000, 100_000, 300_000],
            "p": [25, 50, 100, 200, 400],
            "d": [2, 5, 10, 20],
            "K": [2, 5, 10, 20, 40],
        },
    ),
]

# Rows that are read from a file.
STREAMED = 10_000_000


def rows(n: int, dim: int) -> jax.Array:
    """Standard normal rows, on which EM has as much to do as on any others."""
    return jax.random.normal(KEY, (n, dim), jnp.float32)


def by_turns(calls: dict[int, Callable[[], Any]], rounds: int) -> Times:
    """The median time of every call; the first, which compiles, does not count."""
    taken: dict[int, list[float]] = {size: [] for size in calls}
    for turn in range(rounds + 1):
        for size, call in calls.items():
            start = time.perf_counter()
            jax.block_until_ready(call())
            if turn:
                taken[size].append(time.perf_counter() - start)
    return {size: statistics.median(times) for size, times in taken.items()}


def step(build: Callable[..., Any], size: dict[str, int]) -> Callable[[], Any]:
    """An EM step of a model on rows in memory."""
    model, dim = build(**size)
    xs = rows(size["N"], dim)
    params = model.initialize_from_sample(KEY, xs[:5000])
    return lambda: model.expectation_maximization(params, xs).coords


def on_disk(folder: str, n: int, dim: int) -> np.memmap:
    """As many rows in a memory-mapped file."""
    path = Path(folder) / f"{n}.npy"
    block = np.asarray(rows(min(n, 100_000), dim))
    file = np.lib.format.open_memmap(path, mode="w+", dtype=block.dtype, shape=(n, dim))
    for start in range(0, n, len(block)):
        file[start : start + len(block)] = block[: n - start]
    file.flush()
    return np.load(path, mmap_mode="r")


def pass_through(xs: np.memmap, size: dict[str, int]) -> Callable[[], Any]:
    """One pass of EM through rows on disk, which ends with their mean log-likelihood."""
    model, _ = mixture(**size)
    params = model.initialize_from_sample(KEY, jnp.asarray(xs[:5000]))
    method = ef.EM(max_steps=0, tolerance=None)
    return lambda: ef.fit(model, xs, key=KEY, method=method, params=params).log_likelihoods


def exponents(times: Times) -> Iterator[str]:
    """The growth of time from size to size."""
    pairs = sorted(times.items())
    for (a, first), (b, second) in itertools.pairwise(pairs):
        yield f"{np.log(second / first) / np.log(b / a):.2f}"


def line(times: Times) -> tuple[float, float, float]:
    """A fixed time, a time per row, and the largest relative deviation from their sum."""
    sizes, taken = (np.asarray(list(part), float) for part in (times, times.values()))
    slope, fixed = np.polyfit(sizes, taken, 1, w=1 / taken)
    return float(fixed), float(slope), float(np.max(np.abs(taken / (fixed + slope * sizes) - 1)))


def curves(cases: list[Any], streamed: int, rounds: int) -> dict[str, dict[str, Times]]:
    """Seconds of a step, by model, what is varied, and its size.

    Mixtures are also timed on so many rows on disk.
    """
    found: dict[str, dict[str, Times]] = {}
    for name, build, base, varied in cases:
        for letter, sizes in varied.items():
            calls = {n: step(build, {**base, letter: n}) for n in sizes}
            with tempfile.TemporaryDirectory() as folder:
                if (name, letter) == ("mixture", "N"):
                    calls[streamed] = pass_through(on_disk(folder, streamed, base["D"]), base)
                times = by_turns(calls, rounds)
            found.setdefault(name, {})[letter] = times
            fixed = " ".join(f"{k}={v}" for k, v in base.items() if k != letter)
            shown = "  ".join(f"{n}: {1e3 * t:.2f}" for n, t in times.items())
            growth = " ".join(exponents(times))
            print(f"{name:8} {letter}  {shown}   ({fixed}; growth {growth})", flush=True)
    return found


def memory(n: int) -> dict[str, float]:
    """MB of temporaries of a step, and of the mean log-density, without the rows themselves."""
    found = {}
    for name, build, size in (
        ("mixture", mixture, {"D": 20, "K": 10}),
        ("FA", factors, {"p": 20, "d": 5}),
        ("HMoG", hierarchical, {"p": 20, "d": 5, "K": 10}),
    ):
        model, dim = build(**size)
        coords = model.initialize_from_sample(KEY, rows(1000, dim)).coords
        xs = jax.ShapeDtypeStruct((n, dim), jnp.float32)
        programs = {
            "step": _em_step.lower(model, coords, xs, None, None),
            "density": _average_density.lower(model, coords, xs, None),
        }
        for what, program in programs.items():
            analysis = program.compile().memory_analysis()
            found[f"{name} {what}"] = analysis.temp_size_in_bytes / 1e6
    return found


def first_calls(cases: list[Any]) -> dict[str, float]:
    """Seconds of the first EM step of each model, with empty caches."""
    found = {}
    for name, build, base, _ in cases:
        model, dim = build(**base)
        xs = rows(2000, dim)
        params = model.initialize_from_sample(KEY, xs)
        jax.clear_caches()
        start = time.perf_counter()
        jax.block_until_ready(model.expectation_maximization(params, xs).coords)
        found[name] = time.perf_counter() - start
    return found


def draw(found: dict[str, dict[str, Times]], streamed: int, path: str) -> None:
    """One panel for each size that is varied, one line for each model."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    labels = {"N": "rows N", "p": "columns p", "d": "latent dimensions d", "K": "components K"}
    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained", sharey=True)
    for axis, (letter, label) in zip(axes.flat, labels.items(), strict=True):
        for index, (name, by_letter) in enumerate(found.items()):
            # Columns are called D in a mixture.
            times = by_letter.get(letter) or (by_letter.get("D") if letter == "p" else None)
            if times:
                xs, ys = list(times), [1e3 * value for value in times.values()]
                axis.loglog(xs, ys, "o-", color=f"C{index}", markersize=3)
                text = f"{name}\n(from a file)" if xs[-1] == streamed else name
                axis.annotate(
                    text,
                    (xs[-1], ys[-1]),
                    (5, 0),
                    textcoords="offset points",
                    color=f"C{index}",
                    fontsize=9,
                    va="center",
                )
        if letter != "N":
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.xaxis.set_minor_locator(NullLocator())
        axis.margins(x=0.25)
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supylabel("milliseconds per EM step")
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, write."""
    cases, streamed, rounds = (
        (QUICK, 20_000, 3) if OPTIONS.quick else (FULL, STREAMED, OPTIONS.rounds)
    )
    print(
        f"{jax.default_backend()}, {OPTIONS.threads} threads, JAX {jax.__version__}, float32; "
        "milliseconds per EM step",
        flush=True,
    )
    compiled = first_calls(cases)
    found = curves(cases, streamed, rounds)
    fixed, slope, strays = line(found["mixture"]["N"])
    print(
        f"mixture, {1e3 * fixed:.1f} ms and {1e9 * slope:.0f} ns per row: times are at most "
        f"{100 * strays:.0f} % off; N={streamed} from a file"
    )
    temporaries = memory(1_000_000)
    print(
        "MB of temporaries, N=1000000", *(f"{k}: {v:.1f}" for k, v in temporaries.items()), sep="  "
    )
    print("seconds of the first call", *(f"{k}: {v:.2f}" for k, v in compiled.items()), sep="  ")
    if OPTIONS.json:
        result = {
            "seconds": found,
            "rows_from_a_file": streamed,
            "mixture_line": {"fixed": fixed, "per_row": slope, "largest_deviation": strays},
            "temporary_megabytes": temporaries,
            "first_call_seconds": compiled,
        }
        Path(OPTIONS.json).write_text(json.dumps(result, indent=2))
    if OPTIONS.picture:
        draw(found, streamed, OPTIONS.picture)


if __name__ == "__main__":
    main()
