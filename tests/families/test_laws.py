"""The laws that every family and model satisfies, on the instances of the registry."""

from functools import cache, cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.families.support import is_support
from tests.registry import (
    BY_NAME,
    CLOSE,
    EXACT,
    HARMONIUMS,
    REGISTRY,
    REPRESENTATIVES,
    arbitrary_data,
    needs_float64,
    random_params,
)

# Rows for averages. Those over rows must agree with expectations up to this many standard errors,
# which are estimated from the rows themselves.
N_ROWS = 100_000
STANDARD_ERRORS = 5

# Data of every structure, for what is written once for all families.
SHAPES = ["normal_full", "categorical", "wishart", "normal_gamma", "product", "analytic_diagonal"]


class Facts:
    """What the laws compare, computed once for each instance.

    Public methods are compiled inside; what is differenced or summarized here is compiled here.
    """

    def __init__(self, name: str):
        self.family = BY_NAME[name]
        self.theta = random_params(self.family, jax.random.key(1))
        self.phi = random_params(self.family, jax.random.key(2))
        self.data = arbitrary_data(self.family, (2, 3))
        self.rows = jax.tree.map(lambda leaf: leaf.reshape(6, *leaf.shape[2:]), self.data)

    @cached_property
    def eta(self) -> ef.Mean:
        return self.family.to_mean(self.theta)

    @cached_property
    def back(self) -> ef.Natural:
        return self.family.to_natural(self.eta)

    @cached_property
    def point(self) -> dict[str, Any]:
        return jax.tree.map(np.asarray, _point(self.family, self.theta, self.phi, self.eta))

    @cached_property
    def deviations(self) -> np.ndarray:
        return np.sqrt(np.diagonal(self.point["fisher"]))

    @cached_property
    def slopes(self) -> tuple[np.ndarray, np.ndarray]:
        return jax.tree.map(np.asarray, _slopes(self.family, self.theta, self.deviations))

    @cached_property
    def sample(self) -> Any:
        return self.family.sample(jax.random.key(3), self.theta, (N_ROWS,))

    @cached_property
    def log_densities(self) -> tuple[np.ndarray, np.ndarray]:
        own, other = (self.family.log_density(q, self.sample) for q in (self.theta, self.phi))
        return np.asarray(own), np.asarray(other)

    @cached_property
    def summary(self) -> dict[str, np.ndarray]:
        return jax.tree.map(np.asarray, _summary(self.family, self.sample))


facts_of = cache(Facts)


@pytest.fixture(scope="module", params=[i.case for i in REGISTRY])
def facts(request: pytest.FixtureRequest) -> Facts:
    return facts_of(request.param)


@pytest.fixture(scope="module", params=[i.case for i in REGISTRY if i.name in REPRESENTATIVES])
def sampled(request: pytest.FixtureRequest) -> Facts:
    return facts_of(request.param)


@pytest.fixture(scope="module", params=[i.name for i in HARMONIUMS])
def model(request: pytest.FixtureRequest) -> Facts:
    return facts_of(request.param)


@pytest.fixture(scope="module", params=[i.name for i in HARMONIUMS if i.name in REPRESENTATIVES])
def fitted(request: pytest.FixtureRequest) -> Facts:
    return facts_of(request.param)


@jax.jit
def _point(family: Any, theta: ef.Natural, phi: ef.Natural, eta: ef.Mean) -> dict[str, Any]:
    flat = family.flatten(theta), family.flatten(eta)
    others = jax.tree.map(lambda *leaves: jnp.stack(leaves), phi, theta)
    divergences = jax.vmap(lambda other: family.kl_divergence(theta, other))(others)
    return {
        "psi": family.log_normalizer(theta),
        "entropy": family.entropy(theta),
        "kl": divergences,
        "fisher": family.fisher_information(theta),
        "in_domain": family.in_domain(theta),
        "gradient": ef.gradient(family.log_normalizer)(theta),
        "flat": flat,
        "unflat": (family.unflatten(flat[0], ef.Natural), family.unflatten(flat[1], ef.Mean)),
        "pairing": (theta @ eta, eta @ theta),
        "free": ef.Natural(family._from_unconstrained(family._to_unconstrained(theta.coords))),
        "sums": ((theta + phi) - phi, 0.5 * (theta + theta), -(theta - theta * 2.0), theta / 1),
        "mean_sums": ((eta + eta) - eta, 0.5 * (eta + eta), -(eta - eta * 2.0), eta / 1),
    }


@jax.jit
def _slopes(family: Any, theta: ef.Natural, deviations: jax.Array) -> tuple[jax.Array, jax.Array]:
    # Differences of ψ and of ∇ψ along every coordinate, of fourth order. The coordinate pairs with
    # a statistic, whose standard deviation is the inverse of the scale on which ψ bends.
    def both(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
        point = family.unflatten(vector, ef.Natural)
        return family.log_normalizer(point), family.flatten(family.to_mean(point))

    step = 1e-3 / deviations
    stencil = jnp.array([-2.0, -1.0, 1.0, 2.0])[:, None, None] * jnp.diag(step)
    values, means = jax.vmap(jax.vmap(both))(family.flatten(theta) + stencil)
    weights = jnp.array([1.0, -8.0, 8.0, -1.0]) / 12
    return (
        jnp.tensordot(weights, values, axes=1) / step,
        jnp.tensordot(weights, means, axes=1) / step[:, None],
    )


@jax.jit
def _statistics(family: Any, rows: Any) -> jax.Array:
    # Rows of flattened statistics.
    return jax.vmap(lambda x: family._flatten(family._sufficient_statistic(x), "mean"))(rows)


@jax.jit
def _summary(family: Any, rows: Any) -> dict[str, jax.Array]:
    statistics = _statistics(family, rows)
    mean = jnp.mean(statistics, axis=0)
    centered = statistics - mean
    covariance = centered.T @ centered / N_ROWS
    products = (centered**2).T @ centered**2 / N_ROWS
    return {
        "mean": mean,
        "covariance": covariance,
        "covariance_error": jnp.sqrt(jnp.maximum(products - covariance**2, 0) / N_ROWS),
    }


def assert_equal_points(left: Any, right: Any, tolerance: float) -> None:
    """Compare leaf by leaf, relative to the largest coordinate of all."""
    assert type(left) is type(right)
    assert jax.tree.structure(left) == jax.tree.structure(right)
    left, right = ([np.asarray(leaf) for leaf in jax.tree.leaves(point)] for point in (left, right))
    scale = max(np.max(np.abs(leaf), initial=0) for leaf in right)
    for a, b in zip(left, right, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def assert_within_errors(values: np.ndarray, expected: float) -> None:
    """Compare an average over rows with what it should be."""
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - expected) <= STANDARD_ERRORS * error + EXACT


# ------------------------------------------------------------------------------------ points


def test_random_params_lie_in_the_domain(facts: Facts):
    assert facts.point["in_domain"]
    assert np.isfinite(facts.point["psi"])


def test_points_have_the_structure_of_the_spaces(facts: Facts):
    spaces, treedef = jax.tree.flatten(
        facts.family.spaces, is_leaf=lambda node: hasattr(node, "unpack")
    )
    assert isinstance(facts.eta, ef.Mean)
    assert isinstance(facts.back, ef.Natural)
    for point in (facts.theta, facts.eta, facts.back):
        leaves = treedef.flatten_up_to(point.coords)
        assert [leaf.shape for leaf in leaves] == [space.shape for space in spaces]
        assert all(leaf.dtype == jnp.zeros(()).dtype for leaf in leaves)


def test_flatten_and_unflatten_are_inverse(facts: Facts):
    natural, mean = facts.point["flat"]
    assert natural.shape == mean.shape == (facts.family.dim,)
    assert_equal_points(facts.point["unflat"][0], facts.theta, EXACT)
    assert_equal_points(facts.point["unflat"][1], facts.eta, EXACT)


def test_pairing_is_the_dot_product_of_flattened_points(facts: Facts):
    natural, mean = facts.point["flat"]
    scale = 1 + np.abs(natural) @ np.abs(mean)
    for value in facts.point["pairing"]:
        np.testing.assert_allclose(value, natural @ mean, rtol=0, atol=EXACT * scale)


def test_points_form_a_vector_space(facts: Facts):
    for same in facts.point["sums"]:
        assert_equal_points(same, facts.theta, EXACT)
    for same in facts.point["mean_sums"]:
        assert_equal_points(same, facts.eta, EXACT)


def test_unconstrained_chart_round_trip(facts: Facts):
    assert_equal_points(facts.point["free"], facts.theta, CLOSE)


# ------------------------------------------------------------------------------------ duality


def test_natural_to_mean_and_back(facts: Facts):
    assert_equal_points(facts.back, facts.theta, CLOSE)


def test_mean_to_natural_and_back(facts: Facts):
    assert_equal_points(facts.family.to_mean(facts.back), facts.eta, CLOSE)


def test_legendre_identity(facts: Facts):
    # ⟨θ, η⟩ = ψ(θ) + φ(η)
    pairing, psi = facts.point["pairing"][0], facts.point["psi"]
    conjugate = facts.family.negative_entropy(facts.eta)
    scale = 1 + abs(pairing) + abs(psi)
    np.testing.assert_allclose(psi + conjugate, pairing, rtol=0, atol=CLOSE * scale)


def test_gradient_of_the_log_normalizer_is_tagged_as_mean(facts: Facts):
    assert isinstance(facts.point["gradient"], ef.Mean)
    assert_equal_points(facts.point["gradient"], facts.eta, EXACT)


@needs_float64
def test_mean_is_the_slope_of_the_log_normalizer(facts: Facts):
    gap = np.abs(facts.slopes[0] - facts.point["flat"][1])
    assert np.all(gap <= 1e-8 * facts.deviations * (1 + abs(facts.point["psi"])))


@needs_float64
def test_fisher_information_is_the_slope_of_the_mean(facts: Facts):
    gap = np.abs(facts.slopes[1] - facts.point["fisher"])
    size = facts.deviations + np.abs(facts.point["flat"][1])
    assert np.all(gap <= 1e-8 * np.outer(facts.deviations, size))


def test_fisher_information_is_symmetric_and_positive_definite(facts: Facts):
    fisher = facts.point["fisher"]
    assert fisher.shape == (facts.family.dim, facts.family.dim)
    # in units of the standard deviations, so that scales do not matter
    correlation = fisher / np.outer(facts.deviations, facts.deviations)
    np.testing.assert_allclose(correlation, correlation.T, rtol=0, atol=EXACT)
    assert np.all(np.linalg.eigvalsh(correlation) > 0)


def test_divergence_is_positive_and_zero_at_equality(facts: Facts):
    # A family of dimension 0 has but one point.
    other, same = facts.point["kl"]
    assert other > 0 or facts.family.dim == 0
    np.testing.assert_allclose(same, 0, rtol=0, atol=EXACT)


# ------------------------------------------------------------------------------------ densities


def test_log_density_is_linear_in_the_statistic(facts: Facts):
    # log p(x) = ⟨θ, s(x)⟩ + log μ(x) − ψ(θ), for two leading axes of data
    density = facts.family.log_density(facts.theta, facts.data)
    base = facts.family.log_base_measure(facts.data)
    assert density.shape == base.shape == (2, 3)
    statistics = np.asarray(_statistics(facts.family, facts.rows))
    linear = np.reshape(statistics @ facts.point["flat"][0], (2, 3))
    scale = 1 + np.abs(linear) + np.abs(base) + abs(facts.point["psi"])
    gap = np.abs(density - (linear + base - facts.point["psi"]))
    assert np.all(gap <= EXACT * scale)


def test_log_observable_density_is_a_difference_of_log_normalizers(model: Facts):
    # log p(x) = ψ(θ | x) − ψ(θ), for two leading axes of data
    given = model.family.log_normalizer_given(model.theta, model.data[0])
    density = model.family.log_observable_density(model.theta, model.data[0])
    assert given.shape == density.shape == (2, 3)
    scale = 1 + np.abs(given) + abs(model.point["psi"])
    gap = np.abs(density - (given - model.point["psi"]))
    assert np.all(gap <= EXACT * scale)


@pytest.mark.parametrize("name", SHAPES)
def test_density_of_a_batch_is_that_of_each_alone(name: str):
    facts = facts_of(name)
    family, theta = facts.family, facts.theta
    batch = np.ravel(family.density(theta, facts.data))
    for i in range(6):
        alone = jax.tree.map(lambda leaf, i=i: leaf[i], facts.rows)
        value = family.log_density(theta, alone)
        assert value.shape == ()
        np.testing.assert_allclose(np.exp(value), batch[i], rtol=EXACT)


@pytest.mark.parametrize("name", SHAPES)
def test_sufficient_statistic_of_one_data_point(name: str):
    facts = facts_of(name)
    family = facts.family
    statistic = family.sufficient_statistic(jax.tree.map(lambda leaf: leaf[0], facts.rows))
    assert isinstance(statistic, ef.Mean)
    expected = np.asarray(_statistics(family, facts.rows))
    np.testing.assert_allclose(family.flatten(statistic), expected[0], rtol=EXACT, atol=EXACT)
    average = family.average_sufficient_statistic(facts.rows)
    assert isinstance(average, ef.Mean)
    np.testing.assert_allclose(
        family.flatten(average), np.mean(expected, axis=0), rtol=EXACT, atol=EXACT
    )


# ------------------------------------------------------------------------------------ samples


def test_samples_lie_in_the_support(sampled: Facts):
    supports, treedef = jax.tree.flatten(sampled.family.support, is_leaf=is_support)
    leaves = treedef.flatten_up_to(sampled.sample)
    for leaf, support in zip(leaves, supports, strict=True):
        assert leaf.shape == (N_ROWS, *support.shape)
        assert support.contains(leaf)


def test_means_are_expectations_of_the_statistic(sampled: Facts):
    error = np.sqrt(np.diagonal(sampled.summary["covariance"]) / N_ROWS)
    gap = np.abs(sampled.summary["mean"] - sampled.point["flat"][1])
    assert np.all(gap <= STANDARD_ERRORS * error + EXACT)


def test_fisher_information_is_the_covariance_of_the_statistic(sampled: Facts):
    gap = np.abs(sampled.summary["covariance"] - sampled.point["fisher"])
    assert np.all(gap <= STANDARD_ERRORS * sampled.summary["covariance_error"] + EXACT)


def test_entropy_is_the_expected_negative_log_density(sampled: Facts):
    assert_within_errors(-sampled.log_densities[0], sampled.point["entropy"])


def test_divergence_is_the_expected_log_ratio(sampled: Facts):
    own, other = sampled.log_densities
    assert_within_errors(own - other, sampled.point["kl"][0])


# ------------------------------------------------------------------------------------ E-step


def test_posterior_statistics_are_gradients_of_the_conditional_log_normalizer(fitted: Facts):
    observed = fitted.rows[0]

    def average(theta: ef.Natural) -> jax.Array:
        return jnp.mean(fitted.family.log_normalizer_given(theta, observed))

    statistics = fitted.family.mean_posterior_statistics(fitted.theta, observed)
    assert_equal_points(statistics, ef.gradient(average)(fitted.theta), EXACT)


def test_weights_repeat_rows_and_weight_zero_leaves_them_out(fitted: Facts):
    observed = fitted.rows[0]
    index = np.array([0, 0, 1, 2, 2, 2])
    repeated = jax.tree.map(lambda leaf: leaf[index], observed)
    weights = jnp.array([2.0, 1.0, 3.0, 0.0, 0.0, 0.0])
    statistics = fitted.family.mean_posterior_statistics
    weighted = statistics(fitted.theta, observed, weights)
    assert_equal_points(weighted, statistics(fitted.theta, repeated), EXACT)


@pytest.mark.parametrize("size", [3, 4, 100])
@pytest.mark.parametrize(
    "name", ["mixture_product", "mixture_full_by_diagonal", "analytic_diagonal"]
)
def test_blocks_of_rows_give_what_all_rows_give(name: str, size: int):
    # 6 rows: a size that divides their number, one that does not, one that exceeds it.
    facts = facts_of(name)
    weights = jnp.array([0.5, 2.0, 1.0, 0.0, 1.0, 3.0])

    @partial(jax.jit, static_argnums=0)
    def averages(size):
        given = facts.theta.coords, facts.rows[0], weights, size
        return *facts.family._density_and_expectation(*given), facts.family._expectation(*given)

    value, means, alone = averages(None)
    found, *both = averages(size)
    np.testing.assert_allclose(found, value, rtol=EXACT)
    for one in (*both, alone):
        assert_equal_points(ef.Mean(one), ef.Mean(means), EXACT)


# ------------------------------------------------------------------------------------ a few


@pytest.mark.parametrize("name", ["normal_full", "product", "mixture_full", "analytic_diagonal"])
def test_gradient_of_the_negative_entropy_is_natural(name: str):
    facts = facts_of(name)
    gradient = jax.jit(ef.gradient(facts.family.negative_entropy))(facts.eta)
    assert isinstance(gradient, ef.Natural)
    assert_equal_points(gradient, facts.theta, CLOSE)


@pytest.mark.parametrize(
    "name",
    ["normal_full", "mixture_full_by_diagonal", "linear_to_diagonal", "analytic_diagonal"],
)
def test_no_coordinate_of_the_domain_is_infinite(name: str):
    facts = facts_of(name)
    family, vector = facts.family, facts.family.flatten(facts.theta)

    def inside(vector):
        return family._in_domain(family._unflatten(vector, "natural"))

    chosen = jnp.eye(family.dim, dtype=bool)
    broken = [jnp.where(chosen, value, vector) for value in (jnp.nan, jnp.inf, -jnp.inf)]
    assert not jnp.any(jax.jit(jax.vmap(inside))(jnp.concatenate(broken)))
    assert inside(vector)


@pytest.mark.parametrize(
    "name",
    ["product", "mixture_full", "factor_analysis", "linear_to_diagonal", "analytic_diagonal"],
)
def test_initialize_gives_points_of_the_domain(name: str):
    family = BY_NAME[name]
    first, again, other = (family.initialize(jax.random.key(seed)) for seed in (0, 0, 1))
    assert isinstance(first, ef.Natural)
    assert family.in_domain(first)
    assert_equal_points(first, again, 0)
    assert not np.allclose(family.flatten(first), family.flatten(other))
