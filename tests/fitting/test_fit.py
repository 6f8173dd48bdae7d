"""`fit`: what it returns, how it stops, and what it does with weights, priors and restarts."""

import io
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import expfam as ef
from expfam.fitting.standardize import change_frame, in_frame_of
from expfam.fitting.starts import starts

KEY = jax.random.key(0)


def clusters(n=120, p=4, seed=0):
    """Three separated clusters on a plane, with noise of full rank."""
    rng = np.random.default_rng(seed)
    centers = np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    latent = centers[rng.integers(0, 3, n)] + rng.normal(size=(n, 2))
    return jnp.asarray(latent @ rng.normal(size=(2, p)) + rng.normal(size=(n, p)))


XS = clusters()
MIXTURE = ef.Mixture(ef.Normal(4, ef.Diagonal()), 3)


def test_log_likelihoods_are_those_of_the_steps_and_of_the_result():
    start = MIXTURE.initialize_from_sample(KEY, XS)
    method = ef.EM(max_steps=5, tolerance=None)
    result = ef.fit(MIXTURE, XS, key=KEY, method=method, params=start)
    expected, params = [], start
    for _ in range(6):
        expected.append(float(MIXTURE.average_log_observable_density(params, XS)))
        last, params = params, MIXTURE.expectation_maximization(params, XS)
    np.testing.assert_allclose(result.log_likelihoods, expected, rtol=1e-12)
    np.testing.assert_allclose(
        MIXTURE.flatten(result.params), MIXTURE.flatten(last), rtol=1e-9, atol=1e-10
    )
    assert result.steps == 5
    assert result.status is ef.Status.STEPS_TAKEN


@pytest.mark.parametrize("acceleration", [0, 8])
def test_converged_when_what_is_left_to_gain_is_below_the_tolerance(acceleration):
    method = ef.EM(tolerance=1e-5, acceleration=acceleration)
    result = ef.fit(MIXTURE, XS, key=KEY, method=method)
    assert result.converged
    assert result.status is ef.Status.CONVERGED
    assert result.remaining_gain <= 1e-5
    rest = ef.EM(2000, tolerance=None)
    best = ef.fit(MIXTURE, XS, key=KEY, params=result.params, method=rest).log_likelihood
    assert best - result.log_likelihood <= 2e-5
    # one step alone gains less than that long before
    assert np.diff(np.asarray(result.log_likelihoods))[-1] < 1e-5


def test_warns_where_the_steps_do_not_suffice():
    with pytest.warns(ef.ConvergenceWarning, match="all 2 steps"):
        ef.fit(MIXTURE, XS, key=KEY, method=ef.EM(max_steps=2))


def test_restarts_keep_the_best():
    method = ef.EM(max_steps=30, tolerance=None)
    result = ef.fit(MIXTURE, XS, key=KEY, method=method, restarts=4)
    finals = np.asarray(result.restart_log_likelihoods)
    assert finals.shape == (4,)
    assert result.log_likelihood == pytest.approx(finals.max(), abs=1e-12)
    assert float(MIXTURE.average_log_observable_density(result.params, XS)) == pytest.approx(
        finals.max(), abs=1e-10
    )


def test_restarts_equal_single_fits_of_their_starts():
    method = ef.EM(max_steps=10, tolerance=None)
    result = ef.fit(MIXTURE, XS, key=KEY, method=method, restarts=3)
    inner = in_frame_of(MIXTURE, XS, None, scaled=False)
    found, _ = starts(inner, method, jax.random.split(KEY)[0], XS, None, None, 3)
    for i, final in enumerate(result.restart_log_likelihoods):
        coords = jax.tree.map(lambda leaf, i=i: leaf[i], found)
        start = ef.Natural(change_frame(inner, MIXTURE, coords))
        one = ef.fit(MIXTURE, XS, key=KEY, method=method, params=start)
        assert one.log_likelihood == pytest.approx(float(final), abs=1e-10)


def test_weights_count_like_repeated_rows():
    counts = np.random.default_rng(1).integers(0, 4, len(XS))
    start = MIXTURE.initialize_from_sample(KEY, XS)
    method = ef.EM(max_steps=10, tolerance=None)
    weighted = ef.fit(
        MIXTURE, XS, key=KEY, method=method, params=start, weights=jnp.asarray(counts, float)
    )
    repeated = ef.fit(MIXTURE, jnp.repeat(XS, counts, axis=0), key=KEY, method=method, params=start)
    np.testing.assert_allclose(weighted.log_likelihoods, repeated.log_likelihoods, rtol=1e-10)


def test_blocks_of_rows_give_the_same_fit():
    start = MIXTURE.initialize_from_sample(KEY, XS)
    whole, blocks = (
        ef.fit(MIXTURE, XS, key=KEY, method=ef.EM(5, tolerance=None, block_size=size), params=start)
        for size in (None, 50)
    )
    np.testing.assert_allclose(whole.log_likelihoods, blocks.log_likelihoods, rtol=1e-12)


def test_a_family_without_latent_variables_is_fitted_in_one_step():
    normal = ef.Normal(4)
    result = ef.fit(normal, XS, key=KEY)
    mean, covariance = normal.mean_covariance(result.params)
    np.testing.assert_allclose(mean, np.mean(XS, axis=0), rtol=1e-10)
    np.testing.assert_allclose(covariance, np.cov(XS, rowvar=False, bias=True), rtol=1e-9)
    assert result.converged


def test_gradient_stays_in_the_domain_at_absurd_step_sizes():
    model = ef.differentiable_hmog(4, ef.Diagonal(), 2, ef.Diagonal(), 3)
    method = ef.Gradient(optax.adam(0.5), steps=60)
    result = ef.fit(model, XS, key=KEY, method=method)
    assert bool(model.in_domain(result.params))
    assert np.all(np.isfinite(result.log_likelihoods))


def test_gradient_with_mini_batches_improves_the_likelihood():
    start = ef.Natural(jax.tree.map(lambda leaf: 0.5 * leaf, MIXTURE.initialize(KEY).coords))
    method = ef.Gradient(optax.adam(5e-2), steps=300, batch_size=20)
    result = ef.fit(MIXTURE, XS, key=KEY, method=method, params=start)
    before, after = (
        float(MIXTURE.average_log_observable_density(params, XS))
        for params in (start, result.params)
    )
    assert after > before + 1


def test_progress_bar_is_shown(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    ef.fit(MIXTURE, XS, key=KEY, progress=True, method=ef.EM(tolerance=1e-4))
    assert "log_likelihood=" in stream.getvalue()


def test_interrupt_returns_what_was_reached(monkeypatch):
    from expfam.fitting import sources as module

    climb, calls = module.climb, []

    def interrupted(*args):
        calls.append(None)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return climb(*args)

    monkeypatch.setattr(module, "climb", interrupted)
    result = ef.fit(MIXTURE, XS, key=KEY, method=ef.EM(100, tolerance=None))
    assert result.status is ef.Status.INTERRUPTED
    assert result.steps == 20
    assert bool(MIXTURE.in_domain(result.params))


def test_degenerate_fit_raises_and_keeps_the_last_valid_parameters():
    model = ef.factor_analysis(4, 2)
    xs = XS.at[:, 3].set(XS[:, 0])
    with pytest.raises(ef.FitError, match="linear combinations") as caught:
        ef.fit(model, xs, key=KEY, method=ef.EM(2000, tolerance=None))
    kept = caught.value.fit
    assert kept.status is ef.Status.DEGENERATE
    assert bool(model.in_domain(kept.params))
    assert np.all(np.isfinite(kept.log_likelihoods))
    silent = ef.fit(model, xs, key=KEY, method=ef.EM(2000, tolerance=None), throw=False)
    assert silent.status is ef.Status.DEGENERATE


@pytest.mark.parametrize(
    "model",
    [
        ef.Mixture(ef.Normal(4), 3),
        ef.Mixture(ef.Normal(4), 3, varying=ef.Identity()),
        ef.factor_analysis(4, 2),
        ef.mixture_of_factor_analyzers(4, 2, 2),
        ef.analytic_hmog(4, ef.Diagonal(), 2, 3),
    ],
    ids=lambda model: type(model).__name__,
)
def test_weak_prior_cures_degenerate_data_and_the_objective_climbs(model):
    xs = XS.at[:, 3].set(1.0).at[60:].set(XS[:60].at[:, 3].set(1.0))
    prior = ef.weak_prior(model, xs)
    method = ef.EM(50, tolerance=None)
    result = ef.fit(model, xs, key=KEY, prior=prior, method=method)
    assert np.all(np.isfinite(result.log_likelihoods))
    assert np.diff(result.log_likelihoods).min() > -1e-9
    assert bool(model.in_domain(result.params))


def test_prior_weighs_like_imagined_rows():
    # MAP of a normal: the pooled moments of the data and of the imagined rows.
    normal = ef.Normal(4)
    mean, spread = jnp.full(4, 3.0), 2.0 * jnp.eye(4)
    imagined = normal.to_mean(normal.from_mean_covariance(mean, spread))
    fitted = ef.fit(normal, XS, key=KEY, prior=ef.ConjugatePrior.from_mean(normal, imagined, 30.0))
    share = 30 / (30 + len(XS))
    first = share * mean + (1 - share) * jnp.mean(XS, axis=0)
    second = share * (spread + jnp.outer(mean, mean)) + (1 - share) * XS.T @ XS / len(XS)
    got = normal.mean_covariance(fitted.params)
    np.testing.assert_allclose(got[0], first, rtol=1e-10)
    np.testing.assert_allclose(got[1], second - jnp.outer(first, first), rtol=1e-8)


def test_prior_with_two_counts_gives_the_mode_of_its_posterior():
    normal = ef.Normal(4)
    prior = ef.ConjugatePrior.from_hyperparameters(
        normal, mean=jnp.full(4, 3.0), count=2.0, scale=20.0 * jnp.eye(4), freedom=16.0
    )
    fitted = ef.fit(normal, XS, key=KEY, prior=prior)
    expected = normal.flatten(prior.observe(XS).mode())
    np.testing.assert_allclose(normal.flatten(fitted.params), expected, rtol=1e-8)
    # The objective is the log-posterior per row, up to a constant.
    params = fitted.params
    other = normal.from_mean_covariance(jnp.zeros(4), jnp.eye(4))
    start = ef.fit(normal, XS, key=KEY, prior=prior, params=other, method=ef.EM(2, tolerance=None))
    first, last = start.log_likelihoods[0], start.log_likelihoods[-1]
    before = prior.log_density(other) + jnp.sum(normal.log_density(other, XS))
    after = prior.log_density(params) + jnp.sum(normal.log_density(params, XS))
    np.testing.assert_allclose(last - first, (after - before) / len(XS), rtol=1e-8)


def test_what_is_added_to_a_covariance_is_a_prior_without_rows():
    # Pseudo-statistics nεI with a pseudo-count of zero: Σ = S + εI.
    normal, n = ef.Normal(4), len(XS)
    zero = normal.average_sufficient_statistic(jnp.zeros((1, 4))).coords
    added = type(zero)(zero.first, 0.25 * n * jnp.eye(4))
    prior = ef.ConjugatePrior(normal, ef.Mean(added), 0.0)
    fitted = ef.fit(normal, XS, key=KEY, prior=prior)
    expected = np.cov(XS.T, bias=True) + 0.25 * np.eye(4)
    np.testing.assert_allclose(normal.mean_covariance(fitted.params)[1], expected, rtol=1e-8)


@pytest.mark.parametrize(
    "model",
    [
        ef.analytic_hmog(8, ef.Diagonal(), 2, 3),
        pytest.param(
            ef.symmetric_hmog(8, ef.Diagonal(), 2, ef.Diagonal(), 3), marks=pytest.mark.slow
        ),
        pytest.param(
            ef.differentiable_hmog(8, ef.Diagonal(), 2, ef.Diagonal(), 3), marks=pytest.mark.slow
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_gradient_comes_close_to_em(model):
    xs = clusters(n=500, p=8, seed=3)
    start = model.initialize_from_sample(KEY, xs)
    em = ef.fit(model, xs, key=KEY, params=start, method=ef.EM(60, tolerance=None))
    rate = optax.cosine_decay_schedule(5e-2, 300)
    method = ef.Gradient(optax.adam(rate), steps=300)
    gradient = ef.fit(model, xs, key=KEY, params=start, method=method)
    assert gradient.log_likelihood > em.log_likelihood - 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "em"}, TypeError, "method"),
        ({"restarts": 0}, ValueError, "`restarts` must be"),
        ({"prior": 1.0}, TypeError, "prior"),
        ({"weights": jnp.ones(3)}, ValueError, "`weights` must have one number per row"),
        ({"weights": -jnp.ones(120)}, ValueError, "`weights` must be finite, not negative"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ef.fit(MIXTURE, XS, key=KEY, **arguments)


def test_restarts_and_params_exclude_each_other():
    start = MIXTURE.initialize_from_sample(KEY, XS)
    with pytest.raises(ValueError, match="`restarts` must be 1"):
        ef.fit(MIXTURE, XS, key=KEY, params=start, restarts=2)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`max_steps`"):
        ef.EM(max_steps=-1)
    with pytest.raises(ValueError, match="`tolerance`"):
        ef.EM(tolerance=-1.0)
    with pytest.raises(ValueError, match="`batch_size`"):
        ef.Gradient(optax.sgd(0.1), batch_size=0)


def test_no_warning_without_a_tolerance():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ef.fit(MIXTURE, XS, key=KEY, method=ef.EM(2, tolerance=None))
