"""Log-posteriors: their Jacobian, gradients, exact posteriors, and the samplers that take them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

import expfam as ef
from expfam.bayes.vectors import vectors_of

from ..registry import BY_NAME, arbitrary_data, needs_float64, random_params

# Tried once with all of the registry, but for the hidden Markov model: these are one of each kind.
SLOW = ["normal_full", "product", "mixture_full_tied", "mixture_nested", "factor_analysis"]
ROWS = jnp.array([1, 4, 2, 0, 3])
GAMMA = ef.ConjugatePrior.from_hyperparameters(ef.Poisson(), shape=2.0, rate=1.5)


def posterior_of(family, n=6):
    rows = family._observe(arbitrary_data(family, (n,)))
    mean = family.to_mean(random_params(family, jax.random.key(1)))
    return ef.log_posterior(family, rows, prior=ef.ConjugatePrior.from_mean(family, mean, 3.0))


def differences(function, vector, step=1e-5):
    """Central differences of a function along every axis of a vector, one column each."""
    moves = step * jnp.eye(len(vector))
    values = jax.vmap(function)(jnp.concatenate([vector + moves, vector - moves]))
    ahead, behind = jnp.split(values, 2)
    return (ahead - behind).T / (2 * step)


@needs_float64
@pytest.mark.parametrize(
    "name",
    ["mixture_poisson", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)],
)
def test_vectors_reach_all_points_and_know_their_volume(name):
    family = BY_NAME[name]
    vectors = vectors_of(family, "test")
    params = random_params(family, jax.random.key(2))
    vector = vectors.vector(family.to_unconstrained(params))
    assert vectors.dim == family.dim == len(vector)

    @jax.jit
    def natural(vector):
        return family._flatten(family._from_unconstrained(vectors.free(vector)), "natural")

    np.testing.assert_allclose(natural(vector), family.flatten(params), rtol=1e-7, atol=1e-8)
    expected = np.linalg.slogdet(differences(natural, vector))[1]
    found = jax.jit(lambda u: vectors.log_volume(u))(vector)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@needs_float64
@pytest.mark.parametrize(
    "name", ["mixture_poisson", pytest.param("normal_full", marks=pytest.mark.slow)]
)
def test_gradients_are_those_of_finite_differences(name):
    posterior = posterior_of(BY_NAME[name])
    vector = posterior.from_point(random_params(BY_NAME[name], jax.random.key(3)))
    slope = jax.jit(jax.grad(posterior))(vector)
    np.testing.assert_allclose(slope, differences(posterior, vector), rtol=1e-6, atol=1e-6)


def test_exact_posterior_of_a_rate():
    posterior = ef.log_posterior(ef.Poisson(), ROWS, prior=GAMMA)
    logs = jnp.linspace(-1.0, 1.5, 7)  # u = log λ
    found = jax.vmap(posterior)(logs[:, None])
    exact = stats.gamma(2.0 + 10, scale=1 / (1.5 + 5)).logpdf(np.exp(logs)) + logs
    np.testing.assert_allclose(found - found[0], exact - exact[0], rtol=1e-4, atol=1e-5)


def test_exact_posterior_of_a_variance():
    # σ² of a normal with a normal–inverse-gamma prior, where the mean is integrated on a grid.
    normal = ef.Normal(1)
    prior = ef.ConjugatePrior.from_hyperparameters(
        normal, mean=jnp.zeros(1), count=1.0, scale=2 * jnp.eye(1), freedom=3.0
    )
    xs = jnp.array([[0.3], [-1.2], [2.0], [0.4]])
    posterior = ef.log_posterior(normal, xs, prior=prior)
    means, logs = jnp.linspace(-8, 8, 401), jnp.array([-0.5, 0.0, 0.5])
    corner = posterior.from_point(normal.from_mean_covariance(jnp.zeros(1), jnp.eye(1)))
    np.testing.assert_allclose(corner, 0, atol=1e-6)  # the mean, and −log σ
    grid = jnp.stack(jnp.meshgrid(means, logs), axis=-1).reshape(-1, 2)
    found = jnp.log(jnp.sum(jnp.exp(jax.vmap(posterior)(grid).reshape(3, -1)), axis=1))
    after = prior.observe(xs).hyperparameters()
    exact = stats.invgamma(after["freedom"] / 2, scale=after["scale"][0, 0] / 2)
    variance = np.exp(-2 * logs)
    expected = exact.logpdf(variance) + np.log(2 * variance)
    np.testing.assert_allclose(found - found[0], expected - expected[0], rtol=1e-4, atol=1e-5)


def test_conjugate_prior_of_a_mixture_is_a_product():
    # gamma distributions of rates, a Dirichlet distribution of the weights
    mixture = ef.Mixture(ef.Poisson(), 2)
    mean = mixture.to_mean(
        mixture.from_components(
            jnp.array([0.3, 0.7]), jax.vmap(ef.Poisson().from_rate)(jnp.array([1.0, 4.0]))
        )
    )
    prior = ef.ConjugatePrior.from_mean(mixture, mean, 5.0)
    one, other = (
        ef.log_posterior(mixture, ROWS, prior=prior, weights=weights)
        for weights in ([1, 1, 0, 0, 1], [0, 2, 1, 0, 0])
    )
    places = 0.5 * np.random.default_rng(0).normal(size=(4, 3))
    found = jax.vmap(one)(jnp.asarray(places, float)) - jax.vmap(other)(jnp.asarray(places, float))
    odds, rates = places[:, 0], np.exp(places[:, 1:])
    weights = np.stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))], axis=1)
    logs = np.log(np.sum(weights * stats.poisson(rates).pmf(np.array(ROWS)[:, None, None]), -1))
    np.testing.assert_allclose(found, np.array([1, -1, -1, 0, 1]) @ logs, rtol=1e-4, atol=1e-5)
    density = stats.dirichlet([1.5, 3.5]).logpdf(weights.T) + np.log(weights).sum(1)
    density += (
        stats.gamma([1.5, 14.0], scale=[1 / 1.5, 1 / 3.5]).logpdf(rates) + places[:, 1:]
    ).sum(1)
    exact = density + np.array([1, 1, 0, 0, 1]) @ logs
    total = np.asarray(jax.vmap(one)(jnp.asarray(places, float)))
    np.testing.assert_allclose(total - total[0], exact - exact[0], rtol=1e-4, atol=1e-5)


def test_priors_of_weights_and_components():
    mixture = ef.Mixture(ef.Poisson(), 3)
    whole = ef.weak_prior(mixture, ROWS, 4.0)
    own = ef.MixturePrior.of(whole)
    vectors = jax.random.normal(jax.random.key(0), (3, mixture.dim))
    one, two = (
        jax.vmap(ef.log_posterior(mixture, ROWS, prior=prior))(vectors) for prior in (whole, own)
    )
    np.testing.assert_allclose(one - one[0], two - two[0], rtol=1e-4, atol=1e-4)
    sticks = ef.MixturePrior.from_components(mixture, own.component(0), stick_breaking=1.0)
    with pytest.raises(TypeError, match="Dirichlet weights"):
        ef.log_posterior(mixture, ROWS, prior=sticks)


def test_prior_of_your_own():
    # log-normal prior of a rate: θ = log λ is normal
    posterior = ef.log_posterior(
        ef.Poisson(), ROWS, prior=lambda params: -((params.coords - 1.0) ** 2) / 2
    )
    values = posterior(jnp.array([0.5])) - posterior(jnp.array([1.0]))
    logs = stats.poisson(np.exp([0.5, 1.0])).logpmf(np.array(ROWS)[:, None]).sum(0)
    np.testing.assert_allclose(values, logs[0] - logs[1] - 0.125, rtol=1e-5)


def test_weights_and_missing_cells():
    normal = ef.Normal(2, ef.Diagonal())
    xs = jnp.array([[0.0, 1.0], [1.0, -1.0], [2.0, 0.5]])
    prior = ef.weak_prior(normal, xs)
    twice = ef.log_posterior(normal, jnp.concatenate([xs, xs[:1]]), prior=prior)
    weighted = ef.log_posterior(normal, xs, prior=prior, weights=[2, 1, 1])
    gaps = ef.log_posterior(normal, ef.incomplete(xs.at[1, 1].set(jnp.nan)), prior=prior)
    vector = jnp.array([0.3, -0.2, 0.1, 0.4])
    np.testing.assert_allclose(twice(vector), weighted(vector), rtol=1e-5)
    missing = stats.norm(-0.2, np.exp(-0.4)).logpdf(-1.0)
    whole = ef.log_posterior(normal, xs, prior=prior)
    np.testing.assert_allclose(whole(vector) - gaps(vector), missing, rtol=1e-4)


def test_optax_finds_the_mode():
    posterior = ef.log_posterior(ef.Poisson(), ROWS, prior=GAMMA)
    optimizer = optax.adam(0.2)

    def step(carry, _):
        vector, state = carry
        change, state = optimizer.update(jax.grad(posterior.potential)(vector), state)
        return (optax.apply_updates(vector, change), state), None

    start = posterior.start(jax.random.key(0))
    found = jax.lax.scan(step, (start, optimizer.init(start)), length=200)[0][0]
    # of the density of log λ
    np.testing.assert_allclose(ef.Poisson().rate(posterior.to_point(found)), 12 / 6.5, rtol=1e-3)


@pytest.mark.slow
def test_blackjax_samples_the_exact_posterior():
    import blackjax

    posterior = ef.log_posterior(ef.Poisson(), ROWS, prior=GAMMA)
    sampler = blackjax.nuts(posterior, step_size=0.5, inverse_mass_matrix=jnp.ones(1) / 12)
    state = sampler.init(posterior.start(jax.random.key(0)))
    keys = jax.random.split(jax.random.key(1), 3000)
    states = jax.lax.scan(lambda s, k: (sampler.step(k, s)[0],) * 2, state, keys)[1]
    check_rates(jax.vmap(ef.Poisson().rate)(posterior.to_point(states.position)))


@pytest.mark.slow
def test_numpyro_samples_the_exact_posterior():
    from numpyro.infer import MCMC, NUTS

    posterior = ef.log_posterior(ef.Poisson(), ROWS, prior=GAMMA)
    sampler = MCMC(
        NUTS(potential_fn=posterior.potential),
        num_warmup=300,
        num_samples=1500,
        num_chains=2,
        chain_method="vectorized",
        progress_bar=False,
    )
    starts = jnp.stack([posterior.start(jax.random.key(0))] * 2)
    sampler.run(jax.random.key(1), init_params=starts)
    check_rates(jax.vmap(ef.Poisson().rate)(posterior.to_point(sampler.get_samples())))


def check_rates(rates):
    exact = stats.gamma(12.0, scale=1 / 6.5)
    # about a thousand independent draws: five standard errors
    assert abs(np.mean(rates) - exact.mean()) < 5 * exact.std() / np.sqrt(1000)
    assert abs(np.std(rates) / exact.std() - 1) < 5 / np.sqrt(2000)


def test_refusals():
    poisson = ef.Poisson()
    with pytest.raises(TypeError, match="Without a prior there is no posterior"):
        ef.log_posterior(poisson, ROWS, prior=None)
    with pytest.raises(ValueError, match="must be one of Bernoulli"):
        ef.log_posterior(ef.Bernoulli(), jnp.array([0, 1]), prior=GAMMA)
    with pytest.raises(ValueError, match="must be proper"):
        ef.log_posterior(poisson, ROWS, prior=GAMMA.temper(0.0))
    mixture = ef.Mixture(poisson, 2)
    flat = ef.weak_prior(mixture, ROWS).temper(0.0)
    with pytest.raises(ValueError, match="`count` must be positive"):
        ef.log_posterior(mixture, ROWS, prior=flat)
    chain = ef.HiddenMarkov(poisson, 2, 3)
    with pytest.raises(TypeError, match="natural coordinates, but the points"):
        ef.log_posterior(chain, ROWS[None, :3], prior=ef.weak_prior(chain, ROWS[None, :3]))
    posterior = ef.log_posterior(poisson, ROWS, prior=GAMMA)
    with pytest.raises(ValueError, match=r"`vector` must have shape \(1,\), but has shape \(2,\)"):
        posterior(jnp.zeros(2))
    with pytest.raises(ValueError, match="must have 1 entries along the last axis"):
        posterior.to_point(jnp.zeros((4, 2)))
