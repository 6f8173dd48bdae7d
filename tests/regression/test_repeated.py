"""Rows of a unit that share one component."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm

import expfam as ef
from tests.registry import CLOSE, needs_float64

from .data import table


def test_units_have_the_product_of_their_rows():
    rng = np.random.default_rng(0)
    u, y = rng.normal(size=(7, 1)), rng.normal(size=(7, 1))
    groups = np.array([2, 0, 2, 2, 0, 1, 1])
    regression = ef.Regression(ef.Normal(1), 1)
    model = ef.Mixture(ef.Repeated(regression, 3), 2)
    slopes, firsts = np.array([1.0, -0.5]), np.array([0.2, 0.9])
    parts = jax.vmap(
        lambda slope, first: regression.from_coefficients(slope, first, jnp.array([[0.49]])).coords
    )(jnp.asarray(slopes)[:, None, None], jnp.asarray(firsts)[:, None])
    each = jax.vmap(model.component._joined)(parts)
    params = model.from_components(jnp.array([0.3, 0.7]), ef.Natural(each))
    logs = norm(firsts + u * slopes, 0.7).logpdf(y)
    wanted = [logsumexp(np.log([0.3, 0.7]) + logs[groups == g].sum(axis=0)) for g in range(3)]
    found = model.log_observable_density(params, ef.grouped((u, y), groups))
    np.testing.assert_allclose(found, wanted, rtol=CLOSE)


@needs_float64
def test_groups_of_npreg_are_those_of_flexmix():
    data = table("npreg")
    u = np.stack([data["x"], data["x"] ** 2], axis=1)
    xs = ef.grouped((u, data["yn"][:, None]), data["id2"])
    model = ef.Mixture(ef.Repeated(ef.Regression(ef.Normal(1), 2), xs[1].shape[1]), 2)
    assert model.dim == 9
    fit = ef.fit(model, xs, key=jax.random.key(0))
    assert np.min(np.diff(fit.log_likelihoods), initial=0) >= -1e-9
    # flexmix, which divides variances by fewer degrees of freedom, has −561.5651
    np.testing.assert_allclose(len(xs[1]) * fit.log_likelihoods[-1], -561.565, atol=0.02)
