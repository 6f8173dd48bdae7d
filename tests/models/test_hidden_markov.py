"""Hidden Markov models against sums over all paths, written out."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from tests.registry import CLOSE, EXACT, FLOAT32, needs_float64, random_params

T, K = 6, 3
TIGHT = 1e-4 if FLOAT32 else 1e-9

EMISSIONS = {
    "normal": ef.Normal(2),
    "poisson": ef.Poisson(),
    "categorical": ef.Categorical(4),
    "product": ef.Product((ef.Normal(2, ef.Diagonal()), ef.Bernoulli())),
    "mixture": ef.Mixture(ef.Normal(1), 2),
}


def model_of(name: str, **options: Any) -> Any:
    return ef.HiddenMarkov(EMISSIONS[name], K, T, **options)


def rows_of(model: Any, params: Any, n: int, gaps: bool) -> Any:
    """Sequences; with gaps: a missing end, a missing step inside, single missing cells."""
    xs = model.observable_sample(jax.random.key(3), params, n)
    if not gaps:
        return xs
    steps = np.ones((n, T), bool)
    steps[0, 4:], steps[1, 2] = False, False
    rng = np.random.default_rng(0)

    def leaf(values: Any, support: Any) -> Any:
        shape = values.shape[2:]
        own = np.broadcast_to(steps.reshape(n, T, *(1,) * len(shape)), values.shape).copy()
        if shape:  # a cell of a vector is missing by itself
            own &= rng.random(values.shape) > 0.2
        return ef.incomplete(values, own)

    return jax.tree.map(leaf, xs, model.observed_support)


def log_emissions(model: Any, params: Any, xs: Any) -> np.ndarray:
    """log p(x_t | z_t = k), by the methods of the emission alone; shape (n, T, K)."""
    points = model.emissions(params)
    density = getattr(model.emission, "log_observable_density", model.emission.log_density)
    one = [jax.tree.map(lambda leaf, k=k: leaf[k], points) for k in range(K)]
    return np.stack([np.asarray(density(point, xs)) for point in one], axis=-1)


def enumerated(model: Any, params: Any, xs: Any) -> dict[str, np.ndarray]:
    """What a chain has to answer, from the probabilities of all K^T paths."""
    logs = log_emissions(model, params, xs).astype(float)
    initial = np.log(np.asarray(model.initial_probabilities(params), float))
    transition = np.log(np.asarray(model.transition_matrix(params), float))
    paths = np.array(list(itertools.product(range(K), repeat=T)))

    def joint(logs: np.ndarray, length: int) -> np.ndarray:
        steps = sum(logs[:, t, paths[:, t]] for t in range(length))
        moves = transition[paths[:, :-1], paths[:, 1:]].sum(axis=1)
        return np.exp(initial[paths[:, 0]] + moves + steps)

    states = np.eye(K)[paths]
    weights = joint(logs, T)
    before = np.stack([joint(logs, t + 1) for t in range(T)], axis=1)
    filtered = np.einsum("ntp,ptk->ntk", before, states)
    return {
        "density": np.log(weights.sum(axis=1)),
        "smoothed": np.einsum("np,ptk->ntk", weights, states) / weights.sum(1)[:, None, None],
        "filtered": filtered / filtered.sum(axis=2, keepdims=True),
        "path": paths[weights.argmax(axis=1)],
        "pairs": np.einsum("np,ptj,ptk->njk", weights, states[:, :-1], states[:, 1:])
        / weights.sum(1)[:, None, None],
    }


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in ("product", "mixture") else [])
        for name in EMISSIONS
    ],
)
def test_sums_over_all_paths(name: str, gaps: bool):
    model = model_of(name)
    params = random_params(model, jax.random.key(1))
    xs = rows_of(model, params, 4, gaps)
    truth = enumerated(model, params, xs)
    found = model.log_observable_density(params, xs)
    np.testing.assert_allclose(found, truth["density"], rtol=TIGHT)
    smoothed = model.posterior_soft_assignments(params, xs)
    np.testing.assert_allclose(smoothed, truth["smoothed"], atol=TIGHT)
    filtered = model.filtered_soft_assignments(params, xs)
    np.testing.assert_allclose(filtered, truth["filtered"], atol=TIGHT)
    np.testing.assert_array_equal(model.most_probable_path(params, xs), truth["path"])


@pytest.mark.parametrize("gaps", [False, True])
def test_expectations_are_those_of_smoothing(gaps: bool):
    model = model_of("poisson")
    params = random_params(model, jax.random.key(1))
    xs = rows_of(model, params, 4, gaps)
    truth = enumerated(model, params, xs)
    means = model.mean_posterior_statistics(params, xs).coords
    np.testing.assert_allclose(means.states.latent, truth["smoothed"][:, 0].mean(0), rtol=TIGHT)
    pairs = truth["pairs"].mean(axis=0).ravel()
    np.testing.assert_allclose(means.transition, pairs, rtol=TIGHT)
    filled = model.impute(params, xs)
    rates = jax.vmap(model.emission.rate)(model.emissions(params))
    wanted = np.einsum("ntk,k->nt", truth["smoothed"], rates)
    if gaps:
        seen = np.asarray(xs.observed)
        np.testing.assert_allclose(filled, np.where(seen, xs.values, wanted), rtol=TIGHT)
        wanted = np.where(seen, xs.values, 0)[..., None] * truth["smoothed"]
        wanted += np.where(seen, 0, 1)[..., None] * truth["smoothed"] * rates
    else:
        wanted = np.asarray(xs)[..., None] * truth["smoothed"]
    np.testing.assert_allclose(
        means.states.interaction, wanted.sum(axis=1).mean(axis=0), rtol=TIGHT
    )


@pytest.mark.slow
def test_steps_at_once_give_what_steps_one_by_one_give():
    one, all_at_once = (model_of("poisson", parallel=parallel) for parallel in (False, True))
    params = random_params(one, jax.random.key(1))
    xs = rows_of(one, params, 4, False)
    for name in ("log_observable_density", "filtered_soft_assignments"):
        found = getattr(all_at_once, name)(params, xs)
        np.testing.assert_allclose(found, getattr(one, name)(params, xs), rtol=TIGHT)
    found, wanted = (
        model.mean_posterior_statistics(params, xs).coords for model in (all_at_once, one)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=TIGHT), found, wanted)


def test_a_long_chain_keeps_its_digits():
    # 3000 steps: weights of paths are beyond the range of floating-point numbers.
    long = model_of("poisson").with_steps(3000)
    params = random_params(long, jax.random.key(1))
    x = long.observable_sample(jax.random.key(2), params, 1)
    scores = log_emissions(long, params, x)[0].astype(np.longdouble)
    transition = np.asarray(long.transition_matrix(params), np.longdouble)
    share, total = np.asarray(long.initial_probabilities(params), np.longdouble), 0.0
    for t in range(3000):
        share = (share @ transition if t else share) * np.exp(scores[t])
        total, share = total + np.log(share.sum()), share / share.sum()
    tight = 1e-6 if FLOAT32 else 1e-12
    np.testing.assert_allclose(long.log_observable_density(params, x)[0], float(total), rtol=tight)
    last = long.filtered_soft_assignments(params, x)[0, -1]
    np.testing.assert_allclose(last, share.astype(float), atol=TIGHT)


def test_usual_parameters_and_forecast():
    model = model_of("normal")
    rng = np.random.default_rng(0)
    initial, *rows = rng.dirichlet(np.full(K, 2.0), 1 + K)
    emissions = model.emissions(random_params(model, jax.random.key(1)))
    params = model.from_chain(jnp.asarray(initial), jnp.asarray(rows), emissions)
    np.testing.assert_allclose(model.initial_probabilities(params), initial, rtol=EXACT)
    np.testing.assert_allclose(model.transition_matrix(params), rows, rtol=EXACT)
    x = model.observable_sample(jax.random.key(2), params, 1)[0]
    following = jnp.array([0.3, -0.2])
    # p(x_(T+1) | x_1 … x_T) is a ratio of densities of two lengths
    longer = model.with_steps(T + 1)
    both = longer.log_observable_density(params, jnp.concatenate([x, following[None]]))
    wanted = both - model.log_observable_density(params, x)
    forecast = model.forecast(params, x)
    found = model.mixture.log_observable_density(forecast, following)
    np.testing.assert_allclose(found, wanted, rtol=TIGHT)
    # as missing steps, too
    rest = ef.incomplete(jnp.concatenate([x, jnp.full((1, 2), jnp.nan)]))
    unseen = longer.log_observable_density(params, rest)
    np.testing.assert_allclose(unseen, model.log_observable_density(params, x), rtol=TIGHT)


def test_points_between_two_models_have_transitions_of_their_own_for_every_step():
    model = model_of("poisson")
    p, q = (random_params(model, jax.random.key(seed)) for seed in (1, 2))
    between = model.exponential_geodesic(p, q, 0.5)
    assert model.in_domain(between)
    with pytest.raises(ValueError, match="transition_matrix"):
        model.transition_matrix(between)
    # densities of all 2-step paths and a range of counts still sum to one
    short = model.with_steps(2)
    counts = jnp.arange(60)
    pairs = jnp.stack(jnp.meshgrid(counts, counts), axis=-1).reshape(-1, 2)
    total = jnp.sum(jnp.exp(short.log_observable_density(between, pairs)))
    np.testing.assert_allclose(total, 1, rtol=TIGHT)


def simulated(gaps: bool) -> tuple[Any, Any, Any]:
    model = ef.HiddenMarkov(ef.Normal(1), 2, 50)
    points = jax.vmap(model.emission.from_mean_covariance)(
        jnp.array([[0.0], [3.0]]), jnp.array([[[1.0]], [[0.5]]])
    )
    transition = jnp.array([[0.9, 0.1], [0.2, 0.8]])
    params = model.from_chain(jnp.array([0.7, 0.3]), transition, points)
    xs = np.asarray(model.observable_sample(jax.random.key(0), params, 200))
    if gaps:
        lengths = np.random.default_rng(0).integers(10, 51, 200)
        seen = np.arange(50) < lengths[:, None]
        seen[:, 5] = False
        xs = ef.incomplete(np.where(seen[..., None], xs, np.nan))
    return model, params, xs


@pytest.mark.parametrize("gaps", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_fits_find_the_truth_and_never_fall(gaps: bool):
    model, truth, xs = simulated(gaps)
    start = model.initialize_from_sample(jax.random.key(0), xs)
    method = ef.EM(tolerance=1e-9)
    fit = ef.fit(model, xs, key=jax.random.key(0), method=method, params=start)
    rounding = 1e-5 if FLOAT32 else 1e-12
    values = np.asarray(fit.log_likelihoods)
    assert np.all(np.diff(values) >= -rounding * np.abs(values[:-1]))
    # The steps are those of a loop by hand.
    params = start
    for value in values[:3]:
        found = model.average_log_observable_density(params, xs)
        np.testing.assert_allclose(found, value, rtol=1e-5 if FLOAT32 else 1e-9)
        params = model.expectation_maximization(params, xs)
    order = np.argsort(
        np.asarray(
            model.mixture.components(ef.Natural(fit.params.coords.states)).coords.first[:, 0]
        )
    )
    transition = np.asarray(model.transition_matrix(fit.params))[order][:, order]
    np.testing.assert_allclose(transition, model.transition_matrix(truth), atol=0.03)
    mean, covariance = jax.vmap(model.emission.mean_covariance)(model.emissions(fit.params))
    np.testing.assert_allclose(mean[order, 0], [0, 3], atol=0.05)
    np.testing.assert_allclose(covariance[order, 0, 0], [1, 0.5], atol=0.05)


@pytest.mark.slow
def test_priors_weights_streams_and_gradients():
    model, _, xs = simulated(gaps=False)
    prior = ef.weak_prior(model, xs, 5.0)
    start = model.initialize_from_sample(jax.random.key(0), xs)
    options = {"key": jax.random.key(0), "params": start, "prior": prior}
    method = ef.EM(max_steps=10, tolerance=None)
    plain = ef.fit(model, xs, method=method, **options)
    values = np.asarray(plain.log_likelihoods)
    assert np.all(np.diff(values) >= -1e-6 * np.abs(values[-1]))
    weights = jnp.repeat(jnp.array([1.0, 0.0]), jnp.array([200, 50]))
    more = np.concatenate([xs, xs[:50] + 1])
    for other in (
        ef.fit(model, more, method=method, weights=weights, **options),
        ef.fit(model, ef.Blocks(xs, 64), method=method, **options),
    ):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=CLOSE, atol=CLOSE),
            other.params.coords,
            plain.params.coords,
        )
    better = ef.fit(
        model, xs, method=ef.EM(max_steps=10, tolerance=None, acceleration=4), **options
    )
    assert better.log_likelihoods[-1] >= values[-1] - 1e-6 * np.abs(values[-1])


def test_draws_of_missing_steps_have_their_law():
    model = model_of("poisson")
    params = random_params(model, jax.random.key(1))
    x = ef.incomplete(np.array([1.0, np.nan, np.nan, 0.0, 2.0, np.nan]))
    draws = model.sample_missing(jax.random.key(0), params, x, 20_000)
    assert np.all(np.asarray(draws)[:, [0, 3, 4]] == [1, 0, 2])
    error = np.std(draws, axis=0) / np.sqrt(20_000)
    gap = np.abs(np.mean(draws, axis=0) - model.impute(params, x))
    assert np.all(gap <= 5 * error + EXACT)
    with pytest.raises(TypeError, match="sample_missing"):
        model.conditional(params, x)


@needs_float64
def test_mixtures_of_hidden_markov_models():
    model = ef.Mixture(model_of("poisson"), 2)
    params = random_params(model, jax.random.key(1))
    xs = jnp.asarray(np.random.default_rng(0).poisson(2.0, (5, T)))
    own = [
        model.component.log_observable_density(
            ef.Natural(jax.tree.map(lambda leaf, k=k: leaf[k], params.coords.interaction)), xs
        )
        for k in range(2)
    ]
    wanted = np.log(sum(w * np.exp(one) for w, one in zip(model.weights(params), own, strict=True)))
    np.testing.assert_allclose(model.log_observable_density(params, xs), wanted, rtol=TIGHT)


def test_bad_input_is_refused():
    model = model_of("poisson")
    params = random_params(model, jax.random.key(1))
    with pytest.raises(ValueError, match="`n_steps` must be an integer of at least 2"):
        ef.HiddenMarkov(ef.Poisson(), 2, 1)
    with pytest.raises(ValueError, match="trailing shape"):
        model.log_observable_density(params, jnp.zeros((4, T + 1)))
    with pytest.raises(ValueError, match="rows of `transition` must be positive"):
        model.from_chain(jnp.full(K, 1 / K), jnp.eye(K), model.emissions(params))
