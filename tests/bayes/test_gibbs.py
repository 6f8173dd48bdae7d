"""Collapsed Gibbs sampling against exact posteriors over all partitions."""

from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import betaln, gammaln

import expfam as ef
from expfam.bayes.gibbs import Sampler
from expfam.bayes.partitions import in_order

GALAXIES = Path(__file__).parents[2] / ".." / "shared" / "data" / "galaxies.csv.gz"

COUNTS = jnp.array([0, 5, 1, 6, 4, 1])
GAMMA = ef.ConjugatePrior.from_hyperparameters(ef.Poisson(), shape=1.5, rate=0.5)
BETA = ef.ConjugatePrior.from_hyperparameters(ef.Bernoulli(), alpha=0.5, beta=0.7)
NORMAL = ef.ConjugatePrior.from_hyperparameters(
    ef.Normal(1), mean=jnp.zeros(1), count=0.3, scale=2 * jnp.eye(1), freedom=3.0
)


def poisson_evidence(xs):
    shape, rate = 1.5 + sum(xs), 0.5 + len(xs)
    marginal = gammaln(shape) - shape * np.log(rate) - gammaln(1.5) + 1.5 * np.log(0.5)
    return marginal - gammaln(np.array(xs) + 1.0).sum()


def bernoulli_evidence(xs):
    return betaln(0.5 + sum(xs), 0.7 + len(xs) - sum(xs)) - betaln(0.5, 0.7)


def normal_evidence(xs):
    # Murphy, Conjugate Bayesian analysis of the Gaussian distribution (2007), equation 95
    n, mean = len(xs), np.mean(xs)
    count, shape = 0.3 + n, 1.5 + n / 2
    rate = 1.0 + 0.5 * np.sum((xs - mean) ** 2) + 0.3 * n * mean**2 / (2 * count)
    return (
        gammaln(shape)
        - gammaln(1.5)
        - shape * np.log(rate)
        + 0.5 * np.log(0.3 / count)
        - n / 2 * np.log(2 * np.pi)
    )


def all_partitions(n):
    """All partitions of n rows, with labels in the order in which they appear."""
    found = [[]]
    for _ in range(n):
        found = [[*one, k] for one in found for k in range(max(one, default=-1) + 2)]
    return found


def exact(xs, evidence, log_prior):
    """The posterior of every partition, by the evidence of its parts."""
    xs = np.ravel(np.asarray(xs))

    @lru_cache
    def of_rows(rows):
        return evidence(xs[list(rows)])

    def log_posterior(labels):
        parts = [tuple(np.flatnonzero(np.array(labels) == k)) for k in range(max(labels) + 1)]
        return sum(map(of_rows, parts)) + log_prior([len(part) for part in parts])

    partitions = all_partitions(len(xs))
    logs = np.array([log_posterior(labels) for labels in partitions])
    weights = np.exp(logs - logs.max())
    return dict(zip(map(tuple, partitions), weights / weights.sum(), strict=True))


def process(sizes):
    """Dirichlet process with γ = 0.8."""
    return len(sizes) * np.log(0.8) + gammaln(np.array(sizes, float)).sum()


def three(sizes):
    """Three components, each with the Dirichlet parameter 0.8; labels are left out."""
    if len(sizes) > 3:
        return -np.inf
    ways = gammaln(4.0) - gammaln(4.0 - len(sizes))
    return ways + (gammaln(np.array(sizes) + 0.8) - gammaln(0.8)).sum()


@pytest.mark.parametrize(
    ("prior", "xs", "evidence", "law"),
    [
        (GAMMA, COUNTS, poisson_evidence, process),
        (BETA, jnp.array([0, 1, 1, 0, 1, 1]), bernoulli_evidence, three),
        pytest.param(
            NORMAL,
            jnp.array([[0.1], [3.0], [-0.2], [2.7], [0.4], [6.0]]),
            normal_evidence,
            process,
            marks=pytest.mark.slow,
        ),
    ],
    ids=["poisson", "bernoulli_finite", "normal"],
)
def test_exact_posterior_over_partitions(prior, xs, evidence, law):
    found = ef.sample_partitions(
        prior,
        xs,
        key=jax.random.key(0),
        concentration=0.8,
        n_components=3 if law is three else None,
        draws=4000,
        warmup=50,
    )
    expected = exact(xs, evidence, law)
    draws = found.labels.reshape(-1, 6)
    share = dict.fromkeys(expected, 0.0)
    for labels in draws:
        share[tuple(in_order(labels).tolist())] += 1 / len(draws)
    for labels, probability in expected.items():
        # six standard errors, were a sixth of the draws independent
        error = 6 * np.sqrt(probability * (1 - probability) / (len(draws) / 6))
        assert abs(share[labels] - probability) < error + 1e-3
    sizes = np.array([max(labels) + 1 for labels in expected])
    mean = sizes @ np.array(list(expected.values()))
    np.testing.assert_allclose(found.n_occupied.mean(), mean, rtol=0.03)


def test_co_clustering_and_partition():
    found = ef.Partitions(np.array([[[3, 3, 0, 0], [1, 1, 2, 2], [0, 0, 0, 4]]]))
    np.testing.assert_array_equal(found.n_occupied, [[2, 2, 2]])
    third = 1 / 3
    np.testing.assert_allclose(
        found.co_clustering,
        [[1, 1, third, 0], [1, 1, third, 0], [third, third, 1, 2 * third], [0, 0, 2 * third, 1]],
    )
    assert found.partition("binder").tolist() == [0, 0, 1, 1]
    assert found.partition().tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="`loss` must be 'binder' or"):
        found.partition("entropy")


@pytest.mark.slow
def test_joint_distribution():
    # Geweke (2004): rows given labels and labels given rows, by turns, have labels from the prior.
    n, gamma = 5, 0.9
    sampler = Sampler(GAMMA, n, True)

    def step(labels, key):
        first, second, third = jax.random.split(key, 3)
        rates = jax.random.gamma(first, 1.5, (n,)) / 0.5
        rows = jax.random.poisson(second, rates[labels])
        labels, _ = sampler.sweep(third, rows, labels, gamma)
        return labels, labels

    keys = jax.random.split(jax.random.key(0), 20_000)
    labels = jax.jit(lambda: jax.lax.scan(step, jnp.zeros(n, int), keys)[1])()
    counts = np.bincount(ef.Partitions(np.asarray(labels)[None]).n_occupied[0], minlength=n + 1)
    law = np.zeros(n + 1)
    for labels in all_partitions(n):
        sizes = np.bincount(labels)
        weight = np.exp(len(sizes) * np.log(gamma) + gammaln(sizes.astype(float)).sum())
        law[len(sizes)] += weight * np.exp(gammaln(gamma) - gammaln(gamma + n))
    np.testing.assert_allclose(law.sum(), 1)
    error = 5 * np.sqrt(law * (1 - law) / (20_000 / 6))
    assert np.all(np.abs(counts / 20_000 - law) <= error)


@pytest.mark.slow
@pytest.mark.skipif(not GALAXIES.exists(), reason="the galaxies are not beside the repository")
def test_galaxies_have_three_to_seven_components():
    speeds = np.loadtxt(GALAXIES, delimiter=",", skiprows=1, usecols=-1) / 1000
    prior = ef.ConjugatePrior.from_hyperparameters(
        ef.Normal(1), mean=jnp.array([21.0]), count=0.02, scale=4 * jnp.eye(1), freedom=4.0
    )
    found = ef.sample_partitions(
        prior,
        jnp.asarray(speeds)[:, None],
        key=jax.random.key(0),
        max_components=25,
        chains=2,
        draws=300,
        warmup=100,
    )
    assert 3 <= np.bincount(found.n_occupied.ravel()).argmax() <= 7


def test_refusals_and_limits():
    key = jax.random.key(0)
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="`concentration` must be positive and finite"):
            ef.sample_partitions(GAMMA, COUNTS, key=key, concentration=wrong)
    with pytest.raises(ValueError, match="must be proper"):
        ef.sample_partitions(GAMMA.temper(0.0), COUNTS, key=key)
    boltzmann = ef.Boltzmann(3, [(0, 1)])
    with pytest.raises(TypeError, match="normalizer of conjugate priors"):
        ef.sample_partitions(ef.weak_prior(boltzmann, jnp.ones((2, 3), int)), COUNTS, key=key)
    with pytest.raises(TypeError, match="`xs` must be complete rows"):
        ef.sample_partitions(GAMMA, ef.incomplete(jnp.array([1.0, jnp.nan])), key=key)
    with pytest.raises(ValueError, match="more than `max_components`=2 components; raise it"):
        ef.sample_partitions(
            GAMMA, COUNTS, key=key, max_components=2, concentration=9.0, draws=20, chains=1
        )
    with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
        ef.sample_partitions(GAMMA, COUNTS, key=key, n_components=0)


def test_equal_rows_and_more_components_than_rows():
    found = ef.sample_partitions(
        GAMMA, jnp.array([2, 2, 2]), key=jax.random.key(0), n_components=5, draws=200, chains=1
    )
    assert found.labels.shape == (1, 200, 3)
    assert found.n_occupied.max() <= 3
    one = ef.sample_partitions(
        GAMMA, COUNTS, key=jax.random.key(0), n_components=1, draws=20, chains=1, progress=True
    )
    assert np.all(one.labels == 0)
