"""Pictures of columns: pairs of real ones, and profiles of components over columns of any kind."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..families.observations import is_incomplete
from ..geometry.points import Natural
from ..tables import Table
from ..tables.parameters import components_of, read_parameters
from .axes import GRAY, color, colors, ellipse, pyplot

# Inches: of one panel of pairs, and of a column of a page.
_PANEL, _WIDTH = 1.6, 6.4


def pairs(
    xs: Any,
    labels: Any = None,
    *,
    names: Sequence[str] | None = None,
    means: Any = None,
    covariances: Any = None,
    weights: Any = None,
    figure: Any = None,
) -> Any:
    """All pairs of real columns: points by cluster, clusters as ellipses, marginals, gaps.

    Rows that miss one cell of a pair are ticks at the side where the other cell lies.

    Args:
        xs: rows of real numbers, shape `(n, d)`; missing cells as `expfam.incomplete` or NaN.
        labels: cluster number of every row, −1 where there is none.
        names: names of the columns.
        means: means of the clusters, shape `(K, d)`.
        covariances: covariances of the clusters, shape `(K, d, d)`: ellipses of two standard
            deviations.
        weights: of the clusters, shape `(K,)`; with them, marginal densities are drawn.
        figure: matplotlib figure; a new one where not given.

    Returns:
        The figure.
    """
    plt = pyplot()
    cells = np.where(xs.observed, xs.values, np.nan) if is_incomplete(xs) else np.asarray(xs, float)
    n, d = cells.shape
    labels = np.full(n, -1) if labels is None else np.asarray(labels)
    if figure is None:
        size = max(_PANEL * d, 3.4)
        figure = plt.figure(figsize=(size, size), layout="constrained")
    grid = figure.subplots(d, d, squeeze=False, sharex="col")
    clusters = (
        [] if means is None else list(zip(np.asarray(means), np.asarray(covariances), strict=True))
    )
    for i in range(d):
        for j in range(d):
            ax = grid[i, j]
            if j > i:
                ax.set_axis_off()
                continue
            if i == j:
                _marginal(ax, cells[:, i], labels, clusters, weights, i)
            else:
                _pair(ax, cells[:, j], cells[:, i], labels)
                for k, (mean, covariance) in enumerate(clusters):
                    part = covariance[np.ix_([j, i], [j, i])]
                    ax.plot(*ellipse(mean[[j, i]], part), color=color(k), lw=1.2)
            ax.tick_params(labelsize=7)
            if i == d - 1:
                ax.set_xlabel(str(j) if names is None else names[j], fontsize=8)
            if j == 0 and i:
                ax.set_ylabel(str(i) if names is None else names[i], fontsize=8)
            if j and j != i:
                ax.tick_params(labelleft=False)
    figure.align_ylabels(grid[:, 0])
    return figure


def profiles(
    table: Table,
    model: Any,
    params: Natural[Any],
    *,
    columns: Sequence[str] | None = None,
    panels: int = 2,
    figure: Any = None,
) -> Any:
    """Components, column by column: means with deviations, probabilities as bars.

    Of a real or positive column the mean and one standard deviation to both sides are drawn; of
    other numbers the mean or rate; of categories and yes/no bars with the probability of each.

    Args:
        table: the table that was read.
        model: a `Mixture` of the family of the table, or that family.
        params: natural coordinates.
        columns: names of the columns to draw; all of them where not given.
        panels: panels side by side.
        figure: matplotlib figure; a new one where not given.

    Returns:
        The figure.
    """
    plt = pyplot()
    weights, families, coords = components_of(table.schema, model, params, "profiles")
    found = read_parameters(table.schema, families, coords)
    names = list(found) if columns is None else list(columns)
    rows, k = -(-len(names) // panels), len(weights)
    if figure is None:
        height = rows * (0.75 + 0.24 * k)
        figure = plt.figure(figsize=(_WIDTH, height), layout="constrained")
    grid = figure.subplots(rows, panels, squeeze=False)
    for ax in grid.flat[len(names) :]:
        ax.set_axis_off()
    places = np.arange(k)[::-1]
    for ax, name in zip(grid.flat, names, strict=False):
        categories = table.schema.column(name).categories
        if categories:
            _bars(ax, places, found[name]["probability"], categories)
        else:
            _whiskers(ax, places, found[name])
        shown = [f"{component} ({weight:.0%})" for component, weight in enumerate(weights)]
        ax.set_yticks(places, shown, fontsize=7)
        for tick, component in zip(ax.get_yticklabels(), range(k), strict=True):
            tick.set_color(color(component))
        ax.set_ylim(-0.6, k - 0.25)
        ax.tick_params(labelsize=7, left=False)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_title(name, fontsize=8, loc="left")
    return figure


def _pair(ax: Any, x: np.ndarray, y: np.ndarray, labels: np.ndarray) -> None:
    both = ~np.isnan(x) & ~np.isnan(y)
    ax.scatter(x[both], y[both], c=colors(labels[both]), s=5, lw=0, alpha=0.55)
    # In fractions of the axes across the side that the ticks stand at.
    for values, other, across in ((x, y, False), (y, x, True)):
        alone = ~np.isnan(values) & np.isnan(other)
        transform = ax.get_yaxis_transform() if across else ax.get_xaxis_transform()
        edge = np.full(alone.sum(), 0.02)
        place = (edge, values[alone]) if across else (values[alone], edge)
        marker = "_" if across else "|"
        shades = colors(labels[alone])
        ax.scatter(*place, marker=marker, s=30, c=shades, lw=1, transform=transform)


def _marginal(
    ax: Any, cells: np.ndarray, labels: np.ndarray, clusters: list[Any], weights: Any, column: int
) -> None:
    seen = ~np.isnan(cells)
    bins = np.histogram_bin_edges(cells[seen], "auto")
    groups = [k for k in np.unique(labels) if k >= 0]
    parts = [cells[seen & (labels == k)] for k in groups] or [cells[seen]]
    shades = [color(int(k)) for k in groups] or [GRAY]
    scale = np.full(seen.sum(), 1 / (seen.sum() * (bins[1] - bins[0])))
    heights = [scale[: len(part)] for part in parts]
    ax.hist(parts, bins, weights=heights, color=shades, stacked=True, alpha=0.35)
    if weights is not None:
        line = np.linspace(bins[0], bins[-1], 200)
        for k, (mean, covariance) in enumerate(clusters):
            variance = covariance[column, column]
            density = np.exp(-((line - mean[column]) ** 2) / (2 * variance))
            density *= np.asarray(weights)[k] / np.sqrt(2 * np.pi * variance)
            ax.plot(line, density, color=color(k), lw=1.2)
    ax.set_yticks([])
    ax.spines[["top", "right", "left"]].set_visible(False)


def _whiskers(ax: Any, places: np.ndarray, found: dict[str, np.ndarray]) -> None:
    # the first parameter is where a component lies
    center = next(iter(found.values()))
    spread = found.get("standard deviation", np.zeros_like(center))
    for k, place in enumerate(places):
        shade = color(k)
        ax.errorbar(center[k], place, xerr=spread[k], fmt="o", ms=5, color=shade, lw=2)
        note = f"{center[k]:.3g}" if abs(center[k]) < 1000 else f"{center[k]:.0f}"
        offset = {"xytext": (0, 4), "textcoords": "offset points"}
        ax.annotate(note, (center[k], place), ha="center", fontsize=6.5, color="0.2", **offset)
    ax.margins(x=0.08)


def _bars(ax: Any, places: np.ndarray, found: np.ndarray, categories: Sequence[Any]) -> None:
    import matplotlib

    yes = found.ndim == 1
    table = np.stack([1 - found, found], axis=1) if yes else found
    shades = matplotlib.colormaps["cividis_r"](np.linspace(0.1, 0.85, len(categories)))
    begin = np.zeros(len(table))
    for c, category in enumerate(categories):
        ax.barh(places, table[:, c], left=begin, color=shades[c], height=0.72, lw=0)
        dark = shades[c][:3] @ np.array([0.299, 0.587, 0.114]) < 0.5
        for k, place in enumerate(places):
            text = str(category)
            if table[k, c] > 0.03 + 0.026 * len(text):
                middle = begin[k] + table[k, c] / 2
                shade = "white" if dark else "black"
                ax.text(middle, place, text, ha="center", va="center", fontsize=6.5, color=shade)
        begin += table[:, c]
    ax.set_xlim(0, 1)
