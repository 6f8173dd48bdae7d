"""Hierarchical mixtures of Gaussians against p(x) = Σ_k π_k N(x; W m_k + b, W S_k Wᵀ + Ψ)."""

import dataclasses
from collections import Counter
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.harmonium.reference import (
    close,
    clustered,
    compare_mixture,
    condition,
    factorizations,
    factorizations_of,
    hmog_terms,
    marginal,
    mixture_readings,
    normalizer,
    read_hmog,
    seen,
    softmax,
    structured,
)
from tests.registry import DIAGONAL, FULL, IDENTITY, SCALE, STRUCTURES, random_params

P, D, K = 4, 2, 3
FACTORIES = {
    "analytic": lambda obs_rep, _: ef.analytic_hmog(P, obs_rep, D, K),
    "symmetric": lambda obs_rep, lat_rep: ef.symmetric_hmog(P, obs_rep, D, lat_rep, K),
    "differentiable": lambda obs_rep, pst_rep: ef.differentiable_hmog(P, obs_rep, D, pst_rep, K),
}
# Every structure of the noise, and every other one beside diagonal noise.
MODELS = {
    f"{kind}-{type(obs_rep).__name__}-{type(structure).__name__}": factory(obs_rep, structure)
    for kind, factory in FACTORIES.items()
    for obs_rep in STRUCTURES
    for structure in STRUCTURES
    if structure == FULL or (kind != "analytic" and obs_rep == DIAGONAL)
}
# Models without a closed M-step, and the structure of what varies in the posterior.
SOLVED = {
    "symmetric-Diagonal-Diagonal": DIAGONAL,
    "differentiable-Diagonal-Diagonal": DIAGONAL,
    "differentiable-Diagonal-Identity": IDENTITY,
}
CLOSED = [
    *(name for name in MODELS if name.startswith("analytic")),
    "symmetric-Diagonal-PositiveDefinite",
    "symmetric-Diagonal-Identity",
    "differentiable-Diagonal-PositiveDefinite",
]


def rows(seed, n=10):
    return np.random.default_rng(seed).normal(scale=1.5, size=(n, P))


@jax.jit
def readings(model, params, xs):
    own = model.parameters(params)
    posterior = jax.vmap(lambda x: model.posterior_at(params, x))(xs)
    upper = model.posterior_family
    normals = jax.vmap(upper.components)(posterior)
    return {
        **mixture_readings(model, params, xs),
        "assignments": model.posterior_assignments(params, xs),
        "scores": model.latent_mean(params, xs),
        "posterior weights": jax.vmap(upper.weights)(posterior),
        "posterior normals": jax.vmap(jax.vmap(upper.component.mean_covariance))(normals),
        "parameters": (
            own.weights,
            own.latent_means,
            own.latent_covariances,
            own.loadings,
            own.mean,
            own.noise,
        ),
        "observable": (own.observable_means, own.observable_covariances),
    }


# ---------------------------------------------------------------- densities and posteriors


@jax.jit
def plain_readings(model, params, xs):
    return {
        **mixture_readings(model, params, xs),
        "assignments": model.posterior_assignments(params, xs),
    }


@pytest.mark.parametrize("name", MODELS)
def test_hmog_is_the_explicit_mixture(name):
    model = MODELS[name]
    params, xs = random_params(model, jax.random.key(1)), rows(1)
    found = plain_readings(model, params, jnp.asarray(xs))
    compare_mixture(found, hmog_terms(*read_hmog(params.coords), xs))
    np.testing.assert_array_equal(found["assignments"], found["soft"])


@pytest.mark.parametrize("name", [*CLOSED, *SOLVED])
def test_posteriors_of_both_latent_variables(name):
    # p(y, k | x): responsibilities, and Gaussian conditioning for every cluster.
    model = MODELS[name]
    params, xs = random_params(model, jax.random.key(2)), rows(2)
    own = read_hmog(params.coords)
    found = readings(model, params, jnp.asarray(xs))
    for actual, expected in zip(found["parameters"], own, strict=True):
        close(actual, expected)
    _, latent_means, latent_covariances, *likelihood = own
    responsibilities = softmax(hmog_terms(*own, xs))
    close(found["posterior weights"], responsibilities)
    scores = np.zeros((len(xs), D))
    for k, prior in enumerate(zip(latent_means, latent_covariances, strict=True)):
        for actual, expected in zip(
            found["observable"], marginal(*likelihood, *prior), strict=True
        ):
            close(actual[k], expected)
        means, covariance = condition(*likelihood, *prior, xs)
        close(found["posterior normals"][0][:, k], means)
        close(found["posterior normals"][1][:, k], np.broadcast_to(covariance, (len(xs), D, D)))
        scores += responsibilities[:, [k]] * means
    close(found["scores"], scores)


def test_density_integrates_to_one():
    model = ef.analytic_hmog(2, DIAGONAL, 1, 2)
    params = random_params(model, jax.random.key(2))
    axis = np.linspace(-15, 15, 401)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = np.exp(model.log_observable_density(params, jnp.asarray(grid)))
    close(np.trapezoid(np.trapezoid(density, axis), axis), 1, 1e-8)


def test_one_observation_and_leading_axes():
    for kind in ("analytic-Diagonal-PositiveDefinite", "differentiable-Diagonal-Diagonal"):
        model = MODELS[kind]
        params, xs = random_params(model, jax.random.key(3)), rows(3, 6)
        terms = hmog_terms(*read_hmog(params.coords), xs)
        x = jnp.asarray(xs[0])
        posterior = model.posterior_categorical(params, x)
        assert posterior.coords.shape == (K - 1,)
        close(posterior.coords, terms[0, 1:] - terms[0, 0])
        close(ef.Categorical(K).probabilities(posterior), softmax(terms[0]))
        close(model.posterior_soft_assignments(params, x), softmax(terms[0]))
        close(model.posterior_assignments(params, x), softmax(terms[0]))
        assert model.posterior_hard_assignment(params, x) == terms[0].argmax()
        boxed = jnp.asarray(xs).reshape(2, 3, P)
        close(model.posterior_assignments(params, boxed), softmax(terms).reshape(2, 3, K))
        assert model.posterior_hard_assignment(params, boxed).shape == (2, 3)
        assert model.latent_mean(params, boxed).shape == (2, 3, D)
        with pytest.raises(
            (TypeError, ValueError), match=r"`x` must be a single one|parameter 'x'"
        ):
            model.posterior_categorical(params, jnp.asarray(xs))


# ---------------------------------------------------------------- usual parameters


def noise_leaf(obs_rep, noise):
    """The noise as `from_parameters` takes it."""
    leaves = {FULL: noise, DIAGONAL: np.diag(noise), SCALE: noise[0, 0], IDENTITY: None}
    leaf = leaves[obs_rep]
    return None if leaf is None else jnp.asarray(leaf)


@pytest.mark.parametrize("name", [*CLOSED, *SOLVED])
def test_usual_parameters_round_trip(name):
    model = MODELS[name]
    own = read_hmog(random_params(model, jax.random.key(4)).coords)
    *first, noise = own
    params = model.from_parameters(
        *map(jnp.asarray, first), noise_leaf(model.lwr_hrm.obs_rep, noise)
    )
    xs = rows(4)
    found = readings(model, params, jnp.asarray(xs))
    compare_mixture(found, hmog_terms(*own, xs), 1e-8)
    for actual, expected in zip(found["parameters"], own, strict=True):
        close(actual, expected, 1e-8)


def test_errors_of_from_parameters():
    rng = np.random.default_rng(5)
    good = {
        "weights": np.array([0.5, 0.3, 0.2]),
        "latent_means": rng.normal(size=(K, D)),
        "latent_covariances": np.array([np.eye(D), 2 * np.eye(D), [[1.0, 0.5], [0.5, 1.0]]]),
        "loadings": rng.normal(size=(P, D)),
        "mean": np.zeros(P),
        "noise": np.ones(P),
    }

    def make(model, **changes):
        return model.from_parameters(
            **{name: jnp.asarray(value) for name, value in {**good, **changes}.items()}
        )

    analytic = MODELS["analytic-Diagonal-PositiveDefinite"]
    close(analytic.parameters(make(analytic)).latent_covariances, good["latent_covariances"])
    with pytest.raises(ValueError, match="`weights` must not be negative, and sum to one"):
        make(analytic, weights=np.array([0.5, 0.5, 0.5]))
    # Wrong shapes are found by the annotations, where they are checked.
    with pytest.raises((TypeError, ValueError), match=r"weights|latent_means"):
        make(analytic, weights=np.array([0.5, 0.5]))
    with pytest.raises((TypeError, ValueError), match="loadings"):
        make(analytic, loadings=np.ones((P, D + 1)))
    with pytest.raises(ValueError, match="`latent_covariances` must be symmetric, positive"):
        make(analytic, latent_covariances=-good["latent_covariances"])
    with pytest.raises(ValueError, match="`covariance` must be positive and finite"):
        make(analytic, noise=np.array([1.0, 1.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"`components` may differ only in Identity\(\)"):
        make(MODELS["symmetric-Diagonal-Identity"])
    with pytest.raises(ValueError, match=r"must have posteriors in .*, but theirs need a larger"):
        make(MODELS["differentiable-Diagonal-Diagonal"])
    with pytest.raises(TypeError, match="params"):
        analytic.parameters(analytic.to_mean(make(analytic)))
    with pytest.raises(TypeError, match="means"):
        analytic.whiten_prior(make(analytic))


def test_errors_of_construction():
    for lat_dim in (0, P):
        with pytest.raises(ValueError, match="`lat_dim` must be an integer"):
            ef.analytic_hmog(P, DIAGONAL, lat_dim, K)
    for n_components in (0, -1):
        with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
            ef.symmetric_hmog(P, DIAGONAL, D, DIAGONAL, n_components)
        with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
            ef.differentiable_hmog(P, DIAGONAL, D, DIAGONAL, n_components)


def test_lower_and_upper_harmoniums():
    analytic, symmetric, differentiable = (
        factory(DIAGONAL, DIAGONAL) for factory in FACTORIES.values()
    )
    for model in (analytic, symmetric):
        assert model.upr_hrm == model.posterior_family == model.prior_family
        assert model.lwr_hrm.observable == model.observable == ef.Normal(P, DIAGONAL)
    assert analytic.upr_hrm == ef.Mixture(ef.Normal(D), K)
    assert symmetric.upr_hrm == ef.Mixture(ef.Normal(D), K, varying=DIAGONAL)
    assert differentiable.pst_upr_hrm == ef.Mixture(ef.Normal(D, DIAGONAL), K)
    assert differentiable.prr_upr_hrm == ef.Mixture(ef.Normal(D), K)


# ---------------------------------------------------------------- conjugation


@pytest.mark.parametrize("name", ["analytic-PositiveDefinite-PositiveDefinite", *SOLVED])
def test_split_and_join(name):
    model = MODELS[name]
    params = random_params(model, jax.random.key(6))
    weights, latent_means, latent_covariances, loadings, mean, noise = read_hmog(params.coords)
    likelihood, prior = model.split_conjugated(params)
    upper = model.prior_family
    close(upper.weights(prior), weights)
    found = jax.vmap(upper.component.mean_covariance)(upper.components(prior))
    close(found[0], latent_means)
    close(found[1], latent_covariances)
    joined = model.join_conjugated(likelihood, prior)
    close(model.flatten(joined), model.flatten(params))
    # ψ_X(θ_X + Θ y) = ⟨ρ, s_Z(y, k)⟩ + χ for every y and k
    rho = model.conjugation_parameters(likelihood)
    for k, y in enumerate(np.random.default_rng(6).normal(size=(K, D))):
        z = (jnp.asarray(y), jnp.asarray(k))
        linear = float(rho @ upper.sufficient_statistic(z))
        close(normalizer(loadings @ y + mean, noise) - normalizer(mean, noise), linear)
        center, covariance = model.observable.mean_covariance(model.likelihood_at(params, z))
        close(center, loadings @ y + mean)
        close(covariance, noise)


def test_join_refuses_what_the_posterior_cannot_hold():
    model = MODELS["differentiable-Diagonal-Diagonal"]
    likelihood, _ = model.split_conjugated(random_params(model, jax.random.key(7)))
    other = random_params(model.prior_family, jax.random.key(8))
    with pytest.raises(ValueError, match=r"`prior` and `likelihood` must have posteriors in"):
        model.join_conjugated(likelihood, other)
    # Where posterior and prior share a family, any pair joins.
    for name in ("analytic-Diagonal-PositiveDefinite", "symmetric-Diagonal-Diagonal"):
        model = MODELS[name]
        likelihood, _ = model.split_conjugated(random_params(model, jax.random.key(9)))
        other = random_params(model.prior_family, jax.random.key(10))
        joined = model.join_conjugated(likelihood, other)
        close(model.prior_family.flatten(model.prior(joined)), model.prior_family.flatten(other))


def test_complete_density_factorizes():
    # log p(x, y, k) = log π_k + log N(y; m_k, S_k) + log N(x; W y + b, Ψ)
    for name in ("analytic-Diagonal-PositiveDefinite", "differentiable-Diagonal-Identity"):
        model = MODELS[name]
        params = random_params(model, jax.random.key(11))
        weights, means, covariances, loadings, mean, noise = read_hmog(params.coords)
        x, y = rows(11, 1)[0], np.random.default_rng(11).normal(size=D)
        data = (jnp.asarray(x), (jnp.asarray(y), jnp.asarray(1)))
        expected = (
            np.log(weights[1])
            + stats.multivariate_normal(means[1], covariances[1]).logpdf(y)
            + stats.multivariate_normal(loadings @ y + mean, noise).logpdf(x)
        )
        close(model.log_density(params, data), expected)
        by_definition = (
            params @ model.sufficient_statistic(data)
            + model.log_base_measure(data)
            - model.log_normalizer(params)
        )
        close(by_definition, expected)


@pytest.mark.parametrize("kind", FACTORIES)
def test_samples_have_the_moments_of_the_model(kind):
    model = FACTORIES[kind](DIAGONAL, DIAGONAL)
    params = random_params(model, jax.random.key(12))
    weights, means, covariances, *likelihood = read_hmog(params.coords)
    n = 100_000
    xs, (ys, zs) = model.sample(jax.random.key(13), params, (n,))
    xs, ys, zs = np.asarray(xs), np.asarray(ys), np.asarray(zs)
    error = np.sqrt(weights * (1 - weights) / n)
    assert np.all(abs(np.bincount(zs, minlength=K) / n - weights) < 5 * error)
    parts = [marginal(*likelihood, *prior) for prior in zip(means, covariances, strict=True)]
    for sample, centers, spreads in (
        (ys, means, covariances),
        (xs, *map(np.array, zip(*parts, strict=True))),
    ):
        # Raw moments E[v] and E[v vᵀ] of a mixture; errors of the averages from the sample.
        first = weights @ centers
        raw = spreads + np.einsum("ki,kj->kij", centers, centers)
        second = np.einsum("k,kij->ij", weights, raw)
        squares = np.einsum("ni,nj->nij", sample, sample)
        errors = [values.std(axis=0) / np.sqrt(n) for values in (sample, squares)]
        assert np.all(abs(sample.mean(axis=0) - first) < 5 * errors[0])
        assert np.all(abs(squares.mean(axis=0) - second) < 5 * errors[1])


# ---------------------------------------------------------------- charts and whitening


def latent_moments(weights, means, covariances):
    """Mean and covariance of y."""
    center = weights @ means
    deviations = means - center
    between = np.einsum("k,ki,kj->ij", weights, deviations, deviations)
    return center, np.einsum("k,kij->ij", weights, covariances) + between


@pytest.mark.parametrize("name", CLOSED)
def test_round_trip_and_full_whitening(name):
    model = MODELS[name]
    params, xs = random_params(model, jax.random.key(14)), rows(14)
    means = model.to_mean(params)
    close(model.flatten(model.to_natural(means)), model.flatten(params), 1e-8)
    white = model.to_natural(model.whiten_prior(means))
    before, after = (readings(model, point, jnp.asarray(xs)) for point in (params, white))
    np.testing.assert_allclose(after["density"], before["density"], rtol=1e-10)
    np.testing.assert_allclose(after["soft"], before["soft"], rtol=1e-8, atol=1e-10)
    center, covariance = latent_moments(*map(np.asarray, after["parameters"][:3]))
    np.testing.assert_allclose(center, np.zeros(D), atol=1e-10)
    np.testing.assert_allclose(covariance, np.eye(D), atol=1e-10)


WHITENED = {**SOLVED, "differentiable-Diagonal-Scale": SCALE}


@pytest.mark.parametrize("name", WHITENED)
def test_round_trip_and_restricted_whitening(name):
    # As the docstrings say: with Diagonal every coordinate of y gets mean 0 and variance 1, with
    # Scale variance 1 on average, with Identity mean 0.
    model, structure = MODELS[name], WHITENED[name]
    params, xs = random_params(model, jax.random.key(15)), rows(15)
    means = model.to_mean(params)
    close(model.flatten(model.to_natural(means)), model.flatten(params), 1e-8)
    white = model.to_natural(model.whiten_prior(means))
    before, after = (readings(model, point, jnp.asarray(xs)) for point in (params, white))
    np.testing.assert_allclose(after["density"], before["density"], rtol=1e-10)
    center, covariance = latent_moments(*map(np.asarray, after["parameters"][:3]))
    np.testing.assert_allclose(center, np.zeros(D), atol=1e-10)
    variances = np.diag(covariance)
    if structure == DIAGONAL:
        np.testing.assert_allclose(variances, np.ones(D), atol=1e-10)
    elif structure == SCALE:
        np.testing.assert_allclose(variances.mean(), 1, atol=1e-10)
    else:
        old = latent_moments(*map(np.asarray, before["parameters"][:3]))[1]
        np.testing.assert_allclose(covariance, old, rtol=1e-9, atol=1e-10)


# ---------------------------------------------------------------- expectation maximization


N_ROWS = 50


@cache
def compiled_step(model):
    """One EM step, compiled for `N_ROWS` rows."""
    coords = random_params(model, jax.random.key(0)).coords
    step = jax.jit(lambda c, x: model._em_step(c, x, None, None))
    return step.lower(coords, jnp.ones((N_ROWS, P))).compile()


def expected_statistics(own, xs):
    """The E-step: averages of 1[k], 1[k] y, 1[k] yyᵀ, x, x xᵀ and x yᵀ given x."""
    _, latent_means, latent_covariances, *likelihood = own
    shares = softmax(hmog_terms(*own, xs)) / len(xs)
    first, second, cross = [], [], np.zeros((P, D))
    for share, prior in zip(
        shares.T, zip(latent_means, latent_covariances, strict=True), strict=True
    ):
        means, covariance = condition(*likelihood, *prior, xs)
        first.append(share @ means)
        second.append(share.sum() * covariance + (means * share[:, None]).T @ means)
        cross += (xs * share[:, None]).T @ means
    return (
        shares.sum(axis=0),
        np.array(first),
        np.array(second),
        xs.mean(0),
        xs.T @ xs / len(xs),
        cross,
    )


def em_step(own, xs, obs_rep):
    """The M-step in closed form: moments of the clusters, and the regression of x on y."""
    mass, first, second, center, square, cross = expected_statistics(own, xs)
    means = first / mass[:, None]
    covariances = second / mass[:, None, None] - np.einsum("ki,kj->kij", means, means)
    latent_mean, latent_second = first.sum(axis=0), second.sum(axis=0)
    spread = latent_second - np.outer(latent_mean, latent_mean)
    cross = cross - np.outer(center, latent_mean)
    loadings = cross @ np.linalg.inv(spread)
    residual = square - np.outer(center, center) - loadings @ cross.T
    noise = structured(obs_rep, residual)
    return mass, means, covariances, loadings, center - loadings @ latent_mean, noise


@pytest.mark.parametrize("obs_rep", STRUCTURES, ids=repr)
def test_analytic_em_step_is_the_textbook_one(obs_rep):
    model = ef.analytic_hmog(P, obs_rep, D, K)
    plain = ef.AnalyticHMoG(model.lwr_hrm, model.upr_hrm, whiten=False)
    params, xs = random_params(model, jax.random.key(16)), clustered(16, 40, P)
    expected = em_step(read_hmog(params.coords), xs, obs_rep)
    after = plain.expectation_maximization(params, jnp.asarray(xs))
    for actual, wanted in zip(read_hmog(after.coords), expected, strict=True):
        close(actual, wanted)
    after = read_hmog(model.expectation_maximization(params, jnp.asarray(xs)).coords)
    close(softmax(hmog_terms(*after, xs)), softmax(hmog_terms(*expected, xs)))
    close(hmog_terms(*after, xs), hmog_terms(*expected, xs))
    center, covariance = latent_moments(*after[:3])
    np.testing.assert_allclose(center, np.zeros(D), atol=1e-10)
    np.testing.assert_allclose(covariance, np.eye(D), atol=1e-10)


@pytest.mark.parametrize(
    "name", ["symmetric-Diagonal-Diagonal", "differentiable-Diagonal-Diagonal"]
)
def test_solved_em_step_matches_expected_statistics(name):
    # The next model has the expectations of the E-step, in the statistic. Without whitening they
    # are compared as they are.
    model = MODELS[name]
    parts = [getattr(model, f.name) for f in dataclasses.fields(model) if f.name != "whiten"]
    model = type(model)(*parts, whiten=False)
    params, xs = random_params(model, jax.random.key(17)), clustered(17, N_ROWS, P)
    wanted = expected_statistics(read_hmog(params.coords), xs)
    coords, _, valid = compiled_step(model)(params.coords, jnp.asarray(xs))
    assert valid
    weights, means, covariances, *likelihood = read_hmog(coords)
    second = weights[:, None, None] * (covariances + np.einsum("ki,kj->kij", means, means))
    center, covariance = latent_moments(weights, means, covariances)
    observed, spread = marginal(*likelihood, center, covariance)
    cross = likelihood[0] @ covariance + np.outer(observed, center)
    close(weights, wanted[0], 1e-7)
    close(weights[:, None] * means, wanted[1], 1e-7)
    close(seen(DIAGONAL, second), seen(DIAGONAL, wanted[2]), 1e-7)
    if name.startswith("symmetric"):
        close(second.sum(axis=0), wanted[2].sum(axis=0), 1e-7)
    close(observed, wanted[3], 1e-7)
    close(np.diag(spread) + observed**2, np.diag(wanted[4]), 1e-7)
    close(cross, wanted[5], 1e-7)


@pytest.mark.parametrize(
    "name",
    [
        "analytic-Diagonal-PositiveDefinite",
        "analytic-PositiveDefinite-PositiveDefinite",
        "symmetric-Diagonal-Diagonal",
        "symmetric-Diagonal-Identity",
        "differentiable-Diagonal-Diagonal",
        "differentiable-Diagonal-PositiveDefinite",
    ],
)
def test_factorizations_of_the_e_step(name):
    # K factorizations of the posterior precisions, forward and backward together: no row has its
    # own. With one precision for all clusters it is a single one, with diagonal ones none.
    model = MODELS[name]
    coords, xs = random_params(model, jax.random.key(18)).coords, jnp.ones((N_ROWS, P))
    found = factorizations(lambda c, x: model._expectation(c, x, None), coords, xs)
    expected = Counter()
    if name != "differentiable-Diagonal-Diagonal":
        expected[D, D] = 1 if name == "symmetric-Diagonal-Identity" else K
    for kind in ("potrf", "trsm"):
        assert Counter({shape: n for (op, shape), n in found.items() if op == kind}) == expected


@pytest.mark.parametrize("name", ["analytic-Diagonal-PositiveDefinite", *SOLVED])
def test_factorizations_of_the_em_step(name):
    found = factorizations_of(compiled_step(MODELS[name]))
    assert found
    for _, shape in found:
        assert len(shape) == 2, found
    if name.startswith("analytic"):
        # Of each cluster three for densities and E-step (posterior, prior, scores), two for the
        # M-step, one for its check; and two for whitening and the regression on y.
        assert found["potrf", (D, D)] == 6 * K + 2


def test_factorizations_of_the_gradient():
    # The posterior and the scores of every cluster, and a basis of the loadings once; the prior for
    # the value, and for the derivative.
    model = MODELS["analytic-Diagonal-PositiveDefinite"]
    params, xs = random_params(model, jax.random.key(19)), jnp.ones((N_ROWS, P))

    def log_likelihood(params, xs):
        return model.average_log_observable_density(params, xs)

    found = factorizations(jax.value_and_grad(log_likelihood), params, xs)
    assert found.pop(("geqrf", (P, D))) == found.pop(("orgqr", (P, D))) == 1
    assert {shape for _, shape in found} == {(D, D)}
    assert found["potrf", (D, D)] == 4 * K
