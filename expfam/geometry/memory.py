"""What was found out about objects that do not change, remembered for as long as they live."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, final
from weakref import ref


@final
@dataclass(eq=False)
class Memory:
    """Facts about the very same objects, found again by their identity.

    A loop in Python hands over the same data and the point that the last step returned. Looking
    through them anew in every step takes longer than a small step of EM does.
    """

    _facts: dict[Hashable, tuple[list[ref[Any]], Any]] = field(default_factory=dict, init=False)

    def recall(self, *objects: Any, how: Hashable = None) -> Any:
        """What was kept about these objects, or `None`.

        Args:
            objects: in the same order as they were given to `keep`.
            how: what else the fact depends on, by its value.
        """
        known = self._facts.get((how, *map(id, objects)))
        if known is None or any(
            seen() is not one for seen, one in zip(known[0], objects, strict=True)
        ):
            return None
        return known[1]

    def keep(self, fact: Any, *objects: Any, how: Hashable = None) -> None:
        """Remember a fact about objects that can be referred to weakly, until one of them dies."""
        key = (how, *map(id, objects))

        def forget(_: ref[Any]) -> None:
            self._facts.pop(key, None)

        self._facts[key] = ([ref(one, forget) for one in objects], fact)
