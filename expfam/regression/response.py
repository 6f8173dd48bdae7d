"""What a response has to say of its regression: kernels at a linear predictor ξ, for one row.

A response has a linear predictor of m numbers and, where its family has one, a dispersion that does
not depend on the covariates. Log-densities are −ψ(dispersion) + log-density given the dispersion,
the derivatives of which are the statistics of the M-step: the score, and the mean deviance.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..geometry.spaces import AbstractSpace, Ledger


class AbstractResponse(eqx.Module):
    """How the distribution of a response depends on its linear predictor."""

    # Equinox makes a module of every bound method, which takes longer than many a method.
    __getattribute__ = object.__getattribute__

    family: eqx.AbstractVar[Any]

    @property
    @abstractmethod
    def size(self) -> int:
        """Number m of linear predictors."""

    @property
    @abstractmethod
    def scalar(self) -> bool:
        """Whether m = 1 by nature, so that readers leave the axis out."""

    @property
    @abstractmethod
    def exact(self) -> bool:
        """Whether the log-density is quadratic in the predictors, so that Newton steps arrive."""

    @property
    @abstractmethod
    def dispersion_space(self) -> AbstractSpace | None:
        """Space of the dispersion; `None` where there is none."""

    @abstractmethod
    def curvature_space(self, columns: int) -> Ledger:
        """What is taken down of the information of coefficients of so many columns."""

    @abstractmethod
    def log_normalizer(self, dispersion: Any) -> Float[Array, ""] | float:
        """The part ψ of the log-density that depends on the dispersion alone."""

    @abstractmethod
    def log_density(
        self, predictor: Float[Array, " m"], dispersion: Any, y: Any
    ) -> Float[Array, ""]:
        """log p(y)."""

    @abstractmethod
    def log_density_given(
        self, predictor: Float[Array, " m"], dispersion: Any, y: Any
    ) -> Float[Array, ""]:
        """ψ + log p(y), with exact derivatives."""

    @abstractmethod
    def note(
        self, ledger: Array, predictor: Float[Array, " m"], row: Float[Array, " q"]
    ) -> Float[Array, ""]:
        """Zero; its derivative in the ledger is the information of a row, without dispersion."""

    @abstractmethod
    def information(self, noted: Array, dispersion: Any) -> Float[Array, "mq mq"]:
        """The information of the coefficients, from what was noted of the rows."""

    @abstractmethod
    def maximize(self, means: Any, score: Array, step: Array, noted: Array, start: Any) -> Any:
        """The dispersion, from the mean of the derivative in it, and the step of coefficients."""

    @abstractmethod
    def origin(self, dtype: Any) -> Any:
        """The dispersion that a search starts with."""

    @abstractmethod
    def weak_dispersion(self, ys: Any) -> Any:
        """The mean of the derivative in the dispersion of rows of the scale of the data."""

    @abstractmethod
    def to_unconstrained(self, dispersion: Any) -> Any:
        """Free parameters of a dispersion."""

    @abstractmethod
    def from_unconstrained(self, free: Any) -> Any:
        """The dispersion of free parameters."""

    @abstractmethod
    def in_domain(self, dispersion: Any) -> Bool[Array, ""]:
        """Whether a dispersion is admitted."""

    @abstractmethod
    def usual(self, dispersion: Any) -> Any:
        """A dispersion as the field gives it."""

    @abstractmethod
    def from_usual(self, given: Any, owner: str) -> Any:
        """The dispersion from what the field gives."""

    @abstractmethod
    def point(self, predictor: Float[Array, " m"], dispersion: Any) -> Any:
        """Natural coordinates of the response in its family."""

    @abstractmethod
    def mean(self, predictor: Float[Array, " m"], dispersion: Any) -> Any:
        """E[y]; of categories, their probabilities."""

    @abstractmethod
    def working(self, y: Any) -> Float[Array, " m"]:
        """A linear predictor near which y is probable."""


class AbstractWithoutDispersion(AbstractResponse):
    """Responses whose distribution is known where their linear predictor is."""

    @property
    def exact(self) -> bool:
        """Never: the score and the information are those at the present coefficients."""
        return False

    @property
    def dispersion_space(self) -> None:
        """None."""
        return

    def log_normalizer(self, dispersion: None) -> float:
        """Nothing."""
        return 0.0

    def maximize(self, means: None, score: Array, step: Array, noted: Array, start: None) -> None:
        """None."""
        return

    def origin(self, dtype: Any) -> None:
        """None."""
        return

    def weak_dispersion(self, ys: Any) -> None:
        """None."""
        return

    def to_unconstrained(self, dispersion: None) -> None:
        """None."""
        return

    def from_unconstrained(self, free: None) -> None:
        """None."""
        return

    def in_domain(self, dispersion: None) -> Bool[Array, ""]:
        """Yes, as there is none."""
        return jnp.array(True)

    def usual(self, dispersion: None) -> None:
        """None."""
        return

    def from_usual(self, given: Any, owner: str) -> None:
        """None; what is given is refused."""
        if given is not None:
            raise ValueError(f"{owner}: `dispersion` must be left out for {self.family!r}.")


@jax.custom_jvp
def note_product(ledger: Array, weight: Array, row: Array) -> Float[Array, ""]:
    """Zero, without a look at the ledger; its derivative there is w ũũᵀ."""
    return jnp.zeros((), row.dtype)


@note_product.defjvp
def _note_product_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # As ũ·(Λũ), so that the transpose under vmap is one matrix product over the rows.
    ledger, weight, row = primals
    return note_product(ledger, weight, row), weight * jnp.dot(row, tangents[0] @ row)


@jax.custom_jvp
def note_products(ledger: Array, weights: Array, row: Array) -> Float[Array, ""]:
    """Zero, without a look at the ledger; its derivative there is W ⊗ ũũᵀ."""
    return jnp.zeros((), row.dtype)


@note_products.defjvp
def _note_products_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    ledger, weights, row = primals
    found = jnp.einsum("i,aibj,j->ab", row, tangents[0], row)
    return note_products(ledger, weights, row), jnp.sum(weights * found)
