"""Supports of families, and the checks of data against them.

A support is described leaf by leaf: data of a product are tuples, data of a latent-variable model
pairs of observation and latent variables, and each leaf has its own shape and kind of values.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool

from ..geometry.checks import require
from ..geometry.linalg import cholesky
from ..geometry.programs import is_at_hand
from ..geometry.shards import with_automatic_axes
from .conversion import as_array, as_numbers
from .observations import Incomplete, Labeled, is_incomplete, split_labels

Kind = Literal[
    "real",
    "nonnegative",
    "positive",
    "at least",
    "unit",
    "count",
    "positive count",
    "bounded count",
    "binary",
    "category",
    "counts of a total",
    "simplex",
    "sphere",
    "positive definite",
]

_VALUES = {
    "real": "finite real numbers",
    "nonnegative": "finite real numbers, not negative",
    "positive": "positive, finite real numbers",
    "at least": "finite real numbers of at least {bound}",
    "unit": "real numbers strictly between 0 and 1",
    "count": "counts 0, 1, 2, …",
    "positive count": "counts 1, 2, 3, …",
    "bounded count": "counts 0 … {limit}",
    "binary": "0 or 1",
    "category": "category numbers 0 … {last}",
    "counts of a total": "vectors of counts that sum to {limit}",
    "simplex": "vectors of positive real numbers that sum to 1",
    "sphere": "real vectors of length 1",
    "positive definite": "symmetric, positive definite real matrices",
}
_REAL = {
    "real",
    "nonnegative",
    "positive",
    "at least",
    "unit",
    "simplex",
    "sphere",
    "positive definite",
}

# Numbers in an array from which on its check is worth compiling.
_MANY = 1 << 22


@final
class Support(eqx.Module):
    """The support of one leaf of a data point.

    Attributes:
        shape: shape of the leaf for one data point.
        kind: which values it takes.
        n_categories: number of categories, for `kind="category"`.
        limit: the largest count, for `kind="bounded count"`, or the sum, for "counts of a total".
        bound: the smallest number, for `kind="at least"`.
        whole: number of trailing axes that are seen or missing together; `None`: all.
        alike: whether entries along the first axis have parameters in common, as steps of a chain.
        given: whether it is never missing, as covariates are.
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    kind: Kind = eqx.field(static=True)
    n_categories: int = eqx.field(static=True, default=0)
    limit: int = eqx.field(static=True, default=0)
    bound: float = eqx.field(static=True, default=0.0)
    whole: int | None = eqx.field(static=True, default=None)
    alike: bool = eqx.field(static=True, default=False)
    given: bool = eqx.field(static=True, default=False)

    @property
    def values(self) -> str:
        """The admitted values, in words."""
        last = self.n_categories - 1
        return _VALUES[self.kind].format(last=last, limit=self.limit, bound=self.bound)

    @property
    def is_real(self) -> bool:
        """Whether the values are real numbers, of a floating-point type."""
        return self.kind in _REAL

    @property
    def whole_axes(self) -> tuple[int, ...]:
        """The axes along which entries are seen or missing together."""
        count = len(self.shape) if self.whole is None else self.whole
        return tuple(range(-count, 0))

    @property
    def filler(self) -> np.ndarray:
        """An admissible value to stand in missing cells; of `shape`, or to be broadcast to it."""
        size = self.shape[-1] if self.shape else 1
        match self.kind:
            case "positive" | "positive count":
                return np.ones(())
            case "at least":
                return np.asarray(self.bound)
            case "unit":
                return np.full((), 0.5)
            case "simplex":
                return np.full(size, 1 / size)
            case "sphere":
                return np.eye(size)[0]
            case "counts of a total":
                return self.limit * np.eye(size)[0]
            case "positive definite":
                return np.eye(size)
        return np.zeros(())

    def contains(self, x: Array | np.ndarray) -> Bool[Array, ""] | np.bool_:
        """Whether all entries of an array are admitted values."""
        return _namespace(x).all(self.inside(x))

    def inside(self, x: Array | np.ndarray) -> Bool[Array, "..."] | np.ndarray | np.bool_:
        """Which entries are admitted values; which vectors or matrices, where those are values."""
        xp = _namespace(x)
        finite = xp.isfinite(x)
        if self.is_real:
            # Coordinates of a vector are rounded one by one.
            rounding = 8 * jnp.finfo(x.dtype).eps * max((1, *self.shape))
            match self.kind:
                case "nonnegative":
                    return finite & (x >= 0)
                case "positive":
                    return finite & (x > 0)
                case "at least":
                    return finite & (x >= self.bound)
                case "unit":
                    return (x > 0) & (x < 1)
                case "simplex":
                    return xp.all(x > 0, axis=-1) & (abs(xp.sum(x, axis=-1) - 1) <= rounding)
                case "sphere":
                    return abs(xp.sum(x * x, axis=-1) - 1) <= rounding
                case "positive definite":
                    gap = xp.max(abs(x - xp.swapaxes(x, -1, -2)), axis=(-1, -2))
                    symmetric = gap <= rounding * xp.max(abs(x), axis=(-1, -2))
                    factors = jax.vmap(cholesky)(xp.reshape(x, (-1, *x.shape[-2:])))
                    definite = xp.all(jnp.isfinite(factors), axis=(-1, -2))
                    return symmetric & xp.reshape(definite, x.shape[:-2])
            return finite
        whole = finite & (x == xp.round(x)) & (x >= 0)
        match self.kind:
            case "positive count":
                return whole & (x >= 1)
            case "bounded count":
                return whole & (x <= self.limit)
            case "binary":
                return whole & (x <= 1)
            case "category":
                return whole & (x < self.n_categories)
            case "counts of a total":
                return xp.all(whole, axis=-1) & (xp.sum(x, axis=-1) == self.limit)
        return whole


def _namespace(x: Array | np.ndarray) -> Any:
    return np if isinstance(x, np.ndarray) else jnp


def is_support(node: object) -> bool:
    """Whether a node is a leaf of a tree of supports."""
    return isinstance(node, Support)


def replicate(supports: Any, copies: int, alike: bool = False) -> Any:
    """The support of `copies` data points along a leading axis."""

    def copied(leaf: Support) -> Support:
        shape, whole = (copies, *leaf.shape), len(leaf.whole_axes)
        return replace(leaf, shape=shape, whole=whole, alike=alike)

    return jax.tree.map(copied, supports, is_leaf=is_support)


def check_data(data: Any, supports: Any, owner: str, argument: str) -> tuple[Any, tuple[int, ...]]:
    """Check data against a support.

    Args:
        data: array, or tuple of arrays like `supports`, with any leading batch axes.
        supports: tree of `Support`.
        owner: class and method, for messages.
        argument: public name of the argument, for messages.

    Returns:
        The data as JAX arrays, and the batch shape.

    Raises:
        TypeError: wrong structure, or what are no numbers.
        ValueError: wrong trailing shape, batch axes that do not agree, whole numbers that the type
            does not hold, or values outside the support (the last two are a RuntimeError of
            `equinox.error_if` under `jit`).
    """
    if isinstance(data, Labeled):
        raise TypeError(f"{owner}: `{argument}` must not be labeled; give its data alone.")
    leaves, treedef = jax.tree.flatten(supports, is_leaf=is_support)
    try:
        arrays = treedef.flatten_up_to(data)
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{owner}: `{argument}` must be structured like {_outline(supports)}, "
            f"but is of type {type(data).__name__}. Data frames are read by expfam.tables.read."
        ) from error
    names = [argument if len(leaves) == 1 else f"{argument}, leaf {i}" for i in range(len(leaves))]
    checked = [
        _check_incomplete(array, support, owner, name)
        if is_incomplete(array)
        else _check_leaf(array, support, owner, name)
        for array, support, name in zip(arrays, leaves, names, strict=True)
    ]
    batches = {
        _values(array).shape[: _values(array).ndim - len(leaf.shape)]
        for array, leaf in zip(checked, leaves, strict=True)
    }
    if len(batches) > 1:
        raise ValueError(
            f"{owner}: the leaves of `{argument}` must have the same leading axes, but have "
            f"{sorted(batches)}."
        )
    return jax.tree.unflatten(treedef, checked), batches.pop() if batches else ()


def check_rows(data: Any, supports: Any, owner: str, argument: str = "xs") -> tuple[Any, int]:
    """Check data that must be rows: exactly one leading axis, of length at least one.

    Returns:
        The data as JAX arrays, and the number of rows.

    Raises:
        TypeError: as `check_data`.
        ValueError: as `check_data`, and where there is not one leading axis or no row.
    """
    if is_support(supports) and not isinstance(data, tuple):
        if not is_incomplete(data):
            data = as_array(data, owner, argument)
        came, trailing = jnp.shape(_values(data)), supports.shape
        if len(came) != len(trailing) + 1 or came[1:] != trailing:
            hint = ""
            if len(came) == 1 and trailing == (1,):
                hint = " Write xs[:, None] to make one column of it."
            elif trailing == () and came[1:] == (1,):
                hint = " Write xs[:, 0] to take the numbers out of the column."
            elif (
                len(came) == 2
                and len(trailing) == 1
                and came[0] == trailing[0]
                and came[1] != trailing[0]
            ):
                hint = " Rows are observations: is it transposed?"
            raise ValueError(
                f"{owner}: `{argument}` must have one row per observation, shape "
                f"{_wanted(supports)}, but has shape {came}.{hint}"
            )
    arrays, batch = check_data(data, supports, owner, argument)
    if len(batch) != 1 or batch[0] == 0:
        raise ValueError(
            f"{owner}: `{argument}` must have one row per observation, shape {_wanted(supports)} "
            f"with n ≥ 1, but its leading axes have shape {batch}."
        )
    return arrays, batch[0]


def _wanted(supports: Any) -> str:
    leaves = leaves_of(supports)
    shapes = [f"(n, {', '.join(map(str, leaf.shape))})".replace(", )", ",)") for leaf in leaves]
    return shapes[0] if len(shapes) == 1 else f"a tuple with shapes {', '.join(shapes)}"


def check_weights(weights: Any, n: int, dtype: Any, owner: str) -> Array | None:
    """Check optional row weights: shape (n,), finite, not negative, not all zero.

    Raises:
        ValueError: wrong shape, negative or non-finite weights, or a sum of zero.
    """
    if weights is None:
        return None
    given = as_array(weights, owner, "weights")
    if given.shape != (n,):
        raise ValueError(
            f"{owner}: `weights` must have one number per row, shape ({n},), but has shape "
            f"{given.shape}."
        )
    array = with_automatic_axes(_as_jax(given)).astype(dtype)
    message = (
        f"{owner}: `weights` must be finite, not negative, not all zero, and have a sum below the "
        f"largest number of their type, {array.dtype}."
    )
    return require(array, _known(_are_weights, array), message)


def _as_jax(array: Any) -> Array:
    # `jnp.asarray` compiles a program for every shape of a NumPy array. What may change is copied;
    # what is mapped from a file that is only read need not be, on a CPU.
    if not isinstance(array, np.ndarray):
        return jnp.asarray(array)
    return jax.device_put(array if _is_mapped_for_reading(array) else np.array(array))


def _is_mapped_for_reading(array: Any) -> bool:
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return array.mode == "r"
        array = array.base
    return False


def check_observations(model: Any, data: Any, owner: str, argument: str = "xs") -> tuple[Any, int]:
    """Check rows of observations of a model, of which some may be labeled.

    Returns:
        The rows as JAX arrays, and their number.

    Raises:
        TypeError, ValueError: as `check_rows`; labels out of range, or of no component.
    """
    data, labels = split_labels(data)
    rows, n = check_rows(data, model.observed_support, owner, argument)
    if labels is None:
        return rows, n
    return Labeled(rows, _check_labels(model, labels, (n,), owner, argument)), n


def check_observation(
    model: Any, data: Any, owner: str, argument: str = "x"
) -> tuple[Any, tuple[int, ...]]:
    """Check observations of a model with any leading axes, of which some may be labeled.

    Returns:
        The observations as JAX arrays, and the batch shape.

    Raises:
        TypeError, ValueError: as `check_data`; labels out of range, or of no component.
    """
    data, labels = split_labels(data)
    checked, batch = check_data(data, model.observed_support, owner, argument)
    if labels is None:
        return checked, batch
    return Labeled(checked, _check_labels(model, labels, batch, owner, argument)), batch


def _check_labels(
    model: Any, labels: Any, batch: tuple[int, ...], owner: str, argument: str
) -> Array:
    count = model.n_labels
    if not count:
        raise TypeError(
            f"{owner}: `{argument}` is labeled, but {type(model).__name__} has no component "
            "number that labels could tell; label rows of a mixture or a hierarchical mixture."
        )
    if jnp.shape(labels) != batch:
        raise ValueError(
            f"{owner}: labels of `{argument}` must have one number per row, shape {batch}, but "
            f"have shape {jnp.shape(labels)}."
        )
    array = jnp.asarray(labels)
    inside = jnp.all((array >= -1) & (array < count))
    return require(
        array,
        inside,
        f"{owner}: labels of `{argument}` must be component numbers 0 … {count - 1}, or −1 where "
        "they are not known.",
    )


def _values(leaf: Any) -> Any:
    return leaf.values if is_incomplete(leaf) else leaf


def _check_incomplete(leaf: Incomplete, support: Support, owner: str, argument: str) -> Any:
    # An array where every cell is seen; else with admissible values in the missing cells.
    values, seen = as_array(leaf.values, owner, argument), leaf.observed
    trailing = jnp.shape(values)[jnp.ndim(values) - len(support.shape) :]
    if jnp.ndim(values) < len(support.shape) or trailing != support.shape:
        return _check_leaf(values, support, owner, argument)
    values = as_numbers(values, support.is_real, owner, argument)
    known = not isinstance(seen, Tracer)
    mask = np.asarray(seen) if known else seen
    xp = np if known else jnp
    if support.whole_axes:
        together = xp.all(mask, axis=support.whole_axes, keepdims=True)
        partly = xp.any(mask != together)
        message = (
            f"{owner}: `{argument}` must be seen or missing as a whole where it is "
            f"{support.values}, but some are seen in part."
        )
        mask = require(mask, ~jnp.asarray(partly), message)
    filled = (np if known and isinstance(values, np.ndarray) else jnp).where(
        mask, values, support.filler.astype(values.dtype)
    )
    try:
        checked = _check_leaf(filled, support, owner, argument)
    except ValueError as error:
        raise ValueError(f"{error} These cells are marked as seen.") from error
    if known and mask.all():
        return checked
    return Incomplete(checked, jnp.asarray(mask), leaf.group)


def _check_leaf(array: Any, support: Support, owner: str, argument: str) -> Array:
    array = as_array(array, owner, argument)
    came = array.shape
    trailing = came[len(came) - len(support.shape) :]
    if len(came) < len(support.shape) or trailing != support.shape:
        raise ValueError(
            f"{owner}: `{argument}` must have trailing shape {support.shape}, but has shape {came}."
        )
    given = as_numbers(array, support.is_real, owner, argument)
    array = with_automatic_axes(_as_jax(given))
    # Where nothing was converted, what was given is looked at: nothing has to arrive before.
    same = isinstance(given, np.ndarray) and given.dtype == array.dtype
    return require(
        array,
        _known(_contains, support, given if same else array),
        lambda: f"{owner}: `{argument}` must be {support.values}, but {_offence(array, support)}.",
    )


def _known(condition: Callable[..., Any], *args: Any) -> Bool[Array, ""] | bool:
    # Where the values are known, the condition is, too: also while other values are being traced.
    *rest, array = args
    if isinstance(array, Tracer):
        return condition(*args)
    with jax.ensure_compile_time_eval(), np.errstate(all="ignore"):
        # NumPy has nothing to compile, but takes its time and memory with many numbers.
        if array.size <= _MANY and is_at_hand(array):
            return bool(condition(*rest, np.asarray(array)))
        return _compiled(condition, *args)


def _compiled(condition: Callable[..., Any], *args: Any) -> Bool[Array, ""]:
    return condition(*args)


_compiled = jax.jit(_compiled, static_argnums=0)


def _contains(support: Support, array: Array | np.ndarray) -> Any:
    return support.contains(array)


def _are_weights(weights: Array | np.ndarray) -> Any:
    xp = _namespace(weights)
    total = xp.sum(weights)
    return xp.all(weights >= 0) & (total > 0) & xp.isfinite(total)


def _offence(array: Array, support: Support) -> str:
    # Names the first offending entry where the values are known: outside of jit, on one host.
    if isinstance(array, Tracer) or not array.is_fully_addressable:
        return "holds a value outside of that"
    with jax.ensure_compile_time_eval():
        flat, inside = np.asarray(array), np.asarray(support.inside(array))
    if inside.all():
        return "holds a value outside of that"
    index = tuple(int(i) for i in np.argwhere(~inside)[0])
    found = f"holds {(~inside).sum()} value(s) outside of that, the first {flat[index]} at {index}"
    missing = np.issubdtype(flat.dtype, np.floating) and np.isnan(flat).any()
    return f"{found}; missing cells are marked with expfam.incomplete" if missing else found


def leaves_of(supports: Any) -> list[Support]:
    """The supports of all leaves of a data point."""
    return jax.tree.leaves(supports, is_leaf=is_support)


def _outline(supports: Any) -> str:
    leaves = leaves_of(supports)
    if len(leaves) == 1:
        return f"one array with trailing shape {leaves[0].shape}"
    return str(jax.tree.map(lambda leaf: leaf.shape, supports, is_leaf=is_support))
