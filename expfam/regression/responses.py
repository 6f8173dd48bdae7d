"""What a response has to say of its regression: kernels at a linear predictor ξ, for one row.

A response has a linear predictor of m numbers and, where its family has one, a dispersion that does
not depend on the covariates. Log-densities are −ψ(dispersion) + log-density given the dispersion,
the derivatives of which are the statistics of the M-step: the score, and the mean deviance.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..families.discrete.bernoulli import Bernoulli
from ..families.discrete.binomial import Binomial
from ..families.discrete.categorical import Categorical
from ..families.discrete.geometric import Geometric
from ..families.discrete.multinomial import Multinomial
from ..families.discrete.negative_binomial import NegativeBinomial
from ..families.discrete.poisson import Poisson
from ..families.positive.exponential import Exponential
from ..families.positive.gamma import Gamma, GammaCoords, from_gap
from ..families.positive.inverse_gaussian import InverseGaussian, InverseGaussianCoords
from ..families.real.normal import Normal, NormalCoords
from ..families.special.constants import LOG_2_PI
from ..families.special.gamma import deviance, factorial_remainder, log_gap
from ..geometry.derivatives import differentiated_as
from ..geometry.linalg import invert_positive
from ..geometry.spaces import AbstractSpace, Euclidean, Ledger, unpack


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


@final
class Linear(AbstractResponse):
    """Normal responses, whose mean is the linear predictor.

    The dispersion is −Σ⁻¹/2, and ψ = −½ log |Σ⁻¹|.
    """

    family: Normal

    @property
    def size(self) -> int:
        return self.family.size

    @property
    def scalar(self) -> bool:
        return False

    @property
    def exact(self) -> bool:
        return True

    @property
    def dispersion_space(self) -> AbstractSpace | None:
        return self.family.structure.space(self.size)

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((columns, columns))

    def log_normalizer(self, dispersion: Any) -> Array | float:
        structure = self.family.structure
        return -structure.log_det(structure.factor(dispersion), self.size)

    def log_density(self, predictor: Array, dispersion: Any, y: Array) -> Array:
        structure = self.family.structure
        factor = structure.factor(dispersion)
        white = structure.apply_transposed(factor, y - predictor)
        constant = 0.5 * self.size * jnp.asarray(LOG_2_PI, white.dtype)
        return structure.log_det(factor, self.size) - 0.5 * jnp.dot(white, white) - constant

    def log_density_given(self, predictor: Array, dispersion: Any, y: Array) -> Array:
        residual = y - predictor
        constant = 0.5 * self.size * jnp.asarray(LOG_2_PI, residual.dtype)
        if dispersion is None:
            return -0.5 * jnp.dot(residual, residual) - constant
        return self.family.structure.quadratic(dispersion, residual) - constant

    def note(self, ledger: Array, predictor: Array, row: Array) -> Array:
        return _note_product(ledger, jnp.ones((), row.dtype), row)

    def information(self, noted: Array, dispersion: Any) -> Array:
        return jnp.kron(self._precision(dispersion, noted.dtype), noted)

    def maximize(self, means: Any, score: Array, step: Array, noted: Array, start: Any) -> Any:
        # E[(e − Δũ)(e − Δũ)ᵀ] = E[eeᵀ] − CΔᵀ − ΔCᵀ + ΔE[ũũᵀ]Δᵀ with residuals e of the present
        # coefficients, and C = E[eũᵀ] = Σ · score.
        if start is None:
            return None
        structure = self.family.structure
        cross = invert_positive(self._precision(start, score.dtype)) @ score
        explained = structure.restrict_product(2 * cross - step @ noted, step)
        left = jax.tree.map(jnp.subtract, means, explained)
        return structure.from_factor(structure.precision_factor(left, means, self.size))

    def origin(self, dtype: Any) -> Any:
        structure, size = self.family.structure, self.size
        unit = structure.restrict(jnp.eye(size, dtype=dtype))
        return structure.from_factor(structure.precision_factor(unit, unit, size))

    def weak_dispersion(self, ys: Array) -> Any:
        variances = jnp.var(ys, axis=0)
        mean = jnp.where(jnp.mean(variances) > 0, jnp.mean(variances), 1)
        return self.family.structure.restrict(jnp.diag(jnp.where(variances > 0, variances, mean)))

    def to_unconstrained(self, dispersion: Any) -> Any:
        structure = self.family.structure
        return structure.to_unconstrained(structure.factor(dispersion))

    def from_unconstrained(self, free: Any) -> Any:
        structure = self.family.structure
        return structure.from_factor(structure.from_unconstrained(free))

    def in_domain(self, dispersion: Any) -> Array:
        factor = self.family.structure.factor(dispersion)
        return jnp.array(True) if factor is None else jnp.all(jnp.isfinite(factor))

    def usual(self, dispersion: Any) -> Float[Array, "m m"]:
        return invert_positive(self._precision(dispersion, jnp.zeros(()).dtype))

    def from_usual(self, given: Any, owner: str) -> Any:
        leaf = None if given is None else jnp.asarray(given, float)
        return self.family.from_mean_covariance(jnp.zeros(self.size), leaf).coords.second

    def point(self, predictor: Array, dispersion: Any) -> NormalCoords:
        precision = self._precision(dispersion, predictor.dtype)
        return NormalCoords(precision @ predictor, dispersion)

    def mean(self, predictor: Array, dispersion: Any) -> Array:
        return predictor

    def working(self, y: Array) -> Array:
        return y

    def _precision(self, dispersion: Any, dtype: Any) -> Float[Array, "m m"]:
        return -2 * self.family.structure.dense(dispersion, self.size, dtype)


@final
class Canonical(AbstractResponse):
    """Responses whose natural coordinates, any real numbers, are the linear predictors."""

    family: Any

    @property
    def size(self) -> int:
        return self.family.dim

    @property
    def scalar(self) -> bool:
        return self.family.spaces.shape == ()

    @property
    def exact(self) -> bool:
        return False

    @property
    def dispersion_space(self) -> None:
        return None

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((self.size, columns, self.size, columns))

    def log_normalizer(self, dispersion: None) -> float:
        return 0.0

    def log_density(self, predictor: Array, dispersion: None, y: Any) -> Array:
        return self.family._log_density(self.point(predictor, None), y)

    def log_density_given(self, predictor: Array, dispersion: None, y: Any) -> Array:
        coords = self.point(predictor, None)
        given = self.family._log_normalizer_given(coords, y)
        return given - self.family._log_normalizer(coords)

    def note(self, ledger: Array, predictor: Array, row: Array) -> Array:
        curvature = jax.hessian(self._potential)(predictor)
        return _note_products(ledger, curvature, row)

    def information(self, noted: Array, dispersion: None) -> Array:
        size = noted.shape[0] * noted.shape[1]
        return jnp.reshape(noted, (size, size))

    def maximize(self, means: None, score: Array, step: Array, noted: Array, start: None) -> None:
        return None

    def origin(self, dtype: Any) -> None:
        return None

    def weak_dispersion(self, ys: Any) -> None:
        return None

    def to_unconstrained(self, dispersion: None) -> None:
        return None

    def from_unconstrained(self, free: None) -> None:
        return None

    def in_domain(self, dispersion: None) -> Array:
        return jnp.array(True)

    def usual(self, dispersion: None) -> None:
        return None

    def from_usual(self, given: Any, owner: str) -> None:
        if given is not None:
            raise ValueError(f"{owner}: `dispersion` must be left out for {self.family!r}.")

    def point(self, predictor: Array, dispersion: None) -> Any:
        return unpack(self.family.spaces, predictor, "natural")

    def mean(self, predictor: Array, dispersion: None) -> Any:
        return self.family._cells.expected(self.family, self.point(predictor, None))

    def working(self, y: Any) -> Array:
        # half way to the mean at the origin, which is inside whatever y is
        origin = jnp.zeros(self.size, float)
        middle = (jnp.ravel(self.family._sufficient_statistic(y)) + self._slope(origin)) / 2
        means = unpack(self.family.spaces, middle, "mean")
        return jnp.ravel(self.family._maximize(means, None))

    def _potential(self, predictor: Array) -> Array:
        return self.family._log_normalizer(self.point(predictor, None))

    def _slope(self, predictor: Array) -> Array:
        return jax.grad(self._potential)(predictor)


@final
class LogMean(AbstractResponse):
    """Responses of families of one coordinate, the logarithm of whose mean is the predictor."""

    family: Any

    @property
    def size(self) -> int:
        return 1

    @property
    def scalar(self) -> bool:
        return True

    @property
    def exact(self) -> bool:
        return False

    @property
    def dispersion_space(self) -> None:
        return None

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((columns, columns))

    def log_normalizer(self, dispersion: None) -> float:
        return 0.0

    def log_density(self, predictor: Array, dispersion: None, y: Array) -> Array:
        return self.family._log_density(self.point(predictor, None), y)

    def log_density_given(self, predictor: Array, dispersion: None, y: Array) -> Array:
        # the slope in log μ is (y − μ) times that of the natural coordinate
        mean, slope = self._mean_and_slope(predictor[0])
        value = self.log_density(predictor, None, y)
        score = jax.lax.stop_gradient((y.astype(mean.dtype) - mean) * slope)
        return differentiated_as(value, score * predictor[0])

    def note(self, ledger: Array, predictor: Array, row: Array) -> Array:
        mean, slope = self._mean_and_slope(predictor[0])
        return _note_product(ledger, mean * slope, row)

    def information(self, noted: Array, dispersion: None) -> Array:
        return noted

    def maximize(self, means: None, score: Array, step: Array, noted: Array, start: None) -> None:
        return None

    def origin(self, dtype: Any) -> None:
        return None

    def weak_dispersion(self, ys: Any) -> None:
        return None

    def to_unconstrained(self, dispersion: None) -> None:
        return None

    def from_unconstrained(self, free: None) -> None:
        return None

    def in_domain(self, dispersion: None) -> Array:
        return jnp.array(True)

    def usual(self, dispersion: None) -> None:
        return None

    def from_usual(self, given: Any, owner: str) -> None:
        if given is not None:
            raise ValueError(f"{owner}: `dispersion` must be left out for {self.family!r}.")

    def point(self, predictor: Array, dispersion: None) -> Array:
        return self.family._maximize(jnp.exp(predictor[0]), None)

    def mean(self, predictor: Array, dispersion: None) -> Array:
        return jnp.exp(predictor[0])

    def working(self, y: Array) -> Array:
        return _log_response(self.family, y)

    def _mean_and_slope(self, predictor: Array) -> tuple[Array, Array]:
        def natural(predictor: Array) -> Array:
            return self.family._maximize(jnp.exp(predictor), None)

        return jnp.exp(predictor), jax.grad(natural)(predictor)


@final
class LogMeanOfShape(AbstractResponse):
    """Gamma and inverse Gaussian responses, the logarithm of whose mean μ is the predictor.

    Given the shape k, log p(y) = −ψ(k) − k d(y, μ) up to a base measure, with half the unit
    deviance d, whose second derivative in log μ has the expectation w(μ).
    """

    family: Gamma | InverseGaussian

    @property
    def size(self) -> int:
        return 1

    @property
    def scalar(self) -> bool:
        return True

    @property
    def exact(self) -> bool:
        return False

    @property
    def dispersion_space(self) -> Euclidean:
        return Euclidean(())

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((columns, columns))

    @property
    def _is_gamma(self) -> bool:
        return isinstance(self.family, Gamma)

    def log_normalizer(self, dispersion: Array) -> Array:
        if self._is_gamma:
            value = factorial_remainder(dispersion) - jnp.log(dispersion)
            slope = jax.lax.stop_gradient(-log_gap(dispersion))
            return differentiated_as(value, slope * dispersion)
        return -0.5 * jnp.log(dispersion)

    def log_density(self, predictor: Array, dispersion: Array, y: Array) -> Array:
        return self.family._log_density(self.point(predictor, dispersion), y)

    def log_density_given(self, predictor: Array, dispersion: Array, y: Array) -> Array:
        base = -jnp.log(y)
        if not self._is_gamma:
            base = 1.5 * base - jnp.asarray(LOG_2_PI / 2, y.dtype)
        return base - dispersion * self._half_deviance(predictor[0], y)

    def note(self, ledger: Array, predictor: Array, row: Array) -> Array:
        weight = jnp.ones((), row.dtype) if self._is_gamma else jnp.exp(-predictor[0])
        return _note_product(ledger, weight, row)

    def information(self, noted: Array, dispersion: Array) -> Array:
        return dispersion * noted

    def maximize(
        self, means: Array, score: Array, step: Array, noted: Array, start: Array
    ) -> Array:
        # at the present coefficients: a step of the shape, then one of the coefficients
        if self._is_gamma:
            return from_gap(jnp.ones_like(means), -means).logarithm
        return -0.5 / means

    def origin(self, dtype: Any) -> Array:
        return jnp.ones((), dtype)

    def weak_dispersion(self, ys: Array) -> Array:
        # shape 1 at the mean of the data
        if self._is_gamma:
            return -log_gap(jnp.ones((), ys.dtype))
        return -0.5 / jnp.mean(ys)

    def to_unconstrained(self, dispersion: Array) -> Array:
        return jnp.log(dispersion)

    def from_unconstrained(self, free: Array) -> Array:
        return jnp.exp(free)

    def in_domain(self, dispersion: Array) -> Array:
        return jnp.isfinite(dispersion) & (dispersion > 0)

    def usual(self, dispersion: Array) -> Array:
        return dispersion

    def from_usual(self, given: Any, owner: str) -> Array:
        if given is None:
            raise ValueError(f"{owner}: `dispersion` must be the shape of {self.family!r}.")
        return jnp.asarray(given, float)

    def point(self, predictor: Array, dispersion: Array) -> Any:
        inverse = jnp.exp(-predictor[0])
        if self._is_gamma:
            return GammaCoords(-dispersion * inverse, dispersion)
        return InverseGaussianCoords(-0.5 * dispersion * inverse**2, -0.5 * dispersion)

    def mean(self, predictor: Array, dispersion: Array) -> Array:
        return jnp.exp(predictor[0])

    def working(self, y: Array) -> Array:
        return _log_response(self.family, y)

    def _half_deviance(self, predictor: Array, y: Array) -> Array:
        ratio = y * jnp.exp(-predictor)
        if self._is_gamma:
            # −log r + r − 1, of which the slope in log μ is 1 − r
            value = deviance(jnp.ones_like(ratio), ratio)
            slope = jax.lax.stop_gradient(1 - ratio)
            return differentiated_as(value, slope * predictor)
        return 0.5 * (ratio - 1) ** 2 / y


def response_of(family: Any) -> AbstractResponse:
    """How the distribution of a response depends on its linear predictor.

    Raises:
        TypeError: a family that no regression is known of.
    """
    match family:
        case Normal(frame=None):
            return Linear(family)
        case Bernoulli() | Binomial() | Categorical() | Multinomial() | Poisson():
            return Canonical(family)
        case NegativeBinomial() | Geometric() | Exponential():
            return LogMean(family)
        case Gamma() | InverseGaussian():
            return LogMeanOfShape(family)
    raise TypeError(
        "Regression: `response` must be Normal (without a frame), Bernoulli, Binomial, "
        "Categorical, Multinomial, Poisson, NegativeBinomial, Geometric, Exponential, Gamma or "
        f"InverseGaussian, but is {family!r}."
    )


def _log_response(family: Any, y: Array) -> Array:
    count = not family.support.is_real
    return jnp.log(y.astype(float) + (0.5 if count else 0.0))[None]


@jax.custom_jvp
def _note_product(ledger: Array, weight: Array, row: Array) -> Float[Array, ""]:
    # Zero, without a look at the ledger; its derivative there is w ũũᵀ.
    return jnp.zeros((), row.dtype)


@_note_product.defjvp
def _note_product_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # As ũ·(Λũ), so that the transpose under vmap is one matrix product over the rows.
    ledger, weight, row = primals
    return _note_product(ledger, weight, row), weight * jnp.dot(row, tangents[0] @ row)


@jax.custom_jvp
def _note_products(ledger: Array, weights: Array, row: Array) -> Float[Array, ""]:
    # Zero; its derivative is W ⊗ ũũᵀ.
    return jnp.zeros((), row.dtype)


@_note_products.defjvp
def _note_products_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    ledger, weights, row = primals
    found = jnp.einsum("i,aibj,j->ab", row, tangents[0], row)
    return _note_products(ledger, weights, row), jnp.sum(weights * found)
