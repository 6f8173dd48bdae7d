"""Hard and sampled assignments, fixed weights, and clusterings to start from."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris

import expfam as ef

KEY = jax.random.key(0)
HARD = ef.EM(assignments="hard", fixed_weights="equal", tolerance=0.0)
DTYPE = jnp.zeros(()).dtype


def spheres(centers):
    """A mixture of normals of variance one with given means."""
    normal = ef.Normal(centers.shape[1], ef.Identity())
    mixture = ef.Mixture(normal, len(centers))
    parts = jax.vmap(normal.from_mean_covariance)(jnp.asarray(centers, DTYPE))
    return mixture, mixture.from_components(jnp.full(len(centers), 1 / len(centers)), parts)


def means(mixture, params):
    read = mixture.component.mean_covariance
    return np.asarray(jax.vmap(lambda part: read(part)[0])(mixture.components(params)))


@pytest.fixture(scope="module")
def pairs():
    """Two overlapping clusters of unequal size in the plane, their labels."""
    rng = np.random.default_rng(3)
    labels = (np.arange(300) < 90).astype(int)
    return jnp.asarray(rng.normal(size=(300, 2)) + 2.5 * labels[:, None], DTYPE), labels


@pytest.mark.parametrize(("data", "count"), [(load_iris, 3), (load_digits, 10)])
def test_hard_assignments_of_spheres_of_one_size_are_k_means(data, count):
    xs = np.asarray(data().data, DTYPE)
    centers = xs[np.random.default_rng(0).choice(len(xs), count, replace=False)]
    reference = KMeans(count, init=centers, n_init=1, algorithm="lloyd", tol=0, max_iter=500)
    reference.fit(xs)
    mixture, params = spheres(centers)
    fit = ef.fit(mixture, xs, key=KEY, params=params, method=HARD)
    labels = np.asarray(mixture.posterior_hard_assignment(fit.params, xs))
    np.testing.assert_array_equal(labels, reference.labels_)
    inertia = np.sum((xs - means(mixture, fit.params)[labels]) ** 2)
    np.testing.assert_allclose(inertia, reference.inertia_, rtol=1e-5)
    assert fit.converged


def test_the_objective_is_that_of_rows_and_components(pairs):
    xs, _ = pairs
    mixture = ef.Mixture(ef.Normal(2), 2)
    fit = ef.fit(mixture, xs, key=KEY, method=ef.EM(assignments="hard"))
    assert fit.status is ef.Status.CONVERGED
    assert np.all(np.diff(fit.log_likelihoods) > -1e-5)
    moments = jax.vmap(mixture.component.mean_covariance)(mixture.components(fit.params))
    joint = [
        np.log(weight) + multivariate_normal.logpdf(xs, mean, covariance)
        for weight, mean, covariance in zip(mixture.weights(fit.params), *moments, strict=True)
    ]
    np.testing.assert_allclose(fit.log_likelihood, np.mean(np.max(joint, axis=0)), rtol=1e-5)


@pytest.mark.parametrize("how", ["soft", "hard", "sampled"])
def test_streams_take_the_same_steps(pairs, how):
    xs, _ = pairs
    mixture = ef.Mixture(ef.Normal(2), 2)
    method = ef.EM(3, tolerance=None, assignments=how)
    params = ef.fit(mixture, xs, key=KEY, method=ef.EM(0, None)).params
    whole = ef.fit(mixture, xs, key=KEY, params=params, method=method)
    blocks = ef.fit(mixture, ef.Blocks(xs, 100), key=KEY, params=params, method=method)
    # Draws differ; their averages do not by more than chance.
    tolerance = 0.2 if how == "sampled" else 1e-4
    np.testing.assert_allclose(
        whole.log_likelihoods[1:], blocks.log_likelihoods[1:], atol=tolerance
    )


def test_sampled_assignments_move_about_the_maximum(pairs):
    xs, _ = pairs
    mixture = ef.Mixture(ef.Normal(2, ef.Scale()), 2)
    soft = ef.fit(mixture, xs, key=KEY)
    fit = ef.fit(mixture, xs, key=KEY, method=ef.EM(60, assignments="sampled"))
    assert fit.steps == 60
    assert np.std(fit.log_likelihoods[-20:]) > 0
    value = mixture.average_log_observable_density(fit.params, xs)
    assert soft.log_likelihood - 0.05 < value <= soft.log_likelihood + 1e-4


def test_known_labels_and_missing_cells_are_kept(pairs):
    xs, labels = pairs
    holes = np.where(np.random.default_rng(0).random(xs.shape) < 0.2, np.nan, xs)
    known = np.where(np.arange(300) % 3, -1, labels)
    rows = ef.labeled(ef.incomplete(holes), known)
    mixture = ef.Mixture(ef.Normal(2), 2)
    fit = ef.fit(mixture, rows, key=KEY, method=ef.EM(30, assignments="hard"))
    assert np.all(np.diff(fit.log_likelihoods) > -1e-5)
    found = mixture.posterior_hard_assignment(fit.params, rows)
    np.testing.assert_array_equal(found[::3], labels[::3])


@pytest.mark.parametrize("weights", ["equal", (0.2, 0.8)])
@pytest.mark.parametrize(
    "model",
    [
        ef.Mixture(ef.Normal(2), 2),
        ef.Mixture(ef.Normal(2), 2, ef.Identity()),
        ef.analytic_hmog(2, ef.Diagonal(), 1, 2),
        ef.symmetric_hmog(2, ef.Diagonal(), 1, ef.PositiveDefinite(), 2),
    ],
    ids=["mixture", "tied", "analytic", "symmetric"],
)
def test_fixed_weights_stay_and_the_likelihood_rises(pairs, model, weights):
    xs, _ = pairs
    method = ef.EM(12, tolerance=None, fixed_weights=weights)
    fit = ef.fit(model, xs, key=KEY, method=method)
    assert np.all(np.diff(fit.log_likelihoods) > -1e-5)
    mixture = getattr(model, "prr_upr_hrm", getattr(model, "upr_hrm", model))
    held = mixture.weights(fit.params if mixture is model else model.prior(fit.params))
    np.testing.assert_allclose(held, (0.5, 0.5) if weights == "equal" else weights, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        ef.Mixture(ef.Normal(2), 2),
        pytest.param(ef.Mixture(ef.Gamma(), 2), marks=pytest.mark.slow),
    ],
)
def test_a_clustering_to_start_from_is_fitted_exactly(pairs, model):
    xs, labels = pairs
    xs = xs if model.component == ef.Normal(2) else jnp.exp(xs[:, 0])
    nothing = ef.EM(0, tolerance=None)
    fit = ef.fit(model, xs, key=KEY, start=labels, method=nothing)
    own = model.components(fit.params)
    for k in range(2):
        expected = model.component.maximum_likelihood(xs[labels == k])
        found = jax.tree.map(lambda leaf, k=k: leaf[k], own)
        np.testing.assert_allclose(
            model.component.flatten(found), model.component.flatten(expected), rtol=2e-3
        )
    np.testing.assert_allclose(model.weights(fit.params), (0.7, 0.3), rtol=1e-4)
    # responsibilities of zero and one are labels
    sharp = ef.fit(model, xs, key=KEY, start=np.eye(2)[labels], method=nothing)
    np.testing.assert_allclose(model.weights(sharp.params), (0.7, 0.3), rtol=1e-4)
    np.testing.assert_allclose(
        model.average_log_observable_density(sharp.params, xs), fit.log_likelihood, rtol=1e-4
    )


def test_responsibilities_weigh_rows(pairs):
    xs, labels = pairs
    model = ef.Mixture(ef.Normal(2), 2)
    shares = np.where(np.eye(2)[labels] == 1, 0.8, 0.2)
    fit = ef.fit(model, xs, key=KEY, start=shares, method=ef.EM(0, tolerance=None))
    own = means(model, fit.params)
    np.testing.assert_allclose(own, (shares.T @ xs) / shares.sum(axis=0)[:, None], rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"start": [0, 1]}, ValueError, "labels"),
        ({"start": np.ones((300, 3))}, ValueError, r"shape \(300, 2\)"),
        ({"start": -np.ones((300, 2))}, ValueError, "not be negative"),
        ({"start": np.zeros(300, int), "restarts": 2}, ValueError, "`restarts` must be 1"),
        ({"start": np.full(300, 7)}, ValueError, "label"),
    ],
)
def test_clusterings_that_cannot_be_are_refused(pairs, change, error, words):
    with pytest.raises(error, match=words):
        ef.fit(ef.Mixture(ef.Normal(2), 2), pairs[0], key=KEY, **change)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"assignments": "harsh"}, "must be one of"),
        ({"assignments": "hard", "acceleration": 4}, "`acceleration` must be 0"),
        ({"fixed_weights": [0.5, 0.6]}, "sum to one"),
        ({"fixed_weights": "same"}, "equal"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        ef.EM(**settings)


def test_methods_ask_for_components(pairs):
    normal = ef.Normal(2)
    with pytest.raises(TypeError, match="has none"):
        ef.fit(normal, pairs[0], key=KEY, method=ef.EM(assignments="hard"))
    with pytest.raises(TypeError, match="no components"):
        ef.fit(normal, pairs[0], key=KEY, start=pairs[1])
    with pytest.raises(ValueError, match="3 numbers"):
        ef.fit(ef.Mixture(normal, 3), pairs[0], key=KEY, method=ef.EM(fixed_weights=(0.5, 0.5)))
