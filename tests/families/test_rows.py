"""Maximum likelihood from rows that are close to each other, or equal, against mpmath.

The reference is a Newton step in many digits, from the estimate and the rows as they were rounded:
relative to the estimate it is its error.
"""

import contextlib

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import expfam as ef
from tests.families.reference import DIGITS, exact
from tests.registry import FLOAT32

# rows are known to ε, their spread to ε over its size
BAR = 2e-5 if FLOAT32 else 1e-13
PATTERN = np.array([0.1, -0.3, 0.5, 0.2, -0.4])
SMALLEST = 1e-3 if FLOAT32 else 1e-6


def dirichlet_errors(alpha, rows):
    """Of concentrations, relative; rows are made to sum to one."""
    alpha = exact(alpha)
    rows = [[x / mpmath.fsum(row) for x in row] for row in rows]
    logs = [mpmath.fsum(map(mpmath.log, column)) / len(rows) for column in zip(*rows, strict=True)]
    total, trigamma = mpmath.fsum(alpha), lambda a: mpmath.psi(1, a)
    size = range(len(alpha))
    score = [logs[i] - mpmath.digamma(alpha[i]) + mpmath.digamma(total) for i in size]
    bend = mpmath.matrix(
        [[(trigamma(alpha[i]) if i == j else 0) - trigamma(total) for j in size] for i in size]
    )
    step = mpmath.lu_solve(bend, mpmath.matrix(score))
    return [float(abs(s / a)) for s, a in zip(step, alpha, strict=True)]


def concentration_error(size, kappa, length):
    """Of κ, relative, for a mean resultant length R: a step in log κ."""
    kappa, order = exact(kappa), mpmath.mpf(size) / 2 - 1
    ratio = mpmath.besseli(order + 1, kappa) / mpmath.besseli(order, kappa)
    slope = 1 - ratio**2 - (size - 1) * ratio / kappa
    return float(abs((length - ratio) / slope / kappa))


@pytest.mark.parametrize(
    ("center", "spread"),
    [(0.3, 0.3), (0.3, SMALLEST), (1e-4, 0.3), (1e-4, 1e-2), (1e-30, 0.3), (0.9999, 1e-5)],
)
def test_beta(center, spread):
    xs = jnp.asarray(center * (1 + spread * PATTERN))
    family = ef.Beta()
    alpha = jnp.stack(family.concentration(family.maximum_likelihood(xs)))
    with mpmath.workdps(DIGITS + 60):
        assert max(dirichlet_errors(alpha, [[x, 1 - x] for x in exact(xs)])) < BAR


@pytest.mark.parametrize("spread", [0.3, SMALLEST])
def test_dirichlet(spread):
    first, second = 0.3 * (1 + spread * PATTERN), 0.2 * (1 - spread * PATTERN[::-1])
    xs = jnp.asarray(np.stack([first, second, 1 - first - second], axis=1))
    family = ef.Dirichlet(3)
    alpha = family.concentration(family.maximum_likelihood(xs))
    with mpmath.workdps(DIGITS):
        assert max(dirichlet_errors(alpha, exact(xs))) < BAR


@pytest.mark.parametrize(("center", "spread"), [(0.3, SMALLEST), (-3.1, 0.3), (1.0, 3.0)])
def test_von_mises(center, spread):
    xs = jnp.asarray(center * (1 + spread * PATTERN))
    family = ef.VonMises()
    angle, kappa = family.angle_concentration(family.maximum_likelihood(xs))
    with mpmath.workdps(DIGITS):
        cosine, sine = (mpmath.fsum(map(f, exact(xs))) / len(xs) for f in (mpmath.cos, mpmath.sin))
        assert concentration_error(2, kappa, mpmath.hypot(cosine, sine)) < BAR
        assert abs(exact(angle) - mpmath.atan2(sine, cosine)) < 4 * BAR


@pytest.mark.parametrize("size", [2, 3, 10])
@pytest.mark.parametrize("spread", [3.0, 0.3, SMALLEST])
def test_von_mises_fisher(size, spread):
    rng = np.random.default_rng(size)
    rows = rng.normal(size=size) + spread * rng.normal(size=(6, size))
    xs = jnp.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    family = ef.VonMisesFisher(size)
    kappa = family.direction_concentration(family.maximum_likelihood(xs))[1]
    with mpmath.workdps(DIGITS):
        units = [[x / mpmath.norm(row) for x in row] for row in exact(xs)]
        length = mpmath.norm([mpmath.fsum(column) / 6 for column in zip(*units, strict=True)])
        assert concentration_error(size, kappa, length) < BAR


EQUAL = {
    "beta": (ef.Beta(), 0.7),
    "beta, near zero": (ef.Beta(), 1e-30),
    "beta, near one": (ef.Beta(), 0.999999),
    "dirichlet": (ef.Dirichlet(3), [0.7, 0.2, 0.1]),
    "von Mises": (ef.VonMises(), 0.7),
    "von Mises–Fisher": (ef.VonMisesFisher(3), [0.6, 0.0, 0.8]),
    "gamma": (ef.Gamma(), 0.7),
    "inverse Gaussian": (ef.InverseGaussian(), 0.7),
}


@pytest.mark.parametrize("name", EQUAL)
@pytest.mark.parametrize("n", [7, 10])
def test_equal_rows_have_no_maximum(name, n):
    family, row = EQUAL[name]
    with pytest.raises(ValueError, match="not attained"):
        family.maximum_likelihood(jnp.stack([jnp.asarray(row)] * n))


# Of 40 rows 10 are equal, or nearly so.
MIXED = {
    "beta": (ef.Beta(), lambda rng: rng.beta(2, 5, 30)),
    "gamma": (ef.Gamma(), lambda rng: rng.gamma(2, 1, 30)),
    "von Mises": (ef.VonMises(), lambda rng: rng.uniform(-3, 3, 30)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MIXED)
def test_steps_of_mixtures_do_not_fall(name):
    family, others = MIXED[name]
    mixture = ef.Mixture(family, 2)
    for spread in (0.0, 1e-3):
        rng = np.random.default_rng(0)
        xs = jnp.asarray(np.concatenate([others(rng), 0.7 + spread * rng.normal(size=10)]))
        params = mixture.initialize_from_sample(jax.random.key(0), xs)
        values = []
        # one component may come down upon the equal rows, where no step is left
        with contextlib.suppress(ValueError):
            for _ in range(80):
                values.append(float(mixture.average_log_observable_density(params, xs)))
                params = mixture.expectation_maximization(params, xs)
        assert len(values) > 3
        assert min(np.diff(values)) > (-1e-5 if FLOAT32 else -1e-13)
