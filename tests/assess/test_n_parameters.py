"""The number of identified parameters is the rank of what they do to the law of observations."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.harmonium.identified import n_identified

from ..registry import BY_NAME, DIAGONAL, FULL, IDENTITY, SCALE, needs_float64, random_params

STRUCTURES = [FULL, DIAGONAL, SCALE, IDENTITY]


def basis(structure, size):
    """A basis of the symmetric matrices of a structure."""
    units = np.eye(size)
    if structure == FULL:
        pairs = [(i, j) for i in range(size) for j in range(i, size)]
        return [np.outer(units[i], units[j]) + np.outer(units[j], units[i]) for i, j in pairs]
    if structure == DIAGONAL:
        return [np.diag(unit) for unit in units]
    return [units] if structure == SCALE else []


def rank_of_law(p, d, count, noise, structure, varying, seed=0):
    """Rank of the derivative of weights, precisions and precisions times means of x given k.

    With posterior precisions Q_k = R_k⁻¹ of y the precision of x is N − Θ R_k Θᵀ, and that times
    the mean is h + Θ R_k q_k.
    """
    rng = np.random.default_rng(seed)
    theta, q = rng.normal(size=(p, d)), rng.normal(size=(count, d))
    every = list(range(count))
    if varying is None:
        moves = [([k], b) for k in every for b in basis(structure, d)]
    else:
        moves = [(every, b) for b in basis(structure, d)]
        moves += [([k], b) for k in every for b in basis(varying, d)]
    precision = np.tile(3 * np.eye(d), (count, 1, 1))
    for which, b in moves:
        precision[which] += 0.4 * rng.normal() * b
    r = np.linalg.inv(precision)
    none, still, fixed = np.zeros((p, d)), np.zeros((count, d)), np.zeros((p, p))
    rows = []

    def add(theta_move=none, noise_move=fixed, h_move=0.0, q_move=still, r_move=0.0 * r):
        second = noise_move - theta_move @ r @ theta.T - theta @ r @ theta_move.T
        second = second - theta @ r_move @ theta.T
        first = h_move + (theta_move @ r + theta @ r_move) @ q[..., None]
        first = first + theta @ r @ q_move[..., None]
        rows.append(np.concatenate([np.ravel(second), np.ravel(first)]))

    for unit in np.eye(p * d):
        add(theta_move=unit.reshape(p, d))
    for b in basis(noise, p):
        add(noise_move=b)
    for unit in np.eye(p):
        add(h_move=unit[:, None])
    for unit in np.eye(count * d):
        add(q_move=unit.reshape(count, d))
    for which, b in moves:
        r_move = np.zeros_like(r)
        r_move[which] = -r[which] @ b @ r[which]
        add(r_move=r_move)
    values = np.linalg.svd(np.array(rows), compute_uv=False)
    return count - 1 + int(np.sum(values > 1e-9 * values[0]))


UPPER = [(s, None) for s in STRUCTURES] + [(FULL, s) for s in (DIAGONAL, SCALE, IDENTITY)]


@pytest.mark.parametrize(("p", "d"), [(3, 1), (4, 2), (6, 2), (5, 4), (7, 3)])
def test_linear_gaussian_models(p, d):
    for count, noise, (structure, varying) in product((1, 2, 3, 4), STRUCTURES, UPPER):
        upper = ef.Mixture(ef.Normal(d, structure), count, varying)
        expected = rank_of_law(p, d, count, noise, structure, varying)
        assert n_identified(noise, p, upper) == expected, (count, noise, structure, varying)


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (ef.Normal(3), 9),
        (ef.Product((ef.Normal(2), ef.Poisson(), ef.Categorical(3))), 8),
        (ef.factor_analysis(6, 2), 6 * 2 + 6 + 6 - 1),
        (ef.factor_analysis(4, 3), 4 + 10),
        (ef.probabilistic_pca(6, 2), 6 * 2 + 6 + 1 - 1),
        (ef.mixture_of_factor_analyzers(6, 2, 3), 3 * 23 + 2),
        (ef.Mixture(ef.Normal(2), 3, IDENTITY), 11),
        (ef.Mixture(ef.Normal(3), 3), 29),
        (ef.Mixture(ef.Replicated(ef.Bernoulli(), 7), 3), 23),
        (ef.Mixture(ef.Categorical(4), 2), 3),
        (ef.Mixture(ef.Binomial(4), 3), 4),
        (ef.Mixture(ef.Multinomial(2, 3), 3), 5),
        (ef.analytic_hmog(8, DIAGONAL, 2, 3), 8 * 2 + 8 + 8 + 2 + 3 * 5 - 2 - 4),
        (ef.HiddenMarkov(ef.Normal(2), 3, 5), 3 * 5 + 2 + 6),
        (ef.HiddenMarkov(ef.Bernoulli(), 3, 2), 3),
    ],
    ids=lambda value: str(value)[:40],
)
def test_by_hand(model, count):
    assert model.n_parameters == count


@needs_float64
@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "mixture_product",
        "mixture_full_by_diagonal",
        "mixture_nested",
        "factor_analysis",
        "linear_to_diagonal",
        "hierarchical_factor_mixture",
        "analytic_diagonal",
        "symmetric_diagonal",
        "differentiable_diagonal",
    ],
)
def test_rank_of_the_information(name):
    # scores of many draws span the directions in which the law of observations changes
    model = BY_NAME[name]
    params = random_params(model, jax.random.key(3))
    draws = jax.vmap(model._observe)(model.sample(jax.random.key(4), params, 4 * model.dim))
    free = model.to_unconstrained(params)
    flat, unravel = jax.flatten_util.ravel_pytree(free)

    def density(vector, x):
        return model.log_observable_density(model.from_unconstrained(unravel(vector)), x)

    scores = jax.jit(jax.vmap(jax.grad(density), in_axes=(None, 0)))(flat, draws)
    values = np.linalg.svd(np.asarray(scores), compute_uv=False)
    assert int(np.sum(values > 1e-8 * values[0])) == model.n_parameters
    assert jnp.all(jnp.isfinite(values))
