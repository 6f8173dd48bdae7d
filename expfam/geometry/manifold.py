"""What the coordinates of points of a manifold look like."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, final

import jax
import jax.numpy as jnp

from .points import Mean, Natural
from .spaces import Chart, is_space

C = TypeVar("C")
T = TypeVar("T")


@final
class Layout(NamedTuple):
    """What the coordinates of a point look like.

    Attributes:
        structure: of the tree of coordinates.
        shapes: of its leaves.
    """

    structure: Any
    shapes: list[tuple[int, ...]]


def layout_of(spaces: Any) -> Layout:
    """The layout of coordinates with given spaces."""
    leaves, structure = jax.tree.flatten(spaces, is_leaf=is_space)
    return Layout(structure, [space.shape for space in leaves])


_REMEMBERED: dict[tuple[str, Any, Any], Any] = {}


def remembered(manifold: Any, name: str, compute: Callable[[], T]) -> T:
    """What depends only on the static structure of a manifold, computed once for each structure.

    The shapes of arrays that it holds belong to it. Loops over public methods ask for it in every
    step, and building it takes longer than a small step of EM.
    """
    leaves, structure = jax.tree.flatten(manifold)
    key = (name, structure, tuple(map(jnp.shape, leaves)))
    if key not in _REMEMBERED:
        _REMEMBERED[key] = compute()
    return _REMEMBERED[key]


def chart_name(chart: type) -> Chart:
    """The name of a chart, from its class.

    Raises:
        TypeError: another class.
    """
    if chart is Natural:
        return "natural"
    if chart is Mean:
        return "mean"
    raise TypeError(
        f"a chart is expfam.Natural or expfam.Mean, but got {getattr(chart, '__name__', chart)!r}."
    )
