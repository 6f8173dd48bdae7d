"""From arrays of scikit-learn to rows of a model, in the precision of the arrays."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, validate_data

from ..families.base import AbstractExponentialFamily
from ..families.observations import incomplete
from ..families.support import Support, is_support

FLOATS = [np.float64, np.float32]


def in_precision_of(X: np.ndarray) -> AbstractContextManager[Any]:
    """Programs in float64 for arrays of float64, whatever JAX is set to, else in float32."""
    return jax.enable_x64(X.dtype == np.float64)


def as_rows(
    estimator: Any, X: Any, *, reset: bool, gaps: bool = False, least: int = 1
) -> np.ndarray:
    """Checked rows, in float64 or float32.

    Args:
        estimator: where the number and names of columns are kept, or compared with.
        X: rows, shape `(n, d)`.
        reset: whether they are those of a fit.
        gaps: whether cells may be NaN.
        least: number of rows at least.
    """
    finite = "allow-nan" if gaps else True
    rows: Any = validate_data(
        estimator, X, reset=reset, dtype=FLOATS, ensure_all_finite=finite, ensure_min_samples=least
    )
    return rows


def as_weights(sample_weight: Any, X: np.ndarray) -> np.ndarray | None:
    """Checked weights of rows; `None` where there are none."""
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    if np.any(weights < 0) or not np.sum(weights) > 0:
        raise ValueError("`sample_weight` must not be negative, and have a positive sum.")
    return weights


def as_key(random_state: Any) -> Any:
    """A JAX random key from a seed or generator."""
    return jax.random.key(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def model_of(given: Any, default: Callable[[int], Any], n_features: int) -> Any:
    """A model of rows with so many columns: one that is given, or that a function makes."""
    made = default if given is None else given
    model = made if isinstance(made, AbstractExponentialFamily) else made(n_features)
    size = sum(_size(support) for support in _supports(model))
    if size != n_features:
        raise ValueError(
            f"X has {n_features} features, but the model {model!r} is one of rows of {size}; give "
            "a function from the number of features to a model."
        )
    return model


def as_data(model: AbstractExponentialFamily, X: np.ndarray) -> Any:
    """Rows as data of a model: the columns of its leaves from left to right, gaps where NaN."""
    leaves, start = [], 0
    for support in _supports(model):
        stop = start + _size(support)
        leaves.append(_leaf(X[:, start:stop].reshape(-1, *support.shape), support))
        start = stop
    structure = jax.tree.structure(model.observed_support, is_leaf=is_support)
    return jax.tree.unflatten(structure, leaves)


def as_columns(model: AbstractExponentialFamily, data: Any) -> np.ndarray:
    """Data of a model as one array of columns."""
    parts = [np.asarray(leaf) for leaf in jax.tree.leaves(data)]
    return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)


def spread_out(X: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Rows as often as their weights say: exactly for whole numbers, else nearly."""
    if weights is None:
        return X
    total = float(np.sum(weights, dtype=float))
    whole = np.array_equal(weights, np.round(weights)) and total <= 16 * len(X)
    count = int(total) if whole else 16 * len(X)
    reached = np.cumsum(weights, dtype=float) / total
    return X[np.searchsorted(reached, (np.arange(count) + 0.5) / count)]


def line_of(scores: np.ndarray, weights: np.ndarray | None, share: float) -> float:
    """The lowest score that more than a share of the rows, by weight, lie at or below."""
    order = np.argsort(scores)
    own = np.ones(len(scores)) if weights is None else np.asarray(weights, float)
    reached = np.cumsum(own[order]) / np.sum(own)
    first = int(np.searchsorted(reached, share + 1e-9, side="right"))
    return float(scores[order][min(first, len(scores) - 1)])


def _leaf(cells: np.ndarray, support: Support) -> Any:
    missing = np.isnan(cells)
    filled = np.where(missing, 0 if support.kind == "real" else 1, cells)
    whole = "count" in support.kind or support.kind in ("binary", "category")
    if whole and np.array_equal(filled, np.round(filled)):
        filled = filled.astype(np.int32)
    elif not missing.any():
        filled = cells
    return incomplete(filled, ~missing) if missing.any() else filled


def _supports(model: AbstractExponentialFamily) -> list[Support]:
    return jax.tree.leaves(model.observed_support, is_leaf=is_support)


def _size(support: Support) -> int:
    return int(np.prod(support.shape, dtype=int))
