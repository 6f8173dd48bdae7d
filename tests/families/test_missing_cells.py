"""Missing cells of families: against marginals of scipy, enumeration, and formulas of normals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import expfam as ef
from expfam.families import cells
from tests.registry import BY_NAME, CLOSE, EXACT, FLOAT32, STRUCTURES, arbitrary_data, random_params

# float32 holds densities of these data to this absolute error
NATS = 1e-4 if FLOAT32 else 1e-9

MASK = np.array([[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 1, 1], [0, 0, 0, 1]], bool)


def conditional_moments(mean, covariance, x, seen):
    """x with E[x | x_seen] filled in, and Cov[x | x_seen]."""
    filled, spread = np.array(x), np.zeros_like(covariance)
    gain = covariance[np.ix_(~seen, seen)] @ np.linalg.inv(covariance[np.ix_(seen, seen)])
    filled[~seen] = mean[~seen] + gain @ (x[seen] - mean[seen])
    spread[np.ix_(~seen, ~seen)] = (
        covariance[np.ix_(~seen, ~seen)] - gain @ covariance[np.ix_(seen, ~seen)]
    )
    return filled, spread


def marginal_log_density(mean, covariance, x, seen):
    if not seen.any():
        return 0.0
    return stats.multivariate_normal(mean[seen], covariance[np.ix_(seen, seen)]).logpdf(x[seen])


def given(family, params, x):
    """The gradient of ψ(θ | x): the expected statistic."""

    def kernel(coords, one):
        return cells.log_normalizer_given(family, coords, one)

    return jax.vmap(jax.grad(kernel), (None, 0))(params.coords, x)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
@pytest.mark.parametrize("framed", [False, True], ids=["raw", "framed"])
def test_normals_with_missing_cells_are_their_marginals(structure, framed):
    rng = np.random.default_rng(1)
    xs = 3 + 2 * rng.normal(size=(5, 4))
    normal = ef.Normal(4, structure)
    normal = ef.standardize(normal, jnp.asarray(xs)) if framed else normal
    params = random_params(normal, jax.random.key(0))
    mean, covariance = map(np.asarray, normal.mean_covariance(params))
    rows = ef.incomplete(jnp.asarray(xs), MASK)

    expected = [
        marginal_log_density(mean, covariance, *pair) for pair in zip(xs, MASK, strict=True)
    ]
    np.testing.assert_allclose(normal.log_density(params, rows), expected, atol=10 * NATS)
    moments = [conditional_moments(mean, covariance, *pair) for pair in zip(xs, MASK, strict=True)]
    filled = np.stack([one for one, _ in moments])
    np.testing.assert_allclose(normal.impute(params, rows), filled, rtol=CLOSE, atol=CLOSE)

    statistics = given(normal, params, rows)
    entered = np.asarray(jax.vmap(normal._enter)(jnp.asarray(filled)))
    scale = np.ones(4) if normal.frame is None else np.asarray(normal.frame.scale)
    np.testing.assert_allclose(statistics.first, entered, rtol=CLOSE, atol=CLOSE)
    if statistics.second is not None:
        seconds = [
            structure.restrict(jnp.asarray(np.outer(u, u) + spread / np.outer(scale, scale)))
            for u, (_, spread) in zip(entered, moments, strict=True)
        ]
        np.testing.assert_allclose(statistics.second, jnp.stack(seconds), rtol=CLOSE, atol=CLOSE)

    draws = np.asarray(normal.sample_missing(jax.random.key(2), params, rows, (4000,)), float)
    for i, (own, spread) in enumerate(moments):
        error = np.sqrt(np.diag(spread) / 4000)
        assert np.all(np.abs(draws[:, i].mean(axis=0) - own) <= 5 * error + 1e-5)
        np.testing.assert_allclose(np.cov(draws[:, i].T), spread, atol=0.2 * spread.max() + 1e-9)


@pytest.mark.parametrize("structure", STRUCTURES, ids=repr)
def test_conditional_of_a_normal_is_the_normal_of_the_missing_cells(structure):
    x, seen = np.random.default_rng(1).normal(size=4), MASK[2]
    normal = ef.Normal(4, structure)
    params = random_params(normal, jax.random.key(0))
    mean, covariance = map(np.asarray, normal.mean_covariance(params))
    family, point = normal.conditional(params, ef.incomplete(jnp.asarray(x), seen))
    filled, spread = conditional_moments(mean, covariance, x, seen)
    own, own_spread = family.mean_covariance(point)
    np.testing.assert_allclose(own, filled[~seen], rtol=CLOSE, atol=CLOSE)
    np.testing.assert_allclose(own_spread, spread[np.ix_(~seen, ~seen)], rtol=CLOSE, atol=CLOSE)
    whole = marginal_log_density(mean, covariance, x, np.ones(4, bool))
    part = marginal_log_density(mean, covariance, x, seen)
    density = normal.log_conditional_density(params, jnp.asarray(x), seen)
    np.testing.assert_allclose(density, whole - part, atol=10 * NATS)


@pytest.mark.slow
def test_boltzmann_machine_with_missing_cells_by_enumeration():
    machine = BY_NAME["boltzmann"]
    params = random_params(machine, jax.random.key(0))
    states = np.array(list(itertools.product([0, 1], repeat=4)))
    weights = np.exp(np.asarray(machine.log_density(params, jnp.asarray(states)), float))
    x = np.array([1, 0, 1, 0])
    rows = ef.incomplete(jnp.asarray(np.tile(x, (5, 1))), MASK)
    fits = [np.all(states[:, seen] == x[seen], axis=1) for seen in MASK]
    expected = [np.log(weights[fit].sum()) for fit in fits]
    np.testing.assert_allclose(machine.log_density(params, rows), expected, atol=NATS)
    means = np.stack([weights[fit] @ states[fit] / weights[fit].sum() for fit in fits])
    np.testing.assert_allclose(machine.impute(params, rows), means, atol=NATS)
    np.testing.assert_allclose(given(machine, params, rows).bias, means, atol=NATS)
    family, point = machine.conditional(params, jax.tree.map(lambda a: a[2], rows))
    pairs = jnp.asarray(list(itertools.product([0, 1], repeat=2)))
    both = [weights[fits[2] & np.all(states[:, ~MASK[2]] == p, axis=1)].sum() for p in pairs]
    np.testing.assert_allclose(
        family.density(point, pairs), np.array(both) / np.sum(both), rtol=CLOSE
    )


def test_products_miss_leaves_and_cells():
    product = ef.Product((ef.Normal(2), ef.Poisson(), ef.Categorical(3), ef.LogNormal(2)))
    params = random_params(product, jax.random.key(0))
    normal, poisson, categorical, log_normal = product.factors
    own = [ef.Natural(coords) for coords in params.coords]
    nan = np.nan
    x = ef.incomplete(
        (
            np.array([[0.5, nan], [1.0, 2.0]]),
            np.array([nan, 3.0]),
            np.array([2.0, nan]),
            np.array([[nan, 2.0], [nan, nan]]),
        )
    )
    first = normal.log_density(own[0], ef.incomplete(jnp.array([0.5, nan])))
    last = log_normal.log_density(own[3], ef.incomplete(jnp.array([nan, 2.0])))
    expected = [
        first + categorical.log_density(own[2], 2) + last,
        normal.log_density(own[0], jnp.array([1.0, 2.0])) + poisson.log_density(own[1], 3),
    ]
    np.testing.assert_allclose(product.log_density(params, x), expected, rtol=CLOSE)
    mean, covariance = map(np.asarray, log_normal.definition.base.mean_covariance(own[3]))
    np.testing.assert_allclose(
        last, stats.lognorm(np.sqrt(covariance[1, 1]), scale=np.exp(mean[1])).logpdf(2), atol=NATS
    )
    without = ef.Product(product.factors[:3])
    filled = without.impute(ef.Natural(params.coords[:3]), x[:3])
    np.testing.assert_allclose(filled[1], [poisson.rate(own[1]), 3.0], rtol=CLOSE)
    assert filled[2].tolist() == [2, int(np.argmax(categorical.probabilities(own[2])))]
    drawn = product.sample_missing(jax.random.key(1), params, x, (3,))
    assert jnp.all(drawn[1][:, 1] == 3)
    assert jnp.all(drawn[0][:, 0, 0] == 0.5)
    with pytest.raises(TypeError, match="no closed form"):
        product.impute(params, x)


# One of every kind of datum that is missing as a whole.
WHOLE = [
    "categorical",
    "poisson",
    "gamma",
    pytest.param("dirichlet", marks=pytest.mark.slow),
    pytest.param("wishart", marks=pytest.mark.slow),
    pytest.param("multinomial", marks=pytest.mark.slow),
    pytest.param("von_mises_fisher", marks=pytest.mark.slow),
    pytest.param("normal_wishart", marks=pytest.mark.slow),
    pytest.param("pareto", marks=pytest.mark.slow),
    "laplace",
    "replicated_normal",
]


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_missing_is_integrated_out(name):
    family = BY_NAME[name]
    params = random_params(family, jax.random.key(0))
    data = arbitrary_data(family, (2,))
    mask = jax.tree.map(lambda leaf: np.arange(2).reshape(2, *(1,) * (leaf.ndim - 1)) == 0, data)
    mask = jax.tree.map(lambda a, leaf: np.broadcast_to(a, leaf.shape), mask, data)
    rows = ef.incomplete(data, mask)
    first = family.log_density(params, jax.tree.map(lambda leaf: leaf[0], data))
    np.testing.assert_allclose(
        family.log_density(params, rows), [first, 0.0], atol=NATS, rtol=EXACT
    )
    last = jax.tree.map(lambda leaf: leaf[1], given(family, params, rows))
    expected = family.to_mean(params).coords
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=CLOSE, atol=CLOSE), last, expected
    )


def test_a_mask_of_ones_changes_nothing():
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(6, 4)))
    assert ef.incomplete(xs, np.ones((6, 4), bool)) is not None
    assert isinstance(ef.incomplete(xs, np.ones((6, 4), bool)), jax.Array)
    normal = ef.Normal(4)
    params = random_params(normal, jax.random.key(0))
    kernel = jax.jit(lambda seen: normal.log_density(params, ef.incomplete(xs, seen)))
    np.testing.assert_allclose(
        kernel(jnp.ones((6, 4), bool)), normal.log_density(params, xs), rtol=EXACT, atol=EXACT
    )


def test_maximum_likelihood_of_incomplete_rows_is_a_stationary_point():
    rng = np.random.default_rng(3)
    xs = rng.normal(size=(200, 3)) @ np.array([[1, 0.5, 0], [0, 1, 0.5], [0, 0, 1]])
    rows = ef.incomplete(np.where(rng.random(xs.shape) < 0.8, xs, np.nan))
    normal = ef.Normal(3)
    params = normal.maximum_likelihood(rows)
    slope = jax.grad(lambda p: jnp.mean(normal.log_density(p, rows)))(params)
    np.testing.assert_allclose(
        normal.flatten(ef.Mean(slope.coords)), 0, atol=2e-3 if FLOAT32 else 1e-6
    )
    poisson = ef.Poisson()
    counts = ef.incomplete(np.array([1.0, np.nan, 4.0]))
    np.testing.assert_allclose(poisson.rate(poisson.maximum_likelihood(counts)), 2.5, rtol=CLOSE)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [[1.0, None], [2.0, 3.0]],
        lambda: np.ma.masked_array([[1.0, 9.0], [2.0, 3.0]], [[False, True], [False, False]]),
        lambda: jnp.array([[1.0, jnp.nan], [2.0, 3.0]]),
        lambda: np.array([[1, np.nan], [2, 3]], np.float32),
    ],
    ids=["list", "masked", "jax", "float32"],
)
def test_marks_of_missing_cells_are_understood(make):
    rows = ef.incomplete(make())
    assert np.asarray(rows.observed).tolist() == [[True, False], [True, True]]
    assert np.all(np.isfinite(rows.values))


BAD = {
    "mask of another shape": (
        lambda: ef.incomplete(jnp.zeros((2, 3)), np.ones((3, 2), bool)),
        "`observed` must have the shape of `xs`",
    ),
    "words": (lambda: ef.incomplete(["a", "b"]), "must be numbers"),
    "NaN in plain data": (
        lambda: ef.Normal(2).maximum_likelihood(jnp.array([[0.0, jnp.nan], [1.0, 2.0]])),
        "expfam.incomplete",
    ),
    "NaN in a cell that is said to be seen": (
        lambda: ef.Normal(2).maximum_likelihood(
            ef.incomplete(
                np.array([[0.0, np.nan], [np.inf, 2.0]]), np.array([[1, 0], [1, 1]], bool)
            )
        ),
        "marked as seen",
    ),
    "a vector that is seen in part": (
        lambda: ef.Dirichlet(2).log_density(
            ef.Natural(jnp.ones(2)), ef.incomplete(np.array([0.5, np.nan]))
        ),
        "as a whole",
    ),
    "statistics of incomplete rows": (
        lambda: ef.Normal(1).average_sufficient_statistic(
            ef.incomplete(np.array([[np.nan], [1.0]]))
        ),
        "must be complete",
    ),
    "nothing to condition on": (
        lambda: ef.Normal(1).conditional(
            ef.Normal(1).from_mean_covariance(jnp.zeros(1), jnp.eye(1)), jnp.zeros(1)
        ),
        "no cell of it is missing",
    ),
    "a mask of given cells of another shape": (
        lambda: ef.Normal(2).log_conditional_density(
            ef.Normal(2).from_mean_covariance(jnp.zeros(2), jnp.eye(2)),
            jnp.zeros(2),
            np.ones(3, bool),
        ),
        "`given` must say",
    ),
    "labels of a family": (
        lambda: ef.Normal(1).log_density(
            ef.Normal(1).from_mean_covariance(jnp.zeros(1), jnp.eye(1)),
            ef.labeled(jnp.zeros((1, 1)), [0]),
        ),
        "label|structured",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_words(name):
    act, words = BAD[name]
    with pytest.raises((ValueError, TypeError), match=words):
        act()
