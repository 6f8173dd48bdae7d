"""Digits of every family and verb on hard arguments, against mpmath, beside scipy and other peers.

Everything is computed from the same rounded numbers, by this library and its peers in float32 and
in float64, and by mpmath in 50 digits or more. An error is relative; "explained" is what half a
unit in the last place of the arguments would change. Prints, for each family and verb, the largest
error of all arguments, and marks those beyond 10⁻¹² (float64) or 10⁻⁵ (float32) that the arguments
do not explain. `--markdown` writes the tables between the markers of a page, docs/accuracy.md.

    python benchmarks/accuracy.py [--markdown PAGE] [--all] [--only NAME]

The points are in accuracy_families.py, what is not a verb of a family in accuracy_cases.py.
"""

import argparse
import os
import platform
from collections.abc import Callable
from datetime import date
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from accuracy_cases import all_cases
from accuracy_families import NUMPYRO, SUBJECTS, Numbers, Subject, exact

import expfam as ef
from expfam.geometry.spaces import Symmetric, is_space

BARS = {"float32": 1e-5, "float64": 1e-12}
# Bars of what is allowed more in float32.
WIDER = {"divergence, close": 1e-4, "maximum likelihood": 1e-2}
BEGIN, END = "<!-- written by benchmarks/accuracy.py -->", "<!-- up to here -->"


class Row(NamedTuple):
    """One comparison: errors by library, and what the rounding of the arguments explains."""

    family: str
    verb: str
    arguments: str
    dtype: str
    errors: dict[str, float]
    explained: float


def numpyro_distribution(name: str, theta: Any) -> Any:
    """The distribution of numpyro; None where it has none, or is not installed."""
    try:
        import numpyro
        import numpyro.distributions as distributions
    except ImportError:
        return None
    numpyro.enable_validation(False)
    return NUMPYRO[name](distributions, theta) if name in NUMPYRO else None


def offered(function: Callable[[], Any]) -> Callable[[], Any] | None:
    """A function of a peer, where it answers at all."""
    try:
        function()
    except NotImplementedError:  # how peers say that they have no entropy or divergence
        return None
    return function


@cache
def slopes(psi: Callable[[Numbers], Any], theta: tuple) -> list[Any]:
    """∇ψ."""
    return [partial(psi, theta, [i]) for i in range(len(theta))]


@cache
def bends(psi: Callable[[Numbers], Any], theta: tuple) -> Any:
    """∇²ψ."""
    n = len(theta)
    matrix = mp.matrix(n, n)
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] = matrix[j, i] = partial(psi, theta, [i, j])
    return matrix


def partial(psi: Callable[[Numbers], Any], theta: tuple, axes: list[int]) -> Any:
    """A partial derivative by central differences, in twice the digits."""
    with mp.workdps(110):
        size = [abs(t) if t else mp.mpf(1) for t in theta]
        step = mp.mpf(10) ** -25

        def along(point: list[Any], rest: list[int]) -> Any:
            if not rest:
                return psi(point)
            i, h = rest[0], size[rest[0]] * step
            up, down = list(point), list(point)
            up[i], down[i] = up[i] + h, down[i] - h
            return (along(up, rest[1:]) - along(down, rest[1:])) / (2 * h)

        return along(list(theta), axes)


def relative(values: Any, expected: Numbers, dtype: str) -> float:
    """The largest error, relative to the largest entry."""
    found = [exact(v) for v in np.ravel(np.asarray(values, np.float64))]
    if not np.all(np.isfinite(np.asarray(values, np.float64))):
        return float("inf")
    largest = max(abs(e) for e in expected)
    error = max(abs(f - e) for f, e in zip(found, expected, strict=True))
    # What is below the smallest normal number is rounded to zero.
    return 0.0 if error < exact(np.finfo(dtype).tiny) else float(error / (largest or 1))


def held(family: Any, point: Any) -> tuple[Any, ...]:
    """Flattened coordinates as a point holds them: √2 times an entry is not rounded."""
    leaves, tree = jax.tree.flatten(family.spaces, is_leaf=is_space)
    numbers: list[Any] = []
    for space, leaf in zip(leaves, tree.flatten_up_to(point.coords), strict=True):
        entries = np.asarray(leaf, np.float64)
        if isinstance(space, Symmetric):
            rest = entries[np.triu_indices(len(entries), 1)]
            numbers += [*exact(np.diagonal(entries)), *(mp.sqrt(2) * exact(x) for x in rest)]
        else:
            numbers += exact(np.ravel(entries))
    return tuple(numbers)


def rounded(x: Any, dtype: str) -> Any:
    """A data point as arrays of this type."""
    if isinstance(x, tuple):
        return tuple(rounded(part, dtype) for part in x)
    return np.asarray(x, dtype if np.asarray(x).dtype.kind == "f" else int)


def compare(subject: Subject, dtype: str) -> list[Row]:
    """All verbs at all points."""
    family, rows = subject.family, []
    unit = float(np.finfo(dtype).eps) / 2
    points = [np.asarray(p, dtype) for p in subject.points]
    for index, (vector, data) in enumerate(zip(points, subject.data, strict=True)):
        label = ", ".join(f"{v:.6g}" for v in subject.points[index])
        params = family.unflatten(jnp.asarray(vector), ef.Natural)
        theta = held(family, params)
        eta = slopes(subject.psi, theta)
        curvature = bends(subject.psi, theta)
        peer = subject.peer(vector.astype(float)) if subject.peer and dtype == "float64" else None
        second = numpyro_distribution(subject.name, jnp.asarray(vector))

        def add(
            verb: str,
            found: Any,
            expected: Numbers,
            slope: Numbers,
            label: str = label,
            scipy: Callable[[], Any] | None = None,
            numpyro: Callable[[], Any] | None = None,
            vector: Any = theta,
        ) -> None:
            errors = {"expfam": relative(found, expected, dtype)}
            for name, theirs in (("scipy", scipy), ("numpyro", numpyro)):
                if theirs is not None:
                    with np.errstate(all="ignore"):
                        errors[name] = relative(theirs(), expected, dtype)
            moved = sum(abs(s * t) for s, t in zip(slope, vector, strict=True))
            size = max(abs(e) for e in expected) or 1
            rows.append(Row(subject.name, verb, label, dtype, errors, float(unit * moved / size)))

        psi = subject.psi(theta)
        spread = [max(abs(curvature[i, j]) for i in range(len(theta))) for j in range(len(theta))]
        add("log-normalizer", family.log_normalizer(params), [psi], eta)
        add("mean", family.flatten(family.to_mean(params)), eta, spread)
        # A step of Newton's method from the result, in many digits, is its error.
        target = np.asarray([float(e) for e in eta], dtype)
        try:
            means = family.unflatten(jnp.asarray(target), ef.Mean)
            place = held(family, family.to_natural(means))
        except ValueError:
            place = None  # no natural coordinates have means that round to the boundary
        if place is not None:
            wanted = held(family, means)
            there = bends(subject.psi, place)
            gap = mp.matrix(
                [a - b for a, b in zip(slopes(subject.psi, place), wanted, strict=True)]
            )
            error = mp.lu_solve(there, gap)
            solution = [b - e for b, e in zip(place, error, strict=True)]
            inverse = mp.inverse(there)
            size = len(theta)
            moves = [max(abs(inverse[i, j]) for i in range(size)) for j in range(size)]
            add("natural", place, solution, moves, vector=wanted)
        for x in data:
            value = rounded(x, dtype)
            whole = not isinstance(value, tuple) and value.dtype.kind != "f"
            point = x if whole else exact(value)
            linear = sum(t * s for t, s in zip(theta, subject.statistic(point), strict=True))
            density = linear + subject.log_base(point) - psi
            residual = [a - b for a, b in zip(subject.statistic(point), eta, strict=True)]
            log_density = None if peer is None else getattr(peer, "logpdf", None)
            if peer is not None and hasattr(peer, "logpmf") and whole:
                log_density = peer.logpmf
            add(
                "log-density",
                family.log_density(params, jax.tree.map(jnp.asarray, value)),
                [density],
                residual,
                f"{label}; x = {np.ravel(jax.tree.leaves(x)[0])[0]:.6g}",
                None if log_density is None else lambda d=log_density, v=value: np.ravel(d(v)),
                None if second is None else lambda d=second, v=value: jnp.ravel(d.log_prob(v)),
            )
        if subject.mean_log_base is not None:
            paired = sum(t * e for t, e in zip(theta, eta, strict=True))
            entropy = psi - paired - subject.mean_log_base(theta, eta)
            size = range(len(theta))
            slope = [sum(theta[i] * curvature[i, j] for i in size) for j in size]
            scipy = None if peer is None else (lambda p=peer: np.ravel(p.entropy()))
            numpyro = None if second is None else offered(lambda d=second: jnp.ravel(d.entropy()))
            add("entropy", family.entropy(params), [entropy], slope, scipy=scipy, numpyro=numpyro)
        for verb, other in (
            ("divergence, equal", vector),
            ("divergence, close", vector * np.asarray(1 + 1e-4, dtype)),
            ("divergence, far", points[index - 1]),
        ):
            q = family.unflatten(jnp.asarray(other), ef.Natural)
            place = held(family, q)
            apart = [a - b for a, b in zip(place, theta, strict=True)]
            if all(a == 0 for a in apart) and verb != "divergence, equal":
                continue
            with mp.workdps(80):
                linear = sum(a * e for a, e in zip(apart, eta, strict=True))
                divergence = subject.psi(place) - subject.psi(theta) - linear
            if verb == "divergence, equal":
                divergence = mp.mpf(0)
            # What moves with p is −F(q − p), and with q the difference of the means.
            size = range(len(theta))
            moves = [abs(sum(curvature[i, j] * apart[i] for i in size)) for j in size]
            shifts = zip(slopes(subject.psi, place), eta, place, theta, strict=True)
            for j, (there, here, own, base) in enumerate(shifts):
                moves[j] += abs((there - here) * own / base) if base else 0
            if verb != "divergence, far":
                moves = [0 for _ in moves]  # these are points of their own, whatever was rounded
            numpyro = None
            if second is not None:
                import numpyro.distributions as distributions

                third = numpyro_distribution(subject.name, jnp.asarray(other))
                numpyro = offered(
                    lambda a=second, b=third: jnp.ravel(distributions.kl_divergence(a, b))
                )
            found = family.kl_divergence(params, q)
            add(verb, found, [divergence], moves, numpyro=numpyro)
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markdown", type=Path, help="write the tables into this page")
    parser.add_argument("--all", action="store_true", help="print every comparison")
    parser.add_argument("--only", help="one family")
    options = parser.parse_args()
    rows: list[Row] = []
    for dtype in ("float32", "float64"):
        jax.config.update("jax_enable_x64", dtype == "float64")
        for subject in SUBJECTS:
            if options.only in (None, subject.name):
                rows += compare(subject, dtype)
        for case in all_cases(dtype):
            if options.only in (None, case.family):
                errors = {"expfam": relative(case.found, case.expected, dtype)}
                if case.scipy is not None and dtype == "float64":
                    with np.errstate(all="ignore"):
                        errors["scipy"] = relative(case.scipy(), case.expected, dtype)
                name, verb, arguments = case.family, case.verb, case.arguments
                rows.append(Row(name, verb, arguments, dtype, errors, case.explained))
    if options.all:
        for row in rows:
            shown = "  ".join(f"{k} {v:.1e}" for k, v in row.errors.items())
            allowed = bar(row.verb, row.dtype) + row.explained
            mark = " <<<" if row.errors["expfam"] > allowed else ""
            print(
                f"{row.family} {row.verb} ({row.arguments}) {row.dtype}: {shown}"
                f"  explained {row.explained:.0e}{mark}"
            )
    lines = [*verbs_of_families(rows), "", *single_cases(rows)]
    print("\n".join(lines))
    if options.markdown:
        before, rest = options.markdown.read_text().split(BEGIN)
        page = [before + BEGIN, "", conditions(), "", *lines, "", END + rest.split(END)[1]]
        options.markdown.write_text("\n".join(page))


def conditions() -> str:
    """When, and on what, this ran."""
    names = ("jax", "jaxlib", "scipy", "numpyro", "mpmath")
    found = []
    for name in names:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return (
        f"{date.today()}, {os.cpu_count()} CPU cores ({platform.machine()}), Python "
        f"{platform.python_version()}, {', '.join(found)}."
    )


def families_first(rows: list[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of families with all verbs, and of single cases."""
    verbs = {row.verb for row in rows if row.family == rows[0].family} - set(WIDER)
    verbs |= {"entropy", "divergence, close"}
    return [r for r in rows if r.verb in verbs], [r for r in rows if r.verb not in verbs]


def verbs_of_families(rows: list[Row]) -> list[str]:
    """Families by verbs: the largest error that rounded arguments do not explain."""
    rows = families_first(rows)[0]
    verbs = list(dict.fromkeys(row.verb for row in rows))
    lines = [f"| family | type | {' | '.join(verbs)} |", f"| --- | --- |{' --- |' * len(verbs)}"]
    for family in dict.fromkeys(row.family for row in rows):
        for dtype in BARS:
            cells = []
            for verb in verbs:
                chosen = [r for r in rows if (r.family, r.verb, r.dtype) == (family, verb, dtype)]
                cells.append(cell(chosen))
            lines.append(f"| {family} | {dtype} | {' | '.join(cells)} |")
    return lines


def single_cases(rows: list[Row]) -> list[str]:
    """What is not a verb of a point, by type."""
    rows = families_first(rows)[1]
    lines = ["| of | what | float32 | float64 |", "| --- | --- | --- | --- |"]
    for family, verb in dict.fromkeys((row.family, row.verb) for row in rows):
        cells = [
            cell([r for r in rows if (r.family, r.verb, r.dtype) == (family, verb, dtype)])
            for dtype in BARS
        ]
        lines.append(f"| {family} | {verb} | {' | '.join(cells)} |")
    return lines


def bar(verb: str, dtype: str) -> float:
    """The error that a verb may have."""
    return WIDER.get(verb, BARS[dtype]) if dtype == "float32" else BARS[dtype]


def cell(rows: list[Row]) -> str:
    """The largest errors of a verb, of this library and, in brackets, of its peers."""
    if not rows:
        return "–"
    names = list(dict.fromkeys(name for row in rows for name in row.errors))
    beyond = {
        name: max(max(r.errors[name] - r.explained, 0) for r in rows if name in r.errors)
        for name in names
    }
    own = beyond.pop("expfam")
    text = f"**{shown(own)}**" if own > bar(rows[0].verb, rows[0].dtype) else shown(own)
    peers = ", ".join(f"{name} {shown(error)}" for name, error in beyond.items())
    return f"{text} ({peers})" if peers else text


def shown(error: float) -> str:
    """An error with one digit."""
    return "0" if error == 0 else f"{error:.0e}"


if __name__ == "__main__":
    main()
