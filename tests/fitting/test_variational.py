"""Variational Bayes of mixtures, against exact evidence, scikit-learn and Student's t."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn.mixture import BayesianGaussianMixture

import expfam as ef
from expfam.harmonium.interaction import HarmoniumCoords
from expfam.priors.weights import StickBreaking
from tests.registry import DIAGONAL, FLOAT32, FULL, needs_float64

KEY = jax.random.key(0)
NATS = 2e-4 if FLOAT32 else 1e-9
SCALE = ef.Scale()

RNG = np.random.default_rng(0)
CLUSTERS = np.concatenate(
    [
        RNG.normal(size=(80, 2)),
        0.7 * RNG.normal(size=(60, 2)) + [3, 1],
        RNG.normal(size=(60, 2)) @ np.array([[1, 0.5], [0, 0.6]]) + [0, 4],
    ]
)
DRAWN = np.arange(120) % 3
FAMILIES = {
    "full": (ef.Normal(2), CLUSTERS[:120]),
    "diagonal": (ef.Normal(2, DIAGONAL), CLUSTERS[:120]),
    "spherical": (ef.Normal(2, SCALE), CLUSTERS[:120]),
    "bernoulli": (
        ef.Replicated(ef.Bernoulli(), 4),
        RNG.random((120, 4)) < 0.1 + 0.4 * DRAWN[:, None],
    ),
    "categorical": (ef.Categorical(4), (DRAWN + RNG.integers(0, 2, 120)) % 4),
    "poisson": (ef.Poisson(), RNG.poisson(1 + 6 * DRAWN)),
    "exponential": (ef.Exponential(), RNG.exponential(1 + 6.0 * DRAWN)),
    "product": (
        ef.Product((ef.Normal(2), ef.Bernoulli())),
        (CLUSTERS[:120], (RNG.random(120) < 0.5).astype(int)),
    ),
}
DEFAULT = ("full", "poisson")
each_family = pytest.mark.parametrize(
    "name",
    [n if n in DEFAULT else pytest.param(n, marks=pytest.mark.slow) for n in FAMILIES],
)


def problem(name, count, **weights):
    """A mixture, its rows, and a prior worth three of them for every component."""
    family, rows = FAMILIES[name]
    rows = jax.tree.map(jnp.asarray, rows)
    mixture = ef.Mixture(family, count)
    component = ef.weak_prior(family, rows, 3.0)
    return mixture, rows, ef.MixturePrior.from_components(mixture, component, **weights)


def fitted(mixture, rows, prior, method=None):
    """A fit from a random point, which takes no time to find."""
    method = ef.VariationalBayes() if method is None else method
    params = mixture.initialize(jax.random.key(1))
    return ef.fit(mixture, rows, key=KEY, prior=prior, method=method, params=params)


@each_family
def test_one_component_has_its_exact_evidence_and_posterior(name):
    mixture, rows, prior = problem(name, 1)
    fit = fitted(mixture, rows, prior)
    exact = prior.component(0).log_evidence(rows)
    np.testing.assert_allclose(fit.log_likelihood, exact / 120, rtol=NATS)
    own, expected = fit.posterior.component(0), prior.component(0).observe(rows)
    family = mixture.component
    np.testing.assert_allclose(
        family.flatten(own.total), family.flatten(expected.total), rtol=1e-4 if FLOAT32 else 1e-10
    )
    x = jax.tree.map(lambda leaf: leaf[:5], rows)
    np.testing.assert_allclose(
        fit.posterior.log_predictive(x), expected.log_predictive(x), rtol=1e-4, atol=1e-5
    )


@each_family
@pytest.mark.parametrize("sticks", [None, 0.5])
def test_the_bound_never_falls(name, sticks):
    mixture, rows, prior = problem(name, 4, weights=0.3, stick_breaking=sticks)
    fit = fitted(mixture, rows, prior, ef.VariationalBayes(60, tolerance=None))
    assert np.min(np.diff(fit.log_likelihoods)) > (-2e-6 if FLOAT32 else -1e-11)
    np.testing.assert_allclose(jnp.sum(fit.posterior.rows), 120, rtol=1e-5)


@each_family
def test_known_labels_make_it_exact(name):
    mixture, rows, prior = problem(name, 3, weights=[0.5, 1.0, 2.0])
    fit = fitted(mixture, ef.labeled(rows, DRAWN), prior)
    counts, alpha = np.bincount(DRAWN), np.array([0.5, 1.0, 2.0])
    # the evidence of the labels is that of a Dirichlet-multinomial
    labels = special.gammaln(alpha + counts).sum() - special.gammaln(alpha).sum()
    labels += special.gammaln(alpha.sum()) - special.gammaln(alpha.sum() + 120)
    own = [
        prior.component(k).log_evidence(jax.tree.map(lambda a, k=k: a[k == DRAWN], rows))
        for k in range(3)
    ]
    np.testing.assert_allclose(fit.log_likelihood, (labels + sum(own)) / 120, rtol=NATS)
    np.testing.assert_allclose(fit.posterior.rows, counts, rtol=1e-6)


# scikit-learn's expectations with diagonal or spherical precisions are those of a Wishart: with
# more than one column they are not of its own prior, and nothing that can be agreed with.
@needs_float64
@pytest.mark.slow
@pytest.mark.parametrize("sticks", [False, True])
@pytest.mark.parametrize(
    ("structure", "kind", "columns"),
    [(FULL, "full", 2), (DIAGONAL, "diag", 1), (SCALE, "spherical", 1)],
)
def test_scikit_learn_takes_the_same_steps(structure, kind, columns, sticks):
    xs = CLUSTERS[:, :columns]
    n, count, gamma, kappa = len(xs), 4, 0.8, 0.7
    freedom = columns + 1.5
    scale = np.atleast_2d(np.cov(xs.T))
    shapes = {"full": scale, "diag": np.diag(scale), "spherical": float(scale[0, 0])}
    process = "dirichlet_process" if sticks else "dirichlet_distribution"
    peer = BayesianGaussianMixture(
        n_components=count,
        covariance_type=kind,
        weight_concentration_prior_type=process,
        weight_concentration_prior=gamma,
        mean_precision_prior=kappa,
        mean_prior=xs.mean(axis=0),
        degrees_of_freedom_prior=freedom,
        covariance_prior=shapes[kind],
        reg_covar=0,
    )
    shares = np.random.default_rng(1).dirichlet(np.ones(count), n)
    peer._check_parameters(xs)
    peer._initialize(xs, shares)
    bounds = []
    for _ in range(50):
        log_prob, logs = peer._e_step(xs)
        peer._m_step(xs, logs)
        bounds.append(peer._compute_lower_bound(logs, log_prob))
    peer._set_parameters(peer._get_parameters())

    normal = ef.Normal(columns, structure)
    mixture = ef.Mixture(normal, count)
    component = ef.ConjugatePrior.from_hyperparameters(
        normal,
        mean=jnp.asarray(xs.mean(axis=0)),
        count=kappa,
        scale=jnp.asarray(shapes[kind]),
        freedom=freedom,
    )
    prior = ef.MixturePrior.from_components(
        mixture, component, weights=gamma, stick_breaking=gamma if sticks else None
    )
    # the posterior with scikit-learn's first responsibilities, and the E-step there
    statistic = jax.vmap(normal._sufficient_statistic)(jnp.asarray(xs))
    joint = jax.tree.map(lambda s: jnp.tensordot(shares.T, s, axes=1) / n, statistic)
    means = HarmoniumCoords(None, joint, jnp.asarray(shares.mean(axis=0)))
    start = ef.Natural(prior._observe(means, float(n))._point())
    run = partial(ef.fit, mixture, jnp.asarray(xs), key=KEY, prior=prior)
    fit = run(params=start, method=ef.VariationalBayes(50, tolerance=None))
    found = np.asarray(fit.posterior.expected_weights)
    np.testing.assert_allclose(found / found.sum(), peer.weights_, rtol=1e-8)
    mean, covariance = jax.vmap(normal.mean_covariance)(mixture.components(fit.params))
    np.testing.assert_allclose(mean, peer.means_, rtol=1e-8)
    np.testing.assert_allclose(
        np.ravel(covariance), np.ravel(peer.covariances_), rtol=1e-8, atol=1e-12
    )
    # Its bound is ours between an E-step and the next, up to a constant: of the first and the last.
    once = ef.VariationalBayes(0, tolerance=None)
    last = run(params=start, method=ef.VariationalBayes(49, tolerance=None)).posterior
    end = run(params=ef.Natural(last._point()), method=once).log_likelihoods[0]
    np.testing.assert_allclose(
        n * (end - fit.log_likelihoods[0]), bounds[-1] - bounds[0], rtol=1e-8
    )


def test_predictives_are_mixtures_of_student_t():
    mixture, rows, prior = problem("full", 3, weights=0.5)
    post = fitted(mixture, rows, prior).posterior
    x = np.array([[0.0, 1.0], [3.0, 3.0], [-2.0, 8.0]])
    logs = []
    for k in range(3):
        usual = {name: np.asarray(v) for name, v in post.component(k).hyperparameters().items()}
        freedom = usual["freedom"] - 1
        shape = usual["scale"] * (1 + 1 / usual["count"]) / freedom
        logs.append(stats.multivariate_t.logpdf(x, usual["mean"], shape, freedom))
    weights = np.asarray(post.weights.concentration) / np.sum(post.weights.concentration)
    expected = special.logsumexp(np.stack(logs, axis=1) + np.log(weights), axis=1)
    np.testing.assert_allclose(post.log_predictive(jnp.asarray(x)), expected, rtol=1e-4)
    draws = post.sample_predictive(KEY, (4000,))
    center = sum(w * post.component(k).hyperparameters()["mean"] for k, w in enumerate(weights))
    assert np.all(np.abs(draws.mean(axis=0) - center) < 4 * draws.std(axis=0) / np.sqrt(4000))


def test_draws_of_parameters_and_credible_intervals():
    mixture, rows, prior = problem("poisson", 2)
    post = fitted(mixture, rows, prior).posterior
    alpha = np.asarray(post.weights.concentration)
    low, high = post.credible_interval(mixture.weights, KEY, 0.9, 4000)
    beta = stats.beta(alpha[0], alpha[1])
    np.testing.assert_allclose([low[0], high[0]], beta.ppf([0.05, 0.95]), atol=0.01)
    rates = jax.vmap(mixture.component.rate)
    usual = post.component(0).hyperparameters()
    gamma = stats.gamma(usual["shape"], scale=1 / usual["rate"])
    ends = post.credible_interval(lambda p: rates(mixture.components(p)), KEY, 0.9, 4000)
    np.testing.assert_allclose([end[0] for end in ends], gamma.ppf([0.05, 0.95]), rtol=0.02)


@pytest.mark.parametrize("gamma", [0.7, (2.0, 3.0)])
def test_divergence_of_broken_sticks_by_their_draws(gamma):
    _, _, prior = problem("poisson", 3, stick_breaking=gamma)
    counts = jnp.array([20.0, 5.0, 0.5])
    before, after = prior.weights, prior.weights.observe(counts)
    assert isinstance(after, StickBreaking)
    rng = np.random.default_rng(0)
    size = 50_000
    known, rate = before.shape is None, float(after.rate)
    shape = np.nan if after.shape is None else float(after.shape)
    g = np.full(size, 1 / rate) if known else rng.gamma(shape, 1 / rate, size)
    value = np.zeros(size)
    for k in range(3):
        a, b = float(after.broken[k]), float(after.concentration + after.left[k])
        v = np.clip(rng.beta(a, b, size), 1e-300, 1 - 1e-16)
        value += stats.beta.logpdf(v, a, b) - np.log(g) - (g - 1) * np.log1p(-v)
    if not known:
        value += stats.gamma.logpdf(g, shape, scale=1 / rate) - stats.gamma.logpdf(
            g, 2, scale=1 / 3
        )
    found = float(after.divergence(before))
    assert abs(found - value.mean()) < 4 * value.std() / np.sqrt(size)
    np.testing.assert_allclose(
        after.mean(),
        jnp.exp(jax.vmap(after.sample)(jax.random.split(KEY, 5_000))).mean(axis=0),
        atol=0.02,
    )


def test_missing_cells_weights_and_streams():
    mixture, rows, prior = problem("full", 3)
    method = ef.VariationalBayes(40, tolerance=None)
    seen = np.random.default_rng(0).random((120, 2)) < 0.8
    fit = fitted(mixture, ef.incomplete(rows, seen), prior, method)
    assert np.min(np.diff(fit.log_likelihoods)) > (-2e-6 if FLOAT32 else -1e-11)
    # rows that count twice are rows that are there twice; a stream is one array
    start = mixture.initialize(jax.random.key(1))
    few = ef.VariationalBayes(3, tolerance=None)
    run = partial(ef.fit, mixture, key=KEY, prior=prior, params=start, method=few)
    twice = jnp.concatenate([rows, rows[:40]])
    weights = jnp.where(jnp.arange(120) < 40, 2.0, 1.0)
    expected = run(twice)
    for other in (run(rows, weights=weights), run(ef.Blocks(twice, 50))):
        np.testing.assert_allclose(
            other.log_likelihoods, expected.log_likelihoods, rtol=1e-5 if FLOAT32 else 1e-9
        )
        np.testing.assert_allclose(other.posterior.rows, expected.posterior.rows, rtol=1e-4)


@pytest.mark.slow
def test_one_pass_through_a_stream_comes_close():
    family, _ = FAMILIES["full"]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 20_000)
    centers = np.array([[0.0, 0], [5, 0], [0, 5]])
    rows = jnp.asarray(centers[labels] + rng.normal(size=(20_000, 2)))
    mixture = ef.Mixture(family, 3)
    component = ef.weak_prior(family, rows, 3.0)
    prior = ef.MixturePrior.from_components(mixture, component)
    run = partial(ef.fit, mixture, key=KEY, prior=prior)
    start = run(rows[:500], method=ef.EM(2, tolerance=None)).params
    whole = run(rows, params=start, method=ef.VariationalBayes())
    method = ef.StochasticVariationalBayes(block_size=500, n_rows=20_000)
    once = run(rows, params=start, method=method)
    end = run(
        rows, params=ef.Natural(once.posterior._point()), method=ef.VariationalBayes(0, None)
    ).log_likelihoods[0]
    assert whole.log_likelihood - 0.01 < end < whole.log_likelihood + 1e-5


def test_few_of_many_components_are_kept():
    mixture = ef.Mixture(ef.Normal(2), 10)
    component = ef.weak_prior(ef.Normal(2), CLUSTERS, 3.0)
    prior = ef.MixturePrior.from_components(mixture, component, weights=1e-2)
    method = ef.VariationalBayes(300)
    fit = ef.fit(mixture, jnp.asarray(CLUSTERS), key=KEY, prior=prior, method=method, restarts=2)
    assert fit.posterior.n_occupied() == 3
    truth = np.repeat([0, 1, 2], [80, 60, 60])
    found = np.asarray(fit.posterior.posterior_hard_assignment(jnp.asarray(CLUSTERS)))
    assert sum(np.bincount(found[truth == k]).max() for k in range(3)) > 180


@pytest.mark.parametrize("alpha", [1.0, 4.0])
def test_map_estimates_have_the_mode_of_the_weights(alpha):
    mixture, rows, prior = problem("poisson", 3, weights=alpha)
    fit = ef.fit(mixture, rows, key=KEY, prior=prior, method=ef.EM(tolerance=0.0))
    shares = mixture.posterior_soft_assignments(fit.params, rows).sum(axis=0)
    expected = (alpha - 1 + shares) / (3 * (alpha - 1) + 120)
    np.testing.assert_allclose(mixture.weights(fit.params), expected, atol=1e-4)
    assert np.min(np.diff(fit.log_likelihoods)) > (-2e-6 if FLOAT32 else -1e-11)


def test_components_with_less_than_nothing_are_refused_or_emptied():
    mixture, rows, prior = problem("poisson", 8, weights=0.01)
    with pytest.raises(ef.FitError):
        ef.fit(mixture, rows, key=KEY, prior=prior)
    _, _, prior = problem("poisson", 8, weights=0.01, allow_empty=True)
    fit = ef.fit(mixture, rows, key=KEY, prior=prior)
    assert jnp.min(mixture.weights(fit.params)) < 1e-30
    assert np.all(np.isfinite(mixture.log_observable_density(fit.params, rows)))


def test_a_weak_prior_of_a_mixture_is_taken_apart():
    mixture, rows, _ = problem("full", 3)
    prior = ef.weak_prior(mixture, rows, 6.0)
    fit = fitted(mixture, rows, prior)
    np.testing.assert_allclose(fit.posterior.weights.concentration - fit.posterior.rows, 2.0)
    assert "bound" in repr(fit)


NORMAL = ef.Normal(2)
GOOD = ef.ConjugatePrior.from_mean(
    NORMAL, NORMAL.to_mean(NORMAL.from_mean_covariance(jnp.zeros(2), jnp.eye(2))), 2.0
)


@pytest.mark.parametrize(
    ("mixture", "options", "error", "words"),
    [
        (ef.Mixture(NORMAL, 2), {"weights": 0.0}, ValueError, "`weights` must be positive"),
        (ef.Mixture(NORMAL, 2), {"stick_breaking": -1.0}, ValueError, "one positive number"),
        (ef.Mixture(NORMAL, 2), {"components": [GOOD] * 3}, ValueError, "2 of them"),
        (ef.Mixture(ef.Normal(3), 2), {}, ValueError, "must be ConjugatePrior of"),
        (ef.Mixture(NORMAL, 2, DIAGONAL), {}, TypeError, "must differ in everything"),
        (ef.Mixture(ef.Beta(), 2), {}, TypeError, "normalizer"),
    ],
)
def test_priors_that_cannot_be_are_refused(mixture, options, error, words):
    options = {"components": GOOD} | options
    with pytest.raises(error, match=words):
        ef.MixturePrior.from_components(mixture, **options)


def test_what_variational_bayes_needs():
    mixture, rows, prior = problem("full", 2)
    method = ef.VariationalBayes()
    with pytest.raises(TypeError, match="needs `prior`"):
        ef.fit(mixture, rows, key=KEY, method=method)
    with pytest.raises(ValueError, match="must be one of"):
        ef.fit(ef.Mixture(NORMAL, 3), rows, key=KEY, method=method, prior=prior)
    with pytest.raises(TypeError, match="prior of a Mixture"):
        ef.fit(NORMAL, rows, key=KEY, method=method, prior=GOOD)
    # rows that are all the same, and fewer of them than components, have a posterior
    same = jnp.ones((3, 2))
    mixture = ef.Mixture(NORMAL, 3)
    prior = ef.MixturePrior.from_components(mixture, GOOD)
    fit = fitted(mixture, same, prior)
    assert np.isfinite(fit.log_likelihood)
