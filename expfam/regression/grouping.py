"""Groups of rows that lie about one line, or plane, each: where mixtures of regressions start.

Random few rows, as many as coefficients, are fitted exactly, for every group; of many such trials
the best is improved by turns: every row goes to the line that fits it best, and every line is
fitted to its rows, with noise of its own (clusterwise regression, Späth 1979).
"""

from typing import Any, NamedTuple, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..geometry.grouping import AbstractGrouping
from ..geometry.table import Clusters, Kind, Table

# Trials, rows on which they are compared, and turns of improvement.
_TRIALS, _ROWS, _TURNS = 40, 1024, 10


@final
class Lines(NamedTuple):
    """Lines: row (x, y) is in the group with the largest offset − precision · squared residual.

    Attributes:
        coefficients: of the regressors, shape `(K, q, m)`.
        precisions: of the residuals in standard units, shape `(K,)`.
        offsets: shape `(K,)`.
        units: of the targets, shape `(m,)`.
    """

    coefficients: Any
    precisions: Any
    offsets: Any
    units: Any

    def scores(self, x: Any, y: Any) -> Any:
        """How well lines fit, shape `(K, n)`."""
        squares = (((y - x @ self.coefficients) / self.units) ** 2).sum(axis=-1)
        return self.offsets[:, None] - self.precisions[:, None] * squares


@final
class ByLines(AbstractGrouping):
    """Rows, of regressors and targets, about lines.

    Attributes:
        columns: number of regressors, which come first in the table.
        targets: number of targets, which follow.
        intercept: whether lines have one.
    """

    columns: int = eqx.field(static=True)
    targets: int = eqx.field(static=True)
    intercept: bool = eqx.field(static=True)

    def find(self, rng: np.random.Generator, table: Table, kind: Kind, count: int) -> Lines:
        """The lines of the best of many trials."""
        x, y = self._split(table.rows)
        x_unit, y_unit = self._split(table.spread[None])
        x, y, weights = x / x_unit, y / y_unit, table.shares
        q, n = x.shape[1], len(x)
        noise = 1e-6 * np.eye(q)
        drawn = rng.choice(n, (_TRIALS, count, q), p=weights)
        transposed = np.swapaxes(x[drawn], -1, -2)
        trials = np.linalg.solve(transposed @ x[drawn] + noise, transposed @ y[drawn])
        some = rng.choice(n, min(_ROWS, n), p=weights)
        left = np.sum(np.abs(y[some] - x[some] @ trials), axis=-1)
        best = trials[np.argmin(np.sum(np.min(left, axis=1), axis=1))]
        lines = Lines(best, np.ones(count), np.zeros(count), np.ones(self.targets))
        groups = np.argmax(lines.scores(x, y), axis=0)
        for _ in range(_TURNS):
            shares = weights * ((groups == np.arange(count)[:, None]) + 1 / n)
            weighted = x.T * shares[:, None]
            lines = lines._replace(coefficients=np.linalg.solve(weighted @ x + noise, weighted @ y))
            squares = np.sum((y - x @ lines.coefficients) ** 2, axis=-1)
            mass = np.sum(shares, axis=1)
            variances = np.sum(shares * squares, axis=1) / mass / self.targets
            precisions = 0.5 / np.maximum(variances, 1e-6)
            offsets = np.log(mass) + 0.5 * self.targets * np.log(precisions)
            lines = lines._replace(precisions=precisions, offsets=offsets)
            before, groups = groups, np.argmax(lines.scores(x, y), axis=0)
            if np.array_equal(before, groups):
                break
        order = table.order(groups == np.arange(count)[:, None])
        raw = lines.coefficients * y_unit[0] / x_unit[0][:, None]
        return Lines(raw[order], lines.precisions[order], lines.offsets[order], y_unit[0])

    def members(self, table: Table, groups: Lines) -> np.ndarray:
        """The rows about each line."""
        chosen = np.argmax(groups.scores(*self._split(table.rows)), axis=0)
        return np.arange(len(groups.offsets))[:, None] == chosen

    def flat(self, table: Table, members: np.ndarray, full: bool) -> np.ndarray:
        """None: covariates may be constant."""
        return np.zeros(len(members), bool)

    def labels(self, groups: Lines, features: Array) -> Array:
        """The line that fits best."""
        return jnp.argmax(groups.scores(*self._split(features)), axis=0)

    def _split(self, rows: Any) -> tuple[Any, Any]:
        # regressors, the last a one where there is an intercept, and targets
        x, y = rows[:, : self.columns], rows[:, self.columns :]
        if not self.intercept:
            return x, y
        ones = np.ones((len(rows), 1), rows.dtype)
        return (np if isinstance(rows, np.ndarray) else jnp).concatenate([x, ones], axis=1), y


@final
class ClustersOrLines(NamedTuple):
    """Groups of both kinds, of which one counts.

    Attributes:
        clusters: of the covariates.
        lines: of the regression.
        share: 1 where clusters count, 0 where lines do.
    """

    clusters: Clusters
    lines: Lines
    share: Any

    def scores(self, table: Any, width: int, lines: ByLines) -> Any:
        """How well rows fit groups, shape `(K, n)`."""
        mean, directions, offsets = self.clusters
        own = ((table[:, :width] - mean) @ directions.T + offsets).T
        rest = self.lines.scores(*lines._split(table[:, width:]))
        return self.share * own + (1 - self.share) * rest


@final
class ByClustersOrLines(AbstractGrouping):
    """Rows whose covariates are close to each other, or that lie about a line, by turns.

    Attributes:
        width: number of features of the covariates, which come first in the table.
        lines: how lines are found in the features that follow.
    """

    width: int = eqx.field(static=True)
    lines: ByLines

    def find(
        self, rng: np.random.Generator, table: Table, kind: Kind, count: int
    ) -> ClustersOrLines:
        """Clusters where columns are scaled, lines where they are not."""
        first, second = (
            Table(rows, table.weights, table.eps, labels=table.labels)
            for rows in np.split(table.rows, [self.width], axis=1)
        )
        clusters = first.clusters(rng, kind, count)
        lines = self.lines.find(rng, second, kind, count)
        return ClustersOrLines(clusters, lines, float(kind.scaled))

    def members(self, table: Table, groups: ClustersOrLines) -> np.ndarray:
        """The rows of each group."""
        chosen = np.argmax(groups.scores(table.rows, self.width, self.lines), axis=0)
        return np.arange(len(groups.lines.offsets))[:, None] == chosen

    def flat(self, table: Table, members: np.ndarray, full: bool) -> np.ndarray:
        """Groups in which a covariate does not vary that varies elsewhere."""
        own = Table(table.rows[:, : self.width], table.weights, table.eps)
        return own.flat(members, full)

    def labels(self, groups: ClustersOrLines, features: Array) -> Array:
        """The group of every row."""
        return jnp.argmax(groups.scores(features, self.width, self.lines), axis=0)
