"""Points of an exponential family: coordinates that know their chart.

Natural and mean coordinates live in dual vector spaces. Within a chart points add and scale;
across charts they only pair, `natural @ mean`. Everything else is a `TypeError`.
"""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .readable import as_html, readable

C = TypeVar("C")


class AbstractPoint(eqx.Module, Generic[C]):
    """A point in one of the two charts, with the vector-space operations of that chart."""

    coords: eqx.AbstractVar[C]

    # numpy scalars must leave `scalar * point` to the point.
    __array_ufunc__ = None

    def __add__(self, other: Self) -> Self:
        """Add two points of the same chart and structure."""
        _require_same_chart(self, other, "+")
        return type(self)(_map(jnp.add, self.coords, other.coords))  # pyright: ignore[reportCallIssue] final subclasses have this one field

    def __sub__(self, other: Self) -> Self:
        """Subtract two points of the same chart and structure."""
        _require_same_chart(self, other, "-")
        return type(self)(_map(jnp.subtract, self.coords, other.coords))  # pyright: ignore[reportCallIssue] as above

    def __mul__(self, scalar: ArrayLike) -> Self:
        """Scale every coordinate by one number."""
        _require_scalar(self, scalar)
        return type(self)(jax.tree.map(lambda leaf: leaf * scalar, self.coords))  # pyright: ignore[reportCallIssue] as above

    def __rmul__(self, scalar: ArrayLike) -> Self:
        """Scale every coordinate by one number."""
        return self * scalar

    def __truediv__(self, scalar: ArrayLike) -> Self:
        """Divide every coordinate by one number."""
        _require_scalar(self, scalar)
        return type(self)(jax.tree.map(lambda leaf: leaf / scalar, self.coords))  # pyright: ignore[reportCallIssue] as above

    def __neg__(self) -> Self:
        """The opposite point."""
        return type(self)(jax.tree.map(jnp.negative, self.coords))  # pyright: ignore[reportCallIssue] as above

    def __repr__(self) -> str:
        """The coordinates by name, a line for each; of long ones the first and last."""
        return readable(f"{type(self).__name__} coordinates", self.coords)

    def _repr_html_(self) -> str:
        return as_html(repr(self))


@final
class Natural(AbstractPoint[C]):
    """A point θ in natural coordinates.

    Attributes:
        coords: structured PyTree of arrays, as the family's `spaces` describe it.
    """

    coords: C

    def __matmul__(self, other: "Mean[C]") -> Float[Array, ""]:
        """The pairing ⟨θ, η⟩ with a point in mean coordinates."""
        return _pair(self, other, Mean)


@final
class Mean(AbstractPoint[C]):
    """A point η in mean coordinates: an expectation of the sufficient statistic.

    Attributes:
        coords: structured PyTree of arrays, as the family's `spaces` describe it.
    """

    coords: C

    def __matmul__(self, other: Natural[C]) -> Float[Array, ""]:
        """The pairing ⟨θ, η⟩ with a point in natural coordinates."""
        return _pair(self, other, Natural)


def gradient(function: Callable[..., Array]) -> Callable[..., Any]:
    """Gradient of a scalar function of a point, tagged with the chart it belongs to.

    The gradient of a function of a `Natural` is a `Mean` and the reverse; `jax.grad` returns the
    same numbers under the tag of its argument.

    Args:
        function: maps a point (first argument) to a scalar array.

    Returns:
        A function of the same arguments that returns a point of the dual chart.
    """

    def differentiate(point: Any, *args: Any, **kwargs: Any) -> Any:
        if not isinstance(point, AbstractPoint):
            raise TypeError(
                "gradient differentiates with respect to a point: the first argument must be an "
                f"expfam.Natural or expfam.Mean, but is of type {type(point).__name__}."
            )
        dual = Mean if isinstance(point, Natural) else Natural
        return dual(jax.grad(function)(point, *args, **kwargs).coords)

    return differentiate


def pairing(natural: Any, mean: Any) -> Float[Array, ""]:
    """⟨θ, η⟩ of raw coordinates: the sum of leafwise products."""
    products = jax.tree.leaves(jax.tree.map(lambda a, b: jnp.sum(a * b), natural, mean))
    return jnp.sum(jnp.stack(products)) if products else jnp.asarray(0.0)


def _pair(left: Any, right: Any, expected: type) -> Float[Array, ""]:
    if not isinstance(right, expected):
        raise TypeError(
            f"{type(left).__name__} @ … pairs with an expfam.{expected.__name__}, but got "
            f"{_describe(right)}; a point pairs only with one of the dual chart."
        )
    _require_same_structure(left, right, "@")
    return pairing(left.coords, right.coords)


def _map(function: Callable[..., Any], left: Any, right: Any) -> Any:
    return jax.tree.map(function, left, right)


def _require_same_chart(left: Any, right: Any, operator: str) -> None:
    if type(left) is not type(right):
        raise TypeError(
            f"{type(left).__name__} {operator} … expects another expfam.{type(left).__name__}, but "
            f"got {_describe(right)}; convert with the family's to_natural or to_mean first."
        )
    _require_same_structure(left, right, operator)


def _require_same_structure(left: Any, right: Any, operator: str) -> None:
    shapes = [jax.tree.map(jnp.shape, point.coords) for point in (left, right)]
    structures = [jax.tree.structure(point.coords) for point in (left, right)]
    if structures[0] != structures[1] or shapes[0] != shapes[1]:
        raise ValueError(
            f"the two sides of `{operator}` are points of different families: their coordinates "
            f"have shapes {shapes[0]} and {shapes[1]}."
        )


def _require_scalar(point: Any, scalar: Any) -> None:
    if isinstance(scalar, AbstractPoint) or jnp.shape(scalar) != ():
        raise TypeError(
            f"a {type(point).__name__} is scaled by one number, but got {_describe(scalar)}."
        )


def _describe(value: Any) -> str:
    if isinstance(value, AbstractPoint):
        return f"an expfam.{type(value).__name__}"
    shape = f" of shape {jnp.shape(value)}" if hasattr(value, "shape") else ""
    return f"a value of type {type(value).__name__}{shape}"
