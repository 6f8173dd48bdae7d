"""The prior of the precision of a normal, given its scatter Ψ and degrees of freedom N.

Its density in the precision P is |P|^((N − d − 1)/2) exp(−½ tr ΨP) up to a constant: P is Wishart
with scale matrix Ψ⁻¹. A diagonal has a gamma with shape N/2 and rate Ψ_i/2 for every coordinate,
and P = tI one with shape dN/2 and rate tr Ψ/2. Natural coordinates of the normal have Θ = −P/2.
"""

import math
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ...geometry.duality import bregman_divergence
from ...geometry.linalg import cholesky, factorize
from ...geometry.structures import AbstractStructure, Leaf
from ..matrices.wishart import Wishart, WishartCoords
from ..positive.gamma import Gamma, GammaCoords
from ..special.gamma import factorial_remainder, log_rise
from .base import Scalar

_LOG_2 = math.log(2)
_LOG_PI = math.log(math.pi)
_GAMMA = Gamma()


@final
class PrecisionPrior(NamedTuple):
    """A distribution of precisions.

    Attributes:
        structure: the covariance structure.
        size: dimension d.
        scatter: Ψ, as a mean leaf.
        freedom: N, in units of one dimension.
    """

    structure: AbstractStructure
    size: int
    scatter: Leaf
    freedom: Float[Array, ""]

    @property
    def is_full(self) -> bool:
        """Whether P is any positive-definite matrix."""
        return self.scatter.ndim == 2

    @property
    def copies(self) -> int:
        """Dimensions that share one entry of a diagonal."""
        return 1 if self.is_full else self.size // self.scatter.size

    @property
    def coords(self) -> Any:
        """Natural coordinates of the prior of P; those of gammas have the shape of the scatter."""
        if self.is_full:
            return WishartCoords(-self.scatter / 2, self.freedom / 2)
        shape = self.freedom * self.copies / 2
        return GammaCoords(-self.scatter / 2, jnp.broadcast_to(shape, self.scatter.shape))

    def conditions(self) -> dict[str, Array]:
        """Ψ is positive definite, and N > d − 1."""
        definite = jnp.isfinite(cholesky(self.scatter)) if self.is_full else self.scatter > 0
        least = self.size - 1 if self.is_full else 0
        return {
            "scale positive definite": jnp.all(definite),
            f"freedom > {least}": (self.freedom > least) & jnp.isfinite(self.freedom),
        }

    def log_normalizer(self) -> Scalar:
        """The logarithm of the integral over packed entries of Θ."""
        if self.is_full:
            value = Wishart(self.size)._log_normalizer(self.coords)
        else:
            value = jnp.sum(_GAMMA._log_normalizer(self.coords))
        return value + self._log_volume()

    def covariance(self) -> Leaf:
        """Ψ/N, in the middle of the prior."""
        return self.scatter / self.freedom

    def middle(self) -> Leaf:
        """The natural leaf with this covariance."""
        covariance = self.covariance()
        factor = self.structure.precision_factor(covariance, covariance, self.size)
        return self.structure.from_factor(factor)

    def log_density(self, natural: Leaf, added: Scalar | float) -> Scalar:
        """Of Θ, about the point with covariance Ψ/N, where `added` is N − ν.

        ν is what the density has for a power of |L|, P = LLᵀ: that is N − d − 1 for a full matrix.
        """
        # −N KL(Ψ/N ‖ P⁻¹) − (N − ν) log|L| − width
        log_det = self.structure.log_det(self.structure.factor(natural), self.size)
        width = self._log_volume() + self.width()
        if self.is_full:
            width = width + self.size * (self.size - 1) / 4 * _LOG_PI
        return -self.pull(natural) - added * log_det - width

    def pull(self, natural: Leaf) -> Scalar:
        """N KL(Ψ/N ‖ P⁻¹) of centered normals, for a natural leaf Θ = −P/2."""

        def potential(second: Leaf) -> Scalar:
            return -jnp.asarray(self.structure.log_det(self.structure.factor(second), self.size))

        return self.freedom * bregman_divergence(potential, natural, self.middle())

    def width(self) -> Scalar:
        """log Γ_d(a) − d (a log a − a) with a = N/2, up to a constant; of gammas, the sum."""
        # The sum over i = 0 … d − 1 of R(a) − log a less log Γ(a)/Γ(a − i/2). For gammas,
        # R(a) − log a.
        if not self.is_full:
            shape = self.freedom * self.copies / 2
            return self.scatter.size * (factorial_remainder(shape) - jnp.log(shape))
        half = self.freedom / 2
        steps = jnp.arange(self.size, dtype=half.dtype) / 2
        rises = jnp.sum(log_rise(half - steps, steps))
        return self.size * (factorial_remainder(half) - jnp.log(half)) - rises

    def log_predictive(self, gap: Float[Array, " d"], grown: Scalar | float) -> Scalar:
        """Of x − m = gap, given P normal with precision P/grown: a t, or a product of them."""
        scatter, freedom = self.scatter, self.freedom
        if self.is_full:
            # log |Ψ'|/|Ψ| = log(1 + gapᵀΨ⁻¹gap/grown)
            size = self.size
            factor, inverse = factorize(scatter)
            whitened = inverse @ gap
            distance = jnp.dot(whitened, whitened) / grown
            log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
            rise = log_rise((freedom + 1 - size) / 2, jnp.asarray(size / 2, freedom.dtype))
            constant = size / 2 * (_LOG_PI + jnp.log(grown)) + 0.5 * log_det
            return rise - constant - (freedom + 1) / 2 * jnp.log1p(distance)
        half = jnp.asarray(self.copies / 2, freedom.dtype)
        shape = half * freedom
        distance = self.structure.outer(gap) / (scatter * grown)
        constant = half * (_LOG_PI + jnp.log(scatter * grown))
        return jnp.sum(log_rise(shape, half) - constant - (shape + half) * jnp.log1p(distance))

    def log_determinant(self) -> Scalar:
        """E log |P|."""
        if self.is_full:
            return jax.grad(Wishart(self.size)._log_normalizer)(self.coords).log_determinant
        return self.copies * jnp.sum(_GAMMA._mean_logarithm(self.coords))

    def entropy(self) -> Scalar:
        """That of packed entries of Θ."""
        own = Wishart(self.size) if self.is_full else _GAMMA
        return jnp.sum(own._entropy(self.coords)) + self._log_volume()

    def sample(self, key: Key[Array, ""]) -> Leaf:
        """A draw of Θ."""
        if self.is_full:
            return -Wishart(self.size)._sample(key, self.coords) / 2
        logs = jax.random.loggamma(key, self.coords.logarithm, dtype=self.scatter.dtype)
        return -jnp.exp(logs) / self.scatter

    def _log_volume(self) -> float:
        # log |dΘ/dP| of packed entries, Θ = −P/2
        if self.is_full:
            return -self.size * (self.size + 3) / 4 * _LOG_2
        return self.scatter.size * (0.5 * math.log(self.copies) - _LOG_2)
