"""Why a fit degenerated, in words, from a look at the data."""

from typing import Any

import numpy as np

from ..families.base import DEGENERATE


def diagnose(xs: Any, n: int) -> str:
    """Name what in the data makes a maximum of the likelihood degenerate.

    Args:
        xs: the rows of the fit; one real matrix is looked into.
        n: number of rows.

    Returns:
        The findings, and what can be done.
    """
    findings = []
    # Rows on other hosts cannot be looked at.
    here = not isinstance(xs, tuple) and getattr(xs, "is_fully_addressable", True)
    rows = np.asarray(xs) if here else None
    if rows is not None and rows.ndim == 2:
        p = rows.shape[1]
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
