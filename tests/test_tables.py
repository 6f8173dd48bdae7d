"""Tables: what is read of a frame, and what comes back as one."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats

import expfam as ef
from expfam.tables.columns import ordinal

SHARED = Path(ef.__file__).parents[2] / "shared" / "data"

CELLS = {
    "length": [1.5, None, 3.0, 2.5, 0.5],
    "width": [10.0, 12.5, None, 11.0, 10.5],
    "eggs": [0, 2, 1, 5, 0],
    "ringed": [True, False, None, True, True],
    "site": ["b", "a", "b", None, "c"],
}
KINDS = {"length": "real", "width": "real", "eggs": "count", "ringed": "yes/no", "site": "category"}


def in_pandas(cells):
    return pd.DataFrame(cells)


LIBRARIES = {"pandas": in_pandas, "polars": pl.DataFrame, "pyarrow": pa.table}
each_library = pytest.mark.parametrize("library", LIBRARIES)


def listed(frame):
    """The columns of a frame of any library, as lists."""
    return (
        {str(name): frame[name].to_pylist() for name in frame.column_names}
        if isinstance(frame, pa.Table)
        else {str(name): frame[name].to_list() for name in frame.columns}
    )


def kinds_of(frame, **settings):
    return {c.name: c.kind for c in ef.tables.read(frame, **settings).schema.columns}


# ---------------------------------------------------------------- reading


@each_library
def test_a_frame_of_any_library_is_read_alike(library):
    table = ef.tables.read(LIBRARIES[library](CELLS))
    assert {column.name: column.kind for column in table.schema.columns} == KINDS
    assert table.family == ef.Product(
        (ef.Normal(2), ef.Poisson(), ef.Bernoulli(), ef.Categorical(3))
    )
    assert table.missing() == {"length": 1, "width": 1, "eggs": 0, "ringed": 1, "site": 1}
    reals, eggs, ringed, site = table.data
    seen = np.array([[1, 1], [0, 1], [1, 0], [1, 1], [1, 1]], bool)
    np.testing.assert_array_equal(reals.observed, seen)
    values = np.array([[1.5, 10], [0, 12.5], [3, 0], [2.5, 11], [0.5, 10.5]])
    np.testing.assert_array_equal(np.where(seen, reals.values, 0), values)
    np.testing.assert_array_equal(eggs, CELLS["eggs"])
    np.testing.assert_array_equal(ringed.observed, [1, 1, 0, 1, 1])
    np.testing.assert_array_equal(np.asarray(ringed.values)[[0, 1, 3, 4]], [1, 0, 1, 1])
    np.testing.assert_array_equal(np.asarray(site.values)[[0, 1, 2, 4]], [1, 0, 1, 2])
    assert table.schema.column("site").categories == ("a", "b", "c")


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([0.5, 1.0, -2.0], "real"),
        ([181, 195, 210], "real"),  # whole numbers, none of them zero
        ([0, 3, 1001], "real"),  # too large for a count
        ([0.0, 3.0, np.nan], "count"),  # gaps made them floating-point numbers
        ([-1, 0, 1], "real"),
        ([0, 1, 1], "yes/no"),
        (["Yes", "no", None], "yes/no"),
        (["u", "v", "v"], "category"),
        ([7.0, 7.0, None], "constant"),
        (["only", "only", "only"], "constant"),
        (pd.Categorical(["lo", "hi", "lo"], ["lo", "mid", "hi"], ordered=True), "ordinal"),
        (pd.Categorical(["lo", "hi", "lo"]), "category"),
        (pd.array([1, None, 0], dtype="Int64"), "yes/no"),
        (pd.array([True, None, False], dtype="boolean"), "yes/no"),
    ],
)
def test_kinds_are_seen_in_the_cells(cells, kind):
    frame = pd.DataFrame({"x": cells, "other": [0.5, 1.5, 2.0]})
    assert kinds_of(frame)["x"] == kind


def test_a_polars_enum_is_ordinal_in_its_order():
    frame = pl.DataFrame({"size": pl.Series(["L", "S"], dtype=pl.Enum(["S", "M", "L"]))})
    table = ef.tables.read(frame)
    assert table.schema.column("size").categories == ("S", "M", "L")
    np.testing.assert_array_equal(table.data, [2, 0])


def test_the_user_says_the_family_of_a_column():
    frame = pd.DataFrame(
        {"a": [1.0, 2.0], "b": [0.5, 4.0], "c": [3, 9], "d": [1, 2], "e": ["x", "y"], "f": [0, 1]}
    )
    table = ef.tables.read(
        frame,
        families={"a": ef.Gamma(), "b": "positive", "c": "count", "d": "category", "f": "count"},
        categories={"e": ["y", "x", "z"]},
    )
    factors = dict(
        zip((f.columns for f in table.schema.factors), table.family.factors, strict=True)
    )
    assert factors == {
        ("a",): ef.Gamma(),
        ("b",): ef.LogNormal(1),
        ("c", "f"): ef.Replicated(ef.Poisson(), 2),
        ("d",): ef.Categorical(2),
        ("e",): ef.Categorical(3),
    }
    np.testing.assert_array_equal(table.data[4], [1, 0])
    assert kinds_of(frame, families={"a": ef.Gamma()})["a"] == "positive"


def test_covariances_are_joint_apart_or_in_groups():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 4)), columns=list("abcd"))
    assert ef.tables.read(frame).family == ef.Normal(4)
    assert ef.tables.read(frame, joint=False).family == ef.Normal(4, ef.Diagonal())
    table = ef.tables.read(frame, joint=[["d", "a"]])
    assert [factor.columns for factor in table.schema.factors] == [("a", "d"), ("b", "c")]
    assert table.family.factors == (ef.Normal(2), ef.Normal(2, ef.Diagonal()))
    np.testing.assert_allclose(table.data[0], frame[["a", "d"]], rtol=1e-6)


def test_new_rows_are_read_like_the_first():
    table = ef.tables.read(pl.DataFrame(CELLS))
    new = ef.tables.read(
        pd.DataFrame({"site": ["c"], "ringed": [None], "eggs": [3], "width": [1], "length": [2]}),
        schema=table.schema,
    )
    assert new.family == table.family
    assert int(new.data[3][0]) == 2
    assert new.missing()["ringed"] == 1
    with pytest.raises(ValueError, match="holds 'd', which is none of its categories 'a', 'b'"):
        ef.tables.read(pl.DataFrame(CELLS | {"site": ["d"] * 5}), schema=table.schema)
    with pytest.raises(ValueError, match="`schema` names 'width', which is no column"):
        ef.tables.read(pl.DataFrame(CELLS).drop("width"), schema=table.schema)


def dates():
    return pd.date_range("2020-01-01", periods=60)


@pytest.mark.parametrize(
    ("cells", "settings", "error", "message"),
    [
        ([None] * 60, {}, ValueError, "'x' has no value in any row; leave it out"),
        ([f"name {i}" for i in range(60)], {}, ValueError, "60 different texts .* give `index`"),
        (dates(), {}, TypeError, "values of type Timestamp; make numbers of it"),
        (["u", "v"] * 30, {"families": {"x": "normal"}}, ValueError, "must give one of 'real'"),
        (["u", "v"] * 30, {"families": {"x": "real"}}, ValueError, "must hold numbers, but could"),
        (["u", "v"] * 30, {"families": {"x": "ordinal"}}, ValueError, "texts have no order"),
        (["u", "v"] * 30, {"families": {"x": ef.Normal(2)}}, TypeError, "of single numbers"),
        (["u", "v"] * 30, {"families": {"x": ef.Categorical(3)}}, ValueError, "'u', 'v', but .* 3"),
        ([0, 1, 2] * 20, {"families": {"x": "yes/no"}}, ValueError, "must have two values"),
        (["u", "v"] * 30, {"families": {"z": "real"}}, ValueError, "`families` names 'z'"),
        (["u", "v"] * 30, {"joint": [["x"]]}, ValueError, "'x' is not read as real"),
        ([1.5, 2] * 30, {"joint": [["x"], ["x"]]}, ValueError, "no column in common"),
        (["u"] * 60, {"columns": ["x"]}, ValueError, "nothing is left to model"),
        (["u"] * 60, {"columns": []}, ValueError, "must have a column"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_remedy(cells, settings, error, message):
    frame = pd.DataFrame({"x": cells, "other": np.linspace(0, 1, 60)})
    with pytest.raises(error, match=message):
        ef.tables.read(frame, **settings)


def test_what_is_no_frame_is_refused():
    with pytest.raises(TypeError, match="data frame of pandas, polars or pyarrow, but is of type"):
        ef.tables.read(np.zeros((3, 2)))
    with pytest.raises(TypeError, match="Collect a lazy frame"):
        ef.tables.read(pl.LazyFrame(CELLS))
    with pytest.raises(ValueError, match="must have rows"):
        ef.tables.read(pd.DataFrame({"x": []}))


def test_frames_where_arrays_belong_name_the_remedy():
    frame = pd.DataFrame({"x": [1.0, 2.0], "site": ["a", "b"]})
    with pytest.raises(TypeError, match=r"expfam\.tables\.read"):
        ef.Normal(2).average_sufficient_statistic(frame)
    with pytest.raises(TypeError, match=r"expfam\.tables\.read"):
        ef.Product((ef.Normal(1), ef.Bernoulli())).average_sufficient_statistic(frame)


# ---------------------------------------------------------------- results


MEANS = np.array([[0.0, 1.0], [4.0, -1.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 2.0]], [[0.5, 0.0], [0.0, 1.0]]])
SITES = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
EGGS, WEIGHTS = np.array([0.5, 3.0]), np.array([0.25, 0.75])


def mixture_of(table):
    """Two components of the family of `CELLS` without rings, of known parameters."""
    normal, sites = ef.Normal(2), ef.Categorical(3)
    parts = (
        jax.vmap(normal.from_mean_covariance)(jnp.asarray(MEANS), jnp.asarray(COVARIANCES)).coords,
        jax.vmap(ef.Poisson().from_rate)(jnp.asarray(EGGS)).coords,
        jax.vmap(sites.from_probabilities)(jnp.asarray(SITES)).coords,
    )
    model = ef.Mixture(table.family, 2)
    return model, model.from_components(jnp.asarray(WEIGHTS), ef.Natural(parts))


def explicit(row):
    """log p(what is seen of a row, component), for each component."""
    logs = np.log(WEIGHTS)
    seen = [i for i in (0, 1) if row[i] is not None]
    for k in (0, 1):
        cells = np.array([row[i] for i in seen])
        part = COVARIANCES[k][np.ix_(seen, seen)]
        logs[k] += stats.multivariate_normal.logpdf(cells, MEANS[k][seen], part)
        logs[k] += stats.poisson.logpmf(row[2], EGGS[k])
        logs[k] += 0 if row[3] is None else np.log(SITES[k]["abc".index(row[3])])
    return logs


@pytest.fixture(scope="module")
def cells():
    return {name: CELLS[name] for name in ("length", "width", "eggs", "site")} | {
        "width": [0.5, 1.5, None, -1.0, 0.0]
    }


@each_library
def test_results_are_frames_with_the_numbers_of_explicit_formulas(library, cells):
    names = ["r", "s", "t", "u", "v"]
    frame = LIBRARIES[library](cells | {"name": names})
    table = ef.tables.read(frame, index="name")
    model, params = mixture_of(table)
    logs = np.stack([explicit(row) for row in zip(*cells.values(), strict=True)])
    totals = np.logaddexp(*logs.T)
    shares = np.exp(logs - totals[:, None])
    tolerance = {"rtol": 1e-4, "atol": 1e-5}

    scores = table.scores(model, params)
    assert type(scores) is type(frame)
    assert listed(scores)["name"] == names
    np.testing.assert_allclose(listed(scores)["log_density"], totals, **tolerance)

    found = listed(table.responsibilities(model, params))
    assert list(found) == ["name", "component_0", "component_1"]
    np.testing.assert_allclose(found["component_1"], shares[:, 1], **tolerance)

    found = listed(table.assignments(model, params))
    np.testing.assert_array_equal(found["component"], shares.argmax(axis=1))
    np.testing.assert_allclose(found["probability"], shares.max(axis=1), **tolerance)

    filled = listed(table.impute(model, params))
    assert filled["eggs"] == cells["eggs"]
    assert filled["name"] == names
    assert filled["site"][:3] == cells["site"][:3]
    assert filled["site"][3] == "abc"[int(np.argmax(shares[3] @ SITES))]
    slope = COVARIANCES[:, 0, 1] / COVARIANCES[:, 1, 1]
    expected = MEANS[:, 0] + slope * (cells["width"][1] - MEANS[:, 1])
    np.testing.assert_allclose(filled["length"][1], shares[1] @ expected, rtol=1e-4)

    drawn = listed(table.sample_missing(jax.random.key(0), model, params))
    assert drawn["length"][0] == cells["length"][0]
    assert drawn["site"][3] in "abc"
    assert None not in drawn["length"] + drawn["width"]


def test_parameters_are_those_of_the_columns(cells):
    table = ef.tables.read(pd.DataFrame(cells))
    found = table.parameters(*mixture_of(table)).set_index(["column", "parameter"])
    expected = {
        ("", "weight"): WEIGHTS,
        ("length", "mean"): MEANS[:, 0],
        ("width", "mean"): MEANS[:, 1],
        ("width", "standard deviation"): np.sqrt(COVARIANCES[:, 1, 1]),
        ("eggs", "rate"): EGGS,
        ("site", "probability of c"): SITES[:, 2],
    }
    assert len(found) == 1 + 2 + 2 + 1 + 3
    for key, values in expected.items():
        np.testing.assert_allclose(found.loc[key], values, rtol=1e-4)


def test_the_index_of_a_pandas_frame_is_kept(cells):
    frame = pd.DataFrame(cells, index=[3, 1, 4, 15, 9])
    table = ef.tables.read(frame)
    model, params = mixture_of(table)
    assert table.scores(model, params).index.tolist() == [3, 1, 4, 15, 9]
    assert table.impute(model, params).index.tolist() == [3, 1, 4, 15, 9]


@pytest.mark.slow
def test_parameters_of_other_families_and_of_one_family():
    frame = pd.DataFrame(
        {
            "a": [1.0, 2.0, 4.0, 3.0],
            "b": [0.2, 0.4, 0.9, 0.6],
            "c": [True, False, True, True],
            "d": [1.0, 5.0, 2.0, 1.0],
            "e": [4.0, 5.0, 2.0, 1.0],
        }
    )
    positive = dict.fromkeys("de", "positive")
    table = ef.tables.read(frame, families={"a": ef.Gamma(), "b": ef.Beta()} | positive)
    params = table.family.maximum_likelihood(table.data)
    found = table.parameters(table.family, params).set_index(["column", "parameter"])["component_0"]
    shape, _, scale = stats.gamma.fit(frame["a"], floc=0)
    np.testing.assert_allclose(found["a", "shape"], shape, rtol=1e-3)
    np.testing.assert_allclose(found["a", "mean"], shape * scale, rtol=1e-4)
    first, second, *_ = stats.beta.fit(frame["b"], floc=0, fscale=1)
    np.testing.assert_allclose(found["b", "mean"], first / (first + second), rtol=1e-3)
    np.testing.assert_allclose(found["c", "probability of True"], 0.75, rtol=1e-5)
    log = np.log(frame["d"])
    np.testing.assert_allclose(
        found["d", "mean"], np.exp(log.mean() + log.var(ddof=0) / 2), rtol=1e-4
    )


def test_models_of_other_rows_are_refused(cells):
    table = ef.tables.read(pd.DataFrame(cells))
    _, params = mixture_of(table)
    other = ef.Mixture(ef.Normal(3), 2)
    with pytest.raises(TypeError, match=r"Table\.scores: `model` must be a model of rows of this"):
        table.scores(other, params)
    with pytest.raises(TypeError, match="must have components"):
        table.assignments(table.family, params)
    with pytest.raises(TypeError, match="of which columns have parameters"):
        table.parameters(other, params)


def test_ranks_have_a_parabola_of_log_probabilities():
    family = ordinal(5)
    xs = jnp.array([0, 1, 1, 2, 2, 2, 3, 4])
    params = family.maximum_likelihood(xs)
    logs = np.asarray(family.log_density(params, jnp.arange(5)))
    np.testing.assert_allclose(np.exp(logs).sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(np.diff(logs, n=3), 0, atol=1e-4)
    # The maximum of the likelihood has the moments of the data.
    for power in (1, 2):
        moment = np.exp(logs) @ np.arange(5.0) ** power
        np.testing.assert_allclose(moment, np.mean(np.asarray(xs, float) ** power), rtol=1e-4)
    assert ordinal(3) == ef.Categorical(3)


@pytest.mark.slow
def test_ordinal_columns_come_back_by_name():
    frame = pd.DataFrame({"grade": ["C", "B", "A", "A", "B", None, "D", "B"], "x": range(8)})
    table = ef.tables.read(
        frame, families={"grade": "ordinal", "x": "real"}, categories={"grade": list("DCBA")}
    )
    params = table.family.maximum_likelihood(table.data)
    assert table.impute(table.family, params)["grade"][5] in "BC"
    found = table.parameters(table.family, params).set_index(["column", "parameter"])["component_0"]
    total = sum(found["grade", f"probability of {grade}"] for grade in "ABCD")
    np.testing.assert_allclose(total, 1, rtol=1e-5)


def test_without_narwhals_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "narwhals", None)
    with pytest.raises(ImportError, match=r"pip install 'expfam\[tables\]'"):
        ef.tables.read(pd.DataFrame(CELLS))


# ---------------------------------------------------------------- real data


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="needs the data sets of ../shared/data")
@pytest.mark.parametrize(("name", "gaps"), [("penguins", 19), ("titanic", 263), ("mushroom", 2480)])
def test_real_tables_with_gaps_are_fitted(name, gaps):
    frame = pd.read_csv(SHARED / f"{name}.csv.gz")
    columns = [column for column in frame.columns if column != "year"]
    table = ef.tables.read(frame, columns=columns)
    assert sum(table.missing().values()) == gaps
    model = ef.Mixture(table.family, 2)
    fit = ef.fit(
        model,
        table.data,
        key=jax.random.key(0),
        method=ef.EM(max_steps=40, tolerance=None),
        prior=ef.weak_prior(model, table.data),
    )
    assert np.all(np.diff(fit.log_likelihoods) > -1e-4)
    scores = table.scores(model, fit.params)["log_density"]
    assert np.isfinite(scores).all()
    filled = table.impute(model, fit.params)
    assert filled.isna().sum().sum() == 0
    seen = frame.notna().to_numpy()
    assert (filled.to_numpy() == frame.to_numpy())[seen].all()
