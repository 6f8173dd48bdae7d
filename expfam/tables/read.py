"""`read`: from a data frame to a family and its data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..families.base import AbstractExponentialFamily
from ..families.positive.log_normal import LogNormal
from ..families.product import Replicated
from ..families.real.normal import Normal
from ..geometry.structures import Diagonal
from .columns import Column, column
from .frames import cells_of, frame_of, order_of
from .schema import Factor, Schema
from .table import Table


def read(
    frame: Any,
    *,
    columns: Sequence[str] | None = None,
    families: Mapping[str, str | AbstractExponentialFamily] | None = None,
    categories: Mapping[str, Sequence[Any]] | None = None,
    joint: bool | Sequence[Sequence[str]] = True,
    index: str | Sequence[str] | None = None,
    schema: Schema | None = None,
) -> Table:
    """Read a data frame: a family of its rows, and the rows as data of it, with gaps as missing.

    What is not said is seen in the cells: booleans, 0 and 1, and the texts yes/no and true/false
    are yes/no; other texts and unordered categoricals are categories; ordered ones are ordinal;
    whole numbers from 0 to at most 1000, among them 0, are counts; all other numbers are real.
    Columns with one value in all rows are constant, and not modeled.

    Args:
        frame: data frame of pandas, polars or pyarrow, one row for each observation. Cells that are
            null or NaN are missing.
        columns: names of the columns to read; by default all but `index`.
        families: of columns, by name, where it should not be what the cells show: `"real"`
            (`Normal`), `"positive"` (`LogNormal`), `"count"` (`Poisson`), `"yes/no"` (`Bernoulli`),
            `"category"` (`Categorical`), `"ordinal"` (categories whose log-probabilities are a
            parabola in their rank), or a family of single numbers, such as `expfam.Gamma()`.
        categories: of columns, by name: all their values, in order.
        joint: whether real columns have a covariance of all of them; or groups of names, each with
            its covariance.
        index: names of columns that name the rows: results carry them, and they are not modeled.
            The index of a pandas frame is kept without being named.
        schema: that of another table, to read new rows like it; the other arguments are left out.

    Returns:
        A `Table`: its `family` and `data` go into a model and into `fit`; its methods give results
        as frames.

    Raises:
        ImportError: without narwhals.
        TypeError: what is no data frame; columns of dates or other objects.
        ValueError: names of no column; columns without a value; texts that are no categories.

    Examples:
        >>> import jax, pandas as pd, expfam as ef
        >>> frame = pd.DataFrame({"length": [1.0, 1.2, None, 3.9], "eats": ["fish", "fish"] * 2})
        >>> table = ef.tables.read(frame, families={"length": "positive"})
        >>> print(table.schema)
        length  positive
        eats    constant  fish
    """
    table = frame_of(frame)
    if schema is not None:
        names = {name for factor in schema.factors for name in factor.columns}
        _check_names(table, {"schema": [*names, *schema.index]})
        data = schema.data({name: cells_of(table, name) for name in names})
        return Table(schema, table, data)
    index = (index,) if isinstance(index, str) else tuple(index or ())
    kinds, orders = dict(families or {}), dict(categories or {})
    names = [name for name in table.columns if name not in index]
    names = names if columns is None else list(columns)
    groups = [] if isinstance(joint, bool) else [list(group) for group in joint]
    asked = {"columns": names, "families": kinds, "categories": orders, "index": index}
    _check_names(table, asked | {"joint": [name for group in groups for name in group]})

    cells = {name: cells_of(table, name) for name in names}
    found = []
    for name in names:
        declared, ordered = order_of(table, name)
        if name in orders:
            declared, ordered = tuple(orders[name]), False
        found.append(column(name, cells[name], declared, ordered, kinds.get(name)))
    if all(one.family is None for one in found):
        raise ValueError("read: every column of `frame` is constant; nothing is left to model.")
    if joint is True:
        groups = [[one.name for one in found if one.family == Normal(1)]]
    result = Schema(tuple(found), _factors(found, groups), index)
    return Table(result, table, result.data(cells))


def _factors(columns: list[Column], groups: list[list[str]]) -> tuple[Factor, ...]:
    joint = {name: tuple(group) for group in groups for name in group}
    families = {one.name: one.family for one in columns}
    if len(joint) < sum(len(group) for group in groups):
        raise ValueError("read: the groups of `joint` must have no column in common.")
    for name in joint:
        if families.get(name) != Normal(1):
            raise ValueError(
                f"read: columns of `joint` must be real, but {name!r} is not read as real; say "
                f"families={{{name!r}: 'real'}}."
            )
    members: dict[Any, list[str]] = {}
    for one in columns:
        if one.family is not None:
            members.setdefault(joint.get(one.name, _kin(one)), []).append(one.name)
    return tuple(
        Factor(tuple(names), _together(families[names[0]], len(names), key in joint.values()))
        for key, names in members.items()
    )


def _kin(one: Column) -> Any:
    # Ordinal families hold arrays, which have no hash; their size says which they are.
    return (one.kind, len(one.categories)) if one.kind == "ordinal" else one.family


def _together(family: Any, count: int, joint: bool) -> AbstractExponentialFamily:
    if joint:
        return Normal(count)
    if count == 1:
        return family
    if family == Normal(1):
        return Normal(count, Diagonal())
    if family == LogNormal(1):
        return LogNormal(count, Diagonal())
    return Replicated(family, count)


def _check_names(table: Any, asked: Mapping[str, Any]) -> None:
    for argument, names in asked.items():
        unknown = [name for name in names if name not in table.columns]
        if unknown:
            raise ValueError(
                f"read: `{argument}` names {unknown[0]!r}, which is no column of `frame`; its "
                f"columns are {', '.join(map(repr, table.columns))}."
            )
    if not np.size(asked.get("columns", 1)):
        raise ValueError("read: `frame` must have a column to read, but has none.")
