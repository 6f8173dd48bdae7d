"""Named instances of every public family and model: the laws are tested on all of them.

A new family gets all laws by one line here. Covariance structures that no instance here has are
compared with explicit formulas in the tests of each model.
"""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import Array

import expfam as ef
from expfam.families.support import Support, is_support
from expfam.geometry.spaces import zeros
from expfam.harmonium.base import AbstractHarmonium

FLOAT32 = os.environ.get("EXPFAM_FLOAT32") == "1"

# Relative error of a map that loses nothing but rounding.
EXACT = 1e-4 if FLOAT32 else 1e-10
# Relative error of a map that goes through a factorization, or through a convex solve.
CLOSE = 5e-3 if FLOAT32 else 1e-8

needs_float64 = pytest.mark.skipif(FLOAT32, reason="differences of ψ drown in float32 rounding")

FULL, DIAGONAL, SCALE, IDENTITY = STRUCTURES = (
    ef.PositiveDefinite(),
    ef.Diagonal(),
    ef.Scale(),
    ef.Identity(),
)

p, d, K = 4, 2, 3


class Instance(NamedTuple):
    """A named family.

    Attributes:
        name: unique; the identifier of its tests.
        family: the family or model.
        closed: whether `to_natural` has a closed form.
        long: whether its laws are among the long tests.
    """

    name: str
    family: Any
    closed: bool = True
    long: bool = False

    @property
    def case(self) -> Any:
        """The name, as a parameter of a test."""
        return pytest.param(self.name, marks=pytest.mark.slow if self.long else ())


_NORMALS = [
    Instance("normal_full", ef.Normal(3)),
    Instance("normal_diagonal", ef.Normal(3, DIAGONAL)),
    Instance("normal_scale", ef.Normal(3, SCALE)),
    Instance("normal_identity", ef.Normal(3, IDENTITY)),
]

_DISCRETE = [
    Instance("categorical", ef.Categorical(4)),
    Instance("categorical_one", ef.Categorical(1)),
    Instance("bernoulli", ef.Bernoulli()),
    Instance("poisson", ef.Poisson()),
    Instance(
        "boltzmann", ef.Boltzmann(4, [(0, 1), (1, 2), (2, 3), (0, 3)]), closed=False, long=True
    ),
]

_COUNTS = [
    Instance("geometric", ef.Geometric()),
    Instance("binomial", ef.Binomial(7), long=True),
    Instance("negative_binomial", ef.NegativeBinomial(2.5), long=True),
    Instance("multinomial", ef.Multinomial(5, 3), long=True),
    Instance("logarithmic", ef.Logarithmic(), closed=False, long=True),
    Instance("zipf", ef.Zipf(6), closed=False, long=True),
    Instance("conway_maxwell_poisson", ef.ConwayMaxwellPoisson(), closed=False, long=True),
]

_POSITIVE = [
    Instance("exponential", ef.Exponential()),
    Instance("gamma", ef.Gamma(), closed=False),
    Instance("inverse_gamma", ef.InverseGamma(), closed=False, long=True),
    Instance("inverse_gaussian", ef.InverseGaussian(), long=True),
    Instance("beta", ef.Beta(), closed=False, long=True),
    Instance("dirichlet", ef.Dirichlet(3), closed=False, long=True),
    Instance("wishart", ef.Wishart(2), closed=False, long=True),
]

_CONJUGATE = [
    Instance("inverse_wishart", ef.InverseWishart(2), closed=False, long=True),
    Instance("normal_gamma", ef.NormalGamma(), closed=False, long=True),
    Instance("normal_inverse_gamma", ef.NormalInverseGamma(), closed=False, long=True),
    Instance("normal_wishart", ef.NormalWishart(2), closed=False, long=True),
    Instance("normal_inverse_wishart", ef.NormalInverseWishart(2), closed=False, long=True),
    Instance("matrix_normal", ef.MatrixNormal(2, 3), long=True),
    Instance("regression", ef.MatrixNormalInverseWishart(3, 2), closed=False, long=True),
]

_DERIVED = [
    Instance("log_normal", ef.LogNormal(2), long=True),
    Instance("pareto", ef.Pareto(0.5), long=True),
    Instance("laplace", ef.Laplace(1.0), long=True),
    Instance("chi", ef.Chi(), closed=False, long=True),
]

_DIRECTIONS = [
    Instance("von_mises", ef.VonMises(), closed=False, long=True),
    Instance("von_mises_fisher", ef.VonMisesFisher(4), closed=False, long=True),
]

_PRODUCTS = [
    Instance("product", ef.Product((ef.Normal(2), ef.Poisson(), ef.Categorical(3)))),
    Instance("replicated_poisson", ef.Replicated(ef.Poisson(), 3)),
    Instance("replicated_normal", ef.Replicated(ef.Normal(2, DIAGONAL), 2)),
]

_MIXTURES = [
    Instance("mixture_full", ef.Mixture(ef.Normal(2), K)),
    Instance("mixture_one", ef.Mixture(ef.Normal(2, DIAGONAL), 1)),
    Instance("mixture_full_tied", ef.Mixture(ef.Normal(2), K, IDENTITY)),
    Instance("mixture_full_by_diagonal", ef.Mixture(ef.Normal(2), K, DIAGONAL), closed=False),
    Instance("mixture_poisson", ef.Mixture(ef.Poisson(), 2)),
    Instance("mixture_product", ef.Mixture(ef.Product((ef.Normal(2), ef.Bernoulli())), 2)),
    Instance("mixture_nested", ef.Mixture(ef.Mixture(ef.Normal(2, DIAGONAL), 2), 2)),
]

_LINEAR = [
    Instance("factor_analysis", ef.factor_analysis(p, d)),
    Instance("linear_to_diagonal", ef.LinearGaussian(p, SCALE, d, DIAGONAL), closed=False),
    Instance("factor_mixture", ef.mixture_of_factor_analyzers(p, 1, 2)),
    Instance(
        "hierarchical_factor_mixture",
        ef.Hierarchical(ef.factor_analysis(p, d), ef.mixture_of_factor_analyzers(d, 1, 2, FULL)),
    ),
]

_HMOGS = [
    Instance("analytic_diagonal", ef.analytic_hmog(p, DIAGONAL, d, K)),
    Instance("symmetric_diagonal", ef.symmetric_hmog(p, DIAGONAL, d, DIAGONAL, K), closed=False),
    Instance("differentiable_diagonal", ef.differentiable_hmog(p, DIAGONAL, d, DIAGONAL, K), False),
]

_CHAINS = [
    Instance("hidden_markov", ef.HiddenMarkov(ef.Normal(2), K, 5), long=True),
]

REGISTRY: list[Instance] = [
    *_NORMALS,
    *_DISCRETE,
    *_COUNTS,
    *_POSITIVE,
    *_CONJUGATE,
    *_DERIVED,
    *_DIRECTIONS,
    *_PRODUCTS,
    *_MIXTURES,
    *_LINEAR,
    *_HMOGS,
    *_CHAINS,
]
BY_NAME: dict[str, Any] = {instance.name: instance.family for instance in REGISTRY}
HARMONIUMS: list[Instance] = [i for i in REGISTRY if isinstance(i.family, AbstractHarmonium)]


# One instance of every kind, for the laws that cost much.
REPRESENTATIVES = [
    "normal_full",
    "categorical",
    "poisson",
    "boltzmann",
    "binomial",
    "negative_binomial",
    "multinomial",
    "logarithmic",
    "conway_maxwell_poisson",
    "zipf",
    "exponential",
    "gamma",
    "inverse_gaussian",
    "beta",
    "dirichlet",
    "wishart",
    "normal_gamma",
    "normal_wishart",
    "matrix_normal",
    "regression",
    "pareto",
    "laplace",
    "von_mises",
    "von_mises_fisher",
    "product",
    "replicated_normal",
    "mixture_full",
    "mixture_full_by_diagonal",
    "mixture_product",
    "mixture_nested",
    "factor_analysis",
    "linear_to_diagonal",
    "hierarchical_factor_mixture",
    "analytic_diagonal",
    "symmetric_diagonal",
    "differentiable_diagonal",
    "hidden_markov",
]


def random_params(family: Any, key: Array) -> ef.Natural:
    """A generic point of the domain: nothing about it is zero, equal or aligned by construction.

    It has normal noise for free parameters, any values of which are a point of the domain. The
    noise is drawn by numpy: compiling random generators takes longer than all the rest.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    free = jax.eval_shape(family._to_unconstrained, zeros(family.spaces, jnp.zeros(()).dtype))
    noise = jax.tree.map(lambda leaf: jnp.asarray(0.4 * rng.normal(size=leaf.shape), float), free)
    return ef.Natural(_from_unconstrained(family, noise))


@jax.jit
def _from_unconstrained(family: Any, free: Any) -> Any:
    return family._from_unconstrained(free)


def arbitrary_data(family: Any, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Complete data from anywhere in the support of a family; not a sample of it."""
    rng = np.random.default_rng(seed)

    def leaf(support: Support) -> Array:
        size = (*shape, *support.shape)
        match support.kind:
            case "real":
                values = rng.normal(size=size).astype(jnp.zeros(()).dtype)
            case "count":
                values = rng.poisson(2.0, size)
            case "binary":
                values = rng.integers(0, 2, size)
            case "category":
                values = rng.integers(0, support.n_categories, size)
            case "nonnegative" | "positive":
                values = rng.gamma(2.0, size=size).astype(jnp.zeros(()).dtype)
            case "at least":
                values = support.bound + rng.gamma(2.0, size=size).astype(jnp.zeros(()).dtype)
            case "unit":
                values = rng.uniform(0.02, 0.98, size=size).astype(jnp.zeros(()).dtype)
            case "positive count":
                values = 1 + rng.poisson(1.0, size)
            case "bounded count":
                values = rng.integers(0, support.limit + 1, size)
            case "counts of a total":
                k = size[-1]
                values = rng.multinomial(support.limit, np.full(k, 1 / k), size[:-1])
            case "simplex":
                values = rng.dirichlet(np.full(size[-1], 2.0), size[:-1])
                values = values.astype(jnp.zeros(()).dtype)
            case "sphere":
                values = rng.normal(size=size)
                values = values / np.linalg.norm(values, axis=-1, keepdims=True)
                values = values.astype(jnp.zeros(()).dtype)
            case "positive definite":
                roots = rng.normal(size=size)
                values = roots @ np.swapaxes(roots, -1, -2) + 0.1 * np.eye(size[-1])
                values = values.astype(jnp.zeros(()).dtype)
        return jnp.asarray(values)

    return jax.tree.map(leaf, family.support, is_leaf=is_support)
