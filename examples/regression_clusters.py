"""Clusters of covariates, each with a regression of its own, p(u, y) = Σ π_k p_k(u) p_k(y | u).

Four clusters of two covariates, in each of which a response depends on them by other slopes. Fits
the mixture with the density of the covariates, without it, and its logistic relative, of answers
yes and no, which tell of slopes only roughly, and prints errors and seconds; with `--nuts`, where
NumPyro is installed, a sampler does the same beside it. Writes output/regression_clusters.png.
"""

import argparse
import time
from itertools import permutations
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt

MEANS = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
SLOPES = np.array([[1.0, 4.0], [3.0, 2.0], [4.0, 1.0], [-3.0, -2.0]])


def data(rng, n=1000):
    """Covariates, a response, a binary response, and the number of the cluster."""
    z = np.repeat(np.arange(4), n // 4)
    u = MEANS[z] + np.sqrt(0.1) * rng.normal(size=(n, 2))
    level = np.sum(u * SLOPES[z], axis=1)
    y = level + 0.1 * rng.normal(size=n)
    bought = rng.uniform(size=n) < 1 / (1 + np.exp(-level / 4))
    return u, y[:, None], bought.astype(int), z


def matched(slopes):
    """The order of components in which slopes are closest to the true ones."""
    orders = [list(order) for order in permutations(range(4))]
    return min(orders, key=lambda order: np.abs(slopes[order] - SLOPES).max())


def timed(model, xs, **options):
    """A fit, and its seconds: the first with compilation, and again."""
    seconds = []
    for seed in (0, 1):
        begun = time.perf_counter()
        fit = ef.fit(model, xs, key=jax.random.key(seed), **options)
        seconds.append(time.perf_counter() - begun)
    return fit, seconds


def line(name, slopes, weights, right, seconds):
    """One line of the table."""
    order = matched(slopes)
    error, off = np.abs(slopes[order] - SLOPES).max(), np.abs(weights - 0.25).max()
    print(f"{name:34s}{error:12.3f}{off:13.3f}{right:12.3f}{seconds[0]:10.1f}{seconds[1]:8.2f}")


def accuracy(labels, z):
    """The share of rows in the right cluster, in the best order of these."""
    return max(np.mean(np.array(order)[labels] == z) for order in permutations(range(4)))


def nuts(u, y, steps=300):
    """Slopes and weights, posterior means of a mixture with the component number summed out."""
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS, init_to_value

    def model(u, y):
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(4)))
        means = numpyro.sample("means", dist.Normal(0, 2).expand([4, 2]).to_event(2))
        widths = numpyro.sample("widths", dist.HalfNormal(1).expand([4, 2]).to_event(2))
        slopes = numpyro.sample("slopes", dist.Normal(0, 5).expand([4, 2]).to_event(2))
        noise = numpyro.sample("noise", dist.HalfNormal(1).expand([4]).to_event(1))
        clusters = dist.Normal(means, widths).to_event(1).log_prob(u[:, None])
        regressions = dist.Normal(u @ slopes.T, noise).log_prob(y)
        logits = jnp.log(weights) + clusters + regressions
        numpyro.factor("rows", jnp.sum(jax.nn.logsumexp(logits, axis=1)))

    # It starts at the truth: from elsewhere it does not find the four clusters.
    start = init_to_value(values={"means": MEANS, "slopes": SLOPES})
    sampler = MCMC(NUTS(model, init_strategy=start), num_warmup=steps, num_samples=steps)
    sampler.run(jax.random.key(0), jnp.asarray(u), jnp.asarray(y))
    draws = sampler.get_samples()
    return np.mean(draws["slopes"], axis=0), np.mean(draws["weights"], axis=0)


def main():
    """Fit, print the table, and draw."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--nuts", action="store_true", help="sample as well, with NumPyro")
    options = arguments.parse_args()
    u, y, bought, z = data(np.random.default_rng(0))
    print("                                    error of     error of     rows in     seconds")
    print("model                                 slopes      weights  right cl.     first   again")

    regression = ef.Regression(ef.Normal(1), 2)
    joint = ef.Mixture(ef.JointRegression(ef.Normal(2), regression), 4)
    fit, seconds = timed(joint, (u, y))
    own = joint.components(fit.params).coords
    slopes = np.asarray(jax.vmap(regression.coefficients)(ef.Natural(own.regression)))[:, 0]
    labels = np.asarray(joint.posterior_hard_assignment(fit.params, (u, y)))
    line(
        "with a density of the covariates",
        slopes,
        joint.weights(fit.params),
        accuracy(labels, z),
        seconds,
    )

    given = ef.Mixture(regression, 4)
    bare, seconds = timed(given, (u, y), restarts=4)
    found = np.asarray(jax.vmap(regression.coefficients)(given.components(bare.params)))[:, 0]
    chosen = np.asarray(given.posterior_hard_assignment(bare.params, (u, y)))
    line("without it", found, given.weights(bare.params), accuracy(chosen, z), seconds)

    logistic = ef.Regression(ef.Bernoulli(), 2)
    binary = ef.Mixture(ef.JointRegression(ef.Normal(2), logistic), 4)
    xs = (u, bought)
    last, seconds = timed(binary, xs, prior=ef.weak_prior(binary, xs))
    parts = ef.Natural(binary.components(last.params).coords.regression)
    odds = np.asarray(jax.vmap(logistic.coefficients)(parts))
    chosen = np.asarray(binary.posterior_hard_assignment(last.params, xs))
    line(
        "logistic, with a density", odds, binary.weights(last.params), accuracy(chosen, z), seconds
    )

    if options.nuts:
        begun = time.perf_counter()
        sampled, weights = nuts(u, y[:, 0])
        passed = time.perf_counter() - begun
        line("NumPyro, from the truth", sampled, weights, np.nan, (passed, np.nan))

    draw(joint, fit.params, regression, u, y, labels)


def draw(model, params, regression, u, y, labels):
    """Clusters with regression planes, and the mean of the response over the plane."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.9), layout="constrained")
    colors = np.array(["C0", "C1", "C2", "C3"])
    axes[0].scatter(*u.T, c=colors[labels], s=5)
    axes[0].set(title="Clusters", xlabel="u₁", ylabel="u₂")
    fitted = np.asarray(ef.predict(model, params, u))
    axes[1].scatter(fitted[:, 0], y[:, 0], c=colors[labels], s=5)
    axes[1].axline((0, 0), slope=1, color="gray", lw=0.8)
    axes[1].set(title="Response and prediction", xlabel="E[y | u]", ylabel="y")
    side = np.linspace(-2.2, 2.2, 80)
    grid = np.stack(np.meshgrid(side, side), axis=-1)
    shares = np.asarray(ef.assignments_given(model, params, grid))
    surface = axes[2].pcolormesh(
        side, side, np.asarray(ef.predict(model, params, grid))[..., 0], cmap="RdBu_r"
    )
    axes[2].contour(
        side, side, shares.max(axis=-1), levels=[0.6, 0.9], colors="black", linewidths=0.7
    )
    axes[2].set(title="Regression planes, and who is responsible", xlabel="u₁", ylabel="u₂")
    figure.colorbar(surface, ax=axes[2], label="E[y | u]")
    path = Path("output") / "regression_clusters.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    main()
