"""Factorizations: of every size, against NumPy, and what of them reaches LAPACK."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expfam.geometry import linalg

SIZES = [1, 2, 31, 32, 33, 48, 100]  # blocks begin at 32
EPSILON = float(jnp.finfo(jnp.result_type(float)).eps)


def positive(dim, condition=1e4):
    """A matrix with eigenvalues from 1 down to the reciprocal of its condition number."""
    rng = np.random.default_rng(dim)
    vectors, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    matrix = (vectors * np.geomspace(1, 1 / condition, dim)) @ vectors.T
    return jnp.asarray((matrix + matrix.T) / 2)


@pytest.mark.parametrize("dim", SIZES)
def test_factor_and_inverse(dim):
    matrices = jnp.stack([positive(dim), 3 * positive(dim, 10)])
    factors, inverses = jax.jit(jax.vmap(linalg.factorize))(matrices)
    for matrix, factor, inverse in zip(matrices, factors, inverses, strict=True):
        np.testing.assert_allclose(factor @ factor.T, matrix, atol=8 * dim * EPSILON)
        assert not np.any(np.triu(inverse, 1))
        # Higham (2002), section 14.2: the residual of a stable inversion, entry by entry
        bound = 8 * dim * EPSILON * np.abs(inverse) @ np.abs(factor)
        assert np.all(np.abs(inverse @ factor - np.eye(dim)) <= bound)


@pytest.mark.parametrize("dim", [31, 40])
def test_derivatives(dim):
    matrix, change = positive(dim, 10), positive(dim + 1, 10)[:dim, :dim]
    _, slopes = jax.jvp(linalg.factorize, (matrix,), (change,))
    step = EPSILON ** (1 / 3)
    after, before = (np.linalg.cholesky(matrix + s * change) for s in (step, -step))
    np.testing.assert_allclose(slopes[0], (after - before) / (2 * step), atol=1e2 * step**2)
    difference = (np.linalg.inv(after) - np.linalg.inv(before)) / (2 * step)
    np.testing.assert_allclose(slopes[1], difference, atol=1e3 * step**2)


@pytest.mark.parametrize("dim", [3, 40])
def test_nan_where_a_matrix_is_not_positive_definite(dim):
    factor, inverse = linalg.factorize(positive(dim) - 0.5 * jnp.eye(dim))
    assert np.isnan(factor).any()
    assert np.isnan(inverse).any()


def test_orthonormal_basis():
    tall = np.random.default_rng(0).normal(size=(9, 3))
    dependent = np.stack([tall[:, 0], -2 * tall[:, 0], np.zeros(9)], axis=1)
    matrices = jnp.asarray(np.stack([tall, dependent]))
    bases = jax.jit(jax.vmap(linalg.orthonormal_basis))(matrices)
    tolerance = 64 * EPSILON
    for matrix, basis in zip(matrices, bases, strict=True):
        np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=tolerance)
        np.testing.assert_allclose(basis @ (basis.T @ matrix), matrix, atol=tolerance)


def test_triangular_solves_are_too_small_to_be_shared_among_threads():
    program = jax.jit(linalg.factorize).lower(positive(100)).compile().as_text()
    solves = re.findall(r"= f\d+\[(\d+),(\d+)\]\S* custom-call\(.*trsm", program)
    assert solves
    assert all(int(rows) * int(columns) < 1024 for rows, columns in solves)
