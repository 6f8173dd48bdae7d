"""Products and replications against their factors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import CLOSE, DIAGONAL, arbitrary_data, random_params

FACTORS = (ef.Normal(2), ef.Poisson(), ef.Categorical(3))
PRODUCT = ef.Product(FACTORS)
THETA, PHI = (random_params(PRODUCT, jax.random.key(seed)) for seed in (0, 1))
ROWS = arbitrary_data(PRODUCT, (20,))


def parts(params):
    return [ef.Natural(coords) for coords in params.coords]


@pytest.mark.parametrize("name", ["log_normalizer", "entropy"])
def test_functions_of_a_point_add_over_factors(name):
    expected = sum(
        getattr(family, name)(own) for family, own in zip(FACTORS, parts(THETA), strict=True)
    )
    np.testing.assert_allclose(getattr(PRODUCT, name)(THETA), expected, rtol=CLOSE)


def test_divergences_add_over_factors():
    triples = zip(FACTORS, parts(THETA), parts(PHI), strict=True)
    expected = sum(family.kl_divergence(p, q) for family, p, q in triples)
    np.testing.assert_allclose(PRODUCT.kl_divergence(THETA, PHI), expected, rtol=CLOSE)


def test_log_densities_add_over_factors():
    triples = zip(FACTORS, parts(THETA), ROWS, strict=True)
    expected = sum(family.log_density(own, x) for family, own, x in triples)
    np.testing.assert_allclose(PRODUCT.log_density(THETA, ROWS), expected, rtol=CLOSE)


@pytest.mark.parametrize("weights", [None, jnp.linspace(0.0, 1.0, 20)], ids=["equal", "weighted"])
def test_maximum_likelihood_is_that_of_the_factors(weights):
    fit = PRODUCT.maximum_likelihood(ROWS, weights)
    for family, own, x in zip(FACTORS, parts(fit), ROWS, strict=True):
        expected = family.maximum_likelihood(x, weights)
        np.testing.assert_allclose(family.flatten(own), family.flatten(expected), rtol=CLOSE)


def test_fisher_information_is_block_diagonal():
    fisher = np.array(PRODUCT.fisher_information(THETA))
    begin = 0
    for family, own in zip(FACTORS, parts(THETA), strict=True):
        end = begin + family.dim
        block = family.fisher_information(own)
        np.testing.assert_allclose(fisher[begin:end, begin:end], block, rtol=CLOSE, atol=CLOSE)
        fisher[begin:end, begin:end] = 0
        begin = end
    np.testing.assert_allclose(fisher, 0, atol=CLOSE)


def test_products_of_products_are_nested_tuples():
    nested = ef.Product((ef.Product((ef.Bernoulli(), ef.Poisson())), ef.Normal(1)))
    params = random_params(nested, jax.random.key(0))
    (flag, count), x = nested.sample(jax.random.key(1), params, (4,))
    assert flag.shape == count.shape == (4,)
    assert x.shape == (4, 1)
    assert nested.log_density(params, ((flag, count), x)).shape == (4,)
    assert nested.dim == 4


def test_categories_alone():
    # three discrete factors: the densities of all combinations sum to one
    family = ef.Product((ef.Bernoulli(), ef.Categorical(3), ef.Bernoulli()))
    params = random_params(family, jax.random.key(2))
    grid = np.indices((2, 3, 2)).reshape(3, -1)
    densities = family.density(params, tuple(jnp.asarray(column) for column in grid))
    np.testing.assert_allclose(np.sum(densities), 1, rtol=CLOSE)


# ------------------------------------------------------------------------------------ replications


@pytest.mark.parametrize(
    "family", [ef.Poisson(), ef.Normal(2, DIAGONAL), ef.Product((ef.Bernoulli(), ef.Normal(1)))]
)
def test_replication_is_the_product_of_equal_families(family):
    many, product = ef.Replicated(family, 3), ef.Product((family,) * 3)
    theta = random_params(many, jax.random.key(0))
    data = arbitrary_data(many, (4,))

    def variable(tree, i, axis):
        return jax.tree.map(lambda leaf: jnp.take(leaf, i, axis), tree)

    same = ef.Natural(tuple(variable(theta.coords, i, 0) for i in range(3)))
    columns = tuple(variable(data, i, 1) for i in range(3))
    assert many.dim == product.dim
    np.testing.assert_allclose(
        many.log_density(theta, data), product.log_density(same, columns), rtol=CLOSE
    )
    np.testing.assert_allclose(many.entropy(theta), product.entropy(same), rtol=CLOSE)
    np.testing.assert_allclose(many.log_normalizer(theta), product.log_normalizer(same), rtol=CLOSE)


def test_replicated_maximum_likelihood_is_column_by_column():
    counts = jnp.array([[0, 1, 2], [4, 0, 2], [2, 2, 5]])
    fit = ef.Replicated(ef.Poisson(), 3).maximum_likelihood(counts)
    np.testing.assert_allclose(np.exp(fit.coords), [2, 1, 3], rtol=CLOSE)
