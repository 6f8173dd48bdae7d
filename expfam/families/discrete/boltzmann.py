"""Boltzmann machines: binary vectors with pairwise couplings."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, whole
from ...geometry.derivatives import differentiated_as
from ...geometry.duality import invert_gradient
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import AbstractCells, mean_statistic
from ..ends import off_zero
from ..observed import AbstractObservedFamily, estimate_from_average, halfway_to_origin
from ..special import states
from ..special.elimination import Edge, plan
from ..support import Support

# States of all tables: 16 MB of memory in float32, and a second or so for a gradient.
_MOST_STATES = 2**22


@final
class BoltzmannCoords(eqx.Module):
    """Coordinates of a Boltzmann machine.

    Attributes:
        bias: pairs with x_i: natural b_i, mean P(x_i = 1); shape `(n,)`.
        coupling: pairs with x_i x_j for every edge, in the order of `pairs`: natural W_ij, mean
            P(x_i = x_j = 1); shape `(m,)`.
    """

    bias: Any
    coupling: Any


def _as_edges(edges: Any) -> tuple[Edge, ...] | None:
    if edges is None:
        return None
    pairs = np.asarray(edges).reshape(-1, 2) if len(edges) == 0 else np.asarray(edges)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not (pairs == np.round(pairs)).all():
        raise ValueError(f"Boltzmann: `edges` must be pairs of node numbers, but are {edges!r}.")
    return tuple(sorted((int(min(pair)), int(max(pair))) for pair in pairs))


@final
class Boltzmann(AbstractObservedFamily[BoltzmannCoords]):
    """Distributions of binary vectors, p(x) ∝ exp(Σ_i b_i x_i + Σ_ij W_ij x_i x_j), x_i 0 or 1.

    The second sum is over the edges {i, j} of a graph.

    | | bias | coupling |
    | --- | --- | --- |
    | natural θ | b_i | W_ij |
    | mean η | P(x_i = 1) | P(x_i = x_j = 1) |
    | statistic s(x) | x_i | x_i x_j |

    The base measure is 1. Everything is exact: sums over all 2ⁿ states are done by elimination of
    one node after the other, along a junction tree of the graph. That takes n − w tables of
    2^(w+1) states, where w is the width of the graph: 1 for chains and trees, 2 for cycles, k for a
    grid of k columns, n − 1 with all couplings, which is plain enumeration. More than 2²² states
    are refused: with all couplings, n > 22. Nodes are walked in a compiled loop, so that chains of
    thousands of nodes compile as fast as short ones.

    Mean to natural coordinates are in closed form for chains, trees and forests; with cycles, by a
    convex solve in all n + m coordinates.

    Attributes:
        size: number of variables n.
        edges: pairs (i, j) of variables that are coupled; all pairs by default.

    References:
        Lauritzen & Spiegelhalter, Local computations with probabilities on graphical structures
        (1988); Wainwright & Jordan, Graphical models, exponential families, and variational
        inference (2008), section 2.5.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> chain = ef.Boltzmann(3, edges=[(0, 1), (1, 2)])
        >>> params = chain.from_biases_couplings(jnp.zeros(3), jnp.zeros((3, 3)))
        >>> float(chain.density(params, jnp.array([0, 1, 1])).round(4))
        0.125
    """

    size: int = eqx.field(static=True, converter=whole("Boltzmann", "size", 1))
    edges: tuple[Edge, ...] | None = eqx.field(static=True, default=None, converter=_as_edges)

    def __check_init__(self) -> None:
        """Refuse edges that are none of the graph, and graphs that are too wide."""
        for pair in self.edges or ():
            if not 0 <= pair[0] < pair[1] < self.size:
                raise ValueError(
                    "Boltzmann: `edges` must be pairs of different numbers from 0 to "
                    f"{self.size - 1}, but one is {pair}."
                )
        if len(set(self.edges or ())) < len(self.edges or ()):
            raise ValueError("Boltzmann: `edges` must differ, but some pairs occur twice.")
        # Every node has a state of its own at least: larger graphs need not be walked.
        few = 2 * self.size <= _MOST_STATES
        walked = few and self.edges is not None
        width = self._plan.width if walked else self.size - 1 if self.edges is None else 0
        if not few or (self.size - width) << (width + 1) > _MOST_STATES:
            raise ValueError(
                f"Boltzmann: exact sums would need {self.size - width} tables of 2^{width + 1} "
                f"states, and at most {_MOST_STATES} states are allowed. Give fewer `edges`, so "
                "that the graph is closer to a tree."
            )

    @property
    def pairs(self) -> tuple[Edge, ...]:
        """The edges (i, j), i < j, in the order of the couplings."""
        if self.edges is not None:
            return self.edges
        return tuple((i, j) for i in range(self.size) for j in range(i + 1, self.size))

    @property
    def _plan(self) -> Any:
        return plan(self.size, self.pairs)

    @property
    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        ends = np.asarray(self.pairs, np.int32).reshape(-1, 2)
        return ends[:, 0], ends[:, 1]

    @property
    def spaces(self) -> BoltzmannCoords:
        """ℝⁿ and ℝᵐ."""
        return BoltzmannCoords(Euclidean((self.size,)), Euclidean((len(self.pairs),)))

    @property
    def support(self) -> Support:
        """Vectors of n numbers 0 or 1."""
        return Support((self.size,), "binary", whole=0)

    # ---------------------------------------------------------------- usual parameters

    def from_biases_couplings(
        self, biases: Float[Array, " n"], couplings: Float[Array, "n n"]
    ) -> Natural[BoltzmannCoords]:
        """The distribution with given biases and couplings.

        Args:
            biases: b, of shape `(n,)`.
            couplings: W, symmetric, of shape `(n, n)`; zero on the diagonal and where no edge is.

        Raises:
            ValueError: a wrong shape, or couplings that are not symmetric or not on edges.
        """
        if jnp.shape(biases) != (self.size,) or jnp.shape(couplings) != (self.size, self.size):
            raise ValueError(
                f"Boltzmann.from_biases_couplings: `biases` must have shape ({self.size},) and "
                f"`couplings` ({self.size}, {self.size}), but they have shapes "
                f"{jnp.shape(biases)} and {jnp.shape(couplings)}."
            )
        matrix = jnp.asarray(couplings, float)
        coords = BoltzmannCoords(jnp.asarray(biases, float), matrix[self._ends])
        return require(
            Natural(coords),
            jnp.all(self._matrix(coords.coupling) == matrix) & self._in_domain(coords),
            "Boltzmann.from_biases_couplings: `biases` and `couplings` must be finite, and "
            "`couplings` symmetric, and zero on the diagonal and where the graph has no edge.",
        )

    def biases_couplings(
        self, params: Natural[BoltzmannCoords]
    ) -> tuple[Float[Array, " n"], Float[Array, "n n"]]:
        """The biases b, and the symmetric matrix W of couplings."""
        self._check_point(params, Natural, "biases_couplings", "params")
        return params.coords.bias, self._matrix(params.coords.coupling)

    readers = (biases_couplings,)

    def _matrix(self, coupling: Array) -> Array:
        i, j = self._ends
        zeros = jnp.zeros((self.size, self.size), coupling.dtype)
        return zeros.at[i, j].set(coupling).at[j, i].set(coupling)

    # ---------------------------------------------------------------- kernels

    @property
    def _cells(self) -> "BoltzmannCells":
        return BoltzmannCells()

    def _clamped(self, coords: BoltzmannCoords, x: Array, seen: Array) -> BoltzmannCoords:
        # The machine of the variables that are missing, given the others: those have no bias and
        # no couplings in it, and each adds log 2 to its log-normalizer.
        i, j = self._ends
        values = jnp.where(seen, x, 0).astype(coords.bias.dtype)
        pull = coords.bias.at[i].add(coords.coupling * values[j])
        pull = pull.at[j].add(coords.coupling * values[i])
        free = ~seen[i] & ~seen[j]
        return BoltzmannCoords(jnp.where(seen, 0, pull), jnp.where(free, coords.coupling, 0))

    def _sufficient_statistic(self, x: Array) -> BoltzmannCoords:
        i, j = self._ends
        values = x.astype(float)
        return BoltzmannCoords(values, values[i] * values[j])

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: BoltzmannCoords) -> Array:
        return states.conditionals(self._plan, coords.bias, coords.coupling).log_normalizer

    def _log_normalizer_given(self, coords: BoltzmannCoords, x: Array) -> Array:
        i, j = self._ends
        values = x.astype(coords.bias.dtype)
        return jnp.dot(coords.bias, values) + jnp.dot(coords.coupling, values[i] * values[j])

    def _log_density(self, coords: BoltzmannCoords, x: Array) -> Array:
        # Σ_i log p(x_i | x_later): no difference of large numbers
        given = states.conditionals(self._plan, coords.bias, coords.coupling)
        return states.log_probability(self._plan, given, x)

    def _maximize(self, means: BoltzmannCoords, start: BoltzmannCoords | None) -> BoltzmannCoords:
        i, j = self._ends
        p, both = means.bias, means.coupling
        left, right = p[i] - both, p[j] - both
        none = 1 - p[i] - right
        if self._plan.width < 2:
            return self._from_tables(p, 1 - p, both, left, right, none)
        # Where two variables never take one of their four states, no couplings have these means.
        noise = 4 * jnp.finfo(p.dtype).eps
        inside = jnp.all(jnp.stack([both, left, right, none]) > noise)
        # From independent variables, unless there is a better start.
        begin = BoltzmannCoords(jnp.log(p) - jnp.log1p(-p), jnp.zeros_like(both))
        begin = begin if start is None else start
        solution = invert_gradient(
            lambda vector: self._log_normalizer(self._unflatten(vector, "natural")),
            self._flatten(means, "mean"),
            self._flatten(begin, "natural"),
        )
        return self._unflatten(jnp.where(inside, solution, jnp.nan), "natural")

    def _estimate(self, xs: Array, shares: Array) -> BoltzmannCoords:
        if self._plan.width >= 2:
            return estimate_from_average(self, xs, shares)
        # Every cell of the tables is counted, none got by subtraction.
        i, j = self._ends
        one = xs.astype(shares.dtype)
        zero = 1 - one
        cells = [(one, one), (one, zero), (zero, one), (zero, zero)]
        return self._from_tables(
            shares @ one, shares @ zero, *(shares @ (a[:, i] * b[:, j]) for a, b in cells)
        )

    def _from_tables(
        self, one: Array, zero: Array, both: Array, left: Array, right: Array, none: Array
    ) -> BoltzmannCoords:
        # 1. On a forest p(x) = Π_ij p(x_i, x_j) / Π_i p(x_i)^(d_i − 1), with degrees d_i.
        # 2. Coefficients of x_i x_j and of x_i in its logarithm. `left` is P(x_i = 1, x_j = 0).
        i, j = self._ends
        shares = (one, zero, both, left, right, none)
        one, zero, both, left, right, none = (off_zero(share) for share in shares)
        odds, base = jnp.log(one) - jnp.log(zero), jnp.log(none)
        to_left, to_right = jnp.log(left) - base, jnp.log(right) - base
        bias = odds.at[i].add(to_left - odds[i]).at[j].add(to_right - odds[j])
        return BoltzmannCoords(bias, jnp.log(both) - base - to_left - to_right)

    def _entropy(self, coords: BoltzmannCoords) -> Array:
        given = states.conditionals(self._plan, coords.bias, coords.coupling)
        return states.entropy(self._plan, given)

    def _in_domain(self, coords: BoltzmannCoords) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(coords.bias)) & jnp.all(jnp.isfinite(coords.coupling))

    def _sample(self, key: Key[Array, ""], coords: BoltzmannCoords) -> Array:
        given = states.conditionals(self._plan, coords.bias, coords.coupling)
        noise = jax.random.uniform(key, (self.size,), coords.bias.dtype)
        return states.draw(self._plan, given, noise)

    def _features(self, x: Array) -> Array:
        return x.astype(float)

    def _initialize(self, key: Key[Array, ""]) -> BoltzmannCoords:
        noise = jax.random.normal(key, (self.size + len(self.pairs),))
        return BoltzmannCoords(noise[: self.size], noise[self.size :])

    def _weak_means(self, xs: Array) -> BoltzmannCoords:
        return halfway_to_origin(self, xs)

    def _to_unconstrained(self, coords: BoltzmannCoords) -> BoltzmannCoords:
        return coords

    def _from_unconstrained(self, free: BoltzmannCoords) -> BoltzmannCoords:
        return free


@final
class BoltzmannCells(AbstractCells):
    """Every variable can be missing by itself: those that are seen are clamped."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """ψ(θ | x_seen)."""
        known = jnp.where(x.observed, x.values, 0)
        clamped = family._clamped(coords, x.values, x.observed)
        linear = family._log_normalizer_given(coords, known)
        return linear + family._log_normalizer(clamped) - _log_states(x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """log p(x_seen) = log p(x) − log p(x_missing | x_seen), with zeros in missing cells."""
        known = jnp.where(x.observed, x.values, 0)
        clamped = family._clamped(coords, x.values, x.observed)
        rest = family._log_density(clamped, known) + _log_states(x)
        value = family._log_density(coords, known) - rest
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """The datum, with conditional probabilities."""
        clamped = family._clamped(coords, x.values, x.observed)
        return jnp.where(x.observed, x.values, mean_statistic(family, clamped).bias)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """The datum, with draws."""
        clamped = family._clamped(coords, x.values, x.observed)
        return jnp.where(x.observed, x.values, family._sample(key, clamped))

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """The machine of the missing variables."""
        missing = np.flatnonzero(~np.asarray(x.observed))
        if not missing.size:
            return None
        clamped = family._clamped(coords, x.values, x.observed)
        place = {int(old): new for new, old in enumerate(missing)}
        kept = [n for n, (i, j) in enumerate(family.pairs) if i in place and j in place]
        edges = tuple((place[family.pairs[n][0]], place[family.pairs[n][1]]) for n in kept)
        coords = BoltzmannCoords(clamped.bias[missing], clamped.coupling[np.array(kept, int)])
        return Boltzmann(int(missing.size), edges), coords


def _log_states(x: Any) -> Float[Array, ""]:
    # of the variables that are seen, each of two states without bias
    return jnp.asarray(jnp.log(2.0)) * jnp.sum(x.observed)
