"""Panels that are no curves: spheres, ellipses, paths, states, contours."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.ticker import MaxNLocator

import expfam as ef

from .parts import (
    BLUE,
    COLORS,
    EDGE,
    GRAY,
    GREEN,
    PALE,
    RUST,
    after,
    bare,
    ellipse,
    floats,
    key,
    of_deviation,
    plane,
    triangle,
)


def structures(ax: Any) -> None:
    """A normal of each covariance structure."""
    grid = np.stack(np.meshgrid(np.linspace(-4.6, 12.5, 300), np.linspace(-4, 4, 150)), axis=-1)
    shapes = (
        (ef.PositiveDefinite(), -2.3, jnp.array([[1.0, 0.8], [0.8, 1.2]])),
        (ef.Diagonal(), 2.3, jnp.array([0.3, 1.5])),
        (ef.Scale(), 6.3, jnp.array(0.5)),
        (ef.Identity(), 10.3, None),
    )
    for color, (structure, center, covariance) in zip(COLORS, shapes, strict=True):
        family = ef.Normal(2, structure)
        params = family.from_mean_covariance(jnp.array([center, 0.4]), covariance)
        logs = np.asarray(family.log_density(params, floats(grid)))
        ax.contour(*np.moveaxis(grid, -1, 0), logs - logs.max(), (-2.0, -0.5), colors=color)
        ax.text(center, -3.2, type(structure).__name__, color=color, ha="center")
    bare(ax)
    ax.set_title("Normal(2, …): one and two deviations")


def multinomial(ax: Any) -> None:
    """Counts of three categories on the triangle."""
    n, probabilities = 8, (0.2, 0.3, 0.5)
    family = ef.Multinomial(n, 3)
    counts = [(n - j - k, j, k) for j in range(n + 1) for k in range(n + 1 - j)]
    density = family.density(family.from_probabilities(floats(probabilities)), jnp.array(counts))
    sizes = 600 * np.asarray(density)
    ax.scatter(*plane(np.array(counts) / n), s=sizes, color=BLUE, linewidths=0, zorder=3)
    triangle(ax, "π = ({}, {}, {}), area: probability".format(*probabilities))
    ax.set_title(f"Multinomial({n}, 3)")


def boltzmann(ax: Any) -> None:
    """A chain of three nodes, and the probabilities of its states."""
    family = ef.Boltzmann(3, [(0, 1), (1, 2)])
    couplings = jnp.array([[0.0, 2, 0], [2, 0, -2], [0, -2, 0]])
    params = family.from_biases_couplings(jnp.zeros(3), couplings)
    states = np.array([[i >> 2 & 1, i >> 1 & 1, i & 1] for i in range(8)])
    density = np.asarray(family.density(params, jnp.asarray(states)))
    where = np.arange(3) * 0.22 + 1.1
    for row, (state, p) in enumerate(zip(states, density, strict=True)):
        ax.barh(row, p, left=1.75, height=0.55, color=BLUE)
        ax.text(1.78 + p, row, f"{p:.2f}", va="center", color=BLUE, fontsize=7.5)
        colors = [RUST if value else "white" for value in state]
        ax.plot(where, [row] * 3, "-", color=PALE, linewidth=1.2, zorder=1)
        ax.scatter(where, [row] * 3, s=26, c=colors, edgecolors=RUST, zorder=2)
    nodes = np.array([[0.35, 1.2], [0.35, 3.5], [0.35, 5.8]])
    ax.plot(*nodes.T, color=GRAY, linewidth=1.2, zorder=1)
    ax.scatter(*nodes.T, s=170, color="white", edgecolors=GRAY, zorder=2)
    for i, (x, y) in enumerate(nodes):
        ax.text(x, y, f"x{'₀₁₂'[i]}", ha="center", va="center", color=GRAY)
        ax.text(where[i], -0.9, f"x{'₀₁₂'[i]}", ha="center", va="center", color=GRAY)
    ax.text(0.43, 2.35, "W₀₁ = 2", color=GRAY, va="center")
    ax.text(0.43, 4.65, "W₁₂ = −2", color=GRAY, va="center")
    ax.set(xlim=(0.2, 2.6), ylim=(7.6, -1.4))
    bare(ax, equal=False)
    ax.set_title("Boltzmann(3, [(0, 1), (1, 2)])")


def circle(ax: Any) -> None:
    """Von Mises densities as heights above a circle."""
    family, angles = ef.VonMises(), np.linspace(-np.pi, np.pi, 721)
    around = np.stack([np.cos(angles), np.sin(angles)])
    ax.plot(*around, color=EDGE, linewidth=1)
    mean = np.pi / 5
    for color, kappa, turn in ((GRAY, 1, 1.6), (RUST, 5, 0.5), (BLUE, 30, 0.16)):
        params = family.from_angle_concentration(mean, float(kappa))
        radii = 1 + np.asarray(family.density(params, floats(angles)))
        ax.plot(*(radii * around), color=color)
        at = np.argmin(np.abs(angles - mean - turn))
        ax.text(*((radii[at] + 0.08) * around[:, at]), f"κ = {kappa}", color=color, ha="right")
    ax.plot([0, np.cos(mean)], [0, np.sin(mean)], color=PALE, linewidth=1)
    ax.text(0.4, 0.16, "μ", color=GRAY)
    ax.set(xlabel="height above the circle: density")
    bare(ax)
    ax.set_title("VonMises")


def sphere(ax: Any) -> None:
    """Von Mises–Fisher draws on a sphere, seen from a little above."""
    family = ef.VonMisesFisher(3)
    tilt = np.radians(20)
    look = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    turn = np.linspace(0, 2 * np.pi, 181)
    cos, sin = np.cos(turn), np.sin(turn)
    ax.plot(cos, sin, color=EDGE, linewidth=1)
    meridians = [(np.cos(a) * cos, sin, np.sin(a) * cos) for a in np.radians((0, 60, 120))]
    for ring in ((cos, 0 * turn, sin), *meridians):
        seen = look @ np.stack(ring)
        ax.plot(*np.where(seen[2] > 0, seen[:2], np.nan), color=PALE, linewidth=0.7)
    clusters = (
        (8, (-0.4, 0.55, 0.73), GRAY, (-1.02, 0.8)),
        (40, (0.65, 0.3, 0.7), RUST, (0.8, 0.72)),
        (400, (0.05, -0.45, 0.9), BLUE, (0.27, -0.8)),
    )
    for i, (kappa, direction, color, place) in enumerate(clusters):
        params = family.from_direction_concentration(jnp.array(direction), float(kappa))
        draws = look @ np.asarray(family.sample(jax.random.key(i), params, (250,))).T
        front = draws[2] > 0
        ax.scatter(*draws[:2, ~front], s=5, color=color, alpha=0.2, linewidths=0)
        ax.scatter(*draws[:2, front], s=5, color=color, alpha=0.8, linewidths=0)
        ax.text(*place, f"κ = {kappa}", color=color)
    ax.set(xlabel="250 draws each")
    bare(ax)
    ax.set_title("VonMisesFisher(3)")


def ellipses(ax: Any, family: Any, params: Any, mean: np.ndarray, seed: int, label: str) -> None:
    """Draws of positive-definite matrices, and their mean."""
    for matrix in np.asarray(family.sample(jax.random.key(seed), params, (12,))):
        ax.plot(*ellipse(matrix), color=BLUE, linewidth=0.8, alpha=0.7)
    ax.plot(*ellipse(mean), color=RUST, linewidth=2)
    ax.update_datalim([(-2, -1.6), (2, 1.6)])
    ax.set(xlabel=label)
    bare(ax)


def path(ax: Any, length: float, column_covariance: Any, label: str) -> None:
    """A draw of a matrix normal of two columns, its rows one after the other."""
    lags = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    family = ef.MatrixNormal(30, 2, floats(np.exp(-lags / length)))
    params = family.from_mean_column_covariance(jnp.zeros((30, 2)), column_covariance)
    draw = np.asarray(family.sample(jax.random.key(7), params)).T
    ax.plot(*draw, "o-", color=BLUE, markersize=2.5, linewidth=0.8)
    ax.update_datalim([(-2.7, -2.4), (2.7, 2.4)])
    ax.set(xlabel=label)
    bare(ax)


def mean_and_spread(ax: Any, family: Any, start: Any, spreads: np.ndarray, labels: Any) -> None:
    """Contours over mean and precision, or variance: a prior, and after some rows and many."""
    rows = floats(np.random.default_rng(5).normal(1.0, 0.7, 60))
    first, second = np.meshgrid(np.linspace(-1.7, 2.7, 300), spreads)
    for color, n, place in zip((GRAY, RUST, BLUE), (0, 5, 60), labels, strict=True):
        seen = rows[:n]
        params = after(start, seen.sum(), (seen**2).sum(), 1.0 * n, 1.0 * n)
        logs = np.asarray(family.log_density(params, (floats(first), floats(second))))
        ax.contour(first, second, logs - logs.max(), (-2.0,), colors=color)
        ax.text(*place, f"{n} rows" if n else "prior", color=color)
    ax.spines["left"].set_visible(True)
    ax.set(xlabel="mean μ", xlim=(-1.7, 2.7))
    ax.set_title(type(family).__name__)


def normals(ax: Any) -> None:
    """Normals drawn from a normal–inverse-Wishart."""
    family = ef.NormalInverseWishart(2)
    xs = np.random.default_rng(1).multivariate_normal([1, 1], [[1, 0.7], [0.7, 1]], 40)
    start = family.from_location_count_scale_freedom(jnp.zeros(2), 2.0, 3.0 * jnp.eye(2), 6.0)
    for color, n in ((PALE, 0), (BLUE, 40)):
        rows = floats(xs[:n])
        params = after(start, rows.sum(0), rows.T @ rows, 1.0 * n, 1.0 * n)
        drawn = family.sample(jax.random.key(4), params, (10,))
        for mean, covariance in zip(*map(np.asarray, drawn), strict=True):
            ax.plot(*(mean[:, None] + ellipse(covariance)), color=color, linewidth=0.9)
    ax.scatter(*xs.T, s=6, color=RUST, linewidths=0, zorder=3)
    entries = ("draws of the prior", GRAY), ("after 40 rows", BLUE), ("the rows", RUST)
    key(ax, *entries, at=(0.66, 0.3))
    bare(ax)
    ax.set_title("NormalInverseWishart(2)")


def lines(ax: Any) -> None:
    """Regression lines drawn from a matrix-normal–inverse-Wishart."""
    family = ef.MatrixNormalInverseWishart(2, 1)
    rng = np.random.default_rng(2)
    where = rng.uniform(-1, 2, 8)
    heights = 0.5 + 0.9 * where + rng.normal(0, 0.4, 8)
    given = jnp.zeros((2, 1)), jnp.eye(2), jnp.eye(1), 3.0
    start = family.from_location_precision_scale_freedom(*given)
    ends = np.array([[1.0, -2], [1, 3]])
    for color, n in ((PALE, 0), (BLUE, 8)):
        x, y = floats(np.stack([np.ones(n), where[:n]], axis=1)), floats(heights[:n, None])
        params = after(start, x.T @ y, y.T @ y, x.T @ x, 1.0 * n)
        coefficients, _ = family.sample(jax.random.key(0), params, (14,))
        for each in np.asarray(coefficients):
            ax.plot(ends[:, 1], (ends @ each)[:, 0], color=color, linewidth=0.9)
    ax.scatter(where, heights, s=14, color=RUST, linewidths=0, zorder=3)
    key(ax, ("draws of the prior", GRAY), ("after 8 rows", BLUE), ("the rows", RUST))
    ax.set(xlim=(-2, 3), ylim=(-3.2, 5), xlabel="y = b₀ + b₁ x + noise")
    bare(ax, equal=False)
    ax.set_title("MatrixNormalInverseWishart(2, 1)")


def gamma_plane(ax: Any) -> None:
    """Sub-families as lines in the natural coordinates of all gammas."""
    family = ef.Gamma()
    rate, shape = np.meshgrid(np.linspace(0.02, 2, 200), np.linspace(0.02, 4, 200))
    points = jax.vmap(jax.vmap(family.from_shape_rate))(floats(shape), floats(rate))
    heights = np.asarray(jax.vmap(jax.vmap(family.log_normalizer))(points))
    ax.contour(-rate, shape, heights, np.arange(-2, 9), colors=PALE, linewidths=0.9)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    for height, color in ((3, BLUE), (1, RUST)):
        ax.plot([-2, 0], [height, height], color=color)
        label = f"FixedShape({height})"
        ax.text(-1.95, height + 0.12, label, color=color, va="bottom", bbox=white)
    ax.plot([-0.5, -0.5], [0, 4], color=GREEN)
    where = {"rotation": 90, "ha": "right", "va": "center"}
    ax.text(-0.53, 2, "FixedRate(½)", color=GREEN, bbox=white, **where)
    ax.spines["left"].set_visible(True)
    ax.set(xlim=(-2, 0), ylim=(0, 4), xlabel="natural coordinate −β", ylabel="natural coordinate k")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(4))
    ax.set_title("SubFamily(Gamma, …), on contours of ψ")


def mixed(ax: Any) -> None:
    """The joint density of a real number and a count."""
    normal, poisson = ef.Normal(1), ef.Poisson()
    family = ef.Product((normal, poisson))
    params = ef.Natural((of_deviation(normal)(0.0, 1.0).coords, poisson.from_rate(2.0).coords))
    xs, counts = np.linspace(-3.5, 3.5, 200), np.arange(7)
    first, second = np.meshgrid(xs, counts)
    density = np.asarray(family.density(params, (floats(first)[..., None], jnp.asarray(second))))
    for count, heights in zip(counts, density, strict=True):
        ax.fill_between(xs, count, count + 7 * heights, color=BLUE, linewidth=0)
    ax.set(xlabel="real number x₁", ylabel="count x₂", yticks=counts)
    ax.tick_params(axis="y", length=0)
    ax.set_title("Product(Normal(1), Poisson)")
