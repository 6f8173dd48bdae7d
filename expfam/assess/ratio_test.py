"""A likelihood ratio test of K components against more, by the parametric bootstrap."""

from functools import partial
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.compiled import density_and_expectation, shares
from ..families.observations import Labeled, has_gaps, split_labels
from ..fitting.fit import fit
from ..fitting.settings import whole
from ..geometry.points import Natural
from ..harmonium.base import log_assignments
from .rows import checked_rows, log_densities

# Steps of EM at most, and the gain of a step, in nats of all rows, that ends them.
_STEPS, _GAIN = 1000, 1e-3
# Samples at a time.
_BATCH = 8


@final
class RatioTest(eqx.Module):
    """Whether rows ask for the larger of two models.

    Attributes:
        statistic: twice the difference of log-likelihoods.
        p_value: how often the smaller model gives a statistic as large, (1 + number) / (1 + draws).
        draws: the statistics of samples of the smaller model.
    """

    statistic: float
    p_value: float
    draws: Float[np.ndarray, " draws"]


def bootstrap_ratio_test(
    small: AbstractExponentialFamily,
    large: AbstractExponentialFamily,
    xs: Any,
    *,
    key: Key[Array, ""],
    draws: int = 99,
    params: Natural[Any] | None = None,
    starts: int | None = None,
    restarts: int = 4,
) -> RatioTest:
    """Test a model with K components against one with more (McLachlan 1987).

    The usual χ² law of the statistic does not hold, as components can vanish. Both models are
    fitted to samples of the smaller one, all in one program: the smaller from where the samples
    come from, the larger from splits of its components. The rows are treated alike.

    Args:
        small: a mixture of K components; the null hypothesis.
        large: the same with K + 1 (or more) components.
        xs: complete rows of observations.
        key: JAX random key.
        draws: number of samples; with 99 the smallest p-value is .01.
        params: the fitted smaller model; fitted with `restarts` where not given.
        starts: number of splits that are tried for each sample; 3 K where not given.
        restarts: of the fit to the rows.
    """
    owner = "bootstrap_ratio_test"
    if not 0 < small.n_labels < large.n_labels:
        raise ValueError(
            f"{owner}: `large` must have more components than `small`, and both at least one, but "
            f"they have {large.n_labels} and {small.n_labels}."
        )
    draws = whole(owner, "draws", 1)(draws)
    fitting, sampling, splitting, own_key = jax.random.split(key, 4)
    if params is None:
        params = fit(small, xs, key=fitting, restarts=restarts).params
    rows, n = checked_rows(small, params, xs, owner)
    if has_gaps(rows) or split_labels(rows)[1] is not None:
        raise TypeError(f"{owner}: `xs` must be complete rows without labels.")
    count = whole(owner, "starts", 1)(3 * small.n_labels if starts is None else starts)
    samples = jax.vmap(jax.vmap(small._observe))(small.sample(sampling, params, (draws, n)))
    start = Natural(_spread(large, own_key, rows))
    found = _statistics(small, large, count, params.coords, start.coords, splitting, samples)
    one = jax.tree.map(lambda leaf: leaf[None], rows)
    own = _statistics(small, large, count, params.coords, start.coords, splitting, one)
    better = fit(large, rows, key=fitting, restarts=restarts, throw=False)
    gain = 2 * float(
        log_densities(large, better.params.coords, rows).sum()
        - log_densities(small, params.coords, rows).sum()
    )
    statistic = max(float(own[0]), gain) if better.converged else float(own[0])
    values = np.asarray(found, float)
    p_value = (1 + np.sum(values >= statistic)) / (1 + draws)
    return RatioTest(statistic, float(p_value), values)


def _spread(large: Any, key: Any, rows: Any) -> Any:
    # Any point of the larger model: labels, not it, decide where a climb starts.
    return large.initialize_from_sample(key, rows).coords


@partial(jax.jit, static_argnums=2)
def _statistics(
    small: Any, large: Any, count: int, coords: Any, spread: Any, key: Array, samples: Any
) -> Float[Array, " samples"]:
    def one(pair: tuple[Array, Any]) -> Array:
        key, rows = pair
        lower = _climb(small, coords, rows)
        labels = jax.vmap(lambda key, k: _split(small, coords, key, rows, k, large.n_labels))(
            jax.random.split(key, count), jnp.arange(count) % small.n_labels
        )

        def start(own: Array) -> Any:
            following, _, _ = large._em_step(spread, Labeled(rows, own), None, None)
            return _climb(large, following, rows)

        n = jax.tree.leaves(rows)[0].shape[0]
        return jnp.maximum(2 * n * (jnp.max(jax.vmap(start)(labels)) - lower), 0)

    n_samples = jax.tree.leaves(samples)[0].shape[0]
    keys = jax.random.split(key, n_samples)
    return jax.lax.map(one, (keys, samples), batch_size=_BATCH)


def _split(small: Any, coords: Any, key: Array, rows: Any, chosen: Array, n_labels: int) -> Array:
    # Rows of one component are parted along a random direction; others keep their component.
    labels = jnp.argmax(jax.vmap(lambda x: log_assignments(small, coords, x))(rows), axis=1)
    features = jax.vmap(small._features)(rows)
    spread = jnp.std(features, axis=0)
    directions = jax.random.normal(
        key, (n_labels - small.n_labels, features.shape[1]), features.dtype
    )
    own = labels == chosen
    for extra, direction in enumerate(directions / jnp.where(spread > 0, spread, 1)):
        along = features @ direction
        center = jnp.sum(jnp.where(own, along, 0)) / jnp.maximum(jnp.sum(own), 1)
        labels = jnp.where(own & (along > center), small.n_labels + extra, labels)
    return labels


def _climb(model: Any, coords: Any, rows: Any) -> Array:
    # The mean log-likelihood that EM reaches; minus infinity where it degenerates.
    n = jax.tree.leaves(rows)[0].shape[0]
    dtype = jax.tree.leaves(coords)[0].dtype
    parts = shares(None, n, dtype)

    def proceed(state: Any) -> Array:
        _, before, value, sound, steps = state
        return sound & (steps < _STEPS) & ~(value - before < _GAIN / n)

    def step(state: Any) -> Any:
        coords, _, before, sound, steps = state
        value, means = density_and_expectation(model, coords, rows, parts)
        following, valid = model._m_step(coords, means, n, None)
        return following, before, value, sound & valid & jnp.isfinite(value), steps + 1

    none = jnp.full((), -jnp.inf, dtype)
    begin = coords, none, none, model._in_domain(coords), jnp.zeros((), int)
    _, _, value, sound, _ = jax.lax.while_loop(proceed, step, step(step(begin)))
    return jnp.where(sound, value, -jnp.inf)
