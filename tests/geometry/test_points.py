"""Points: vector spaces within a chart, a pairing across charts, nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.geometry.points import pairing

CHARTS = [ef.Natural, ef.Mean]


def point(chart, seed=0):
    rng = np.random.default_rng(seed)
    return chart({"first": jnp.asarray(rng.normal(size=3)), "rest": (jnp.asarray(2.0), None)})


def assert_coords(result, chart, first, number):
    assert type(result) is chart
    np.testing.assert_allclose(result.coords["first"], first)
    np.testing.assert_allclose(result.coords["rest"][0], number)
    assert result.coords["rest"][1] is None


@pytest.mark.parametrize("chart", CHARTS)
def test_arithmetic_is_leafwise(chart):
    a, b = point(chart), point(chart, 1)
    x, y = np.asarray(a.coords["first"]), np.asarray(b.coords["first"])
    assert_coords(a + b, chart, x + y, 4)
    assert_coords(a - b, chart, x - y, 0)
    assert_coords(-a, chart, -x, -2)
    assert_coords(a / 4, chart, x / 4, 0.5)


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("scalar", [3, 3.0, np.float64(3), np.array(3.0), jnp.array(3.0)])
def test_scaling_by_any_kind_of_number_from_both_sides(chart, scalar):
    a = point(chart)
    x = np.asarray(a.coords["first"])
    assert_coords(a * scalar, chart, 3 * x, 6)
    assert_coords(scalar * a, chart, 3 * x, 6)


def test_pairing_is_the_sum_of_leafwise_products_in_both_orders():
    theta, eta = point(ef.Natural), point(ef.Mean, 1)
    expected = np.dot(theta.coords["first"], eta.coords["first"]) + 4
    np.testing.assert_allclose(theta @ eta, expected)
    np.testing.assert_allclose(eta @ theta, expected)
    assert (theta @ eta).shape == ()


def test_pairing_of_nothing_is_zero():
    assert pairing(None, None) == 0


@pytest.mark.parametrize("chart", CHARTS)
def test_points_pass_through_transformations(chart):
    stacked = jax.vmap(lambda s: point(chart) * s)(jnp.arange(3.0))
    assert type(stacked) is chart
    assert stacked.coords["first"].shape == (3, 3)
    assert_coords(
        jax.jit(lambda a: a + a)(point(chart)), chart, 2 * point(chart).coords["first"], 4
    )


@pytest.mark.parametrize(("chart", "dual"), [(ef.Natural, ef.Mean), (ef.Mean, ef.Natural)])
def test_gradient_is_a_point_of_the_dual_chart(chart, dual):
    def squares(p, scale, offset=0.0):
        return scale * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(p.coords)) + offset

    a = point(chart)
    result = ef.gradient(squares)(a, 0.5, offset=1.0)
    assert_coords(result, dual, a.coords["first"], 2)


def test_gradient_refuses_a_bare_array():
    with pytest.raises(TypeError, match=r"first argument must be an expfam\.Natural or expfam\.M"):
        ef.gradient(jnp.sum)(jnp.ones(3))


@pytest.mark.parametrize("operation", ["+", "-"])
def test_charts_do_not_mix(operation):
    theta, eta = point(ef.Natural), point(ef.Mean)
    for left, right in ((theta, eta), (eta, theta)):
        expected, came = type(left).__name__, type(right).__name__
        message = (
            rf"{expected} \{operation} … expects another expfam\.{expected}, but got an "
            rf"expfam\.{came}; convert with the family's to_natural or to_mean first"
        )
        with pytest.raises(TypeError, match=message):
            left + right if operation == "+" else left - right


@pytest.mark.parametrize("chart", CHARTS)
def test_points_of_different_families_do_not_mix(chart):
    other = chart({"first": jnp.ones(2), "rest": (jnp.asarray(2.0), None)})
    with pytest.raises(
        ValueError, match=r"two sides of `\+` are points of different families.*\(3,"
    ):
        point(chart) + other
    with pytest.raises(ValueError, match="different families"):
        point(chart) - chart(jnp.ones(3))
    dual = ef.Mean if chart is ef.Natural else ef.Natural
    with pytest.raises(ValueError, match=r"two sides of `@` are points of different families"):
        point(dual) @ other


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("scalar", [np.ones(3), jnp.ones(3), np.ones((1, 1))])
def test_points_are_scaled_by_one_number_only(chart, scalar):
    message = rf"a {chart.__name__} is scaled by one number, but got .*shape \({scalar.shape[0]},"
    for operation in (lambda a: a * scalar, lambda a: scalar * a, lambda a: a / scalar):
        with pytest.raises(TypeError, match=message):
            operation(point(chart))


@pytest.mark.parametrize("chart", CHARTS)
def test_points_do_not_multiply(chart):
    with pytest.raises(TypeError):
        point(chart) * point(chart)
    with pytest.raises(TypeError):
        point(chart) @ point(chart)
    with pytest.raises(TypeError):
        point(chart) @ jnp.ones(3)
