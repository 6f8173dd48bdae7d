"""The log-posterior of a model as a function of any real numbers: what samplers ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..families import compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.conversion import Numbers
from ..families.support import check_observations, check_weights
from ..geometry.points import Natural
from ..harmonium.mixture_prior import MixturePrior
from ..priors.base import AbstractPrior
from ..priors.compiled import conditions, conjugacy_of
from ..priors.conjugate import ConjugatePrior, _require_proper, check_prior
from ..priors.weights import DirichletWeights
from .vectors import AbstractVectors, vectors_of


@final
@dataclass(frozen=True, eq=False)
class LogPosterior:
    """The log-posterior of a model over vectors u, any real values of which are a point θ(u).

    Mathematically, it is Σ w_n log p(x_n; θ(u)) + log p(θ(u)) + log |det ∂θ/∂u|, up to a constant:
    latent variables are summed out, and the last term makes it a density with respect to u, where
    p(θ) is one with respect to natural coordinates (see `log_posterior`).

    It is a function to call, to differentiate, to compile and to map; called by itself it is
    compiled.

    Attributes:
        model: the family or model.
        rows: the observations.
        weights: how often each row counts; `None`: once.
        prior: the prior.
        vectors: the chart of vectors u.
    """

    model: AbstractExponentialFamily
    rows: Any
    weights: Float[Array, " n"] | None
    prior: Any
    vectors: AbstractVectors

    def __call__(self, vector: Float[Array, " dim"]) -> Float[Array, ""]:
        """The log-posterior at one vector, shape `(dim,)`, up to a constant."""
        array = jnp.asarray(vector)
        if array.shape != (self.dim,):
            raise ValueError(
                f"LogPosterior: `vector` must have shape ({self.dim},), but has shape "
                f"{array.shape}; use jax.vmap for more of them."
            )
        return _value(self.model, self.rows, self.weights, self.prior, self.vectors, array)

    @property
    def dim(self) -> int:
        """The length of vectors: the dimension of the model."""
        return self.vectors.dim

    def potential(self, vector: Float[Array, " dim"]) -> Float[Array, ""]:
        """Minus the log-posterior: the `potential_fn` of NumPyro, and a loss for Optax."""
        return -self(vector)

    def start(self, key: Key[Array, ""]) -> Float[Array, " dim"]:
        """Where a chain can start: the vector of `initialize_from_sample` of the model.

        Args:
            key: JAX random key; of models with latent variables, others give other starts.
        """
        start = self.model.initialize_from_sample(key, self.rows, self.weights)
        return self.from_point(start)

    def to_point(self, vectors: Float[Array, "*batch dim"]) -> Natural[Any]:
        """The points of vectors.

        Args:
            vectors: a vector, or draws of them with any leading axes.

        Returns:
            Natural coordinates, of which all leaves have these leading axes.
        """
        array = jnp.asarray(vectors)
        if array.ndim == 0 or array.shape[-1] != self.dim:
            raise ValueError(
                f"LogPosterior.to_point: `vectors` must have {self.dim} entries along the last "
                f"axis, but has shape {array.shape}."
            )
        return Natural(_to_coords(self.model, self.vectors, array))

    def from_point(self, params: Natural[Any]) -> Float[Array, " dim"]:
        """The vector of a point, shape `(dim,)`; the inverse of `to_point`.

        Raises:
            ValueError: a point outside of the domain.
        """
        return self.vectors.vector(self.model.to_unconstrained(params))


def log_posterior(
    model: AbstractExponentialFamily,
    xs: Data,
    *,
    prior: AbstractPrior | Callable[[Natural[Any]], Array] | None,
    weights: Numbers | None = None,
) -> LogPosterior:
    """The log-posterior of a model, for samplers and optimizers of any library.

    The prior is a density with respect to Lebesgue measure of *natural coordinates*, packed as
    `model.flatten` packs them, as that of `ConjugatePrior` is. The conjugate prior of a mixture is
    that of its components times a Dirichlet distribution of the weights. For priors on the usual
    parameters, e.g. a normal prior of a mean, see `expfam.numpyro.distribution`.

    Args:
        model: a family or a model.
        xs: rows of observations, with one leading axis n; they may be incomplete or labeled.
        prior: a proper `ConjugatePrior` of the model; of a mixture also a `MixturePrior` with
            Dirichlet weights; or a function from a point to the log-density of your own prior,
            which JAX can differentiate.
        weights: n numbers, not negative: how often each row counts; once where not given.

    Raises:
        TypeError: a prior of another type; a model whose free parameters do not reach all points.
        ValueError: a prior of another model, or an improper one.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> prior = ef.ConjugatePrior.from_hyperparameters(ef.Poisson(), shape=2.0, rate=1.0)
        >>> log_posterior = ef.log_posterior(ef.Poisson(), jnp.array([1, 4, 2]), prior=prior)
        >>> mode = log_posterior.from_point(ef.Poisson().from_rate(9 / 4))  # of log λ
        >>> round(abs(float(jax.grad(log_posterior)(mode)[0])), 4)
        0.0
    """
    owner = "log_posterior"
    if not isinstance(model, AbstractExponentialFamily):
        raise TypeError(
            f"{owner}: `model` must be a family or a model, but is of type {type(model).__name__}."
        )
    rows, n = check_observations(model, xs, owner)
    checked = check_weights(weights, n, float, owner)
    return LogPosterior(model, rows, checked, _checked(model, prior), vectors_of(model, owner))


def _checked(model: AbstractExponentialFamily, prior: Any) -> Any:
    if isinstance(prior, ConjugatePrior):
        check_prior(model, prior, "log_posterior")
        if conjugacy_of(model) is not None:
            return _require_proper(prior, prior, conditions(prior), "log_posterior")
        prior.mode()  # is there where a prior with one count is proper
        return prior
    if isinstance(prior, MixturePrior):
        check_prior(model, prior, "log_posterior")
        if not isinstance(prior.weights, DirichletWeights):
            raise TypeError(
                "log_posterior: `prior` must have Dirichlet weights; broken sticks have parameters "
                "of their own: write them in NumPyro, see expfam.numpyro.distribution."
            )
        return prior
    if not callable(prior):
        raise TypeError(
            "log_posterior: `prior` must be an expfam.ConjugatePrior, e.g. expfam.weak_prior("
            "model, xs), or a function from a point to a log-density, but is of type "
            f"{type(prior).__name__}. Without a prior there is no posterior to sample."
        )
    return jax.tree_util.Partial(prior)


@jax.jit
def _value(
    model: Any, rows: Any, weights: Any, prior: Any, vectors: AbstractVectors, vector: Array
) -> Array:
    coords = _to_coords(model, vectors, vector)
    total = compiled.total_weight(rows, weights)
    likelihood = total * model._objective(coords, rows, weights, None, total)
    return likelihood + _log_prior(model, prior, coords) + vectors.log_volume(vector)


def _log_prior(model: Any, prior: Any, coords: Any) -> Array:
    if not isinstance(prior, AbstractPrior):
        return prior(Natural(coords))
    value = prior._log_density(coords, model._log_normalizer(coords))
    if isinstance(prior, MixturePrior):
        # A density of weights, of which dπ = Π_k π_k times that of log-odds.
        value = value + jnp.sum(model.interaction.log_weights(coords))
    return value


@jax.jit
def _to_coords(model: Any, vectors: AbstractVectors, array: Array) -> Any:
    def one(vector: Array) -> Any:
        return model._from_unconstrained(vectors.free(vector))

    for _ in range(array.ndim - 1):
        one = jax.vmap(one)
    return one(array)
