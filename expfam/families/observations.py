"""What is seen of rows of data: cells that are missing, and labels of some rows.

An observation says of every variable whether it is seen or missing. A leaf of the data whose cells
may be missing is `Incomplete`; rows of which the component number may be seen are `Labeled`.
"""

from collections.abc import Sequence
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike


@final
class Incomplete(eqx.Module):
    """One leaf of the data, of which cells may be missing.

    Attributes:
        values: the cells; those that are missing hold any admissible value.
        observed: whether a cell is seen; of the shape of `values`.
        group: so many rows after each other have the same cells missing, from the first row on.
    """

    values: Any
    observed: Any
    group: int = eqx.field(static=True, default=1)


@final
class Labeled(eqx.Module):
    """Rows of which the component number may be seen.

    Attributes:
        data: the rows, complete or with missing cells.
        label: number of the component, −1 where it is not known; one for each row.
    """

    data: Any
    label: Any


def incomplete(xs: Any, observed: Any = None) -> Any:
    """Data with missing cells, which any method takes in place of complete ones.

    Missing cells are integrated out, exactly: densities are those of what is seen, and EM uses
    conditional expectations of what is not. That is right where cells are missing at random, so
    that whether a cell is seen does not depend on its value, given those that are seen (Rubin
    1976).

    Args:
        xs: data; where `observed` is not given, cells that are NaN are missing, and those that a
            NumPy masked array, a nullable column or a list holding `None` marks. Of tuples, leaf by
            leaf.
        observed: whether a cell is seen, shaped like `xs`; of tuples, a tuple.

    Returns:
        The data; leaves of which every cell is seen are plain arrays.

    Raises:
        ValueError: where `observed` has another shape than `xs`.
        TypeError: where `xs` is not made of numbers.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> normal = ef.Normal(2)
        >>> params = normal.from_mean_covariance(jnp.zeros(2), jnp.eye(2))
        >>> x = ef.incomplete(jnp.array([0.0, jnp.nan]))
        >>> float(normal.log_density(params, x).round(3))
        -0.919
    """
    if isinstance(xs, Incomplete | Labeled):
        raise TypeError("incomplete: `xs` is incomplete data already.")
    if isinstance(xs, tuple):
        parts = (None,) * len(xs) if observed is None else observed
        if not isinstance(parts, tuple) or len(parts) != len(xs):
            raise ValueError(
                f"incomplete: `observed` must be a tuple of {len(xs)} arrays, as `xs` is."
            )
        return tuple(incomplete(leaf, part) for leaf, part in zip(xs, parts, strict=True))
    values, seen = _values_and_mask(xs)
    if observed is not None:
        if np.shape(observed) != values.shape:
            raise ValueError(
                f"incomplete: `observed` must have the shape of `xs`, {values.shape}, but has "
                f"shape {np.shape(observed)}."
            )
        # A NaN that is said to be seen is refused, where the data are checked.
        mask = jnp.asarray(observed)
        seen = mask.astype(bool) if isinstance(mask, Tracer) else np.asarray(mask, bool)
    if isinstance(seen, np.ndarray) and seen.all():
        return xs if isinstance(xs, jax.Array) else values
    if np.issubdtype(values.dtype, np.floating):
        # These do not change, so that loops of EM look at them once.
        values, seen = jnp.asarray(values), jnp.asarray(seen)
    return Incomplete(values, seen)


def labeled(xs: Any, labels: ArrayLike | Sequence[int]) -> Labeled:
    """Rows of which the component number is known for some: for semi-supervised fits.

    Mixtures, and hierarchical mixtures of Gaussians, take such rows in place of plain ones. Where
    all rows are labeled, one step of EM is the Bayes classifier: each class is fitted to its rows.

    Args:
        xs: rows, complete or `incomplete`.
        labels: number of the component of every row, from 0 on; −1 where it is not known.

    Raises:
        TypeError: labels that are not whole numbers.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> xs = jnp.array([[0.0], [0.5], [4.0], [5.0]])
        >>> rows = ef.labeled(xs, [0, 0, -1, 1])
        >>> mixture = ef.Mixture(ef.Normal(1, ef.Identity()), 2)
        >>> fit = ef.fit(mixture, rows, key=jax.random.key(0))
        >>> mixture.posterior_hard_assignment(fit.params, xs).tolist()
        [0, 0, 1, 1]
    """
    array = labels if isinstance(labels, jax.Array) else np.array(labels)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(
            "labeled: `labels` must be whole numbers, the component of every row from 0 on and −1 "
            f"where it is not known, but have type {array.dtype}."
        )
    # These do not change, so that loops of EM look at them once.
    return Labeled(xs, array if isinstance(array, jax.Array) else jax.device_put(array))


def is_incomplete(node: object) -> bool:
    """Whether a node is a leaf of the data of which cells may be missing."""
    return isinstance(node, Incomplete)


def incomplete_leaves(data: Any) -> list[Incomplete]:
    """The leaves of data of which cells may be missing."""
    return [leaf for leaf in jax.tree.leaves(data, is_leaf=is_incomplete) if is_incomplete(leaf)]


def has_gaps(data: Any) -> bool:
    """Whether cells of data may be missing."""
    return bool(incomplete_leaves(data))


def split_labels(x: Any) -> tuple[Any, Any]:
    """Data without labels, and the labels; `None` where there are none."""
    return (x.data, x.label) if isinstance(x, Labeled) else (x, None)


def map_leaves(function: Any, data: Any, *others: Any) -> Any:
    """Map over the leaves of data, incomplete ones whole."""
    return jax.tree.map(function, data, *others, is_leaf=is_incomplete)


def group_of(xs: Any) -> int:
    """How many rows after each other have the same cells missing."""
    return max((leaf.group for leaf in incomplete_leaves(xs)), default=1)


def over_rows(kernel: Any, rows: Any) -> Any:
    """Map a kernel over rows; those of one group share what depends on their pattern alone."""
    if group_of(rows) == 1:
        return jax.vmap(kernel)(rows)

    def shared(leaf: Any) -> Any:
        if not is_incomplete(leaf):
            return leaf
        return Incomplete(leaf.values, leaf.observed[0], leaf.group)

    def axes(leaf: Any) -> Any:
        return Incomplete(0, None, leaf.group) if is_incomplete(leaf) else 0

    return jax.vmap(kernel, in_axes=(map_leaves(axes, rows),))(map_leaves(shared, rows))


def require_seen(data: Any, supports: Any, owner: str) -> None:
    """Refuse rows of which some cell is seen in none of them: nothing can be learned of it.

    Args:
        data: rows.
        supports: of the data; cells that have parameters in common are not looked at.
        owner: class and method, for the message.

    Raises:
        ValueError: such rows.
    """
    leaves, treedef = jax.tree.flatten(split_labels(data)[0], is_leaf=is_incomplete)
    for leaf, support in zip(leaves, treedef.flatten_up_to(supports), strict=True):
        if not is_incomplete(leaf) or support.alike or not leaf.observed.is_fully_addressable:
            continue
        never = np.argwhere(~np.any(np.asarray(leaf.observed), axis=0))
        if len(never):
            where = ", ".join(str(tuple(index.tolist())) for index in never[:5])
            raise ValueError(
                f"{owner}: every cell of `xs` must be seen in some row, but those at {where} are "
                "missing in all; drop these columns."
            )


def fill(key: Array, data: Any) -> Any:
    """Rows without gaps or labels, to find a start from: missing cells are drawn from their column.

    Args:
        key: JAX random key.
        data: rows.
    """

    def one(column: Array, seen: Array, key: Array) -> Array:
        # rows that are seen come first
        order, count = jnp.argsort(~seen, stable=True), jnp.maximum(jnp.sum(seen), 1)
        drawn = order[jax.random.randint(key, seen.shape, 0, count)]
        return jnp.where(seen, column, column[drawn])

    def leaf(node: Any) -> Any:
        if not is_incomplete(node):
            return node
        n = node.values.shape[0]
        columns, seen = (jnp.reshape(a, (n, -1)) for a in (node.values, node.observed))
        # One key for all columns: what is seen and missing together comes from the same rows.
        filled = jax.vmap(one, in_axes=(1, 1, None), out_axes=1)(columns, seen, key)
        return jnp.reshape(filled, node.values.shape)

    return map_leaves(leaf, split_labels(data)[0])


def _values_and_mask(xs: Any) -> tuple[Any, Any]:
    # Numbers, with a zero where they are missing, and whether they are seen.
    if isinstance(xs, jax.Array) and (isinstance(xs, Tracer) or not xs.is_fully_addressable):
        seen = ~jnp.isnan(xs)
        return jnp.where(seen, xs, 0), seen
    if isinstance(xs, np.ma.MaskedArray):
        seen = ~np.ma.getmaskarray(xs)
        return xs.filled(0), seen
    # columns and frames of pandas mark what is missing in their own way
    mark = getattr(xs, "isna", None)
    absent = False if mark is None else np.asarray(mark())
    try:
        array = np.asarray(xs)
        if array.dtype == object:
            array = np.where(absent, np.nan, array).astype(float)
    except (TypeError, ValueError) as error:
        raise TypeError(
            "incomplete: `xs` must be numbers, with NaN or None where they are missing, but is of "
            f"type {type(xs).__name__}."
        ) from error
    if not (np.issubdtype(array.dtype, np.number) or array.dtype == np.bool_):
        raise TypeError(f"incomplete: `xs` must be numbers, but has type {array.dtype}.")
    seen = ~(np.isnan(array) | absent)
    return np.where(seen, array, 0).astype(array.dtype), seen
