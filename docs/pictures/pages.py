"""One picture for each page: which families it shows, and with which parameters.

The last number of every triple or pair of parameters says where on the curve the label stands.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from PIL import Image

import expfam as ef

from . import panels as own
from .parts import (
    BLUE,
    COLORS,
    RUST,
    STYLE,
    curve,
    curves,
    floats,
    key,
    of_deviation,
    panels,
    plane,
    points,
    stems,
    triangle,
)

FOLDER = Path(__file__).parents[1] / "images" / "families"


def real() -> Figure:
    """Normals of one and two dimensions, Laplaces, log-gammas."""
    figure, axes = panels(2, 2, height=4.8)
    normal, laplace, log_gamma = ef.Normal(1), ef.Laplace(), ef.LogGamma()
    several = points(of_deviation(normal), "μ σ", (0, 1, 0.7), (0, 2, 2.6), (-3, 0.6, -2.7))
    curves(axes[0, 0], "Normal(1)", normal, np.linspace(-6, 6, 400), several)
    own.structures(axes[0, 1])
    several = points(laplace.from_scale, "b", (0.5, 0.25), (1, 0.9), (2, 2.6))
    curves(axes[1, 0], "Laplace(0)", laplace, np.linspace(-6, 6, 601), several)
    several = points(log_gamma.from_shape_rate, "k β", (1, 1, -1.7), (1, 0.2, 2.4), (10, 10, 0.3))
    curves(axes[1, 1], "LogGamma", log_gamma, np.linspace(-5, 5, 400), several)
    return figure


def discrete() -> Figure:
    """Stems for numbers, a triangle for the multinomial, states of a Boltzmann machine."""
    figure, axes = panels(3, 3, height=6.6)
    categorical, shares = ef.Categorical(4), jnp.array([0.4, 0.1, 0.2, 0.3])
    several = [(categorical.from_probabilities(shares), "π = (0.4, 0.1, 0.2, 0.3)", 0)]
    stems(axes[0, 0], "Categorical(4)", categorical, range(4), several)
    own.multinomial(axes[0, 2])
    own.boltzmann(axes[2, 2])
    binomial, poisson, geometric = ef.Binomial(10), ef.Poisson(), ef.Geometric()
    negative, dispersed, logarithmic = (
        ef.NegativeBinomial(3.0),
        ef.ConwayMaxwellPoisson(),
        ef.Logarithmic(),
    )
    several = points(binomial.from_probability, "p", (0.2, 2), (0.7, 7))
    stems(axes[0, 1], "Binomial(10)", binomial, range(11), several)
    several = points(poisson.from_rate, "λ", (1, 1), (4, 4), (10, 10))
    stems(axes[1, 0], "Poisson", poisson, range(18), several)
    several = points(geometric.from_probability, "p", (0.5, 0), (0.15, 5))
    stems(axes[1, 1], "Geometric", geometric, range(16), several)
    several = points(negative.from_probability, "p", (0.6, 1), (0.25, 8))
    stems(axes[1, 2], "NegativeBinomial(3)", negative, range(22), several)
    several = points(dispersed.from_rate_dispersion, "μ ν", (5, 5, 5), (5, 1, 7), (5, 0.3, 11))
    stems(axes[2, 0], "ConwayMaxwellPoisson", dispersed, range(18), several)
    several = points(logarithmic.from_probability, "p", (0.5, 1), (0.95, 4))
    stems(axes[2, 1], "Logarithmic", logarithmic, range(1, 13), several)
    return figure


def positive() -> Figure:
    """Densities of every family."""
    figure, axes = panels(4, 3, height=8.4)
    xs = np.linspace(1e-3, 5, 500)
    exponential, gamma, inverse = ef.Exponential(), ef.Gamma(), ef.InverseGamma()
    passage, log_normal = ef.InverseGaussian(), ef.LogNormal(1)
    weibull, pareto = ef.Weibull(2.5), ef.Pareto(1.0)
    half, rayleigh, maxwell = ef.HalfNormal(), ef.Rayleigh(), ef.Maxwell()
    chi, square = ef.Chi(), ef.ChiSquare()
    titles = {weibull: "Weibull(2.5)", pareto: "Pareto(1)", log_normal: "LogNormal(1)"}
    rows: list[tuple[Any, ...]] = [
        (exponential, xs, exponential.from_rate, "λ", (0.5, 2), (2, 0.3)),
        (gamma, xs, gamma.from_shape_rate, "k β", (0.5, 1, 0.1), (2, 2, 0.8), (9, 3, 3.3)),
        (inverse, xs, inverse.from_shape_scale, "a β", (1, 1, 3), (3, 1, 0.4), (30, 60, 2.2)),
        (passage, xs, passage.from_mean_shape, "μ λ", (1, 0.5, 0.2), (1, 5, 1), (2.5, 25, 2.8)),
        (
            log_normal,
            xs,
            of_deviation(log_normal),
            "μ σ",
            (0, 1.5, 2.4),
            (0, 0.25, 1.1),
            (0, 0.5, 1.4),
        ),
        (weibull, xs, weibull.from_scale, "λ", (0.5, 0.55), (1, 1.1), (3, 3.2)),
        (pareto, xs[100:], pareto.from_tail_index, "α", (0.5, 3.2), (1.5, 1.4), (4, 1.08)),
        (half, xs, half.from_scale, "σ", (0.5, 0.4), (1, 1), (2, 2.6)),
        (rayleigh, xs, rayleigh.from_scale, "σ", (0.5, 0.6), (1, 1.3), (2, 2.8)),
        (maxwell, xs, maxwell.from_scale, "σ", (0.5, 0.8), (1, 1.6), (2, 3.4)),
        (chi, xs, chi.from_freedom, "n", (1, 0.3), (3, 1.5), (9, 3.1)),
        (square, 2 * xs, square.from_freedom, "n", (1, 0.35), (3, 1.8), (6, 5)),
    ]
    for ax, (family, where, make, names, *specs) in zip(axes.flat, rows, strict=True):
        title = titles.get(family, type(family).__name__)
        curves(ax, title, family, where, points(make, names, *specs))
    return figure


def probabilities() -> Figure:
    """Betas, and Dirichlets over the triangle of three probabilities."""
    figure = plt.figure(figsize=(8, 4.4))
    grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.15))
    beta, dirichlet = ef.Beta(), ef.Dirichlet(3)
    several = points(
        beta.from_concentration, "α β", (0.5, 0.5, 0.965), (1, 1, 0.3), (2, 5, 0.25), (20, 10, 0.7)
    )
    curves(figure.add_subplot(grid[0, :]), "Beta", beta, np.linspace(0.004, 0.996, 500), several)
    n = 80  # steps of a grid that comes as close to the edges as a third of a step
    steps = [(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)]
    shares = (np.array(steps) + 1 / 3) / (n + 1)
    levels = 2.0 ** np.arange(-2, 6)
    for column, alpha in enumerate(((0.7, 0.7, 0.7), (2, 2, 4), (12, 4, 8))):
        ax = figure.add_subplot(grid[1, column])
        density = dirichlet.density(dirichlet.from_concentration(floats(alpha)), floats(shares))
        norm = BoundaryNorm(levels, 256, extend="both")
        ax.tricontourf(
            *plane(shares),
            np.asarray(density),
            levels=levels,
            norm=norm,
            cmap="Blues",
            extend="both",
        )
        note = "each shade: twice the density" if column == 1 else ""
        triangle(ax, "α = ({:g}, {:g}, {:g})\n".format(*alpha) + note)
        ax.set_title("Dirichlet(3)" if column == 0 else "")
    return figure


def directions() -> Figure:
    """Von Mises densities around a circle, von Mises–Fisher draws on a sphere."""
    figure, axes = panels(1, 2, height=4)
    own.circle(axes[0])
    own.sphere(axes[1])
    return figure


def matrices() -> Figure:
    """Draws of positive-definite matrices as ellipses, of matrix normals as paths."""
    figure, axes = panels(3, 3, height=6.9)
    mean = np.array([[1.0, 0.5], [0.5, 1.0]])
    wishart, inverse = ef.Wishart(2), ef.InverseWishart(2)
    for column, n in enumerate((4.0, 12.0, 60.0)):
        params = wishart.from_scale_freedom(floats(mean / n), n)
        own.ellipses(axes[0, column], wishart, params, mean, column, f"n = {n:g}")
        params = inverse.from_scale_freedom(floats(mean * (n - 3)), n)
        own.ellipses(axes[1, column], inverse, params, mean, 3 + column, f"n = {n:g}")
    key(axes[0, 0], ("mean", RUST), ("draws", BLUE))
    paths = (1e-3, "U = I"), (4.0, "U: correlated over 4 rows"), (20.0, "U: over 20 rows")
    for ax, (length, label) in zip(axes[2], paths, strict=True):
        own.path(ax, length, floats(mean), label)
    titles = "Wishart(2)", "InverseWishart(2)", "MatrixNormal(30, 2), rows as a path"
    for ax, title in zip(axes[:, 0], titles, strict=True):
        ax.set_title(title)
    return figure


def pairs() -> Figure:
    """How priors of the parameters of normals narrow with observations."""
    figure, axes = panels(2, 2, height=5.8)
    gamma, inverse = ef.NormalGamma(), ef.NormalInverseGamma()
    start = gamma.from_location_count_shape_rate(0.0, 1.0, 2.0, 1.0)
    labels = (-1.55, 2.9), (1.25, 2.9), (0.53, 0.95)
    own.mean_and_spread(axes[0, 0], gamma, start, np.linspace(0.02, 6, 300), labels)
    axes[0, 0].set_ylabel("precision λ")
    labels = (-1.35, 0.9), (1.1, 0.93), (0.45, 0.68)
    own.mean_and_spread(axes[0, 1], inverse, start, np.linspace(0.02, 1.4, 300), labels)
    axes[0, 1].set_ylabel("variance σ²")
    own.normals(axes[1, 0])
    own.lines(axes[1, 1])
    return figure


def combinators() -> Figure:
    """Bijections, symmetrized families, sub-families in the plane of gammas, a product."""
    figure, axes = panels(2, 2, height=5.4)
    base = ef.Exponential()
    params, xs = base.from_rate(1.0), np.linspace(-4, 4, 800)
    positive = xs[xs > 0]
    maps = (
        (base, positive, "x", 1.9),
        (ef.PushForward(base, ef.RootMap(2.0)), positive, "√x", 0.8),
        (ef.PushForward(base, ef.LogarithmMap()), xs, "log x", -1.0),
    )
    for color, (family, where, label, place) in zip(COLORS, maps, strict=False):
        curve(axes[0, 0], where, family.density(params, floats(where)), color, label, place)
    axes[0, 0].set_title("PushForward of Exponential")
    own.gamma_plane(axes[0, 1])
    family = ef.Symmetrized(ef.Gamma(), center=1.0)
    several = points(family.base.from_shape_rate, "k β", (1, 1, 1.15), (9, 3, 4.3))
    curves(axes[1, 0], "Symmetrized(Gamma, center=1)", family, np.linspace(-5, 7, 801), several)
    own.mixed(axes[1, 1])
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    page.__name__: page
    for page in (real, discrete, positive, probabilities, directions, matrices, pairs, combinators)
}


def draw(name: str, folder: Path = FOLDER) -> Path:
    """Draw the picture of one page, and say where it is."""
    with mpl.rc_context(STYLE):
        figure = PICTURES[name]()
        figure.canvas.draw()
        pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]
        plt.close(figure)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    # A palette is enough for so few colors, and makes small files.
    Image.fromarray(pixels).quantize(96).save(path, optimize=True)
    return path
