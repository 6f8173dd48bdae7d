"""Mixtures against scipy, scikit-learn and formulas of the textbook (Bishop 2006, chapter 9)."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import expfam as ef
from tests.harmonium.reference import (
    check_mixture,
    close,
    clustered,
    normal_terms,
    normalizer,
    read_mixture,
    run_em,
    seen,
    softmax,
)
from tests.registry import DIAGONAL, FULL, IDENTITY, SCALE, STRUCTURES, random_params

DIM, K = 3, 3

# Every structure of the components, complete and with every smaller structure that varies.
NORMAL_MIXTURES = {
    f"{type(structure).__name__}-{type(varying).__name__}": ef.Mixture(
        ef.Normal(DIM, structure), K, varying=varying
    )
    for structure in STRUCTURES
    for varying in (None, *STRUCTURES)
    if varying is None or varying.rank < structure.rank
}
normal_mixtures = pytest.mark.parametrize("name", NORMAL_MIXTURES)


# ---------------------------------------------------------------- densities and posteriors


@normal_mixtures
def test_normal_mixture_is_the_explicit_one(name):
    model = NORMAL_MIXTURES[name]
    params = random_params(model, jax.random.key(1))
    weights, means, covariances = read_mixture(params.coords)
    xs = np.random.default_rng(1).normal(scale=2.0, size=(20, DIM))
    check_mixture(model, params, jnp.asarray(xs), normal_terms(weights, means, covariances, xs))
    found = usual_parameters(model, params)
    for actual, expected in zip(found, (weights, means, covariances), strict=True):
        close(actual, expected)


@jax.jit
def usual_parameters(model, params):
    normals = jax.vmap(model.component.mean_covariance)(model.components(params))
    return (model.weights(params), *normals)


@normal_mixtures
def test_means_of_a_normal_mixture(name):
    # E[1[z = k] x] = π_k μ_k and E[1[z = k] xxᵀ] = π_k (Σ_k + μ_k μ_kᵀ), as far as they are in the
    # statistic.
    model = NORMAL_MIXTURES[name]
    params = random_params(model, jax.random.key(2))
    weights, means, covariances = read_mixture(params.coords)
    mean_point = model.to_mean(params)
    close(mean_point.coords.latent, weights)
    close(mean_point.coords.interaction.first, weights[:, None] * means)
    second = weights[:, None, None] * (covariances + np.einsum("ki,kj->kij", means, means))
    total = model.interaction.marginal(mean_point.coords).second
    own, whole = mean_point.coords.interaction.second, model.component.structure
    if own is not None:
        close(own, seen(model.varying or whole, second))
    if total is not None:
        close(total, seen(whole, second.sum(axis=0)))


def test_poisson_mixture_is_the_explicit_one():
    weights, rates = np.array([0.5, 0.3, 0.2]), np.array([0.7, 4.0, 11.0])
    family = ef.Poisson()
    model = ef.Mixture(family, 3)
    params = model.from_components(
        jnp.asarray(weights), jax.vmap(family.from_rate)(jnp.asarray(rates))
    )
    counts = np.arange(40)
    terms = np.log(weights) + stats.poisson(rates).logpmf(counts[:, None])
    check_mixture(model, params, jnp.asarray(counts), terms)
    close(np.exp(model.log_observable_density(params, jnp.arange(200))).sum(), 1.0, 1e-12)
    close(jax.vmap(family.rate)(model.components(params)), rates)
    close(model.weights(params), weights)


def test_mixture_of_products_is_the_explicit_one():
    rng = np.random.default_rng(3)
    weights = np.array([0.35, 0.65])
    means, variances = rng.normal(size=(2, 2)), rng.uniform(0.3, 2, size=(2, 2))
    rates, probabilities = np.array([1.5, 6.0]), np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    ons = np.array([0.25, 0.9])
    normal, poisson, categorical = ef.Normal(2, DIAGONAL), ef.Poisson(), ef.Categorical(3)
    coin = ef.Bernoulli()
    family = ef.Product((normal, poisson, categorical, coin))
    model = ef.Mixture(family, 2)
    parts = (
        jax.vmap(normal.from_mean_covariance)(jnp.asarray(means), jnp.asarray(variances)),
        jax.vmap(poisson.from_rate)(jnp.asarray(rates)),
        jax.vmap(categorical.from_probabilities)(jnp.asarray(probabilities)),
        ef.Natural(jnp.log(jnp.asarray(ons)) - jnp.log1p(-jnp.asarray(ons))),
    )
    components = ef.Natural(tuple(part.coords for part in parts))
    params = model.from_components(jnp.asarray(weights), components)
    n = 15
    data = (rng.normal(size=(n, 2)), rng.poisson(4, size=n), rng.integers(3, size=n))
    flips = rng.integers(2, size=n)
    terms = np.stack(
        [
            np.log(weights[k])
            + stats.norm(means[k], np.sqrt(variances[k])).logpdf(data[0]).sum(axis=1)
            + stats.poisson(rates[k]).logpmf(data[1])
            + np.log(probabilities[k][data[2]])
            + stats.bernoulli(ons[k]).logpmf(flips)
            for k in range(2)
        ],
        axis=-1,
    )
    xs = tuple(jnp.asarray(leaf) for leaf in (*data, flips))
    check_mixture(model, params, xs, terms)


def test_density_of_a_mixture_integrates_to_one():
    model = ef.Mixture(ef.Normal(1), 3)
    params = random_params(model, jax.random.key(4))
    grid = jnp.linspace(-40, 40, 20001)
    close(np.trapezoid(np.exp(model.log_observable_density(params, grid[:, None])), grid), 1, 1e-9)


def test_single_component_is_the_family():
    model, normal = ef.Mixture(ef.Normal(2), 1), ef.Normal(2)
    mean, covariance = np.array([1.0, -2.0]), np.array([[2.0, 0.5], [0.5, 1.0]])
    one = normal.from_mean_covariance(jnp.asarray(mean), jnp.asarray(covariance))
    params = model.from_components(jnp.ones(1), jax.tree.map(lambda leaf: leaf[None], one))
    xs = np.random.default_rng(0).normal(size=(4, 2))
    expected = stats.multivariate_normal(mean, covariance).logpdf(xs)
    close(model.log_observable_density(params, jnp.asarray(xs)), expected)
    np.testing.assert_array_equal(
        model.posterior_soft_assignments(params, jnp.asarray(xs)), np.ones((4, 1))
    )
    assert model.posterior_categorical(params, jnp.asarray(xs[0])).coords.shape == (0,)


# ---------------------------------------------------------------- usual parameters


def usual(structure, tied):
    """Weights, means, covariances of a structure, and the leaves `from_mean_covariance` takes."""
    rng = np.random.default_rng(5)
    roots = rng.normal(size=(K, DIM, DIM)) + 2 * np.eye(DIM)
    covariances = roots @ roots.transpose(0, 2, 1)
    if tied:
        covariances[:] = covariances[0]
    diagonals = np.einsum("kii->ki", covariances)
    leaves = {FULL: covariances, DIAGONAL: diagonals, SCALE: diagonals.mean(1), IDENTITY: None}
    leaf = leaves[structure]
    if structure == DIAGONAL:
        covariances = np.stack([np.diag(row) for row in leaf])
    elif structure == SCALE:
        covariances = leaf[:, None, None] * np.eye(DIM)
    elif structure == IDENTITY:
        covariances = np.broadcast_to(np.eye(DIM), covariances.shape)
    return np.array([0.2, 0.5, 0.3]), rng.normal(size=(K, DIM)), covariances, leaf


def stack_components(normal, means, leaf):
    if leaf is None:
        return jax.vmap(normal.from_mean_covariance)(jnp.asarray(means))
    return jax.vmap(normal.from_mean_covariance)(jnp.asarray(means), jnp.asarray(leaf))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_usual_parameters_round_trip(structure, tied):
    weights, means, covariances, leaf = usual(structure, tied)
    normal = ef.Normal(DIM, structure)
    model = ef.Mixture(normal, K, varying=IDENTITY if tied else None)
    params = model.from_components(jnp.asarray(weights), stack_components(normal, means, leaf))
    xs = np.random.default_rng(6).normal(size=(7, DIM))
    check_mixture(model, params, jnp.asarray(xs), normal_terms(weights, means, covariances, xs))
    found = usual_parameters(model, params)
    for actual, expected in zip(found, (weights, means, covariances), strict=True):
        close(actual, expected)
    if tied and structure != IDENTITY:
        assert model.dim < ef.Mixture(normal, K).dim


def test_from_components_with_a_part_that_varies():
    # Precisions that differ on the diagonal alone.
    rng = np.random.default_rng(7)
    shared = np.array([[3.0, 1.0, -0.5], [1.0, 4.0, 0.3], [-0.5, 0.3, 2.5]])
    covariances = np.linalg.inv(
        shared + np.array([np.diag(rng.uniform(0, 3, 3)) for _ in range(K)])
    )
    means, weights = rng.normal(size=(K, DIM)), np.array([0.2, 0.5, 0.3])
    normal = ef.Normal(DIM)
    model = ef.Mixture(normal, K, varying=DIAGONAL)
    components = stack_components(normal, means, covariances)
    params = model.from_components(jnp.asarray(weights), components)
    xs = rng.normal(size=(9, DIM))
    check_mixture(
        model, params, jnp.asarray(xs), normal_terms(weights, means, covariances, xs), 1e-7
    )
    with pytest.raises(ValueError, match=r"`components` may differ only in Identity"):
        ef.Mixture(normal, K, varying=IDENTITY).from_components(jnp.asarray(weights), components)


def test_errors_of_from_components():
    normal, model = ef.Normal(2), ef.Mixture(ef.Normal(2), 2)
    one = normal.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
    components = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), one)
    with pytest.raises(ValueError, match=r"`weights` must have shape \(2,\)"):
        model.from_components(jnp.ones(3) / 3, components)
    for weights in ([0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]):
        with pytest.raises(ValueError, match="`weights` must not be negative, and sum to one"):
            model.from_components(jnp.asarray(weights), components)
    with pytest.raises(ValueError, match="`components` is not a point"):
        model.from_components(jnp.ones(2) / 2, one)
    with pytest.raises(TypeError, match="components"):
        model.from_components(jnp.ones(2) / 2, ef.Mean(components.coords))
    with pytest.raises(TypeError, match="params"):
        model.weights(ef.Mean(model.initialize(jax.random.key(0)).coords))
    with pytest.raises(TypeError, match="params"):
        model.posterior_soft_assignments(
            model.to_mean(model.initialize(jax.random.key(0))), jnp.zeros(2)
        )


def test_errors_of_construction():
    for wrong in (0, -1):
        with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
            ef.Mixture(ef.Normal(2), wrong)
    with pytest.raises(TypeError, match="component"):
        ef.Mixture("normal", 2)
    with pytest.raises((TypeError, ValueError), match="n_components"):
        ef.Mixture(ef.Normal(2), 2.0)
    with pytest.raises(TypeError, match="`varying` applies to components that are Normal"):
        ef.Mixture(ef.Poisson(), 2, varying=DIAGONAL)
    with pytest.raises(ValueError, match="`varying` must be contained in the structure"):
        ef.Mixture(ef.Normal(2, DIAGONAL), 2, varying=FULL)


def test_posteriors_of_one_observation():
    model = NORMAL_MIXTURES["PositiveDefinite-Scale"]
    params = random_params(model, jax.random.key(5))
    xs = np.random.default_rng(5).normal(size=(2, DIM))
    x, terms = xs[0], normal_terms(*read_mixture(params.coords), xs)[0]
    natural = terms[1:] - terms[0]
    for method in (model.posterior_at, model.posterior_categorical):
        posterior = method(params, jnp.asarray(x))
        close(posterior.coords, natural)
        close(ef.Categorical(K).probabilities(posterior), softmax(terms))
    close(model.posterior_soft_assignments(params, jnp.asarray(x)), softmax(terms))
    assert model.posterior_hard_assignment(params, jnp.asarray(x)) == terms.argmax()
    close(model.log_observable_density(params, jnp.asarray(x)), logsumexp(terms))
    grid = jnp.broadcast_to(jnp.asarray(x), (2, 3, DIM))
    assert model.posterior_soft_assignments(params, grid).shape == (2, 3, K)
    assert model.posterior_hard_assignment(params, grid).shape == (2, 3)
    assert model.log_observable_density(params, grid).shape == (2, 3)


def test_errors_of_posteriors():
    model = ef.Mixture(ef.Normal(2), 2)
    params = model.initialize(jax.random.key(0))
    for method in (model.posterior_at, model.posterior_categorical):
        with pytest.raises(ValueError, match="`x` must be a single one"):
            method(params, jnp.zeros((3, 2)))
    with pytest.raises(ValueError, match="`z` must be a single one"):
        model.likelihood_at(params, jnp.zeros(3, int))
    with pytest.raises(ValueError, match=r"trailing shape \(2,\)"):
        model.posterior_soft_assignments(params, jnp.zeros((4, 3)))
    with pytest.raises(ValueError, match="finite real numbers"):
        model.posterior_hard_assignment(params, jnp.array([0.0, jnp.nan]))


# ---------------------------------------------------------------- conjugation


@pytest.mark.parametrize("name", ["PositiveDefinite-NoneType", "PositiveDefinite-Diagonal"])
def test_conjugation(name):
    # ψ_X(θ_X + Θ s_Z(z)) = ⟨ρ, s_Z(z)⟩ + χ for every z, and the prior is θ_Z + ρ.
    model = NORMAL_MIXTURES[name]
    params = random_params(model, jax.random.key(8))
    weights, means, covariances = read_mixture(params.coords)
    normalizers = [normalizer(*pair) for pair in zip(means, covariances, strict=True)]
    likelihood, prior = model.split_conjugated(params)
    rho = np.asarray(model.conjugation_parameters(likelihood).coords)
    offset = normalizers[0]
    for z in range(K):
        conditional = model.likelihood_at(params, jnp.asarray(z))
        mean, covariance = ef.Normal(DIM).mean_covariance(conditional)
        close(mean, means[z])
        close(covariance, covariances[z])
        statistic = np.arange(1, K) == z
        close(ef.Normal(DIM).log_normalizer(conditional), rho @ statistic + offset)
        close(normalizers[z], rho @ statistic + offset)
    close(prior.coords, np.log(weights[1:] / weights[0]))
    close(model.prior(params).coords, prior.coords)
    joined = model.join_conjugated(likelihood, prior)
    close(model.flatten(joined), model.flatten(params))
    other = np.array([0.1, 0.2, 0.7])
    moved = model.join_conjugated(
        likelihood, model.prior_family.from_probabilities(jnp.asarray(other))
    )
    new_weights, new_means, new_covariances = read_mixture(moved.coords)
    close(new_weights, other)
    close(new_means, means)
    close(new_covariances, covariances)


def test_complete_density_factorizes():
    # log p(x, z) = log π_z + log N(x; μ_z, Σ_z) = ⟨θ, s(x, z)⟩ + log μ(x, z) − ψ(θ)
    for name in ("PositiveDefinite-NoneType", "Diagonal-Scale"):
        model = NORMAL_MIXTURES[name]
        params = random_params(model, jax.random.key(9))
        rng = np.random.default_rng(9)
        xs, zs = rng.normal(size=(6, DIM)), rng.integers(K, size=6)
        expected = normal_terms(*read_mixture(params.coords), xs)[np.arange(6), zs]
        close(model.log_density(params, (jnp.asarray(xs), jnp.asarray(zs))), expected)
        x, z = jnp.asarray(xs[0]), jnp.asarray(zs[0])
        by_definition = (
            params @ model.sufficient_statistic((x, z))
            + model.log_base_measure((x, z))
            - model.log_normalizer(params)
        )
        close(by_definition, expected[0])


def test_samples_have_the_moments_of_the_mixture():
    model = NORMAL_MIXTURES["PositiveDefinite-Diagonal"]
    params = random_params(model, jax.random.key(10))
    weights, means, covariances = read_mixture(params.coords)
    n = 100_000
    xs, zs = (np.asarray(leaf) for leaf in model.sample(jax.random.key(11), params, (n,)))
    for k in range(K):
        own = xs[zs == k]
        assert abs(len(own) / n - weights[k]) < 5 * np.sqrt(weights[k] * (1 - weights[k]) / n)
        error = np.sqrt(np.diag(covariances[k]) / len(own))
        assert np.all(abs(own.mean(axis=0) - means[k]) < 5 * error)
        # Var(s_ij) = (Σ_ii Σ_jj + Σ_ij²)/n
        variance = np.outer(*[np.diag(covariances[k])] * 2) + covariances[k] ** 2
        assert np.all(abs(np.cov(own.T) - covariances[k]) < 5 * np.sqrt(variance / len(own)))
    observed = model.observable_sample(jax.random.key(12), params, 50)
    assert observed.shape == (50, DIM)


# ---------------------------------------------------------------- estimation


SKLEARN = {
    "full": (FULL, None),
    "tied": (FULL, IDENTITY),
    "diag": (DIAGONAL, None),
    "spherical": (SCALE, None),
}


@pytest.mark.parametrize("kind", SKLEARN)
def test_em_follows_scikit_learn(kind):
    structure, varying = SKLEARN[kind]
    model = ef.Mixture(ef.Normal(DIM, structure), K, varying=varying)
    xs = clustered(13, 200, DIM)
    start = model.initialize_from_sample(jax.random.key(14), jnp.asarray(xs))
    weights, means, covariances = read_mixture(start.coords)
    precisions = np.linalg.inv(covariances)
    given = {
        "full": precisions,
        "tied": precisions[0],
        "diag": np.einsum("kii->ki", precisions),
        "spherical": precisions[:, 0, 0],
    }
    scores = []
    for steps in (3, 50):
        peer = GaussianMixture(
            K,
            covariance_type=kind,
            tol=0,
            reg_covar=0,
            max_iter=steps,
            weights_init=weights / weights.sum(),
            means_init=means,
            precisions_init=given[kind],
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            peer.fit(xs)
        assert peer.n_iter_ == steps
        params = run_em(model, start, jnp.asarray(xs), steps)
        scores.append(float(model.average_log_observable_density(params, jnp.asarray(xs))))
        close(scores[-1], peer.score(xs), 1e-8)
        close(usual_parameters(model, params)[0], peer.weights_, 1e-6)
        close(usual_parameters(model, params)[1], peer.means_, 1e-6)
        close(
            model.posterior_soft_assignments(params, jnp.asarray(xs)),
            peer.predict_proba(xs),
            1e-6,
        )
    assert scores[1] > scores[0] > normal_score(xs, weights, means, covariances)


def normal_score(xs, weights, means, covariances):
    return logsumexp(normal_terms(weights, means, covariances, xs), axis=1).mean()


@normal_mixtures
def test_em_step_matches_the_expected_statistics(name):
    # The M-step gives the mixture whose expectations are those of the E-step, in the statistic:
    # weights and means for every component, second moments for every component as far as they
    # vary, and in total as far as they are shared.
    model = NORMAL_MIXTURES[name]
    xs = clustered(15, 60, DIM)
    start = random_params(model, jax.random.key(16))
    terms = normal_terms(*read_mixture(start.coords), xs)
    parts = softmax(terms) / len(xs)
    expected = model.mean_posterior_statistics(start, jnp.asarray(xs))
    close(expected.coords.latent, parts.sum(axis=0))
    close(expected.coords.interaction.first, parts.T @ xs)
    following = model.expectation_maximization(start, jnp.asarray(xs))
    weights, means, covariances = read_mixture(following.coords)
    close(weights, parts.sum(axis=0))
    close(weights[:, None] * means, parts.T @ xs, 1e-8)
    fitted = weights[:, None, None] * (covariances + np.einsum("ki,kj->kij", means, means))
    wanted = np.einsum("nk,ni,nj->kij", parts, xs, xs)
    whole, varying = model.component.structure, model.varying or model.component.structure
    close(seen(varying, fitted), seen(varying, wanted), 1e-8)
    close(seen(whole, fitted.sum(axis=0)), seen(whole, wanted.sum(axis=0)), 1e-8)


def test_weights_of_rows_are_repetitions():
    model = ef.Mixture(ef.Normal(2, DIAGONAL), 2)
    rng = np.random.default_rng(17)
    xs, counts = clustered(17, 20, 2), rng.integers(0, 4, size=20)
    start = random_params(model, jax.random.key(18))
    repeated = jnp.asarray(np.repeat(xs, counts, axis=0))
    weighted = model.expectation_maximization(start, jnp.asarray(xs), jnp.asarray(counts * 1.0))
    plain = model.expectation_maximization(start, repeated)
    close(model.flatten(weighted), model.flatten(plain))
    close(
        model.average_log_observable_density(start, jnp.asarray(xs), jnp.asarray(counts * 1.0)),
        model.average_log_observable_density(start, repeated),
    )


def test_em_with_a_prior_adds_imagined_rows():
    # π_k = (ν π⁰_k + Σ r)/(ν + n), μ_k = (ν π⁰_k μ⁰_k + Σ r x)/(ν π⁰_k + Σ r), and so on.
    model, normal = ef.Mixture(ef.Normal(2), 2), ef.Normal(2)
    xs = clustered(19, 30, 2)
    start = random_params(model, jax.random.key(20))
    weights0, means0 = np.array([0.4, 0.6]), np.array([[1.0, 0.0], [-1.0, 0.5]])
    covariances0 = np.array([[[2.0, 0.3], [0.3, 1.0]], [[1.0, 0.0], [0.0, 3.0]]])
    imagined = model.to_mean(
        model.from_components(jnp.asarray(weights0), stack_components(normal, means0, covariances0))
    )
    count = 7.5
    terms = normal_terms(*read_mixture(start.coords), xs)
    parts = softmax(terms)
    mass = count * weights0 + parts.sum(axis=0)
    means = (count * weights0[:, None] * means0 + parts.T @ xs) / mass[:, None]
    second0 = covariances0 + np.einsum("ki,kj->kij", means0, means0)
    second = count * weights0[:, None, None] * second0 + np.einsum("nk,ni,nj->kij", parts, xs, xs)
    covariances = second / mass[:, None, None] - np.einsum("ki,kj->kij", means, means)
    prior = ef.ConjugatePrior.from_mean(model, imagined, count)
    following = model.expectation_maximization(start, jnp.asarray(xs), prior=prior)
    found = read_mixture(following.coords)
    for actual, expected in zip(found, (mass / mass.sum(), means, covariances), strict=True):
        close(actual, expected)


def test_complete_data_give_frequencies_and_moments_of_classes():
    model = ef.Mixture(ef.Normal(2), 2)
    xs, zs = clustered(21, 40, 2), np.random.default_rng(21).integers(2, size=40)
    fitted = model.maximum_likelihood((jnp.asarray(xs), jnp.asarray(zs)))
    weights, means, covariances = read_mixture(fitted.coords)
    for k in range(2):
        own = xs[zs == k]
        close(weights[k], len(own) / 40)
        close(means[k], own.mean(axis=0))
        close(covariances[k], np.cov(own.T, ddof=0))


def test_em_of_poisson_mixture_is_the_textbook_step():
    # λ_k = Σ r x / Σ r
    family = ef.Poisson()
    model = ef.Mixture(family, 2)
    weights, rates = np.array([0.3, 0.7]), np.array([1.0, 5.0])
    params = model.from_components(
        jnp.asarray(weights), jax.vmap(family.from_rate)(jnp.asarray(rates))
    )
    counts = np.array([0, 1, 1, 2, 3, 5, 8, 4, 6, 0])
    joint = weights * stats.poisson(rates).pmf(counts[:, None])
    parts = joint / joint.sum(axis=1, keepdims=True)
    following = model.expectation_maximization(params, jnp.asarray(counts))
    close(model.weights(following), parts.mean(axis=0))
    close(jax.vmap(family.rate)(model.components(following)), parts.T @ counts / parts.sum(axis=0))


def test_start_has_the_variance_within_clusters():
    # Clusters far apart: k-means++ finds them, and each is fitted by itself.
    rng = np.random.default_rng(22)
    centers = np.array([[0.0, 0.0], [50.0, 0.0], [0.0, 50.0]])
    labels = np.repeat([0, 1, 2], [40, 60, 100])
    xs = centers[labels] + rng.normal(size=(200, 2))
    model = ef.Mixture(ef.Normal(2), 3)
    start = model.initialize_from_sample(jax.random.key(23), jnp.asarray(xs))
    weights, means, covariances = read_mixture(start.coords)
    order = np.argsort(weights)
    np.testing.assert_allclose(weights[order], [0.2, 0.3, 0.5], atol=0.01)
    np.testing.assert_allclose(means[order], centers, atol=2.0)
    # One imagined row in all is spread over each cluster: 50²/40 at the most.
    assert np.all(np.einsum("kii->ki", covariances) < 60)


def test_a_component_that_dies_keeps_the_others_finite():
    # Component 1 is nowhere near the data: its weight goes to zero, it keeps its shape.
    model, normal = ef.Mixture(ef.Normal(2), 2), ef.Normal(2)
    xs = np.random.default_rng(24).normal(size=(50, 2))
    params = model.from_components(
        jnp.array([0.5, 0.5]),
        stack_components(normal, np.array([[0.0, 0], [1e3, 1e3]]), np.stack([np.eye(2)] * 2)),
    )
    for _ in range(3):
        params = model.expectation_maximization(params, jnp.asarray(xs))
    expected = stats.multivariate_normal(xs.mean(axis=0), np.cov(xs.T, ddof=0)).logpdf(xs)
    close(model.log_observable_density(params, jnp.asarray(xs)), expected)
    assert np.all(np.isfinite(model.flatten(params)))
