"""A table of numbers on the host, from which fits find where to start."""

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, NamedTuple, final

import numpy as np

from .kmeans import draw_rows, kmeans

# Beyond so many columns (and rows) leading components are found by iteration.
_EXACT = 300

# Standard deviation within a cluster, relative to that of the whole table, that is none.
_FLAT = 1e-7


@final
class Seeds(Enum):
    """How clusters are made."""

    CENTERS = "k-means++ and Lloyd's iterations"
    ROWS = "random rows, each with the rows nearest to it"
    DIRECTIONS = "random directions, each with the rows that lie farthest in it"


@final
class Kind(NamedTuple):
    """What kind of start is looked for.

    Attributes:
        scaled: whether columns are brought to unit variance; otherwise their units are kept.
        white: whether clusters are looked for among columns without correlations.
        seeds: how clusters are made.
    """

    scaled: bool
    white: bool
    seeds: Seeds


@final
class Components(NamedTuple):
    """Principal components of a table.

    Attributes:
        loadings: W in the units of the table, shape `(p, d)`, so that W Wᵀ is the share of the
            covariance that d factors explain (Tipping & Bishop 1999).
        directions: matrix that gives scores of variance one, shape `(p, d)`.
        roots: standard deviations of the components, shape `(d,)`.
        noise: variances of isotropic noise, in the units of the table, shape `(p,)`.
    """

    loadings: np.ndarray
    directions: np.ndarray
    roots: np.ndarray
    noise: np.ndarray


@final
class Clusters(NamedTuple):
    """A division of rows x: cluster k is where (x − mean)·directions_k + offsets_k is largest."""

    mean: Any
    directions: Any
    offsets: Any


@final
@dataclass(eq=False)
class Table:
    """Rows of columns.

    Attributes:
        rows: shape `(n, p)`.
        weights: shape `(n,)`, not negative.
        eps: relative rounding of the rows.
        units: factors that bring columns to the units in which distances count as they are.
        labels: number of the cluster that a row belongs to, −1 where it is not known; `None`: of no
            row.
    """

    rows: np.ndarray
    weights: np.ndarray
    eps: float
    units: np.ndarray | float = 1.0
    labels: np.ndarray | None = None
    _found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def shares(self) -> np.ndarray:
        """Weights that sum to one; equal where none is positive."""
        weights = self.weights if self.weights.any() else np.ones_like(self.weights)
        weights = weights / weights.max()
        return weights / weights.sum()

    @cached_property
    def mean(self) -> np.ndarray:
        """Means of the columns."""
        return self.shares @ self.rows

    @cached_property
    def varies(self) -> np.ndarray:
        """Which columns vary by more than their rounding."""
        deviations = np.sqrt(self.shares @ (self.rows - self.mean) ** 2)
        return deviations > 4 * self.eps * np.abs(self.mean)

    @cached_property
    def spread(self) -> np.ndarray:
        """Standard deviations of the columns; 1 where they do not vary."""
        deviations = np.sqrt(self.shares @ (self.rows - self.mean) ** 2)
        return np.where(self.varies, deviations, 1.0)

    def reweighted(self, weights: np.ndarray) -> "Table":
        """The same rows with other weights, and without labels."""
        return Table(self.rows, weights, self.eps, self.units)

    def _unit(self, scaled: bool) -> np.ndarray:
        # What one unit of the points is in the columns.
        return self.spread if scaled else np.ones_like(self.mean) / self.units

    def _points(self, scaled: bool) -> np.ndarray:
        if scaled not in self._found:
            self._found[scaled] = (self.rows - self.mean) / self._unit(scaled)
        return self._found[scaled]

    # ---------------------------------------------------------------- principal components

    def components(self, scaled: bool, dim: int) -> Components:
        """The leading principal components, of columns in their units, or scaled to unit variance.

        Args:
            scaled: whether columns are scaled.
            dim: number of components d.
        """
        key = scaled, dim
        if key not in self._found:
            self._found[key] = self._components(scaled, dim)
        return self._found[key]

    def _components(self, scaled: bool, dim: int) -> Components:
        points, unit = self._points(scaled), self._unit(scaled)
        root = points * np.sqrt(self.shares)[:, None]
        values, vectors = _leading(root, dim)
        total = np.sum(root**2)
        # Rows that are all equal have noise of the size of their values.
        size = np.max(np.abs(self.mean / unit), initial=0.0) ** 2
        varies = values[0] > 16 * self.eps * size * self.eps
        floor = self.eps * values[0] if varies else 1e-3 * max(size, 1.0)
        rest = (total - values.sum()) / max(points.shape[1] - dim, 1)
        noise = max(rest, floor)
        values = np.maximum(values, floor)
        loadings = vectors * np.sqrt(np.maximum(values - noise, 1e-3 * noise))
        roots = np.sqrt(values)
        return Components(
            unit[:, None] * loadings, vectors / roots / unit[:, None], roots, noise * unit**2
        )

    def scores(self, components: Components) -> "Table":
        """Scores of principal components, of variance one, in whose units the first counts most."""
        scores = (self.rows - self.mean) @ components.directions
        return Table(scores, self.weights, self.eps, components.roots, self.labels)

    # ---------------------------------------------------------------- clusters

    def clusters(self, rng: np.random.Generator, kind: Kind, count: int) -> Clusters:
        """Divide the rows into clusters.

        Args:
            rng: random numbers.
            kind: of start.
            count: number of clusters K.
        """
        points, unit = self._points(kind.scaled), self._unit(kind.scaled)
        if kind.white:
            whitening = self._whitening(kind.scaled)
            points = points @ whitening
        else:
            whitening = np.eye(points.shape[1])
        if kind.seeds is Seeds.CENTERS:
            centers = kmeans(rng, points, self.shares, count)
        elif kind.seeds is Seeds.ROWS:
            centers = points[draw_rows(rng, self.shares, count)]
        else:
            centers = rng.normal(size=(count, points.shape[1]))
        offsets = -np.sum(centers**2, axis=1) / 2
        if kind.seeds is Seeds.DIRECTIONS:
            centers = centers / np.sqrt(-2 * offsets)[:, None]
            offsets = np.zeros(count)
        return self._matched(Clusters(self.mean, centers @ whitening.T / unit, offsets))

    def _matched(self, clusters: Clusters) -> Clusters:
        order = self.order(self.members(clusters))
        return Clusters(clusters.mean, clusters.directions[order], clusters.offsets[order])

    def order(self, members: np.ndarray) -> np.ndarray:
        """The order of groups that fits the labels, shape `(K,)`.

        Args:
            members: which rows are in which group, shape `(K, n)`.
        """
        # The pair of a label and a group that share most weight first.
        count = len(members)
        if self.labels is None:
            return np.arange(count)
        known = self.labels == np.arange(count)[:, None]
        shared = (known * self.shares) @ members.T
        order = np.zeros(count, int)
        for _ in range(count):
            label, own = np.unravel_index(np.argmax(shared), shared.shape)
            order[label] = own
            shared[label], shared[:, own] = -1, -1
        return order

    def members(self, clusters: Clusters) -> np.ndarray:
        """Which rows are in which cluster, shape `(K, n)`."""
        scores = (self.rows - clusters.mean) @ clusters.directions.T + clusters.offsets
        return np.arange(len(clusters.offsets))[:, None] == np.argmax(scores, axis=1)

    def _whitening(self, scaled: bool) -> np.ndarray:
        # Directions that hardly vary are not blown up.
        points = self._points(scaled)
        if "white" not in self._found:
            values, vectors = np.linalg.eigh((points.T * self.shares) @ points)
            values = np.maximum(values, max(1e-6 * values[-1], np.finfo(float).tiny))
            self._found["white"] = vectors / np.sqrt(values)
        return self._found["white"]

    def flat(self, members: np.ndarray, full: bool) -> np.ndarray:
        """Clusters in which a column does not vary that varies elsewhere, shape `(K,)`.

        Args:
            members: which rows are in which cluster, shape `(K, n)`.
            full: whether clusters whose rows lie in a plane count as well.
        """
        return np.array([self._is_flat(own, full) for own in members])

    def _is_flat(self, own: np.ndarray, full: bool) -> bool:
        within = self._points(True)[:, self.varies]
        shares = self.shares * own
        if not self.varies.any():
            return False
        if not shares.any():
            return True
        shares = shares / shares.sum()
        centered = (within - shares @ within) * np.sqrt(shares)[:, None]
        lengths = np.sqrt(np.sum(centered**2, axis=0))
        if np.any(lengths < _FLAT):
            return True
        # Of the correlations within the cluster.
        white = centered / lengths
        return full and bool(np.linalg.eigvalsh(white.T @ white)[0] < _FLAT)


def _leading(root: np.ndarray, dim: int) -> tuple[np.ndarray, np.ndarray]:
    # Largest eigenvalues, and their eigenvectors, of AᵀA, for a matrix A of rows.
    n, p = root.shape
    if min(n, p) > _EXACT:
        # Subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4).
        basis = np.random.default_rng(0).normal(size=(p, dim + 10))
        for _ in range(8):
            basis, _ = np.linalg.qr(root.T @ (root @ basis))
    elif dim <= n < p:
        basis, _ = np.linalg.qr(root.T)
    else:
        basis = np.eye(p)
    inner = root @ basis
    values, vectors = np.linalg.eigh(inner.T @ inner)
    return np.maximum(values[::-1][:dim], 0), basis @ vectors[:, ::-1][:, :dim]
