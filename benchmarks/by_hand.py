"""EM written by hand in JAX for one model each: what the benchmarks compare with."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

LOG_2_PI = float(np.log(2 * np.pi))
BLOCK = 2048


def inverse_factors(matrices: Any) -> Any:
    """Inverses of the Cholesky factors of a few matrices, one after the other."""
    eye = jnp.eye(matrices.shape[-1], dtype=matrices.dtype)

    def one(matrix: Any) -> Any:
        return jax.scipy.linalg.solve_triangular(jnp.linalg.cholesky(matrix), eye, lower=True)

    return jax.lax.map(one, matrices)


def log_dets(factors: Any) -> Any:
    """Logarithms of the determinants of triangular matrices."""
    return jnp.log(jnp.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)


def squares(residuals: Any, k: int) -> Any:
    """Sums of squares in k groups."""
    return (residuals**2).reshape(len(residuals), k, -1).sum(axis=-1)


def outer(left: Any, right: Any) -> Any:
    """Products of all columns of the one with all columns of the other."""
    return (left[:, :, None] * right[:, None, :]).reshape(len(left), -1)


def sum_over_blocks(function: Callable[[Any], Any], xs: Any) -> Any:
    """Sums of what a function gives for blocks of rows that stay in the cache."""
    n = xs.shape[0] // BLOCK * BLOCK
    blocks = xs[:n].reshape(-1, BLOCK, xs.shape[1])
    total = jax.tree.map(lambda a: a.sum(axis=0), jax.lax.map(function, blocks))
    return total if n == xs.shape[0] else jax.tree.map(jnp.add, total, function(xs[n:]))


@jax.jit
def mixture_by_hand(state: Any, xs: Any) -> Any:
    """One EM step of a Gaussian mixture with full covariances."""
    weights, means, covariances = state
    k, dim = means.shape
    inverse = inverse_factors(covariances)
    stacked = inverse.reshape(k * dim, dim).T
    offsets = jnp.einsum("kij,kj->ki", inverse, means).ravel()
    constants = jnp.log(weights) + log_dets(inverse)

    def block(x: Any) -> Any:
        shares = jax.nn.softmax(constants - 0.5 * squares(x @ stacked - offsets, k), axis=1)
        return shares.sum(axis=0), shares.T @ x, outer(shares, x).T @ x

    counts, first, second = sum_over_blocks(block, xs)
    means = first / counts[:, None]
    second = second.reshape(k, dim, dim) / counts[:, None, None]
    return counts / xs.shape[0], means, second - means[:, :, None] * means[:, None]


def mixture_likelihood(state: Any, xs: Any) -> Any:
    """Mean log-likelihood of a Gaussian mixture."""
    weights, means, covariances = state
    inverse = inverse_factors(covariances)
    offsets = jnp.einsum("kij,kj->ki", inverse, means)
    residuals = jnp.einsum("nj,kij->kni", xs, inverse) - offsets[:, None]
    logs = (jnp.log(weights) + log_dets(inverse))[:, None] - 0.5 * (residuals**2).sum(-1)
    return jax.nn.logsumexp(logs, axis=0).mean() - 0.5 * xs.shape[1] * LOG_2_PI


@jax.jit
def hmog_by_hand(state: Any, xs: Any) -> Any:
    """One EM step of an HMoG with diagonal noise, without whitening."""
    weights, latent_means, latent_covariances, loadings, mean, noise = state
    n, (k, d) = xs.shape[0], latent_means.shape
    # Given a cluster, y has the precision S⁻¹ + WᵀΨ⁻¹W, and x enters by its scores WᵀΨ⁻¹(x − b).
    scaled = loadings / noise[:, None]
    prior = inverse_factors(latent_covariances)
    precisions = jnp.einsum("kji,kjl->kil", prior, prior)
    factors = inverse_factors(precisions + loadings.T @ scaled)
    spreads = jnp.einsum("kji,kjl->kil", factors, factors)
    pulls = jnp.einsum("kij,kj->ki", precisions, latent_means)
    stacked = factors.reshape(k * d, d).T
    offsets = jnp.einsum("kij,kj->ki", factors, pulls).ravel()
    constants = log_dets(factors) + log_dets(prior) - 0.5 * (latent_means * pulls).sum(axis=1)
    constants = constants + jnp.log(weights)
    spread_rows = jnp.swapaxes(spreads, 1, 2).reshape(k * d, d)
    spread_pulls = jnp.einsum("kij,kj->ki", spreads, pulls)

    def block(x: Any) -> Any:
        scores = (x - mean) @ scaled
        shares = jax.nn.softmax(constants + 0.5 * squares(scores @ stacked + offsets, k), axis=1)
        weighted = outer(shares, scores)
        latent = weighted @ spread_rows + shares @ spread_pulls
        sums = shares.sum(axis=0), latent.sum(axis=0), x.sum(axis=0), (x * x).sum(axis=0)
        return *sums, shares.T @ scores, weighted.T @ scores, x.T @ latent

    counts, total, ones, twos, first, second, cross = sum_over_blocks(block, xs)
    second = second.reshape(k, d, d) + first[:, :, None] * pulls[:, None]
    second = second + pulls[:, :, None] * (first + counts[:, None] * pulls)[:, None]
    first = jnp.einsum("kij,kj->ki", spreads, first + counts[:, None] * pulls)
    second = jnp.einsum("kij,kjl,kml->kim", spreads, second, spreads)
    second = second + counts[:, None, None] * spreads
    means = first / counts[:, None]
    covariances = second / counts[:, None, None] - means[:, :, None] * means[:, None]
    center, middle = total / n, ones / n
    moments = second.sum(axis=0) / n - jnp.outer(center, center)
    cross = cross / n - jnp.outer(middle, center)
    inverse = inverse_factors(moments[None])[0]
    loadings = cross @ (inverse.T @ inverse)
    noise = twos / n - middle**2 - (loadings * cross).sum(axis=1)
    return counts / n, means, covariances, loadings, middle - loadings @ center, noise


@jax.jit
def hmog_likelihood(state: Any, xs: Any) -> Any:
    """Mean log-likelihood of an HMoG, from the explicit mixture."""
    weights, means, covariances, loadings, mean, noise = state
    observed = loadings @ covariances @ loadings.T + jnp.diag(noise)
    return mixture_likelihood((weights, means @ loadings.T + mean, observed), xs)


def clusters(key: Any, xs: Any, k: int) -> Any:
    """Which cluster rows belong to: k-means++ and twenty of Lloyd's iterations."""
    first, rest = jax.random.split(key)
    centers = jnp.zeros((k, xs.shape[1]), xs.dtype).at[:].set(jax.random.choice(first, xs))

    def distances(centers: Any) -> Any:
        return ((xs[:, None] - centers) ** 2).sum(axis=-1)

    def seed(i: Any, centers: Any) -> Any:
        chosen = jax.random.categorical(
            jax.random.fold_in(rest, i), jnp.log(distances(centers).min(axis=1))
        )
        return centers.at[i].set(xs[chosen])

    def move(_: Any, centers: Any) -> Any:
        members = jax.nn.one_hot(distances(centers).argmin(axis=1), k, dtype=xs.dtype)
        return members.T @ xs / jnp.maximum(members.sum(axis=0), 1)[:, None]

    centers = jax.lax.fori_loop(0, 20, move, jax.lax.fori_loop(1, k, seed, centers))
    return jax.nn.one_hot(distances(centers).argmin(axis=1), k, dtype=xs.dtype)


def moments(members: Any, xs: Any) -> Any:
    """Weights, means and covariances of clusters."""
    counts = members.sum(axis=0) + 1e-3
    means = members.T @ xs / counts[:, None]
    second = jnp.einsum("nk,ni,nj->kij", members, xs, xs) / counts[:, None, None]
    covariances = second - means[:, :, None] * means[:, None]
    return counts / counts.sum(), means, covariances + 1e-3 * jnp.eye(xs.shape[1])


def until_settled(step: Callable[..., Any], likelihood: Any, state: Any, xs: Any) -> Any:
    """Steps until the likelihood gains less than 10⁻⁶, and the last likelihood."""

    def proceeds(carry: Any) -> Any:
        _, now, before, i = carry
        return (i < 500) & (jnp.abs(now - before) > 1e-6)

    def advance(carry: Any) -> Any:
        state, now, _, i = carry
        state = step(state, xs)
        return state, likelihood(state, xs), now, i + 1

    start = state, likelihood(state, xs), jnp.asarray(-jnp.inf, xs.dtype), 0
    return jax.lax.while_loop(proceeds, advance, start)[:2]


@partial(jax.jit, static_argnums=2)
def fit_mixture(key: Any, xs: Any, k: int) -> Any:
    """A Gaussian mixture."""
    state = moments(clusters(key, xs, k), xs)
    return until_settled(mixture_by_hand, mixture_likelihood, state, xs)


@partial(jax.jit, static_argnums=(2, 3))
def fit_hmog(key: Any, xs: Any, d: int, k: int) -> Any:
    """An HMoG from principal components; with one cluster, factor analysis."""
    mean = xs.mean(axis=0)
    _, roots, directions = jnp.linalg.svd(xs - mean, full_matrices=False)
    scale = roots[:d] / jnp.sqrt(xs.shape[0])
    scores = (xs - mean) @ directions[:d].T / scale
    loadings = directions[:d].T * scale
    noise = ((xs - mean - scores @ loadings.T) ** 2).mean(axis=0)
    state = *moments(clusters(key, scores, k), scores), loadings, mean, noise
    return until_settled(hmog_by_hand, hmog_likelihood, state, xs)
