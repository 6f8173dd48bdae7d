"""What fits ask of a prior."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float


class AbstractPrior(eqx.Module):
    """A prior of the natural coordinates of a family, for MAP estimates.

    Attributes:
        family: what it is a prior of.
    """

    family: eqx.AbstractVar[Any]

    @abstractmethod
    def in_frame_of(self, target: Any, change: Callable[..., Any]) -> Any:
        """The same prior of a family that differs in its frames.

        Args:
            target: the family.
            change: from two families, pseudo-statistics of the first and the number of rows that
                they stand for to those of the second.
        """

    @abstractmethod
    def at_start(self) -> "AbstractPrior":
        """The prior for the short runs that find a start."""

    @abstractmethod
    def _average(self, means: Any, count: Any) -> Any:
        """The mean coordinates of the mode after `count` rows with given raw mean coordinates."""

    @abstractmethod
    def _log_density(self, natural: Any, log_normalizer: Array) -> Float[Array, ""]:
        """Its logarithm up to a constant, at raw natural coordinates θ, given ψ(θ)."""
