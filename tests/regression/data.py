"""Real data of mixtures of regressions, and small ones that are made here."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3] / "shared" / "data"


def table(name):
    """Columns of a data set of `shared/data`, as arrays of numbers or of strings."""
    path = ROOT / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there: development data are not part of the repository")
    with gzip.open(path, "rt") as lines:
        header, *rows = csv.reader(lines)
    columns = zip(*rows, strict=True)
    return {name: _numbers(column) for name, column in zip(header, columns, strict=True)}


def _numbers(column):
    try:
        return np.array(column, float)
    except ValueError:
        return np.array(column)


def rows(response, n=60, seed=0):
    """Two covariates, and responses of which the level depends on them."""
    rng = np.random.default_rng(seed)
    u = rng.normal(size=(n, 2))
    level = 0.4 + u @ np.array([0.8, -0.5])
    made = {
        "real": lambda: (level + 0.5 * rng.normal(size=n))[:, None],
        "count": lambda: rng.poisson(np.exp(level)),
        "binary": lambda: rng.binomial(1, 1 / (1 + np.exp(-level))),
        "trials": lambda: rng.binomial(7, 1 / (1 + np.exp(-level))),
        "category": lambda: np.argmax(
            np.stack([level, -level, 0 * level]) + rng.gumbel(size=(3, n)), axis=0
        ),
        "positive": lambda: rng.gamma(3.0, np.exp(level) / 3),
    }
    return u, made[response]()
