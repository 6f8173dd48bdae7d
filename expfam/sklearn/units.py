"""Standard units of columns, which are changed on the host, in float64."""

from typing import NamedTuple, final

import numpy as np
from jaxtyping import Float


@final
class Units(NamedTuple):
    """Where columns have their origin and their unit: u = (x − shift)/scale.

    Programs run in JAX's floating-point type, float32 as a rule. Data far from the origin keep
    their digits where they are moved before they are converted.

    Attributes:
        shift: origin, shape `(d,)`.
        scale: positive units, shape `(d,)`.
    """

    shift: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]

    def enter(self, xs: np.ndarray) -> np.ndarray:
        """Rows in these units."""
        return (np.asarray(xs, float) - self.shift) / self.scale

    def leave(self, us: np.ndarray) -> np.ndarray:
        """Rows in units of the data."""
        return self.shift + self.scale * np.asarray(us, float)

    @property
    def log_volume(self) -> float:
        """log |dx/du|, which log-densities in these units are larger by."""
        return float(np.sum(np.log(self.scale)))


def units_of(xs: np.ndarray, weights: np.ndarray | None = None, common: bool = False) -> Units:
    """Means and standard deviations of columns, cells that are NaN left out.

    Args:
        xs: rows, shape `(n, d)`.
        weights: of the rows; equal where not given.
        common: whether all columns get one unit.
    """
    rows = np.asarray(xs, float)
    seen = ~np.isnan(rows)
    shares = seen * (np.ones(len(rows)) if weights is None else np.asarray(weights, float))[:, None]
    shares = shares / np.maximum(shares.sum(axis=0), np.finfo(float).tiny)
    filled = np.where(seen, rows, 0)
    # The mean about a first mean: the first one carries the rounding of a long sum.
    shift = np.sum(shares * filled, axis=0)
    shift = shift + np.sum(shares * (filled - shift), axis=0)
    variances = np.sum(shares * (filled - shift) ** 2, axis=0)
    if common:
        variances = np.full_like(variances, np.mean(variances))
    # Constant columns keep their unit.
    noise = 16 * np.finfo(float).eps ** 2 * shift**2
    return Units(shift, np.sqrt(np.where(variances > noise, variances, 1.0)))
