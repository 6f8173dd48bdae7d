"""Code that a type checker must reject on every line marked `# rejected`. Never run."""

import jax
from jax import Array

import expfam as ef


def mean_where_natural_belongs(normal: ef.Normal, x: Array) -> None:
    means = normal.to_mean(normal.initialize(jax.random.key(0)))
    normal.log_density(means, x)  # rejected
    normal.density(means, x)  # rejected
    normal.to_mean(means)  # rejected
    normal.log_normalizer(means)  # rejected
    normal.entropy(means)  # rejected
    normal.natural_gradient(means, means)  # rejected
    normal.sample(jax.random.key(0), means)  # rejected
    normal.mean_covariance(means)  # rejected
    normal.kl_divergence(normal.to_natural(means), means)  # rejected
    normal.log_density(normal.sufficient_statistic(x), x)  # rejected


def natural_where_mean_belongs(normal: ef.Normal) -> None:
    params = normal.initialize(jax.random.key(0))
    normal.to_natural(params)  # rejected
    normal.negative_entropy(params)  # rejected


def charts_do_not_mix(normal: ef.Normal) -> None:
    params = normal.initialize(jax.random.key(0))
    means = normal.to_mean(params)
    params + means  # rejected
    means - params  # rejected
    params @ params  # rejected
    means @ means  # rejected
    params * means  # rejected


def latent_variable_models(mixture: ef.Mixture, hmog: ef.AnalyticHMoG, xs: Array) -> None:
    means = mixture.mean_posterior_statistics(mixture.initialize(jax.random.key(0)), xs)
    mixture.expectation_maximization(means, xs)  # rejected
    mixture.log_observable_density(means, xs)  # rejected
    mixture.posterior_at(means, xs[0])  # rejected
    mixture.posterior_soft_assignments(means, xs)  # rejected
    hmog.whiten_prior(hmog.initialize(jax.random.key(0)))  # rejected


def bare_arrays_are_not_points(poisson: ef.Poisson, bernoulli: ef.Bernoulli, x: Array) -> None:
    poisson.log_density(x, x)  # rejected
    bernoulli.to_natural(x)  # rejected


def points_of_other_families(normal: ef.Normal, poisson: ef.Poisson, x: Array) -> None:
    normal.log_density(poisson.from_rate(3.0), x)  # rejected
    poisson.to_natural(normal.to_mean(normal.initialize(jax.random.key(0))))  # rejected
