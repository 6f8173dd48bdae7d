"""What there is to know of a fitted model before it is used."""

from typing import Any, final

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ..families.base import AbstractExponentialFamily
from ..families.observations import fill
from ..geometry.points import Natural
from .anomalies import anomaly_scores
from .criteria import Criteria, criteria
from .rows import assignments, checked_rows, row_weights
from .uncertainty import count_unidentified

# Shares of other components from which on two components are said to overlap.
_OVERLAP = 0.1
# Draws for every row: one of the rows in ten samples lies below all of them.
_DRAWS, _MOST_DRAWS = 10, 20_000


@final
class Report(eqx.Module):
    """The quality of a fit; print it.

    Attributes:
        criteria: log-likelihood, number of parameters, information criteria.
        sizes: expected number of rows of every component; empty without components.
        assigned: number of rows for which a component is the most probable.
        certainty: mean probability of the component that rows are assigned to; 0 where there are
            none.
        overlap: mean probability of component j in rows assigned to component i, at `[i, j]`.
        unidentified: how many directions of the model the rows say nothing about.
        odd_rows: numbers of rows that are less probable than all draws from the model.
        findings: what should be looked at, in sentences.
    """

    criteria: Criteria
    sizes: Float[np.ndarray, " k"]
    assigned: Float[np.ndarray, " k"]
    certainty: Float[np.ndarray, " k"]
    overlap: Float[np.ndarray, "k k"]
    unidentified: int
    odd_rows: Int[np.ndarray, " odd"]
    findings: tuple[str, ...]

    def __repr__(self) -> str:
        """A table of components, and the findings."""
        own = self.criteria
        lines = [
            f"{own.n_rows:g} rows, {own.n_parameters} parameters, log-likelihood "
            f"{own.log_likelihood:.3f} ({own.log_likelihood / own.n_rows:.4g} a row), "
            f"BIC {own.bic:.3f}"
        ]
        if self.sizes.size:
            lines.append("component     size  assigned  certainty")
        for k, row in enumerate(zip(self.sizes, self.assigned, self.certainty, strict=True)):
            lines.append(f"{k:9d} {row[0]:8.1f} {row[1]:9g} {row[2]:10.3f}")
        return "\n".join(lines + [f"- {finding}" for finding in self.findings or ("no findings",)])


def report(
    model: AbstractExponentialFamily,
    params: Natural[Any],
    xs: Any,
    weights: Any = None,
    *,
    key: Key[Array, ""] | None = None,
) -> Report:
    """Look at a fit: sizes and overlap of components, directions, rows that fit badly.

    Args:
        model: any family or latent-variable model.
        params: natural coordinates: `fit(...).params`.
        xs: the rows that it was fitted to, complete or `incomplete`.
        weights: n numbers, not negative; equal where not given.
        key: JAX random key of the draws that rows are compared with; a fixed one where not given.
    """
    xs, n = checked_rows(model, params, xs, "report")
    parts = row_weights(weights, n, "report")
    findings: list[str] = []
    none = np.zeros(0)
    sizes, assigned, certainty, overlap = none, none, none, np.zeros((0, 0))
    if model.n_labels:
        shares = np.exp(assignments(model, params.coords, xs))
        hard = np.argmax(shares, axis=1)
        own = np.eye(model.n_labels)[hard] * parts[:, None]
        sizes, assigned = parts @ shares, own.sum(axis=0)
        overlap = own.T @ shares / np.maximum(assigned, 1e-300)[:, None]
        certainty = np.diag(overlap).copy()
        findings += _of_components(model, xs, hard, sizes, overlap)
    unidentified = count_unidentified(model, params, xs, parts)
    if unidentified is None:
        findings.append("parameters are on the edge of what is possible: some probability is zero")
    elif unidentified:
        findings.append(
            f"the rows say nothing about {unidentified} of {model.n_parameters} parameters"
        )
    key = jax.random.key(0) if key is None else key
    odd = _odd_rows(model, params, xs, n, key)
    if odd.size:
        shown = ", ".join(map(str, odd[:10])) + (", …" if odd.size > 10 else "")
        findings.append(
            f"{odd.size} row(s) fit badly, below all of {_n_draws(n)} draws from the model: {shown}"
        )
    facts = criteria(model, params, xs, parts)
    found = tuple(findings)
    return Report(facts, sizes, assigned, certainty, overlap, unidentified or 0, odd, found)


def _of_components(
    model: Any, xs: Any, hard: np.ndarray, sizes: np.ndarray, overlap: np.ndarray
) -> list[str]:
    features = np.asarray(jax.vmap(model._features)(fill(jax.random.key(0), xs)))
    needed = (model.n_parameters + 1) / model.n_labels
    findings = []
    for k, size in enumerate(sizes):
        rows = features[hard == k]
        distinct = len(np.unique(rows, axis=0))
        if size < 0.5:
            findings.append(f"component {k} is empty: take fewer components")
        elif 0 < distinct <= features.shape[1] and distinct < len(np.unique(features, axis=0)) / 2:
            findings.append(
                f"component {k} has collapsed onto {distinct} distinct row(s) in "
                f"{features.shape[1]} columns: its density has no limit; give a prior, or fewer "
                "components"
            )
        elif size < needed:
            findings.append(
                f"component {k} is tiny: {size:.1f} rows for about {needed:.0f} parameters"
            )
    either = np.triu(np.maximum(overlap, overlap.T), 1)
    for i, j in np.argwhere(either > _OVERLAP):
        findings.append(
            f"components {i} and {j} overlap: rows of one belong to the other with probability "
            f"{either[i, j]:.2f}"
        )
    return findings


def _n_draws(n: int) -> int:
    return min(_DRAWS * n, _MOST_DRAWS)


def _odd_rows(model: Any, params: Any, xs: Any, n: int, key: Array) -> np.ndarray:
    drawing, centering = jax.random.split(key)
    drawn = jax.vmap(model._observe)(model.sample(drawing, params, (_n_draws(n),)))
    scores = anomaly_scores(model, params, xs, key=centering)
    return np.flatnonzero(scores > anomaly_scores(model, params, drawn, key=centering).max())
