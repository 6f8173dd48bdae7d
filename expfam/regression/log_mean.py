"""Regressions with log links: the logarithm of the mean is linear in the covariates."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..families.positive.gamma import Gamma, GammaCoords, from_gap
from ..families.positive.inverse_gaussian import InverseGaussian, InverseGaussianCoords
from ..families.special.constants import LOG_2_PI
from ..families.special.gamma import deviance, factorial_remainder, log_gap
from ..geometry.derivatives import differentiated_as
from ..geometry.spaces import Euclidean, Ledger
from .response import AbstractResponse, AbstractWithoutDispersion, note_product


@final
class LogMean(AbstractWithoutDispersion):
    """Responses of families of one coordinate, the logarithm of whose mean is the predictor."""

    family: Any

    @property
    def size(self) -> int:
        return 1

    @property
    def scalar(self) -> bool:
        return True

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((columns, columns))

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
        return note_product(ledger, mean * slope, row)

    def information(self, noted: Array, dispersion: None) -> Array:
        return noted

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
        return note_product(ledger, weight, row)

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


def _log_response(family: Any, y: Array) -> Array:
    count = not family.support.is_real
    return jnp.log(y.astype(float) + (0.5 if count else 0.0))[None]
