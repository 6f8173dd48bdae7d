"""Numbers of any type are data; what is no number, or not held by the type, is refused by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.families.conversion import as_array, as_numbers

FLOAT, INT = jnp.result_type(float), jnp.result_type(int)
TABLE = np.random.default_rng(0).integers(0, 9, (30, 2))
NORMAL, POISSON = ef.Normal(2), ef.Poisson()


class Column:
    """Stands for a column or frame of a library of tables, which is not imported."""

    def __init__(self, values, dtype=None):
        self.values, self.dtype = values, dtype

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)

    def __len__(self):
        return len(self.values)


class Missing:
    """What a nullable column holds where nothing is known."""

    def __float__(self):
        raise TypeError("no number")


@pytest.mark.parametrize(
    "given",
    [
        TABLE,
        TABLE.astype(np.uint8),
        TABLE.astype(np.float16),
        TABLE.astype(np.longdouble),
        TABLE.astype(object),
        TABLE.tolist(),
        [tuple(row) for row in TABLE.tolist()],
        [list(row) for row in TABLE],
        jnp.asarray(TABLE),
        jnp.asarray(TABLE, jnp.bfloat16),
        np.ma.array(TABLE),
        Column(TABLE.astype(object), "Int64"),
    ],
    ids=lambda given: f"{type(given).__name__}-{getattr(given, 'dtype', '')}",
)
def test_numbers_of_any_type_are_real_numbers(given):
    expected = NORMAL.maximum_likelihood(TABLE.astype(float))
    found = NORMAL.maximum_likelihood(given)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert found.coords.first.dtype == FLOAT


def test_yes_and_no_are_numbers():
    found = NORMAL.maximum_likelihood(TABLE > 4)
    expected = NORMAL.maximum_likelihood((TABLE > 4).astype(float))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, bool])
def test_counts_of_short_types_do_not_wrap(dtype):
    params = POISSON.from_rate(100.0)
    counts = np.array([1, 0, np.iinfo(np.int8).max], dtype)
    wide = counts.astype(float)
    np.testing.assert_array_equal(
        POISSON.log_density(params, counts), POISSON.log_density(params, wide)
    )


def test_largest_whole_numbers():
    limit = 2 ** (jnp.finfo(FLOAT).nmant + 1)
    held = as_numbers(np.array([-limit, limit]), True, "f", "x")
    assert held.dtype == FLOAT
    assert held.tolist() == [-limit, limit]
    message = f"f: `x` has type int64 and holds a number beyond {limit}, .*'jax_enable_x64'"
    for beyond in (limit + 1, -limit - 1):
        with pytest.raises(ValueError, match=message):
            as_numbers(np.array([0, beyond]), True, "f", "x")
    most = int(jnp.iinfo(INT).max)
    assert as_numbers(np.array([most]), False, "f", "x").tolist() == [most]
    with pytest.raises(ValueError, match=f"has type uint64 .* beyond {most}"):
        as_numbers(np.array([most + 1], np.uint64), False, "f", "x")


def test_whole_numbers_inside_of_jit():
    integers = jnp.asarray(TABLE)
    params = NORMAL.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
    inside = jax.jit(lambda x: NORMAL.log_density(params, x))(integers)
    np.testing.assert_allclose(inside, NORMAL.log_density(params, integers), rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.ma.array([1.0, 2.0], mask=[0, 1]), r"masked cells; where .* expfam.incomplete"),
        (Column(np.array([1, Missing()]), "Int64"), "holds Missing; where .* expfam.incomplete"),
        (Column(np.array(["a", "b"], object), "category"), r"text, e.g. 'a'.*np.unique"),
        (["a", "b"], r"type <U1.*np.unique"),
        (np.array([1 + 1j]), "must be numbers, but has type complex128"),
        (np.array(["2020-01-01"], "datetime64[D]"), "must be numbers, but has type datetime64"),
        ([[1.0, 2.0], [3.0]], "its rows have different lengths"),
    ],
)
def test_what_is_no_number_is_refused(given, message):
    with pytest.raises((TypeError, ValueError), match=f"f: `x` .*{message}"):
        as_array(given, "f", "x")


def test_incomplete_data_are_converted():
    unit, params = ef.Beta(), ef.Beta().from_concentration(2.0, 3.0)
    gap = ef.incomplete(np.array([0, 1]), observed=np.array([False, False]))
    np.testing.assert_array_equal(unit.log_density(params, gap), [0, 0])
    rows = ef.incomplete(np.ma.array(TABLE, mask=TABLE == 3))
    same = ef.incomplete(np.where(TABLE == 3, np.nan, TABLE))
    found, expected = (NORMAL.maximum_likelihood(xs) for xs in (rows, same))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found, expected)


def test_column_of_counts_is_named():
    with pytest.raises(ValueError, match=r"shape \(n,\), but has shape \(5, 1\). Write xs\[:, 0\]"):
        POISSON.maximum_likelihood(np.ones((5, 1), int))


@pytest.mark.parametrize("weights", [[1.0] * 30, np.ones(30), [True] * 30])
def test_weights_of_any_type(weights):
    found = NORMAL.maximum_likelihood(TABLE, weights)
    expected = NORMAL.maximum_likelihood(TABLE, jnp.ones(30))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_weights_whose_sum_overflows_are_named():
    largest = float(jnp.finfo(FLOAT).max)
    with pytest.raises(ValueError, match=r"`weights` must be .* have a sum below the largest"):
        NORMAL.maximum_likelihood(TABLE, jnp.full(30, largest))


def test_lists_of_numbers_are_rows_and_lists_of_arrays_blocks():
    key = jax.random.key(0)
    rows = TABLE.astype(float)
    expected = ef.fit(NORMAL, rows, key=key).params
    for given in (TABLE.tolist(), [tuple(row) for row in rows.tolist()], [rows[:10], rows[10:]]):
        found = ef.fit(NORMAL, given, key=key).params
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)
    counts = ef.fit(POISSON, TABLE[:, 0].tolist(), key=key).params
    np.testing.assert_allclose(POISSON.rate(counts), TABLE[:, 0].mean(), rtol=1e-5)
