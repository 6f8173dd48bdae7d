"""A family and its two charts: natural and mean coordinates of the Poisson and normal families.

Prints one distribution in both charts, checks that the log-normalizer ties them together, and draws
the map between the charts. Writes output/family_charts.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt


def main():
    """Print and draw."""
    normal = ef.Normal(1)
    params = normal.from_mean_covariance(jnp.array([1.0]), jnp.array([[4.0]]))
    means = normal.to_mean(params)
    print("A normal distribution of mean 1 and variance 4")
    print(f"  natural coordinates (Σ⁻¹μ, −Σ⁻¹/2): {np.asarray(normal.flatten(params))}")
    print(f"  mean coordinates (E[x], E[x²]):     {np.asarray(normal.flatten(means))}")
    slope = ef.gradient(normal.log_normalizer)(params)
    print(f"  gradient of the log-normalizer:     {np.asarray(normal.flatten(slope))}")
    draws = normal.sample(jax.random.key(0), params, (100_000,))
    average = normal.average_sufficient_statistic(draws)
    print(f"  average statistic of 100000 draws:  {np.asarray(normal.flatten(average)).round(2)}")
    print(f"  pairing ⟨θ, η⟩ = ψ + φ:             {float(params @ means):.4f}")

    poisson = ef.Poisson()
    thetas = jnp.linspace(-2, 2, 100)
    rates = jax.vmap(lambda theta: poisson.to_mean(ef.Natural(theta)).coords)(thetas)
    counts = jnp.arange(15)
    figure, (chart, densities) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    chart.plot(thetas, rates, color="0.5")
    chart.set(title="Poisson: the two charts", xlabel="natural: log rate", ylabel="mean: rate")
    for rate in (0.5, 2.0, 6.0):
        point = poisson.from_rate(rate)
        chart.plot(np.log(rate), rate, "o")
        densities.plot(counts, poisson.density(point, counts), "o-", ms=4, label=f"rate {rate:g}")
    densities.set(title="Their distributions", xlabel="count", ylabel="probability")
    densities.legend(frameon=False)
    path = Path("output") / "family_charts.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
