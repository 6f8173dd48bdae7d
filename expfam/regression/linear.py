"""Regressions of normal responses."""

from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.real.normal import Normal, NormalCoords
from ..families.special.constants import LOG_2_PI
from ..geometry.linalg import invert_positive
from ..geometry.spaces import AbstractSpace, Ledger
from .response import AbstractResponse, note_product


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
        return note_product(ledger, jnp.ones((), row.dtype), row)

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
