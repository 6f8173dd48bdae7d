"""Averages over rows of models with latent variables, and steps of EM: checked, then compiled."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from ..families import ascent, compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.conversion import Numbers
from ..families.errors import DEGENERATE
from ..families.ladder import padded
from ..families.observations import has_gaps
from ..families.patterns import by_pattern
from ..families.support import check_observations, check_weights
from ..geometry.checks import require
from ..geometry.memory import Memory
from ..geometry.points import Mean, Natural
from ..priors.conjugate import ConjugatePrior, check_prior

# Points that are known to be good, and rows that steps were made on.
_ADMITTED = Memory()
_FEWER = Memory()


def average_log_observable_density(
    model: AbstractExponentialFamily, params: Natural[Any], xs: Data, weights: Numbers | None
) -> Float[Array, ""]:
    """The (weighted) mean of log p(x) over rows."""
    rows = _rows(model, params, xs, weights, "average_log_observable_density")
    return _average_density(model, params.coords, *rows)


def mean_posterior_statistics(
    model: AbstractExponentialFamily, params: Natural[Any], xs: Data, weights: Numbers | None
) -> Mean[Any]:
    """The (weighted) mean over rows of ∇ψ(θ | x)."""
    rows = _rows(model, params, xs, weights, "mean_posterior_statistics")
    return Mean(_expectation(model, params.coords, *rows))


def expectation_maximization(
    model: AbstractExponentialFamily,
    params: Natural[Any],
    xs: Data,
    weights: Numbers | None,
    prior: ConjugatePrior | None,
) -> Natural[Any]:
    """One step of expectation maximization.

    Raises:
        ValueError: where the step has no finite result.
    """
    method = "expectation_maximization"
    owner = model._owner(method)
    if _ADMITTED.recall(model, params) is None:
        model._check_point(params, Natural, method, "params")
        _ADMITTED.keep(True, model, params)
    check_prior(model, prior, method)
    inner, rows, parts = _rows_for_steps(model, xs, weights, owner)
    following, valid = _em_step(inner, params.coords, rows, parts, prior)
    following = require(following, valid, f"{owner}: {DEGENERATE}")
    _ADMITTED.keep(True, model, following)
    return following


def _rows(
    model: AbstractExponentialFamily, params: Any, xs: Any, weights: Any, method: str
) -> tuple[Any, Any]:
    owner = model._owner(method)
    model._check_point(params, Natural, method, "params")
    xs, n = check_observations(model, xs, owner)
    return by_pattern(xs, check_weights(weights, n, float, owner))


def _rows_for_steps(
    model: AbstractExponentialFamily, xs: Any, weights: Any, owner: str
) -> tuple[Any, Any, Any]:
    # The model that rows are data of, and the rows, checked: those with the same averages instead,
    # where there are fewer.
    leaves, structure = jax.tree.flatten((xs, weights))
    fewer = _FEWER.recall(model, *leaves, how=structure)
    if fewer is not None:
        return fewer
    xs, n = check_observations(model, xs, owner)
    weights = check_weights(weights, n, float, owner)
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((xs, weights))):
        return model, xs, weights
    if has_gaps(xs):
        fewer = (model, *by_pattern(xs, weights))
    else:
        xs, weights = padded(xs, weights)
        fewer = _now(_fewer_rows, model, xs, weights) or (model, xs, weights)
    # Arrays of NumPy may change.
    if all(isinstance(leaf, jax.Array) for leaf in leaves):
        _FEWER.keep(fewer, model, *leaves, how=structure)
    return fewer


@jax.jit
def _average_density(model: Any, coords: Any, xs: Any, weights: Array | None) -> Array:
    return compiled.average_density(model, coords, xs, compiled.shares_of(xs, weights, coords))


@jax.jit
def _expectation(model: Any, coords: Any, xs: Any, weights: Array | None) -> Any:
    return model._expectation(coords, xs, weights)


def _now(function: Any, *args: Any) -> Any:
    # Computes while a program around it is traced. Only then: what is traced under
    # `ensure_compile_time_eval` compiles every constant by itself, which takes seconds.
    if not isinstance(jnp.zeros(()), Tracer):
        return function(*args)
    with jax.ensure_compile_time_eval():
        return function(*args)


@jax.jit
def _fewer_rows(model: Any, xs: Any, weights: Any) -> tuple[Any, ...]:
    fewer = model._compress(xs, weights)
    return () if fewer[1] is xs else fewer


@jax.jit
def _em_step(
    model: Any, coords: Any, xs: Any, weights: Any, prior: Any
) -> tuple[Natural, Bool[Array, ""]]:
    total = compiled.total_weight(xs, weights)
    if not model._guarded:
        means = model._expectation(coords, xs, weights)
        following, valid = model._m_step(coords, means, total, prior)
        return Natural(following), valid

    def objective(coords: Any) -> Array:
        return model._objective(coords, xs, weights, prior, total)

    following, value, valid = model._em_step(coords, xs, weights, prior)
    return Natural(ascent.not_falling(model, coords, following, value, objective)), valid
