"""What fits of 1, 5 and 20 restarts reach: likelihood, and agreement with labels.

Prints a table for single cells, images and wines of `../shared/data` (those that are there): the
mean log-likelihood a row and the adjusted Rand index, beside clusters of principal components, and
beside the likelihood that the model reaches from their labels.

    python benchmarks/starts.py [--restarts 1 5 20] [--data wine27 ...]
"""

import argparse
import gzip
import warnings
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

import expfam as ef

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# Rows and columns at most, latent dimensions, components.
SETS = {
    "wine27": (178, 27, 4, 3),
    "scqpcr_guo": (428, 48, 6, 6),
    "scrna_zeisel3": (800, 300, 10, 3),
    "scrna_5celllines": (909, 300, 10, 5),
    "scrna_worm_neuron": (1000, 300, 10, 10),
    "mnist_test10k": (2000, 200, 10, 10),
}


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows, the columns of largest variance; and labels. Wines are standardized."""
    rows, columns, _, _ = SETS[name]
    if name == "wine27":
        with gzip.open(DATA / "wine27.csv.gz", "rt") as file:
            table = np.genfromtxt(file, delimiter=",", skip_header=1)
            file.seek(0)
            header = file.readline().replace('"', "").strip().split(",")
        label = header.index("Type")
        x, y = np.delete(table, label, axis=1), table[:, label].astype(int)
        return (x - x.mean(axis=0)) / x.std(axis=0), y
    with np.load(DATA / f"{name}.npz") as file:
        x, y = file["X"].astype(float), file["y"]
    chosen = np.random.default_rng(0).permutation(len(x))[:rows]
    x, y = x[chosen], y[chosen]
    widest = np.argsort(-x.var(axis=0))[:columns]
    return x[:, np.sort(widest)], y


def peers(x: np.ndarray, d: int, k: int) -> dict[str, np.ndarray]:
    """Clusters of principal components."""
    scores = PCA(d, random_state=0).fit_transform(x)
    tied = GaussianMixture(k, covariance_type="tied", n_init=10, random_state=0)
    return {
        "PCA + k-means": KMeans(k, n_init=10, random_state=0).fit_predict(scores),
        "PCA + tied mixture": tied.fit_predict(scores),
    }


def from_labels(model: Any, x: Any, labels: np.ndarray, k: int) -> ef.Natural:
    """A start with the clusters of labels."""
    inner = PCA(model.upr_hrm.component.size, random_state=0).fit(x)
    scores = inner.transform(x)
    means = np.stack([scores[labels == i].mean(axis=0) for i in range(k)])
    within = [np.cov(scores[labels == i].T) + 1e-3 * np.eye(scores.shape[1]) for i in range(k)]
    noise = np.maximum((x - inner.inverse_transform(scores)).var(axis=0), 1e-6)
    weights = np.bincount(labels, minlength=k) / len(labels)
    return model.from_parameters(
        jnp.asarray(weights),
        jnp.asarray(means),
        jnp.asarray(np.stack(within)),
        jnp.asarray(inner.components_.T),
        jnp.asarray(inner.mean_),
        jnp.asarray(noise),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--restarts", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--data", nargs="+", default=list(SETS))
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    jax.config.update("jax_enable_x64", True)
    key = jax.random.key(0)
    for name in chosen.data:
        if not any(DATA.glob(f"{name}.*")):
            print(f"{name}: not there")
            continue
        x, y = load(name)
        _, _, d, k = SETS[name]
        model = ef.analytic_hmog(x.shape[1], ef.Diagonal(), d, k)
        print(f"{name}: {x.shape[0]} × {x.shape[1]}, d = {d}, K = {k}")
        rows = jnp.asarray(x)
        for title, labels in peers(x, d, k).items():
            start = from_labels(model, x, labels, k)
            fit = ef.fit(model, rows, key=key, params=start, throw=False)
            own = adjusted_rand_score(y, labels)
            print(f"  {title:20s} ARI {own:.3f}; HMoG from there {fit.log_likelihood:.3f}")
        for count in chosen.restarts:
            fit = ef.fit(model, rows, key=key, restarts=count, throw=False)
            labels = np.asarray(model.posterior_hard_assignment(fit.params, rows))
            print(
                f"  {count:2d} restarts: {fit.log_likelihood:.3f} "
                f"ARI {adjusted_rand_score(y, labels):.3f} {fit.status.name}",
                flush=True,
            )


if __name__ == "__main__":
    main()
