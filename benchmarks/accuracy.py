"""Digits of every family and verb on hard arguments, against mpmath, beside scipy and other peers.

Everything is computed from the same rounded numbers, by this library and its peers in float32 and
in float64, and by mpmath in 50 digits or more. An error is relative; "explained" is what half a
unit in the last place of the arguments would change. Prints, for each family and verb, the largest
error of all arguments, and marks those beyond 10⁻¹² (float64) or 10⁻⁵ (float32) that the arguments
do not explain. `--markdown` writes the table that the documentation shows.

    python benchmarks/accuracy.py [--markdown FILE] [--all]
"""

import argparse
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
from scipy import stats

import expfam as ef

mp.mp.dps = 60
BARS = {"float32": 1e-5, "float64": 1e-12}
# A peer of scipy computes in float64 only.
Numbers = Sequence[Any]


class Subject(NamedTuple):
    """A family, and what mpmath needs to know of it, in flattened natural coordinates.

    Attributes:
        name: of the family.
        family: the family.
        psi: the log-normalizer.
        points: natural coordinates.
        data: data points, for each of the points.
        statistic: the flattened statistic.
        log_base: the logarithm of the base measure.
        mean_log_base: its expectation, from natural and mean coordinates; None where there is no
            formula.
        peer: the distribution of scipy.
    """

    name: str
    family: Any
    psi: Callable[[Numbers], Any]
    points: list[list[float]]
    data: list[list[Any]]
    statistic: Callable[[Any], Numbers]
    log_base: Callable[[Any], Any]
    mean_log_base: Callable[[Numbers, Numbers], Any] | None = None
    peer: Callable[[Numbers], Any] | None = None


class Row(NamedTuple):
    """One comparison: errors by library, and what the rounding of the arguments explains."""

    family: str
    verb: str
    arguments: str
    dtype: str
    errors: dict[str, float]
    explained: float


def log_factorial(x: Any) -> Any:
    """log x!"""
    return mp.loggamma(x + 1)


def log_expm1(x: Any) -> Any:
    """log(1 − eˣ) for x < 0."""
    return mp.log(-mp.expm1(x))


def log_series(theta: Numbers) -> Any:
    """Σ_x exp(θ₁x + θ₂ log x!), from the largest term on in both directions."""
    slope, power = theta
    peak = int(mp.floor(mp.exp(slope / -power)))
    largest = slope * peak + power * log_factorial(peak)
    total = mp.mpf(0)
    for step, x in ((1, peak), (-1, peak - 1)):
        while x >= 0:
            term = mp.exp(slope * x + power * log_factorial(x) - largest)
            total += term
            if term < mp.mpf(10) ** -45:
                break
            x += step
    return largest + mp.log(total)


def log_sphere(theta: Numbers) -> Any:
    """log of the mean of exp⟨θ, x⟩ over the unit sphere."""
    dim = len(theta)
    kappa = mp.sqrt(sum(t * t for t in theta))
    return mp.log(mp.hyp0f1(mp.mpf(dim) / 2, kappa**2 / 4))


def log_wishart(theta: Numbers) -> Any:
    """ψ of 2 × 2 Wisharts, from the diagonal, √2 times the rest, and the power."""
    first, second, rest, power = theta
    det = first * second - rest**2 / 2
    gammas = mp.log(mp.pi) / 2 + mp.loggamma(power) + mp.loggamma(power - mp.mpf(1) / 2)
    return gammas - power * mp.log(det)


def mean_log_inverse_gaussian(theta: Numbers, eta: Numbers) -> Any:
    """E[log x] = log μ − e^z E₁(z) with z = 2λ/μ (Tweedie 1957)."""
    mean, shape = eta[0], -2 * theta[1]
    z = 2 * shape / mean
    return mp.log(mean) - mp.exp(z) * mp.e1(z)


LOG_2_PI = mp.log(2 * mp.pi)
SUBJECTS = [
    Subject(
        "Normal",
        ef.Normal(1),
        lambda t: -(t[0] ** 2) / (4 * t[1]) - mp.log(-2 * t[1]) / 2,
        [[0.0, -0.5], [1e3, -0.5], [3.0, -1e8], [1e-6, -1e-10]],
        [[[0.3]], [[1001.0]], [[1e-4]], [[1e5]]],
        lambda x: [x[0], x[0] ** 2],
        lambda x: -LOG_2_PI / 2,
        lambda t, e: -LOG_2_PI / 2,
        lambda t: stats.norm(-t[0] / (2 * t[1]), (-2 * t[1]) ** -0.5),
    ),
    Subject(
        "Bernoulli",
        ef.Bernoulli(),
        lambda t: mp.log1p(mp.exp(t[0])),
        [[0.3], [-40.0], [40.0], [80.0]],
        [[0, 1]] * 4,
        lambda x: [x],
        lambda x: 0,
        lambda t, e: 0,
        lambda t: stats.bernoulli(1 / (1 + np.exp(-t[0]))),
    ),
    Subject(
        "Binomial",
        ef.Binomial(100000),
        lambda t: 100000 * mp.log1p(mp.exp(t[0])),
        [[0.3], [-12.0], [12.0]],
        [[57000, 3], [0, 2], [99999, 100000]],
        lambda x: [x],
        lambda x: log_factorial(100000) - log_factorial(x) - log_factorial(100000 - x),
        None,
        lambda t: stats.binom(100000, 1 / (1 + np.exp(-t[0]))),
    ),
    Subject(
        "Categorical",
        ef.Categorical(3),
        lambda t: mp.log(1 + mp.exp(t[0]) + mp.exp(t[1])),
        [[0.3, -1.0], [-40.0, 30.0], [1e-3, 80.0]],
        [[0, 1, 2]] * 3,
        lambda x: [int(x == 1), int(x == 2)],
        lambda x: 0,
        lambda t, e: 0,
    ),
    Subject(
        "Poisson",
        ef.Poisson(),
        lambda t: mp.exp(t[0]),
        [[1.0], [-20.0], [18.420680743952367]],
        [[0, 3], [0, 1], [100000000, 100010000]],
        lambda x: [x],
        lambda x: -log_factorial(x),
        None,
        lambda t: stats.poisson(np.exp(t[0])),
    ),
    Subject(
        "Geometric",
        ef.Geometric(),
        lambda t: -log_expm1(t[0]),
        [[-0.7], [-1e-8], [-30.0]],
        [[0, 3], [5, 100000000], [0, 1]],
        lambda x: [x],
        lambda x: 0,
        lambda t, e: 0,
        lambda t: stats.geom(-np.expm1(t[0]), loc=-1),
    ),
    Subject(
        "NegativeBinomial",
        ef.NegativeBinomial(2.5),
        lambda t: -mp.mpf(2.5) * log_expm1(t[0]),
        [[-0.7], [-1e-8], [-30.0]],
        [[0, 3], [5, 100000000], [0, 1]],
        lambda x: [x],
        lambda x: mp.loggamma(x + mp.mpf(2.5)) - log_factorial(x) - mp.loggamma(2.5),
        None,
        lambda t: stats.nbinom(2.5, -np.expm1(t[0])),
    ),
    Subject(
        "Logarithmic",
        ef.Logarithmic(),
        lambda t: mp.log(-log_expm1(t[0])),
        [[-0.7], [-1e-8], [-30.0]],
        [[1, 3], [5, 100000000], [1, 2]],
        lambda x: [x],
        lambda x: -mp.log(x),
        None,
        lambda t: stats.logser(np.exp(t[0])),
    ),
    Subject(
        "ConwayMaxwellPoisson",
        ef.ConwayMaxwellPoisson(),
        log_series,
        [[1.0, -1.0], [0.01 * np.log(5.0), -0.01], [0.05 * np.log(500.0), -0.05], [80.0, -50.0]],
        [[0, 3], [2, 40], [500, 700], [1, 5]],
        lambda x: [x, log_factorial(x)],
        lambda x: 0,
        lambda t, e: 0,
    ),
    Subject(
        "Exponential",
        ef.Exponential(),
        lambda t: -mp.log(-t[0]),
        [[-2.0], [-1e-10], [-1e10]],
        [[0.3], [1e9], [1e-11]],
        lambda x: [x],
        lambda x: 0,
        lambda t, e: 0,
        lambda t: stats.expon(scale=-1 / t[0]),
    ),
    Subject(
        "Gamma",
        ef.Gamma(),
        lambda t: mp.loggamma(t[1]) - t[1] * mp.log(-t[0]),
        [[-2.0, 3.0], [-1.0, 1e-8], [-1.0, 1e10], [-1e-3, 1e-2], [-1.0, 1e8]],
        [[1.1], [1e-3], [1.0001e10], [0.3], [1e8]],
        lambda x: [x, mp.log(x)],
        lambda x: -mp.log(x),
        lambda t, e: -e[1],
        lambda t: stats.gamma(t[1], scale=-1 / t[0]),
    ),
    Subject(
        "InverseGaussian",
        ef.InverseGaussian(),
        lambda t: -2 * mp.sqrt(t[0] * t[1]) - mp.log(-2 * t[1]) / 2,
        [[-0.5, -0.5], [-1e-8, -2.0], [-1e8, -1e8], [-1e4, -1e-4]],
        [[0.7], [30.0], [1.0], [1e-4]],
        lambda x: [x, 1 / x],
        lambda x: -(LOG_2_PI + 3 * mp.log(x)) / 2,
        lambda t, e: -(LOG_2_PI + 3 * mean_log_inverse_gaussian(t, e)) / 2,
        lambda t: stats.invgauss(1 / (2 * np.sqrt(t[0] * t[1])), scale=-2 * t[1]),
    ),
    Subject(
        "Beta",
        ef.Beta(),
        lambda t: mp.loggamma(t[0]) + mp.loggamma(t[1]) - mp.loggamma(t[0] + t[1]),
        [[2.0, 3.0], [1e-3, 1e-3], [1e8, 1e-3], [50.0, 0.1], [1e8, 1e8]],
        [[0.3], [0.5], [0.99999], [0.9], [0.5001]],
        lambda x: [mp.log(x), mp.log(1 - x)],
        lambda x: -mp.log(x) - mp.log(1 - x),
        lambda t, e: -e[0] - e[1],
        lambda t: stats.beta(t[0], t[1]),
    ),
    Subject(
        "Dirichlet",
        ef.Dirichlet(3),
        lambda t: sum(mp.loggamma(a) for a in t) - mp.loggamma(sum(t)),
        [[2.0, 3.0, 0.5], [1e-3, 1e-2, 1.0], [1e-2, 1.0, 100.0], [1e3, 1e3, 1e3], [1e8, 1.0, 1e-3]],
        [[[0.25, 0.5, 0.25]]] * 5,
        lambda x: [mp.log(a) for a in x],
        lambda x: -sum(mp.log(a) for a in x),
        lambda t, e: -sum(e),
    ),
    Subject(
        "VonMises",
        ef.VonMises(),
        lambda t: mp.log(mp.besseli(0, mp.sqrt(t[0] ** 2 + t[1] ** 2))),
        [[1.0, 0.5], [1e-8, 0.0], [600.0, 700.0], [1e6, 1.0]],
        [[0.3], [2.0], [0.8], [1e-3]],
        lambda x: [mp.cos(x), mp.sin(x)],
        lambda x: -LOG_2_PI,
        lambda t, e: -LOG_2_PI,
        lambda t: stats.vonmises(np.hypot(*t), loc=np.arctan2(t[1], t[0])),
    ),
    Subject(
        "VonMisesFisher",
        ef.VonMisesFisher(4),
        log_sphere,
        [[1.0, 0.5, 0.0, -2.0], [1e-6, 0.0, 0.0, 0.0], [600.0, 0.0, 0.0, 700.0], [1e6, 1.0, 0, 0]],
        [[[0.5, 0.5, -0.5, 0.5]]] * 4,
        lambda x: list(x),
        lambda x: -mp.log(2 * mp.pi**2),
        lambda t, e: -mp.log(2 * mp.pi**2),
        lambda t: stats.vonmises_fisher(np.divide(t, np.linalg.norm(t)), np.linalg.norm(t)),
    ),
    Subject(
        "Wishart",
        ef.Wishart(2),
        log_wishart,
        [[-0.5, -0.7, 0.1, 2.0], [-0.5, -0.7, 0.1, 0.500001], [-0.5, -1e4, 10.0, 1e6]],
        [[[[1.0, 0.25], [0.25, 2.0]]]] * 3,
        lambda x: [
            x[0][0],
            x[1][1],
            mp.sqrt(2) * x[0][1],
            mp.log(x[0][0] * x[1][1] - x[0][1] ** 2),
        ],
        lambda x: -mp.mpf(3) / 2 * mp.log(x[0][0] * x[1][1] - x[0][1] ** 2),
        lambda t, e: -mp.mpf(3) / 2 * e[3],
    ),
]


# The same distributions in numpyro, from flattened natural coordinates.
NUMPYRO: dict[str, Callable[[Any, Any], Any]] = {
    "Normal": lambda d, t: d.Normal(-t[0] / (2 * t[1]), (-2 * t[1]) ** -0.5).to_event(0),
    "Bernoulli": lambda d, t: d.BernoulliLogits(t[0]),
    "Binomial": lambda d, t: d.BinomialLogits(t[0], 100000),
    "Categorical": lambda d, t: d.CategoricalLogits(jnp.concatenate([jnp.zeros(1, t.dtype), t])),
    "Poisson": lambda d, t: d.Poisson(jnp.exp(t[0])),
    "Geometric": lambda d, t: d.GeometricProbs(-jnp.expm1(t[0])),
    "NegativeBinomial": lambda d, t: d.NegativeBinomialProbs(2.5, jnp.exp(t[0])),
    "Exponential": lambda d, t: d.Exponential(-t[0]),
    "Gamma": lambda d, t: d.Gamma(t[1], -t[0]),
    "Beta": lambda d, t: d.Beta(t[0], t[1]),
    "Dirichlet": lambda d, t: d.Dirichlet(t),
    "VonMises": lambda d, t: d.VonMises(jnp.arctan2(t[1], t[0]), jnp.hypot(t[0], t[1])),
}


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
    except NotImplementedError:
        return None
    return function


def exact(values: Any) -> Any:
    """Rounded numbers, in mpmath."""
    if np.ndim(values):
        return [exact(v) for v in values]
    return mp.mpf(float(values))


@cache
def slopes(psi: Callable[[Numbers], Any], theta: tuple) -> list[Any]:
    """∇ψ."""
    return [partial(psi, theta, [i]) for i in range(len(theta))]


@cache
def bends(psi: Callable[[Numbers], Any], theta: tuple) -> Any:
    """∇²ψ."""
    n = len(theta)
    return mp.matrix([[partial(psi, theta, [i, j]) for j in range(n)] for i in range(n)])


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


def compare(subject: Subject, dtype: str) -> list[Row]:
    """All verbs at all points."""
    family, rows = subject.family, []
    unit = float(np.finfo(dtype).eps) / 2
    rounded = [np.asarray(p, dtype) for p in subject.points]
    for index, (vector, data) in enumerate(zip(rounded, subject.data, strict=True)):
        label = ", ".join(f"{v:.6g}" for v in subject.points[index])
        theta = tuple(exact(vector))
        eta = slopes(subject.psi, theta)
        curvature = bends(subject.psi, theta)
        params = family.unflatten(jnp.asarray(vector), ef.Natural)
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
            vector: Any = vector,
        ) -> None:
            errors = {"expfam": relative(found, expected, dtype)}
            for name, theirs in (("scipy", scipy), ("numpyro", numpyro)):
                if theirs is not None:
                    with np.errstate(all="ignore"):
                        errors[name] = relative(theirs(), expected, dtype)
            moved = sum(abs(s * t) for s, t in zip(slope, exact(vector), strict=True))
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
            back = np.asarray(family.flatten(family.to_natural(means)), np.float64)
        except ValueError:
            back = None  # no natural coordinates have means that round to the boundary
        if back is not None:
            place = tuple(exact(back))
            there = bends(subject.psi, place)
            gap = mp.matrix(
                [a - b for a, b in zip(slopes(subject.psi, place), exact(target), strict=True)]
            )
            error = mp.lu_solve(there, gap)
            solution = [b - e for b, e in zip(exact(back), error, strict=True)]
            inverse = mp.inverse(there)
            size = len(theta)
            moves = [max(abs(inverse[i, j]) for i in range(size)) for j in range(size)]
            add("natural", back, solution, moves, vector=target)
        for x in data:
            value = np.asarray(x, dtype if np.asarray(x).dtype.kind == "f" else int)
            point = exact(value) if value.dtype.kind == "f" else x
            linear = sum(t * s for t, s in zip(theta, subject.statistic(point), strict=True))
            density = linear + subject.log_base(point) - psi
            residual = [a - b for a, b in zip(subject.statistic(point), eta, strict=True)]
            log_density = None if peer is None else getattr(peer, "logpdf", None)
            if peer is not None and hasattr(peer, "logpmf") and value.dtype.kind != "f":
                log_density = peer.logpmf
            add(
                "log-density",
                family.log_density(params, jnp.asarray(value)),
                [density],
                residual,
                f"{label}; x = {np.ravel(x)[0]:.6g}",
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
            ("divergence, close", vector * np.asarray(1 + 1e-4, dtype)),
            ("divergence, far", rounded[index - 1]),
        ):
            place = tuple(exact(other))
            apart = [a - b for a, b in zip(place, theta, strict=True)]
            if all(a == 0 for a in apart):
                continue
            with mp.workdps(80):
                linear = sum(a * e for a, e in zip(apart, eta, strict=True))
                divergence = subject.psi(place) - psi - linear
            q = family.unflatten(jnp.asarray(other), ef.Natural)
            # What moves with p is −F(q − p), and with q the difference of the means.
            size = range(len(theta))
            moves = [abs(sum(curvature[i, j] * apart[i] for i in size)) for j in size]
            shifts = zip(slopes(subject.psi, place), eta, place, theta, strict=True)
            for j, (there, here, own, base) in enumerate(shifts):
                moves[j] += abs((there - here) * own / base) if base else 0
            if verb == "divergence, close":
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
    parser.add_argument("--markdown", type=Path, help="write the table to this file")
    parser.add_argument("--all", action="store_true", help="print every comparison")
    parser.add_argument("--only", help="one family")
    options = parser.parse_args()
    rows: list[Row] = []
    for dtype in ("float32", "float64"):
        jax.config.update("jax_enable_x64", dtype == "float64")
        for subject in SUBJECTS:
            if options.only in (None, subject.name):
                rows += compare(subject, dtype)
    if options.all:
        for row in rows:
            shown = "  ".join(f"{k} {v:.1e}" for k, v in row.errors.items())
            allowed = bar(row.verb, row.dtype) + row.explained
            mark = " <<<" if row.errors["expfam"] > allowed else ""
            print(
                f"{row.family} {row.verb} ({row.arguments}) {row.dtype}: {shown}"
                f"  explained {row.explained:.0e}{mark}"
            )
    lines = table(rows)
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


def table(rows: list[Row]) -> list[str]:
    """Families by verbs: the largest error that rounded arguments do not explain."""
    verbs = list(dict.fromkeys(row.verb for row in rows))
    lines = [f"| family | type | {' | '.join(verbs)} |", f"| --- | --- |{' --- |' * len(verbs)}"]
    for family in dict.fromkeys(row.family for row in rows):
        for dtype in BARS:
            cells = []
            for verb in verbs:
                chosen = [r for r in rows if (r.family, r.verb, r.dtype) == (family, verb, dtype)]
                cells.append(cell(chosen, dtype))
            lines.append(f"| {family} | {dtype} | {' | '.join(cells)} |")
    return lines


def bar(verb: str, dtype: str) -> float:
    """The error that a verb may have."""
    return 1e-4 if (verb, dtype) == ("divergence, close", "float32") else BARS[dtype]


def cell(rows: list[Row], dtype: str) -> str:
    """The largest errors of a verb, of this library and, in brackets, of its peers."""
    if not rows:
        return "–"
    names = list(dict.fromkeys(name for row in rows for name in row.errors))
    beyond = {
        name: max(max(r.errors[name] - r.explained, 0) for r in rows if name in r.errors)
        for name in names
    }
    own = beyond.pop("expfam")
    text = f"{own:.0e}" if own <= bar(rows[0].verb, dtype) else f"**{own:.0e}**"
    peers = ", ".join(f"{name} {error:.0e}" for name, error in beyond.items())
    return f"{text} ({peers})" if peers else text


if __name__ == "__main__":
    main()
