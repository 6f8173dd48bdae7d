"""What `print` shows of points and fits."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef
from expfam.families.readings import readings
from tests.registry import REGISTRY

NORMAL = ef.Normal(2)
MIXTURE = ef.Mixture(NORMAL, 2)
MEANS = jnp.array([[0.0, 1.0], [4.0, 5.0]])
PARAMS = MIXTURE.from_components(
    jnp.array([0.25, 0.75]),
    jax.vmap(NORMAL.from_mean_covariance)(MEANS, jnp.stack([2 * jnp.eye(2)] * 2)),
)


def test_a_point_shows_its_coordinates_by_name():
    lines = repr(ef.Gamma().from_shape_rate(2.0, 3.0)).splitlines()
    assert lines == ["Natural coordinates", "  value      -3.", "  logarithm  2."]
    assert repr(ef.Poisson().to_mean(ef.Poisson().from_rate(3.0))).startswith("Mean coordinates\n")


def test_long_arrays_are_shortened():
    normal = ef.Normal(30)
    shown = repr(normal.from_mean_covariance(jnp.zeros(30), jnp.eye(30)))
    assert "shape (30, 30)" in shown
    assert len(shown.splitlines()) == 3
    assert len(shown) < 300


def test_traced_points_show_types():
    shown = []

    @jax.jit
    def traced(params):
        shown.append(repr(params))
        return params

    traced(PARAMS)
    assert "[2,2]" in shown[0]


def test_a_fit_shows_the_usual_parameters():
    rows = MIXTURE.observable_sample(jax.random.key(0), PARAMS, 50)
    fit = ef.fit(MIXTURE, rows, key=jax.random.key(0), params=PARAMS, method=ef.EM(0, None))
    text = repr(fit)
    assert "STEPS_TAKEN after 0 steps" in text
    assert f"{fit.log_likelihood:.6g} nats a row" in text
    shown = dict(line.strip().split("  ", 1) for line in text.splitlines()[3:])
    assert list(shown) == ["weights", "components.mean", "components.covariance"]
    assert shown["weights"].strip() == "[0.25, 0.75]"
    numbers = np.array(json.loads(re.sub(r"\.(?=[,\]])", ".0", shown["components.mean"])))
    np.testing.assert_allclose(numbers, MEANS, atol=1e-4)
    assert fit._repr_html_().startswith("<pre>Fit of Mixture(")


def test_names_and_values_are_those_of_the_readers():
    found = readings(MIXTURE, PARAMS)
    assert list(found) == ["weights", "components"]
    np.testing.assert_allclose(found["weights"], [0.25, 0.75], rtol=1e-5)
    np.testing.assert_allclose(found["components"]["mean"], MEANS, rtol=1e-5, atol=1e-5)
    product = ef.Product((ef.Poisson(), ef.Gamma()))
    parts = ef.Poisson().from_rate(2.0), ef.Gamma().from_shape_rate(3.0, 4.0)
    point = ef.Natural(tuple(part.coords for part in parts))
    own = readings(product, point)
    assert float(own["0"]["rate"]) == pytest.approx(2.0)
    assert float(own["1"]["shape"]) == pytest.approx(3.0)


def test_families_with_usual_parameters_have_readers():
    # Whoever can be made from usual parameters can be read in them.
    for instance in REGISTRY:
        family = type(instance.family)
        makes = [name for name in vars(family) if name.startswith("from_")]
        assert family.readers or not makes, family


def test_regressions_show_their_coefficients():
    line = ef.Regression(ef.Poisson(), n_covariates=2)
    params = line.initialize(jax.random.key(0))
    found = readings(line, params)
    assert list(found) == ["intercepts", "coefficients", "dispersion"]
    np.testing.assert_array_equal(found["coefficients"], line.coefficients(params))
    experts = ef.MixtureOfExperts(ef.Regression(ef.Categorical(2), n_covariates=2), line)
    own = readings(experts, experts.initialize(jax.random.key(0)))
    assert own["gate"]["coefficients"].shape == (1, 2)
    assert own["experts"]["coefficients"].shape == (2, 2)
