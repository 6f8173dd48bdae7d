"""Variational Bayes of normals that share their covariance, and of fewer components."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn.mixture import BayesianGaussianMixture

import expfam as ef
from tests.fitting.test_variational import CLUSTERS, DRAWN, KEY, NATS, problem
from tests.registry import FLOAT32, needs_float64

NORMAL = ef.Normal(2)
COUNT, KAPPA, FREEDOM = 3, 0.7, 9.0
SCALE = np.array([[5.0, 1.0], [1.0, 4.0]])
CENTER = np.array([0.5, 1.0])
ROWS = CLUSTERS[:120]
TIED = ef.Mixture(NORMAL, COUNT, ef.Identity())


def tied_prior(mixture=TIED, **weights):
    """A prior of clusters with one covariance."""
    component = ef.ConjugatePrior.from_hyperparameters(
        mixture.component,
        mean=jnp.asarray(CENTER),
        count=KAPPA,
        scale=jnp.asarray(SCALE),
        freedom=FREEDOM,
    )
    return ef.MixturePrior.from_components(mixture, component, **weights)


def wishart_log_normalizer(scale, freedom):
    """log ∫ |P|^((N − d − 1)/2) exp(−½ tr ΨP) dP."""
    half = freedom / 2
    return half * 2 * np.log(2) + special.multigammaln(half, 2) - half * np.linalg.slogdet(scale)[1]


@pytest.mark.slow
def test_known_labels_give_the_evidence_of_one_covariance():
    prior = tied_prior(weights=2.0)
    start = TIED.initialize(jax.random.key(1))
    method = ef.VariationalBayes(5, tolerance=None)
    fit = ef.fit(TIED, ef.labeled(ROWS, DRAWN), key=KEY, prior=prior, method=method, params=start)
    scatter, value = SCALE.copy(), -120 * np.log(2 * np.pi)
    for k in range(COUNT):
        own = ROWS[k == DRAWN]
        n, gap = len(own), own.mean(axis=0) - CENTER
        centered = own - own.mean(axis=0)
        scatter += centered.T @ centered + KAPPA * n / (KAPPA + n) * np.outer(gap, gap)
        value += np.log(KAPPA / (KAPPA + n))  # d/2 = 1
    value += wishart_log_normalizer(scatter, FREEDOM + 120)
    value -= wishart_log_normalizer(SCALE, FREEDOM)
    counts = np.bincount(DRAWN)
    value += special.gammaln(2.0 + counts).sum() - COUNT * special.gammaln(2.0)
    value += special.gammaln(6.0) - special.gammaln(126.0)
    np.testing.assert_allclose(fit.log_likelihood, value / 120, rtol=NATS)
    for k in range(COUNT):
        usual = fit.posterior.component(k).hyperparameters()
        np.testing.assert_allclose(usual["scale"], scatter, rtol=1e-4 if FLOAT32 else 1e-10)
        np.testing.assert_allclose(usual["freedom"], FREEDOM + 120, rtol=1e-6)


@pytest.mark.slow
@needs_float64
@pytest.mark.parametrize("sticks", [False, True])
def test_scikit_learn_finds_the_same_weights_and_means(sticks):
    # It counts n/K rows for the covariance: that is the posterior of a prior that counts K times.
    process = "dirichlet_process" if sticks else "dirichlet_distribution"
    peer = BayesianGaussianMixture(
        n_components=COUNT,
        covariance_type="tied",
        weight_concentration_prior_type=process,
        weight_concentration_prior=0.8,
        mean_precision_prior=KAPPA,
        mean_prior=CENTER,
        degrees_of_freedom_prior=FREEDOM / COUNT,
        covariance_prior=SCALE / COUNT,
        reg_covar=0,
    )
    prior = tied_prior(weights=0.8, stick_breaking=0.8 if sticks else None)
    start = TIED.initialize_from_sample(KEY, jnp.asarray(ROWS))
    shares = np.asarray(TIED.posterior_soft_assignments(start, ROWS))
    peer._check_parameters(ROWS)
    peer._initialize(ROWS, shares)
    for _ in range(49):
        peer._m_step(ROWS, peer._e_step(ROWS)[1])
    peer._set_parameters(peer._get_parameters())
    method = ef.VariationalBayes(50, tolerance=None)
    fit = ef.fit(TIED, jnp.asarray(ROWS), key=KEY, prior=prior, method=method, params=start)
    assert np.min(np.diff(fit.log_likelihoods)) > -1e-11
    found = np.asarray(fit.posterior.expected_weights)
    np.testing.assert_allclose(found / found.sum(), peer.weights_, rtol=1e-8)
    mean, covariance = jax.vmap(NORMAL.mean_covariance)(TIED.components(fit.params))
    np.testing.assert_allclose(mean, peer.means_, rtol=1e-8)
    np.testing.assert_allclose(covariance, np.stack([peer.covariances_] * COUNT), rtol=1e-8)


@pytest.mark.slow
def test_draws_share_their_covariance_and_have_the_moments_of_the_posterior():
    prior = tied_prior()
    fit = ef.fit(TIED, jnp.asarray(ROWS[:20]), key=KEY, prior=prior, method=ef.VariationalBayes())
    draws = TIED.components(fit.posterior.sample(KEY)).coords
    np.testing.assert_allclose(draws.second[0], draws.second[1], rtol=1e-6)

    def moments(params):
        return jax.vmap(NORMAL.mean_covariance)(TIED.components(params))

    usual = fit.posterior.component(1).hyperparameters()
    low, high = fit.posterior.credible_interval(lambda p: moments(p)[0][1, 0], KEY, 0.9, 4000)
    freedom = float(usual["freedom"]) - 1
    spread = np.sqrt(usual["scale"][0, 0] / (usual["count"] * freedom))
    ends = usual["mean"][0] + spread * stats.t(freedom).ppf(np.array([0.05, 0.95]))
    np.testing.assert_allclose([low, high], ends, atol=0.1 * spread)


def test_priors_of_shared_covariances_are_refused_where_they_have_no_meaning():
    component = tied_prior().component(0)
    with pytest.raises(ValueError, match="one prior where components share"):
        ef.MixturePrior.from_components(TIED, [component] * COUNT)
    with pytest.raises(TypeError, match="differ in everything"):
        ef.MixturePrior.from_components(ef.Mixture(NORMAL, 2, ef.Scale()), component)
    with pytest.raises(TypeError, match="take a conjugate prior"):
        ef.fit(TIED, ROWS, key=KEY, prior=tied_prior())


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("sticks", [None, 1.0])
def test_components_that_are_kept_stay_what_they_are(tied, sticks):
    prior = tied_prior(stick_breaking=sticks)
    if not tied:
        _, _, prior = problem("full", COUNT, stick_breaking=sticks)
    own = jax.tree.map(lambda leaf: leaf, prior)
    filled = ef.MixturePrior(
        own.family, own.total, own.count, own.weights, jnp.array([5.0, 0.0, 2.0])
    )
    kept = filled.without_empty()
    assert kept.family.n_components == 2
    np.testing.assert_allclose(kept.rows, [5, 2])
    for one, other in ((0, 0), (1, 2)):
        found, expected = kept.component(one), filled.component(other)
        flat = prior.family.component.flatten
        np.testing.assert_allclose(flat(found.total), flat(expected.total), rtol=1e-5)
        np.testing.assert_allclose(found.count, expected.count)
    with pytest.raises(ValueError, match="no component has taken up 9"):
        filled.without_empty(9.0)


def test_priors_of_components_must_be_proper():
    improper = ef.ConjugatePrior.from_mean(
        NORMAL, NORMAL.to_mean(NORMAL.from_mean_covariance(jnp.zeros(2), jnp.eye(2))), 0.0
    )
    with pytest.raises(ValueError, match="must be proper"):
        ef.MixturePrior.from_components(ef.Mixture(NORMAL, 2), improper)
