"""Divergences, and the inverse of the gradient of a convex potential."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from expfam.geometry.duality import bregman_divergence, invert_gradient
from expfam.geometry.roots import solve_decreasing
from expfam.geometry.spaces import Symmetric
from tests.registry import EXACT, FLOAT32

SPACE = Symmetric(3)
SHAPE = np.array([[1.0, 0.5, -0.3], [0.5, 1.0, 0.2], [-0.3, 0.2, 1.0]])


def log_det(vector):
    # −½ log|P| of the precision P = −2Θ; its gradient is the covariance P⁻¹. NaN off the domain.
    factor = jnp.linalg.cholesky(-2 * SPACE.unpack(vector, "natural"))
    return -jnp.sum(jnp.log(jnp.diagonal(factor)))


def covariance(widths):
    return np.outer(widths, widths) * SHAPE


def pack(matrix):
    return SPACE.pack(jnp.asarray(matrix), "natural")


UNIT = pack(-0.5 * np.eye(3))


@jax.jit
def solve(target, start):
    return invert_gradient(log_det, target, start)


WIDTHS = [[1, 1, 1], [1e-3, 1e-3, 1e-3], [1e3, 1e3, 1e3], [1e-3, 1, 1e3], [30, 1e-2, 3]]


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("start", ["independent", "unit"])
def test_gradient_is_inverted_at_any_scale(widths, start):
    # from the right widths without correlations, or from unit widths, up to 10³ times too small
    target = covariance(np.asarray(widths, float))
    precision = np.eye(3) if start == "unit" else np.diag(1 / np.diagonal(target))
    theta = SPACE.unpack(solve(pack(target), pack(-0.5 * precision)), "natural")
    # in units of the widths
    found = -2 * np.asarray(theta) * np.outer(widths, widths)
    np.testing.assert_allclose(found, np.linalg.inv(SHAPE), atol=1e-3 if FLOAT32 else 1e-9)


def test_quadratic_potentials_are_inverted_from_any_start():
    matrix = np.array([[2.0, 0.3], [0.3, 1e-3]])
    theta = invert_gradient(
        lambda v: 0.5 * v @ matrix @ v, jnp.array([1.0, -1.0]), jnp.array([1e3, 5.0])
    )
    np.testing.assert_allclose(theta, np.linalg.solve(matrix, [1.0, -1.0]), rtol=1e4 * EXACT)


def test_derivative_is_the_inverse_hessian():
    target = pack(covariance(np.array([0.5, 1.0, 2.0])))
    theta = solve(target, UNIT)
    inverse = np.linalg.inv(jax.hessian(log_det)(theta))
    scale = np.max(np.abs(inverse))
    for jacobian in (jax.jacrev(solve)(target, UNIT), jax.jacfwd(solve)(target, UNIT)):
        np.testing.assert_allclose(jacobian, inverse, rtol=0, atol=1e3 * EXACT * scale)


def test_solves_are_mapped():
    targets = jnp.stack([pack(covariance(np.full(3, width))) for width in (0.1, 1.0, 10.0)])
    together = jax.vmap(solve, in_axes=(0, None))(targets, UNIT)
    for target, theta in zip(targets, together, strict=True):
        np.testing.assert_allclose(theta, solve(target, UNIT), rtol=1e4 * EXACT)


def test_a_solution_is_kept_as_it_is():
    theta = pack(-0.5 * np.linalg.inv(SHAPE))
    found = solve(jax.grad(log_det)(theta), theta)
    np.testing.assert_allclose(found, theta, rtol=1e3 * EXACT)


def test_bregman_divergence_of_the_log_determinant_is_that_of_normals():
    # KL between centered normals, ½ (tr(P Σ) − d − log|P Σ|)
    sigma, other = SHAPE, covariance(np.array([0.5, 1.0, 2.0]))
    product = np.linalg.solve(other, sigma)
    expected = 0.5 * (np.trace(product) - 3 - np.linalg.slogdet(product)[1])
    point, base = (pack(-0.5 * np.linalg.inv(s)) for s in (other, sigma))
    np.testing.assert_allclose(bregman_divergence(log_det, point, base), expected, rtol=1e3 * EXACT)
    np.testing.assert_allclose(bregman_divergence(log_det, base, base), 0, atol=100 * EXACT)


def test_bregman_divergence_of_log_sum_exp_is_that_of_categoricals():
    logits = jnp.log(jnp.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]]))
    p, q = np.exp(np.asarray(logits))
    np.testing.assert_allclose(
        bregman_divergence(jax.nn.logsumexp, logits[1], logits[0]),
        np.sum(p * np.log(p / q)),
        rtol=100 * EXACT,
    )


@pytest.mark.parametrize("size", [1e-6, 1e-4, 1e-2, 0.5, 3.0, 30.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_divergence_of_close_and_of_far_pairs(size, sign):
    # ψ = eᶿ: e^b (e^δ − 1 − δ)
    base, point = jnp.asarray(0.7), jnp.asarray(0.7 + sign * size)
    value = jax.jit(lambda p, b: bregman_divergence(jnp.exp, p, b))(point, base)
    delta = float(point) - float(base)
    series = sum(delta**k / math.factorial(k) for k in range(2, 12))
    expected = np.exp(float(base)) * (series if size < 0.1 else np.expm1(delta) - delta)
    np.testing.assert_allclose(value, expected, rtol=1e-4 if FLOAT32 else 1e-9)


def test_divergence_at_equality_and_its_derivatives():
    def divergence(p, b):
        return bregman_divergence(jnp.exp, p, b)

    here, there = jnp.asarray(0.7), jnp.asarray(1.2)
    assert divergence(here, here) == 0
    assert jax.grad(divergence)(here, here) == 0
    slope = np.exp(1.2) - np.exp(0.7)
    np.testing.assert_allclose(jax.grad(divergence)(there, here), slope, rtol=1e3 * EXACT)


@pytest.mark.parametrize("wanted", [1e-6, 0.5, 20.0])
def test_root_of_a_decreasing_function(wanted):
    def root(wanted):
        low, high = jnp.asarray(-30.0), jnp.asarray(30.0)
        return solve_decreasing(lambda x, w: jnp.exp(-x) - w, wanted, low, high)

    value, slope = jax.jit(jax.value_and_grad(root))(jnp.asarray(wanted))
    np.testing.assert_allclose(value, -np.log(wanted), rtol=EXACT, atol=EXACT)
    np.testing.assert_allclose(slope, -1 / wanted, rtol=10 * EXACT)
