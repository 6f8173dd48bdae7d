"""Single regressions: against statsmodels, scipy and automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import expfam as ef
from tests.registry import CLOSE, FLOAT32, needs_float64

from .data import rows, table

RESPONSES = {
    "normal": (ef.Normal(1), "real"),
    "bernoulli": (ef.Bernoulli(), "binary"),
    "binomial": (ef.Binomial(7), "trials"),
    "categorical": (ef.Categorical(3), "category"),
    "poisson": (ef.Poisson(), "count"),
    "negative_binomial": (ef.NegativeBinomial(2.0), "count"),
    "geometric": (ef.Geometric(), "count"),
    "exponential": (ef.Exponential(), "positive"),
    "gamma": (ef.Gamma(), "positive"),
    "inverse_gaussian": (ef.InverseGaussian(), "positive"),
}
each_response = pytest.mark.parametrize("name", RESPONSES)


def case(name, **options):
    family, kind = RESPONSES[name]
    return ef.Regression(family, 2, **options), rows(kind)


def statsmodels_fit(name, u, y, **options):
    api = pytest.importorskip("statsmodels.api", reason="statsmodels is the reference")
    families, log = api.families, api.families.links.Log()
    if name == "categorical":
        return api.MNLogit(y, api.add_constant(u)).fit(method="newton", disp=0, tol=1e-12)
    family = {
        "normal": families.Gaussian(),
        "bernoulli": families.Binomial(),
        "binomial": families.Binomial(),
        "poisson": families.Poisson(),
        "negative_binomial": families.NegativeBinomial(alpha=0.5),
        "geometric": families.NegativeBinomial(alpha=1.0),
        "exponential": families.Gamma(log),
        "gamma": families.Gamma(log),
        "inverse_gaussian": families.InverseGaussian(log),
    }[name]
    y = np.stack([y, 7 - y], axis=1) if name == "binomial" else np.ravel(y)
    return api.GLM(y, api.add_constant(u), family=family, **options).fit(tol=1e-13, maxiter=99)


def stacked(model, params):
    first = jnp.asarray(model.intercepts(params))[..., None]
    return np.concatenate([first, model.coefficients(params)], axis=-1)


@needs_float64
@each_response
def test_estimates_are_those_of_statsmodels(name):
    model, (u, y) = case(name)
    params = model.maximum_likelihood((u, y))
    reference = statsmodels_fit(name, u, y)
    wanted, errors = np.asarray(reference.params), np.asarray(reference.bse)
    if name == "categorical":
        wanted, errors = wanted.T, errors.T
    np.testing.assert_allclose(np.squeeze(stacked(model, params)), wanted, atol=1e-6)
    # A scale that is estimated there is no maximum of the likelihood.
    found = np.squeeze(model.standard_errors(params, (u, y)))
    scales = {
        "normal": lambda: float(model.dispersion(params)[0, 0]),
        "gamma": lambda: 1 / float(model.dispersion(params)),
        "inverse_gaussian": lambda: 1 / float(model.dispersion(params)),
        "exponential": lambda: 1.0,
    }
    if name in scales:
        errors = errors * np.sqrt(scales[name]() / reference.scale)
    np.testing.assert_allclose(found, errors, rtol=1e-6)
    if name not in {"gamma", "inverse_gaussian", "exponential"}:
        total = float(jnp.sum(model.log_density(params, (u, y))))
        np.testing.assert_allclose(total, reference.llf, rtol=1e-9)


@needs_float64
def test_offsets_weights_and_columns_are_those_of_statsmodels():
    u, y = rows("count")
    exposure = np.random.default_rng(1).normal(size=len(y))
    weights = np.random.default_rng(2).integers(1, 4, len(y))
    both = np.column_stack([u, exposure, np.full(len(y), 1e3)])
    model = ef.Regression(ef.Poisson(), 4, columns=(1, 0), offset=2)
    params = model.maximum_likelihood((both, y), weights)
    reference = statsmodels_fit("poisson", u[:, ::-1], y, offset=exposure, freq_weights=weights)
    np.testing.assert_allclose(stacked(model, params), reference.params, atol=1e-7)
    errors = model.standard_errors(params, (both, y), weights)
    np.testing.assert_allclose(errors, reference.bse, rtol=1e-6)


@needs_float64
def test_real_data_are_fitted_as_by_statsmodels():
    data = table("npreg")
    u = np.stack([data["x"], data["x"] ** 2], axis=1)
    for name, family, y in (
        ("normal", ef.Normal(1), data["yn"][:, None]),
        ("poisson", ef.Poisson(), data["yp"]),
    ):
        model = ef.Regression(family, 2)
        params = model.maximum_likelihood((u, y))
        reference = statsmodels_fit(name, u, y)
        np.testing.assert_allclose(np.ravel(stacked(model, params)), reference.params, atol=1e-6)
        total = float(jnp.sum(model.log_density(params, (u, y))))
        np.testing.assert_allclose(total, reference.llf, rtol=1e-9)


def test_densities_are_those_of_scipy():
    u, level = np.array([0.3, -1.2]), 0.4 + 0.3 * 0.8 + 1.2 * 0.5
    slopes, first = jnp.array([0.8, -0.5]), 0.4
    poisson = ef.Regression(ef.Poisson(), 2)
    params = poisson.from_coefficients(slopes, first)
    wanted = scipy.stats.poisson(np.exp(level)).logpmf(3)
    np.testing.assert_allclose(poisson.log_density(params, (u, 3)), wanted, rtol=CLOSE)
    gamma = ef.Regression(ef.Gamma(), 2)
    params = gamma.from_coefficients(slopes, first, 2.5)
    wanted = scipy.stats.gamma(2.5, scale=np.exp(level) / 2.5).logpdf(1.7)
    np.testing.assert_allclose(gamma.log_density(params, (u, 1.7)), wanted, rtol=CLOSE)
    normal = ef.Regression(ef.Normal(2), 2)
    covariance = np.array([[1.0, 0.4], [0.4, 0.7]])
    both = jnp.array([[0.8, -0.5], [0.1, 0.2]])
    params = normal.from_coefficients(both, jnp.array([0.4, -1.0]), covariance)
    mean = np.array([0.4, -1.0]) + both @ u
    wanted = scipy.stats.multivariate_normal(mean, covariance).logpdf([0.2, 0.5])
    x = (u, np.array([0.2, 0.5]))
    np.testing.assert_allclose(normal.log_density(params, x), wanted, rtol=CLOSE)
    np.testing.assert_allclose(normal.dispersion(params), covariance, rtol=CLOSE)
    np.testing.assert_allclose(normal.coefficients(params), both, rtol=CLOSE)


@each_response
def test_the_score_is_the_derivative_of_the_density(name):
    model, (u, y) = case(name)
    params = model.initialize(jax.random.key(0))
    x = (jnp.asarray(u[3]), jnp.asarray(y[3]))

    @jax.jit
    def slopes(free):
        def density(kernel, free):
            coords = model._from_unconstrained(free)
            return kernel(model, coords) - model._log_normalizer(coords)

        own = jax.grad(lambda f: density(lambda m, c: m._log_normalizer_given(c, x), f))(free)
        other = jax.grad(lambda f: density(lambda m, c: _plain(m, c, x), f))(free)
        return own, other

    own, other = slopes(model._to_unconstrained(params.coords))
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4 if FLOAT32 else 1e-9, atol=1e-6)


def _plain(model, coords, x):
    # ψ + ⟨θ, s(y)⟩ + log μ(y) − ψ_Y(θ) of the response at its natural coordinates
    family, point = model._response_given(coords, x[0])
    given = family._log_normalizer_given(point, x[1])
    return model._log_normalizer(coords) + given - family._log_normalizer(point)


def test_a_normal_step_is_exact():
    u, _ = rows("real")
    y = np.random.default_rng(3).normal(size=(len(u), 2)) + u @ np.ones((2, 2))
    model = ef.Regression(ef.Normal(2), 2)
    params = model.maximum_likelihood((u, y))
    design = np.column_stack([np.ones(len(u)), u])
    wanted = np.linalg.lstsq(design, y, rcond=None)[0]
    residuals = y - design @ wanted
    np.testing.assert_allclose(stacked(model, params), wanted.T, atol=CLOSE)
    covariance = residuals.T @ residuals / len(u)
    np.testing.assert_allclose(model.dispersion(params), covariance, rtol=CLOSE, atol=CLOSE)


def test_far_covariates_keep_their_digits():
    # Years: in raw units the information is nearly singular.
    rng = np.random.default_rng(0)
    year = rng.integers(1990, 2021, 200).astype(float)
    y = 3.0 + 0.02 * (year - 2000) + 0.1 * rng.normal(size=200)
    model = ef.Regression(ef.Normal(1), 1)
    params = model.maximum_likelihood((year[:, None], y[:, None]))
    slope = np.polyfit(year - 2005, y, 1)[0]
    np.testing.assert_allclose(float(model.coefficients(params)[0, 0]), slope, rtol=1e-2)


def test_missing_responses_are_left_out():
    u, y = rows("real")
    both = np.column_stack([y[:, 0], y[:, 0] * 0.5 + np.random.default_rng(1).normal(size=len(y))])
    seen = np.ones(both.shape, bool)
    seen[:5] = False
    model = ef.Regression(ef.Normal(2), 2)
    fit = ef.fit(model, (u, ef.incomplete(both, observed=seen)), key=jax.random.key(0))
    rest = model.maximum_likelihood((u[5:], both[5:]))
    np.testing.assert_allclose(stacked(model, fit.params), stacked(model, rest), atol=2e-3)
    # seen in part: that of the marginal
    part = (u[0], ef.incomplete(np.array([0.3, np.nan])))
    mean = stacked(model, rest) @ np.array([1, *u[0]])
    deviation = np.sqrt(model.dispersion(rest)[0, 0])
    wanted = scipy.stats.norm(mean[0], deviation).logpdf(0.3)
    np.testing.assert_allclose(model.log_density(rest, part), wanted, rtol=CLOSE, atol=CLOSE)
    filled = model.impute(rest, (u[0], ef.incomplete(np.full(2, np.nan))))[1]
    np.testing.assert_allclose(filled, ef.predict(model, rest, u[0]), rtol=CLOSE)


def test_separated_responses_have_no_maximum_but_with_a_prior():
    u = np.linspace(-2, 2, 20)[:, None]
    y = (u[:, 0] > 0).astype(int)
    model = ef.Regression(ef.Bernoulli(), 1)
    with pytest.raises(ValueError, match="separate"):
        model.maximum_likelihood((u, y))
    failed = ef.fit(model, (u, y), key=jax.random.key(0), throw=False)
    assert not failed.converged
    with pytest.raises(ef.FitError, match="prior"):
        ef.fit(model, (u, y), key=jax.random.key(0))
    prior = model.normal_prior(2.0)
    fit = ef.fit(model, (u, y), key=jax.random.key(0), prior=prior)
    assert fit.converged
    beta, first = float(model.coefficients(fit.params)[0]), float(model.intercepts(fit.params))
    residual = y - 1 / (1 + np.exp(-first - beta * u[:, 0]))
    np.testing.assert_allclose(np.sum(residual * u[:, 0]) - beta / 4, 0, atol=2e-2)
    weak = ef.fit(model, (u, y), key=jax.random.key(0), prior=ef.weak_prior(model, (u, y)))
    assert weak.converged


def test_ridge_is_that_of_the_normal_equations():
    u, y = rows("real")
    model = ef.Regression(ef.Normal(1, ef.Identity()), 2)
    prior = model.normal_prior(jnp.array([0.1, 0.3]))
    fit = ef.fit(model, (u, y), key=jax.random.key(0), prior=prior)
    design = np.column_stack([np.ones(len(u)), u])
    penalty = np.diag([0.0, 100.0, 1 / 0.09])
    wanted = np.linalg.solve(design.T @ design + penalty, design.T @ y[:, 0])
    np.testing.assert_allclose(stacked(model, fit.params)[0], wanted, rtol=CLOSE)


@pytest.mark.parametrize("problem", ["collinear", "constant", "few rows"])
def test_singular_designs_are_an_error(problem):
    u, y = rows("real")
    u = {
        "collinear": np.column_stack([u[:, 0], 2 * u[:, 0]]),
        "constant": np.column_stack([u[:, 0], np.full(len(u), 3.0)]),
        "few rows": u,
    }[problem]
    keep = slice(2) if problem == "few rows" else slice(None)
    model = ef.Regression(ef.Normal(1), 2)
    with pytest.raises(ValueError, match="linearly"):
        model.maximum_likelihood((u[keep], y[keep]))


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError, match="response"):
        ef.Regression(ef.Dirichlet(3), 2)
    with pytest.raises(ValueError, match="columns"):
        ef.Regression(ef.Poisson(), 2, columns=(2,))
    model, (u, y) = case("poisson")
    with pytest.raises(ValueError, match="counts"):
        model.maximum_likelihood((u, y - 5))
    with pytest.raises(TypeError, match="covariates"):
        model.sample(jax.random.key(0), model.initialize(jax.random.key(0)))
    with pytest.raises(TypeError, match="EM"):
        ef.fit(model, (u, y), key=jax.random.key(0), method=ef.StepwiseEM())


def test_gradients_and_acceleration_arrive_where_newton_does():
    model, xs = case("poisson")
    wanted = stacked(model, model.maximum_likelihood(xs))
    start = model.from_coefficients(jnp.zeros(2), 0.0)
    for method in (ef.EM(acceleration=4), ef.Gradient(__import__("optax").lbfgs(), 60)):
        fit = ef.fit(model, xs, key=jax.random.key(0), method=method, params=start)
        np.testing.assert_allclose(stacked(model, fit.params), wanted, atol=3e-3)


def test_blocks_give_what_an_array_gives():
    model, (u, y) = case("bernoulli")
    blocks = [(u[:20], y[:20]), (u[20:50], y[20:50]), (u[50:], y[50:])]
    start = model.from_coefficients(jnp.zeros(2), 0.0)
    first = ef.fit(model, (u, y), key=jax.random.key(0), params=start)
    second = ef.fit(model, blocks, key=jax.random.key(0), params=start)
    np.testing.assert_allclose(
        stacked(model, first.params), stacked(model, second.params), rtol=CLOSE, atol=CLOSE
    )
