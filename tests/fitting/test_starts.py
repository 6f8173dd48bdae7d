"""Starts of several kinds: what fits reach by default."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_wine

import expfam as ef

KEY = jax.random.key(0)
WINE = jnp.asarray(load_wine(return_X_y=True)[0])


def test_factor_analysis_of_columns_of_different_units():
    # From principal components of raw columns, plain EM says "converged" at -21.46.
    fit = ef.fit(ef.factor_analysis(13, 2), WINE, key=KEY)
    assert fit.log_likelihood > -19.54


@pytest.mark.slow
def test_hmog_of_columns_of_different_units():
    method = ef.EM(acceleration=8)
    fit = ef.fit(ef.analytic_hmog(13, ef.Diagonal(), 2, 3), WINE, key=KEY, method=method)
    assert fit.log_likelihood > -18.79


@pytest.mark.slow
def test_units_do_not_matter_to_factor_analysis():
    model = ef.factor_analysis(13, 2)
    units = 10.0 ** np.linspace(-3, 3, 13)
    one, other = (ef.fit(model, xs, key=KEY) for xs in (WINE, WINE * units))
    moved = other.log_likelihood + np.log(units).sum()
    assert moved == pytest.approx(one.log_likelihood, abs=2e-3)
