"""Choice among models: by information criteria, or by rows that were held out."""

import html
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from ..families.base import AbstractExponentialFamily
from ..families.support import check_observations
from ..fitting.fit import fit
from ..fitting.methods import AbstractMethod
from ..fitting.result import ConvergenceWarning, Fit, FitError, Status
from ..fitting.settings import whole
from .criteria import NAMES, Criteria, criteria
from .rows import log_densities, row_weights

_HELD_OUT = ("held_out", "k_fold")


@final
@dataclass(frozen=True)
class Comparison:
    """Models side by side, the best first.

    Attributes:
        criterion: what they are sorted by; smaller is better.
        keys: of the models, as they were given.
        models: the models.
        fits: their fits to all rows.
        criteria: log-likelihoods, numbers of parameters and information criteria of the fits;
            `None` where a fit failed.
        values: the criterion; NaN, at the end, where a fit failed.
        notes: what was the matter with a fit; empty where nothing was.
    """

    criterion: str
    keys: tuple[Any, ...]
    models: tuple[AbstractExponentialFamily, ...]
    fits: tuple[Fit | None, ...]
    criteria: tuple[Criteria | None, ...]
    values: Float[np.ndarray, " models"]
    notes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The keys, as texts."""
        return tuple(_name(key) for key in self.keys)

    @property
    def best_model(self) -> AbstractExponentialFamily:
        """The model with the smallest criterion."""
        return self.models[0]

    @property
    def best_fit(self) -> Fit:
        """Its fit to all rows.

        Raises:
            ValueError: where no model could be fitted.
        """
        found = self.fits[0]
        if found is None or np.isnan(self.values[0]):
            raise ValueError(f"Comparison.best_fit: no model could be fitted: {self.notes[0]}.")
        return found

    @property
    def differences(self) -> Float[np.ndarray, " models"]:
        """How much larger the criterion is than that of the best model."""
        return self.values - self.values[0]

    def columns(self) -> dict[str, Any]:
        """The table, column by column, e.g. for `pandas.DataFrame`."""
        known = [("log_likelihood", float), ("n_parameters", int), *((n, float) for n in NAMES)]
        table: dict[str, Any] = {"model": self.names}
        for name, kind in known:
            missing = float("nan") if kind is float else 0
            table[name] = np.array([getattr(c, name, missing) for c in self.criteria], kind)
        table[self.criterion] = self.values
        table["difference"] = self.differences
        table["note"] = self.notes
        return table

    def by(self, criterion: str) -> "Comparison":
        """The same fits, sorted by another information criterion."""
        if criterion not in NAMES:
            raise ValueError(
                f"Comparison.by: `criterion` must be one of {', '.join(NAMES)}, but is "
                f"{criterion!r}; held-out rows need fits of their own."
            )
        values = np.array([getattr(c, criterion, np.nan) for c in self.criteria])
        rows = zip(self.keys, self.models, self.fits, self.criteria, self.notes, strict=True)
        return _sorted(criterion, values, list(rows))

    def _cells(self) -> Iterator[tuple[str, ...]]:
        yield "model", "parameters", "log-likelihood", self.criterion, "difference", ""
        rows = zip(
            self.names, self.criteria, self.values, self.differences, self.notes, strict=True
        )
        digits = 4 if self.criterion in _HELD_OUT else 3
        for name, own, value, difference, note in rows:
            if own is None:
                yield name, "", "", "", "", note
            else:
                numbers = f"{value:.{digits}f}", f"{difference:.{digits}f}"
                yield name, str(own.n_parameters), f"{own.log_likelihood:.3f}", *numbers, note

    def __repr__(self) -> str:
        """A table."""
        cells = list(self._cells())
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for first, *rest, note in cells:
            numbers = [cell.rjust(w) for cell, w in zip(rest, widths[1:-1], strict=True)]
            lines.append("  ".join([first.ljust(widths[0]), *numbers, note]).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [
            "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) for cells in self._cells()
        ]
        return "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"


def compare(
    models: Mapping[Any, AbstractExponentialFamily] | Sequence[AbstractExponentialFamily],
    xs: Any,
    *,
    key: Key[Array, ""],
    criterion: str = "bic",
    weights: Any = None,
    method: AbstractMethod | None = None,
    prior: Callable[[Any, Any], Any] | None = None,
    restarts: int = 4,
    folds: int = 5,
) -> Comparison:
    """Fit models to the same rows, and sort them by a criterion.

    Args:
        models: the models; in a mapping, by names, numbers, or tuples of these, e.g.
            `{("tied", k): Mixture(Normal(2), k, Identity()) for k in range(1, 7)}`: pictures draw a
            curve for each name over the numbers.
        xs: rows of observations, with one leading axis n; complete or `incomplete`.
        key: JAX random key, for starts and folds.
        criterion: "bic", "aic", "aicc", "caic", "sabic" or "icl" (see `Criteria`); "k_fold", minus
            the mean log-density of a row under fits to the other folds, in nats; "held_out", the
            same of one fold.
        weights: n numbers, not negative; equal where not given.
        method: of the fits; `EM()` where not given.
        prior: a function of model and rows that makes a prior, e.g. `expfam.weak_prior`. Criteria
            are those of the likelihood.
        restarts: number of random starts of every fit.
        folds: number of folds of "k_fold"; of "held_out" one row in so many.

    Warns:
        ConvergenceWarning: where fits did not converge, or failed.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> xs = jnp.array([0, 1, 1, 3, 5, 9, 2, 4])
        >>> models = {"Poisson": ef.Poisson(), "geometric": ef.Geometric()}
        >>> table = ef.assess.compare(models, xs, key=jax.random.key(0), restarts=1)
        >>> table.names[0]
        'geometric'
    """
    named = _named(models)
    if criterion not in (*NAMES, *_HELD_OUT):
        raise ValueError(
            f"compare: `criterion` must be one of {', '.join((*NAMES, *_HELD_OUT))}, but is "
            f"{criterion!r}."
        )
    folds = whole("compare", "folds", 2)(folds)
    rows = []
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for label, model in named.items():
            checked, n = check_observations(model, xs, "compare")
            parts = row_weights(weights, n, "compare")
            settings = {
                "method": method,
                "restarts": restarts,
                "prior": None if prior is None else prior(model, checked),
            }
            held = criterion in _HELD_OUT
            own = None if weights is None and not held else parts
            found = _attempt(model, checked, own, key, settings)
            note, facts, value = _note(found), None, np.nan
            if found is not None and found.status is not Status.DEGENERATE:
                facts = criteria(model, found.params, checked, parts)
                value = getattr(facts, criterion) if not held else np.nan
            if held and facts is not None:
                groups = _folds(key, n, folds)[: 1 if criterion == "held_out" else None]
                value = _held_out(model, checked, parts, groups, key, settings)
                note = note or ("a fold could not be fitted" if np.isnan(value) else "")
            rows.append((value, (label, model, found, facts, note)))
    for warning in heard:
        if not issubclass(warning.category, ConvergenceWarning):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    result = _sorted(criterion, np.array([value for value, _ in rows]), [row for _, row in rows])
    troubled = [f"{n} ({note})" for n, note in zip(result.names, result.notes, strict=True) if note]
    if troubled:
        warnings.warn(
            f"compare: of {len(rows)} fits {len(troubled)} did not end well: "
            f"{', '.join(troubled)}. Give more steps, more `restarts`, or prior=expfam.weak_prior.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return result


def _named(models: Any) -> dict[Any, Any]:
    named = dict(models) if isinstance(models, Mapping) else {repr(m): m for m in models}
    if not named or not all(isinstance(m, AbstractExponentialFamily) for m in named.values()):
        raise TypeError(
            "compare: `models` must be families, in a list or in a dictionary by their names, but "
            f"is {models!r}."
        )
    return named


def _name(key: Any) -> str:
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


def _attempt(model: Any, xs: Any, weights: Any, key: Any, settings: Any) -> Fit | None:
    try:
        return fit(model, xs, key=key, weights=weights, throw=False, **settings)
    except (FitError, ValueError) as error:
        warnings.warn(str(error), ConvergenceWarning, stacklevel=2)
        return None


def _note(found: Fit | None) -> str:
    if found is None:
        return "no start"
    return "" if found.converged else found.status.name.lower().replace("_", " ")


def _folds(key: Any, n: int, folds: int) -> list[np.ndarray]:
    # Whether a row belongs to a fold.
    order = np.asarray(jax.random.permutation(key, n)) % folds
    return [order == fold for fold in range(folds)]


def _held_out(
    model: Any, xs: Any, parts: np.ndarray, groups: list[np.ndarray], key: Any, settings: Any
) -> float:
    # Rows held out have weight zero: all folds run the same programs.
    total, mass = 0.0, 0.0
    for own in groups:
        found = _attempt(model, xs, np.where(own, 0, parts), key, settings)
        if found is None or found.status is Status.DEGENERATE:
            return float("nan")
        shares = np.where(own, parts, 0)
        total -= shares @ log_densities(model, found.params.coords, xs)
        mass += shares.sum()
    return float(total / mass)


def _sorted(criterion: str, values: np.ndarray, rows: list[tuple[Any, ...]]) -> Comparison:
    order = np.argsort(values, kind="stable")  # NaN comes last
    parts = zip(*(rows[i] for i in order), strict=True)
    keys, models, fits, facts, notes = (tuple(part) for part in parts)
    return Comparison(criterion, keys, models, fits, facts, values[order], notes)
