"""What the pictures share: style, curves, stems, triangles, labels beside what they name."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import expfam as ef

COLORS = BLUE, RUST, GRAY, GREEN = "#1f4e79", "#b9571c", "#70757a", "#3f7d55"
EDGE, PALE = "#9aa0a6", "#c9ced3"
STYLE = {
    "axes.edgecolor": EDGE,
    "axes.linewidth": 0.8,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "contour.negative_linestyle": "solid",
    "figure.constrained_layout.use": True,
    "figure.dpi": 170,
    "figure.facecolor": "white",
    "font.size": 8.5,
    "lines.linewidth": 1.6,
    "xtick.color": "#50555a",
    "ytick.color": "#50555a",
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
}
Point = tuple[Any, str, float]  # a distribution, its label, and where on the curve that stands


def panels(rows: int, columns: int, height: float) -> tuple[Figure, Any]:
    """A figure of the width of a page, and its axes."""
    return plt.subplots(rows, columns, figsize=(8, height))


def points(make: Callable[..., Any], names: str, *specs: tuple[float, ...]) -> list[Point]:
    """Distributions made of all numbers of a spec but the last, which places the label."""
    found = []
    for *values, place in specs:
        parts = [f"{name} = {value:g}" for name, value in zip(names.split(), values, strict=True)]
        found.append((make(*map(float, values)), ", ".join(parts).replace("-", "−"), place))
    return found


def of_deviation(family: Any) -> Callable[[float, float], Any]:
    """The constructor of a normal, or log-normal, of one dimension from mean and deviation."""
    make = getattr(family, "from_log_mean_covariance", None) or family.from_mean_covariance
    return lambda mean, deviation: make(jnp.array([mean]), jnp.array([[deviation**2]]))


def after(params: Any, *sums: Any) -> Any:
    """A prior of pairs after sums over observations were added to its natural coordinates."""
    seen = type(params.coords)(*sums)
    return ef.Natural(jax.tree.map(lambda own, more: own + more, params.coords, seen))


def curves(ax: Any, title: str, family: Any, xs: np.ndarray, several: Iterable[Point]) -> None:
    """Densities of one family, each with its label."""
    data = floats(xs).reshape(-1, *family.support.shape)
    highest = []
    for color, (params, label, place) in zip(COLORS, several, strict=False):
        ys = np.asarray(family.density(params, data))
        highest.append(np.max(ys[2:-2]))
        curve(ax, xs, ys, color, label, place)
    # Densities without a bound are cut well above the others.
    typical = sorted(highest)[len(highest) // 2]
    ax.set_ylim(0, 1.1 * min(max(highest), 4 * typical))
    ax.set_title(title)


def curve(ax: Any, xs: np.ndarray, ys: Any, color: str, label: str, place: float) -> None:
    """One density; the label stands on the outer side of its slope."""
    ax.plot(xs, ys, color=color)
    here, next_to = np.interp([place, place + 0.01 * np.ptp(xs)], xs, ys)
    side = "left" if next_to <= 1.001 * here else "right"
    offset = (5 if side == "left" else -5, 3)
    ax.annotate(label, (place, here), offset, textcoords="offset points", color=color, ha=side)
    ax.set_yticks([])
    ax.set_ylim(bottom=0)


def stems(ax: Any, title: str, family: Any, counts: Iterable[int], several: list[Point]) -> None:
    """Probabilities of one family of whole numbers, side by side; what is tiny is left out."""
    xs = np.array(list(counts))
    highest = 0.0
    for i, (params, label, place) in enumerate(several):
        ys = np.asarray(family.density(params, jnp.asarray(xs)))
        shifted = xs + 0.22 * (i - (len(several) - 1) / 2)
        seen = ys > 0.005 * ys.max()
        ax.vlines(shifted[seen], 0, ys[seen], color=COLORS[i], linewidth=1.3)
        ax.plot(shifted[seen], ys[seen], "o", color=COLORS[i], markersize=2.8)
        top = (shifted[np.argmin(np.abs(xs - place))], ys[np.argmin(np.abs(xs - place))])
        ax.annotate(label, top, (4, 3), textcoords="offset points", color=COLORS[i])
        highest = max(highest, ys.max())
    ax.set_yticks([])
    ax.set_ylim(0, 1.18 * highest)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.set_title(title)


def triangle(ax: Any, label: str) -> None:
    """The outline of all vectors of three shares."""
    ax.plot(*plane(np.eye(3)[[0, 1, 2, 0]]), color=EDGE, linewidth=0.8, zorder=0)
    for k, (x, y) in enumerate(plane(np.eye(3)).T):
        side, gap = ("right", -0.03) if k == 0 else ("left", 0.03)
        ax.text(x + gap, y, f"x{'₁₂₃'[k]}", ha=side, color=GRAY)
    ax.set_xlabel(label)
    bare(ax)


def plane(shares: np.ndarray) -> np.ndarray:
    """Rows of three shares as points of the triangle, coordinates first."""
    return (shares @ np.array([[0.0, 0.0], [1.0, 0.0], [0.5, 3**0.5 / 2]])).T


def ellipse(matrix: np.ndarray) -> np.ndarray:
    """The outline of one deviation of a covariance matrix."""
    turn = np.linspace(0, 2 * np.pi, 120)
    return np.linalg.cholesky(matrix) @ np.stack([np.cos(turn), np.sin(turn)])


def key(ax: Any, *entries: tuple[str, str], at: tuple[float, float] = (0.02, 0.97)) -> None:
    """Words in the colors of what they name, from the upper left corner down."""
    for row, (text, color) in enumerate(entries):
        ax.text(at[0], at[1] - 0.08 * row, text, color=color, transform=ax.transAxes, va="top")


def bare(ax: Any, equal: bool = True) -> None:
    """No axes, and by default equal units."""
    ax.set(xticks=[], yticks=[])
    ax.spines["bottom"].set_visible(False)
    if equal:
        ax.set_aspect("equal", adjustable="datalim")


def floats(values: Any) -> jax.Array:
    """Numbers as expfam takes them."""
    return jnp.asarray(values, float)
