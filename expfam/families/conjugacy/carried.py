"""Priors of families made of another one, with the same coordinates and the same log-normalizer.

Data carried over by a bijection change neither, so that priors, posteriors and their names stay
what they are; what data are worth, and predictions, are in the new units.
"""

from typing import Any, final

import equinox as eqx
from jaxtyping import Array, Bool, Float, Key

from .base import AbstractConjugacy, Counts, Scalar, predict_by_remainder


def carry(family: Any) -> "Carried | None":
    """What a family says about its priors, for a family of data carried over; `None` if nothing."""
    part = getattr(family, "_conjugacy", None)
    return None if part is None else Carried(part, family)


@final
class Carried(AbstractConjugacy):
    """Priors of a family whose coordinates are those of another one.

    Attributes:
        part: what the other family says.
        origin: the other family.
    """

    part: Any
    origin: eqx.Module

    @property
    def n_counts(self) -> int:
        """That of the other family."""
        return self.part.n_counts

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Those of the other family."""
        return self.part.conditions(self.origin, total, count)

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """That of the other family."""
        return self.part.log_normalizer(self.origin, total, count)

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """That of the other family."""
        return self.part.log_density(self.origin, total, count, coords)

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """As for the other family."""
        return self.part.compare(self.origin, before, after)

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Any) -> Scalar:
        """As the evidence of one row, in the units of this family."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """That of the other family."""
        return self.part.entropy(self.origin, total, count)

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """As for the other family."""
        return self.part.sample(self.origin, key, total, count)

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of the other family."""
        return self.part.shapes(self.origin)

    def hyperparameters(self, family: Any, total: Any, count: Counts) -> dict[str, Array]:
        """Those of the other family."""
        return self.part.hyperparameters(self.origin, total, count)

    def from_hyperparameters(
        self, family: Any, values: dict[str, Array]
    ) -> tuple[Any, Counts] | None:
        """As for the other family."""
        return self.part.from_hyperparameters(self.origin, values)

    def distribution(self, family: Any, total: Any, count: Counts) -> tuple[Any, Any] | None:
        """As for the other family."""
        return self.part.distribution(self.origin, total, count)

    # With two counts, that is, of normals:

    def to_means(self, total: Any, count: Counts) -> Any:
        """As for the other family."""
        return self.part.to_means(total, count)

    def from_means(self, means: Any, count: Counts) -> Any:
        """As for the other family."""
        return self.part.from_means(means, count)

    def normalizers(self, coords: Any) -> Float[Array, "2"]:
        """Those of the other family."""
        return self.part.normalizers(coords)
