"""What models say of rows, one number or vector for each of them."""

from typing import Any

import numpy as np
from jaxtyping import Float

from ..families import compiled, ladder
from ..families.base import AbstractExponentialFamily
from ..families.support import check_observations
from ..geometry.points import Natural
from ..harmonium.base import log_assignments


def checked_rows(model: Any, params: Any, xs: Any, owner: str) -> tuple[Any, int]:
    """Rows of a model, and their number.

    Raises:
        TypeError, ValueError: what is no model, no point of it, or no rows.
    """
    if not isinstance(model, AbstractExponentialFamily):
        raise TypeError(
            f"{owner}: `model` must be a family, e.g. expfam.Mixture(expfam.Normal(2), 3), but is "
            f"of type {type(model).__name__}."
        )
    model._check_point(params, Natural, owner, "params")
    return check_observations(model, xs, owner)


def row_weights(weights: Any, n: int, owner: str) -> Float[np.ndarray, " n"]:
    """The weights of rows, ones where none are given.

    Raises:
        ValueError: weights that are no n numbers, are negative, or all zero.
    """
    if weights is None:
        return np.ones(n)
    values = np.asarray(weights, float)
    if values.shape != (n,) or not np.all(values >= 0) or not 0 < values.sum() < np.inf:
        raise ValueError(
            f"{owner}: `weights` must be {n} finite numbers, not negative and not all zero, but "
            f"have shape {values.shape}."
        )
    return values


def log_densities(model: Any, coords: Any, xs: Any) -> Float[np.ndarray, " n"]:
    """log p(x) of every row."""
    found = ladder.over_data(compiled.log_observable_density, 1, model, coords, xs)
    return np.asarray(found, float)


def assignments(model: Any, coords: Any, xs: Any) -> Float[np.ndarray, "n k"]:
    """Log-probabilities of the components given every row."""
    return np.asarray(ladder.over_data(log_assignments, 1, model, coords, xs), float)


def entropy(logs: Float[np.ndarray, "n k"], weights: Float[np.ndarray, " n"]) -> float:
    """The sum over rows of the entropy of their assignment, in nats."""
    shares = np.exp(logs)
    return float(-weights @ np.sum(shares * np.where(shares > 0, logs, 0), axis=1))
