"""Pictures of models: densities, latent spaces, loadings, images."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..geometry.points import Natural
from ..harmonium.base import AbstractHarmonium
from .axes import axes, color, colors, ellipse, outlines


def density_contours(
    model: AbstractHarmonium,
    params: Natural[Any],
    xs: Float[Array, "n 2"] | None = None,
    *,
    limits: tuple[float, float, float, float] | None = None,
    levels: int = 10,
    ax: Any = None,
) -> Any:
    """Contours of log p(x) for a model of two-dimensional observations.

    Args:
        model: a latent-variable model whose observations have shape `(2,)`.
        params: natural coordinates.
        xs: rows to draw as points below the contours.
        limits: (left, right, bottom, top); around `xs` where not given.
        levels: number of contours, from the highest density down to e⁻⁸ of it.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.

    Raises:
        ValueError: observations of another shape, or neither `xs` nor `limits`.
    """
    ax = axes(ax)
    if getattr(model.observed_support, "shape", None) != (2,):
        raise ValueError(
            "density_contours: `model` must have observations of shape (2,), but they are "
            f"{model.observed_support}."
        )
    if limits is None:
        if xs is None:
            raise ValueError("density_contours: give `limits`, or `xs` to take them from.")
        low, high = np.min(xs, axis=0), np.max(xs, axis=0)
        margin = 0.1 * (high - low)
        limits = (low[0] - margin[0], high[0] + margin[0], low[1] - margin[1], high[1] + margin[1])
    if xs is not None:
        ax.scatter(*np.asarray(xs).T, s=8, color="0.55", linewidths=0, zorder=1)
    first, second = np.linspace(*limits[:2], 150), np.linspace(*limits[2:], 150)
    grid = np.stack(np.meshgrid(first, second), axis=-1)
    dtype = jnp.result_type(float)
    values = np.asarray(model.log_observable_density(params, jnp.asarray(grid, dtype)))
    heights = np.linspace(values.max() - 8, values.max(), levels, endpoint=False)
    ax.contour(first, second, values, levels=heights, cmap="viridis", zorder=2)
    return ax


def latent_scatter(
    positions: Any,
    labels: Any = None,
    *,
    means: Any = None,
    covariances: Any = None,
    uncertainty: Any = None,
    ax: Any = None,
) -> Any:
    """Points of a two-dimensional space, colored by cluster, with clusters as ellipses.

    Args:
        positions: rows, shape `(n, 2)`, e.g. the first two columns of `latent_mean`.
        labels: cluster number of every row, −1 where there is none.
        means: cluster means, drawn as their numbers.
        covariances: cluster covariances, drawn as ellipses of two standard deviations.
        uncertainty: covariance of every position, or of all of them alike, e.g. of p(y | x); drawn
            as pale ellipses of one standard deviation.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = axes(ax)
    points = np.asarray(positions)
    shades = "0.4" if labels is None else colors(labels)
    if uncertainty is not None:
        spreads = np.broadcast_to(uncertainty, (len(points), 2, 2))
        halos = [ellipse(m, s, 1.0).T for m, s in zip(points, spreads, strict=True)]
        ax.add_collection(outlines(halos, shades))
    ax.scatter(points[:, 0], points[:, 1], s=7, c=shades, linewidths=0, alpha=0.7)
    if means is None:
        return ax
    for k, mean in enumerate(np.asarray(means)):
        if covariances is not None:
            outline = ellipse(mean, np.asarray(covariances[k]))
            ax.plot(*outline, color=color(k), linewidth=1.2)
        ax.annotate(
            str(k),
            mean,
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": color(k), "lw": 1.2},
        )
    return ax


def loadings(
    matrix: Any,
    names: Sequence[str] | None = None,
    *,
    factors: Sequence[str] | None = None,
    ax: Any = None,
) -> Any:
    """Loadings of observed columns on factors, as a table of colors and numbers.

    Args:
        matrix: loadings, shape `(p, d)`; in standard deviations of the columns, to compare them.
        names: names of the columns.
        factors: names of the factors.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = axes(ax)
    values = np.asarray(matrix)
    p, d = values.shape
    largest = float(np.abs(values).max()) or 1.0
    ax.imshow(values, cmap="PuOr", vmin=-largest, vmax=largest, aspect="auto")
    ax.set_xticks(range(d), factors or [str(j + 1) for j in range(d)])
    ax.set_yticks(range(p), names or [str(i) for i in range(p)])
    ax.set_xlabel("factor")
    ax.tick_params(length=0)
    if values.size <= 120:
        for (i, j), value in np.ndenumerate(values):
            shade = "white" if abs(value) > 0.6 * largest else "black"
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=7, color=shade)
    return ax


def image_row(
    images: Float[Array, "k pixels"],
    shape: tuple[int, int],
    *,
    titles: list[str] | None = None,
    ax: Any = None,
) -> Any:
    """Rows drawn as gray images side by side, such as the means of clusters of pictures.

    Args:
        images: one flattened image in each row.
        shape: height and width of an image.
        titles: a text below each image.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = axes(ax)
    height, width = shape
    pictures = np.reshape(np.asarray(images), (-1, height, width))
    gap = max(1, width // 6)
    strip = np.full((height, len(pictures) * (width + gap) - gap), np.nan)
    for k, picture in enumerate(pictures):
        left = k * (width + gap)
        strip[:, left : left + width] = picture
        if titles is not None:
            ax.text(
                left + (width - 1) / 2, height + 0.3, titles[k], ha="center", va="top", fontsize=8
            )
    ax.imshow(strip, cmap="gray_r")
    ax.set_axis_off()
    return ax
