"""Spaces: packing is orthonormal and of minimal length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expfam.geometry import spaces as sp
from tests.registry import EXACT

SPACES = {
    "number": sp.Euclidean(()),
    "array": sp.Euclidean((2, 3)),
    "symmetric": sp.Symmetric(3),
    "symmetric_one": sp.Symmetric(1),
    "isotropic": sp.Isotropic(3),
    "hollow": sp.Hollow(3),
    "hollow_one": sp.Hollow(1),
    "traceless": sp.Traceless(3),
    "traceless_one": sp.Traceless(1),
    "traceless_diagonal": sp.TracelessDiagonal(4),
    "one_hot": sp.OneHot(4),
    "one_hot_one": sp.OneHot(1),
    "replicated_symmetric": sp.Replicated(sp.Symmetric(2), 3),
    "replicated_isotropic": sp.Replicated(sp.Isotropic(2), 3),
}

DIMENSIONS = [1, 6, 6, 1, 1, 3, 0, 5, 0, 3, 3, 0, 9, 3]


def element(space, seed, chart):
    # An arbitrary element of the space, made without `unpack`.
    leaf = np.random.default_rng(seed).normal(size=space.shape)
    match space:
        case sp.Symmetric():
            leaf = leaf + leaf.T
        case sp.Hollow():
            leaf = leaf + leaf.T - 2 * np.diag(np.diagonal(leaf))
        case sp.Traceless():
            leaf = leaf + leaf.T
            leaf = leaf - np.trace(leaf) / space.size * np.eye(space.size)
        case sp.TracelessDiagonal():
            leaf = leaf - np.mean(leaf)
        case sp.OneHot():
            leaf = leaf - leaf[0] if chart == "natural" else np.exp(leaf) / np.sum(np.exp(leaf))
        case sp.Replicated():
            leaf = np.stack([element(space.space, seed + i, chart) for i in range(space.copies)])
    return jnp.asarray(leaf)


@pytest.mark.parametrize(
    ("space", "dim"), list(zip(SPACES.values(), DIMENSIONS, strict=True)), ids=SPACES
)
def test_packing_is_orthonormal_and_minimal(space, dim):
    natural, mean = element(space, 0, "natural"), element(space, 10, "mean")
    packed = space.pack(natural, "natural"), space.pack(mean, "mean")
    assert space.dim == dim
    assert packed[0].shape == packed[1].shape == (dim,)
    np.testing.assert_allclose(packed[0] @ packed[1], np.sum(natural * mean), atol=10 * EXACT)
    for vector, leaf, chart in zip(packed, (natural, mean), ("natural", "mean"), strict=True):
        back = space.unpack(vector, chart)
        assert back.shape == space.shape
        np.testing.assert_allclose(back, leaf, atol=10 * EXACT)


@pytest.mark.parametrize("space", list(SPACES.values()), ids=SPACES)
def test_packing_is_onto(space):
    for chart in ("natural", "mean"):
        vector = jnp.asarray(np.random.default_rng(1).normal(size=space.dim))
        back = space.pack(space.unpack(vector, chart), chart)
        np.testing.assert_allclose(back, vector, atol=10 * EXACT)


def test_one_hot_weights_are_defined_up_to_a_constant():
    space, leaf = sp.OneHot(3), jnp.array([0.5, -1.0, 2.0])
    np.testing.assert_allclose(space.pack(leaf, "natural"), space.pack(leaf + 7, "natural"))


def test_trees_are_packed_leaf_by_leaf():
    tree = {"a": sp.Symmetric(2), "b": (None, sp.Isotropic(3)), "c": sp.Euclidean((2,))}
    coords = {
        "a": jnp.array([[1.0, 2.0], [2.0, 3.0]]),
        "b": (None, jnp.asarray(5.0)),
        "c": jnp.array([6.0, 7.0]),
    }
    vector = sp.pack(tree, coords, "natural")
    np.testing.assert_allclose(vector, [1, 3, 2 * 2**0.5, 5 * 3**0.5, 6, 7])
    back = sp.unpack(tree, vector, "natural")
    assert jax.tree.structure(back) == jax.tree.structure(coords)
    for leaf, expected in zip(jax.tree.leaves(back), jax.tree.leaves(coords), strict=True):
        np.testing.assert_allclose(leaf, expected, rtol=EXACT)


def test_an_empty_tree_packs_to_nothing():
    assert sp.pack(None, None, "mean").shape == (0,)
    assert sp.unpack(None, jnp.zeros(0), "mean") is None


def test_replicate_and_zeros_keep_the_tree():
    tree = {"a": sp.Symmetric(2), "b": None}
    many = sp.replicate(tree, 3)
    assert many == {"a": sp.Replicated(sp.Symmetric(2), 3), "b": None}
    zero = sp.zeros(many, jnp.dtype("float32"))
    assert zero["a"].shape == (3, 2, 2)
    assert zero["a"].dtype == jnp.float32
    assert not zero["a"].any()
