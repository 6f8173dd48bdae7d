"""What in the data makes a fit degenerate, or lose its digits, in words."""

import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..families.compiled import dtype_of
from ..families.errors import DEGENERATE
from .result import PrecisionWarning
from .standardize import widths_from_origin

# Relative error of variances, from the distance to the origin, beyond which `fit` warns.
_LARGEST_LOSS = 2e-4


def diagnose(xs: Any) -> str:
    """Name what in the data makes a maximum of the likelihood degenerate.

    Args:
        xs: rows of the fit; one real matrix is looked into.

    Returns:
        The findings, and what can be done.
    """
    findings = []
    # Rows on other hosts cannot be looked at.
    here = not isinstance(xs, tuple) and getattr(xs, "is_fully_addressable", True)
    rows = np.asarray(xs) if here else None
    if rows is not None and rows.ndim == 2:
        n, p = rows.shape
        constant = np.flatnonzero(np.ptp(rows, axis=0) == 0)
        if constant.size:
            shown = ", ".join(map(str, constant[:5])) + (", …" if constant.size > 5 else "")
            findings.append(f"{constant.size} constant column(s): {shown}")
        distinct = len(np.unique(rows, axis=0))
        if distinct < n:
            findings.append(f"only {distinct} of {n} rows are distinct")
        if n <= p:
            findings.append(f"{n} rows are not more than the {p} columns")
        elif not constant.size and np.linalg.matrix_rank(rows - rows.mean(axis=0)) < p:
            findings.append("some columns are linear combinations of others")
    found = f"Found in the data: {'; '.join(findings)}. " if findings else ""
    return f"{found}In general, {DEGENERATE}"


def warn_of_offset(model: Any, xs: Any, weights: Any) -> bool:
    """Warn where rows lie too far from the origin for parameters in raw units; says if so."""
    widths = widths_from_origin(model, xs, weights)
    dtype = dtype_of(xs)
    loss = float(jnp.finfo(dtype).eps) * widths**2
    if loss > _LARGEST_LOSS:
        warnings.warn(
            f"fit: some column of `xs` lies {widths:.3g} standard deviations from the origin, so "
            f"that parameters of type {dtype} hold its variance only to a relative error of about "
            f"{loss:.1g}. Fit expfam.standardize(model, xs) instead of the model, or use float64.",
            PrecisionWarning,
            stacklevel=4,
        )
    return loss > _LARGEST_LOSS
