"""How two groupings of the same rows agree."""

from typing import Any

import numpy as np
from jaxtyping import Int


def contingency(first: Any, second: Any) -> Int[np.ndarray, "a b"]:
    """How many rows are in each pair of groups.

    Args:
        first: a label of every row, of any type; its sorted distinct labels are the rows.
        second: another one; its distinct labels are the columns.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != other.shape or not one.size:
        raise ValueError(
            "contingency: `first` and `second` must have one label for each row, but have shapes "
            f"{one.shape} and {other.shape}."
        )
    rows, i = np.unique(one, return_inverse=True)
    columns, j = np.unique(other, return_inverse=True)
    return np.bincount(i * len(columns) + j, minlength=len(rows) * len(columns)).reshape(
        len(rows), len(columns)
    )


def adjusted_rand_index(first: Any, second: Any) -> float:
    """Share of pairs of rows that two groupings agree on: 1 at best, 0 by chance.

    Hubert & Arabie (1985).

    Args:
        first: a label of every row.
        second: another one.

    Examples:
        >>> import expfam as ef
        >>> ef.assess.adjusted_rand_index([0, 0, 1, 1], ["b", "b", "a", "a"])
        1.0
    """
    table = contingency(first, second)
    together = _pairs(table).sum()
    one, other = _pairs(table.sum(axis=1)).sum(), _pairs(table.sum(axis=0)).sum()
    expected, most = one * other / max(_pairs(table.sum()), 1), (one + other) / 2
    return float((together - expected) / (most - expected)) if most != expected else 1.0


def normalized_mutual_information(first: Any, second: Any) -> float:
    """Mutual information of two groupings over the mean of their entropies: 0 to 1.

    Args:
        first: a label of every row.
        second: another one.
    """
    shares = contingency(first, second) / len(np.asarray(first))
    one, other, both = (_entropy(s) for s in (shares.sum(axis=1), shares.sum(axis=0), shares))
    return float(2 * (one + other - both) / (one + other)) if one + other else 1.0


def _pairs(counts: Any) -> Any:
    return counts * (counts - 1) / 2


def _entropy(shares: np.ndarray) -> float:
    known = shares[shares > 0]
    return float(-np.sum(known * np.log(known)))
