"""Regressions with canonical links: natural coordinates are linear in the covariates."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..geometry.spaces import Ledger, unpack
from .response import AbstractWithoutDispersion, note_products


@final
class Canonical(AbstractWithoutDispersion):
    """Responses whose natural coordinates, any real numbers, are the linear predictors."""

    family: Any

    @property
    def size(self) -> int:
        return self.family.dim

    @property
    def scalar(self) -> bool:
        return self.family.spaces.shape == ()

    def curvature_space(self, columns: int) -> Ledger:
        return Ledger((self.size, columns, self.size, columns))

    def log_density(self, predictor: Array, dispersion: None, y: Any) -> Array:
        return self.family._log_density(self.point(predictor, None), y)

    def log_density_given(self, predictor: Array, dispersion: None, y: Any) -> Array:
        coords = self.point(predictor, None)
        given = self.family._log_normalizer_given(coords, y)
        return given - self.family._log_normalizer(coords)

    def note(self, ledger: Array, predictor: Array, row: Array) -> Array:
        curvature = jax.hessian(self._potential)(predictor)
        return note_products(ledger, curvature, row)

    def information(self, noted: Array, dispersion: None) -> Array:
        size = noted.shape[0] * noted.shape[1]
        return jnp.reshape(noted, (size, size))

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
