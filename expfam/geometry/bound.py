"""Methods of manifolds that can be arguments of transformations."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import MethodType
from typing import Any, final

import jax


@final
@jax.tree_util.register_pytree_node_class
@dataclass(eq=False, repr=False)
class BoundMethod:
    """A method of an object that is a tree of arrays, itself such a tree.

    Two are equal, and compiled only once, where they are the same method of objects that have the
    same structure and hold the same arrays. Equinox has such methods too, but makes one in 50 µs,
    which is as much as a small compiled program takes.
    """

    _method: MethodType

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method."""
        return self._method(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Its name, its annotations and so on."""
        return getattr(object.__getattribute__(self, "_method"), name)

    @property
    def __doc__(self) -> str | None:  # pyright: ignore[reportIncompatibleVariableOverride] a text of its own for every instance
        return self._method.__doc__

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._method)

    def __repr__(self) -> str:
        return repr(self._method)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundMethod):
            return NotImplemented
        (own, known), (theirs, structure) = self._parts(), other._parts()
        return known == structure and all(a is b for a, b in zip(own, theirs, strict=True))

    def __hash__(self) -> int:
        return hash(self._parts()[1])

    def _parts(self) -> tuple[list[Any], Any]:
        leaves, structure = jax.tree.flatten(self)
        return leaves, structure

    def tree_flatten(self) -> tuple[tuple[Any], Callable[..., Any]]:
        """The object, and the function."""
        return (self._method.__self__,), self._method.__func__

    @classmethod
    def tree_unflatten(cls, function: Callable[..., Any], children: tuple[Any]) -> "BoundMethod":
        """The method of another object."""
        return cls(MethodType(function, children[0]))
