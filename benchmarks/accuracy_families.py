"""Families of the accuracy table: hard points of each, and what mpmath needs to know of it.

Natural coordinates are flattened: symmetric matrices have their diagonal first, then √2 times the
entries above it.
"""

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import mpmath as mp
import numpy as np
from scipy import stats

import expfam as ef

mp.mp.dps = 60
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


def exact(values: Any) -> Any:
    """Rounded numbers, in mpmath."""
    if isinstance(values, tuple):
        return tuple(exact(v) for v in values)
    if np.ndim(values):
        return [exact(v) for v in values]
    return mp.mpf(float(values))


def log_factorial(x: Any) -> Any:
    """log x!"""
    return _log_factorial(x, mp.mp.dps) if isinstance(x, int) else mp.loggamma(x + 1)


@cache
def _log_factorial(x: int, digits: int) -> Any:
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


def half_determinant(theta: Numbers) -> Any:
    """|A| of a symmetric 2 × 2 matrix."""
    return theta[0] * theta[1] - theta[2] ** 2 / 2


def log_normal_gamma(theta: Numbers) -> Any:
    """ψ of normal-gammas."""
    first, second, count, freedom = theta
    rate = (second - first**2 / count) / 2
    return mp.loggamma(freedom / 2) - freedom / 2 * mp.log(rate) - mp.log(count) / 2


def log_normal_wishart(theta: Numbers) -> Any:
    """ψ of normal-Wisharts in two dimensions."""
    f, (s, t, u), count, freedom = theta[:2], theta[2:5], theta[5], theta[6]
    scale = [s - f[0] ** 2 / count, t - f[1] ** 2 / count, u - mp.sqrt(2) * f[0] * f[1] / count]
    return log_wishart([*(-a / 2 for a in scale), freedom / 2]) - mp.log(count)


def log_regression(theta: Numbers) -> Any:
    """ψ of matrix-normal-inverse-Wisharts, of 2 × 1 matrices."""
    f, s, (k, m, u), freedom = theta[:2], theta[2], theta[3:6], theta[6]
    det = half_determinant([k, m, u])
    fit = (m * f[0] ** 2 + k * f[1] ** 2 - mp.sqrt(2) * u * f[0] * f[1]) / det
    return mp.loggamma(freedom / 2) - freedom / 2 * mp.log((s - fit) / 2) - mp.log(det) / 2


def log_matrix_normal(theta: Numbers) -> Any:
    """ψ of matrix normals, of 1 × 2 matrices."""
    f, (s, t, u) = theta[:2], [-2 * a for a in theta[2:]]
    det = half_determinant([s, t, u])
    fit = (t * f[0] ** 2 + s * f[1] ** 2 - mp.sqrt(2) * u * f[0] * f[1]) / det
    return fit / 2 - mp.log(det) / 2


def log_boltzmann(theta: Numbers) -> Any:
    """ψ of Boltzmann machines of three nodes, all of them coupled."""
    pairs = list(itertools.combinations(range(3), 2))
    return mp.log(
        sum(
            mp.exp(
                sum(t * b for t, b in zip(theta, x, strict=False))
                + sum(w * x[i] * x[j] for w, (i, j) in zip(theta[3:], pairs, strict=True))
            )
            for x in itertools.product((0, 1), repeat=3)
        )
    )


def flat_inverse(x: Numbers) -> list[Any]:
    """X⁻¹ of a 2 × 2 matrix, flattened, and log |X⁻¹|."""
    det = x[0][0] * x[1][1] - x[0][1] ** 2
    return [x[1][1] / det, x[0][0] / det, -mp.sqrt(2) * x[0][1] / det, -mp.log(det)]


def flat(x: Numbers) -> list[Any]:
    """A 2 × 2 matrix X, flattened, and log |X|."""
    return [
        x[0][0],
        x[1][1],
        mp.sqrt(2) * x[0][1],
        mp.log(x[0][0] * x[1][1] - x[0][1] ** 2),
    ]


def normal_wishart_statistic(mean: Numbers, precision: Numbers) -> list[Any]:
    """Of a mean, and of a flattened precision with log |Λ|."""
    s, t, u, log_det = precision
    first = [s * mean[0] + u * mean[1] / mp.sqrt(2), u * mean[0] / mp.sqrt(2) + t * mean[1]]
    square = first[0] * mean[0] + first[1] * mean[1]
    return [*first, -s / 2, -t / 2, -u / 2, -square / 2, log_det / 2]


LOG_2_PI = mp.log(2 * mp.pi)
MATRIX = [[1.0, 0.25], [0.25, 2.0]]
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
        [[-0.7], [-1e-8], [-30.0], [-1e-12]],
        [[1, 3], [5, 100000000], [1, 2], [1, 1000]],
        lambda x: [x],
        lambda x: -mp.log(x),
        None,
        lambda t: stats.logser(np.exp(t[0])),
    ),
    Subject(
        "ConwayMaxwellPoisson",
        ef.ConwayMaxwellPoisson(),
        log_series,
        [
            [1.0, -1.0],
            [0.01 * np.log(5.0), -0.01],
            [0.05 * np.log(500.0), -0.05],
            [np.log(1e4), -1.0],
            [80.0, -50.0],
        ],
        [[0, 3], [2, 40], [500, 700], [10000, 10300], [1, 5]],
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
        [[MATRIX]] * 3,
        flat,
        lambda x: -mp.mpf(3) / 2 * flat(x)[3],
        lambda t, e: -mp.mpf(3) / 2 * e[3],
    ),
    Subject(
        "InverseGamma",
        ef.InverseGamma(),
        lambda t: mp.loggamma(t[1]) - t[1] * mp.log(-t[0]),
        [[-2.0, 3.0], [-1.0, 1e-8], [-1.0, 1e10]],
        [[1.1], [1e3], [1.0001e-10]],
        lambda x: [1 / x, -mp.log(x)],
        lambda x: -mp.log(x),
        lambda t, e: e[1],
        lambda t: stats.invgamma(t[1], scale=-t[0]),
    ),
    Subject(
        "InverseWishart",
        ef.InverseWishart(2),
        log_wishart,
        [[-0.5, -0.7, 0.1, 2.0], [-0.5, -0.7, 0.1, 0.500001], [-0.5, -1e4, 10.0, 1e6]],
        [[MATRIX]] * 3,
        flat_inverse,
        lambda x: -mp.mpf(3) / 2 * flat(x)[3],
        lambda t, e: mp.mpf(3) / 2 * e[3],
    ),
    Subject(
        "NormalGamma",
        ef.NormalGamma(),
        log_normal_gamma,
        [[4.0, 11.0, 2.0, 6.0], [0.5, 30.0, 0.01, 0.1], [1.0, 1e3, 1e4, 2e5]],
        [[(0.5, 1.5)], [(30.0, 0.02)], [(1e-3, 200.0)]],
        lambda x: [x[0] * x[1], -x[1] / 2, -(x[0] ** 2) * x[1] / 2, mp.log(x[1]) / 2],
        lambda x: -(mp.log(x[1]) + LOG_2_PI) / 2,
        lambda t, e: -(2 * e[3] + LOG_2_PI) / 2,
    ),
    Subject(
        "NormalWishart",
        ef.NormalWishart(2),
        log_normal_wishart,
        [[4.0, 2.0, 11.0, 5.0, 4.2, 2.0, 6.0], [0.5, 0.0, 1e3, 2.0, 1.0, 1e2, 2e5]],
        [[([0.5, 1.5], MATRIX)]] * 2,
        lambda x: normal_wishart_statistic(x[0], flat(x[1])),
        lambda x: -flat(x[1])[3] - LOG_2_PI,
        lambda t, e: -2 * e[6] - LOG_2_PI,
    ),
    Subject(
        "NormalInverseWishart",
        ef.NormalInverseWishart(2),
        log_normal_wishart,
        [[4.0, 2.0, 11.0, 5.0, 4.2, 2.0, 6.0], [0.5, 0.0, 1e3, 2.0, 1.0, 1e2, 2e5]],
        [[([0.5, 1.5], MATRIX)]] * 2,
        lambda x: normal_wishart_statistic(x[0], flat_inverse(x[1])),
        lambda x: -2 * flat(x[1])[3] - LOG_2_PI,
        lambda t, e: 4 * e[6] - LOG_2_PI,
    ),
    Subject(
        "MatrixNormalInverseWishart",
        ef.MatrixNormalInverseWishart(2, 1),
        log_regression,
        [[2.0, -1.0, 9.0, 1.0, 2.0, 0.5, 7.0], [1.0, 1.0, 7.0, 3.0, 1.0, 0.5, 2e5]],
        [[([[0.5], [1.5]], [[2.0]])]] * 2,
        lambda x: [
            x[0][0][0] / x[1][0][0],
            x[0][1][0] / x[1][0][0],
            -1 / x[1][0][0] / 2,
            -(x[0][0][0] ** 2) / x[1][0][0] / 2,
            -(x[0][1][0] ** 2) / x[1][0][0] / 2,
            -x[0][0][0] * x[0][1][0] / x[1][0][0] / mp.sqrt(2),
            -mp.log(x[1][0][0]) / 2,
        ],
        lambda x: -2 * mp.log(x[1][0][0]) - LOG_2_PI,
        lambda t, e: 4 * e[6] - LOG_2_PI,
    ),
    Subject(
        "MatrixNormal",
        ef.MatrixNormal(1, 2),
        log_matrix_normal,
        [[1.0, -2.0, -0.5, -0.7, 0.1], [100.0, 3.0, -0.5, -1e6, 20.0]],
        [[[[0.5, -1.5]]], [[[101.0, 1e-3]]]],
        lambda x: [
            x[0][0],
            x[0][1],
            x[0][0] ** 2,
            x[0][1] ** 2,
            mp.sqrt(2) * x[0][0] * x[0][1],
        ],
        lambda x: -LOG_2_PI,
        lambda t, e: -LOG_2_PI,
    ),
    Subject(
        "Boltzmann",
        ef.Boltzmann(3),
        log_boltzmann,
        [[0.3, -1.0, 0.2, 0.5, -0.5, 1.0], [-6.0, 4.0, -3.0, 8.0, -5.0, 2.0]],
        [[[0, 1, 1], [1, 0, 1]]] * 2,
        lambda x: [*x, x[0] * x[1], x[0] * x[2], x[1] * x[2]],
        lambda x: 0,
        lambda t, e: 0,
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
