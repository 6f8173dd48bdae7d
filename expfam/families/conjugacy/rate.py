"""Gamma priors: of families whose parameter is a rate.

With a shape a and a rate b, one of them φ and the other ν up to constants, Z is Γ(a)/bᵃ.
"""

import math
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from ..positive.gamma import Gamma, GammaCoords
from ..special.gamma import deviance
from .base import AbstractConjugacy, Counts, Scalar, positive, predict_by_remainder
from .concentration import narrowing

_GAMMA = Gamma()


@final
class LogRate(AbstractConjugacy):
    """Priors of θ = log λ, with ψ = λ: shape φ and rate ν."""

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def conditions(self, family: Any, total: Array, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Shape and rate are positive."""
        return positive(shape=total, rate=count)

    def log_normalizer(self, family: Any, total: Array, count: Counts) -> Scalar:
        """log Γ(a) − a log b."""
        return _GAMMA._log_normalizer(GammaCoords(-count, total))

    def log_density(self, family: Any, total: Array, count: Counts, coords: Array) -> Scalar:
        """With dθ = dλ/λ, that of a gamma against its base measure."""
        rate = jnp.exp(coords)
        return _GAMMA._log_density(GammaCoords(-count, total), rate) + coords

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Array, Scalar]:
        """log a/b, and `_remainder`."""
        return jnp.log(after[0] / after[1]), _remainder(before, after)

    def log_predictive(self, family: Any, total: Array, count: Counts, x: Array) -> Scalar:
        """Of a gamma–Poisson mixture, a negative binomial."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Array, count: Counts) -> Scalar:
        """That of λ, with log |dθ/dλ| = −log λ."""
        coords = GammaCoords(-count, total)
        return _GAMMA._entropy(coords) - _GAMMA._mean_logarithm(coords)

    def sample(self, family: Any, key: Key[Array, ""], total: Array, count: Counts) -> Array:
        """The logarithm of a gamma variable."""
        return _GAMMA._sample_logarithm(key, GammaCoords(-count, total))

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a gamma."""
        return {"shape": (), "rate": ()}

    def hyperparameters(self, family: Any, total: Array, count: Counts) -> dict[str, Array]:
        """Shape and rate of λ."""
        return {"shape": total, "rate": count}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Array, Counts]:
        """The inverse."""
        return values["shape"], values["rate"]

    def distribution(self, family: Any, total: Array, count: Counts) -> tuple[Any, Any]:
        """A gamma."""
        return _GAMMA, GammaCoords(-count, total)


@final
class Rate(AbstractConjugacy):
    """Priors of θ = −λ, with ψ = log Γ(k) − k log λ: shape kν + 1 and rate φ.

    Attributes:
        shape: k.
    """

    shape: float = eqx.field(static=True, default=1.0)

    @property
    def n_counts(self) -> int:
        """1."""
        return 1

    def _shape_rate(self, total: Array, count: Counts) -> tuple[Array, Array]:
        return self.shape * count + 1, total

    def _named(self, total: Array, count: Counts) -> GammaCoords:
        shape, rate = self._shape_rate(total, count)
        return GammaCoords(-rate, shape)

    def conditions(self, family: Any, total: Array, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Shape and rate are positive."""
        return positive(**self.hyperparameters(family, total, count))

    def log_normalizer(self, family: Any, total: Array, count: Counts) -> Scalar:
        """log Γ(a) − a log b − ν log Γ(k)."""
        return _GAMMA._log_normalizer(self._named(total, count)) - count * math.lgamma(self.shape)

    def log_density(self, family: Any, total: Array, count: Counts, coords: Array) -> Scalar:
        """That of λ."""
        return _GAMMA._log_density(self._named(total, count), -coords)

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Array, Scalar]:
        """−a/b, and `_remainder`."""
        start, end = (self._shape_rate(*one) for one in (before, after))
        return -end[0] / end[1], _remainder(start, end)

    def log_predictive(self, family: Any, total: Array, count: Counts, x: Array) -> Scalar:
        """Of a Lomax distribution, where k = 1."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Array, count: Counts) -> Scalar:
        """That of λ."""
        return _GAMMA._entropy(self._named(total, count))

    def sample(self, family: Any, key: Key[Array, ""], total: Array, count: Counts) -> Array:
        """Minus a gamma variable."""
        return -_GAMMA._sample(key, self._named(total, count))

    def shapes(self, family: Any) -> dict[str, tuple[int, ...]]:
        """Those of a gamma."""
        return {"shape": (), "rate": ()}

    def hyperparameters(self, family: Any, total: Array, count: Counts) -> dict[str, Array]:
        """Shape and rate of λ."""
        shape, rate = self._shape_rate(total, count)
        return {"shape": shape, "rate": rate}

    def from_hyperparameters(self, family: Any, values: dict[str, Array]) -> tuple[Array, Counts]:
        """The inverse."""
        return values["rate"], (values["shape"] - 1) / self.shape

    def distribution(self, family: Any, total: Array, count: Counts) -> tuple[Any, Any]:
        """A gamma."""
        return _GAMMA, self._named(total, count)


def _remainder(before: tuple, after: tuple) -> Scalar:
    # Of pairs (a, b), with λ* = a'/b': R(a') − R(a) − log a'/a − D(a, b λ*)
    (shape, rate), (shape_after, rate_after) = before, after
    pull = deviance(shape, rate * (shape_after / rate_after))
    return narrowing(shape, shape_after) - pull
