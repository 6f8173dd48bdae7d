"""Factor analysis: which measurements of wine go together.

Fits factor analysis to the wine data of scikit-learn, chooses the number of factors by
cross-validation, prints loadings, and draws the wines in the plane of the first two factors. Writes
output/factor_analysis.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from sklearn.datasets import load_wine
from sklearn.model_selection import KFold

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt


def cross_validate(xs, n_factors):
    """Mean log-likelihood of held-out rows, over three folds."""
    model = ef.factor_analysis(xs.shape[1], n_factors)
    scores = []
    for train, test in KFold(3, shuffle=True, random_state=0).split(xs):
        prior = ef.weak_prior(model, xs[train])
        fit = ef.fit(
            model,
            xs[train],
            key=jax.random.key(0),
            prior=prior,
            method=ef.EM(tolerance=1e-5, acceleration=8),
        )
        scores.append(float(model.average_log_observable_density(fit.params, xs[test])))
    return np.mean(scores)


def main():
    """Choose the number of factors, print loadings, draw scores."""
    wine = load_wine()
    standardized = (wine.data - wine.data.mean(axis=0)) / wine.data.std(axis=0)
    xs = jnp.asarray(standardized, jnp.float32)
    scores = {d: cross_validate(xs, d) for d in (1, 3, 5)}
    print("factors   held-out log-likelihood per wine")
    for d, score in scores.items():
        print(f"{d:7d}{score:16.3f}")
    best = max(scores, key=scores.get)

    model = ef.factor_analysis(xs.shape[1], best)
    prior = ef.weak_prior(model, xs)
    fit = ef.fit(
        model, xs, key=jax.random.key(0), prior=prior, method=ef.EM(tolerance=1e-5, acceleration=8)
    )
    # Rotate to principal factors: directions of largest shared variance, latent covariance I.
    params = model.to_natural(model.whiten_prior(model.to_mean(fit.params)))
    found = model.parameters(params)
    left, sizes, rotation = jnp.linalg.svd(found.loadings, full_matrices=False)
    loadings = left * sizes
    print(f"\nLoadings of the first two of {best} factors, and noise variance")
    noise = jnp.diagonal(found.noise)
    for name, row, rest in zip(wine.feature_names, loadings, noise, strict=True):
        print(f"  {name:30}{row[0]:8.2f}{row[1]:8.2f}{rest:10.2f}")

    positions = model.latent_mean(params, xs) @ rotation.T
    figure, ax = plt.subplots(figsize=(5.5, 4.4), layout="constrained")
    ef.plot.latent_scatter(positions[:, :2], wine.target, ax=ax)
    for name, row in zip(wine.feature_names, np.asarray(loadings), strict=True):
        if np.hypot(row[0], row[1]) > 0.7:
            end = 2.0 * row[:2]
            ax.annotate("", end, (0, 0), arrowprops={"arrowstyle": "->", "color": "0.6"})
            ax.annotate(
                name.split("_of_")[0].replace("_", " "),
                end,
                (4 * np.sign(end[0]), 0),
                textcoords="offset points",
                fontsize=7,
                ha="left" if end[0] > 0 else "right",
                va="center",
                color="0.25",
            )
    ax.margins(x=0.3)
    ax.set(
        title="Wines by cultivar, and loadings, in the plane of two factors",
        xlabel="first factor",
        ylabel="second factor",
    )
    path = Path("output") / "factor_analysis.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
