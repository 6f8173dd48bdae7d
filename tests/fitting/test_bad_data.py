"""What comes of data that cannot be fitted: the table of bad input.

Every row says what happens: "error" (a ValueError or TypeError before anything is computed, with
the given text), "status" (the fit reports that it degenerated, and keeps valid parameters), "fits",
or "status or fits" where the likelihood has no maximum but 300 steps may not get near to it.
Nothing returns NaN.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
GOOD = RNG.normal(size=(60, 4)) + 4 * RNG.integers(0, 2, 60)[:, None]

MODELS = {
    "mixture": ef.Mixture(ef.Normal(4), 3),
    "factor analysis": ef.factor_analysis(4, 2),
    "hmog": ef.analytic_hmog(4, ef.Diagonal(), 2, 3),
}


def changed(index, value):
    """The good data with one change."""
    data = GOOD.copy()
    data[index] = value
    return data


DATA = {
    "NaN": (changed((3, 1), np.nan), "error", r"finite real numbers.*1 value.*\(3, 1\)"),
    "infinity": (changed((3, 1), np.inf), "error", r"finite real numbers.*inf"),
    "one-dimensional": (GOOD[:, 0], "error", r"one row per observation, shape \(n, 4\)"),
    "wrong width": (GOOD[:, :3], "error", r"shape \(n, 4\), but has shape \(60, 3\)"),
    "transposed": (GOOD.T, "error", "transposed"),
    "integers": (np.round(100 * GOOD).astype(int), "fits", ""),
    "no rows": (GOOD[:0], "error", "n ≥ 1"),
    "constant column": (changed((slice(None), 2), 1.5), "status", "constant column"),
    "all rows equal": (np.tile(GOOD[:1], (60, 1)), "status", "constant column"),
    "fewer rows than columns": (GOOD[:3], "status", "not more than"),
    "three distinct rows": (np.tile(GOOD[:3], (20, 1)), "status or fits", "only 3 of 60 rows"),
    "half of the rows doubled": (np.concatenate([GOOD[:30]] * 2), "fits", ""),
    "far from the origin": (GOOD + 1e4, "fits", ""),
    "small units": (GOOD * 1e-6, "fits", ""),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("case", DATA.values(), ids=DATA)
def test_bad_data(model, case):
    data, outcome, text = case
    xs = jnp.asarray(data)
    method = ef.EM(max_steps=300, tolerance=None)
    if outcome == "error":
        with pytest.raises((ValueError, TypeError), match=text):
            ef.fit(model, xs, key=KEY, method=method)
        return
    result = ef.fit(model, xs, key=KEY, method=ef.EM(300, tolerance=None), throw=False)
    assert np.all(np.isfinite(model.flatten(result.params))), result.status
    assert bool(model.in_domain(result.params))
    assert np.all(np.isfinite(result.log_likelihoods))
    if outcome == "status" or result.status is ef.Status.DEGENERATE:
        assert outcome != "fits"
        assert result.status in (ef.Status.DEGENERATE, ef.Status.NOT_FINITE)
        with pytest.raises(ef.FitError, match=text):
            ef.fit(model, xs, key=KEY, method=method)


def test_more_components_than_rows():
    with pytest.raises(ValueError, match="`n_components` must not exceed the number of rows"):
        ef.fit(ef.Mixture(ef.Normal(4, ef.Scale()), 5), jnp.asarray(GOOD[:4]), key=KEY)


@pytest.mark.parametrize("count", [0, -1])
def test_less_than_one_component(count):
    with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
        ef.Mixture(ef.Normal(2), count)
    with pytest.raises(ValueError, match="`n_components` must be an integer of at least 1"):
        ef.analytic_hmog(4, ef.Diagonal(), 2, count)


@pytest.mark.parametrize("lat_dim", [0, 4, 5])
def test_latent_dimension_not_below_observed(lat_dim):
    with pytest.raises(ValueError, match=r"`lat_dim` must be an integer (from 1 to|of at least 1)"):
        ef.factor_analysis(4, lat_dim)


def test_a_component_that_dies_keeps_its_shape_and_gives_up_its_weight():
    normal = ef.Normal(1)
    mixture = ef.Mixture(normal, 3)
    xs = jnp.asarray(np.concatenate([RNG.normal(size=30), RNG.normal(size=30) + 8])[:, None])
    far = jax.vmap(normal.from_mean_covariance)(
        jnp.array([[0.0], [8.0], [1e4]]), jnp.ones((3, 1, 1))
    )
    params = mixture.from_components(jnp.full(3, 1 / 3), far)
    for _ in range(20):
        params = mixture.expectation_maximization(params, xs)
    weights = mixture.weights(params)
    means, _ = jax.vmap(normal.mean_covariance)(mixture.components(params))
    assert np.all(np.isfinite(mixture.flatten(params)))
    assert float(weights[2]) < 1e-12
    assert float(means[2, 0]) == pytest.approx(1e4)
    two = ef.Mixture(normal, 2)
    start = two.from_components(jnp.full(2, 0.5), jax.tree.map(lambda leaf: leaf[:2], far))
    for _ in range(20):
        start = two.expectation_maximization(start, xs)
    np.testing.assert_allclose(weights[:2], two.weights(start), rtol=1e-8)


def test_one_em_step_on_degenerate_data_names_causes_and_remedies():
    model = ef.Mixture(ef.Normal(4), 2)
    params = model.initialize_from_sample(KEY, jnp.asarray(GOOD))
    with pytest.raises(ValueError, match=r"constant.*weak_prior"):
        model.expectation_maximization(params, jnp.asarray(np.tile(GOOD[:1], (60, 1))))


# ---------------------------------------------------------------- with a weak prior

# Five rows of six columns: fewer rows than columns, and one component for every row.
FEW = RNG.normal(size=(5, 6))
BROKEN = {
    "a component for every row": FEW,
    "two distinct rows": FEW[[0, 1, 0, 1, 0]],
    "constant columns": np.where(np.arange(6) < 2, 1.5, FEW),
    "all rows equal": FEW[[0, 0, 0, 0, 0]],
}
CURED = {
    "mixture": ef.Mixture(ef.Normal(6), 5),
    "diagonal mixture": ef.Mixture(ef.Normal(6, ef.Diagonal()), 5),
    "isotropic mixture": ef.Mixture(ef.Normal(6, ef.Scale()), 5),
    "tied mixture": ef.Mixture(ef.Normal(6), 5, ef.Identity()),
    "factor analysis": ef.factor_analysis(6, 2),
    "PPCA": ef.probabilistic_pca(6, 2),
    "mixture of factor analyzers": ef.mixture_of_factor_analyzers(6, 2, 5),
    "hmog": ef.analytic_hmog(6, ef.Diagonal(), 2, 5),
}


@pytest.mark.parametrize("model", CURED.values(), ids=CURED)
def test_a_weak_prior_cures_all_of_it(model):
    for xs in BROKEN.values():
        xs = jnp.asarray(xs)
        prior = ef.weak_prior(model, xs)
        result = ef.fit(model, xs, key=KEY, prior=prior, method=ef.EM(25, tolerance=None))
        assert np.all(np.isfinite(model.flatten(result.params)))
        assert bool(model.in_domain(result.params))
        assert np.all(np.isfinite(result.log_likelihoods))
        assert np.diff(result.log_likelihoods).min() > -1e-9
