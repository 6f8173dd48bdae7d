"""Public methods of manifolds are trees: arguments of transformations, equal where they are."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np

import expfam as ef

NORMAL = ef.Normal(2)


def standardized():
    return ef.standardize(NORMAL, jnp.asarray(np.random.default_rng(0).normal(3, 2, (20, 2))))


def test_methods_are_compiled_once_for_equal_families():
    params = NORMAL.initialize(jax.random.key(0))
    traced = []

    @jax.jit
    def call(method, params):
        traced.append(method)
        return method(params)

    first = call(NORMAL.log_normalizer, params)
    assert call(ef.Normal(2).log_normalizer, params) == first == NORMAL.log_normalizer(params)
    call(NORMAL.entropy, params)
    assert len(traced) == 2


def test_methods_of_families_with_arrays_can_be_arguments():
    family = standardized()
    params = family.initialize(jax.random.key(0))
    wanted = np.asarray(family.log_normalizer(params))
    got = jax.jit(lambda method, params: method(params))(family.log_normalizer, params)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.jit(family.log_normalizer)(params), wanted, rtol=1e-12)
    assert len(jax.tree.leaves(family.log_normalizer)) == len(jax.tree.leaves(family)) > 0


def test_methods_are_equal_where_function_structure_and_arrays_are():
    family = standardized()
    assert family.log_normalizer == family.log_normalizer
    assert family.log_normalizer != standardized().log_normalizer
    assert NORMAL.log_normalizer == ef.Normal(2).log_normalizer
    assert hash(NORMAL.log_normalizer) == hash(ef.Normal(2).log_normalizer)
    assert NORMAL.log_normalizer != ef.Normal(3).log_normalizer
    assert NORMAL.log_normalizer != NORMAL.entropy
    assert NORMAL.log_normalizer != "log_normalizer"


def test_methods_describe_themselves():
    method = NORMAL.log_density
    assert method.__name__ == "log_density"
    assert method.__doc__ == ef.Normal.log_density.__doc__
    assert list(inspect.signature(method).parameters) == ["params", "x"]
    assert "Normal(size=2)" in repr(method)
