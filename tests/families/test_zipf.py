"""The Zipf family against scipy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from tests.registry import CLOSE, EXACT


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.5])
def test_densities_entropies_and_means_are_those_of_scipy(exponent: float):
    zipf, peer = ef.Zipf(50), stats.zipfian(exponent, 50)
    params = zipf.from_exponent(exponent)
    np.testing.assert_allclose(zipf.exponent(params), exponent)
    masses = peer.pmf(np.arange(1, 51))
    np.testing.assert_allclose(zipf.density(params, jnp.arange(50)), masses, rtol=10 * EXACT)
    np.testing.assert_allclose(zipf.entropy(params), stats.entropy(masses), rtol=10 * EXACT)
    mean = masses @ np.log(np.arange(1, 51))
    np.testing.assert_allclose(zipf.to_mean(params).coords, [mean], rtol=10 * EXACT)


def test_estimates_have_the_mean_logarithm_of_the_ranks():
    zipf = ef.Zipf(1000)
    xs = zipf.sample(jax.random.key(0), zipf.from_exponent(1.2), (2000,))
    params = zipf.maximum_likelihood(xs)
    mean = np.mean(np.log(1.0 + np.asarray(xs)))
    np.testing.assert_allclose(zipf.to_mean(params).coords[0], mean, rtol=CLOSE)
    assert abs(zipf.exponent(params) - 1.2) < 0.05


def test_a_single_item_has_no_exponent():
    with pytest.raises(ValueError, match="`n_items` must be an integer of at least 2"):
        ef.Zipf(1)
    with pytest.raises(ValueError, match="`exponent` must be finite"):
        ef.Zipf(3).from_exponent(jnp.inf)
