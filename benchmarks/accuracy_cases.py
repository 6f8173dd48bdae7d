"""Single comparisons of the accuracy table, of what is not a verb of a point of a family.

Predictive distributions and expectations of conjugate priors, maximum likelihood from rows, and von
Mises–Fishers in many dimensions. Arguments are numbers that float32 holds, or are rounded first.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax.numpy as jnp
import mpmath as mp
import numpy as np
from accuracy_families import exact, log_factorial
from scipy import special, stats

import expfam as ef


class Case(NamedTuple):
    """One comparison.

    Attributes:
        family: where it stands in the table.
        verb: what is computed.
        arguments: in words.
        found: by this library.
        expected: in many digits.
        explained: the relative error that the rounding of the arguments explains.
        scipy: the same by scipy, in float64.
    """

    family: str
    verb: str
    arguments: str
    found: Any
    expected: list[Any]
    explained: float = 0.0
    scipy: Callable[[], Any] | None = None


def all_cases(dtype: str) -> Iterator[Case]:
    """All of them."""
    yield from predictives()
    yield from expectations()
    yield from likelihoods(dtype)
    yield from spheres(dtype)


def log_beta(x: Any, y: Any) -> Any:
    """log B(x, y)."""
    return mp.loggamma(x) + mp.loggamma(y) - mp.loggamma(x + y)


def log_rise(x: Any, n: Any) -> Any:
    """log Γ(x + n) − log Γ(x)."""
    return mp.loggamma(mp.mpf(x) + n) - mp.loggamma(x)


# ---------------------------------------------------------------- conjugate priors


def predictives() -> Iterator[Case]:
    """Log-densities of the next observation at large pseudo-counts."""
    for size, n, x in ((1e6, 100, 50), (1e6, 100, 30), (1e8, 1000, 500), (1e8, 1000, 450)):
        yield Case(
            "beta-binomial",
            "log-predictive",
            f"{size:.0e}; {x} of {n}",
            prior_of(ef.Binomial(n), alpha=size, beta=size).log_predictive(jnp.asarray(x)),
            [
                log_factorial(n)
                - log_factorial(x)
                - log_factorial(n - x)
                + log_beta(mp.mpf(size) + x, mp.mpf(size) + n - x)
                - log_beta(mp.mpf(size), mp.mpf(size))
            ],
            scipy=lambda size=size, n=n, x=x: stats.betabinom(n, size, size).logpmf(x),
        )
    x = np.array([5, 10, 15])
    for size in (1e6, 1e8):
        alpha = size * np.array([1.0, 2.0, 3.0])
        yield Case(
            "Dirichlet-multinomial",
            "log-predictive",
            f"{size:.0e}",
            prior_of(ef.Multinomial(30, 3), concentration=jnp.asarray(alpha)).log_predictive(x),
            [
                log_factorial(30)
                - log_rise(alpha.sum(), 30)
                + sum(
                    log_rise(a, int(k)) - log_factorial(int(k))
                    for a, k in zip(alpha, x, strict=True)
                )
            ],
            scipy=lambda alpha=alpha: stats.dirichlet_multinomial.logpmf(x, alpha, 30),
        )
    for shape, rate, count in ((1e6, 1e4, 100), (1e8, 1e6, 130), (0.001, 1e6, 3)):
        yield Case(
            "gamma-Poisson",
            "log-predictive",
            f"{shape:.0e}, {rate:.0e}; x = {count}",
            prior_of(ef.Poisson(), shape=shape, rate=rate).log_predictive(jnp.asarray(count)),
            [
                log_rise(single(shape), count)
                - log_factorial(count)
                - single(shape) * mp.log1p(1 / mp.mpf(rate))
                - count * mp.log1p(mp.mpf(rate))
            ],
            scipy=lambda a=shape, b=rate, k=count: stats.nbinom(a, b / (1 + b)).logpmf(k),
        )
    for shape, rate, length in ((1e6, 1e5, 0.25), (1e8, 1e8, 2.0)):
        yield Case(
            "Lomax",
            "log-predictive",
            f"{shape:.0e}, {rate:.0e}; x = {length}",
            prior_of(ef.Exponential(), shape=shape, rate=rate).log_predictive(jnp.asarray(length)),
            [mp.log(shape) - mp.log(rate) - (shape + 1) * mp.log1p(mp.mpf(length) / rate)],
            scipy=lambda a=shape, b=rate, t=length: stats.lomax(a, scale=b).logpdf(t),
        )
    mean, matrix, point = np.array([0.5, -0.25]), np.array([[2.0, 0.5], [0.5, 1.0]]), [2.0, 1.0]
    for size in (16.0, 2.0**20, 2.0**26):
        prior = prior_of(
            ef.Normal(2),
            mean=jnp.asarray(mean),
            count=size,
            scale=jnp.asarray(size * matrix),
            freedom=size,
        )
        freedom = mp.mpf(size) - 1
        spread = matrix * (size + 1) / (size - 1)
        gap = mp.matrix([mp.mpf(a) - mp.mpf(b) for a, b in zip(point, mean, strict=True)])
        scale = mp.matrix(matrix.tolist()) * (mp.mpf(size) + 1) / freedom
        fit = (gap.T * mp.inverse(scale) * gap)[0] / freedom
        yield Case(
            "Student t",
            "log-predictive",
            f"{size:.0e} degrees of freedom",
            prior.log_predictive(jnp.asarray(point)),
            [
                log_rise(freedom / 2, 1)
                - mp.log(freedom * mp.pi)
                - mp.log(mp.det(scale)) / 2
                - (freedom / 2 + 1) * mp.log1p(fit)
            ],
            scipy=lambda s=spread, n=size - 1: stats.multivariate_t(mean, s, n).logpdf(point),
        )


def expectations() -> Iterator[Case]:
    """Of natural coordinates and of the log-normalizer under a conjugate prior."""
    pairs = [(2.0, 3.0), (1e6, 1e6 + 1000), (2.0**17, 0.5)]
    for a, b in pairs:
        prior, total = prior_of(ef.Bernoulli(), alpha=a, beta=b), mp.mpf(a) + mp.mpf(b)
        yield Case(
            "beta prior",
            "E θ",
            f"{a:.7g}, {b:.7g}",
            prior.expected_natural().coords,
            [mp.digamma(a) - mp.digamma(b)],
            scipy=lambda a=a, b=b: special.digamma(a) - special.digamma(b),
        )
        yield Case(
            "beta prior",
            "E ψ",
            f"{a:.7g}, {b:.7g}",
            prior.expected_log_normalizer(),
            [mp.digamma(total) - mp.digamma(b)],
            scipy=lambda a=a, b=b: special.digamma(a + b) - special.digamma(b),
        )
    for shape, rate in ((2.0, 3.0), (2.0**-10, 1e6), (1e8, 1e4)):
        prior = prior_of(ef.Poisson(), shape=shape, rate=rate)
        yield Case(
            "gamma prior",
            "E θ",
            f"{shape:.3g}, {rate:.3g}",
            prior.expected_natural().coords,
            [mp.digamma(shape) - mp.log(rate)],
            scipy=lambda a=shape, b=rate: special.digamma(a) - np.log(b),
        )
        yield Case(
            "gamma prior",
            "E ψ",
            f"{shape:.3g}, {rate:.3g}",
            prior.expected_log_normalizer(),
            [mp.mpf(shape) / rate],
        )
    for size in (8.0, 2.0**20):
        prior = prior_of(ef.Normal(1), mean=[2.0], count=size, scale=[[size]], freedom=size)
        # E Λ = 1, and E log |Λ| = digamma(n/2) − log(n/2)
        mean_log = mp.digamma(mp.mpf(size) / 2) - mp.log(mp.mpf(size) / 2)
        yield Case(
            "normal-inverse-Wishart prior",
            "E ψ",
            f"{size:.0e}",
            prior.expected_log_normalizer(),
            [(4 + 1 / mp.mpf(size) - mean_log) / 2],
        )


def prior_of(family: Any, **values: Any) -> ef.ConjugatePrior:
    """The prior with the usual hyper-parameters."""
    arrays = {name: jnp.asarray(value, float) for name, value in values.items()}
    return ef.ConjugatePrior.from_hyperparameters(family, **arrays)


def single(value: float) -> Any:
    """A number as the default type of JAX holds it."""
    return exact(np.asarray(jnp.asarray(value, float)))


# ---------------------------------------------------------------- maximum likelihood


def likelihoods(dtype: str) -> Iterator[Case]:
    """From rows that are close to each other, or far from the origin."""
    for center in (1.0, 1000.0):
        xs = np.asarray(center * (1 + 1e-3 * np.array([0.1, -0.3, 0.5, 0.2, -0.4])), dtype)
        rows = exact(xs)
        mean = sum(rows) / 5
        gap = mp.log(mean) - sum(mp.log(x) for x in rows) / 5
        start = 1 / (2 * gap)
        shape = mp.findroot(lambda k, gap=gap: (mp.log(k) - mp.digamma(k)) / gap - 1, start)
        found = ef.Gamma().shape_rate(ef.Gamma().maximum_likelihood(jnp.asarray(xs)))[0]
        yield Case(
            "Gamma",
            "maximum likelihood",
            f"shape, five rows close to {center:g}",
            found,
            [shape],
            scipy=lambda xs=xs: stats.gamma.fit(xs.astype(float), floc=0)[0],
        )
    xs = np.asarray(1e4 + np.random.default_rng(0).normal(size=(200, 1)), dtype)
    rows = exact(xs[:, 0])
    mean = sum(rows) / len(rows)
    yield Case(
        "Normal",
        "maximum likelihood",
        "variance, rows at 10⁴",
        ef.Normal(1).mean_covariance(ef.Normal(1).maximum_likelihood(jnp.asarray(xs)))[1],
        [sum((x - mean) ** 2 for x in rows) / len(rows)],
        scipy=lambda: stats.norm.fit(xs.astype(float))[1] ** 2,
    )


# ---------------------------------------------------------------- spheres


def spheres(dtype: str) -> Iterator[Case]:
    """Von Mises–Fishers around an axis, in up to 1000 dimensions."""
    unit = float(np.finfo(dtype).eps) / 2
    for size in (2, 3, 100, 1000):
        family, axis = ef.VonMisesFisher(size), jnp.eye(size)[0]
        for kappa in (0.0, 1e-4, 1.0, 300.0, 1e6):
            params = ef.Natural(jnp.asarray(kappa, float) * axis)
            k, at = single(kappa), f"{size}, {kappa:.3g}"
            psi, length, slope = sphere(size, k)
            means = family.to_mean(params)
            name = "VonMisesFisher, d to 1000"
            grown = float(unit * k * length / psi) if kappa else 0
            yield Case(name, "log-normalizer", at, family.log_normalizer(params), [psi], grown)
            grown = float(unit * k * slope / length) if kappa else 0
            yield Case(name, "mean", at, means.coords[0], [length], grown)
            back = family.to_natural(means).coords[0]
            place = exact(np.asarray(back))
            _, reached, steep = sphere(size, place)
            wanted = exact(np.asarray(means.coords[0]))
            solution = place + (wanted - reached) / steep
            grown = float(unit * wanted / steep / solution) if kappa else 0
            yield Case(name, "natural", at, back, [solution], grown)
            area = mp.log(2) + mp.mpf(size) / 2 * mp.log(mp.pi) - mp.loggamma(mp.mpf(size) / 2)
            yield Case(
                name,
                "log-density",
                at,
                family.log_density(params, axis),
                [k - psi - area],
                float(unit * k * (1 - length) / abs(k - psi - area)),
                lambda axis=axis, k=kappa: (
                    stats.vonmises_fisher(np.asarray(axis), k).logpdf(axis) if k else np.nan
                ),
            )
            yield Case(
                name,
                "entropy",
                at,
                family.entropy(params),
                [psi - k * length + area],
                float(unit * k * k * slope / abs(psi - k * length + area)),
            )
            near = ef.Natural(params.coords * jnp.asarray(1 + 1e-4, float))
            other = exact(np.asarray(near.coords[0]))
            there = sphere(size, other)[0]
            with mp.workdps(80):
                divergence = there - psi - (other - k) * length
            found = family.kl_divergence(params, near)
            yield Case(name, "divergence, close", at, found, [divergence])


def sphere(size: int, kappa: Any) -> tuple[Any, Any, Any]:
    """ψ, A and A' at κ."""
    v = mp.mpf(size) / 2 - 1
    if not kappa:
        return mp.mpf(0), mp.mpf(0), 1 / mp.mpf(size)
    with mp.workdps(90):
        own, above = mp.besseli(v, kappa), mp.besseli(v + 1, kappa)
        psi = mp.loggamma(v + 1) + v * mp.log(2 / kappa) + mp.log(own)
        length = above / own
        return psi, length, 1 - length**2 - (size - 1) * length / kappa
