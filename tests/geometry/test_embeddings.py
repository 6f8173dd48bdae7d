"""Embeddings of covariance structures, their adjoints, and splittings."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from expfam.geometry.embeddings import Splitting, embed, project
from tests.registry import DIAGONAL, EXACT, FULL, IDENTITY, SCALE, STRUCTURES

SIZE = 3
NESTED = [(a, b) for a, b in itertools.product(STRUCTURES, STRUCTURES) if a.rank <= b.rank]
PROPER = [(a, b) for a, b in NESTED if a != b]
DOMINATED = [(DIAGONAL, FULL), (SCALE, FULL), (SCALE, DIAGONAL)]


def names(pairs):
    return [f"{type(a).__name__}-{type(b).__name__}" for a, b in pairs]


nested = pytest.mark.parametrize(("part", "whole"), NESTED, ids=names(NESTED))
proper = pytest.mark.parametrize(("part", "whole"), PROPER, ids=names(PROPER))
dominated = pytest.mark.parametrize(("part", "whole"), DOMINATED, ids=names(DOMINATED))


def leaf(structure, seed, chart="natural"):
    """An arbitrary natural or mean leaf."""
    matrix = np.random.default_rng(seed).normal(size=(SIZE, SIZE))
    matrix = jnp.asarray(matrix + matrix.T)
    return structure.nearest(matrix) if chart == "natural" else structure.restrict(matrix)


def dense(structure, natural):
    return np.asarray(structure.dense(natural, SIZE, jnp.zeros(()).dtype))


def pair(natural, mean):
    return 0.0 if natural is None else float(jnp.sum(natural * mean))


def close(actual, expected):
    if expected is None:
        assert actual is None
    else:
        np.testing.assert_allclose(actual, expected, rtol=0, atol=100 * EXACT)


# ------------------------------------------------------------------------------------ embeddings


@nested
def test_embedding_keeps_the_matrix(part, whole):
    natural = leaf(part, 0)
    embedded = embed(natural, part, whole, SIZE, jnp.zeros(()).dtype)
    close(dense(whole, embedded), dense(part, natural))


@proper
def test_projection_is_the_adjoint_of_the_linear_part_of_embedding(part, whole):
    dtype = jnp.zeros(()).dtype
    a, b = leaf(part, 0), leaf(part, 1)
    mean = leaf(whole, 2, "mean")
    difference = embed(a, part, whole, SIZE, dtype) - embed(b, part, whole, SIZE, dtype)
    projected = project(mean, whole, part, SIZE)
    expected = 0.0 if part == IDENTITY else pair(a - b, projected)
    np.testing.assert_allclose(pair(difference, mean), expected, atol=100 * EXACT)


@nested
def test_projection_is_what_the_smaller_structure_sees(part, whole):
    matrix = np.random.default_rng(3).normal(size=(SIZE, SIZE))
    matrix = jnp.asarray(matrix + matrix.T)
    close(project(whole.restrict(matrix), whole, part, SIZE), part.restrict(matrix))


@proper
def test_larger_structures_do_not_go_into_smaller_ones(part, whole):
    message = f"{type(whole).__name__} is not contained in {type(part).__name__}"
    with pytest.raises(ValueError, match=message):
        embed(leaf(whole, 0), whole, part, SIZE, jnp.zeros(()).dtype)
    with pytest.raises(ValueError, match=message):
        project(leaf(part, 0, "mean"), part, whole, SIZE)
    with pytest.raises(ValueError, match=message):
        Splitting(part, whole, SIZE)


# ------------------------------------------------------------------------------------ splittings


@nested
def test_dimensions_of_part_and_rest_add_up(part, whole):
    splitting = Splitting(whole, part, SIZE)
    sizes = [
        0 if space is None else space.dim
        for space in (splitting.rest_space, part.space(SIZE), whole.space(SIZE))
    ]
    assert sizes[0] + sizes[1] == sizes[2]


@nested
def test_join_and_split_of_natural_leaves_are_inverse(part, whole):
    splitting = Splitting(whole, part, SIZE)
    natural = leaf(whole, 0)
    rest, varying = splitting.split_natural(natural)
    close(splitting.join(rest, varying), natural)
    again = splitting.split_natural(splitting.join(rest, varying))
    close(again[0], rest)
    close(again[1], varying)
    space = splitting.rest_space
    assert (rest is None) == (space is None)
    assert rest is None or rest.shape == space.shape


@nested
def test_split_of_mean_leaves_is_the_adjoint_of_join(part, whole):
    splitting = Splitting(whole, part, SIZE)
    rest, varying = splitting.split_natural(leaf(whole, 1))
    mean = leaf(whole, 2, "mean")
    mean_rest, mean_varying = splitting.split_mean(mean)
    np.testing.assert_allclose(
        pair(rest, mean_rest) + pair(varying, mean_varying),
        pair(splitting.join(rest, varying), mean),
        atol=100 * EXACT,
    )
    close(splitting.join_mean(mean_rest, mean_varying), mean)


@proper
def test_the_rest_is_orthogonal_to_the_part(part, whole):
    splitting = Splitting(whole, part, SIZE)
    rest = splitting.rest(leaf(whole, 3))
    close(splitting.rest(rest), rest)
    if part != IDENTITY:
        seen = part.restrict(rest if rest.ndim == 2 else jnp.diag(rest))
        close(seen, np.zeros(part.space(SIZE).shape))


@dominated
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_dominating_parts_make_the_sum_negative_definite(part, whole, spread):
    splitting = Splitting(whole, part, SIZE)
    rest = splitting.rest(5 * leaf(whole, 4))
    for seed in range(3):
        free = jnp.asarray(spread * np.random.default_rng(seed).normal(size=part.space(SIZE).shape))
        varying = splitting.dominate(free, rest)
        assert np.linalg.eigvalsh(dense(whole, splitting.join(rest, varying)))[-1] < 0
        np.testing.assert_allclose(splitting.dominated(varying, rest), free, atol=1e-6)


@dominated
def test_every_dominating_part_is_reached(part, whole):
    splitting = Splitting(whole, part, SIZE)
    negative = -jnp.diag(jnp.array([0.5, 2.0, 8.0]))
    rest = splitting.rest(0.4 * leaf(whole, 5))
    varying = part.nearest(negative)
    assert np.linalg.eigvalsh(dense(whole, splitting.join(rest, varying)))[-1] < 0
    close(splitting.dominate(splitting.dominated(varying, rest), rest), varying)
