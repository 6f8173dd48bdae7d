"""Bad input is refused with a message that names the argument, what came, and what to do.

The cases run in one process of their own, without the checks of `conftest`, which would refuse some
of them first: run as a module, this file prints what every case raised.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expfam as ef

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
CASES = {}


def refused(exception, *fragments):
    """Register a case, with the exception and the parts of the message that it must raise."""

    def register(case):
        name = case.__name__
        assert name not in CASES
        CASES[name] = (case, exception, fragments)
        return case

    return register


NORMAL = ef.Normal(3)
DIAGONAL = ef.Normal(3, ef.Diagonal())
POISSON, BERNOULLI, CATEGORICAL = ef.Poisson(), ef.Bernoulli(), ef.Categorical(4)
PRODUCT = ef.Product((ef.Normal(2), ef.Poisson(), ef.Categorical(3)))

ROWS = np.random.default_rng(0).normal(size=(6, 3))


def normal():
    return NORMAL.from_mean_covariance(jnp.zeros(3), jnp.eye(3))


def rate():
    return POISSON.from_rate(2.0)


def half():
    return BERNOULLI.from_probability(0.5)


def uniform():
    return CATEGORICAL.from_probabilities(jnp.full(4, 0.25))


def mixed():
    return PRODUCT.initialize(jax.random.key(0))


def spoiled(index, value):
    rows = ROWS.copy()
    rows[index] = value
    return jnp.asarray(rows)


# ------------------------------------------------------------------------------------ charts

MEAN_FOR_NATURAL = (
    "must be in natural coordinates (an expfam.Natural), but is in mean coordinates; convert it "
    "with "
)
NATURAL_FOR_MEAN = (
    "must be in mean coordinates (an expfam.Mean), but is in natural coordinates; convert it with "
)

for method, argument, call in [
    ("log_density", "params", lambda f, m: f.log_density(m, jnp.zeros(3))),
    ("density", "params", lambda f, m: f.density(m, jnp.zeros(3))),
    ("log_normalizer", "params", lambda f, m: f.log_normalizer(m)),
    ("log_normalizer_given", "params", lambda f, m: f.log_normalizer_given(m, jnp.zeros(3))),
    ("to_mean", "params", lambda f, m: f.to_mean(m)),
    ("entropy", "params", lambda f, m: f.entropy(m)),
    ("natural_gradient", "params", lambda f, m: f.natural_gradient(m, m)),
    ("in_domain", "params", lambda f, m: f.in_domain(m)),
    ("sample", "params", lambda f, m: f.sample(jax.random.key(0), m)),
    ("mean_covariance", "params", lambda f, m: f.mean_covariance(m)),
    ("kl_divergence", "p", lambda f, m: f.kl_divergence(m, normal())),
    ("kl_divergence", "q", lambda f, m: f.kl_divergence(normal(), m)),
    ("cross_entropy", "p", lambda f, m: f.cross_entropy(m, normal())),
    ("renyi_divergence", "q", lambda f, m: f.renyi_divergence(normal(), m, 0.5)),
    ("bhattacharyya_distance", "p", lambda f, m: f.bhattacharyya_distance(m, normal())),
    ("exponential_geodesic", "q", lambda f, m: f.exponential_geodesic(normal(), m, 0.5)),
    ("mixture_geodesic", "p", lambda f, m: f.mixture_geodesic(m, normal(), 0.5)),
]:

    def case(call=call):
        call(NORMAL, NORMAL.to_mean(normal()))

    case.__name__ = f"mean_for_{argument}_of_{method}"
    refused(TypeError, f"Normal.{method}: `{argument}` {MEAN_FOR_NATURAL}Normal.to_natural.")(case)


@refused(TypeError, f"Normal.to_natural: `means` {NATURAL_FOR_MEAN}Normal.to_mean.")
def natural_for_means_of_to_natural():
    NORMAL.to_natural(normal())


@refused(TypeError, f"Normal.natural_gradient: `gradient` {NATURAL_FOR_MEAN}Normal.to_mean.")
def natural_for_gradient_of_natural_gradient():
    NORMAL.natural_gradient(normal(), normal())


@refused(ValueError, "Normal.renyi_divergence: `order` must be positive.")
def order_zero_of_renyi_divergence():
    NORMAL.renyi_divergence(normal(), normal(), 0.0)


@refused(TypeError, f"Normal.negative_entropy: `means` {NATURAL_FOR_MEAN}Normal.to_mean.")
def natural_for_means_of_negative_entropy():
    NORMAL.negative_entropy(normal())


@refused(TypeError, f"Poisson.rate: `params` {MEAN_FOR_NATURAL}Poisson.to_natural.")
def mean_for_rate():
    POISSON.rate(POISSON.to_mean(rate()))


@refused(TypeError, f"Bernoulli.probability: `params` {MEAN_FOR_NATURAL}Bernoulli.to_natural.")
def mean_for_probability():
    BERNOULLI.probability(BERNOULLI.to_mean(half()))


@refused(TypeError, f"Categorical.probabilities: `params` {MEAN_FOR_NATURAL}Categorical.to_natural")
def mean_for_probabilities():
    CATEGORICAL.probabilities(CATEGORICAL.to_mean(uniform()))


@refused(TypeError, f"Normal.log_density: `params` {MEAN_FOR_NATURAL}")
def mean_under_jit():
    jax.jit(lambda means: NORMAL.log_density(means, jnp.zeros(3)))(NORMAL.to_mean(normal()))


@refused(
    TypeError, "Poisson.log_density: `params` must be in natural coordinates", "but is of type"
)
def an_array_for_params():
    POISSON.log_density(jnp.array(2.0), jnp.array(1))


@refused(TypeError, "Natural @ … pairs with an expfam.Mean, but got an expfam.Natural")
def pairing_of_naturals():
    normal() @ normal()


@refused(TypeError, "Mean @ … pairs with an expfam.Natural, but got an expfam.Mean")
def pairing_of_means():
    NORMAL.to_mean(normal()) @ NORMAL.to_mean(normal())


@refused(TypeError, "Natural @ … pairs with an expfam.Mean, but got", "of shape (3,)")
def pairing_with_an_array():
    normal() @ jnp.ones(3)


@refused(TypeError, "Natural + … expects another expfam.Natural, but got an expfam.Mean; convert")
def sum_of_charts():
    normal() + NORMAL.to_mean(normal())


@refused(TypeError, "Mean - … expects another expfam.Mean, but got an expfam.Natural; convert")
def difference_of_charts():
    NORMAL.to_mean(normal()) - normal()


@refused(TypeError, "a Natural is scaled by one number, but got an expfam.Natural")
def product_of_points():
    normal() * normal()


@refused(TypeError, "`point` must be an expfam.Natural or an expfam.Mean, but is of type")
def flatten_of_an_array():
    NORMAL.flatten(jnp.ones(9))


@refused(TypeError, "a chart is expfam.Natural or expfam.Mean, but got 'float'")
def unflatten_to_no_chart():
    NORMAL.unflatten(jnp.ones(9), float)


@refused(ValueError, "unflatten: `vector` must have shape (9,), but has shape (4,)")
def unflatten_of_another_length():
    NORMAL.unflatten(jnp.ones(4), ef.Natural)


@refused(ValueError, "`params` is not a point of Normal(", "must have shapes", "(3,)", "(2,)")
def a_point_of_another_size():
    NORMAL.entropy(ef.Normal(2).from_mean_covariance(jnp.zeros(2), jnp.eye(2)))


@refused(ValueError, "Normal.entropy: `params` is not a point of Normal(", "(3, 3)")
def a_point_of_another_structure():
    DIAGONAL.entropy(normal())


@refused(TypeError, "`params` must have floating-point coordinates, but has some of type int")
def integer_coordinates():
    POISSON.entropy(ef.Natural(jnp.array(1)))


@refused(TypeError, "first argument must be an expfam.Natural or expfam.Mean, but is of type")
def gradient_at_an_array():
    ef.gradient(jnp.sum)(jnp.ones(3))


@refused(
    TypeError, "ConjugatePrior: `mean` must be in mean coordinates (an expfam.Mean)", "natural"
)
def prior_of_natural_coordinates():
    ef.ConjugatePrior.from_mean(NORMAL, normal(), 1.0)


@refused(ValueError, "ConjugatePrior: `count` must be a number, or a pair", "shape (3,)")
def prior_of_three_counts():
    ef.ConjugatePrior.from_mean(NORMAL, NORMAL.to_mean(normal()), jnp.ones(3))


@refused(ValueError, "ConjugatePrior: `count` must be a number, but has shape (2,)")
def prior_of_two_counts():
    ef.ConjugatePrior.from_mean(POISSON, ef.Mean(jnp.asarray(1.0)), jnp.ones(2))


@refused(TypeError, "ConjugatePrior.from_mean: `family` must be a family or a model", "Mean")
def prior_without_a_family():
    ef.ConjugatePrior.from_mean(NORMAL.to_mean(normal()), 1.0, 1.0)  # pyright: ignore  no family, on purpose


@refused(TypeError, "has the hyper-parameters shape, rate, but got alpha, beta")
def prior_of_another_name():
    ef.ConjugatePrior.from_hyperparameters(POISSON, alpha=1.0, beta=1.0)


@refused(ValueError, "from_hyperparameters: `concentration` must have shape (3,), but has shape ()")
def hyperparameter_of_another_shape():
    ef.ConjugatePrior.from_hyperparameters(ef.Categorical(3), concentration=1.0)


@refused(ValueError, "the prior of Poisson() must be proper, but does not have shape > 0")
def improper_hyperparameters():
    ef.ConjugatePrior.from_hyperparameters(POISSON, shape=0.0, rate=1.0)


@refused(TypeError, "priors of Gamma() have no name of their own", "from_mean")
def prior_without_a_name():
    ef.ConjugatePrior.from_hyperparameters(ef.Gamma(), shape=1.0)


@refused(
    TypeError, "log_evidence: the normalizer of conjugate priors of Beta() is not known", "mode"
)
def evidence_without_a_normalizer():
    xs = jnp.array([0.2, 0.4, 0.5])
    beta = ef.Beta()
    prior = ef.ConjugatePrior.from_mean(beta, beta.average_sufficient_statistic(xs), 3.0)
    prior.log_evidence(xs)


@refused(ValueError, "log_normalizer: the prior of Bernoulli() must be proper", "beta > 0", "φ/ν")
def normalizer_of_an_improper_prior():
    ef.ConjugatePrior.from_mean(ef.Bernoulli(), ef.Mean(jnp.asarray(1.5)), 2.0).log_normalizer()


@refused(ValueError, "does not have mean inside the set of possible expectations", "Gamma()")
def mean_on_the_boundary():
    gamma = ef.Gamma()
    mean = gamma.sufficient_statistic(jnp.asarray(2.0))
    ef.ConjugatePrior.from_mean(gamma, mean, 1.0).log_density(gamma.from_shape_rate(1.0, 1.0))


@refused(ValueError, "ConjugatePrior.mode: `count` must be positive for a mode to exist", "0.0")
def mode_of_nothing():
    ef.ConjugatePrior.from_hyperparameters(ef.Geometric(), alpha=1.0, beta=1.0).mode()


@refused(ValueError, "mode (of its conjugate prior): `means` must lie inside")
def mode_on_the_boundary():
    ef.ConjugatePrior.from_mean(ef.Bernoulli(), ef.Mean(jnp.asarray(1.0)), 2.0).mode()


@refused(ValueError, "`prior` must be one of Normal(size=3", "Poisson()")
def merge_of_two_families():
    own = ef.ConjugatePrior.from_mean(NORMAL, NORMAL.to_mean(normal()), 1.0)
    own.merge(ef.ConjugatePrior.from_hyperparameters(POISSON, shape=1.0, rate=1.0))


@refused(TypeError, "ConjugatePrior.remove: `other` must be an expfam.ConjugatePrior", "float")
def remove_of_a_number():
    prior = ef.ConjugatePrior.from_hyperparameters(POISSON, shape=1.0, rate=1.0)
    prior.remove(1.0)  # pyright: ignore  no prior, on purpose


@refused(ValueError, "log_predictive: `x` must be counts 0, 1, 2", "-1")
def predictive_outside_of_the_support():
    prior = ef.ConjugatePrior.from_hyperparameters(POISSON, shape=1.0, rate=1.0)
    prior.log_predictive(jnp.array([1, -1]))


# ------------------------------------------------------------------------------------ shapes, types


@refused(ValueError, "Normal.log_density: `x` must have trailing shape (3,), but has shape (2, 4)")
def data_of_another_width():
    NORMAL.log_density(normal(), jnp.zeros((2, 4)))


@refused(ValueError, "Normal.log_density: `x` must have trailing shape (3,), but has shape ()")
def data_without_axes():
    NORMAL.log_density(normal(), jnp.zeros(()))


@refused(ValueError, "Normal.log_density: `x` has type int64 and holds a number beyond", "unit")
def whole_numbers_that_the_type_does_not_hold():
    NORMAL.log_density(normal(), np.array([0, 1, 2**53 + 1]))


@refused(TypeError, "Normal.sample: `key` must be a JAX random key", "int; write jax.random.key(3)")
def a_number_for_a_key():
    NORMAL.sample(3, normal())  # pyright: ignore  no key, on purpose


@refused(ValueError, "Normal.initialize: `key` must be one key", "shape (2,)", "jax.vmap")
def several_keys():
    NORMAL.initialize(jax.random.split(jax.random.key(0)))


@refused(ValueError, "Normal.sample: `shape` must be an integer of at least 0, but is 2.5")
def a_fraction_for_a_shape():
    NORMAL.sample(jax.random.key(0), normal(), 2.5)  # pyright: ignore  no shape, on purpose


@refused(TypeError, "Poisson.log_density: `x` must be numbers, but has type")
def text_for_counts():
    POISSON.log_density(rate(), np.array(["a"]))


@refused(
    TypeError, "Product.log_density: `x` must be structured like ((2,), (), ()), but is of type"
)
def an_array_for_a_tuple():
    PRODUCT.log_density(mixed(), jnp.zeros((2, 4)))


@refused(
    TypeError, "Product.log_density: `x` must be structured like ((2,), (), ()), but is of type"
)
def a_tuple_of_another_length():
    PRODUCT.log_density(mixed(), (jnp.zeros(2), jnp.array(1)))


@refused(ValueError, "the leaves of `x` must have the same leading axes, but have [(4,), (5,)]")
def batches_that_do_not_agree():
    PRODUCT.log_density(mixed(), (jnp.zeros((4, 2)), jnp.zeros(5, int), jnp.zeros(4, int)))


@refused(
    ValueError, "Product.log_density: `x, leaf 2` must be category numbers 0 … 2", "first 3 at"
)
def a_bad_leaf_of_a_product():
    PRODUCT.log_density(mixed(), (jnp.zeros(2), jnp.array(1), jnp.array(3)))


@refused(ValueError, "sufficient_statistic: `x` must be one data point, but has leading axes (6,)")
def statistic_of_rows():
    NORMAL.sufficient_statistic(jnp.asarray(ROWS))


@refused(ValueError, "maximum_likelihood: `xs` must have one row", "(n, 3) with n ≥ 1", "(0,)")
def no_rows():
    NORMAL.maximum_likelihood(jnp.zeros((0, 3)))


@refused(ValueError, "`xs` must have one row per observation, shape (n, 3), but has shape (3,)")
def one_row_without_axis():
    NORMAL.maximum_likelihood(jnp.zeros(3))


@refused(ValueError, "`xs` must have one row", "(n, 1)", "shape (6,)", "Write xs[:, None]")
def a_column_without_axis():
    ef.Normal(1).maximum_likelihood(jnp.zeros(6))


@refused(ValueError, "`xs` must have one row per observation", "shape (3, 6)", "is it transposed?")
def transposed_rows():
    NORMAL.maximum_likelihood(jnp.asarray(ROWS.T))


@refused(ValueError, "`xs` must have one row", "a tuple with shapes (n, 2), (n,), (n,)", "(2, 3)")
def rows_with_two_leading_axes():
    rows = (jnp.zeros((2, 3, 2)), jnp.zeros((2, 3), int), jnp.zeros((2, 3), int))
    PRODUCT.average_sufficient_statistic(rows)


@refused(ValueError, "`weights` must have one number per row, shape (6,), but has shape (5,)")
def weights_of_another_length():
    NORMAL.maximum_likelihood(jnp.asarray(ROWS), jnp.ones(5))


# ------------------------------------------------------------------------------------ values

REAL = "Normal.log_density: `x` must be finite real numbers, but holds "


@refused(ValueError, f"{REAL}1 value(s) outside of that, the first nan at (1, 2)")
def nan_in_data():
    NORMAL.log_density(normal(), spoiled((1, 2), np.nan))


@refused(ValueError, f"{REAL}6 value(s) outside of that, the first -inf at (0, 1)")
def infinite_data():
    NORMAL.log_density(normal(), spoiled((slice(None), 1), -np.inf))


@refused(ValueError, "Normal.maximum_likelihood: `xs` must be finite real numbers", "nan at (5, 0)")
def nan_in_rows():
    NORMAL.maximum_likelihood(spoiled((5, 0), np.nan))


@refused(ValueError, "Normal.initialize_from_sample: `xs` must be finite real numbers", "(5, 0)")
def nan_in_rows_to_start_from():
    NORMAL.initialize_from_sample(jax.random.key(0), spoiled((5, 0), np.nan))


@refused(ValueError, "`x` must be category numbers 0 … 3, but holds 1 value(s)", "first 4 at (1,)")
def a_category_too_many():
    CATEGORICAL.log_density(uniform(), jnp.array([0, 4, 3]))


@refused(ValueError, "`x` must be category numbers 0 … 3, but holds 2 value(s)", "first -1 at (0,)")
def negative_categories():
    CATEGORICAL.log_density(uniform(), jnp.array([-1, -2]))


@refused(ValueError, "`x` must be category numbers 0 … 3", "first 1.5 at ()")
def a_category_between():
    CATEGORICAL.log_density(uniform(), jnp.array(1.5))


@refused(ValueError, "Bernoulli.log_density: `x` must be 0 or 1", "the first 0.5 at (1,)")
def half_a_success():
    BERNOULLI.log_density(half(), jnp.array([0.0, 0.5]))


@refused(ValueError, "Bernoulli.log_density: `x` must be 0 or 1", "the first 2 at ()")
def two_successes():
    BERNOULLI.log_density(half(), jnp.array(2))


@refused(ValueError, "Poisson.log_density: `x` must be counts 0, 1, 2, …", "the first -3 at (1,)")
def negative_counts():
    POISSON.log_density(rate(), jnp.array([1, -3]))


@refused(ValueError, "Poisson.log_density: `x` must be counts 0, 1, 2, …", "the first 2.5 at (0,)")
def half_counts():
    POISSON.log_density(rate(), jnp.array([2.5, 1.0]))


@refused(ValueError, "Poisson.log_density: `x` must be counts 0, 1, 2, …", "the first inf at ()")
def infinite_counts():
    POISSON.log_density(rate(), jnp.array(jnp.inf))


NEW = {
    "gamma_zero": (ef.Gamma(), [1.0, 0.0], "positive, finite real numbers", "0.0 at (1,)"),
    "exponential_negative": (ef.Exponential(), [-1.0], "not negative", "-1.0 at (0,)"),
    "beta_one": (ef.Beta(), [0.5, 1.0], "strictly between 0 and 1", "1.0 at (1,)"),
    "dirichlet_sum": (ef.Dirichlet(2), [[0.5, 0.6]], "positive real numbers that sum to 1", "(0,)"),
    "sphere_length": (ef.VonMisesFisher(2), [[1.0, 1.0]], "real vectors of length 1", "at (0,)"),
    "binomial_above": (ef.Binomial(3), [3, 4], "counts 0 … 3", "the first 4 at (1,)"),
    "multinomial_total": (ef.Multinomial(3, 2), [[1, 1]], "counts that sum to 3", "[1 1] at (0,)"),
    "logarithmic_zero": (ef.Logarithmic(), [0], "counts 1, 2, 3, …", "the first 0 at (0,)"),
    "pareto_below": (ef.Pareto(0.5), [1.0, 0.25], "numbers of at least 0.5", "0.25 at (1,)"),
    "weibull_zero": (ef.Weibull(2.0), [0.0], "positive, finite real numbers", "0.0 at (0,)"),
    "half_normal_negative": (ef.HalfNormal(), [-1.0], "not negative", "-1.0 at (0,)"),
    "log_normal_zero": (ef.LogNormal(2), [[1.0, 0.0]], "positive, finite", "0.0 at (0, 1)"),
    "boltzmann_two": (ef.Boltzmann(2), [[0, 2]], "must be 0 or 1", "the first 2 at (0, 1)"),
    "wishart_indefinite": (ef.Wishart(2), [[[1.0, 2.0], [2.0, 1.0]]], "positive definite", "(0,)"),
}

for name, (family, values, kind, first) in NEW.items():

    def case(family=family, values=values):
        family.maximum_likelihood(jnp.asarray(values))

    case.__name__ = name
    owner = f"{type(family).__name__}.maximum_likelihood: `xs` must be"
    refused(ValueError, owner, kind, first)(case)


@refused(ValueError, "NormalGamma.maximum_likelihood: `xs, leaf 1` must be positive", "-1.0 at (1")
def negative_precision():
    ef.NormalGamma().maximum_likelihood((jnp.zeros(2), jnp.array([1.0, -1.0])))


@refused(ValueError, "NormalGamma.maximum_likelihood: the maximum of the likelihood is not")
def equal_means():
    ef.NormalGamma().maximum_likelihood((jnp.full(3, 0.3), jnp.array([0.5, 1.0, 2.0])))


EXPONENTIAL = ef.Exponential()
MADE = {
    "weibull_of_shape_zero": (
        lambda: ef.Weibull(0.0),
        (ValueError, "Weibull: `shape` must be positive and finite, but is 0.0"),
    ),
    "pareto_of_minimum_zero": (
        lambda: ef.Pareto(0.0),
        (ValueError, "Pareto: `minimum` must be positive and finite, but is 0.0"),
    ),
    "laplace_at_infinity": (
        lambda: ef.Laplace(float("inf")),
        (ValueError, "Laplace: `location` must be finite, but is inf"),
    ),
    "weibull_of_scale_zero": (
        lambda: ef.Weibull(2.0).from_scale(0.0),
        (ValueError, "Weibull.from_scale: `scale` must be positive"),
    ),
    "roots_of_degree_zero": (
        lambda: ef.RootMap(0.0),
        (ValueError, "RootMap: `degree` must be finite and not zero"),
    ),
    "root_of_real_numbers": (
        lambda: ef.PushForward(ef.Normal(1), ef.RootMap(3.0)),
        (TypeError, "RootMap(degree=3.0) is not defined on the support of `base`", "real numbers"),
    ),
    "push_forward_of_counts": (
        lambda: ef.PushForward(POISSON, ef.LogarithmMap()),
        (TypeError, "is not defined on the support of `base`, counts 0, 1, 2"),
    ),
    "push_forward_of_a_product": (
        lambda: ef.PushForward(PRODUCT, ef.LogarithmMap()),
        (TypeError, "`base` must be a family of one array without latent variables"),
    ),
    "push_forward_without_entropy": (
        lambda: ef.PushForward(ef.PushForward(EXPONENTIAL, ef.RootMap(2.0)), ef.LogarithmMap()),
        (TypeError, "needs E[x] or E[log x], which `base`", "`_mean_logarithm`"),
    ),
    "two_sided_real_numbers": (
        lambda: ef.Symmetrized(ef.Normal(1)),
        (TypeError, "Symmetrized: `base` must be a family of one number that is not negative"),
    ),
    "restriction_of_another_family": (
        lambda: ef.SubFamily(EXPONENTIAL, ef.FixedShape(2.0)),
        (TypeError, "FixedShape restricts Gamma(), but `base` is Exponential()"),
    ),
    "restriction_of_another_structure": (
        lambda: ef.SubFamily(ef.Gamma(), ef.AffineRestriction(jnp.ones((1, 2)), jnp.ones(2))),
        (ValueError, "AffineRestriction: `offset` must be structured like natural coordinates"),
    ),
    "known_covariance_of_another_shape": (
        lambda: ef.KnownCovarianceNormal(jnp.ones((2, 3))),
        (ValueError, "`covariance` must be a square matrix, but has shape (2, 3)"),
    ),
    "known_mean_without_axis": (
        lambda: ef.KnownMeanNormal(jnp.array(1.0)),
        (ValueError, "KnownMeanNormal: `mean` must be a vector, but has shape ()"),
    ),
    "known_mean_and_identity": (
        lambda: ef.KnownMeanNormal(jnp.ones(2), ef.Identity()),
        (ValueError, "a Normal with `Identity` has nothing left to vary"),
    ),
    "edge_to_nowhere": (
        lambda: ef.Boltzmann(2, [(0, 2)]),
        (ValueError, "`edges` must be pairs of different numbers from 0 to 1, but one is (0, 2)"),
    ),
    "edge_twice": (
        lambda: ef.Boltzmann(2, [(0, 1), (1, 0)]),
        (ValueError, "`edges` must differ, but some pairs occur twice"),
    ),
    "edges_of_three": (
        lambda: ef.Boltzmann(3, [(0, 1, 2)]),
        (ValueError, "Boltzmann: `edges` must be pairs of node numbers"),
    ),
    "too_many_states": (
        lambda: ef.Boltzmann(40),
        (ValueError, "1 tables of 2^40 states, and at most 4194304", "Give fewer `edges`"),
    ),
    "coupling_without_edge": (
        lambda: ef.Boltzmann(2, []).from_biases_couplings(jnp.zeros(2), jnp.ones((2, 2))),
        (ValueError, "symmetric, and zero on the diagonal and where the graph has no edge"),
    ),
}

for name, (build, (exception, *fragments)) in MADE.items():

    def case(build=build):
        build()

    case.__name__ = name
    refused(exception, *fragments)(case)


for name, values in {
    "negative": [1.0, -1.0, 1.0, 1.0, 1.0, 1.0],
    "nan": [1.0, np.nan, 1.0, 1.0, 1.0, 1.0],
    "infinite": [1.0, np.inf, 1.0, 1.0, 1.0, 1.0],
    "zero": [0.0] * 6,
}.items():

    def case(values=values):
        NORMAL.maximum_likelihood(jnp.asarray(ROWS), jnp.array(values))

    def traced(values=values):
        jax.jit(NORMAL.maximum_likelihood)(jnp.asarray(ROWS), jnp.array(values))

    case.__name__, traced.__name__ = f"{name}_weights", f"{name}_weights_under_jit"
    message = "maximum_likelihood: `weights` must be finite, not negative, not all zero"
    refused(ValueError, message)(case)
    refused(RuntimeError, message)(traced)


@refused(RuntimeError, f"{REAL}a value outside of that")
def nan_under_jit():
    jax.jit(NORMAL.log_density)(normal(), spoiled((1, 2), np.nan))


@refused(RuntimeError, f"{REAL}a value outside of that")
def nan_under_vmap():
    jax.vmap(NORMAL.log_density, (None, 0))(normal(), spoiled((1, 2), np.nan))


@refused(
    RuntimeError, "Categorical.log_density: `x` must be category numbers 0 … 3, but holds a va"
)
def a_category_too_many_under_jit():
    jax.jit(CATEGORICAL.log_density)(uniform(), jnp.array([0, 4]))


@refused(ValueError, "Normal.log_density: `x` must have trailing shape (3,), but has shape (4,)")
def another_width_under_jit():
    jax.jit(NORMAL.log_density)(normal(), jnp.zeros(4))


# ------------------------------------------------------------------------------------ constructors


@refused(ValueError, "Normal: `size` must be an integer of at least 1, but is 0")
def normal_of_size_zero():
    ef.Normal(0)


@refused(ValueError, "Normal: `size` must be an integer of at least 1, but is 2.5")
def normal_of_broken_size():
    ef.Normal(2.5)


@refused(TypeError, "Normal: `structure` must be a covariance structure", "'diagonal'")
def structure_by_name():
    ef.Normal(2, "diagonal")


@refused(TypeError, "Normal: `structure` must be a covariance structure", "Diagonal")
def structure_without_brackets():
    ef.Normal(2, ef.Diagonal)


for name, build, message in [
    ("binomial", lambda: ef.Binomial(0), "Binomial: `n_trials` must be an integer of at least 1"),
    ("multinomial", lambda: ef.Multinomial(2, 0), "Multinomial: `n_categories` must be an integer"),
    ("negative_binomial", lambda: ef.NegativeBinomial(-1.0), "`count` must be a positive number"),
    ("dirichlet", lambda: ef.Dirichlet(1), "Dirichlet: `size` must be an integer of at least 2"),
    ("sphere", lambda: ef.VonMisesFisher(1), "VonMisesFisher: `size` must be an integer of at"),
    ("wishart", lambda: ef.Wishart(0), "Wishart: `size` must be an integer of at least 1"),
    ("inverse_wishart", lambda: ef.InverseWishart(0), "InverseWishart: `size` must be an integer"),
    ("normal_wishart", lambda: ef.NormalWishart(1.5), "NormalWishart: `size` must be an integer"),
    ("normal_inverse_wishart", lambda: ef.NormalInverseWishart(0), "NormalInverseWishart: `size`"),
    ("regression_rows", lambda: ef.MatrixNormalInverseWishart(0, 2), "`rows` must be an integer"),
    ("matrix_columns", lambda: ef.MatrixNormal(2, 0), "MatrixNormal: `columns` must be an integer"),
    (
        "row_covariance_shape",
        lambda: ef.MatrixNormal(2, 3, jnp.eye(3)),
        "MatrixNormal: `row_covariance` must have shape (2, 2), but has shape (3, 3)",
    ),
    (
        "row_covariance",
        lambda: ef.MatrixNormal(2, 3, -jnp.eye(2)),
        "MatrixNormal: `row_covariance` must be symmetric and positive definite",
    ),
    (
        "column_covariance",
        lambda: ef.MatrixNormal(2, 3).from_mean_column_covariance(
            jnp.zeros((2, 3)), jnp.ones((3, 3))
        ),
        "`column_covariance` symmetric and positive definite",
    ),
    (
        "inverse_freedom",
        lambda: ef.InverseWishart(3).from_scale_freedom(jnp.eye(3), 2.0),
        "InverseWishart.from_scale_freedom: `scale` must be symmetric",
    ),
    (
        "normal_gamma",
        lambda: ef.NormalGamma().from_location_count_shape_rate(0.0, 0.0, 1.0, 1.0),
        "NormalGamma.from_location_count_shape_rate: `location` must be finite, and `count`",
    ),
    (
        "normal_gamma_shape",
        lambda: ef.NormalGamma().from_location_count_shape_rate(0.0, jnp.ones(2), 1.0, 1.0),
        "`count` must have shape (), but has shape (2,)",
    ),
    (
        "normal_inverse_gamma",
        lambda: ef.NormalInverseGamma().from_location_count_shape_scale(0.0, 1.0, 1.0, -1.0),
        "`count`, `shape` and `scale` positive",
    ),
    (
        "normal_inverse_gamma_far",
        lambda: ef.NormalInverseGamma().from_location_count_shape_scale(1e12, 1.0, 1.0, 1.0),
        "the scale not lost in the rounding of count · location²",
    ),
    (
        "normal_wishart_count",
        lambda: ef.NormalWishart(2).from_location_count_scale_freedom(
            jnp.zeros(2), -1.0, jnp.eye(2), 3.0
        ),
        "NormalWishart.from_location_count_scale_freedom: `location` must be finite, `count` pos",
    ),
    (
        "normal_inverse_wishart_freedom",
        lambda: ef.NormalInverseWishart(2).from_location_count_scale_freedom(
            jnp.zeros(2), 1.0, jnp.eye(2), 1.0
        ),
        "`freedom` more than 1 and finite",
    ),
    (
        "normal_inverse_wishart_location",
        lambda: ef.NormalInverseWishart(2).from_location_count_scale_freedom(
            jnp.zeros(3), 1.0, jnp.eye(2), 3.0
        ),
        "`location` must have shape (2,), but has shape (3,)",
    ),
    (
        "regression",
        lambda: ef.MatrixNormalInverseWishart(2, 1).from_location_precision_scale_freedom(
            jnp.zeros((2, 1)), jnp.ones((2, 2)), jnp.eye(1), 3.0
        ),
        "`precision` and `scale` symmetric and positive definite",
    ),
    ("gamma", lambda: ef.Gamma().from_shape_rate(0.0, 1.0), "`shape` and `rate` must be positive"),
    ("beta", lambda: ef.Beta().from_concentration(1.0, -1.0), "`alpha` and `beta` must be positi"),
    ("freedom", lambda: ef.Wishart(3).from_scale_freedom(jnp.eye(3), 2.0), "`freedom` more than 2"),
    (
        "dirichlet_shape",
        lambda: ef.Dirichlet(3).from_concentration(jnp.ones(2)),
        "`concentration` must have shape (3,), but has shape (2,)",
    ),
    (
        "direction",
        lambda: ef.VonMisesFisher(3).from_direction_concentration(jnp.zeros(3), 1.0),
        "`direction` must be finite and not zero",
    ),
]:
    build.__name__ = f"bad_parameter_of_{name}"
    refused(ValueError, message)(build)


@refused(ValueError, "Categorical: `n_categories` must be an integer of at least 1, but is 0")
def no_categories():
    ef.Categorical(0)


@refused(TypeError, "Product: `factors` must be a non-empty tuple of families", "but is ()")
def empty_product():
    ef.Product(())


@refused(TypeError, "Product: `factors` must be", "families without latent variables", "Mixture(")
def product_of_a_mixture():
    ef.Product((ef.Poisson(), ef.Mixture(ef.Poisson(), 2)))


@refused(ValueError, "Replicated: `copies` must be an integer of at least 1, but is 0")
def no_copies():
    ef.Replicated(ef.Poisson(), 0)


@refused(TypeError, "Replicated: `family` must be a family without latent variables", "Mixture(")
def copies_of_a_mixture():
    ef.Replicated(ef.Mixture(ef.Poisson(), 2), 3)


@refused(
    ValueError, "from_mean_covariance: `mean` must have shape (3,)", "(3, 3)", "(2,) and (3, 3)"
)
def mean_of_another_size():
    NORMAL.from_mean_covariance(jnp.zeros(2), jnp.eye(3))


@refused(ValueError, "`covariance` have shape (3,)", "shapes (3,) and (3, 3)")
def matrix_for_a_diagonal():
    DIAGONAL.from_mean_covariance(jnp.zeros(3), jnp.eye(3))


@refused(ValueError, "`covariance` be left out", "(3,) and ()")
def covariance_for_identity():
    ef.Normal(3, ef.Identity()).from_mean_covariance(jnp.zeros(3), jnp.array(1.0))


@refused(ValueError, "`covariance` have shape (3, 3)", "(3,) and None")
def no_covariance():
    NORMAL.from_mean_covariance(jnp.zeros(3))


NOT_POSITIVE = "from_mean_covariance: `covariance` must be symmetric, positive definite and "

for name, matrix in {
    "indefinite": np.diag([1.0, -1.0, 1.0]),
    "singular": np.ones((3, 3)),
    "nan": np.diag([1.0, np.nan, 1.0]),
    "infinite": np.diag([1.0, np.inf, 1.0]),
}.items():

    def case(matrix=matrix):
        NORMAL.from_mean_covariance(jnp.zeros(3), jnp.asarray(matrix))

    def traced(matrix=matrix):
        jax.jit(NORMAL.from_mean_covariance)(jnp.zeros(3), jnp.asarray(matrix))

    case.__name__, traced.__name__ = f"{name}_covariance", f"{name}_covariance_under_jit"
    refused(ValueError, NOT_POSITIVE)(case)
    refused(RuntimeError, NOT_POSITIVE)(traced)


@refused(ValueError, NOT_POSITIVE)
def asymmetric_covariance():
    matrix = np.eye(3)
    matrix[0, 1] = 0.5
    NORMAL.from_mean_covariance(jnp.zeros(3), jnp.asarray(matrix))


for family, method, argument, values in [
    (POISSON, "from_rate", "rate", [0.0, -1.0, np.inf, np.nan]),
    (BERNOULLI, "from_probability", "probability", [0.0, 1.0, 1.5, -0.1, np.nan]),
    (
        CATEGORICAL,
        "from_probabilities",
        "probabilities",
        [[0.25, 0.25, 0.25, 0.3], [0.5, 0.5, 0.5, -0.5], [0.0, 0.5, 0.25, 0.25], [np.nan] * 4],
    ),
]:
    for i, value in enumerate(values):

        def case(family=family, method=method, value=value):
            getattr(family, method)(jnp.array(value))

        case.__name__ = f"{method}_{i}"
        refused(ValueError, f"{type(family).__name__}.{method}: `{argument}` must ")(case)


@refused(ValueError, "`probabilities` must have shape (4,), but has shape (3,)")
def probabilities_of_another_size():
    CATEGORICAL.from_probabilities(jnp.full(3, 1 / 3))


@refused(RuntimeError, "Poisson.from_rate: `rate` must be positive and finite")
def zero_rate_under_jit():
    jax.jit(POISSON.from_rate)(0.0)


# ------------------------------------------------------------------------------------ estimation

# (family, rows) for which the maximum of the likelihood is not attained.
DEGENERATE = {
    "fewer_rows_than_columns": (NORMAL, ROWS[:2]),
    "as_many_rows_as_columns": (ef.Normal(8), np.random.default_rng(1).normal(size=(8, 8))),
    "one_row": (DIAGONAL, ROWS[:1]),
    "equal_rows": (ef.Normal(3, ef.Scale()), np.repeat(ROWS[:1], 5, axis=0)),
    "a_constant_column": (NORMAL, np.column_stack([ROWS[:, :2], np.full(6, 0.3)])),
    "a_constant_column_of_a_diagonal": (
        DIAGONAL,
        np.column_stack([ROWS[:, :2], np.full(6, 0.3)]),
    ),
    "a_dependent_column": (NORMAL, np.column_stack([ROWS[:, :2], ROWS[:, 0] + ROWS[:, 1]])),
    "equal_positive_rows": (ef.Gamma(), np.full(4, 0.3)),
    "equal_waiting_times": (ef.InverseGaussian(), np.full(4, 0.3)),
    "two_neighboring_counts": (ef.ConwayMaxwellPoisson(), np.array([2, 3, 3])),
}

for name, (family, rows) in DEGENERATE.items():

    def case(family=family, rows=rows):
        family.maximum_likelihood(jnp.asarray(rows))

    def traced(family=family, rows=rows):
        jax.jit(family.maximum_likelihood)(jnp.asarray(rows))

    case.__name__, traced.__name__ = name, f"{name}_under_jit"
    message = f"{type(family).__name__}.maximum_likelihood: "
    refused(ValueError, message, "not attained", "fewer rows than dimensions", "Remedies")(case)
    refused(RuntimeError, message, "not attained", "fewer rows than dimensions", "Remedies")(traced)


OUTSIDE = "to_natural: `means` must lie inside the set of possible expectations"

for name, (family, coords) in {
    "poisson": (POISSON, -1.0),
    "zero": (POISSON, 0.0),
    "bernoulli": (BERNOULLI, 1.2),
    "one": (BERNOULLI, 1.0),
    "nan": (BERNOULLI, np.nan),
    "categorical": (CATEGORICAL, np.array([0.5, 0.4, 0.2])),
}.items():

    def case(family=family, coords=coords):
        family.to_natural(ef.Mean(jnp.asarray(coords)))

    def traced(family=family, coords=coords):
        jax.jit(family.to_natural)(ef.Mean(jnp.asarray(coords)))

    case.__name__, traced.__name__ = f"means_outside_{name}", f"means_outside_{name}_under_jit"
    refused(ValueError, f"{type(family).__name__}.{OUTSIDE}")(case)
    refused(RuntimeError, f"{type(family).__name__}.{OUTSIDE}")(traced)


@refused(ValueError, f"Normal.{OUTSIDE}")
def second_moments_below_the_squares_of_means():
    means = NORMAL.to_mean(NORMAL.from_mean_covariance(jnp.ones(3), jnp.eye(3)))
    NORMAL.to_natural(0.5 * means - means)


# ------------------------------------------------------------------------------------ the test


def outcome(case):
    """The names of the classes of what a case raised, and the message."""
    try:
        case()
    except Exception as error:
        return [cls.__name__ for cls in type(error).__mro__], str(error)
    return [], "nothing was raised"


@pytest.fixture(scope="module")
def outcomes():
    settings = {
        "JAX_ENABLE_X64": str(jax.config.jax_enable_x64),
        "JAX_COMPILATION_CACHE_DIR": str(jax.config.jax_compilation_cache_dir),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    run = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.test_bad_input_families"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **settings},
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("name", CASES)
def test_refused(name, outcomes):
    _, exception, fragments = CASES[name]
    raised, message = outcomes[name]
    assert exception.__name__ in raised, message
    for fragment in fragments:
        assert fragment in message


if __name__ == "__main__":
    print(json.dumps({name: outcome(case) for name, (case, _, _) in CASES.items()}))
