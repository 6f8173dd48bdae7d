"""Clusters of several components each: overlapping components are merged, one pair at a time."""

from typing import Any, final

import equinox as eqx
import numpy as np
from jaxtyping import Float, Int

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from .rows import assignments, checked_rows, row_weights


@final
class Merging(eqx.Module):
    """Components of a mixture, merged into fewer and fewer clusters.

    Attributes:
        entropies: of the assignments to 1, 2, …, K clusters, in nats.
        clusters: of every component, its cluster among 1, 2, …, K clusters.
    """

    entropies: Float[np.ndarray, " k"]
    clusters: Int[np.ndarray, "k k"]

    def groups(self, n_clusters: int) -> Int[np.ndarray, " k"]:
        """The cluster of every component, among so many clusters.

        Args:
            n_clusters: from 1 to K.
        """
        if not 1 <= n_clusters <= len(self.entropies):
            raise ValueError(
                f"Merging.groups: `n_clusters` must be 1 to {len(self.entropies)}, but is "
                f"{n_clusters}."
            )
        return self.clusters[n_clusters - 1]

    @property
    def suggested(self) -> int:
        """The number of clusters at the elbow of the entropies.

        Two lines are fitted to entropies over numbers of clusters, one up to the elbow, one from
        it on; the best elbow is taken. With fewer than three components, their number.
        """
        size = len(self.entropies)
        if size < 3:
            return size
        numbers = np.arange(1, size + 1)

        def misfit(elbow: int) -> float:
            parts = slice(0, elbow), slice(elbow - 1, size)
            return sum(
                float(np.sum((self.entropies[p] - np.polyval(line, numbers[p])) ** 2))
                for p in parts
                for line in [np.polyfit(numbers[p], self.entropies[p], 1)]
            )

        return min(range(2, size), key=misfit)


def merge_components(
    model: AbstractExponentialFamily, params: Natural[Any], xs: Any, weights: Any = None
) -> Merging:
    """Merge components that overlap into clusters (Baudry et al. 2010).

    At each step the two clusters are merged that lower the entropy of the assignments most. The
    density stays as it is.

    Args:
        model: a model with a component number.
        params: natural coordinates.
        xs: rows of observations.
        weights: n numbers, not negative; equal where not given.
    """
    xs, n = checked_rows(model, params, xs, "merge_components")
    if not model.n_labels:
        raise TypeError("merge_components: `model` must have components, as mixtures have.")
    parts = row_weights(weights, n, "merge_components")
    shares = np.exp(assignments(model, params.coords, xs))
    groups = np.arange(shares.shape[1])
    entropies, clusters = [], []
    while True:
        entropies.append(float(parts @ _entropy_terms(shares).sum(axis=1)))
        clusters.append(groups)
        size = shares.shape[1]
        if size == 1:
            return Merging(np.array(entropies[::-1]), np.stack(clusters[::-1]))
        own = parts @ _entropy_terms(shares)
        pairs = [(i, j) for i in range(size) for j in range(i + 1, size)]
        gains = [
            own[i] + own[j] - parts @ _entropy_terms(shares[:, i] + shares[:, j]) for i, j in pairs
        ]
        i, j = pairs[int(np.argmax(gains))]
        merged = shares[:, i] + shares[:, j]
        shares = np.delete(shares, j, axis=1)
        shares[:, i] = merged
        groups = np.where(groups == j, i, groups - (groups > j))


def _entropy_terms(shares: np.ndarray) -> np.ndarray:
    return -shares * np.log(np.where(shares > 0, shares, 1))
