"""A table that was read, and results of models of it as frames."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Array, Key

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from . import frames
from .parameters import components_of, read_parameters
from .schema import Schema


@final
@dataclass(frozen=True, repr=False)
class Table:
    """Rows of a data frame as data of a family.

    `ef.Mixture(table.family, 3)`, or any other model whose observations are those of
    `table.family`, is fitted to `table.data`. Results are frames of the library that the table came
    from, with one row for each of its rows and with its index. New rows are read like these by
    `ef.tables.read(frame, schema=table.schema)`.

    Attributes:
        schema: names, kinds and categories of the columns; says what `family` is.
        frame: the table, as a frame of narwhals.
        data: the rows as data of `family`, with gaps as `expfam.incomplete`.
    """

    schema: Schema
    frame: Any
    data: Any

    @property
    def family(self) -> AbstractExponentialFamily:
        """The family of a row: a `Product`, or the family itself where there is one factor."""
        return self.schema.family

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def __repr__(self) -> str:
        """Rows, columns and gaps."""
        gaps = self.missing()
        note = ", ".join(f"{name} {count}" for name, count in gaps.items() if count)
        return f"Table of {len(self)} rows; missing cells: {note or 'none'}\n{self.schema}"

    def missing(self) -> dict[str, int]:
        """How many cells of every modeled column are missing."""
        seen = self.schema.seen(self.data)
        return {name: int(np.sum(~mask)) for name, mask in seen.items()}

    # ---------------------------------------------------------------- results for rows

    def assignments(self, model: Any, params: Natural[Any]) -> Any:
        """The most probable component of every row, and how probable it is.

        Args:
            model: a mixture or other model with components, of rows of this table.
            params: natural coordinates.

        Returns:
            A frame with columns `component` (from 0 on) and `probability`.
        """
        found = self._responsibilities(model, params, "assignments")
        columns = {"component": found.argmax(axis=1), "probability": found.max(axis=1)}
        return frames.with_index(self.frame, self.schema.index, columns)

    def responsibilities(self, model: Any, params: Natural[Any]) -> Any:
        """The probabilities of all components for every row.

        Args:
            model: a mixture or other model with components, of rows of this table.
            params: natural coordinates.

        Returns:
            A frame with columns `component_0`, `component_1`, …, which sum to one.
        """
        found = self._responsibilities(model, params, "responsibilities")
        columns = {f"component_{k}": found[:, k] for k in range(found.shape[1])}
        return frames.with_index(self.frame, self.schema.index, columns)

    def scores(self, model: Any, params: Natural[Any]) -> Any:
        """The log-density of every row: of what is seen of it. Low is odd.

        Args:
            model: a model of rows of this table.
            params: natural coordinates.

        Returns:
            A frame with the column `log_density`.
        """
        self._check(model, "scores")
        # A family without latent variables is all observed.
        density = getattr(model, "log_observable_density", model.log_density)
        columns = {"log_density": np.asarray(density(params, self.data))}
        return frames.with_index(self.frame, self.schema.index, columns)

    def impute(self, model: Any, params: Natural[Any]) -> Any:
        """The table with the expectation of missing cells, given what is seen of their rows.

        Of categories and of yes/no it is the most probable value; in columns of whole numbers
        it is rounded. Columns that are not modeled stay as they are.

        Args:
            model: a model of rows of this table.
            params: natural coordinates.
        """
        self._check(model, "impute")
        return self._filled(model.impute(params, self.data))

    def sample_missing(self, key: Key[Array, ""], model: Any, params: Natural[Any]) -> Any:
        """The table with draws of missing cells, given what is seen of their rows.

        Fit or count in several such tables, with keys of their own: multiple imputation.

        Args:
            key: JAX random key.
            model: a model of rows of this table.
            params: natural coordinates.
        """
        self._check(model, "sample_missing")
        return self._filled(model.sample_missing(key, params, self.data))

    # ---------------------------------------------------------------- parameters

    def parameters(self, model: Any, params: Natural[Any]) -> Any:
        """Parameters of the components, by column.

        Args:
            model: a `Mixture` of the family of this table, or that family.
            params: natural coordinates.

        Returns:
            A frame with columns `column`, `parameter`, `component_0`, `component_1`, …; its first
            row are the weights. Parameters of real and positive columns are mean and standard
            deviation, of counts the rate, of categories and yes/no probabilities by name, of other
            families the mean.
        """
        weights, families, coords = components_of(self.schema, model, params, "Table.parameters")
        lines = [("", "weight", weights)]
        for name, found in read_parameters(self.schema, families, coords).items():
            for parameter, values in found.items():
                lines += self._lines(name, parameter, values)
        columns = {"column": [line[0] for line in lines], "parameter": [line[1] for line in lines]}
        table = np.stack([line[2] for line in lines])
        columns |= {f"component_{k}": table[:, k] for k in range(len(weights))}
        return frames.new(self.frame, columns)

    def _lines(self, name: str, parameter: str, values: np.ndarray) -> list[Any]:
        categories = self.schema.column(name).categories
        if values.ndim > 1:
            named = zip(categories, values.T, strict=True)
            return [(name, f"{parameter} of {category}", row) for category, row in named]
        return [(name, f"{parameter} of {categories[-1]}" if categories else parameter, values)]

    # ---------------------------------------------------------------- helpers

    def _responsibilities(self, model: Any, params: Natural[Any], method: str) -> np.ndarray:
        self._check(model, method)
        if not getattr(model, "n_labels", 0):
            raise TypeError(
                f"Table.{method}: `model` must have components, as a Mixture has, but is {model!r}."
            )
        return np.asarray(model.posterior_soft_assignments(params, self.data))

    def _check(self, model: Any, method: str) -> None:
        if getattr(model, "observed_support", None) != self.family.support:
            raise TypeError(
                f"Table.{method}: `model` must be a model of rows of this table, e.g. "
                f"expfam.Mixture(table.family, 2), but is {model!r}."
            )

    def _filled(self, data: Any) -> Any:
        numbers, seen = self.schema.numbers(data), self.schema.seen(self.data)
        columns = {}
        for name, mask in seen.items():
            if mask.all():
                continue
            cells = self.frame[name].to_list()
            for i, cell in zip(
                np.flatnonzero(~mask), self._cells(name, numbers, mask), strict=True
            ):
                cells[i] = cell
            columns[name] = cells
        return frames.filled(self.frame, columns)

    def _cells(self, name: str, numbers: dict[str, np.ndarray], mask: np.ndarray) -> list[Any]:
        values = numbers[name][~mask]
        whole = self.frame[name].dtype.is_integer()
        return self.schema.column(name).cells(np.rint(values).astype(int) if whole else values)
