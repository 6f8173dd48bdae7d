"""Distributions of NumPyro, and draws of mixtures: labels and ArviZ."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS
from numpyro.infer.util import log_density

import expfam as ef
from expfam.numpyro import distribution, proposals

NORMAL = ef.Normal(1)
MIXTURE = ef.Mixture(NORMAL, 2)
XS = jnp.asarray(
    np.concatenate(
        [np.random.default_rng(0).normal(-2, 1, 40), np.random.default_rng(1).normal(3, 0.7, 20)]
    )
)[:, None]


def usual():
    weights = numpyro.sample("weights", dist.Dirichlet(2 * jnp.ones(2)))
    with numpyro.plate("components", 2):
        means = numpyro.sample("means", dist.Normal(0, 5))
        deviations = numpyro.sample("deviations", dist.LogNormal(0, 0.5))
    return weights, means, deviations


def ours(xs):
    weights, means, deviations = usual()
    with proposals():
        components = jax.vmap(NORMAL.from_mean_covariance)(
            means[:, None], deviations[:, None, None] ** 2
        )
        params = MIXTURE.from_components(weights, components)
    numpyro.sample("xs", distribution(MIXTURE, params), obs=xs)


def by_hand(xs):
    weights, means, deviations = usual()
    components = dist.Normal(means, deviations)
    mixture = dist.MixtureSameFamily(dist.Categorical(weights), components)
    numpyro.sample("xs", mixture, obs=xs[:, 0])


VALUES = {
    "weights": jnp.array([0.6, 0.4]),
    "means": jnp.array([-2.0, 2.5]),
    "deviations": jnp.array([1.0, 0.8]),
}


def test_density_and_gradient_are_those_of_a_model_by_hand():
    def both(model):
        return jax.jit(jax.value_and_grad(lambda v: log_density(model, (XS,), {}, v)[0]))(VALUES)

    (value, slope), (expected, by_formula) = both(ours), both(by_hand)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for name in ("means", "deviations"):
        np.testing.assert_allclose(slope[name], by_formula[name], rtol=1e-4, atol=1e-4)


def test_proposals_out_of_range_are_no_errors():
    outside = VALUES | {"weights": jnp.array([1.0, 0.0])}
    value = jax.jit(lambda v: log_density(ours, (XS,), {}, v)[0])(outside)
    assert not np.isfinite(value)


def test_shapes_and_draws():
    normal = ef.Normal(3)
    own = distribution(normal, normal.from_mean_covariance(jnp.arange(3.0), jnp.eye(3)))
    assert (own.batch_shape, own.event_shape) == ((), (3,))
    draws = own.sample(jax.random.key(0), (500,))
    assert draws.shape == (500, 3)
    assert np.all(np.abs(draws.mean(0) - np.arange(3)) < 0.3)
    assert own.log_prob(draws).shape == (500,)
    assert own.expand((4,)).log_prob(draws[:4]).shape == (4,)
    poisson = distribution(ef.Poisson(), ef.Poisson().from_rate(2.0))
    assert poisson.event_shape == ()
    assert poisson.support(jnp.array(3))
    product = ef.Product((ef.Poisson(), ef.Bernoulli()))
    point = product.initialize(jax.random.key(0))
    with pytest.raises(TypeError, match="`model` must have data of one array"):
        distribution(product, point)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:\s*ArviZ is undergoing:FutureWarning")
def test_labels_are_aligned():
    three = ef.Mixture(NORMAL, 3)
    xs = jnp.array([[-3.0], [-2.5], [0.0], [0.4], [4.0], [4.2]])
    rng = np.random.default_rng(0)
    orders = list(itertools.permutations(range(3)))
    weights, means = np.array([0.2, 0.3, 0.5]), np.array([-3.0, 0.0, 4.0])
    moved = [(weights[list(o)], means[list(o)] + 0.1 * rng.normal(size=3)) for o in orders]

    def point(weights, means):
        covariances = jnp.ones((3, 1, 1))
        parts = jax.vmap(NORMAL.from_mean_covariance)(means[:, None], covariances)
        return three.from_components(weights, parts)

    stacked = [jnp.asarray(np.stack(leaf)) for leaf in zip(*moved, strict=True)]
    points = jax.tree.map(lambda a: a.reshape(2, 3, *a.shape[1:]), jax.vmap(point)(*stacked))
    aligned = ef.align_labels(three, points, xs)
    data = ef.to_arviz(aligned, {"weights": three.weights})
    np.testing.assert_allclose(
        data.posterior["weights"], np.broadcast_to(weights, (2, 3, 3)), rtol=1e-4
    )
    before = jax.vmap(three.log_observable_density, (0, None))
    flat = [jax.tree.map(lambda a: a.reshape(6, *a.shape[2:]), p) for p in (points, aligned)]
    np.testing.assert_allclose(before(flat[0], xs), before(flat[1], xs), rtol=1e-4)
    with pytest.raises(TypeError, match="`readers` must say what to read"):
        ef.to_arviz(aligned, {})


@pytest.mark.slow
def test_nuts_finds_the_posterior_of_a_model_by_hand():
    found = {}
    for name, model in (("ours", ours), ("by hand", by_hand)):
        sampler = MCMC(
            NUTS(model),
            num_warmup=300,
            num_samples=800,
            num_chains=2,
            chain_method="sequential",
            progress_bar=False,
        )
        sampler.run(jax.random.key(0), XS)
        draws = sampler.get_samples(group_by_chain=True)
        order = np.argsort(draws["means"], axis=-1)
        found[name] = {
            n: np.take_along_axis(np.asarray(draws[n]), order, -1)
            for n in ("means", "deviations", "weights")
        }
    for name, own in found["ours"].items():
        other = found["by hand"][name]
        sizes = np.minimum(effective_sample_size(own), effective_sample_size(other))
        spread = other.std((0, 1))
        # the difference of two estimates, four standard errors
        assert np.all(
            np.abs(own.mean((0, 1)) - other.mean((0, 1))) < 4 * spread * np.sqrt(2 / sizes)
        )
        ratio = own.std((0, 1)) / spread
        assert np.all(np.abs(ratio - 1) < 6 / np.sqrt(sizes))
