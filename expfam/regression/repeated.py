"""Repeated measurements: rows of one unit, which share one component."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..families import cells
from ..families.base import Data
from ..families.cells import AbstractCells
from ..families.support import Support, replicate
from ..geometry.checks import whole
from ..geometry.derivatives import differentiated_as
from ..geometry.grouping import AbstractGrouping
from ..geometry.spaces import Ledger
from ..geometry.table import Kind, Table
from .conditional import AbstractConditional, refuse
from .grouping import ByLines, Lines
from .regression import Regression


@final
class RepeatedCoords(eqx.Module):
    """Coordinates of repeated measurements.

    Attributes:
        each: those of one measurement.
        size: −ψ of one; its mean leaf holds the number of measurements.
    """

    each: Any
    size: Any


@final
class Repeated(AbstractConditional[RepeatedCoords]):
    """Up to so many measurements of one unit, independent given the component: Π_t p(y_t | u_t).

    In a mixture all rows of a unit are of one component. Data are pairs of rows (u, y), with a
    leading axis of measurements, and of whether there is a measurement; `grouped` makes them.

    Attributes:
        regression: of one measurement.
        n_rows: number of measurements of a unit at most.

    Examples:
        >>> import numpy as np, expfam as ef
        >>> u, y = np.zeros((5, 1)), np.array([1, 2, 3, 4, 5])
        >>> (_, counts), seen = ef.grouped((u, y), groups=["a", "b", "a", "a", "b"])
        >>> counts.tolist(), seen.tolist()
        ([[1, 3, 4], [2, 5, 5]], [[1, 1, 1], [1, 1, 0]])
    """

    regression: Regression
    n_rows: int = eqx.field(static=True, converter=whole("Repeated", "n_rows", 1))

    @property
    def spaces(self) -> RepeatedCoords:
        """Those of one measurement; the size is no coordinate."""
        return RepeatedCoords(self.regression.spaces, Ledger(()))

    @property
    def observed_support(self) -> Any:
        """Rows, and whether they are there."""
        rows = replicate(self.regression.support, self.n_rows, alike=True)
        return rows, Support((self.n_rows,), "binary")

    @property
    def support(self) -> Any:
        """Rows, and whether they are there."""
        return self.observed_support

    def _joined(self, each: Any) -> RepeatedCoords:
        return RepeatedCoords(each, -self.regression._log_normalizer(each))

    def _observe(self, x: Data) -> Data:
        return x

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> tuple[()]:
        return ()

    @property
    def _cells(self) -> AbstractCells:
        return RepeatedCells()

    @property
    def _guarded(self) -> bool:
        return self.regression._guarded

    @property
    def _grouping(self) -> "ByRepeatedLines":
        return ByRepeatedLines(self.regression._grouping, self.n_rows)

    def _log_normalizer(self, coords: RepeatedCoords) -> Array:
        return jnp.zeros((), coords.size.dtype)

    def _log_normalizer_given(self, coords: RepeatedCoords, x: Data) -> Array:
        rows, seen = x
        own = jax.vmap(lambda row: self.regression._log_normalizer_given(coords.each, row))(rows)
        return jnp.dot(seen.astype(own.dtype), own + coords.size)

    def _log_density(self, coords: RepeatedCoords, x: Data) -> Array:
        rows, seen = x
        own = jax.vmap(lambda row: self.regression._log_density(coords.each, row))(rows)
        return jnp.dot(seen.astype(own.dtype), own)

    def _log_evidence(self, coords: RepeatedCoords, x: Data) -> Float[Array, ""]:
        return differentiated_as(
            self._log_density(coords, x), self._log_normalizer_given(coords, x)
        )

    def _response_given(self, coords: RepeatedCoords, u: Data) -> tuple[Any, Any]:
        refuse(self, "a unit has several responses; ask its `regression` for one")

    def _mean_given(self, coords: RepeatedCoords, u: Data) -> Any:
        refuse(self, "a unit has several responses; ask its `regression` for one")

    def _log_density_of_covariates(self, coords: RepeatedCoords, u: Data) -> Array:
        return jnp.zeros((), coords.size.dtype)

    def _design(self, u: Data) -> Array:
        return jnp.ravel(u)

    def _maximize(self, means: RepeatedCoords, start: RepeatedCoords | None) -> RepeatedCoords:
        if start is None:
            refuse(self, "mean coordinates are those of steps from other coefficients")
        own = jax.tree.map(lambda leaf: leaf / means.size, means.each)
        return self._joined(self.regression._maximize(own, start.each))

    def _flat(self, xs: Data, weights: Array) -> tuple[Data, Array]:
        # All measurements, with the weights of their units.
        rows, seen = xs
        flat = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[2:])), rows)
        return flat, jnp.ravel(weights[:, None] * seen.astype(weights.dtype))

    def _estimate(self, xs: Data, shares: Array) -> RepeatedCoords:
        rows, weights = self._flat(xs, shares)
        return self._joined(self.regression._estimate(rows, weights / jnp.sum(weights)))

    def _attains(self, coords: RepeatedCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        rows, weights = self._flat(xs, shares)
        return self.regression._attains(coords.each, rows, weights / jnp.sum(weights))

    def _in_domain(self, coords: RepeatedCoords) -> Bool[Array, ""]:
        return self.regression._in_domain(coords.each)

    def _sample(self, key: Key[Array, ""], coords: RepeatedCoords) -> Data:
        refuse(self, "covariates have no distribution here")

    def _features(self, x: Data) -> Array:
        rows, seen = x
        own = jax.vmap(self.regression._features)(rows)
        return jnp.ravel(jnp.concatenate([own, seen.astype(own.dtype)[:, None]], axis=1))

    def _initialize(self, key: Key[Array, ""]) -> RepeatedCoords:
        return self._joined(self.regression._initialize(key))

    def _initialize_from_sample(
        self, sketch: Any, xs: Data, features: Array, weights: Array
    ) -> RepeatedCoords:
        rows, weights = self._flat(xs, weights)
        each = self.regression._initialize_from_sample((), rows, features, weights)
        return self._joined(each)

    def _weak_means(self, xs: Data) -> RepeatedCoords:
        rows, _ = self._flat(xs, jnp.ones(xs[1].shape[0]))
        each = self.regression._weak_means(rows)
        return RepeatedCoords(each, jnp.ones((), each.coefficients.dtype))

    def _to_unconstrained(self, coords: RepeatedCoords) -> PyTree[Array]:
        return self.regression._to_unconstrained(coords.each)

    def _from_unconstrained(self, free: PyTree[Array]) -> RepeatedCoords:
        return self._joined(self.regression._from_unconstrained(free))


@final
class RepeatedCells(AbstractCells):
    """Rows of units are complete: what is missing is not among them."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """Zero: units are missing as a whole."""
        return jnp.zeros((), coords.size.dtype)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """Zero: units are missing as a whole."""
        return jnp.zeros((), coords.size.dtype)

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """E[y | u] of every row; whether there is one is not known."""
        (u, _), seen = cells.values_of(x)
        means = jax.vmap(lambda row: family.regression._mean_given(coords.each, row))(u)
        return (u, means), jnp.full(seen.shape, 0.5, u.dtype)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """Of complete rows alone."""
        refuse(family, "rows of units must be complete; leave out those that are not")

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """Of complete rows alone."""
        refuse(family, "rows of units must be complete; leave out those that are not")


@final
class ByRepeatedLines(AbstractGrouping):
    """Units whose measurements lie about one line.

    Attributes:
        lines: how lines are found among measurements.
        n_rows: number of measurements of a unit.
    """

    lines: ByLines
    n_rows: int = eqx.field(static=True)

    def find(self, rng: np.random.Generator, table: Table, kind: Kind, count: int) -> Lines:
        """Lines among all measurements."""
        rows, seen = self._split(table.rows)
        weights = np.repeat(table.weights, self.n_rows) * np.ravel(seen)
        return self.lines.find(rng, Table(rows, weights, table.eps), kind, count)

    def members(self, table: Table, groups: Lines) -> np.ndarray:
        """The units about each line."""
        chosen = np.argmax(self._scores(groups, table.rows), axis=0)
        return np.arange(len(groups.offsets))[:, None] == chosen

    def flat(self, table: Table, members: np.ndarray, full: bool) -> np.ndarray:
        """None: covariates may be constant."""
        return np.zeros(len(members), bool)

    def labels(self, groups: Lines, features: Array) -> Array:
        """The line that fits best."""
        return jnp.argmax(self._scores(groups, features), axis=0)

    def _split(self, table: Any) -> tuple[Any, Any]:
        rows = table.reshape(len(table), self.n_rows, -1)
        return rows[..., :-1].reshape(len(table) * self.n_rows, -1), rows[..., -1]

    def _scores(self, groups: Lines, table: Any) -> Any:
        rows, seen = self._split(table)
        own = groups.scores(*self.lines._split(rows))
        return (own.reshape(len(own), *seen.shape) * seen).sum(axis=-1)


def grouped(xs: Data, groups: Any) -> Data:
    """Rows of the same unit brought together, as data of `Repeated`.

    Args:
        xs: rows (u, y), with one leading axis n.
        groups: of every row its unit: numbers or names.

    Returns:
        The rows with axes of units and measurements, filled up with repetitions, and whether a
        measurement is there. Units are in the order of their names.

    Raises:
        ValueError: where there is not one unit for each row.
    """
    names = np.asarray(groups)
    n = np.shape(jax.tree.leaves(xs)[0])[0]
    if names.shape != (n,):
        raise ValueError(
            f"grouped: `groups` must name one unit for each row, shape ({n},), but has shape "
            f"{names.shape}."
        )
    _, unit, counts = np.unique(names, return_inverse=True, return_counts=True)
    order = np.argsort(unit, kind="stable")
    place = np.arange(counts.max())
    starts = np.cumsum(counts) - counts
    chosen = order[starts[:, None] + np.minimum(place, counts[:, None] - 1)]
    seen = (place < counts[:, None]).astype(int)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[chosen], xs), seen
