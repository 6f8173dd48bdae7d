"""What tests of families share: comparison with references in many digits, and of draws."""

import mpmath
import numpy as np
from scipy.special import digamma, multigammaln

from tests.registry import FLOAT32

# The relative error that a function of well-conditioned arguments may have.
BAR = 1e-5 if FLOAT32 else 1e-12

DIGITS = 50
# The relative precision of the numbers that the tests run in.
EPSILON = float(np.finfo(np.float32 if FLOAT32 else np.float64).eps)


def exact(value):
    """A number, or a nested sequence of numbers, in many digits."""
    if np.ndim(value):
        return [exact(one) for one in value]
    return mpmath.mpf(float(value))


def relative_error(value, expected):
    """The error relative to what is expected; absolute where that is zero."""
    with mpmath.workdps(DIGITS):
        return float(abs(exact(value) - expected) / (abs(expected) if expected else 1))


def assert_exact(values, expected, bar=BAR):
    """Compare numbers with references in many digits, each relative to itself."""
    values = list(np.ravel(np.asarray(values, float)))
    errors = [relative_error(a, b) for a, b in zip(values, expected, strict=True)]
    assert max(errors) <= bar, (values, [mpmath.nstr(e, 17) for e in expected], errors)


def cells_of(reference, draws, n_cells=12):
    """Counts of draws of a discrete distribution in cells, and those expected."""
    edges = np.unique(reference.ppf(np.linspace(0.01, 0.99, n_cells)))
    cells = np.diff(np.concatenate([[0], reference.cdf(edges), [1]]))
    counts = np.bincount(np.searchsorted(edges, draws), minlength=len(cells))
    kept = cells * len(draws) > 5
    rest = [[values[~kept].sum()] if cells[~kept].sum() > 0 else [] for values in (counts, cells)]
    observed, expected = np.append(counts[kept], rest[0]), np.append(cells[kept], rest[1])
    return observed, expected / expected.sum() * observed.sum()


def inverse_wishart_entropy(freedom, scale):
    """The closed form.

    That of scipy 1.17 is too large by (d² − 1)/2 log 2: it has log 2 in place of d log 2.
    """
    d = len(scale)
    mean_log = np.sum(digamma((freedom - np.arange(d)) / 2))
    half_log_det = (d + 1) / 2 * np.log(np.linalg.det(scale / 2))
    constant = multigammaln(freedom / 2, d) + freedom * d / 2
    return constant + half_log_det - (freedom + d + 1) / 2 * mean_log
