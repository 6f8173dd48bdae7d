"""The result of a fit."""

from enum import Enum
from typing import Any, final

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float

from ..families.base import AbstractExponentialFamily
from ..families.readings import readings
from ..geometry.points import Natural
from ..geometry.readable import as_html, numbers, readable

# Estimates on the boundary that are shown in a line.
_SHOWN = 3


@final
class Status(Enum):
    """How a fit ended, with a sentence for each way."""

    CONVERGED = "Further steps would gain less than the tolerance."
    STEPS_TAKEN = "All steps were taken."
    INTERRUPTED = "The fit was interrupted from the keyboard; what was reached so far is returned."
    DEGENERATE = "The next step had no finite result: a variance or a covariance degenerates."
    NOT_FINITE = "The objective or its gradient is not finite at these parameters."


@final
class Fit(eqx.Module):
    """What a fit found.

    Attributes:
        params: the fitted natural coordinates: always the last valid ones.
        log_likelihoods: objective before the first step and after every step, shape `(steps + 1,)`:
            the mean log-likelihood per row (EM's bound is tight there). With a prior, plus its
            log-density per row, up to a constant. With mini-batches, of the batch of each step,
            and without the last where a method ends with the data.
        steps: number of steps taken.
        converged: whether the fit stopped because further steps would gain too little.
        status: how the fit ended.
        remaining_gain: what further steps would gain, in nats a row, as estimated from the last
            ones; infinite where that is not known.
        restart_log_likelihoods: last objective of every restart, shape `(restarts,)`; NaN where a
            restart found no start.
        restart_statuses: how every restart ended.
        model: what was fitted.
        boundary: which estimates lie at an end of their range, in words: events of discrete data
            that never, or always, occur, and components without weight. The likelihood is that of
            such a probability of zero, to rounding.
        posterior: of a Bayesian method, the posterior of the parameters, e.g. a `MixturePrior`;
            then `log_likelihoods` are its bound of the log-evidence, over the number of rows.
    """

    params: Natural[Any]
    log_likelihoods: Float[Array, " steps_plus_1"]
    steps: int
    converged: bool
    status: Status
    remaining_gain: float
    restart_log_likelihoods: Float[Array, " restarts"]
    restart_statuses: tuple[Status, ...]
    model: AbstractExponentialFamily
    boundary: tuple[str, ...] = ()
    posterior: Any = None

    def __repr__(self) -> str:
        """What a person wants to know, in a few lines."""
        name = eqx.tree_pformat(self.model, width=1000)
        what = "log-likelihood" if self.posterior is None else "bound"
        lines = [
            f"Fit of {name}: {self.status.name} after {self.steps} steps",
            f"  {what:14s} {self.log_likelihood:.6g} nats a row",
            f"  parameters     {self.model.n_parameters}",
        ]
        if self.remaining_gain < float("inf"):
            lines.append(f"  left to gain   {self.remaining_gain:.2g} nats a row")
        if len(self.restart_statuses) > 1:
            lines.append(f"  restarts       {numbers(self.restart_log_likelihoods)}")
        if self.boundary:
            more = len(self.boundary) - _SHOWN
            shown = "; ".join(self.boundary[:_SHOWN]) + (f"; {more} more" if more > 0 else "")
            lines.append(f"  on the boundary: {shown}")
        found = readings(self.model, self.params) or self.params.coords
        return readable("\n".join(lines), found)

    def _repr_html_(self) -> str:
        return as_html(repr(self))

    @property
    def log_likelihood(self) -> float:
        """The last value of `log_likelihoods`."""
        return float(np.asarray(self.log_likelihoods)[-1])


@final
class FitError(RuntimeError):
    """A fit failed; `fit` holds what was reached before.

    Attributes:
        fit: the result so far, with the last valid parameters.
    """

    def __init__(self, message: str, fit: Fit | None) -> None:
        """Keep the message and the result so far."""
        super().__init__(message)
        self.fit = fit


@final
class PrecisionWarning(UserWarning):
    """The data lie so far from the origin that coordinates lose their digits."""


@final
class ConvergenceWarning(UserWarning):
    """A fit took all its steps without converging."""
