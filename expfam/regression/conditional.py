"""Models of responses given covariates, as components of mixtures and for fits.

The normalizer of p(y | u; θ) depends on the row. So ψ(θ) is the part of it that does not, and
ψ(θ | u, y) = ψ(θ) + log p(y | u; θ), which is all that fits and mixtures ask for. Its gradient is
the score, and in leaves of the coordinates that are always zero what else an M-step has to know of
the rows (`geometry.spaces.Ledger`): the information of the coefficients.
"""

from abc import abstractmethod
from typing import Any, NoReturn, TypeVar

from jaxtyping import Array, Float

from ..families.base import AbstractExponentialFamily, Data

C = TypeVar("C")


class AbstractConditional(AbstractExponentialFamily[C]):
    """A model of (u, y) in which the covariates u are given, or have a density beside."""

    @abstractmethod
    def _design(self, u: Data) -> Float[Array, " p"]:
        """The covariates as one vector."""

    @abstractmethod
    def _response_given(self, coords: C, u: Data) -> tuple[Any, Any]:
        """A family of y and its natural coordinates, given covariates."""

    @abstractmethod
    def _mean_given(self, coords: C, u: Data) -> Any:
        """E[y | u]; of categories, their probabilities."""

    @abstractmethod
    def _log_density_of_covariates(self, coords: C, u: Data) -> Float[Array, ""]:
        """log p(u), as far as it counts for weights of components; zero where u is given."""

    @property
    def n_labels(self) -> int:
        """None: rows cannot be labeled."""
        return 0

    @property
    def n_parameters(self) -> int:
        """All coordinates."""
        return self.dim

    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        return self, xs, weights

    def _whiten(self, means: C) -> C:
        return means

    def _complete(self, means: C, mass: Array | float) -> C:
        return means

    def _sufficient_statistic(self, x: Data) -> C:
        refuse(self, "statistics of a row depend on the parameters")

    def _log_base_measure(self, x: Data) -> Float[Array, ""]:
        refuse(self, "the base measure depends on the parameters")

    def _entropy(self, coords: C) -> Float[Array, ""]:
        refuse(self, "the entropy depends on the covariates")


def refuse(model: object, reason: str) -> NoReturn:
    """Say what a conditional model has not, and what to ask for instead.

    Args:
        model: the model.
        reason: what it has not.

    Raises:
        TypeError: always.
    """
    raise TypeError(
        f"{type(model).__name__}: {reason}. Ask for the distribution of the response given "
        "covariates, `expfam.response_given(model, params, covariates)`."
    )
