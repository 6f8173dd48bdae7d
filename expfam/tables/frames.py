"""Frames of any library, by narwhals, which is imported only here."""

from typing import Any

import numpy as np


def frame_of(frame: Any) -> Any:
    """A frame of narwhals, with at least one row.

    Raises:
        ImportError: without narwhals.
        TypeError: what is no data frame.
        ValueError: a frame without rows.
    """
    nw = _narwhals()
    try:
        table = nw.from_native(frame, eager_only=True)
    except TypeError as error:
        raise TypeError(
            "read: `frame` must be a data frame of pandas, polars or pyarrow, but is of type "
            f"{type(frame).__name__}. Collect a lazy frame; make a frame of lists or arrays, e.g. "
            "by pandas.DataFrame(xs)."
        ) from error
    if not len(table):
        raise ValueError("read: `frame` must have rows, but has none.")
    return table


def cells_of(table: Any, name: str) -> Any:
    """The cells of a column: an array of numbers, or a list with `None` or NaN in the gaps."""
    series, nw = table[name], _narwhals()
    if not series.dtype.is_numeric():
        return series.to_list()
    return (series.cast(nw.Float64) if series.null_count() else series).to_numpy()


def order_of(table: Any, name: str) -> tuple[tuple[Any, ...], bool]:
    """The categories that the type of a column declares, and whether they are in order."""
    nw, series = _narwhals(), table[name]
    if series.dtype == nw.Enum:
        return tuple(series.dtype.categories), True
    if series.dtype != nw.Categorical:
        return (), False
    return tuple(sorted(series.drop_nulls().unique().to_list())), False


def with_index(table: Any, index: tuple[str, ...], columns: dict[str, Any]) -> Any:
    """A native frame of new columns for the rows of a table, beside those that name the rows."""
    nw = _narwhals()
    kept = [name for name in index if name not in columns]
    made = [_series(nw, table, name, values) for name, values in columns.items()]
    return table.with_columns(*made).select(*kept, *columns).to_native()


def filled(table: Any, columns: dict[str, Any]) -> Any:
    """A native frame: the table with other columns in place of those of their names."""
    nw = _narwhals()
    made = []
    for name, values in columns.items():
        series, dtype = _series(nw, table, name, values), table[name].dtype
        made.append(series if dtype == nw.Object else series.cast(dtype))
    return table.with_columns(*made).to_native()


def new(table: Any, columns: dict[str, Any]) -> Any:
    """A native frame of the library of a table, with rows of its own."""
    nw = _narwhals()
    return nw.from_dict(columns, backend=table.implementation).to_native()


def _series(nw: Any, table: Any, name: str, values: Any) -> Any:
    values = np.asarray(values) if isinstance(values, np.ndarray) else list(values)
    return nw.new_series(name, values, backend=table.implementation)


def _narwhals() -> Any:
    try:
        import narwhals
    except ImportError as error:
        raise ImportError(
            "expfam.tables needs narwhals; install it with pip install 'expfam[tables]'."
        ) from error
    return narwhals
