"""Draws of partitions of rows, and what is common to them."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float, Int


@final
@dataclass(frozen=True, eq=False)
class Partitions:
    """Draws of partitions of n rows, as `sample_partitions` returns them.

    Numbers of components mean nothing by themselves: they are others in every draw.

    Attributes:
        labels: component of every row, shape `(chains, draws, n)`.
    """

    labels: Int[np.ndarray, "chains draws n"]

    @cached_property
    def n_occupied(self) -> Int[np.ndarray, "chains draws"]:
        """How many components hold rows, shape `(chains, draws)`."""
        ordered = np.sort(self.labels, axis=-1)
        return 1 + np.sum(np.diff(ordered, axis=-1) > 0, axis=-1)

    @cached_property
    def co_clustering(self) -> Float[np.ndarray, "n n"]:
        """The share of draws in which two rows belong together, shape `(n, n)`."""
        draws = np.reshape(self.labels, (-1, self.labels.shape[-1]))
        together = np.zeros((draws.shape[1],) * 2)
        for labels in draws:
            together += labels[:, None] == labels
        return together / len(draws)

    def partition(self, loss: str = "variation of information") -> Int[np.ndarray, " n"]:
        """The draw with the least expected loss: one partition that stands for all.

        Args:
            loss: by how much two partitions differ. "binder": the number of pairs of rows that one
                keeps together and the other does not. "variation of information": of the two, the
                entropy that is not shared, of which a lower bound is expected (Wade & Ghahramani
                2018); it leaves fewer small components.

        Returns:
            A label for every row, from 0 on in the order of the rows.
        """
        if loss not in ("binder", "variation of information"):
            raise ValueError(
                "Partitions.partition: `loss` must be 'binder' or 'variation of information', but "
                f"is {loss!r}."
            )
        shares = self.co_clustering
        draws = np.reshape(self.labels, (-1, self.labels.shape[-1]))
        candidates = np.unique(np.stack([in_order(labels) for labels in draws]), axis=0)

        def expected(labels: np.ndarray) -> float:
            together = labels[:, None] == labels
            if loss == "binder":
                return np.sum(together * (1 - 2 * shares))
            within = np.sum(together * shares, axis=1)
            return np.mean(np.log2(np.sum(together, axis=1)) - 2 * np.log2(within))

        return candidates[np.argmin([expected(labels) for labels in candidates])]


def in_order(labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """The same partition with labels from 0 on, in the order in which they first appear."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
