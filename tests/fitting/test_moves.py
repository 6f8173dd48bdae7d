"""Merges and splits leave poor optima of variational Bayes, and never lower the bound."""

import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.fitting.test_variational import CLUSTERS, KEY
from tests.fitting.test_variational_long import needs_data, process, read

METHOD = ef.VariationalBayes(200)


@pytest.mark.slow
def test_a_cluster_too_many_on_one_side_moves_to_the_other():
    mixture, prior = process(CLUSTERS, 3, weights=1.0)
    labels = np.repeat([0, 1, 2], [80, 60, 60])
    # one component for two clusters, two for the third
    wrong = np.where(labels < 2, 0, 1 + (CLUSTERS[:, 1] > 4))
    fits = {}
    for name, start in (("right", labels), ("wrong", wrong)):
        params = ef.fit(
            mixture, ef.labeled(CLUSTERS, start), key=KEY, prior=prior, method=METHOD
        ).params
        fits[name] = ef.fit(mixture, CLUSTERS, key=KEY, prior=prior, params=params, method=METHOD)
    assert fits["wrong"].log_likelihood < fits["right"].log_likelihood - 0.05
    moved = ef.merge_and_split(fits["wrong"], CLUSTERS, key=KEY, prior=prior, method=METHOD)
    np.testing.assert_allclose(moved.log_likelihood, fits["right"].log_likelihood, atol=1e-3)
    # what cannot be improved is returned
    again = ef.merge_and_split(moved, CLUSTERS, key=KEY, prior=prior, method=METHOD, moves=1)
    assert again.log_likelihood >= moved.log_likelihood


@pytest.mark.slow
@needs_data
def test_old_faithful_occupies_two_or_three_of_ten_components():
    xs = read("old_faithful", (0, 1))
    mixture, prior = process(xs, 10, weights=1e-2)
    method = ef.VariationalBayes(1000, tolerance=1e-5)
    fit = ef.fit(mixture, xs, key=KEY, prior=prior, method=method)
    moved = ef.merge_and_split(fit, xs, key=KEY, prior=prior, method=method)
    assert moved.log_likelihood >= fit.log_likelihood
    assert moved.posterior.n_occupied() in (2, 3)


def test_only_fits_with_posteriors_can_be_improved():
    poisson = ef.Poisson()
    rows = jnp.arange(6)
    fit = ef.fit(poisson, rows, key=KEY)
    prior = ef.weak_prior(poisson, rows)
    with pytest.raises(TypeError, match="has a posterior"):
        ef.merge_and_split(fit, rows, key=KEY, prior=prior)
