"""Anomalies: how odd rows are, where to draw the line, and which cells are to blame."""

from typing import Any, final

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.observations import Incomplete, is_incomplete, map_leaves, split_labels
from ..families.support import Support, check_observation, is_support
from ..geometry.points import Natural
from .rows import checked_rows, log_densities


def anomaly_scores(
    model: AbstractExponentialFamily,
    params: Natural[Any],
    xs: Any,
    *,
    key: Key[Array, ""] | None = None,
    draws: int = 1000,
) -> Float[np.ndarray, " n"]:
    """How odd rows are: −log p(x), larger for odder rows.

    Rows with more missing cells have larger densities. To compare them with others, give a `key`:
    then the mean of −log p of draws with the same cells missing is taken off.

    Args:
        model: any family or latent-variable model.
        params: natural coordinates.
        xs: rows, complete or `incomplete`.
        key: JAX random key of the draws; without it nothing is taken off.
        draws: number of draws.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> normal = ef.Normal(1)
        >>> params = normal.from_mean_covariance(jnp.zeros(1), jnp.eye(1))
        >>> ef.assess.anomaly_scores(normal, params, jnp.array([[0.0], [3.0]])).round(2).tolist()
        [0.92, 5.42]
    """
    xs, n = checked_rows(model, params, xs, "anomaly_scores")
    scores = -log_densities(model, params.coords, xs)
    if key is None:
        return scores
    data, _ = split_labels(xs)
    sample = jax.vmap(model._observe)(model.sample(key, params, (draws,)))
    gaps = [leaf for leaf in jax.tree.leaves(data, is_leaf=is_incomplete) if is_incomplete(leaf)]
    masks = np.concatenate(
        [np.ones((n, 1), bool), *(np.reshape(leaf.observed, (n, -1)) for leaf in gaps)], axis=1
    )
    _, firsts, which = np.unique(masks, axis=0, return_index=True, return_inverse=True)
    expected = []
    for first in firsts:

        def alike(leaf: Any, drawn: Any, row: int = int(first)) -> Any:
            if not is_incomplete(leaf):
                return drawn
            return Incomplete(drawn, np.broadcast_to(leaf.observed[row], drawn.shape))

        rows, _ = check_observation(model, map_leaves(alike, data, sample), "anomaly_scores")
        expected.append(-log_densities(model, params.coords, rows).mean())
    return scores - np.array(expected)[np.ravel(which)]


def explain(model: AbstractExponentialFamily, params: Natural[Any], xs: Any) -> Any:
    """Which cells make rows odd: −log p(x_j | all other cells of the row), exactly.

    Of real cells it depends on their unit; compare a cell with the same cell of other rows.

    Args:
        model: any family or latent-variable model.
        params: natural coordinates.
        xs: rows, complete or `incomplete`; all cells of a row together are looked at once for each
            cell, so give the rows in question.

    Returns:
        Arrays structured like the data, with one number for each cell that can be missing by
        itself; 0 for cells that are missing.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> normal = ef.Normal(2)
        >>> cov = jnp.array([[1.0, 0.9], [0.9, 1.0]])
        >>> params = normal.from_mean_covariance(jnp.zeros(2), cov)
        >>> ef.assess.explain(normal, params, jnp.array([[1.0, -1.0]])).round(1).tolist()
        [[9.6, 9.6]]
    """
    xs, n = checked_rows(model, params, xs, "explain")
    data, label = split_labels(xs)
    if label is not None:
        raise TypeError("explain: `xs` must be rows without labels; give the rows alone.")
    supports, treedef = jax.tree.flatten(model.observed_support, is_leaf=is_support)
    leaves = treedef.flatten_up_to(data)
    shapes = [_cells(support) for support in supports]
    total = sum(int(np.prod(shape)) for shape in shapes)
    stacked, begin = [], 0
    for leaf, support, shape in zip(leaves, supports, shapes, strict=True):
        size = int(np.prod(shape))
        # rows of the first axis leave out one cell each
        keep = np.ones((total, size), bool)
        keep[begin + np.arange(size), np.arange(size)] = False
        begin += size
        wide = (total, 1, *shape, *(1,) * (len(support.shape) - len(shape)))
        values = leaf.values if is_incomplete(leaf) else leaf
        seen = leaf.observed if is_incomplete(leaf) else np.ones((n, *support.shape), bool)
        left = np.reshape(keep, wide) & np.asarray(seen)
        repeated = np.broadcast_to(values, (total, *np.shape(values)))
        flat = (total * n, *support.shape)
        stacked.append(Incomplete(np.reshape(repeated, flat), np.reshape(left, flat)))
    rows, _ = check_observation(model, jax.tree.unflatten(treedef, stacked), "explain")
    without = np.reshape(log_densities(model, params.coords, rows), (total, n))
    surprise = without - log_densities(model, params.coords, xs)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = [
        np.reshape(surprise[end - int(np.prod(shape)) : end].T, (n, *shape))
        for end, shape in zip(ends, shapes, strict=True)
    ]
    return jax.tree.unflatten(treedef, parts)


def _cells(support: Support) -> tuple[int, ...]:
    return support.shape[: len(support.shape) - len(support.whole_axes)]


@final
class Threshold(eqx.Module):
    """A line between rows that are odd and others: scores above it are flagged.

    What needs labels is NaN where there are none.

    Attributes:
        value: the line.
        flagged: share of rows above it.
        precision: share of the flagged rows that are anomalies; 1 where none is flagged.
        recall: share of the anomalies that are flagged.
        false_positive_rate: share of the other rows that are flagged.
    """

    value: float
    flagged: float
    precision: float
    recall: float
    false_positive_rate: float

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def threshold(
    scores: Any,
    labels: Any = None,
    *,
    share: float | None = None,
    false_positive_rate: float | None = None,
    cost: tuple[float, float] | None = None,
) -> Threshold:
    """Where to draw the line between rows that are odd and others.

    By labels alone the line has the largest F1.

    Args:
        scores: n numbers, larger for odder rows; see `anomaly_scores`.
        labels: 1 for anomalies, 0 for others, −1 for rows of which it is not known, which count for
            `flagged` only.
        share: flag at most this share of the rows.
        false_positive_rate: flag at most this share of the rows that are no anomalies; without
            labels, of all rows: give scores of rows that are known to be sound.
        cost: of flagging a sound row and of missing an anomaly; the line has the least total.
    """
    values = np.asarray(scores, float)
    if values.ndim != 1 or not values.size or np.isnan(values).any():
        raise ValueError(
            "threshold: `scores` must be a vector of numbers, but has shape "
            f"{values.shape} and {int(np.isnan(values).sum())} NaN."
        )
    given = [rule for rule in (share, false_positive_rate, cost) if rule is not None]
    if len(given) > 1 or (not given and labels is None):
        raise TypeError(
            "threshold: give one of `share`, `false_positive_rate` and `cost`, or `labels` alone "
            "for the best F1."
        )
    for name, rate in (("share", share), ("false_positive_rate", false_positive_rate)):
        if rate is not None and not 0 <= rate <= 1:
            raise ValueError(f"threshold: `{name}` must be between 0 and 1, but is {rate}.")
    truth = None if labels is None else _checked_labels(values, labels)
    if cost is not None and truth is None:
        raise TypeError("threshold: `cost` needs `labels`.")
    sound = values if truth is None else values[truth == 0]
    # the candidates: every score, and one below all of them
    lines = np.append(np.unique(values)[::-1], -np.inf)
    if share is not None:
        return _evaluated(_first_within(lines, values, share), values, truth)
    if false_positive_rate is not None:
        return _evaluated(_first_within(lines, sound, false_positive_rate), values, truth)
    assert truth is not None
    odd = np.sort(values[truth == 1])
    caught = odd.size - np.searchsorted(odd, lines, side="right")
    false = sound.size - np.searchsorted(np.sort(sound), lines, side="right")
    if cost is None:
        worth = 2 * caught / (odd.size + caught + false)
    else:
        worth = -(cost[0] * false + cost[1] * (odd.size - caught))
    return _evaluated(float(lines[np.argmax(worth)]), values, truth)


def _checked_labels(values: np.ndarray, labels: Any) -> np.ndarray:
    truth = np.asarray(labels).astype(int)
    both = np.isin([0, 1], truth).all()
    if truth.shape != values.shape or not both or not np.isin(truth, (-1, 0, 1)).all():
        raise ValueError(
            f"threshold: `labels` must be {values.size} numbers 0, 1 or −1, with some 0 and some "
            f"1, but have shape {truth.shape} and values {np.unique(truth)[:5]}."
        )
    return truth


def _first_within(lines: np.ndarray, values: np.ndarray, rate: float) -> float:
    # The lowest line that flags no more than a share.
    above = values.size - np.searchsorted(np.sort(values), lines, side="right")
    return float(lines[np.flatnonzero(above <= rate * values.size)[-1]])


def _evaluated(line: float, values: np.ndarray, truth: np.ndarray | None) -> Threshold:
    above = values > line
    if truth is None:
        return Threshold(line, float(above.mean()), *[float("nan")] * 3)
    caught, false = np.sum(above & (truth == 1)), np.sum(above & (truth == 0))
    return Threshold(
        line,
        float(above.mean()),
        float(caught / (caught + false)) if caught + false else 1.0,
        float(caught / np.sum(truth == 1)),
        float(false / np.sum(truth == 0)),
    )


@final
class AnomalyCurves(eqx.Module):
    """How scores tell anomalies from other rows, at all thresholds.

    Attributes:
        roc_auc: area under the receiver operating characteristic: the probability that an anomaly
            has a larger score than another row.
        average_precision: area under precision over recall.
        roc: false and true positive rate, shape `(2, points)`.
        precision_recall: recall and precision, shape `(2, points)`.
    """

    roc_auc: float
    average_precision: float
    roc: Float[np.ndarray, "2 points"]
    precision_recall: Float[np.ndarray, "2 others"]


def anomaly_curves(scores: Any, labels: Any) -> AnomalyCurves:
    """Receiver operating characteristic and precision–recall curve of scores.

    Needs scikit-learn: `pip install 'expfam[sklearn]'`.

    Args:
        scores: n numbers, larger for odder rows.
        labels: 1 for anomalies, 0 for others, −1 for rows of which it is not known.
    """
    try:
        from sklearn import metrics
    except ImportError as error:
        raise ImportError(
            "anomaly_curves needs scikit-learn; install it with pip install 'expfam[sklearn]'."
        ) from error
    values = np.asarray(scores, float)
    truth = _checked_labels(values, labels)
    truth, values = truth[truth >= 0], values[truth >= 0]
    false, true, _ = metrics.roc_curve(truth, values)
    precision, recall, _ = metrics.precision_recall_curve(truth, values)
    return AnomalyCurves(
        float(metrics.roc_auc_score(truth, values)),
        float(metrics.average_precision_score(truth, values)),
        np.stack([false, true]),
        np.stack([recall, precision]),
    )
