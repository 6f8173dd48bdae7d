"""Supports: which values they admit, by NumPy and compiled."""

import jax.numpy as jnp
import numpy as np
import pytest

from expfam.families import support as module
from expfam.families.support import Support, check_rows

# Rows of each kind: three that are admitted, and some that are not.
CASES = {
    "real": (Support((), "real"), [0.0, -1e30, 3.0], [np.nan, np.inf, -np.inf]),
    "nonnegative": (Support((), "nonnegative"), [0.0, 1e-30, 3.0], [-1e-30, np.nan, np.inf]),
    "positive": (Support((), "positive"), [1e-30, 2.0, 1e30], [0.0, -1.0, np.nan, np.inf]),
    "at least": (Support((), "at least", bound=2.0), [2.0, 3.0, 1e30], [1.9, np.nan, np.inf]),
    "unit": (Support((), "unit"), [1e-30, 0.5, 0.999], [0.0, 1.0, np.nan, 2.0]),
    "count": (Support((), "count"), [0.0, 1.0, 1e6], [-1.0, 0.5, np.nan, np.inf]),
    "positive count": (Support((), "positive count"), [1.0, 2.0, 9.0], [0.0, 1.5, np.nan]),
    "bounded count": (Support((), "bounded count", limit=4), [0.0, 2.0, 4.0], [5.0, -1.0, 0.5]),
    "binary": (Support((), "binary"), [0.0, 1.0, 1.0], [2.0, 0.5, -1.0]),
    "category": (Support((), "category", n_categories=3), [0.0, 1.0, 2.0], [3.0, -1.0, 1.5]),
    "counts of a total": (
        Support((2,), "counts of a total", limit=3),
        [[0.0, 3.0], [1.0, 2.0], [3.0, 0.0]],
        [[1.0, 1.0], [-1.0, 4.0], [1.5, 1.5], [np.nan, 3.0]],
    ),
    "simplex": (
        Support((2,), "simplex"),
        [[0.5, 0.5], [0.1, 0.9], [1e-3, 0.999]],
        [[0.5, 0.6], [0.0, 1.0], [-0.5, 1.5], [np.nan, 0.5]],
    ),
    "sphere": (
        Support((2,), "sphere"),
        [[1.0, 0.0], [0.6, 0.8], [0.0, -1.0]],
        [[1.0, 1.0], [0.0, 0.0], [np.nan, 0.0], [np.inf, 0.0]],
    ),
    "positive definite": (
        Support((2, 2), "positive definite"),
        [np.eye(2), [[2.0, 1.0], [1.0, 2.0]], [[1e-9, 0.0], [0.0, 1.0]]],
        [[[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_admitted_values(name):
    support, good, bad = CASES[name]
    rows = np.asarray([*good, *bad], float)
    wanted = [True] * len(good) + [False] * len(bad)
    with np.errstate(all="ignore"):
        assert list(support.inside(rows)) == wanted
    assert list(support.inside(jnp.asarray(rows))) == wanted
    assert support.contains(np.asarray(good, float))
    assert support.contains(jnp.asarray(good, float))


@pytest.mark.parametrize("many", [1 << 22, 0], ids=["by NumPy", "compiled"])
def test_one_bad_value_among_many_is_named(monkeypatch, many):
    monkeypatch.setattr(module, "_MANY", many)
    support, rows = Support((3,), "positive"), np.ones((50, 3))
    check_rows(rows, support, "Family.method")
    rows[7, 1] = -2
    message = r"Family.method: `xs` must be positive.* 1 value.* the first -2\.0 at \(7, 1\)"
    with pytest.raises(ValueError, match=message):
        check_rows(rows, support, "Family.method")
