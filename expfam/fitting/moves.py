"""Merges and splits of components: out of the poor optima of variational Bayes.

Steps of variational Bayes change responsibilities a little at a time: two components on one cluster
stay two. A move proposes other responsibilities, from which the fit goes on; it is kept where the
bound is higher in the end, so that the bound never falls (Ueda & Ghahramani 2002; Hughes & Sudderth
2013).
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.base import Data
from ..geometry.points import Natural
from ..geometry.programs import compiled_once
from ..harmonium.mixture_prior import MixturePrior
from ..priors.base import AbstractPrior
from ..priors.compiled import conjugacy_of
from .blocks import is_stream
from .fit import fit
from .result import ConvergenceWarning, Fit, Status
from .settings import whole
from .starts import clustered
from .variational import VariationalBayes, as_mixture_prior

# Steps that part the rows of a component in two.
_PARTING = VariationalBayes(20, tolerance=None)


def merge_and_split(
    found: Fit,
    xs: Data,
    *,
    key: Key[Array, ""],
    prior: AbstractPrior,
    method: VariationalBayes | None = None,
    weights: Any = None,
    moves: int = 10,
    candidates: int = 3,
) -> Fit:
    """Improve a fit of variational Bayes by merging and splitting components.

    Pairs of components are merged that the evidence of their rows would have as one; components
    whose rows are badly explained are split, into one that is empty, or that a merge empties. After
    each move the fit goes on until it has converged, and the move is kept if the bound has risen.

    Args:
        found: the fit, which has a `posterior`.
        xs: its rows, in memory.
        key: JAX random key.
        prior: its prior.
        method: how it goes on; `VariationalBayes()` by default.
        weights: of the rows, as they were given to the fit.
        moves: number of moves that are kept, at most.
        candidates: number of merges, and of splits, that are tried for each.

    Returns:
        The best fit; the one that was given where no move helps.

    Raises:
        TypeError: a fit without a posterior, or rows in blocks.
    """
    if not isinstance(found.posterior, MixturePrior):
        raise TypeError(
            "merge_and_split: `found` must be a fit by expfam.VariationalBayes(...), which has a "
            "posterior."
        )
    if is_stream(xs):
        raise TypeError("merge_and_split: `xs` must be an array, but comes in blocks.")
    method = VariationalBayes() if method is None else method
    moves = whole("merge_and_split", "moves")(moves)
    candidates = whole("merge_and_split", "candidates", 1)(candidates)
    own = as_mixture_prior(prior)
    for move in range(moves):
        keys = jax.random.fold_in(key, move)
        for shares in _proposals(found, xs, own, weights, keys, candidates):
            start = _start(found, xs, own, weights, shares)
            run = partial(fit, found.model, xs, key=keys, prior=own, weights=weights)
            trial = _quietly(partial(run, params=start, method=method))
            if trial.status in (Status.CONVERGED, Status.STEPS_TAKEN) and _better(trial, found):
                found = trial
                break
        else:
            break
    return found


def _quietly(run: Callable[..., Fit]) -> Fit:
    # What is only tried may fail.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return run(throw=False)


def _better(trial: Fit, found: Fit) -> bool:
    old = found.log_likelihood
    rounding = 16 * float(jnp.finfo(found.log_likelihoods.dtype).eps) * max(abs(old), 1.0)
    return trial.log_likelihood > old + rounding


def _proposals(
    found: Fit, xs: Any, prior: MixturePrior, weights: Any, key: Array, candidates: int
) -> Iterator[Float[np.ndarray, "n k"]]:
    # Responsibilities: merges that promise most, then splits of what is explained worst.
    posterior = found.posterior
    shares = np.asarray(posterior.posterior_soft_assignments(xs))
    rows = np.asarray(posterior.rows)
    merges = [pair for pair in _ranked_pairs(prior, posterior) if rows[list(pair)].min() >= 0.5]
    for into, other in merges[:candidates]:
        yield _merged(shares, into, other)
    if len(rows) < 2:
        return
    surprise = -np.asarray(prior.family.log_observable_density(found.params, xs)) @ shares
    for k in np.argsort(-surprise)[:candidates]:
        base, slot = shares, int(np.argmin(rows))
        if rows[slot] >= 1:
            free = [pair for pair in merges if k not in pair]
            if not free:
                continue
            base, slot = _merged(shares, *free[0]), free[0][1]
        if slot == k or rows[k] < 2:
            continue
        halves = _halves(xs, prior, weights, base[:, k], int(k), key)
        split = base.copy()
        split[:, slot] += base[:, k] * halves[:, 1]
        split[:, k] = base[:, k] * halves[:, 0]
        yield split


def _merged(shares: np.ndarray, into: int, other: int) -> np.ndarray:
    merged = shares.copy()
    merged[:, into] += merged[:, other]
    merged[:, other] = 0
    return merged


def _halves(
    xs: Any, prior: MixturePrior, weights: Any, own: np.ndarray, k: int, key: Array
) -> np.ndarray:
    # A mixture of two, of the rows that component k has taken up.
    two = replace(prior.family, n_components=2)
    pair = MixturePrior.from_components(two, prior.component(k))
    parts = own if weights is None else own * np.asarray(weights)
    parted = _quietly(partial(fit, two, xs, key=key, prior=pair, weights=parts, method=_PARTING))
    return np.asarray(parted.posterior.posterior_soft_assignments(xs))


def _ranked_pairs(prior: MixturePrior, posterior: MixturePrior) -> list[tuple[int, int]]:
    # By what the evidence of the rows of two components gains if they are of one.
    pairs = list(combinations(range(len(posterior.rows)), 2))
    if not pairs:
        return []
    gains = np.asarray(_gains(prior, posterior, jnp.asarray(pairs)))
    order = np.argsort(-np.where(np.isnan(gains), -np.inf, gains))
    return [pairs[i] for i in order]


@compiled_once
def _gains(prior: MixturePrior, posterior: MixturePrior, pairs: Array) -> Float[Array, " pairs"]:
    component = prior.family.component
    value = partial(conjugacy_of(component).log_normalizer, component)
    before, after = prior._parts(), posterior._parts()
    alone = jax.vmap(value)(*after) - jax.vmap(value)(*before)

    def one(pair: Array) -> Array:
        into, other = pair
        both = jax.tree.map(lambda a, b: a[into] + a[other] - b[other], after, before)
        base = jax.tree.map(lambda b: b[into], before)
        return value(*both) - value(*base) - alone[into] - alone[other]

    return jax.vmap(one)(pairs)


def _start(
    found: Fit, xs: Any, prior: MixturePrior, weights: Any, shares: np.ndarray
) -> Natural[Any]:
    # Where an E-step is that of the posterior after rows with these responsibilities.
    model: Any = found.model
    rows, parts = clustered(model, xs, weights, shares)
    means = model.mean_posterior_statistics(found.params, rows, parts)
    return Natural(_point_after(prior, means.coords, jnp.sum(jnp.asarray(parts))))


@compiled_once
def _point_after(prior: MixturePrior, means: Any, total: Array) -> Any:
    return prior._observe(means, total)._point()
