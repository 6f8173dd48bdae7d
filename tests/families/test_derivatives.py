"""First and second derivatives of every verb, at generic, symmetric and boundary points.

Kernels that keep digits are written with `where`, `max` and `abs`, which have wrong derivatives at
ties: the points of symmetry. References are differences of values, and explicit formulas.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.geometry.spaces import zeros
from tests.registry import (
    BY_NAME,
    EXACT,
    _from_unconstrained,
    arbitrary_data,
    needs_float64,
    random_params,
)

STEP = 2e-3
# One of every kind of kernel: second derivatives of all verbs take long to compile.
CASES = [
    "poisson",
    *(
        pytest.param(name, marks=pytest.mark.slow)
        for name in ("categorical", "normal_full", "gamma", "von_mises", "mixture_poisson")
    ),
]


def verbs(family: Any, theta: ef.Natural, move: ef.Natural, rows: Any, t: jax.Array) -> dict:
    """What depends on the point, t steps from θ; and on the order, t from 1."""
    point = theta + move * t
    return {
        "log density": family.log_density(point, rows),
        "log normalizer": family.log_normalizer(point),
        "log normalizer given": family.log_normalizer_given(point, family._observe(rows)),
        "entropy": family.entropy(point),
        "divergence to": family.kl_divergence(theta, point),
        "divergence from": family.kl_divergence(point, theta),
        "divergence along": family.kl_divergence(point, theta - move * t),
        "Rényi divergence": family.renyi_divergence(theta, point, 0.5),
        "order of a Rényi divergence": family.renyi_divergence(theta, theta + move, 1 + t),
    }


@jax.jit
def derivatives(family: Any, theta: ef.Natural, move: ef.Natural, rows: Any) -> tuple[dict, ...]:
    """Values, first and second derivatives at five steps."""
    one = jnp.ones(())

    def slope(t: jax.Array) -> tuple[dict, dict]:
        return jax.jvp(lambda t: verbs(family, theta, move, rows, t), (t,), (one,))

    def both(t: jax.Array) -> tuple[dict, ...]:
        (values, first), (_, second) = jax.jvp(slope, (t,), (one,))
        return values, first, second

    return jax.vmap(both)(STEP * jnp.arange(-2.0, 3.0))


def symmetric_params(family: Any) -> ef.Natural:
    """The point of free parameters zero: equal probabilities, equal components, no direction."""
    free = jax.eval_shape(family._to_unconstrained, zeros(family.spaces, jnp.zeros(()).dtype))
    origin = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), free)
    return ef.Natural(_from_unconstrained(family, origin))


@needs_float64
@pytest.mark.parametrize("name", CASES)
def test_derivatives_are_those_of_the_values(name):
    family = BY_NAME[name]
    generic = random_params(family, jax.random.key(1))
    rows = arbitrary_data(family, (6,))
    deviations = np.sqrt(np.diagonal(family.fisher_information(generic)))
    noise = np.random.default_rng(0).normal(size=family.dim) / np.sqrt(family.dim)
    move = family.unflatten(jnp.asarray(0.3 * noise / deviations), ef.Natural)
    weights = np.array([1.0, -8.0, 0.0, 8.0, -1.0]) / (12 * STEP)
    for theta in (generic, symmetric_params(family)):
        values, first, second = jax.tree.map(np.asarray, derivatives(family, theta, move, rows))
        for verb in values:
            for found, below in ((first, values), (second, first)):
                wanted = np.tensordot(weights, below[verb], axes=1)
                np.testing.assert_allclose(found[verb][2], wanted, 1e-6, 1e-8, err_msg=verb)


# ---------------------------------------------------------------- values of the literature


def gradient(function: Any, *coords: Any) -> np.ndarray:
    """The gradient in the first argument, as one vector."""
    return np.asarray(jax.jit(jax.grad(function))(*map(jnp.asarray, coords)))


@pytest.mark.parametrize(
    ("family", "theta", "information"),
    [
        (ef.Poisson(), 0.5, np.exp(0.5)),
        (ef.Geometric(), -1.0, np.exp(-1) / (1 - np.exp(-1)) ** 2),
        (ef.Bernoulli(), 0.0, 0.25),
        (ef.Categorical(3), [0.0, 0.0], [[2 / 9, -1 / 9], [-1 / 9, 2 / 9]]),
        pytest.param(ef.VonMises(), [0.0, 0.0], np.eye(2) / 2, marks=pytest.mark.slow),
        pytest.param(ef.VonMisesFisher(3), [0.0, 0.0, 0.0], np.eye(3) / 3, marks=pytest.mark.slow),
    ],
)
def test_divergences_bend_by_the_information(family, theta, information):
    theta = jnp.asarray(theta)
    for function in (
        lambda q: family.kl_divergence(ef.Natural(theta), ef.Natural(q)),
        lambda q: family.kl_divergence(ef.Natural(q), ef.Natural(theta)),
        lambda q: family.renyi_divergence(ef.Natural(q), ef.Natural(theta), 0.5) * 2,
        lambda q: -family.log_density(ef.Natural(q), arbitrary_data(family, ())),
    ):
        found = jax.jit(jax.hessian(function))(theta)
        np.testing.assert_allclose(found, information, rtol=EXACT, atol=EXACT)


def test_divergence_of_normals_bends_by_the_precision():
    normal = ef.Normal(1)

    def divergence(mean: jax.Array, other: jax.Array) -> jax.Array:
        points = [normal.from_mean_covariance(m[None], jnp.eye(1)) for m in (mean, other)]
        return normal.kl_divergence(*points)

    zero = jnp.zeros(())
    both = jax.jit(jax.hessian(divergence, (0, 1)))(zero, zero)
    np.testing.assert_allclose(np.ravel(both), [1, -1, -1, 1], rtol=EXACT)


def test_renyi_divergence_has_a_slope_in_its_order():
    # ½ Var log p/q of Gamma(2, 1) and Gamma(3, 2): log p/q is x − log x and a constant, and
    # Var x = 2, Var log x = π²/6 − 1, Cov(x, log x) = 1.
    gamma = ef.Gamma()
    points = [gamma.from_shape_rate(*pair) for pair in ((2.0, 1.0), (3.0, 2.0))]
    wanted = (2 + np.pi**2 / 6 - 1 - 2) / 2
    found = gradient(lambda order: gamma.renyi_divergence(*points, order), 1.0)
    np.testing.assert_allclose(found, wanted, rtol=EXACT)
    np.testing.assert_allclose(wanted, 0.322, atol=5e-4)


def test_ties_of_the_largest_logit():
    family = ef.Categorical(3)
    found = gradient(lambda c: family.log_density(ef.Natural(c), jnp.asarray(0)), [0.0, 0.0])
    np.testing.assert_allclose(found, [-1 / 3, -1 / 3], rtol=EXACT)
    # p = (½, p₁, ½): the entropy changes by −p₁ (log p₁ + H) in θ₁
    slope = gradient(lambda c: family.entropy(ef.Natural(c)), [-60.0, 0.0])
    share = np.exp(-60) / 2
    np.testing.assert_allclose(slope, [share * 60, 0], rtol=EXACT, atol=EXACT * share)


@pytest.mark.parametrize(
    ("family", "x", "statistic"),
    [
        (ef.VonMises(), 0.4, [np.cos(0.4), np.sin(0.4)]),
        (ef.VonMisesFisher(3), [0.6, 0.0, -0.8], [0.6, 0.0, -0.8]),
    ],
)
def test_directions_have_derivatives_at_the_uniform(family, x, statistic):
    origin, size = jnp.zeros(len(statistic)), len(statistic)
    found = gradient(lambda c: family.log_density(ef.Natural(c), jnp.asarray(x)), origin)
    np.testing.assert_allclose(found, statistic, rtol=EXACT)
    bends = jax.jit(jax.hessian(lambda c: family.entropy(ef.Natural(c))))(origin)
    np.testing.assert_allclose(bends, -np.eye(size) / size, rtol=EXACT, atol=EXACT)


def test_a_gradient_fit_leaves_the_uniform():
    optax = pytest.importorskip("optax")
    family = ef.VonMises()
    xs = jnp.asarray([0.1, 0.5, 0.9])
    start = ef.Natural(jnp.zeros(2))
    method = ef.Gradient(optax.adam(0.1), steps=20)
    found = ef.fit(family, xs, key=jax.random.key(0), method=method, params=start)
    assert found.log_likelihood > -np.log(2 * np.pi) + 0.5


@pytest.mark.parametrize(
    ("family", "theta", "x", "score"),
    [
        (ef.Poisson(), 0.5, 0, -np.exp(0.5)),
        (ef.Binomial(3), 0.0, 3, 1.5),
        (ef.NegativeBinomial(2.0), -1.0, 0, -2 / np.expm1(1)),
        (ef.Multinomial(2, 3), [0.0, 0.0], [2, 0, 0], [-2 / 3, -2 / 3]),
    ],
)
def test_counts_at_an_end_have_finite_scores(family, theta, x, score):
    found = gradient(lambda c: family.log_density(ef.Natural(c), jnp.asarray(x)), theta)
    np.testing.assert_allclose(found, score, rtol=EXACT)
    slope = gradient(lambda c: family.entropy(ef.Natural(c)), theta)
    assert np.all(np.isfinite(slope))


def test_information_of_coupled_variables_is_the_covariance_of_their_statistic():
    family = ef.Boltzmann(3, [(0, 1), (1, 2)])
    theta = 0.1 * jnp.arange(5.0)
    states = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T
    rows = np.column_stack([states, states[:, 0] * states[:, 1], states[:, 1] * states[:, 2]])
    shares = np.exp(rows @ np.asarray(theta))
    shares = shares / np.sum(shares)
    gaps = rows - shares @ rows
    found = family.fisher_information(family.unflatten(theta, ef.Natural))
    np.testing.assert_allclose(found, gaps.T * shares @ gaps, rtol=EXACT, atol=EXACT)
