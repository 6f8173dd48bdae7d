"""Labels of some rows: semi-supervised mixtures, Bayes classifiers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import CLOSE, DIAGONAL, FLOAT32, IDENTITY, random_params

NATS = 2e-4 if FLOAT32 else 1e-9
RNG = np.random.default_rng(0)
XS = jnp.asarray(RNG.normal(size=(6, 4)))
LABELS = np.array([0, -1, 2, 1, -1, 0])

MODELS = {
    "mixture": ef.Mixture(ef.Normal(4), 3),
    "tied": ef.Mixture(ef.Normal(4), 3, IDENTITY),
    "analytic": ef.analytic_hmog(4, DIAGONAL, 2, 3),
    "differentiable": pytest.param(
        ef.differentiable_hmog(4, DIAGONAL, 2, DIAGONAL, 3), marks=pytest.mark.slow
    ),
    "factor_mixture": pytest.param(ef.mixture_of_factor_analyzers(4, 1, 3), marks=pytest.mark.slow),
    "hierarchical": ef.Hierarchical(ef.factor_analysis(4, 2), ef.Mixture(ef.Normal(2), 3)),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
def test_labeled_rows_have_the_density_of_their_component(model):
    params = random_params(model, jax.random.key(0))
    rows = ef.labeled(XS, LABELS)
    joint = model.log_observable_density(params, XS)
    shares = np.asarray(model.posterior_soft_assignments(params, XS), float)
    # log p(x, z = k) = log p(x) + log p(z = k | x)
    known = LABELS >= 0
    picked = np.where(known, np.log(shares[np.arange(6), LABELS]), 0)
    np.testing.assert_allclose(
        model.log_observable_density(params, rows), joint + picked, atol=10 * NATS
    )
    found = model.posterior_soft_assignments(params, rows)
    expected = np.where(known[:, None], np.eye(3)[LABELS], shares)
    np.testing.assert_allclose(found, expected, atol=NATS)


def test_labels_and_gaps_go_together():
    model = MODELS["analytic"]
    params = random_params(model, jax.random.key(0))
    seen = RNG.random((6, 4)) < 0.6
    rows = ef.incomplete(XS, seen)
    shares = np.asarray(model.posterior_soft_assignments(params, rows), float)
    picked = np.where(LABELS >= 0, np.log(shares[np.arange(6), LABELS]), 0)
    np.testing.assert_allclose(
        model.log_observable_density(params, ef.labeled(rows, LABELS)),
        model.log_observable_density(params, rows) + picked,
        atol=10 * NATS,
    )
    # a labeled row is imputed within its component: the mean over components is that over labels
    each = [model.impute(params, ef.labeled(rows, np.full(6, k))) for k in range(3)]
    mixed = np.einsum("nk,knp->np", shares, np.stack(each))
    np.testing.assert_allclose(model.impute(params, rows), mixed, atol=100 * NATS)
    drawn = model.sample_missing(
        jax.random.key(1), params, ef.labeled(rows, np.full(6, 1)), (2000,)
    )
    error = np.std(np.asarray(drawn, float), axis=0) / np.sqrt(2000)
    assert np.all(np.abs(np.mean(np.asarray(drawn, float), axis=0) - each[1]) <= 5 * error + 1e-4)


@pytest.mark.parametrize("component", [ef.Normal(3), ef.Replicated(ef.Poisson(), 3)], ids=repr)
def test_all_rows_labeled_is_maximum_likelihood_class_by_class(component):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 90)
    xs = jnp.asarray(rng.poisson(3 + 2 * labels[:, None], (90, 3)).astype(float))
    mixture = ef.Mixture(component, 3)
    rows = ef.labeled(xs, labels)
    start = mixture.initialize_from_sample(jax.random.key(0), xs)
    params = mixture.expectation_maximization(start, rows)
    again = mixture.expectation_maximization(params, rows)
    for k in range(3):
        own = jax.tree.map(lambda leaf, k=k: leaf[k], mixture.components(params).coords)
        other = component.maximum_likelihood(xs[labels == k]).coords
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3 if FLOAT32 else 1e-9),
            own,
            other,
        )
    np.testing.assert_allclose(
        mixture.weights(params), np.bincount(labels) / 90, rtol=1e-5 if FLOAT32 else 1e-12
    )
    np.testing.assert_allclose(
        mixture.flatten(again), mixture.flatten(params), rtol=CLOSE, atol=CLOSE
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (lambda: ef.labeled(XS, [0, 1, 2, 3, 0, 0]), "component numbers 0 … 2"),
        (lambda: ef.labeled(XS, [0, 1, -2, 1, 0, 0]), "component numbers 0 … 2"),
        (lambda: ef.labeled(XS, [0, 1]), "one number per row"),
        (lambda: ef.labeled(XS, np.zeros(6)), "whole numbers"),
    ],
    ids=["too large", "negative", "another length", "real numbers"],
)
def test_bad_labels_are_refused_in_words(rows, words):
    model = MODELS["mixture"]
    params = random_params(model, jax.random.key(0))
    with pytest.raises((ValueError, TypeError), match=words):
        model.log_observable_density(params, rows())


def test_models_without_components_have_no_labels():
    model = ef.factor_analysis(4, 1)
    params = random_params(model, jax.random.key(0))
    with pytest.raises(TypeError, match="no component number"):
        model.log_observable_density(params, ef.labeled(XS, LABELS))
    with pytest.raises(TypeError, match="no component number"):
        model.posterior_soft_assignments(params, XS)


def moons(rng, n):
    """Two half circles that reach into each other, with noise; and which is which."""
    angle, label = rng.uniform(0, np.pi, n), rng.integers(0, 2, n)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    chosen = np.where(label[:, None] == 0, upper, lower)
    return chosen + 0.15 * rng.normal(size=(n, 2)), label


@pytest.mark.slow
def test_few_labels_and_many_rows_are_better_than_either():
    rng = np.random.default_rng(0)
    (xs, labels), (new, truth) = moons(rng, 600), moons(rng, 2000)
    chosen = rng.choice(600, 30, replace=False)
    known = np.full(600, -1)
    known[chosen] = labels[chosen]
    model = ef.Mixture(ef.Mixture(ef.Normal(2), 3), 2)
    prior = ef.weak_prior(model, xs)

    def accuracy(rows):
        fit = ef.fit(model, rows, key=jax.random.key(0), prior=prior, restarts=2)
        share = np.mean(np.asarray(model.posterior_hard_assignment(fit.params, new)) == truth)
        return max(share, 1 - share)

    both = accuracy(ef.labeled(xs, known))
    assert both > 0.97
    assert both > accuracy(ef.labeled(xs[chosen], labels[chosen])) + 0.01
    assert both > accuracy(xs) + 0.1
