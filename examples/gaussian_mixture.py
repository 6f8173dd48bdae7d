"""A Gaussian mixture: eruptions of a geyser, short and long.

Draws data that look like those of the Old Faithful geyser (duration of an eruption, and waiting
time to the next), fits mixtures with one to four components, chooses by BIC, and draws the
contours. Writes output/gaussian_mixture.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt


def eruptions(key, n=272):
    """Minutes of eruption and of waiting, from a mixture with rounded textbook parameters."""
    normal = ef.Normal(2)
    components = jax.vmap(normal.from_mean_covariance)(
        jnp.array([[2.0, 54.5], [4.3, 80.0]]),
        jnp.array([[[0.07, 0.45], [0.45, 34.0]], [[0.17, 0.95], [0.95, 36.0]]]),
    )
    mixture = ef.Mixture(normal, 2)
    truth = mixture.from_components(jnp.array([0.36, 0.64]), components)
    return mixture.observable_sample(key, truth, n)


def main():
    """Choose the number of components, print and draw the mixture."""
    xs = eruptions(jax.random.key(1))
    print("components   mean log-likelihood     BIC (lower is better)")
    fits = {}
    for k in (1, 2, 3, 4):
        model = ef.Mixture(ef.Normal(2), k)
        fit = ef.fit(model, xs, key=jax.random.key(0), restarts=10, prior=ef.weak_prior(model, xs))
        likelihood = float(model.average_log_observable_density(fit.params, xs))
        bic = -2 * len(xs) * likelihood + model.dim * np.log(len(xs))
        fits[k] = (bic, model, fit)
        print(f"{k:10d}{likelihood:22.4f}{bic:26.1f}")
    _, model, fit = fits[min(fits, key=lambda k: fits[k][0])]

    means, covariances = jax.vmap(model.component.mean_covariance)(model.components(fit.params))
    print("\nweight   mean eruption   mean waiting   correlation")
    for weight, mean, cov in zip(model.weights(fit.params), means, covariances, strict=True):
        correlation = cov[0, 1] / jnp.sqrt(cov[0, 0] * cov[1, 1])
        print(f"{weight:6.2f}{mean[0]:16.2f}{mean[1]:15.1f}{correlation:14.2f}")

    figure, ax = plt.subplots(figsize=(5.5, 4.2), layout="constrained")
    ef.plot.density_contours(model, fit.params, xs, ax=ax)
    ax.set(xlabel="eruption (minutes)", ylabel="waiting (minutes)", title="A Gaussian mixture")
    path = Path("output") / "gaussian_mixture.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
