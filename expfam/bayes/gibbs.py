"""Collapsed Gibbs sampling: which rows belong together, weights and components integrated out."""

import math
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..families.base import Data
from ..families.compiled import dtype_of
from ..families.observations import has_gaps, split_labels
from ..families.support import check_rows
from ..geometry.checks import check_key, whole
from ..priors.compiled import conditions, conjugacy_of, raw
from ..priors.conjugate import ConjugatePrior, _check_normalized, _require_proper
from .partitions import Partitions

_OWNER = "sample_partitions"
# What a progress bar shows is as many blocks of sweeps.
_BLOCKS = 20


def sample_partitions(
    prior: ConjugatePrior,
    xs: Data,
    *,
    key: Key[Array, ""],
    concentration: float = 1.0,
    n_components: int | None = None,
    max_components: int = 50,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 200,
    progress: bool = False,
) -> Partitions:
    """Sample the partitions of rows under a Bayesian mixture, by collapsed Gibbs sampling.

    The mixture has components from a conjugate prior, and as weights those of a Dirichlet process,
    or of K components. Both are integrated out: a row joins the rows of a component in proportion
    to their number and to its predictive density given them (Neal 2000, algorithm 3). A chain
    starts with rows that join one after the other.

    Args:
        prior: a proper prior of the components, of a family of which it has a normalizer.
        xs: rows of complete data, with one leading axis n.
        key: JAX random key.
        concentration: γ of the Dirichlet process: how many rows a new component counts for. With
            `n_components`, the weights have a Dirichlet distribution, all of whose parameters are
            this number.
        n_components: number of components K; `None`: a Dirichlet process.
        max_components: how many components a Dirichlet process has room for, at most.
        chains: how many chains run side by side.
        draws: how many sweeps through all rows each of them keeps.
        warmup: how many sweeps each of them leaves out before.
        progress: whether to show a progress bar (needs tqdm).

    Returns:
        The draws, with the number of components, the co-clustering matrix, and the partition that
        stands for all.

    Raises:
        TypeError: a family without predictive distributions, or rows that are not complete.
        ValueError: an improper prior, a concentration that is not positive, or more components than
            `max_components`.

    References:
        Neal, Markov chain sampling methods for Dirichlet process mixture models (2000).

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> prior = ef.ConjugatePrior.from_hyperparameters(ef.Poisson(), shape=1.0, rate=0.1)
        >>> found = ef.sample_partitions(prior, jnp.array([1, 2, 30, 1, 28]), key=jax.random.key(0))
        >>> found.partition().tolist()
        [0, 0, 1, 0, 1]
    """
    rows = _check(prior, xs, concentration)
    check_key(key, _OWNER)
    dirichlet = n_components is None
    slots = whole(_OWNER, "max_components" if dirichlet else "n_components", 1)(
        max_components if n_components is None else n_components
    )
    chains, draws = (whole(_OWNER, n, 1)(v) for n, v in (("chains", chains), ("draws", draws)))
    total = whole(_OWNER, "warmup", 0)(warmup) + draws
    n = jax.tree.leaves(rows)[0].shape[0]
    sampler = Sampler(prior, min(slots, n) if dirichlet else slots, dirichlet)
    block = -(-total // _BLOCKS) if progress else total
    bar = _progress_bar(total) if progress else None
    labels, kept = jnp.full((chains, n), -1), []
    for i in range(0, total, block):
        keys = jax.random.split(jax.random.fold_in(key, i), chains)
        labels, found, full = _run(sampler, rows, concentration, labels, keys, block)
        if slots < n and dirichlet and bool(full):
            raise ValueError(
                f"{_OWNER}: a chain asked for more than `max_components`={slots} components; raise "
                "it, or lower `concentration`."
            )
        kept.append(np.asarray(found))
        if bar is not None:
            bar.update(min(block, total - i))
    if bar is not None:
        bar.close()
    return Partitions(np.concatenate(kept, axis=1)[:, total - draws : total])


@final
class Sampler(eqx.Module):
    """A Gibbs sampler of the labels of rows.

    Attributes:
        prior: of the components.
        n_slots: the most components that there can be.
        dirichlet: whether the weights are those of a Dirichlet process, or of so many components.
    """

    prior: ConjugatePrior
    n_slots: int = eqx.field(static=True)
    dirichlet: bool = eqx.field(static=True)

    def sweep(
        self, key: Key[Array, ""], rows: Any, labels: Int[Array, " n"], concentration: Any
    ) -> tuple[Int[Array, " n"], Array]:
        """Labels drawn anew, one after the other, and whether there was no room for one.

        Args:
            key: random key.
            rows: n rows.
            labels: present labels, −1 where a row has none as yet.
            concentration: γ, or the parameter of the Dirichlet distribution.
        """
        family = self.prior.family
        start, count = raw(self.prior)
        statistics = jax.tree.map(
            lambda leaf, own: leaf.astype(own.dtype),
            jax.vmap(family._sufficient_statistic)(rows),
            start,
        )
        slots = jnp.arange(self.n_slots)
        members = (labels[:, None] == slots).astype(dtype_of(start))
        # Sums are taken anew in every sweep: what is added and removed leaves rounding behind.
        sums = jax.tree.map(
            lambda leaf: jnp.tensordot(members.T, leaf, axes=1, precision="highest"), statistics
        )
        sizes = jnp.sum(members, axis=0)

        def moved(sums: Any, sizes: Array, slot: Array, statistic: Any, sign: float) -> Any:
            own = sign * (slots == slot).astype(sizes.dtype)
            added = jax.tree.map(lambda a, b: a + jnp.tensordot(own, b, axes=0), sums, statistic)
            return added, sizes + own

        def step(carry: Any, row: Any) -> Any:
            sums, sizes, full = carry
            x, statistic, label, key = row
            sums, sizes = moved(sums, sizes, label, statistic, -1.0)
            logits = self._log_weights(sizes, concentration) + jax.vmap(
                lambda phi, n: conjugacy_of(family).log_predictive(
                    family, jax.tree.map(jnp.add, start, phi), count + n, x
                )
            )(sums, sizes)
            new = jax.random.categorical(key, logits).astype(label.dtype)
            full |= jnp.all(sizes > 0.5)
            return (*moved(sums, sizes, new, statistic, 1.0), full), new

        keys = jax.random.split(key, labels.shape[0])
        carry = (sums, sizes, jnp.asarray(False))
        (_, _, full), drawn = jax.lax.scan(step, carry, (rows, statistics, labels, keys))
        return drawn, full

    def _log_weights(self, sizes: Float[Array, " k"], concentration: Any) -> Float[Array, " k"]:
        # A new component is the first that is empty; of K components each counts α by itself.
        if not self.dirichlet:
            return jnp.log(sizes + concentration)
        empty = sizes < 0.5
        first = empty & (jnp.cumsum(empty) == 1)
        return jnp.where(first, jnp.log(concentration), jnp.where(empty, -jnp.inf, jnp.log(sizes)))


@eqx.filter_jit
def _run(
    sampler: Sampler, rows: Any, concentration: float, labels: Array, keys: Array, sweeps: int
) -> tuple[Array, Array, Array]:
    # Labels at the end, after every sweep, shape (chains, sweeps, n), and whether slots ran out.
    gamma = jnp.asarray(concentration, dtype_of(sampler.prior.total.coords))

    def chain(labels: Array, key: Array) -> Any:
        def step(labels: Array, key: Array) -> Any:
            drawn, full = sampler.sweep(key, rows, labels, gamma)
            return drawn, (drawn, full)

        end, (drawn, full) = jax.lax.scan(step, labels, jax.random.split(key, sweeps))
        return end, drawn, jnp.any(full)

    end, drawn, full = jax.vmap(chain)(labels, keys)
    return end, drawn, jnp.any(full)


def _check(prior: Any, xs: Any, concentration: Any) -> Any:
    if not isinstance(prior, ConjugatePrior):
        raise TypeError(
            f"{_OWNER}: `prior` must be an expfam.ConjugatePrior of the components, but is of type "
            f"{type(prior).__name__}."
        )
    _check_normalized(prior.family, _OWNER)
    _require_proper(prior, prior, conditions(prior), _OWNER)
    if not 0 < concentration < math.inf:
        raise ValueError(
            f"{_OWNER}: `concentration` must be positive and finite, but is {concentration}."
        )
    if has_gaps(xs) or split_labels(xs)[1] is not None:
        raise TypeError(
            f"{_OWNER}: `xs` must be complete rows without labels. Incomplete and labeled rows are "
            "taken by expfam.fit, variational Bayes and expfam.log_posterior."
        )
    return check_rows(xs, prior.family.support, _OWNER)[0]


def _progress_bar(total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            f"{_OWNER}: progress=True needs tqdm; install it with pip install 'expfam[progress]'."
        ) from error
    return tqdm(total=total, desc="gibbs", unit="sweep", leave=False)
