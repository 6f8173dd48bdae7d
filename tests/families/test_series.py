"""Logarithmic and Conway–Maxwell–Poisson distributions against sums in many digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.families.reference import DIGITS, assert_exact, cells_of, exact, relative_error
from tests.registry import CLOSE, FLOAT32

pytestmark = pytest.mark.slow

LOGARITHMIC, CONWAY = ef.Logarithmic(), ef.ConwayMaxwellPoisson()


@pytest.mark.parametrize("theta", [-1e-16, -1e-8, -1e-3, -0.1, -1.0, -2.5, -20.0])
def test_logarithmic_near_its_edges(theta):
    params = ef.Natural(jnp.asarray(theta))
    means = LOGARITHMIC.to_mean(params)
    with mpmath.workdps(2 * DIGITS):
        t = exact(params.coords)
        p, q = mpmath.exp(t), -mpmath.expm1(t)
        normalizer = -mpmath.log(q)
        mean = p / q / normalizer
        values = [
            LOGARITHMIC.log_normalizer(params),
            means.coords,
            LOGARITHMIC.fisher_information(params)[0, 0],
            *LOGARITHMIC.log_density(params, jnp.array([1, 5])),
        ]
        densities = [t - mpmath.log(normalizer), 5 * t - mpmath.log(5 * normalizer)]
        assert_exact(values, [mpmath.log(normalizer), mean, mean * (1 / q - mean), *densities])
        if not (FLOAT32 and theta < -10):  # where the mean rounds to 1
            found = exact(LOGARITHMIC.to_natural(means).coords)
            p, q = mpmath.exp(found), -mpmath.expm1(found)
            assert_exact([means.coords], [-p / q / mpmath.log(q)])


@pytest.mark.parametrize("theta", [-80.0, -120.0, -800.0])
def test_logarithmic_of_probabilities_too_small_for_a_number(theta):
    params = ef.Natural(jnp.asarray(theta))
    assert LOGARITHMIC.to_mean(params).coords == 1
    assert LOGARITHMIC.log_normalizer(params) == theta
    assert abs(LOGARITHMIC.log_density(params, jnp.array(1))) <= np.exp(theta)
    assert 0 <= LOGARITHMIC.fisher_information(params)[0, 0] < 1e-30


@pytest.mark.parametrize("theta", [-0.01, -1.0, -5.0])
def test_logarithmic_entropy(theta):
    params = ef.Natural(jnp.asarray(theta))
    with mpmath.workdps(25):
        t = exact(params.coords)
        normalizer = -mpmath.log(-mpmath.expm1(t))
        masses = [mpmath.exp(t * x) / x / normalizer for x in range(1, int(-60 / theta) + 3)]
        assert_exact([LOGARITHMIC.entropy(params)], [-sum(p * mpmath.log(p) for p in masses)])


class Table:
    """A distribution of 1, 2, … from its probabilities."""

    def __init__(self, masses):
        self.totals = np.cumsum(masses)

    def cdf(self, x):
        """P(X ≤ x)."""
        return self.totals[np.asarray(x, int) - 1]

    def ppf(self, q):
        """The smallest x with P(X ≤ x) ≥ q."""
        return np.searchsorted(self.totals, q) + 1


@pytest.mark.parametrize("p", [0.01, 0.9, 1 - 2**-14])
def test_logarithmic_draws(p):
    params = LOGARITHMIC.from_probability(p)
    draws = np.asarray(LOGARITHMIC.sample(jax.random.key(0), params, (100_000,)))
    assert LOGARITHMIC.support.contains(jnp.asarray(draws))
    x = np.arange(1, 1_000_000)
    masses = np.exp(x * np.log(p)) / x / -np.log1p(-p)
    assert stats.chisquare(*cells_of(Table(masses), draws)).pvalue > 1e-4


PAIRS = [
    (5.0, 0.01),
    (500.0, 0.05),
    (1e4, 0.01),
    (1e4, 1.0),
    (1e4, 50.0),
    (3.0, 50.0),
    (100.0, 0.1),
    (1e-3, 2.0),
]


def long_sums(params):
    """Masses, and both statistics, at all counts that matter, in 80-bit numbers."""
    theta, nu = params.coords.count, -params.coords.log_factorial
    theta, nu = np.longdouble(float(theta)), np.longdouble(float(nu))
    rate = float(np.exp(theta / nu))
    x = np.arange(int(rate + 14 * (rate / nu) ** 0.5 + 80 / nu + 60)).astype(np.longdouble)
    logs = np.concatenate([[0], np.cumsum(np.log(x[1:]))])
    powers = theta * x - nu * logs
    top = powers.max()
    masses = np.exp(powers - top)
    # from the smallest on, so that log(1 + small) is kept
    rest = np.sort(masses)[:-1].sum()
    return masses / masses.sum(), x, logs, top + np.log1p(rest)


@pytest.mark.parametrize(("rate", "dispersion"), PAIRS)
def test_conway_maxwell_poisson_without_truncation(rate, dispersion):
    params = CONWAY.from_rate_dispersion(rate, dispersion)
    masses, x, logs, psi = long_sums(params)
    means = CONWAY.to_mean(params).coords
    pairs = [
        (CONWAY.log_normalizer(params), psi),
        (means.count, masses @ x),
        (means.log_factorial, masses @ logs),
    ]
    for value, expected in pairs:
        assert abs(float(np.longdouble(float(value)) / expected) - 1) <= (
            1e-5 if FLOAT32 else 1e-12
        )
    # in units of the standard deviations; the statistics are nearly proportional
    counts, factorials = x - masses @ x, logs - masses @ logs
    variances = np.array(
        [
            [masses @ counts**2, masses @ (counts * factorials)],
            [masses @ (counts * factorials), masses @ factorials**2],
        ],
        float,
    )
    bar = 1e-4 if FLOAT32 else 1e-11
    np.testing.assert_allclose(CONWAY.fisher_information(params), variances, rtol=bar)


@pytest.mark.parametrize(("rate", "dispersion"), PAIRS)
def test_conway_maxwell_poisson_densities_and_entropy(rate, dispersion):
    params = CONWAY.from_rate_dispersion(rate, dispersion)
    masses = long_sums(params)[0].astype(float)
    first = int(max(0, rate - 3 * (rate / dispersion) ** 0.5))
    counts = np.arange(first, first + 4)
    expected = np.log(masses[counts])
    np.testing.assert_allclose(
        CONWAY.log_density(params, jnp.asarray(counts)), expected, rtol=CLOSE, atol=CLOSE
    )
    present = masses[masses > 0]
    entropy = -np.sum(present * np.log(present))
    np.testing.assert_allclose(CONWAY.entropy(params), entropy, rtol=CLOSE)


@pytest.mark.parametrize(("rate", "dispersion"), [(1e6, 0.25), (1e4, 50.0)])
def test_conway_maxwell_poisson_of_rows_with_large_counts(rate, dispersion):
    # The variance is μ/ν, the mean μ + (1/ν − 1)/2, but for terms smaller by 1/(νμ).
    noise = np.random.default_rng(0).normal(size=2000) * (rate / dispersion) ** 0.5
    rows = np.round(rate + noise).astype(int)
    found = CONWAY.rate_dispersion(CONWAY.maximum_likelihood(jnp.asarray(rows)))
    nu = rows.mean() / rows.var()
    mu = rows.mean() - (1 / nu - 1) / 2
    np.testing.assert_allclose(found, [mu, nu], rtol=1e-3)


@pytest.mark.parametrize(
    ("rate", "dispersion"), [(1e6, 0.25), (1e6, 0.3), (1e4, 50.0), (1.5, 50.0)]
)
def test_conway_maxwell_poisson_says_where_the_dispersion_is_lost(rate, dispersion):
    # At a rate of 10⁶ E log x! is 1.28·10⁷, of which dispersion makes 2: float32 holds it to 1.
    # At the last, 4·10⁻⁷ is what counts other than 1 add to a mean of 1.
    means = CONWAY.to_mean(CONWAY.from_rate_dispersion(rate, dispersion))
    if FLOAT32:
        with pytest.raises(ValueError, match="less than the rounding of the means"):
            CONWAY.to_natural(means)
    else:
        found = CONWAY.rate_dispersion(CONWAY.to_natural(means))[1]
        np.testing.assert_allclose(found, dispersion, rtol=1e-7)


def long_inverse(means, params):
    """Dispersion with these means, by Newton's method in 80 bits; what their rounding is worth."""
    mean, factorials = (np.longdouble(float(value)) for value in means)
    theta = np.longdouble(float(params.coords.count))
    nu = -np.longdouble(float(params.coords.log_factorial))
    x = np.arange(int(2 * mean + 8 * np.sqrt(mean / nu) + 80 / nu + 60)).astype(np.longdouble)
    logs = np.concatenate([[0], np.cumsum(np.log(x[1:]))])
    # log x! over its chord at the mean, of which no digit is lost
    count = int(mean)
    slope = np.log1p(np.longdouble(count))
    above = logs - logs[count] - slope * (x - count)
    gap = factorials - logs[count] - slope * (mean - count)
    for _ in range(12):
        masses = np.exp((powers := theta * x - nu * logs) - powers.max())
        masses /= masses.sum()
        height = masses @ above
        left, right = x - mean, above - height
        top, cross, low = masses @ left**2, masses @ (left * right), masses @ right**2
        inverse = np.array([[low, -cross], [-cross, top]]) / (top * low - cross**2)
        move = inverse @ np.array([-(masses @ left), height * np.log(gap / height)])
        theta, nu = theta + move[0] + slope * -move[1], nu - move[1]
    halves = [abs(np.spacing(np.asarray(value))) / 2 for value in means]
    moved = abs(inverse[1, 0] - slope * inverse[1, 1]) * halves[0] + inverse[1, 1] * halves[1]
    return float(nu), float(moved / nu)


@pytest.mark.parametrize(
    ("rate", "dispersion"),
    [
        (1.0, 100.0),
        (1.0, 50.0),
        (0.5, 30.0),
        (2.5, 50.0),
        (3.0, 40.0),
        (1000.0, 5.0),
        (1e4, 0.01),
        (1e4, 0.3),
        (1e5, 0.3),
    ],
)
def test_conway_maxwell_poisson_dispersion_from_means(rate, dispersion):
    # At (1, 50) the mean of log x! is 3·10⁻¹⁶, all digits of which count.
    means = CONWAY.to_mean(CONWAY.from_rate_dispersion(rate, dispersion))
    back = CONWAY.to_natural(means)
    given = np.asarray(means.coords.count), np.asarray(means.coords.log_factorial)
    expected, explained = long_inverse(given, back)
    found = float(-back.coords.log_factorial)
    assert abs(found / expected - 1) <= explained + (1e-5 if FLOAT32 else 1e-12)
    assert explained < (0.07 if FLOAT32 else 1e-9)


def test_conway_maxwell_poisson_of_two_neighboring_counts_has_no_dispersion():
    # Of all distributions with their mean, those of 2 and 3 alone have the least E log x!.
    with pytest.raises(ValueError, match="maximum of the likelihood is not attained"):
        CONWAY.maximum_likelihood(jnp.array([2, 3, 3, 2, 2]))


def test_conway_maxwell_poisson_with_dispersion_one_is_poisson():
    params = CONWAY.from_rate_dispersion(3.0, 1.0)
    counts = np.array([0, 2, 10])
    expected = stats.poisson(3.0).logpmf(counts)
    np.testing.assert_allclose(CONWAY.log_density(params, jnp.asarray(counts)), expected, CLOSE)
    back = CONWAY.to_natural(CONWAY.to_mean(params))
    np.testing.assert_allclose(CONWAY.rate_dispersion(back), [3, 1], rtol=CLOSE)
    assert relative_error(CONWAY.to_mean(params).coords.count, exact(3.0)) < CLOSE


@pytest.mark.parametrize(
    ("rate", "dispersion"), [(5.0, 0.05), (3.0, 30.0), (40.0, 2.0), (0.3, 1.0)]
)
def test_conway_maxwell_poisson_draws(rate, dispersion):
    params = CONWAY.from_rate_dispersion(rate, dispersion)
    draws = np.asarray(CONWAY.sample(jax.random.key(0), params, (100_000,)))
    masses = long_sums(params)[0].astype(float)
    reference = stats.rv_discrete(values=(np.arange(len(masses)), masses / masses.sum()))
    if np.max(masses) < 0.99:
        assert stats.chisquare(*cells_of(reference, draws)).pvalue > 1e-4
    else:
        np.testing.assert_allclose(draws.mean(), masses @ np.arange(len(masses)), rtol=1e-3)
