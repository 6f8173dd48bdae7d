"""How well data determine parameters: standard errors and confidence intervals."""

import warnings
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from ..families import compiled
from ..families.base import AbstractExponentialFamily
from ..families.ladder import padded
from ..families.observations import over_rows
from ..geometry.points import Natural
from .rows import checked_rows, row_weights

# Newton steps that bring an estimate to the maximum, whose curvature is looked at.
_NEWTON = 8
# Steps of EM for each set of bootstrap weights, and the gain of one, in nats of all rows, that ends
# them: what is left then is a small part of a standard error.
_STEPS, _GAIN = 2000, 1e-5
# Sets of bootstrap weights at a time.
_BATCH = 16


@final
class IdentifiabilityWarning(UserWarning):
    """Rows do not determine some of the parameters."""


@final
class StandardErrors(eqx.Module):
    """Parameters, and how far they may be off.

    Attributes:
        estimate: the parameters, a tree of arrays as the reader returns them.
        standard_error: a tree of the same kind; infinite where the rows do not determine one.
        covariance: of all parameters in one vector, in the order of `jax.tree.leaves`.
        unidentified: how many directions of the model the rows say nothing about.
        draws: the parameters under every set of bootstrap weights, along a leading axis; `None`
            without a bootstrap.
    """

    estimate: PyTree[Array]
    standard_error: PyTree[Array]
    covariance: Float[np.ndarray, "q q"]
    unidentified: int
    draws: PyTree[Array] | None

    def interval(self, level: float = 0.95) -> tuple[PyTree[Array], PyTree[Array]]:
        """Lower and upper ends of confidence intervals, each parameter for itself.

        Percentiles of the draws of a bootstrap; else estimate ± z · standard error.

        Args:
            level: how often an interval covers the truth.
        """
        if not 0 < level < 1:
            raise ValueError(f"StandardErrors.interval: `level` must be in (0, 1), not {level}.")
        if self.draws is not None:
            ends = (1 - level) / 2, (1 + level) / 2
            low, high = (
                jax.tree.map(lambda leaf, q=q: jnp.quantile(leaf, q, axis=0), self.draws)
                for q in ends
            )
            return low, high
        z = NormalDist().inv_cdf((1 + level) / 2)
        low, high = (
            jax.tree.map(lambda e, s, z=z: e + z * s, self.estimate, self.standard_error)
            for z in (-z, z)
        )
        return low, high


def standard_errors(
    model: AbstractExponentialFamily,
    params: Natural[Any],
    xs: Any,
    of: Callable[[Natural[Any]], PyTree[Array]],
    *,
    method: str = "information",
    weights: Any = None,
    key: Key[Array, ""] | None = None,
    draws: int = 200,
) -> StandardErrors:
    """Standard errors of parameters at the maximum of the likelihood.

    With J the observed information −∇² log p(xs) and I the sum of products of scores, parameters
    g(θ) have the covariance ∇g V ∇gᵀ (the delta method), where V is

    | `method` | V |
    | --- | --- |
    | "information" | J⁻¹ (Efron & Hinkley 1978) |
    | "scores" | I⁻¹ |
    | "sandwich" | J⁻¹ I J⁻¹: right where the model is not (White 1982) |
    | "bootstrap" | of estimates under multinomial weights of the rows (Efron 1979) |

    Directions in which J is zero, such as turns of latent axes, are left out: parameters that do
    not change along them have their errors, others infinite ones.

    Args:
        model: any family or latent-variable model.
        params: natural coordinates, a maximum of the likelihood: `fit(...).params`.
        xs: the rows that it was fitted to, complete or `incomplete`.
        of: what reads parameters from natural coordinates, e.g. `normal.mean_covariance` or
            `model.parameters`; called under JAX's transformations.
        method: see above.
        weights: n numbers, not negative: how often each row came; once where not given.
        key: JAX random key, for the bootstrap.
        draws: number of sets of bootstrap weights. All start from `params`, so components keep
            their numbers.

    Warns:
        IdentifiabilityWarning: where rows say nothing about directions that the model has, the
            parameters are no maximum, or some bootstrap estimates failed.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> poisson, xs = ef.Poisson(), jnp.array([3, 5, 4, 4])
        >>> params = poisson.maximum_likelihood(xs)
        >>> found = ef.assess.standard_errors(poisson, params, xs, poisson.rate)
        >>> float(found.standard_error)
        1.0
    """
    owner = "standard_errors"
    xs, n = checked_rows(model, params, xs, owner)
    counts = row_weights(weights, n, owner)
    if method == "bootstrap":
        if key is None:
            raise TypeError(f"{owner}: a bootstrap needs a `key`, e.g. jax.random.key(0).")
        return _bootstrap(model, params, xs, of, counts, key, draws)
    if method not in ("information", "scores", "sandwich"):
        raise ValueError(
            f"{owner}: `method` must be 'information', 'scores', 'sandwich' or 'bootstrap', but is "
            f"{method!r}."
        )
    rows, parts = _filled_up(xs, counts)
    free, information = _at_maximum(model, model.to_unconstrained(params), rows, parts)
    curved = _scores(model, free, rows, parts) if method != "information" else information
    kept, null = _directions(information if method == "sandwich" else curved)
    missing = null.shape[1] - (information.shape[0] - model.n_parameters)
    if missing > 0:
        warnings.warn(
            f"{owner}: the rows say nothing about {missing} of the {model.n_parameters} parameters "
            "of the model: some component holds too few rows, or values of a column that never "
            "occurred, or parameters lie on the edge. Errors of what depends on them are infinite.",
            IdentifiabilityWarning,
            stacklevel=2,
        )
    inverse = kept @ kept.T
    covariance = inverse @ curved @ inverse if method == "sandwich" else inverse
    estimate, slope = _read(of, model, free)
    slope = np.asarray(slope, float)
    own = slope @ covariance @ slope.T
    lost = _depends(slope, kept, null)
    own[lost, :] = own[:, lost] = 0
    np.fill_diagonal(own, np.where(lost, np.inf, np.diag(own)))
    _, unravel = ravel_pytree(estimate)
    errors = jnp.asarray(np.sqrt(np.maximum(np.diag(own), 0)), ravel_pytree(estimate)[0].dtype)
    return StandardErrors(estimate, unravel(errors), own, max(0, missing), None)


def confidence_intervals(
    model: AbstractExponentialFamily,
    params: Natural[Any],
    xs: Any,
    of: Callable[[Natural[Any]], PyTree[Array]],
    *,
    level: float = 0.95,
    method: str = "information",
    weights: Any = None,
    key: Key[Array, ""] | None = None,
    draws: int = 1000,
) -> tuple[PyTree[Array], PyTree[Array]]:
    """Lower and upper ends of confidence intervals: those of `standard_errors`.

    Args:
        model: see `standard_errors`.
        params: see there.
        xs: see there.
        of: see there.
        level: how often an interval covers the truth.
        method: see there.
        weights: see there.
        key: see there.
        draws: see there.
    """
    found = standard_errors(
        model, params, xs, of, method=method, weights=weights, key=key, draws=draws
    )
    return found.interval(level)


def _filled_up(xs: Any, counts: np.ndarray) -> tuple[Any, Array]:
    rows, parts = padded(xs, jnp.asarray(counts, float))
    assert parts is not None  # as counts were given
    return rows, parts


# ---------------------------------------------------------------- curvature


def _at_maximum(model: Any, free: Any, xs: Any, counts: Array) -> tuple[Any, np.ndarray]:
    # Newton steps, where they climb: at the maximum turns of latent axes have no curvature at all.
    flat, unravel = ravel_pytree(free)
    value, slope, bend = _curvature(model, free, xs, counts)
    for _ in range(_NEWTON):
        kept, _ = _directions(-np.asarray(bend, float))
        step = kept @ (kept.T @ np.asarray(slope, float))
        if not np.all(np.isfinite(step)) or np.abs(step).max() < 1e-12:
            break
        tried = unravel(flat + jnp.asarray(step, flat.dtype))
        found = _curvature(model, tried, xs, counts)
        if not (np.linalg.norm(found[1]) < np.linalg.norm(slope) and found[0] > value - 1e-6):
            break
        flat, (value, slope, bend) = ravel_pytree(tried)[0], found
    information = -np.asarray(bend, float)
    if not np.all(np.isfinite(information)):
        raise ValueError(
            "standard_errors: the curvature of the likelihood at `params` is not finite; some "
            "probability or variance is zero."
        )
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), np.finfo(float).tiny))
    scaled = information / np.outer(scale, scale)
    if np.linalg.eigvalsh((scaled + scaled.T) / 2)[0] < -_tolerance(flat.dtype, len(flat)):
        warnings.warn(
            "standard_errors: `params` is no maximum of the likelihood of `xs`: it rises in some "
            "direction. Fit further, with a smaller tolerance, before errors are asked for.",
            IdentifiabilityWarning,
            stacklevel=3,
        )
    return unravel(flat), information


@jax.jit
def _curvature(model: Any, free: Any, xs: Any, counts: Array) -> tuple[Array, Array, Array]:
    flat, unravel = ravel_pytree(free)
    total = jnp.sum(counts)
    parts = compiled.shares_of(xs, counts, flat)

    def density(vector: Array) -> Array:
        coords = model._from_unconstrained(unravel(vector))
        return total * compiled.average_density(model, coords, xs, parts)

    value, slope = jax.value_and_grad(density)(flat)
    return value, slope, jax.hessian(density)(flat)


@jax.jit
def _products(model: Any, free: Any, xs: Any, counts: Array) -> Array:
    flat, unravel = ravel_pytree(free)

    def slope(x: Any) -> Array:
        def density(vector: Array) -> Array:
            coords = model._from_unconstrained(unravel(vector))
            return compiled.log_observable_density(model, coords, x)

        return jax.grad(density)(flat)

    slopes = over_rows(slope, xs)
    return slopes.T @ (counts[:, None] * slopes)


def _scores(model: Any, free: Any, xs: Any, counts: Array) -> np.ndarray:
    return np.asarray(_products(model, free, xs, counts), float)


def _tolerance(dtype: Any, size: int) -> float:
    return size * float(jnp.finfo(dtype).eps) ** 0.625


def _directions(information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Columns B with BBᵀ the inverse of the information where it has one, and a basis of the rest.
    # Free parameters are taken in units of their own errors, so that scales do not matter.
    size = len(information)
    curvature = np.maximum(np.diag(information), 0)
    used = curvature > np.finfo(float).eps ** 2 * curvature.max(initial=0)
    scale = np.where(used, 1 / np.sqrt(np.where(used, curvature, 1)), 0)
    values, vectors = np.linalg.eigh(information * np.outer(scale, scale))
    dtype = jnp.zeros(()).dtype
    sure = values > _tolerance(dtype, size)
    kept = scale[:, None] * vectors[:, sure] / np.sqrt(values[sure])
    null = np.where(used, scale, 1)[:, None] * vectors[:, ~sure]
    return kept, null


def _depends(slope: np.ndarray, kept: np.ndarray, null: np.ndarray) -> np.ndarray:
    # Whether a parameter changes along directions that nothing is known of.
    change = np.abs(slope @ null).max(axis=1, initial=0)
    typical = np.abs(slope) @ np.abs(np.concatenate([kept, null], axis=1)).max(axis=1, initial=0)
    return change > 1e-4 * np.maximum(typical, np.finfo(float).tiny)


def _read(of: Any, model: Any, free: Any) -> tuple[Any, Array]:
    flat, unravel = ravel_pytree(free)
    estimate = of(model.from_unconstrained(free))

    def vector(flat: Array) -> Array:
        return ravel_pytree(of(Natural(model._from_unconstrained(unravel(flat)))))[0]

    return estimate, jax.jit(jax.jacfwd(vector))(flat)


# ---------------------------------------------------------------- bootstrap


def _bootstrap(
    model: Any, params: Any, xs: Any, of: Any, counts: np.ndarray, key: Any, draws: int
) -> StandardErrors:
    total = round(counts.sum())
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel())
    drawn = rng.multinomial(total, counts / counts.sum(), size=draws)
    rows, parts = _filled_up(xs, counts)
    wide = np.zeros((draws, len(parts)))
    wide[:, : len(counts)] = drawn
    points, sound = _refit(model, params.coords, rows, jnp.asarray(wide, float))
    good = np.asarray(sound)
    if good.sum() < draws:
        warnings.warn(
            f"standard_errors: {draws - good.sum()} of {draws} bootstrap estimates do not exist: "
            "their likelihood has no maximum. Those left out make errors look smaller.",
            IdentifiabilityWarning,
            stacklevel=3,
        )
    kept = jax.tree.map(lambda leaf: leaf[good], points)
    read = jax.jit(lambda points: jax.lax.map(lambda coords: of(Natural(coords)), points))
    found = read(kept)
    flat = np.concatenate(
        [np.reshape(leaf, (good.sum(), -1)) for leaf in jax.tree.leaves(found)], axis=1
    )
    estimate = of(params)
    vector, unravel = ravel_pytree(estimate)
    covariance = np.atleast_2d(np.cov(np.asarray(flat, float).T))
    errors = unravel(jnp.asarray(np.sqrt(np.diag(covariance)), vector.dtype))
    return StandardErrors(estimate, errors, covariance, 0, found)


@jax.jit
def _refit(model: Any, coords: Any, xs: Any, weights: Array) -> tuple[Any, Array]:
    # The maximum for every set of weights, by EM from one point, and whether there is one.
    def one(own: Array) -> tuple[Any, Array]:
        gain = _GAIN / jnp.sum(own)

        def proceed(state: Any) -> Array:
            _, before, value, sound, steps = state
            return sound & (steps < _STEPS) & ~(value - before < gain)

        def step(state: Any) -> Any:
            coords, _, before, sound, steps = state
            following, value, valid = model._em_step(coords, xs, own, None)
            sound = sound & valid & jnp.isfinite(value)
            kept = jax.tree.map(lambda new, old: jnp.where(sound, new, old), following, coords)
            return kept, before, value, sound, steps + 1

        none = jnp.full((), -jnp.inf, own.dtype)
        begin = coords, none, none, jnp.array(True), jnp.zeros((), int)
        # of the first step there is no gain
        last = jax.lax.while_loop(proceed, step, step(step(begin)))
        return last[0], last[3]

    return jax.lax.map(one, weights, batch_size=_BATCH)


def count_unidentified(model: Any, params: Any, xs: Any, counts: np.ndarray) -> int | None:
    """How many parameters rows say nothing about, by the rank of their scores.

    Args:
        model: the model.
        params: natural coordinates.
        xs: rows, checked.
        counts: their weights.

    Returns:
        The number; `None` at points on the edge of the domain, which have no scores.
    """
    try:
        free = model.to_unconstrained(params)
    except ValueError:
        return None
    products = _scores(model, free, *_filled_up(xs, counts))
    return max(0, model.n_parameters - _directions(products)[0].shape[1])
