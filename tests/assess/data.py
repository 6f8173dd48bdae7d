"""Data sets with published figures, which lie beside the repository where they are developed."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="public data sets are not part of the repository"
)


def table(name):
    """Rows of a table, as dictionaries of texts."""
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt") as file:
        return list(csv.DictReader(file))


def matrix(name, columns):
    """Some columns of a table, as numbers."""
    return np.array([[float(row[column]) for column in columns] for row in table(name)])
