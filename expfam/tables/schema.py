"""What a table is made of: columns, and the factors of the family of its rows."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from ..families.base import AbstractExponentialFamily
from ..families.observations import Incomplete, incomplete, is_incomplete
from ..families.product import Product
from .columns import Column


@final
@dataclass(frozen=True)
class Factor:
    """Columns that stand together in one array of the data.

    Real columns with a joint covariance are a factor, and so are all columns of one family: a
    program is as large as the number of factors, not of columns.

    Attributes:
        columns: names of the columns, in the order of the array.
        family: family of the array of one row.
    """

    columns: tuple[str, ...]
    family: AbstractExponentialFamily


@final
@dataclass(frozen=True)
class Schema:
    """Columns of a table, and how rows of it are data of a family.

    Attributes:
        columns: the columns that were read, in the order of the frame.
        factors: the families side by side, with their columns.
        index: names of the columns that name rows; results carry them.
    """

    columns: tuple[Column, ...]
    factors: tuple[Factor, ...]
    index: tuple[str, ...] = ()

    @cached_property
    def family(self) -> AbstractExponentialFamily:
        """The family of a row: a `Product`, or the family itself where there is one factor."""
        families = tuple(factor.family for factor in self.factors)
        return families[0] if len(families) == 1 else Product(families)

    def column(self, name: str) -> Column:
        """The column of a name."""
        return next(column for column in self.columns if column.name == name)

    def data(self, cells: dict[str, Any]) -> Any:
        """Rows as data of `family`.

        Args:
            cells: the cells of every column, by name.
        """
        leaves = []
        for factor in self.factors:
            pairs = [self.column(name).numbers(cells[name]) for name in factor.columns]
            values, seen = (np.stack(parts, axis=-1) for parts in zip(*pairs, strict=True))
            support: Any = factor.family.support
            shape = (len(values), *support.shape)
            dtype = jnp.result_type(float if support.is_real else int)
            array = np.reshape(values, shape).astype(dtype)
            leaf = incomplete(array, np.reshape(seen, shape))
            leaves.append(leaf if isinstance(leaf, Incomplete) else jnp.asarray(leaf))
        return leaves[0] if len(leaves) == 1 else tuple(leaves)

    def numbers(self, data: Any) -> dict[str, np.ndarray]:
        """The columns of rows of data, as numbers: complete data, shaped like `family`.

        Args:
            data: rows of `family`, without gaps.
        """
        leaves = [data] if len(self.factors) == 1 else list(data)
        found = {}
        for factor, leaf in zip(self.factors, leaves, strict=True):
            table = np.reshape(np.asarray(leaf), (-1, len(factor.columns)))
            found |= dict(zip(factor.columns, table.T, strict=True))
        return found

    def seen(self, data: Any) -> dict[str, np.ndarray]:
        """Whether cells of the columns are seen in rows of data."""

        def mask(leaf: Any) -> Any:
            shape = jnp.shape(leaf.values if is_incomplete(leaf) else leaf)
            return leaf.observed if is_incomplete(leaf) else np.ones(shape, bool)

        return self.numbers(jax.tree.map(mask, data, is_leaf=is_incomplete))

    def __str__(self) -> str:
        """One line for each column."""
        width = max(len(column.name) for column in self.columns)
        return "\n".join(
            f"{column.name:{width}}  {column.kind:8}  {_values(column)}".rstrip()
            for column in self.columns
        )


def _values(column: Column) -> str:
    if not column.categories:
        return ""
    shown = ", ".join(map(str, column.categories))
    return shown if len(shown) <= 60 else f"{len(column.categories)} categories"
