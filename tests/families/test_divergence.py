"""Divergences where differences of log-normalizers lose all digits, against mpmath."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import expfam as ef
from tests.registry import FLOAT32

from .reference import assert_exact, exact

pytestmark = pytest.mark.slow

# Pairs far from each other, and pairs that differ by 10⁻⁴ of all coordinates.
FAR = 1e-5 if FLOAT32 else 1e-12
CLOSE = 1e-4 if FLOAT32 else 1e-10


def bregman(psi, p, q):
    """ψ(q) − ψ(p) − ⟨∇ψ(p), q − p⟩ of vectors, in 60 digits."""
    with mp.workdps(60):
        p, q = exact(p), exact(q)
        pairs = list(zip(p, q, strict=True))

        def along(i):
            return mp.diff(lambda t: psi([*p[:i], t, *p[i + 1 :]]), p[i], h=mp.mpf(10) ** -20)

        return psi(q) - psi(p) - sum((b - a) * along(i) for i, (a, b) in enumerate(pairs))


def log_gamma_psi(theta):
    """Of gammas, from −β and k."""
    return mp.loggamma(theta[1]) - theta[1] * mp.log(-theta[0])


def log_beta_psi(theta):
    """Of betas."""
    return sum(mp.loggamma(t) for t in theta) - mp.loggamma(sum(theta))


def inverse_gaussian_psi(theta):
    """Of inverse Gaussians."""
    return -2 * mp.sqrt(theta[0] * theta[1]) - mp.log(-2 * theta[1]) / 2


def log_cosh_psi(theta):
    """Of two categories."""
    return mp.log1p(mp.exp(theta[0]))


def log_bessel_psi(theta):
    """Of angles."""
    return mp.log(mp.besseli(0, mp.hypot(*theta)))


def wishart_psi(theta):
    """Of 2 × 2 Wisharts, from the diagonal, √2 times the rest, and the power."""
    first, second, rest, power = theta
    gammas = mp.loggamma(power) + mp.loggamma(power - mp.mpf(1) / 2)
    return gammas - power * mp.log(first * second - rest**2 / 2)


def normal_wishart_psi(theta):
    """Of normal-Wisharts of two dimensions."""
    f, (s, t, u), count, freedom = theta[:2], theta[2:5], theta[5], theta[6]
    squares = [s - f[0] ** 2 / count, t - f[1] ** 2 / count]
    rest = u - mp.sqrt(2) * f[0] * f[1] / count
    halves = [-a / 2 for a in (*squares, rest)]
    return wishart_psi([*halves, freedom / 2]) - mp.log(count)


def regression_psi(theta):
    """Of matrix-normal-inverse-Wisharts of one column of two rows."""
    f, s, (k, m, u), freedom = theta[:2], theta[2], theta[3:6], theta[6]
    rest = u / mp.sqrt(2)
    det = k * m - rest**2
    fit = (m * f[0] ** 2 + k * f[1] ** 2 - 2 * rest * f[0] * f[1]) / det
    return mp.loggamma(freedom / 2) - freedom / 2 * mp.log((s - fit) / 2) - mp.log(det) / 2


PAIRS = [
    ("gamma", ef.Gamma(), log_gamma_psi, [-1.0, 1e8], [-1e-3, 1e-2]),
    ("gamma_back", ef.Gamma(), log_gamma_psi, [-1e-3, 1e-2], [-1.0, 1e8]),
    ("beta", ef.Beta(), log_beta_psi, [1e8, 1e8], [50.0, 0.1]),
    ("beta_mixed", ef.Beta(), log_beta_psi, [1e8, 1e-3], [1e-3, 1e-3]),
    ("inverse_gaussian", ef.InverseGaussian(), inverse_gaussian_psi, [-1e8, -1e8], [-1e-8, -2.0]),
    ("bernoulli", ef.Bernoulli(), log_cosh_psi, [80.0], [40.0]),
    ("bernoulli_other", ef.Bernoulli(), log_cosh_psi, [80.0], [-80.0]),
    ("von_mises", ef.VonMises(), log_bessel_psi, [1e6, 1.0], [600.0, 700.0]),
    ("wishart", ef.Wishart(2), wishart_psi, [-0.5, -64.0, 0.0, 1e6], [-2.0, -1.0, 0.5, 0.75]),
    (
        "inverse_wishart",
        ef.InverseWishart(2),
        wishart_psi,
        [-0.5, -0.75, 0.125, 2.0],
        [-0.5, -64.0, 0.5, 1e6],
    ),
    (
        "normal_gamma",
        ef.NormalGamma(),
        lambda t: regression_psi([t[0], 0, t[1], t[2], 1, 0, t[3]]),
        [4.0, 11.0, 2.0, 1e5],
        [-1.0, 3.0, 0.5, 1.0],
    ),
    (
        "normal_wishart",
        ef.NormalWishart(2),
        normal_wishart_psi,
        [4.0, 0.0, 11.0, 5.0, 0.0, 2.0, 2e5],
        [1.0, 1.0, 7.0, 3.0, 0.5, 1.0, 3.0],
    ),
    (
        "regression",
        ef.MatrixNormalInverseWishart(2, 1),
        regression_psi,
        [2.0, -1.0, 9.0, 1.0, 2.0, 0.5, 7.0],
        [1.0, 1.0, 7.0, 3.0, 1.0, 0.5, 2e5],
    ),
    ("von_mises_zero", ef.VonMises(), log_bessel_psi, [600.0, 700.0], [1e-8, 0.0]),
]


@pytest.mark.parametrize(
    ("family", "psi", "p", "q"), [x[1:] for x in PAIRS], ids=[x[0] for x in PAIRS]
)
def test_divergences_keep_their_digits(family, psi, p, q):
    dtype = np.float32 if FLOAT32 else np.float64
    p = np.asarray(p, dtype)
    pairs = [(np.asarray(q, dtype), FAR), (p * dtype(1 + 1e-4), CLOSE)]

    @jax.jit
    def divergences(others):
        start = family.unflatten(jnp.asarray(p), ef.Natural)
        return jax.vmap(
            lambda other: family.kl_divergence(start, family.unflatten(other, ef.Natural))
        )(others)

    found = divergences(jnp.asarray([*(other for other, _ in pairs), p]))
    assert float(found[-1]) == 0
    for (other, bar), value in zip(pairs, found[:-1], strict=True):
        expected = bregman(psi, p, other)
        if abs(expected) > np.finfo(dtype).tiny:
            assert_exact([value], [expected], bar)
