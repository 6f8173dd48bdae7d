"""Criteria are the formulas of their papers, and models are sorted by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import expfam as ef

from ..registry import CLOSE, FLOAT32, IDENTITY
from .data import matrix, needs_data, table

COUNTS = np.array([0, 1, 1, 3, 5, 9, 2, 4, 4, 0, 2, 7])
WEIGHTS = np.array([1, 2, 0, 1, 3, 1, 1, 1, 2, 0, 1, 2.0])


def test_criteria_are_those_of_the_papers():
    poisson = ef.Poisson()
    params = poisson.maximum_likelihood(COUNTS)
    own = ef.assess.criteria(poisson, params, COUNTS)
    n, deviance = len(COUNTS), -2 * stats.poisson(COUNTS.mean()).logpmf(COUNTS).sum()
    expected = {
        "aic": deviance + 2,
        "aicc": deviance + 2 + 4 / (n - 2),
        "bic": deviance + np.log(n),
        "caic": deviance + np.log(n) + 1,
        "sabic": deviance + np.log((n + 2) / 24),
        "icl": deviance + np.log(n),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(own, name), value, rtol=CLOSE)
        assert f"{value:.2f}"[:-1] in repr(own)
    few = ef.assess.criteria(poisson, params, COUNTS[:2])
    assert few.aicc == np.inf


def test_criteria_of_weighted_rows_and_entropy_of_a_mixture():
    mixture = ef.Mixture(ef.Poisson(), 2)
    rates, shares = np.array([1.0, 6.0]), np.array([0.4, 0.6])
    params = mixture.from_components(
        jnp.asarray(shares), jax.vmap(mixture.component.from_rate)(jnp.asarray(rates))
    )
    logs = np.log(shares) + stats.poisson(rates).logpmf(COUNTS[:, None])
    total = special.logsumexp(logs, axis=1)
    entropy = WEIGHTS @ stats.entropy(np.exp(logs - total[:, None]), axis=1)
    own = ef.assess.criteria(mixture, params, COUNTS, WEIGHTS)
    np.testing.assert_allclose(own.log_likelihood, WEIGHTS @ total, rtol=CLOSE)
    np.testing.assert_allclose(own.entropy, entropy, rtol=CLOSE)
    np.testing.assert_allclose(own.icl - own.bic, 2 * entropy, rtol=CLOSE)
    assert own.n_rows == WEIGHTS.sum()


def test_models_are_sorted_and_the_table_says_so(recwarn):
    models = {"Poisson": ef.Poisson(), "geometric": ef.Geometric()}
    table = ef.assess.compare(models, COUNTS, key=jax.random.key(0))
    logs = {
        "Poisson": stats.poisson(COUNTS.mean()).logpmf(COUNTS).sum(),
        "geometric": stats.geom(1 / (1 + COUNTS.mean()), loc=-1).logpmf(COUNTS).sum(),
    }
    order = sorted(logs, key=lambda name: -logs[name])
    assert list(table.names) == order
    np.testing.assert_allclose(table.values, [-2 * logs[n] + np.log(12) for n in order], rtol=CLOSE)
    np.testing.assert_allclose(table.differences[1], 2 * np.ptp(list(logs.values())), rtol=1e-3)
    assert table.best_model == models[order[0]]
    assert table.best_fit.converged
    lines = repr(table).splitlines()
    assert [line.split()[0] for line in lines] == ["model", *order]
    assert table._repr_html_().count("<tr>") == 3
    assert table.by("aic").criterion == "aic"
    assert table.columns()["n_parameters"].tolist() == [1, 1]
    assert not recwarn.list


def test_folds_are_held_out():
    key, folds = jax.random.key(3), 4
    table = ef.assess.compare(
        [ef.Poisson()], COUNTS, key=key, criterion="k_fold", folds=folds, weights=WEIGHTS
    )
    group = np.asarray(jax.random.permutation(key, len(COUNTS))) % folds
    total = 0.0
    for fold in range(folds):
        rest, own = WEIGHTS * (group != fold), WEIGHTS * (group == fold)
        rate = rest @ COUNTS / rest.sum()
        total += own @ stats.poisson(rate).logpmf(COUNTS)
    np.testing.assert_allclose(table.values[0], -total / WEIGHTS.sum(), rtol=CLOSE)
    one = ef.assess.compare([ef.Poisson()], COUNTS, key=key, criterion="held_out", folds=folds)
    rate, own = COUNTS[group != 0].mean(), COUNTS[group == 0]
    np.testing.assert_allclose(one.values[0], -stats.poisson(rate).logpmf(own).mean(), rtol=CLOSE)


def test_fits_that_fail_are_last_and_named():
    xs = np.stack([np.arange(12.0), np.ones(12)], axis=1)
    models = {"full": ef.Normal(2), "identity": ef.Normal(2, IDENTITY)}
    with pytest.warns(ef.ConvergenceWarning, match="full"):
        table = ef.assess.compare(models, xs, key=jax.random.key(0))
    assert table.names == ("identity", "full")
    assert np.isnan(table.values[1])
    assert table.notes[0] == ""
    assert table.notes[1] != ""
    assert "full" in repr(table).splitlines()[2]


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"criterion": "dic"}, ValueError, "criterion"),
        ({"folds": 1}, ValueError, "folds"),
        ({"weights": -WEIGHTS}, ValueError, "weights"),
        ({"models": []}, TypeError, "models"),
        ({"models": [1]}, TypeError, "models"),
    ],
)
def test_bad_settings_are_named(settings, error, words):
    arguments = {"models": [ef.Poisson()], "xs": COUNTS, "key": jax.random.key(0), **settings}
    with pytest.raises(error, match=words):
        ef.assess.compare(**arguments)


@pytest.mark.slow
def test_picture_of_criteria(tmp_path):
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    models = {("binomial", n): ef.Binomial(n) for n in (9, 12)} | {("other", 9): ef.Poisson()}
    table = ef.assess.compare(models, COUNTS, key=jax.random.key(0))
    fig, ax = plt.subplots()
    ef.plot.criterion_curves(table, ax=ax)
    lines = {line.get_label(): line.get_xydata() for line in ax.get_lines()}
    assert lines["binomial"][:, 0].tolist() == [9, 12]
    assert lines["other"].shape == (1, 2)
    plt.close(fig)


# ---------------------------------------------------------------- published figures

needs_precision = pytest.mark.skipif(FLOAT32, reason="figures have seven digits")


def choose(models, xs, seed=0):
    return ef.assess.compare(models, xs, key=jax.random.key(seed))


@needs_data
@needs_precision
@pytest.mark.slow
def test_old_faithful():
    xs = matrix("old_faithful", ["eruptions", "waiting"])
    normal = ef.Normal(2)
    models = {("EEE", k): ef.Mixture(normal, k, IDENTITY) for k in (2, 3)}
    table = choose(models | {("VVV", 2): ef.Mixture(normal, 2)}, xs)
    assert table.names[0] == "EEE 3"
    assert table.criteria[0].n_parameters == 11
    np.testing.assert_allclose(table.criteria[0].log_likelihood, -1126.316, atol=2e-3)


@needs_data
@needs_precision
@pytest.mark.slow
def test_galaxies():
    xs = matrix("galaxies", [next(iter(table("galaxies")[0]))]) / 1000
    found = choose({("V", k): ef.Mixture(ef.Normal(1), k) for k in (2, 3)}, xs)
    assert found.names[0] == "V 3"
    np.testing.assert_allclose(found.values[0], 441.6122, atol=2e-3)


@needs_data
@needs_precision
@pytest.mark.slow
def test_diabetes():
    xs = matrix("diabetes_reaven_miller", ["glucose", "insulin", "sspg"])
    xs[103, 1] = 455
    found = choose({3: ef.Mixture(ef.Normal(3), 3)}, xs)
    assert found.criteria[0].n_parameters == 29
    np.testing.assert_allclose(found.criteria[0].log_likelihood, -2295.093, atol=5e-3)


@needs_data
@needs_precision
@pytest.mark.slow
def test_carcinoma():
    # some probabilities of the maximum are 0 or 1
    xs = matrix("carcinoma", "ABCDEFG").astype(int)
    found = choose({k: ef.Mixture(ef.Replicated(ef.Bernoulli(), 7), k) for k in (2, 3)}, xs)
    assert found.keys[0] == 3
    np.testing.assert_allclose(found.values, [697.136, 706.1], atol=0.05)


@needs_data
@needs_precision
@pytest.mark.slow
def test_penguins():
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    rows = [row for row in table("penguins") if row[columns[0]]]
    xs = np.array([[float(row[column]) for column in columns] for row in rows])
    found = choose({k: ef.Mixture(ef.Normal(4), k, IDENTITY) for k in (2, 3)}, xs)
    np.testing.assert_allclose(found.values, [10520.3, 10671.3], atol=0.1)
    groups = found.best_model.posterior_hard_assignment(found.best_fit.params, xs)
    species = [row["species"] for row in rows]
    assert ef.assess.adjusted_rand_index(species, groups) == pytest.approx(0.960, abs=5e-3)


@needs_data
@needs_precision
@pytest.mark.slow
def test_zoo():
    rows = table("zoo")
    names = [name for name in rows[0] if name not in ("animal", "legs", "type")]
    marks = np.array([[int(row[name]) for name in names] for row in rows])
    legs = np.unique([row["legs"] for row in rows], return_inverse=True)[1]
    family = ef.Product((ef.Replicated(ef.Bernoulli(), len(names)), ef.Categorical(6)))
    model, xs = ef.Mixture(family, 5), (marks, legs)
    found = ef.assess.compare({5: model}, xs, key=jax.random.key(0), restarts=32)
    np.testing.assert_allclose(found.criteria[0].log_likelihood, -537.64, atol=0.01)
    groups = model.posterior_hard_assignment(found.best_fit.params, xs)
    types = [row["type"] for row in rows]
    assert ef.assess.adjusted_rand_index(types, groups) == pytest.approx(0.87, abs=5e-3)
