"""Bayesian mixtures of sparse regressions: horseshoe slopes and stick-breaking weights.

A response depends on two of six covariates, in three groups by other slopes. The model of every
group is an `expfam.Regression`, its component number summed out; NumPyro's priors say that most
slopes are nearly zero (Carvalho, Polson & Scott 2010) and that few of five groups are needed, and
its NUTS samples. Prints slopes of EM and of the posterior, with 90 % intervals, and writes
output/sparse_regression_mixture.png.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, init_to_value

import expfam as ef
from expfam.numpyro import proposals

mpl.use("Agg")
import matplotlib.pyplot as plt

SLOPES = np.zeros((3, 6))
SLOPES[:, 0], SLOPES[:, 3] = [-3.0, 1.0, 3.0], [0.0, -2.0, 2.0]
WEIGHTS = np.array([0.5, 0.3, 0.2])
REGRESSION = ef.Regression(ef.Normal(1), n_covariates=6)
MIXTURE = ef.Mixture(REGRESSION, n_components=5)


def data(rng, n=200):
    """Covariates, a response, and the number of the group."""
    z = rng.choice(3, size=n, p=WEIGHTS)
    u = rng.normal(size=(n, 6))
    y = np.sum(u * SLOPES[z], axis=1) + 0.5 * rng.normal(size=n)
    return jnp.asarray(u), jnp.asarray(y[:, None]), z


def point(weights, slopes, intercepts, noise):
    """The mixture with given weights, slopes `(K, 6)`, intercepts `(K,)`, and one noise."""

    variance = jnp.full((1, 1), noise) ** 2

    def component(slopes, intercept):
        return REGRESSION.from_coefficients(slopes[None], intercept[None], variance)

    return MIXTURE.from_components(weights, jax.vmap(component)(slopes, intercepts))


def model(xs):
    """Sticks of concentration 1; slopes of the size of their own times a common scale."""
    with numpyro.plate("sticks", 4):
        broken = numpyro.sample("broken", dist.Beta(1.0, 1.0))
    rest = jnp.append(1.0, jnp.cumprod(1 - broken))
    weights = numpyro.deterministic("weights", jnp.append(broken, 1.0) * rest)
    common = numpyro.sample("common", dist.HalfCauchy(0.5))
    own = numpyro.sample("own", dist.HalfCauchy(1.0).expand([5, 6]).to_event(2))
    unit = numpyro.sample("unit", dist.Normal(0, 1).expand([5, 6]).to_event(2))
    slopes = numpyro.deterministic("slopes", common * own * unit)
    intercepts = numpyro.sample("intercepts", dist.Normal(0, 2).expand([5]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with proposals():
        params = point(weights, slopes, intercepts, noise)
        numpyro.factor("xs", jnp.sum(MIXTURE.log_observable_density(params, xs)))


def main():
    """Fit, sample, print, and draw."""
    u, y, _ = data(np.random.default_rng(0))
    begun = time.perf_counter()
    three = ef.Mixture(REGRESSION, 3)
    fit = ef.fit(three, (u, y), key=jax.random.key(0), restarts=4)
    parts = three.components(fit.params)
    found = np.asarray(jax.vmap(REGRESSION.coefficients)(parts))[:, 0]
    passed = time.perf_counter() - begun

    # Sampling starts at the three groups that EM found, and two that hold nothing.
    begun = time.perf_counter()
    shares = np.append(0.98 * np.asarray(three.weights(fit.params)), [0.01, 0.01])
    broken = shares[:4] / (1 - np.append(0, np.cumsum(shares)[:3]))
    slopes = np.concatenate([found, np.zeros((2, 6))])
    start = {"broken": broken, "common": 1.0, "own": np.ones((5, 6)), "unit": slopes, "noise": 0.5}
    start = jax.tree.map(jnp.asarray, start)
    kernel = NUTS(model, init_strategy=init_to_value(values=start), max_tree_depth=7)
    sampler = MCMC(kernel, num_warmup=250, num_samples=250, progress_bar=False)
    sampler.run(jax.random.key(1), (u, y))
    draws = sampler.get_samples()
    sampled = time.perf_counter() - begun

    # Numbers of groups are exchanged from draw to draw: the same rows tell which is which.
    names = draws["weights"], draws["slopes"], draws["intercepts"], draws["noise"]
    points = ef.align_labels(MIXTURE, jax.vmap(point)(*names), (u, y))
    weights = np.asarray(jax.vmap(MIXTURE.weights)(points)).mean(axis=0)
    each = jax.vmap(lambda p: jax.vmap(REGRESSION.coefficients)(MIXTURE.components(p)))(points)
    low, middle, high = np.quantile(np.asarray(each)[:, :, 0], [0.05, 0.5, 0.95], axis=0)

    print(f"EM of three regressions {passed:.1f} s, NUTS of five sparse ones {sampled:.1f} s\n")
    print("group  weight  covariate    truth        EM   posterior (90 %)")
    for k, truth in enumerate(SLOPES):
        i = int(np.argmin(np.abs(middle - truth).sum(axis=1)))
        j = int(np.argmin(np.abs(found - truth).sum(axis=1)))
        for column, slope in enumerate(truth):
            first = f"{k:5d}{weights[i]:8.2f}" if not column else " " * 13
            interval = f"[{low[i, column]:6.2f}, {high[i, column]:6.2f}]"
            print(
                f"{first}{column:11d}{slope:9.2f}{found[j, column]:10.2f}"
                f"{middle[i, column]:9.2f} {interval}"
            )
    rest = np.sort(weights)[:2].sum()
    print(f"\nTwo groups more hold {rest:.1%} of the weight.")
    draw(low, middle, high, found)


def draw(low, middle, high, found):
    """How far slopes are from the truth: of EM, and of the posterior with its intervals."""
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    columns = np.arange(6)
    for k, (truth, color) in enumerate(zip(SLOPES, ["#0072B2", "#D55E00", "#009E73"], strict=True)):
        i = int(np.argmin(np.abs(middle - truth).sum(axis=1)))
        j = int(np.argmin(np.abs(found - truth).sum(axis=1)))
        place = columns + 0.22 * (k - 1)
        axes.vlines(place, low[i] - truth, high[i] - truth, color=color, linewidth=2)
        axes.plot(place, middle[i] - truth, "o", color=color, markersize=4, label=f"group {k + 1}")
        axes.plot(place + 0.07, found[j] - truth, "x", color=color, label="EM" if k == 2 else None)
    axes.axhline(0, color="0.8", zorder=0)
    names = [f"{i}\n{', '.join(f'{slope:g}' for slope in SLOPES[:, i])}" for i in columns]
    axes.set_xticks(columns, names)
    axes.set(xlabel="covariate, and its true slopes", ylabel="slope minus truth")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center")
    axes.margins(y=0.2)
    path = Path("output/sparse_regression_mixture.png")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"Picture: {path}")


if __name__ == "__main__":
    main()
