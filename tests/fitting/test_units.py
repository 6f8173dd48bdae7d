"""Fits do not depend on the units of columns, and name rows that are too large for their type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

KEY = jax.random.key(0)
DOUBLE = jnp.zeros(()).dtype == jnp.float64
RNG = np.random.default_rng(0)
GROUPS = [RNG.normal(size=(60, 4)) @ RNG.normal(size=(4, 4)) for _ in range(2)]
XS = np.concatenate([GROUPS[0], GROUPS[1] + [4, -3, 2, 5]])
UNITS = 10.0 ** np.array([-6, -2, 2, 6])
MODELS = {
    "factor analysis": ef.factor_analysis(4, 1),
    "mixture of factor analyzers": ef.mixture_of_factor_analyzers(4, 1, 2),
    "HMoG": ef.analytic_hmog(4, ef.Diagonal(), 1, 2),
    "full mixture": ef.Mixture(ef.Normal(4), 2),
    "diagonal mixture": ef.Mixture(ef.Normal(4, ef.Diagonal()), 2),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fit took all:expfam.ConvergenceWarning")
@pytest.mark.parametrize("name", MODELS)
def test_units_from_a_millionth_to_a_million_do_not_matter(name):
    model = MODELS[name]
    one, other = (ef.fit(model, jnp.asarray(xs), key=KEY) for xs in (XS, XS * UNITS))
    moved = other.log_likelihood + np.log(UNITS).sum()
    assert moved == pytest.approx(one.log_likelihood, abs=1e-5 if DOUBLE else 5e-4)


def test_an_error_of_a_fit_names_the_row_that_is_a_fill_value():
    largest = 1e200 if DOUBLE else 1e20
    xs = jnp.asarray(XS).at[17, 2].set(largest)
    with pytest.raises(ValueError, match=r"row 17, column 2, is 1e\+.*expfam.incomplete"):
        ef.fit(ef.Mixture(ef.Normal(4), 2), xs, key=KEY)
