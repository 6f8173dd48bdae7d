"""Pictures: what is drawn, and where."""

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture
def ax():
    return plt.figure().subplots()


XS = np.array([[0.0, 1.0, 5.0], [1.0, np.nan, 4.0], [np.nan, 3.0, 6.0], [3.0, 2.0, np.nan]])


def test_pairs_draw_rows_clusters_marginals_and_gaps():
    means, covariances = np.array([[0.0, 1, 5], [3, 2, 5]]), np.tile(np.eye(3), (2, 1, 1))
    figure = ef.plot.pairs(
        ef.incomplete(XS),
        [0, 0, 1, -1],
        names=["a", "b", "c"],
        means=means,
        covariances=covariances,
        weights=[0.5, 0.5],
    )
    grid = np.reshape(figure.axes, (3, 3))
    assert [ax.get_xlabel() for ax in grid[2]] == ["a", "b", "c"]
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["", "b", "c"]
    assert not grid[0, 1].axison
    pair = grid[1, 0]  # b over a
    seen, below, left = pair.collections
    np.testing.assert_array_equal(seen.get_offsets(), [[0, 1], [3, 2]])
    np.testing.assert_array_equal(below.get_offsets()[:, 0], [1])  # b is missing
    np.testing.assert_array_equal(left.get_offsets()[:, 1], [3])  # a is missing
    outline = pair.lines[1].get_xydata()
    np.testing.assert_allclose(np.linalg.norm(outline - means[1, :2], axis=1), 2)
    # Marginal densities of the clusters at their means.
    first = grid[0, 0].lines[0].get_xydata()
    np.testing.assert_allclose(first[:, 1].max(), 0.5 / np.sqrt(2 * np.pi), rtol=1e-3)


def test_components_have_colors_that_are_told_apart(ax):
    ef.plot.latent_scatter(np.zeros((9, 2)), np.arange(-1, 8), ax=ax)
    shades = ax.collections[0].get_facecolors()[:, :3]
    gaps = np.linalg.norm(shades[:, None] - shades, axis=-1) + np.eye(9)
    assert gaps.min() > 0.2
    np.testing.assert_allclose(shades[1], to_rgb("#0072B2"))


def test_uncertainty_is_an_ellipse_around_each_position(ax):
    positions = np.array([[0.0, 0.0], [5.0, 1.0]])
    ef.plot.latent_scatter(positions, uncertainty=np.diag([4.0, 1.0]), ax=ax)
    halos, _ = ax.collections
    vertices = halos.get_paths()[1].vertices
    np.testing.assert_allclose(vertices.max(axis=0) - positions[1], [2, 1], rtol=1e-2)


def table_and_model():
    frame = pd.DataFrame(
        {"size": [1.0, 2.0, 4.0], "legs": [0, 4, 2], "kind": ["a", "b", "c"], "wild": [True, 0, 1]}
    ).astype({"wild": bool})
    table = ef.tables.read(frame)
    parts = (
        jax.vmap(ef.Normal(1).from_mean_covariance)(
            jnp.array([[1.0], [3.0]]), jnp.array([[[0.25]], [[1.0]]])
        ).coords,
        jax.vmap(ef.Poisson().from_rate)(jnp.array([1.0, 4.0])).coords,
        jax.vmap(ef.Categorical(3).from_probabilities)(
            jnp.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
        ).coords,
        jax.vmap(ef.Bernoulli().from_probability)(jnp.array([0.25, 0.5])).coords,
    )
    model = ef.Mixture(table.family, 2)
    return table, model, model.from_components(jnp.array([0.3, 0.7]), ef.Natural(parts))


def test_profiles_show_every_column_of_a_mixed_table():
    figure = ef.plot.profiles(*table_and_model())
    axes = {ax.get_title("left"): ax for ax in figure.axes}
    assert list(axes) == ["size", "legs", "kind", "wild"]
    assert [label.get_text() for label in axes["size"].get_yticklabels()] == ["0 (30%)", "1 (70%)"]
    (whisker,) = axes["size"].containers[0].lines[2]
    np.testing.assert_allclose(whisker.get_segments()[0][:, 0], [0.5, 1.5], rtol=1e-5)
    texts = [text.get_text() for text in axes["legs"].texts]
    assert texts == ["1", "4"]
    widths = np.reshape([bar.get_width() for bar in axes["kind"].patches], (3, 2))
    np.testing.assert_allclose(widths.T, [[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], rtol=1e-5)
    widths = np.reshape([bar.get_width() for bar in axes["wild"].patches], (2, 2))
    np.testing.assert_allclose(widths.T, [[0.75, 0.25], [0.5, 0.5]], rtol=1e-5)
    assert {text.get_text() for text in axes["wild"].texts} == {"True", "False"}
    few = ef.plot.profiles(*table_and_model(), columns=["kind"], panels=1)
    assert [ax.get_title("left") for ax in few.axes] == ["kind"]


def test_loadings_are_numbers_with_a_symmetric_scale(ax):
    ef.plot.loadings([[0.5, -1.0], [0.0, 0.2]], ["a", "b"], ax=ax)
    assert ax.images[0].get_clim() == (-1, 1)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]
    assert [text.get_text() for text in ax.texts] == ["0.50", "-1.00", "0.00", "0.20"]
    ef.plot.loadings(np.zeros((100, 2)), ax=plt.figure().subplots())


def test_states_are_stacked_behind_the_observations(ax):
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    ef.plot.state_timeline(
        probabilities, [1.0, np.nan, 3.0], path=[0, 1, 1], names=["calm", "wild"], ax=ax
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["calm", "wild"]
    (front,) = [other for other in ax.figure.axes if other is not ax]
    np.testing.assert_array_equal(front.lines[0].get_ydata(), [1, np.nan, 3])
    strip = ax.collections[-1]
    np.testing.assert_allclose(strip.get_facecolors()[0, :3], to_rgb("#0072B2"))
    assert ax.get_ylim() == (0, 1)


@pytest.mark.parametrize("kind", ["precision_recall", "roc"])
def test_anomaly_curves_pass_through_the_threshold(ax, kind):
    rng = np.random.default_rng(0)
    truth = (np.arange(60) < 12).astype(int)
    scores = rng.normal(size=60) + 2 * truth
    curves, line = ef.assess.anomaly_curves(scores, truth), ef.assess.threshold(scores, truth)
    ef.plot.anomaly_curve(curves, threshold=line, kind=kind, label="one", ax=ax)
    curve, point = (drawn.get_xydata() for drawn in ax.lines)
    assert np.min(np.abs(curve - point).max(axis=1)) < 1e-9
    area = curves.roc_auc if kind == "roc" else curves.average_precision
    assert f"{area:.3f}" in ax.get_legend().get_texts()[0].get_text()
    with pytest.raises(ValueError, match="`kind` must be 'precision_recall' or 'roc'"):
        ef.plot.anomaly_curve(curves, kind="lift", ax=ax)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'expfam\[plot\]'"):
        ef.plot.pairs(XS)
