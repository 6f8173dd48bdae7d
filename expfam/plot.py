"""Pictures of models and fits. Needs matplotlib: `pip install 'expfam[plot]'`.

Every function draws into the axes given (or the current ones) and returns them.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .assess.comparison import Comparison
from .fitting.result import Fit
from .geometry.points import Natural
from .harmonium.base import AbstractHarmonium


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
    ax = _axes(ax)
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
    positions: Float[Array, "n 2"],
    labels: Int[Array, " n"] | None = None,
    *,
    means: Float[Array, "k 2"] | None = None,
    covariances: Float[Array, "k 2 2"] | None = None,
    ax: Any = None,
) -> Any:
    """Points of a two-dimensional space, colored by cluster, with clusters as ellipses.

    Args:
        positions: rows, e.g. the first two columns of `latent_mean`.
        labels: cluster number of every row.
        means: cluster means, drawn as their numbers.
        covariances: cluster covariances, drawn as ellipses of two standard deviations.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = _axes(ax)
    points = np.asarray(positions)
    colors = "0.4" if labels is None else [_color(int(k)) for k in np.asarray(labels)]
    ax.scatter(points[:, 0], points[:, 1], s=7, c=colors, linewidths=0, alpha=0.7)
    if means is None:
        return ax
    for k, mean in enumerate(np.asarray(means)):
        if covariances is not None:
            outline = _ellipse(mean, np.asarray(covariances[k]))
            ax.plot(*outline, color=_color(k), linewidth=1.2)
        ax.annotate(
            str(k),
            mean,
            ha="center",
            va="center",
            fontsize=9,
            fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "fc": "white", "ec": _color(k), "lw": 1.2},
        )
    return ax


def likelihood_curve(*fits: Fit, labels: tuple[str, ...] | None = None, ax: Any = None) -> Any:
    """The mean log-likelihood per row against the number of steps.

    Args:
        fits: one or more results of `fit`.
        labels: their names, for a legend.
        ax: matplotlib axes; the current ones where not given.

    Returns:
        The axes.
    """
    ax = _axes(ax)
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
    ax = _axes(ax)
    keys = [key if isinstance(key, tuple) else (key,) for key in comparison.keys]
    numbered = all(isinstance(key[-1], int) for key in keys)
    curves: dict[str, list[tuple[float, float]]] = {}
    for key, model, value in zip(keys, comparison.models, comparison.values, strict=True):
        name = " ".join(map(str, key[:-1])) if numbered else ""
        curves.setdefault(name, []).append((key[-1] if numbered else model.n_parameters, value))
    best = (keys[0][-1] if numbered else comparison.best_model.n_parameters), comparison.values[0]
    for k, name in enumerate(sorted(curves)):
        ax.plot(*zip(*sorted(curves[name]), strict=True), "o-", ms=4, color=_color(k), label=name)
    ax.plot(*best, "o", ms=11, mfc="none", mec="black")
    ax.set_xlabel("number of components" if numbered else "number of parameters")
    ax.set_ylabel(f"{comparison.criterion} (smaller is better)")
    if numbered:
        ax.set_xticks(sorted({key[-1] for key in keys}))
    if len(curves) > 1:
        ax.legend(frameon=False)
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
    ax = _axes(ax)
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


def _axes(ax: Any) -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "expfam.plot needs matplotlib; install it with pip install 'expfam[plot]'."
        ) from error
    return plt.gca() if ax is None else ax


def _color(k: int) -> tuple[float, ...]:
    import matplotlib

    return matplotlib.colormaps["tab10" if k < 10 else "tab20b"](k % 10 if k < 10 else k % 20)


def _ellipse(mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    return mean[:, None] + 2 * np.linalg.cholesky(covariance) @ circle
