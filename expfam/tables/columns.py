"""What kind of values a column has, and its cells as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, time, timedelta
from typing import Any, Literal, final, get_args

import numpy as np

from ..families.base import AbstractExponentialFamily
from ..families.derived.restrictions import AffineRestriction
from ..families.derived.sub_family import SubFamily
from ..families.discrete.bernoulli import Bernoulli
from ..families.discrete.categorical import Categorical
from ..families.discrete.poisson import Poisson
from ..families.positive.log_normal import LogNormal
from ..families.real.normal import Normal

Kind = Literal["real", "positive", "count", "yes/no", "category", "ordinal", "constant"]
KINDS = get_args(Kind)

# The cells of a column: numbers, or anything, with `None` or NaN in the gaps.
Cells = Sequence[Any] | np.ndarray

# Texts that are taken for yes or no, lower case.
_YES_NO = ({"no", "yes"}, {"false", "true"})
# Whole numbers beyond this are taken for real ones, unless the user says that they are counts.
_LARGEST_COUNT = 1000
# So many categories, in so large a part of the rows, are names or texts.
_MANY_CATEGORIES, _MOST_DISTINCT = 50, 0.5


@final
@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name.
        kind: `"real"`, `"positive"`, `"count"`, `"yes/no"`, `"category"`, `"ordinal"`, or
            `"constant"`, which is one value in all rows and not modeled.
        family: family of one cell; `None` of constant columns.
        categories: the values that category numbers 0, 1, … stand for, in this order; of yes/no
            those of no and yes; empty for numbers.
    """

    name: str
    kind: Kind
    family: AbstractExponentialFamily | None
    categories: tuple[Any, ...] = ()

    def numbers(self, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
        """The cells as numbers, zero where they are missing, and whether they are seen.

        Args:
            cells: values of the column, `None` or NaN where they are missing.

        Raises:
            ValueError: categories that are none of the column, or no numbers.
        """
        seen = ~missing_cells(cells)
        values = np.zeros(len(cells))
        present = [cell for cell, known in zip(cells, seen, strict=True) if known]
        if self.categories:
            present = [self._code(cell) for cell in present]
        try:
            values[seen] = present
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"read: column {self.name!r} is {self.kind} and must hold numbers, but {error}."
            ) from error
        return values, seen

    def _code(self, cell: Any) -> int:
        try:
            return self.categories.index(cell)
        except ValueError as error:
            raise ValueError(
                f"read: column {self.name!r} holds {cell!r}, which is none of its categories "
                f"{_few(self.categories)}. Give all of them by `categories`, or mark the cell as "
                "missing."
            ) from error

    def cells(self, numbers: np.ndarray) -> list[Any]:
        """Values of the column that numbers stand for: the inverse of `numbers`.

        Args:
            numbers: real numbers, or category numbers; the latter are rounded.
        """
        if not self.categories:
            return numbers.tolist()
        last = len(self.categories) - 1
        codes = np.clip(np.rint(numbers), 0, last).astype(int)
        return [self.categories[code] for code in codes]


def missing_cells(cells: Cells) -> np.ndarray:
    """Which cells are gaps: `None`, NaN, or what pandas writes for them."""
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        return np.isnan(cells) if cells.dtype.kind == "f" else np.zeros(len(cells), bool)
    # NaN and NaT differ from themselves; `pandas.NA` has no truth value at all.
    return np.array(
        [cell is None or type(cell).__name__ == "NAType" or cell != cell for cell in cells], bool
    )


def column(
    name: str,
    cells: Cells,
    declared: tuple[Any, ...],
    ordered: bool,
    said: str | AbstractExponentialFamily | None,
) -> Column:
    """A column, of the kind or family that is said, or else of the kind that its cells show.

    Args:
        name: its name.
        cells: its values.
        declared: its categories, where they are declared; else empty.
        ordered: whether these are in order.
        said: what the user says of it.
    """
    distinct = _distinct(cells)
    if not distinct:
        raise ValueError(
            f"read: column {name!r} has no value in any row; leave it out by `columns`."
        )
    if said is None:
        said = _guess(name, distinct, len(cells), declared, ordered)
    if isinstance(said, str):
        if said not in KINDS:
            raise ValueError(
                f"read: `families` must give one of {', '.join(map(repr, KINDS))}, or a family, "
                f"but gives {said!r} for column {name!r}."
            )
        return _of_kind(name, said, distinct, declared)
    return _of_family(name, said, distinct, declared)


def _guess(
    name: str, distinct: list[Any], rows: int, declared: tuple[Any, ...], ordered: bool
) -> Kind:
    if len(distinct) == 1 and len(declared) < 2:
        return "constant"
    if declared:
        return "ordinal" if ordered else "category"
    if all(isinstance(value, bool) for value in distinct):
        return "yes/no"
    if all(isinstance(value, int | float) for value in distinct):
        if set(distinct) == {0, 1}:
            return "yes/no"
        whole = all(float(value).is_integer() for value in distinct)
        return "count" if whole and distinct[0] == 0 and distinct[-1] <= _LARGEST_COUNT else "real"
    if not all(isinstance(value, str) for value in distinct):
        kinds = sorted({type(value).__name__ for value in distinct})
        remedy = "leave it out by `columns`, or make numbers or texts of it"
        if any(isinstance(value, date | time | timedelta) for value in distinct):
            remedy = "make numbers of it, e.g. days since the first, or leave it out by `columns`"
        raise TypeError(f"read: column {name!r} holds values of type {', '.join(kinds)}; {remedy}.")
    if len(distinct) > max(_MANY_CATEGORIES, _MOST_DISTINCT * rows):
        raise ValueError(
            f"read: column {name!r} holds {len(distinct)} different texts in {rows} rows. Where "
            "they name the rows, give `index`; leave the column out by `columns`; or say "
            f"families={{{name!r}: 'category'}}."
        )
    return "yes/no" if {value.lower() for value in distinct} in _YES_NO else "category"


def _of_kind(name: str, kind: Any, distinct: list[Any], declared: tuple[Any, ...]) -> Column:
    if kind == "constant":
        return Column(name, kind, None, (distinct[0],))
    if kind in ("category", "ordinal", "yes/no"):
        if kind == "ordinal" and not declared and isinstance(distinct[0], str):
            raise ValueError(
                f"read: column {name!r} is said to be ordinal, but texts have no order. Give it: "
                f"categories={{{name!r}: [lowest, …, highest]}}."
            )
        categories = declared or tuple(distinct)
        if len(categories) < 2 or (kind == "yes/no" and len(categories) != 2):
            wanted = "two values" if kind == "yes/no" else "at least two categories"
            raise ValueError(
                f"read: column {name!r} is said to be {kind} and must have {wanted}, but has "
                f"{_few(categories)}."
            )
        made = {"category": Categorical, "ordinal": ordinal, "yes/no": lambda _: Bernoulli()}
        return Column(name, kind, made[kind](len(categories)), categories)
    made = {"real": Normal(1), "positive": LogNormal(1), "count": Poisson()}
    return Column(name, kind, made[kind])


def _of_family(name: str, family: Any, distinct: list[Any], declared: tuple[Any, ...]) -> Column:
    support: Any = getattr(family, "support", None)
    if not isinstance(family, AbstractExponentialFamily) or getattr(support, "shape", None) not in (
        (),
        (1,),
    ):
        raise TypeError(
            f"read: `families` must give a kind or a family of single numbers for column {name!r}, "
            f"e.g. expfam.Gamma(), but gives {family!r}."
        )
    if support.kind == "category":
        categories = declared or tuple(distinct)
        if len(categories) != support.n_categories:
            raise ValueError(
                f"read: column {name!r} has the categories {_few(categories)}, but {family!r} has "
                f"{support.n_categories}; give all of them by `categories`."
            )
        return Column(name, "category", family, categories)
    if support.kind == "binary":
        return replace(_of_kind(name, "yes/no", distinct, declared), family=family)
    if "count" in support.kind:
        return Column(name, "count", family)
    signed = support.kind == "real"
    return Column(name, "real" if signed else "positive", family)


def ordinal(n_categories: int) -> AbstractExponentialFamily:
    """A family of ranks: log p(r) is a parabola in r, a normal distribution cut to the ranks.

    Up to three categories, this is any distribution of them.

    Args:
        n_categories: number of categories, in order.
    """
    if n_categories <= 3:
        return Categorical(n_categories)
    # Coordinates of categories are relative to the first.
    ranks = np.linspace(0, 1, n_categories)[1:]
    directions = np.stack([ranks, ranks**2])
    return SubFamily(Categorical(n_categories), AffineRestriction(directions, np.zeros_like(ranks)))


def _distinct(cells: Cells) -> list[Any]:
    # Different values in order; whole numbers that gaps beside them made floating-point ones.
    seen = ~missing_cells(cells)
    if isinstance(cells, np.ndarray) and cells.dtype != object:
        values = np.unique(cells[seen]).tolist()
        whole = all(float(value).is_integer() for value in values)
        return [int(value) for value in values] if whole and cells.dtype.kind == "f" else values
    values = {cell for cell, known in zip(cells, seen, strict=True) if known}
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _few(values: Sequence[Any]) -> str:
    shown = ", ".join(map(repr, values[:8]))
    return f"{shown}, …" if len(values) > 8 else shown
