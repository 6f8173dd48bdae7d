"""EM never lowers the likelihood: 200 steps from 20 starts.

Half of the starts come from clustering, half are random points, where the likelihood climbs most.
All starts of a model run as one compiled program.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import DIAGONAL, IDENTITY, SCALE

N, P, D, K = 72, 4, 2, 3

# Numbers of starts and steps, and largest fall allowed. Closed forms may lose rounding; where the
# M-step is a solve, what the solve leaves.
CLOSED, SOLVED = (20, 200, 1e-10), (20, 200, 1e-8)
MODELS = {
    "mixture, full": (ef.Mixture(ef.Normal(P), K), CLOSED),
    "mixture, diagonal": (ef.Mixture(ef.Normal(P, DIAGONAL), K), CLOSED),
    "mixture, scale": (ef.Mixture(ef.Normal(P, SCALE), K), CLOSED),
    "mixture, identity": (ef.Mixture(ef.Normal(P, IDENTITY), K), CLOSED),
    "factor analysis": (ef.factor_analysis(P, D), CLOSED),
    "probabilistic PCA": (ef.probabilistic_pca(P, D), CLOSED),
    "mixture of factor analyzers": (ef.mixture_of_factor_analyzers(P, 1, K), CLOSED),
    "analytic HMoG, diagonal noise": (ef.analytic_hmog(P, DIAGONAL, D, K), CLOSED),
    "symmetric HMoG, diagonal": (ef.symmetric_hmog(P, DIAGONAL, D, DIAGONAL, 2), SOLVED),
    "differentiable HMoG, diagonal": (ef.differentiable_hmog(P, DIAGONAL, D, DIAGONAL, 2), SOLVED),
}


def clusters():
    """Rows of three clusters in a plane of the observed space, with noise; standardized."""
    rng = np.random.default_rng(0)
    centers = 2.5 * np.array([[0.0, 1.0], [1.0, -0.5], [-1.0, -0.5]])
    labels = np.arange(N) % K
    latent = centers[labels] + 0.8 * rng.normal(size=(N, D))
    rows = latent @ rng.normal(size=(D, P)) + 0.6 * rng.normal(size=(N, P))
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)


@partial(jax.jit, static_argnums=3)
def climb(model, keys, xs, steps):
    """Objectives and validity of all steps, from all starts."""

    def step(coords, _):
        coords, objective, valid = model._em_step(coords, xs, None, None)
        return coords, (objective, valid)

    clustered = jax.vmap(lambda key: model.initialize_from_sample(key, xs).coords)(keys)
    anywhere = jax.vmap(model._initialize)(keys)
    starts = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), clustered, anywhere)
    return jax.vmap(lambda start: jax.lax.scan(step, start, length=steps)[1])(starts)


def marked(name):
    """A model; where the M-step is a solve, climbing takes long."""
    long = MODELS[name][1] == SOLVED
    return pytest.param(name, marks=pytest.mark.slow if long else [])


@pytest.mark.parametrize("name", [marked(name) for name in MODELS])
def test_em_never_lowers_the_likelihood(name):
    model, (starts, steps, tolerance) = MODELS[name]
    keys = jax.random.split(jax.random.key(2), starts // 2)
    objectives, valid = map(np.asarray, climb(model, keys, jnp.asarray(clusters()), steps))
    assert objectives.shape == (starts, steps)
    assert valid.all()
    assert np.isfinite(objectives).all()
    falls = -np.diff(objectives, axis=1).min(axis=1)
    assert falls.max() <= tolerance, falls
    # From random points it climbs far.
    climbed = objectives[starts // 2 :, -1] - objectives[starts // 2 :, 0]
    assert climbed.mean() > 1
