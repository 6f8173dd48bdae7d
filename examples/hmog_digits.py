"""Handwritten digits: dimensionality reduction and clustering by one model.

Fits a hierarchical mixture of Gaussians (HMoG) to the 8 × 8 digits of scikit-learn, by EM and by
gradients, and compares it on held-out images with principal components followed by a Gaussian
mixture or k-means, and with a Gaussian mixture of the pixels. Latent dimension and number of
components are chosen by the likelihood of validation images. Writes output/hmog_digits.png.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import optax
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import train_test_split

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt

LATENT_DIMENSIONS = (10, 20)
COMPONENTS = (10, 20)
# A conjugate prior worth this many imagined images keeps the covariances of small clusters regular.
PRIOR_COUNT = 20.0


def continuous(images, seed):
    """Pixels in [0, 1] from the gray levels 0 … 16, made continuous by noise within one level.

    Densities of discrete data have no upper bound (many pixels are blank in all images); with the
    noise, log-densities are comparable (Theis, van den Oord & Bethge 2016, section 3.1).
    """
    noise = np.random.default_rng(seed).uniform(size=images.shape)
    return ((images + noise) / 17).astype(np.float32)


def build(xs, latent_dim, n_components):
    """The model, and its weak prior."""
    model = ef.analytic_hmog(xs.shape[1], ef.Diagonal(), latent_dim, n_components)
    return model, ef.weak_prior(model, xs, PRIOR_COUNT)


def choose(train, key):
    """Latent dimension and number of components, by the likelihood of validation images."""
    inner, validation = train_test_split(np.asarray(train), test_size=0.2, random_state=1)
    inner, validation = jnp.asarray(inner), jnp.asarray(validation)
    print("Mean log-likelihood of validation images")
    print("  latent dimension" + "".join(f"{k:>12} clusters" for k in COMPONENTS))
    scores = {}
    for dim in LATENT_DIMENSIONS:
        for k in COMPONENTS:
            model, prior = build(inner, dim, k)
            method = ef.EM(max_steps=60, tolerance=None)
            fit = ef.fit(model, inner, key=key, method=method, prior=prior, restarts=2)
            scores[dim, k] = float(model.average_log_observable_density(fit.params, validation))
        print(f"  {dim:16d}" + "".join(f"{scores[dim, k]:21.2f}" for k in COMPONENTS))
    return max(scores, key=scores.get)


def pca_mixture_log_likelihood(pca, mixture, xs):
    """Mean log-density of a mixture of principal component scores with isotropic residuals."""
    scores = pca.transform(xs)
    residuals = ((xs - pca.inverse_transform(scores)) ** 2).sum(axis=1)
    rest = xs.shape[1] - scores.shape[1]
    noise = -0.5 * (
        residuals / pca.noise_variance_ + rest * np.log(2 * np.pi * pca.noise_variance_)
    )
    return float((mixture.score_samples(scores) + noise).mean())


def main():
    """Choose, fit, compare, draw."""
    images, digits = load_digits(return_X_y=True)
    train, test, _, truth = train_test_split(
        continuous(images, seed=0), digits, test_size=0.2, random_state=0, stratify=digits
    )
    xs, held_out = jnp.asarray(train), jnp.asarray(test)
    key = jax.random.key(0)

    dim, k = choose(xs, key)
    print(f"\nChosen: {dim} latent dimensions, {k} clusters\n")
    model, prior = build(xs, dim, k)

    start = time.perf_counter()
    method = ef.EM(max_steps=300, tolerance=None)
    em = ef.fit(model, xs, key=key, method=method, prior=prior, restarts=3, progress=True)
    em_time = time.perf_counter() - start
    start = time.perf_counter()
    adam = ef.Gradient(optax.adam(optax.cosine_decay_schedule(2e-2, 400)), steps=400)
    gradient = ef.fit(model, xs, key=key, method=adam, prior=prior, progress=True)
    gradient_time = time.perf_counter() - start

    pixels = ef.Mixture(ef.Normal(xs.shape[1]), k)
    pixel_prior = ef.weak_prior(pixels, xs, PRIOR_COUNT)
    full = ef.fit(pixels, xs, key=key, prior=pixel_prior, restarts=3)

    pca = PCA(dim).fit(train)
    mixture = GaussianMixture(k, n_init=5, random_state=0).fit(pca.transform(train))
    kmeans = KMeans(k, n_init=10, random_state=0).fit(pca.transform(train))

    rows = [
        (
            f"HMoG, EM ({em_time:.0f} s)",
            model.average_log_observable_density(em.params, held_out),
            model.posterior_hard_assignment(em.params, held_out),
        ),
        (
            f"HMoG, Adam ({gradient_time:.0f} s)",
            model.average_log_observable_density(gradient.params, held_out),
            model.posterior_hard_assignment(gradient.params, held_out),
        ),
        (
            "PCA + Gaussian mixture",
            pca_mixture_log_likelihood(pca, mixture, test),
            mixture.predict(pca.transform(test)),
        ),
        ("PCA + k-means", None, kmeans.predict(pca.transform(test))),
        (
            "Gaussian mixture of pixels",
            pixels.average_log_observable_density(full.params, held_out),
            pixels.posterior_hard_assignment(full.params, held_out),
        ),
    ]
    print(f"{'':28}{'log-likelihood':>16}{'NMI':>8}{'ARI':>8}   (held-out images)")
    for name, likelihood, labels in rows:
        shown = "–" if likelihood is None else f"{float(likelihood):.2f}"
        nmi = normalized_mutual_info_score(truth, labels)
        ari = adjusted_rand_score(truth, labels)
        print(f"{name:28}{shown:>16}{nmi:8.3f}{ari:8.3f}")

    draw(model, em, gradient, held_out)


def draw(model, em, gradient, held_out):
    """Latent space, cluster means as images, and likelihood curves."""
    # A prior fixes its own latent frame; whitening brings y to mean 0 and covariance I, and leaves
    # p(x) as it is.
    params = model.to_natural(model.whiten_prior(model.to_mean(em.params)))
    found = model.parameters(params)
    labels = model.posterior_hard_assignment(params, held_out)
    # The two directions in which the clusters lie farthest apart.
    between = (found.weights * found.latent_means.T) @ found.latent_means
    axes = jnp.linalg.eigh(between)[1][:, ::-1][:, :2]

    figure = plt.figure(figsize=(11, 7.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1.1))
    space = figure.add_subplot(grid[0, 0])
    ef.plot.latent_scatter(
        model.latent_mean(params, held_out) @ axes,
        labels,
        means=found.latent_means @ axes,
        covariances=axes.T @ found.latent_covariances @ axes,
        ax=space,
    )
    space.set(title="Held-out images in latent space", xlabel="first axis", ylabel="second axis")
    curve = figure.add_subplot(grid[0, 1])
    ef.plot.likelihood_curve(em, gradient, labels=("EM", "Adam"), ax=curve)
    curve.set(title="Objective (MAP)", xscale="symlog")
    curve.set_ylim(bottom=np.quantile(np.asarray(gradient.log_likelihoods), 0.02))
    means = figure.add_subplot(grid[1, :])
    order = np.argsort(-np.asarray(found.weights))
    ef.plot.image_row(
        found.observable_means[order],
        (8, 8),
        titles=[f"{k}\n{found.weights[k]:.0%}" for k in order],
        ax=means,
    )
    means.set_title("Cluster means, with their weights")
    path = Path("output") / "hmog_digits.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
