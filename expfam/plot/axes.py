"""What pictures have in common: axes, colors, ellipses. Matplotlib is imported only here."""

from typing import Any

import numpy as np

# Okabe & Ito (2008): told apart with any color vision, and in print; yellow last, as it is pale.
_COLORS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#000000",
    "#F0E442",
)
GRAY = "0.45"


def pyplot() -> Any:
    """Matplotlib's `pyplot`.

    Raises:
        ImportError: without matplotlib.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "expfam.plot needs matplotlib; install it with pip install 'expfam[plot]'."
        ) from error
    return plt


def axes(ax: Any) -> Any:
    """The axes given, or the current ones."""
    plt = pyplot()
    return plt.gca() if ax is None else ax


def color(k: int) -> Any:
    """The color of component k; beyond eight, shades that are less easily told apart."""
    import matplotlib

    return _COLORS[k] if k < len(_COLORS) else matplotlib.colormaps["tab20b"](k % 20)


def colors(labels: Any) -> list[Any]:
    """The colors of rows by their component; gray where it is −1."""
    return [color(int(k)) if k >= 0 else GRAY for k in np.asarray(labels)]


def ellipse(mean: np.ndarray, covariance: np.ndarray, deviations: float = 2.0) -> np.ndarray:
    """The outline of so many standard deviations, shape `(2, points)`."""
    angles = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    # Symmetric roots exist for singular covariances, too.
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(mean)[:, None] + deviations * root @ circle


def outlines(polygons: list[np.ndarray], shades: Any, alpha: float = 0.12) -> Any:
    """Polygons filled with pale colors, as one collection."""
    from matplotlib.collections import PolyCollection

    return PolyCollection(polygons, facecolors=shades, edgecolors="none", alpha=alpha, zorder=0)
