"""How many values data can take."""

import math
from typing import Any

import jax

from .support import Support, is_support


def n_outcomes(supports: Any) -> float:
    """The number of values of a datum; infinite where they are not finitely many.

    A law of so many values has one probability less than values: no model of it can have more
    parameters that the law determines.

    Args:
        supports: a tree of `Support`.
    """
    leaves = jax.tree.leaves(supports, is_leaf=is_support)
    return math.prod(map(_n_values, leaves), start=1.0)


def _n_values(support: Support) -> float:
    entries = math.prod(support.shape)
    match support.kind:
        case "binary":
            each = 2
        case "category":
            each = support.n_categories
        case "bounded count":
            each = support.limit + 1
        case "counts of a total":
            k = support.shape[-1]
            each, entries = math.comb(support.limit + k - 1, k - 1), entries // k
        case _:
            return math.inf
    # beyond floating point there are more values than parameters of any model
    return float(each**entries) if entries * math.log(each) < 700 else math.inf
