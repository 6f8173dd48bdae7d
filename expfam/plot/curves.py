"""Pictures of curves: likelihoods, criteria, anomalies, states over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..assess.anomalies import AnomalyCurves, Threshold
from ..assess.comparison import Comparison
from ..fitting.result import Fit
from .axes import axes, color


def likelihood_curve(*fits: Fit, labels: tuple[str, ...] | None = None, ax: Any = None) -> Any:
    """The mean log-likelihood per row against the number of steps.

    Args:
        fits: one or more results of `fit`.
        labels: their names, for a legend.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = axes(ax)
    for i, result in enumerate(fits):
        values = np.asarray(result.log_likelihoods)
        ax.plot(np.arange(values.size), values, label=None if labels is None else labels[i])
    ax.set_xlabel("step")
    ax.set_ylabel("mean log-likelihood per row")
    if labels is not None:
        ax.legend(frameon=False)
    return ax


def criterion_curves(comparison: Comparison, *, ax: Any = None) -> Any:
    """The criterion of compared models, over their numbers; the best one is marked.

    Models that were named by tuples of a name and a number, e.g. ("tied", 3), have a curve for each
    name; those named by numbers have one; others are drawn over the number of their parameters.

    Args:
        comparison: result of `assess.compare`.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = axes(ax)
    keys = [key if isinstance(key, tuple) else (key,) for key in comparison.keys]
    numbered = all(isinstance(key[-1], int) for key in keys)
    curves: dict[str, list[tuple[float, float]]] = {}
    for key, model, value in zip(keys, comparison.models, comparison.values, strict=True):
        name = " ".join(map(str, key[:-1])) if numbered else ""
        curves.setdefault(name, []).append((key[-1] if numbered else model.n_parameters, value))
    best = (keys[0][-1] if numbered else comparison.best_model.n_parameters), comparison.values[0]
    for k, name in enumerate(sorted(curves)):
        ax.plot(*zip(*sorted(curves[name]), strict=True), "o-", ms=4, color=color(k), label=name)
    ax.plot(*best, "o", ms=11, mfc="none", mec="black")
    ax.set_xlabel("number of components" if numbered else "number of parameters")
    ax.set_ylabel(f"{comparison.criterion} (smaller is better)")
    if numbered:
        ax.set_xticks(sorted({key[-1] for key in keys}))
    if len(curves) > 1:
        ax.legend(frameon=False)
    return ax


def anomaly_curve(
    curves: AnomalyCurves,
    *,
    threshold: Threshold | None = None,
    kind: str = "precision_recall",
    label: str | None = None,
    ax: Any = None,
) -> Any:
    """How well scores tell anomalies from other rows, with the threshold as a point.

    Args:
        curves: result of `expfam.assess.anomaly_curves`.
        threshold: result of `expfam.assess.threshold` for the same scores and labels.
        kind: `"precision_recall"` or `"roc"`.
        label: name of the scores, for a legend, which shows the area, too.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.

    Raises:
        ValueError: another kind.
    """
    ax = axes(ax)
    if kind not in ("precision_recall", "roc"):
        raise ValueError(
            f"anomaly_curve: `kind` must be 'precision_recall' or 'roc', but is {kind!r}."
        )
    roc = kind == "roc"
    line = curves.roc if roc else curves.precision_recall
    area = f"AUC {curves.roc_auc:.3f}" if roc else f"AP {curves.average_precision:.3f}"
    shade = color(len(ax.get_legend_handles_labels()[0]))
    label = f"{label} ({area})" if label else area
    ax.step(*line, where="post", color=shade, label=label)
    if threshold is not None:
        point = (
            (threshold.false_positive_rate, threshold.recall)
            if roc
            else (threshold.recall, threshold.precision)
        )
        ax.plot(*point, "o", color=shade, ms=7, mec="white", zorder=3)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    ax.set_xlabel("false positive rate" if roc else "recall")
    ax.set_ylabel("true positive rate" if roc else "precision")
    ax.legend(frameon=False, fontsize=8, loc="lower right" if roc else "best")
    return ax


def state_timeline(
    probabilities: Any,
    xs: Any = None,
    *,
    path: Any = None,
    times: Any = None,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """States of a chain over time, as colors behind the observations.

    Args:
        probabilities: of the states at every step of one sequence, shape `(T, K)`, e.g. of
            `HiddenMarkov.posterior_soft_assignments`; the taller a color, the more probable.
        xs: what was observed at every step, drawn as lines; steps that are NaN are left out.
        path: most probable states, drawn as a strip below.
        times: of the steps; 0, 1, 2, … where not given.
        names: names of the states, for a legend.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes of the probabilities; observations have their own on the right.
    """
    ax = axes(ax)
    shares = np.asarray(probabilities)
    steps, k = shares.shape
    times = np.arange(steps) if times is None else np.asarray(times)
    shades = [color(state) for state in range(k)]
    labels = names or [f"state {state}" for state in range(k)]
    ax.stackplot(times, shares.T, colors=shades, labels=labels, alpha=0.35, lw=0, step="mid")
    ax.set(xlim=(times[0], times[-1]), ylim=(0, 1), xlabel="time", ylabel="probability of states")
    if path is not None:
        ax.scatter(
            times,
            np.full(steps, 0.015),
            c=[shades[z] for z in np.asarray(path)],
            s=9,
            marker="s",
            linewidths=0,
            clip_on=False,
            zorder=3,
        )
    if xs is not None:
        front = ax.twinx()
        front.plot(times, np.asarray(xs), color="0.15", lw=0.9)
        front.set_ylabel("observed")
    ax.legend(frameon=False, fontsize=8, ncols=k, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return ax
