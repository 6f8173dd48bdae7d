"""Parameters in the usual units, by name, for people to read."""

from collections import OrderedDict
from typing import Any

import jax

from ..geometry.points import Natural


def readings(model: Any, params: Natural[Any]) -> dict[str, Any]:
    """What the readers of a model say of a point, by name; empty where it has none.

    Args:
        model: a family or model.
        params: natural coordinates.
    """
    # Of a plain dictionary JAX sorts the names.
    found: dict[str, Any] = OrderedDict()
    for reader in type(model).readers:
        name, value = reader.__name__, reader(model, params)
        parts = name.split("_")
        if isinstance(value, dict):
            found |= value
        elif isinstance(value, tuple) and len(value) == len(parts):
            # `mean_covariance` reads a mean and a covariance.
            found |= dict(zip(parts, value, strict=True))
        else:
            found[name] = value
    return found


def read_each(model: Any, params: Natural[Any]) -> dict[str, Any]:
    """The same of several points, stacked along a leading axis."""
    return jax.vmap(lambda point: readings(model, point))(params)
