"""Regressions with canonical links: natural coordinates are linear in the covariates."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..geometry.spaces import Ledger, unpack
from .response import AbstractResponse, note_products


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
        return note_products(ledger, curvature, row)

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
