"""Code that a type checker must accept. Never run."""

import jax
import jax.numpy as jnp
from jax import Array

import expfam as ef


def families(normal: ef.Normal, poisson: ef.Poisson, x: Array) -> Array:
    params = normal.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
    means = normal.to_mean(params)
    back = normal.to_natural(means)
    total = normal.log_density(params, x) + normal.log_density(back, x)
    return total + (params @ means) + (means @ params) + poisson.rate(poisson.from_rate(3.0))


def vector_space(normal: ef.Normal, x: Array) -> Array:
    p = normal.initialize(jax.random.key(0))
    q = normal.initialize(jax.random.key(1))
    middle = 0.5 * p + q / 2 - (-p) * 0.0
    average = 0.5 * normal.to_mean(p) + 0.5 * normal.to_mean(q)
    return normal.log_density(middle, x) + normal.log_density(normal.to_natural(average), x)


def models(mixture: ef.Mixture, hmog: ef.AnalyticHMoG, xs: Array) -> Array:
    params = mixture.initialize_from_sample(jax.random.key(0), xs)
    for _ in range(3):
        params = mixture.expectation_maximization(params, xs)
    statistics = mixture.mean_posterior_statistics(params, xs)
    fit = mixture.to_natural(statistics)
    responsibilities = mixture.posterior_soft_assignments(fit, xs)
    start = hmog.initialize(jax.random.key(0))
    whitened = hmog.to_natural(hmog.whiten_prior(hmog.to_mean(start)))
    likelihood, prior = hmog.split_conjugated(whitened)
    joined = hmog.join_conjugated(likelihood, prior)
    return responsibilities[0] + hmog.average_log_observable_density(joined, xs)


def generic(family: ef.AbstractExponentialFamily[Array], x: Array) -> Array:
    params = family.initialize(jax.random.key(0))
    return family.kl_divergence(params, params) + family.log_density(params, x)
