"""How rows are divided into groups, where a mixture starts."""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .table import Clusters, Kind, Table


class AbstractGrouping(eqx.Module):
    """A kind of groups: found on the host, and read in compiled programs."""

    @abstractmethod
    def find(self, rng: np.random.Generator, table: Table, kind: Kind, count: int) -> Any:
        """Groups of the rows of a table: a tree of NumPy arrays."""

    @abstractmethod
    def members(self, table: Table, groups: Any) -> np.ndarray:
        """Which rows are in which group, shape `(K, n)`."""

    @abstractmethod
    def flat(self, table: Table, members: np.ndarray, full: bool) -> np.ndarray:
        """Groups that are singular; see `Table.flat`."""

    @abstractmethod
    def labels(self, groups: Any, features: Float[Array, "n features"]) -> Int[Array, " n"]:
        """The group of every row."""


@final
class ByClusters(AbstractGrouping):
    """Rows that are close to each other."""

    def find(self, rng: np.random.Generator, table: Table, kind: Kind, count: int) -> Clusters:
        """Clusters."""
        return table.clusters(rng, kind, count)

    def members(self, table: Table, groups: Clusters) -> np.ndarray:
        """Members of clusters."""
        return table.members(groups)

    def flat(self, table: Table, members: np.ndarray, full: bool) -> np.ndarray:
        """Clusters in which a column does not vary."""
        return table.flat(members, full)

    def labels(self, groups: Clusters, features: Array) -> Array:
        """The largest score."""
        mean, directions, offsets = groups
        return jnp.argmax((features - mean) @ directions.T + offsets, axis=1)
