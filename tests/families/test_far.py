"""Far out: tails, rows far from everything, large counts; beside mpmath of 50 digits."""

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest

import expfam as ef

DOUBLE = jnp.zeros(()).dtype == jnp.float64
TINY = 1e-155 if DOUBLE else 1e-30
CLOSE = 1e-12 if DOUBLE else 2e-6
mp.mp.dps = 50


def log_gamma(x):
    return mp.loggamma(mp.mpf(x))


LOG_GAMMA, RAYLEIGH, MAXWELL, WEIBULL = ef.LogGamma(), ef.Rayleigh(), ef.Maxwell(), ef.Weibull(50.0)
SMALL = mp.mpf(float(jnp.asarray(1e-3)))
TAILS = {
    "log-gamma": (
        LOG_GAMMA,
        LOG_GAMMA.from_shape_rate(1e-3, 1.0),
        -1000.0,
        -1000 * SMALL - mp.loggamma(SMALL),
    ),
    "Rayleigh": (RAYLEIGH, RAYLEIGH.from_scale(1.0), TINY, mp.log(TINY)),
    "Maxwell": (
        MAXWELL,
        MAXWELL.from_scale(1.0),
        TINY,
        mp.log(2 / mp.pi) / 2 + 2 * mp.log(mp.mpf(TINY)),
    ),
    "Weibull": (WEIBULL, WEIBULL.from_scale(1.0), 1e-10, mp.log(50) + 49 * mp.log(mp.mpf(1e-10))),
}


@pytest.mark.parametrize("name", TAILS)
def test_tails_are_not_flat(name):
    family, params, x, expected = TAILS[name]
    found = family.log_density(params, jnp.asarray(x))
    assert float(found) == pytest.approx(float(expected), rel=CLOSE)


def test_rows_far_from_a_mixture_belong_to_the_closest_component():
    normal = ef.Normal(1)
    mixture = ef.Mixture(normal, 2)
    means, covariances = jnp.array([[0.0], [1.0]]), jnp.ones((2, 1, 1))
    parts = jax.vmap(normal.from_mean_covariance)(means, covariances)
    params = mixture.from_components(jnp.array([0.5, 0.5]), parts)
    xs = jnp.array([[3e7], [-3e7], [1e20], [-1e20], [0.5]])
    found = mixture.posterior_soft_assignments(params, xs)
    np.testing.assert_allclose(found, [[0, 1], [1, 0], [0, 1], [1, 0], [0.5, 0.5]], atol=1e-6)
    assert mixture.posterior_hard_assignment(params, xs[:4]).tolist() == [1, 0, 1, 0]


COVARIANCES = {
    ef.PositiveDefinite(): (np.diag([1.0, 2.0]), np.array([[1.5, 0.5], [0.5, 2.0]])),
    ef.Diagonal(): ([1.0, 2.0], [1.5, 2.0]),
    ef.Scale(): (1.0, 1.5),
}


@pytest.mark.parametrize("structure", COVARIANCES)
def test_divergences_of_normals_do_not_depend_on_the_origin(structure):
    normal, (one, other) = ef.Normal(2, structure), COVARIANCES[structure]
    mean = 100.0 if DOUBLE else 1000.0
    p, q = (
        normal.from_mean_covariance(jnp.full(2, mean), jnp.asarray(c, float)) for c in (one, other)
    )
    full = [np.asarray(normal.mean_covariance(point)[1]) for point in (p, q)]
    full = [c if c.ndim == 2 else np.diag(np.broadcast_to(c, 2)) for c in full]
    ratio = np.linalg.solve(np.float64(full[1]), np.float64(full[0]))
    expected = (np.trace(ratio) - 2 - np.log(np.linalg.det(ratio))) / 2
    assert float(normal.kl_divergence(p, q)) == pytest.approx(
        expected, rel=1e-12 if DOUBLE else 1e-5
    )


def test_base_measures_of_many_counts():
    n = 10**6
    expected = {
        ef.Binomial(n): (3, log_gamma(n + 1) - log_gamma(4) - log_gamma(n - 2)),
        ef.NegativeBinomial(1e4): (3, log_gamma(10**4 + 3) - log_gamma(4) - log_gamma(10**4)),
        ef.Multinomial(n, 3): (
            [n - 5, 3, 2],
            log_gamma(n + 1) - log_gamma(n - 4) - log_gamma(4) - log_gamma(3),
        ),
    }
    for family, (x, value) in expected.items():
        found = family.log_base_measure(jnp.asarray(x))
        assert float(found) == pytest.approx(float(value), rel=1e-13 if DOUBLE else 3e-7)
    assert float(ef.Binomial(4).log_base_measure(jnp.asarray(4))) == 0
    assert float(ef.NegativeBinomial(2.5).log_base_measure(jnp.asarray(0))) == pytest.approx(
        0, abs=1e-6
    )


def test_entropy_of_rare_counts_of_any_dispersion():
    family = ef.ConwayMaxwellPoisson()
    rate = mp.mpf(float(jnp.asarray(1e-8)))
    found = family.entropy(family.from_rate_dispersion(1e-8, 1.0))
    assert float(found) == pytest.approx(
        float(rate - rate * mp.log(rate)), rel=2e-6 if not DOUBLE else 1e-8
    )


@pytest.mark.slow
def test_draws_of_small_shapes_have_a_density():
    key = jax.random.key(0)
    beta, dirichlet, pair = ef.Beta(), ef.Dirichlet(3), ef.NormalGamma()
    cases = {
        beta: beta.from_concentration(0.01, 0.01),
        dirichlet: dirichlet.from_concentration(jnp.full(3, 0.01)),
        pair: pair.from_location_count_shape_rate(0.0, 1.0, 0.01, 1.0),
    }
    for family, params in cases.items():
        draws = family.sample(key, params, 500)
        assert np.all(np.isfinite(family.log_density(params, draws))), family


def test_counts_beyond_their_type_are_refused():
    poisson, key = ef.Poisson(), jax.random.key(0)
    params = poisson.from_rate(1e10)
    if DOUBLE:
        draws = np.asarray(poisson.sample(key, params, 100))
        assert abs(draws.mean() / 1e10 - 1) < 1e-5
        return
    with pytest.raises(ValueError, match="less than the largest number of their type, int32"):
        poisson.sample(key, params, 3)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "p"), [(5, 0.9), (200, 0.3), (10**8, 0.5), (2 * 10**9, 0.3)])
def test_means_and_variances_of_binomial_draws(n, p):
    family = ef.Binomial(n)
    draws = np.asarray(family.sample(jax.random.key(1), family.from_probability(p), 20_000), float)
    deviation = np.sqrt(n * p * (1 - p))
    assert abs(draws.mean() - n * p) < 4 * deviation / np.sqrt(draws.size)
    assert abs(draws.std() / deviation - 1) < 4 / np.sqrt(2 * draws.size)


def test_a_prior_that_its_type_does_not_hold_is_refused():
    def prior(mean):
        return ef.ConjugatePrior.from_hyperparameters(
            ef.Normal(1),
            mean=jnp.array([mean]),
            count=jnp.asarray(0.01),
            scale=jnp.array([[2.0]]),
            freedom=jnp.asarray(2.0),
        )

    with pytest.raises(ValueError, match=r"must be proper|do not hold these hyper-parameters"):
        prior(1e12 if DOUBLE else 1e6)
    assert np.isfinite(prior(10.0).log_evidence(jnp.array([[1.0], [2.0]])))
