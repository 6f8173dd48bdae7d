"""Groups of rows that lie about one line, or plane, each: where mixtures of regressions start.

Lines through random few rows, as many as there are coefficients, are tried, and those are taken,
one after the other, that are close to most rows that no other is close to. Then they improve by
turns: every row goes to the line that fits it best, and every line is fitted to its rows, with
noise of its own (clusterwise regression, Späth 1979).
"""

from typing import Any, NamedTuple, final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..geometry.grouping import AbstractGrouping
from ..geometry.table import Clusters, Kind, Table

# Lines that are tried, rows on which they are compared, turns of improvement, and how often all
# that is done, to keep the best.
_TRIALS, _ROWS, _TURNS, _RUNS = 400, 1024, 10, 8
# Standard deviations of the noise, in those of the targets, of which one is supposed.
_NOISE = (0.02, 0.05, 0.1, 0.3)
# What makes lines exist where rows are equal.
_SHRINK = 1e-6


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
        found = [_lines(rng, x, y, weights, count) for _ in range(_RUNS)]
        lines, groups = found[np.argmin([_spread(x, y, weights, *each) for each in found])]
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


def _lines(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, weights: np.ndarray, count: int
) -> tuple[Lines, np.ndarray]:
    # Lines, and the closest of each row. Fits are robust, as rows of other lines are among them.
    scale = rng.choice(_NOISE) ** 2
    lines = _greedy(rng, x, y, weights, count, scale)
    groups = np.full(len(x), -1)
    for _ in range(_TURNS):
        squares = np.sum((y - x @ lines.coefficients) ** 2, axis=-1)
        before, groups = groups, np.argmin(squares, axis=0)
        if np.array_equal(before, groups):
            break
        own = groups == np.arange(count)[:, None]
        shares = weights * (own + 1e-3 / len(x)) / (scale + squares)
        weighted = x.T * shares[:, None]
        noise = _SHRINK * np.mean(shares) * np.eye(x.shape[1])
        best = np.linalg.solve(weighted @ x + noise, weighted @ y)
        lines = lines._replace(coefficients=best)
    return lines, groups


def _spread(
    x: np.ndarray, y: np.ndarray, weights: np.ndarray, lines: Lines, groups: np.ndarray
) -> float:
    # Minus the log-likelihood of groups with noise of their own, up to a constant.
    own = groups == np.arange(len(lines.offsets))[:, None]
    squares = np.sum((y - x @ lines.coefficients) ** 2, axis=-1)
    mass = np.sum(weights * own, axis=1) + 1e-9
    variances = np.sum(weights * own * squares, axis=1) / mass / y.shape[1]
    logs = np.log(variances + _NOISE[0] ** 2)
    return float(np.sum(mass * (0.5 * y.shape[1] * logs - np.log(mass))))


def _greedy(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    count: int,
    scale: float,
) -> Lines:
    # 1. Lines through as many rows as there are coefficients: any, or some that are close.
    q, n = x.shape[1], len(x)
    drawn = rng.choice(n, (_TRIALS, q), p=weights)
    some = rng.choice(n, min(_ROWS, n), p=weights)
    both = np.concatenate([x, y], axis=1)
    left, right = both[drawn[: _TRIALS // 2, 0]], both[some]
    gaps = np.sum(right**2, axis=1) - 2 * left @ right.T
    near = np.argpartition(gaps, min(3 * q, len(some) - 1), axis=1)[:, : 3 * q]
    chosen = rng.integers(near.shape[1], size=(len(left), q))
    drawn[: len(left)] = some[np.take_along_axis(near, chosen, axis=1)]
    transposed = np.swapaxes(x[drawn], -1, -2)
    trials = np.linalg.solve(transposed @ x[drawn] + _SHRINK * np.eye(q), transposed @ y[drawn])
    # 2. One after the other, that which most lessens the sum of log(noise² + residual²): close to
    #    some rows rather than not far from all.
    losses = np.log(scale + np.sum((y[some] - x[some] @ trials) ** 2, axis=-1))
    current, best = np.full(len(some), np.inf), []
    for _ in range(count):
        best.append(np.argmin(np.sum(np.minimum(current, losses), axis=1)))
        current = np.minimum(current, losses[best[-1]])
    return Lines(trials[best], np.ones(count), np.zeros(count), np.ones(y.shape[1]))


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
