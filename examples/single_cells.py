"""Single cells: reduction of dimension and clusters, in one model or in two steps.

Expression of 1000 genes in 909 cells of five cell lines (Tian et al. 2019). A hierarchical mixture
of Gaussians (HMoG) is compared with principal components followed by k-means or by a mixture with
one covariance. The number of clusters is chosen without labels, by BIC; agreement with the cell
lines and the likelihood of held-out cells are printed for all. Two steps agree better with the
lines; the HMoG has the higher likelihood, and its widest cluster gathers what no line is: wells of
which none is known to hold a single cell. Other sets by name:
`python examples/single_cells.py zeisel3`. Where the data are not at hand, cells are simulated.
Writes output/single_cells.png.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt

DATA = Path(__file__).parents[2] / "shared" / "data"
LATENT_DIMENSION, COMPONENTS = 10, (3, 5, 7)
# A prior worth this many imagined cells keeps the variances of silent genes off zero.
PRIOR_COUNT = 5.0


def cells(name):
    """Log expression, cell types as numbers, their names, and which wells held one cell."""
    path = DATA / f"scrna_{name}.npz"
    if path.exists():
        data = np.load(path)
        names, types = np.unique(data["y"], return_inverse=True)
        labels = data.get("label_names", names)
        single = data.get("singlet", np.ones(len(types), bool))
        return data["X"].astype(np.float32), types, [str(label) for label in labels], single
    print(f"{path.name} is not at hand: simulated cells\n")
    rng = np.random.default_rng(0)
    types = rng.integers(0, 5, 400)
    centers = rng.normal(scale=2.5, size=(5, 10))
    loadings = rng.normal(size=(10, 80)) * rng.gamma(1.0, 0.4, size=80)
    noise = rng.normal(size=(400, 80)) * rng.gamma(2.0, 0.3, size=80)
    xs = (centers[types] + rng.normal(size=(400, 10))) @ loadings + noise + 2
    names = [f"type {k}" for k in range(5)]
    return xs.astype(np.float32), types, names, np.ones(400, bool)


def model_of(xs, n_components):
    """The HMoG of rows of genes."""
    return ef.analytic_hmog(xs.shape[1], ef.Diagonal(), LATENT_DIMENSION, n_components)


def prior_of(model, xs):
    """Its weak prior."""
    return ef.weak_prior(model, xs, PRIOR_COUNT)


def two_step_likelihood(pca, mixture, xs):
    """Mean log-density of a mixture of principal components with isotropic residuals."""
    scores = pca.transform(xs)
    residuals = ((xs - pca.inverse_transform(scores)) ** 2).sum(axis=1)
    rest, variance = xs.shape[1] - scores.shape[1], pca.noise_variance_
    noise = -0.5 * (residuals / variance + rest * np.log(2 * np.pi * variance))
    return float((mixture.score_samples(scores) + noise).mean())


def agreement(types, labels):
    """Both measures as a text."""
    ari = ef.assess.adjusted_rand_index(types, labels)
    return f"{ari:.3f} ({ef.assess.normalized_mutual_information(types, labels):.3f})"


def main():
    """Choose the number of clusters, compare, draw."""
    xs, types, names, single = cells(sys.argv[1] if len(sys.argv) > 1 else "5celllines")
    key, method = jax.random.key(0), ef.EM(max_steps=200, tolerance=1e-2)
    models = {k: model_of(xs, k) for k in COMPONENTS}
    compared = ef.assess.compare(
        models, jnp.asarray(xs), key=key, method=method, prior=prior_of, restarts=4
    )
    print(compared)
    pca = PCA(LATENT_DIMENSION, random_state=0).fit(xs)
    scores = pca.transform(xs)

    print("\nAgreement with the cell types, adjusted Rand index (normalized mutual information)")
    print(f"{'clusters':10}{'HMoG':>16}{'PCA + mixture':>16}{'PCA + k-means':>16}")
    for k, model, fit in sorted(
        zip(compared.keys, compared.models, compared.fits, strict=True), key=lambda row: row[0]
    ):
        tied = GaussianMixture(k, covariance_type="tied", n_init=10, random_state=0)
        found = [
            np.asarray(model.posterior_hard_assignment(fit.params, xs)),
            tied.fit_predict(scores),
            KMeans(k, n_init=10, random_state=0).fit_predict(scores),
        ]
        cells_of = "".join(f"{agreement(types, labels):>16}" for labels in found)
        print(f"{k:<10}{cells_of}")

    k, model, fit = compared.keys[0], compared.best_model, compared.best_fit
    labels = np.asarray(model.posterior_hard_assignment(fit.params, xs))

    # Held-out cells: everything is fitted again to four fifths of the cells.
    held = np.random.default_rng(1).random(len(xs)) < 0.2
    part = ef.fit(
        model, xs[~held], key=key, method=method, prior=prior_of(model, xs[~held]), restarts=4
    )
    held_out = float(model.average_log_observable_density(part.params, xs[held]))
    pca_part = PCA(LATENT_DIMENSION, random_state=0).fit(xs[~held])
    tied_part = GaussianMixture(k, covariance_type="tied", n_init=10, random_state=0)
    tied_part.fit(pca_part.transform(xs[~held]))
    two_steps = two_step_likelihood(pca_part, tied_part, xs[held])

    print(f"\nMean log-likelihood of held-out cells, {k} clusters")
    print(f"  HMoG {held_out:.1f}, PCA + mixture {two_steps:.1f}")
    print("\nCell types by cluster of the HMoG")
    for kind, name in enumerate(names):
        counts = np.bincount(labels[types == kind], minlength=k)
        print(f"  {name:22}" + "".join(f"{count:6d}" for count in counts))
    shares = [single[labels == cluster].mean() for cluster in range(k)]
    print(f"  {'surely one cell':22}" + "".join(f"{share:6.0%}" for share in shares))

    params = model.to_natural(model.whiten_prior(model.to_mean(fit.params)))
    found = model.parameters(params)
    between = (found.weights * found.latent_means.T) @ found.latent_means
    plane = np.asarray(jnp.linalg.eigh(between)[1][:, ::-1][:, :2])
    positions = np.asarray(model.latent_mean(params, xs)) @ plane
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", sharey=True)
    ef.plot.latent_scatter(
        positions,
        labels,
        means=found.latent_means @ plane,
        covariances=plane.T @ np.asarray(found.latent_covariances) @ plane,
        ax=left,
    )
    left.set(title="Clusters of the HMoG", xlabel="first latent axis", ylabel="second latent axis")
    for kind, name in enumerate(names):
        own = positions[types == kind]
        ef.plot.latent_scatter(own, np.full(len(own), kind), ax=right)
        right.collections[-1].set_label(name)
    right.legend(frameon=False, fontsize=8, markerscale=2)
    right.set(title="Cell types, which the model did not see", xlabel="first latent axis")
    path = Path("output") / "single_cells.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
