"""Covariance structures against dense matrices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import DIAGONAL, EXACT, FULL, IDENTITY, SCALE, STRUCTURES

SIZE = 3
NAMES = ["full", "diagonal", "scale", "identity"]

RNG = np.random.default_rng(0)
FREE = {
    FULL: np.tril(RNG.normal(size=(SIZE, SIZE))),
    DIAGONAL: RNG.normal(size=SIZE),
    SCALE: RNG.normal(),
    IDENTITY: None,
}
X = RNG.normal(size=SIZE)
MATRIX = RNG.normal(size=(SIZE, SIZE))
MATRIX = MATRIX + MATRIX.T

each = pytest.mark.parametrize("structure", STRUCTURES, ids=NAMES)
free_only = pytest.mark.parametrize("structure", STRUCTURES[:3], ids=NAMES[:3])


def dense_factor(structure, leaf):
    """The d × d matrix of a factor leaf."""
    if leaf is None:
        return np.eye(SIZE)
    leaf = np.asarray(leaf)
    return leaf if leaf.ndim == 2 else np.diag(np.broadcast_to(leaf, SIZE))


def seen(structure, matrix):
    """The mean leaf of a matrix."""
    return {
        FULL: matrix,
        DIAGONAL: np.diagonal(matrix),
        SCALE: np.trace(matrix),
        IDENTITY: None,
    }[structure]


def close(actual, expected):
    if expected is None:
        assert actual is None
    else:
        np.testing.assert_allclose(actual, expected, rtol=100 * EXACT, atol=100 * EXACT)


@pytest.fixture(scope="module")
def kernels():
    return {structure: evaluate(structure) for structure in STRUCTURES}


def evaluate(structure):
    """Everything a structure computes, compiled at once."""

    @jax.jit
    def all_methods(free, x, matrix):
        s = structure
        factor = s.from_unconstrained(free)
        natural = s.from_factor(factor)
        factor_again, inverse = s.factors(natural)
        covariance = s.covariance(inverse, SIZE)
        mean_square = None if covariance is None else covariance + s.outer(x)
        return {
            "factor": factor,
            "natural": natural,
            "factor_again": factor_again,
            "factor_only": s.factor(natural),
            "inverse": inverse,
            "covariance": covariance,
            "precision_factor": s.precision_factor(covariance, mean_square, SIZE),
            "outer": s.outer(x),
            "quadratic": s.quadratic(natural, x),
            "log_det": s.log_det(factor, SIZE),
            "apply": s.apply(factor, x),
            "apply_transposed": s.apply_transposed(factor, x),
            "restrict": s.restrict(matrix),
            "restrict_product": s.restrict_product(matrix[:, :2], matrix[:, 1:]),
            "nearest": s.nearest(matrix),
            "dense": s.dense(natural, SIZE, x.dtype),
            "dense_nearest": s.dense(s.nearest(matrix), SIZE, x.dtype),
            "free": s.to_unconstrained(factor),
        }

    return all_methods(jax.tree.map(jnp.asarray, FREE[structure]), jnp.asarray(X), MATRIX)


@each
def test_spaces_describe_the_leaves(structure, kernels):
    space = structure.space(SIZE)
    if structure == IDENTITY:
        assert space is None
        assert kernels[structure]["natural"] is None
        return
    assert space.shape == kernels[structure]["natural"].shape
    assert space.dim == {FULL: 6, DIAGONAL: 3, SCALE: 1}[structure]


@each
def test_factor_of_the_precision(structure, kernels):
    own = kernels[structure]
    factor = dense_factor(structure, own["factor"])
    close(-2 * own["dense"], factor @ factor.T)
    close(own["factor_again"], own["factor"])
    close(own["factor_only"], own["factor"])
    np.testing.assert_allclose(factor, np.tril(factor))
    assert np.all(np.diagonal(factor) > 0)


@each
def test_products_with_the_factor(structure, kernels):
    own = kernels[structure]
    factor = dense_factor(structure, own["factor"])
    close(own["apply"], factor @ X)
    close(own["apply_transposed"], factor.T @ X)
    close(own["log_det"], np.linalg.slogdet(factor)[1])
    close(dense_factor(structure, own["inverse"]), np.linalg.inv(factor))


@each
def test_covariance_and_its_precision_factor(structure, kernels):
    own = kernels[structure]
    factor = dense_factor(structure, own["factor"])
    close(own["covariance"], seen(structure, np.linalg.inv(factor @ factor.T)))
    close(own["precision_factor"], own["factor"])


@each
def test_statistic_and_its_pairing(structure, kernels):
    own = kernels[structure]
    close(own["outer"], seen(structure, np.outer(X, X)))
    # where nothing is free, the quadratic form belongs to the base measure
    expected = 0 if structure == IDENTITY else X @ np.asarray(own["dense"]) @ X
    close(own["quadratic"], expected)
    if structure != IDENTITY:
        close(np.sum(own["natural"] * own["outer"]), expected)


@free_only
def test_restriction_is_the_adjoint_of_dense(structure, kernels):
    own = kernels[structure]
    close(own["restrict"], seen(structure, MATRIX))
    close(np.sum(own["natural"] * own["restrict"]), np.sum(own["dense"] * MATRIX))


@free_only
def test_restriction_of_a_product(structure, kernels):
    product = MATRIX[:, :2] @ MATRIX[:, 1:].T
    close(kernels[structure]["restrict_product"], seen(structure, (product + product.T) / 2))


@free_only
def test_nearest_is_the_orthogonal_projection(structure, kernels):
    own = kernels[structure]
    residual = MATRIX - np.asarray(own["dense_nearest"])
    close(seen(structure, residual), np.zeros(structure.space(SIZE).shape))


@each
def test_free_parameters_round_trip(structure, kernels):
    close(kernels[structure]["free"], FREE[structure])


@free_only
def test_factor_is_nan_where_the_precision_is_not_positive_definite(structure):
    matrix = jnp.diag(jnp.array([-1.0, -1.0, 2.0]))
    for natural in (structure.nearest(matrix), structure.nearest(0 * matrix)):
        assert np.isnan(structure.log_det(structure.factor(natural), SIZE))


@free_only
def test_precision_factor_takes_no_rounding_for_a_variance(structure):
    # A covariance that is exactly singular, and one at the level of rounding of second moments.
    eps = float(jnp.finfo(float).eps)
    constant = np.zeros((3, 3)) if structure == SCALE else np.diag([1.0, 0.0, 1.0])
    noise = eps * np.eye(3) if structure == SCALE else np.diag([1.0, eps, 1.0])
    for covariance in (constant, noise):
        leaf = structure.restrict(jnp.asarray(covariance))
        square = structure.restrict(jnp.asarray(covariance + np.ones((3, 3))))
        assert np.all(np.isnan(structure.precision_factor(leaf, square, 3)))


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_a_dependent_column_makes_a_covariance_singular(offset):
    factor = jax.jit(FULL.precision_factor, static_argnums=2)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(50, 4))
        rows = offset + np.column_stack([rows, rows @ rng.normal(size=4)])
        mean, square = rows.mean(axis=0), rows.T @ rows / 50
        covariance = square - np.outer(mean, mean)
        assert np.all(np.isnan(factor(jnp.asarray(covariance), jnp.asarray(square), 5))), seed
        # The diagonal is far from singular.
        leaves = jnp.asarray(np.diagonal(covariance)), jnp.asarray(np.diagonal(square))
        close(DIAGONAL.precision_factor(*leaves, 5), np.diagonal(covariance) ** -0.5)


@pytest.mark.parametrize("widths", [[1e-3, 1.0, 1e3], [1e3, 1e-3, 1.0]])
def test_precision_factor_keeps_small_variances_beside_large_ones(widths):
    # Different units are not singularity.
    shape = np.array([[1.0, 0.5, 0.2], [0.5, 1.0, 0.3], [0.2, 0.3, 1.0]])
    covariance = np.outer(widths, widths) * shape
    factor = np.asarray(FULL.precision_factor(jnp.asarray(covariance), jnp.asarray(covariance), 3))
    scaled = factor * np.asarray(widths)[:, None]
    np.testing.assert_allclose(scaled @ scaled.T, np.linalg.inv(shape), rtol=1e3 * EXACT)


@each
@pytest.mark.parametrize("size", [1, 5, 32, 33, 50])
def test_residual_in_few_and_in_many_dimensions(structure, size):
    rng = np.random.default_rng(size)
    factor = {
        FULL: np.tril(rng.normal(size=(size, size))),
        DIAGONAL: rng.normal(size=size),
        SCALE: rng.normal(),
        IDENTITY: None,
    }[structure]
    xs, whitened = jnp.asarray(rng.normal(size=(2, 7, size)))
    diagonal = 1.0 if factor is None else factor
    dense = factor if structure == FULL else np.diag(np.broadcast_to(diagonal, size))
    leaf = jax.tree.map(jnp.asarray, factor)
    found = jax.vmap(lambda x, v: structure.residual(leaf, x, v))(xs, whitened)
    np.testing.assert_allclose(found, xs @ dense - whitened, rtol=EXACT, atol=EXACT)


def test_structures_are_nested_by_rank():
    assert [structure.rank for structure in STRUCTURES] == [3, 2, 1, 0]
    assert len({ef.PositiveDefinite(), ef.PositiveDefinite(), ef.Diagonal()}) == 2
