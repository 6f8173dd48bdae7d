"""Manifolds: objects that hold no data and say what the coordinates of a point look like."""

from abc import abstractmethod
from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .bound import BoundMethod
from .points import AbstractPoint, Mean, Natural
from .spaces import Chart, is_space, pack, unpack

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


class AbstractManifold(eqx.Module, Generic[C]):
    """A manifold with dual affine charts; coordinates are structured like `spaces`."""

    if not TYPE_CHECKING:

        def __getattribute__(self, name: str) -> Any:
            """Look up an attribute; public methods are trees, as manifolds are."""
            value = object.__getattribute__(self, name)
            if isinstance(value, MethodType) and not name.startswith("_"):
                return BoundMethod(value)
            return value

    @property
    @abstractmethod
    def spaces(self) -> C:
        """A PyTree like the coordinates, with an `AbstractSpace` for every leaf."""

    @property
    def dim(self) -> int:
        """Dimension of the manifold: the number of free coordinates."""
        return sum(space.dim for space in jax.tree.leaves(self.spaces, is_leaf=is_space))

    def flatten(self, point: Natural[C] | Mean[C]) -> Float[Array, " dim"]:
        """Pack a point into a vector of minimal length.

        The packing is orthonormal: the pairing of a natural and a mean point equals the dot product
        of their vectors.

        Args:
            point: a point of this manifold, in either chart.

        Returns:
            Vector of shape `(dim,)`.
        """
        self._check_point(point, type(point), "flatten", "point")
        return self._flatten(point.coords, _chart_name(type(point)))

    def unflatten(
        self, vector: Float[Array, " dim"], chart: type[Natural] | type[Mean]
    ) -> Natural[C] | Mean[C]:
        """Unpack a vector made by `flatten`.

        Args:
            vector: array of shape `(dim,)`.
            chart: `expfam.Natural` or `expfam.Mean`, the chart of the result.

        Returns:
            The point, in the chart asked for.

        Raises:
            ValueError: where the vector has another length.
            TypeError: where `chart` is not one of the two charts.
        """
        if jnp.shape(vector) != (self.dim,):
            raise ValueError(
                f"{self!r}.unflatten: `vector` must have shape ({self.dim},), but has shape "
                f"{jnp.shape(vector)}."
            )
        return chart(self._unflatten(jnp.asarray(vector), _chart_name(chart)))

    def _flatten(self, coords: C, chart: Chart) -> Float[Array, " dim"]:
        return pack(self.spaces, coords, chart)

    def _unflatten(self, vector: Float[Array, " dim"], chart: Chart) -> C:
        coords = unpack(self.spaces, vector, chart)
        return coords if chart == "natural" else self._complete(coords, 1.0)

    @abstractmethod
    def _complete(self, means: C, mass: Array | float) -> C:
        """Fill in what packing leaves out because the rest, and E[1] = mass, determine it."""

    def _check_point(self, point: Any, chart: type, method: str, argument: str) -> None:
        layout = remembered(self, "spaces", lambda: layout_of(self.spaces))
        self._check_coords(point, chart, layout, method, argument)

    def _check_coords(
        self, point: Any, chart: type, layout: Layout, method: str, argument: str
    ) -> None:
        # Refuses a value of another type, a point of another chart, or one of another layout.
        if chart not in (Natural, Mean):
            raise TypeError(
                f"{type(self).__name__}.{method}: `{argument}` must be an expfam.Natural or an "
                f"expfam.Mean, but is of type {chart.__name__}."
            )
        if not isinstance(point, chart):
            other = isinstance(point, AbstractPoint)
            convert = "to_natural" if chart is Natural else "to_mean"
            raise TypeError(
                f"{type(self).__name__}.{method}: `{argument}` must be in {_chart_name(chart)} "
                f"coordinates (an expfam.{chart.__name__}), but "
                + (
                    f"is in {_chart_name(type(point))} coordinates; convert it with "
                    f"{type(self).__name__}.{convert}."
                    if other
                    else f"is of type {type(point).__name__}."
                )
            )
        leaves, structure = jax.tree.flatten(point.coords)
        shapes = [jnp.shape(leaf) for leaf in leaves]
        if structure != layout.structure or shapes != layout.shapes:
            expected = jax.tree.unflatten(layout.structure, layout.shapes)
            raise ValueError(
                f"{type(self).__name__}.{method}: `{argument}` is not a point of {self!r}: its "
                f"coordinates must have shapes {expected}, but have "
                f"{jax.tree.unflatten(structure, shapes)}."
            )
        for leaf in leaves:
            if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
                raise TypeError(
                    f"{type(self).__name__}.{method}: `{argument}` must have floating-point "
                    f"coordinates, but has some of type {jnp.result_type(leaf)}."
                )


def layout_of(spaces: Any) -> Layout:
    """The layout of coordinates with given spaces."""
    leaves, structure = jax.tree.flatten(spaces, is_leaf=is_space)
    return Layout(structure, [space.shape for space in leaves])


_REMEMBERED: dict[tuple[str, Any, Any], Any] = {}


def remembered(manifold: AbstractManifold[Any], name: str, compute: Callable[[], T]) -> T:
    """What depends only on the static structure of a manifold, computed once for each structure.

    The shapes of arrays that it holds belong to it. Loops over public methods ask for it in every
    step, and building it takes longer than a small step of EM.
    """
    leaves, structure = jax.tree.flatten(manifold)
    key = (name, structure, tuple(map(jnp.shape, leaves)))
    if key not in _REMEMBERED:
        _REMEMBERED[key] = compute()
    return _REMEMBERED[key]


def _chart_name(chart: type) -> Chart:
    if chart is Natural:
        return "natural"
    if chart is Mean:
        return "mean"
    raise TypeError(
        f"a chart is expfam.Natural or expfam.Mean, but got {getattr(chart, '__name__', chart)!r}."
    )
