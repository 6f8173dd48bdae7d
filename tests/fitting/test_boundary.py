"""Fits whose estimates lie on the boundary: latent classes."""

import csv
import gzip
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

KEY = jax.random.key(0)
DATA = Path(ef.__file__).parents[2] / "shared" / "data"


def table(name):
    """Rows of a data set, where it is at hand."""
    path = DATA / name
    if not path.exists():
        path = DATA.parents[1] / "shared" / "data" / name
    if not path.exists():
        pytest.skip(f"the data set {name} lies beside the repository, and does not here")
    with gzip.open(path, "rt") as lines:
        return list(csv.DictReader(lines))


def test_two_classes_of_which_one_always_says_yes():
    # Two items that one class always answers with yes, and a third that nobody does.
    rng = np.random.default_rng(0)
    yes = rng.random((200, 6)) < [1.0, 1.0, 0.9, 0.0, 0.8, 0.9]
    rest = rng.random((200, 6)) < [0.1, 0.2, 0.3, 0.0, 0.1, 0.2]
    xs = jnp.asarray(np.concatenate([yes, rest]).astype(int))
    mixture = ef.Mixture(ef.Replicated(ef.Bernoulli(), 6), 2)
    fit = ef.fit(mixture, xs, key=KEY)
    assert fit.converged
    p = np.asarray(jax.vmap(jax.vmap(ef.Bernoulli().probability))(mixture.components(fit.params)))
    likely = np.where(np.asarray(xs)[:, None], p, 1 - p).prod(axis=2) @ mixture.weights(fit.params)
    assert np.log(likely).mean() == pytest.approx(fit.log_likelihood, abs=1e-5)
    first = int(p[:, 0].argmax())
    assert p[first, 1] > 1 - 1e-6
    assert np.all(p[:, 3] < 1e-15)
    assert set(fit.boundary) >= {
        f"component {first}: x[1] is always 1",
        "component 0: x[3] is always 0",
        "component 1: x[3] is always 0",
    }
    assert len(fit.boundary) == (np.minimum(p, 1 - p) < 1e-5).sum()
    assert "on the boundary: component 0" in repr(fit)


def test_categories_counts_and_components_that_hold_nothing_are_named():
    family = ef.Product((ef.Categorical(3), ef.Poisson(), ef.Normal(1)))
    xs = jnp.array([0, 1, 0, 1]), jnp.zeros(4, int), jnp.array([[0.0], [1.0], [2.0], [5.0]])
    fit = ef.fit(family, xs, key=KEY)
    assert fit.boundary == ("x[0] is never 2", "x[1] is always 0")
    mixture = ef.Mixture(ef.Poisson(), 2)
    rates = jax.vmap(ef.Poisson().from_rate)(jnp.array([3.0, 90.0]))
    params = mixture.from_components(jnp.array([1.0, 0.0]), rates)
    fit = ef.fit(mixture, jnp.array([1, 2, 5, 3]), key=KEY, params=params)
    assert fit.boundary == ("component 1: no weight",)
    assert ef.fit(ef.Poisson(), jnp.array([0, 1, 5, 3]), key=KEY).boundary == ()


@pytest.mark.slow
@pytest.mark.parametrize("classes", [(2, -317.257), (3, -293.705), (4, -289.286)])
def test_carcinoma(classes):
    # poLCA manual 1.4; the other two by many starts of independent EM.
    count, best = classes
    xs = np.array([[int(value) for value in row.values()] for row in table("carcinoma.csv.gz")])
    fit = ef.fit(ef.Mixture(ef.Replicated(ef.Bernoulli(), 7), count), xs, key=KEY, restarts=4)
    assert 118 * fit.log_likelihood == pytest.approx(best, abs=2e-3)
    assert fit.boundary
