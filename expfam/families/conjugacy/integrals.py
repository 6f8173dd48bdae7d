"""The families whose priors are normalized by an integral over one number."""

import math
from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from ...geometry.linalg import cholesky, factorize
from ..special.gamma import factorial_remainder, log_gamma, log_rise
from .base import Counts, Scalar
from .integral import AbstractIntegral

_LOG_2 = math.log(2)
_LOG_PI = math.log(math.pi)


@final
class Shape(AbstractIntegral):
    """Priors of gammas with natural coordinates −β, k: given u = log k, β is gamma."""

    def log_integrand(self, family: Any, total: Any, count: Counts, u: Scalar) -> Scalar:
        """See `_log_shape_integrand`."""
        return _log_shape_integrand(1, jnp.log(total.value), total.logarithm, count, u)

    def log_constant(self, family: Any, total: Any, count: Counts) -> Scalar:
        """−log φ₁."""
        return -jnp.log(total.value)

    def place(self, family: Any, total: Any, count: Counts, u: Scalar) -> Any:
        """The mean of β."""
        shape = jnp.exp(u)
        return replace(total, value=-(count * shape + 1) / total.value, logarithm=shape)

    def inside(self, total: Any, count: Counts) -> Bool[Array, ""]:
        """φ₁ is positive, and log φ₁/ν > φ₂/ν."""
        return (total.value > 0) & (jnp.log(total.value / count) > total.logarithm / count)

    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Any, count: Counts, u: Scalar
    ) -> Any:
        """β from a gamma with shape νk + 1 and rate φ₁."""
        shape = jnp.exp(u)
        log_rate = jax.random.loggamma(key, count * shape + 1, dtype=u.dtype)
        return replace(total, value=-jnp.exp(log_rate) / total.value, logarithm=shape)


@final
class ShapeMatrix(AbstractIntegral):
    """Priors of Wisharts with natural coordinates Θ, a: given a, −Θ is Wishart.

    The variable is u = log(a − (d − 1)/2).

    Attributes:
        size: number of rows d.
    """

    size: int = eqx.field(static=True)

    def log_integrand(self, family: Any, total: Any, count: Counts, u: Scalar) -> Scalar:
        """See `_log_shape_integrand`."""
        return _log_shape_integrand(
            self.size, _log_det(total.matrix), total.log_determinant, count, u
        )

    def log_constant(self, family: Any, total: Any, count: Counts) -> Scalar:
        """Powers of |φ₁|, of π in Γ_d, and of 2 from packed coordinates."""
        pairs = self.size * (self.size - 1) / 4
        return pairs * (_LOG_2 + (1 - count) * _LOG_PI) - (self.size + 1) / 2 * _log_det(
            total.matrix
        )

    def place(self, family: Any, total: Any, count: Counts, u: Scalar) -> Any:
        """The mean of Θ."""
        a = (self.size - 1) / 2 + jnp.exp(u)
        _, inverse = factorize((total.matrix + total.matrix.T) / 2)
        matrix = -(count * a + (self.size + 1) / 2) * inverse.T @ inverse
        return replace(total, matrix=matrix, log_determinant=a)

    def inside(self, total: Any, count: Counts) -> Bool[Array, ""]:
        """φ₁ is positive definite, and log |φ₁/ν| > φ₂/ν."""
        log_det = _log_det(total.matrix) - self.size * jnp.log(count)
        return log_det > total.log_determinant / count

    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Any, count: Counts, u: Scalar
    ) -> Any:
        """−Θ from a Wishart with the density |−Θ|^(νa) exp(tr φ₁Θ)."""
        half = (self.size - 1) / 2 + jnp.exp(u)
        given = replace(
            total, matrix=-total.matrix, log_determinant=count * half + (self.size + 1) / 2
        )
        return replace(total, matrix=-family._sample(key, given), log_determinant=half)


@final
class Directions(AbstractIntegral):
    """Priors of von Mises–Fisher families: given u = log |θ|, the direction of θ is one of them.

    Attributes:
        size: dimension d.
    """

    size: int = eqx.field(static=True)

    def log_integrand(self, family: Any, total: Array, count: Counts, u: Scalar) -> Scalar:
        """κᵈ exp(ψ(κφ) − νψ(κ)), κ = |θ|, with ψ the logarithm of an average over the sphere."""
        kappa = jnp.exp(u)
        axis = jnp.eye(self.size, dtype=total.dtype)[0]
        psi = jax.vmap(family._log_normalizer)(kappa * jnp.stack([total, axis]))
        return self.size * u + psi[0] - count * psi[1]

    def log_constant(self, family: Any, total: Array, count: Counts) -> Scalar:
        """The area of the sphere."""
        half = self.size / 2
        return jnp.asarray(_LOG_2 + half * _LOG_PI - math.lgamma(half), total.dtype)

    def place(self, family: Any, total: Array, count: Counts, u: Scalar) -> Array:
        """In the direction of φ; half as long, so that φ = 0 has one, too."""
        scale = jnp.maximum(jnp.max(jnp.abs(total)), jnp.finfo(total.dtype).tiny)
        unit = total / scale
        return jnp.exp(u) * unit / jnp.sqrt(1 + jnp.dot(unit, unit))

    def inside(self, total: Array, count: Counts) -> Bool[Array, ""]:
        """φ is shorter than ν."""
        return jnp.dot(total, total) < count * count

    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Array, count: Counts, u: Scalar
    ) -> Array:
        """A direction around φ."""
        # A von Mises draw is an angle, of which this is the point on the circle.
        kappa = jnp.exp(u)
        return kappa * family._sufficient_statistic(family._sample(key, kappa * total))


@final
class Abundance(AbstractIntegral):
    """Priors of the logarithmic family, over u = log(−θ)."""

    def log_integrand(self, family: Any, total: Array, count: Counts, u: Scalar) -> Scalar:
        """−θ exp(φθ − νψ(θ))."""
        theta = -jnp.exp(u)
        return u + total * theta - count * family._log_normalizer(theta)

    def log_constant(self, family: Any, total: Array, count: Counts) -> Scalar:
        """0."""
        return jnp.zeros((), total.dtype)

    def place(self, family: Any, total: Array, count: Counts, u: Scalar) -> Array:
        """θ itself."""
        return -jnp.exp(u)

    def inside(self, total: Array, count: Counts) -> Bool[Array, ""]:
        """φ/ν is more than 1."""
        return (total > count) & jnp.isfinite(total)

    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Array, count: Counts, u: Scalar
    ) -> Array:
        """θ itself."""
        return -jnp.exp(u)


@final
class PassageTimes(AbstractIntegral):
    """Priors of inverse Gaussians: given v = 1/μ, the shape λ is gamma.

    With θ = −(v²b, b), b = λ/2, the integral over b leaves v q^(−ν/2 − 2) for the quadratic
    q = φ₁v² − 2νv + φ₂ = φ₁(w² + (v − v₀)²), v₀ = ν/φ₁. The variable is v = v₀ + w sinh(eᵘ − τ₀),
    which is zero at eᵘ = 0.
    """

    def _edge(self, total: Any, count: Counts) -> tuple[Array, Array]:
        # w and τ₀ = asinh(v₀/w)
        start = count / total.value
        width = jnp.sqrt((total.reciprocal - count * start) / total.value)
        return width, jnp.arcsinh(start / width)

    def _point(self, total: Any, count: Counts, u: Scalar) -> tuple[Array, Array]:
        # log v and log cosh(eᵘ − τ₀)
        width, edge = self._edge(total, count)
        half = jnp.exp(u) / 2
        log_v = jnp.log(2 * width) + _log_sinh(half) + _log_cosh(half - edge)
        return log_v, _log_cosh(2 * half - edge)

    def _square(self, total: Any, count: Counts, u: Scalar) -> tuple[Array, Array]:
        # log v and log q
        log_v, log_cosh = self._point(total, count, u)
        width, _ = self._edge(total, count)
        return log_v, jnp.log(total.value * width * width) + 2 * log_cosh

    def log_integrand(self, family: Any, total: Any, count: Counts, u: Scalar) -> Scalar:
        """v cosh^(−ν − 3)(eᵘ − τ₀) eᵘ."""
        log_v, log_cosh = self._point(total, count, u)
        return u + log_v - (count + 3) * log_cosh

    def log_constant(self, family: Any, total: Any, count: Counts) -> Scalar:
        """2^(ν/2 + 1) Γ(ν/2 + 2) w (φ₁w²)^(−ν/2 − 2)."""
        width, _ = self._edge(total, count)
        half = count / 2 + 2
        power = (half - 1) * _LOG_2 - half * jnp.log(total.value * width * width)
        return power + log_gamma(half) + jnp.log(width)

    def place(self, family: Any, total: Any, count: Counts, u: Scalar) -> Any:
        """The mean of b."""
        log_v, log_q = self._square(total, count, u)
        log_b = jnp.log(count / 2 + 2) - log_q
        return replace(total, value=-jnp.exp(2 * log_v + log_b), reciprocal=-jnp.exp(log_b))

    def inside(self, total: Any, count: Counts) -> Bool[Array, ""]:
        """φ₁ and φ₂ are positive, and φ₂ is more than ν²/φ₁."""
        return (total.value > 0) & (total.reciprocal > count * (count / total.value))

    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Any, count: Counts, u: Scalar
    ) -> Any:
        """b from a gamma with shape ν/2 + 2 and rate q."""
        log_v, log_q = self._square(total, count, u)
        log_b = jax.random.loggamma(key, count / 2 + 2, dtype=u.dtype) - log_q
        return replace(total, value=-jnp.exp(2 * log_v + log_b), reciprocal=-jnp.exp(log_b))


def _log_shape_integrand(
    size: int, log_first: Array, second: Array, count: Counts, u: Scalar
) -> Scalar:
    # Over a = (d − 1)/2 + eᵘ, with log |φ₁| and φ₂: eᵘ exp(φ₂a) |φ₁|^(−νa) Γ_d(νa + (d + 1)/2) /
    # Γ_d(a)^ν. Γ_d(x) is Π_i Γ(x − i/2), i = 0 … d − 1, and log Γ(a) = a log a − a + R(a) − log a,
    # so that with the gap log |φ₁/ν| − φ₂/ν only terms of the size of R remain.
    rest = jnp.exp(u)
    a = (size - 1) / 2 + rest
    gap = log_first - size * jnp.log(count) - second / count
    main = factorial_remainder(count * a) - count * (factorial_remainder(a) - jnp.log(a))
    value = u - count * a * gap + size * main
    if size == 1:
        return value
    # a − i/2 from eᵘ, which a may have lost
    steps = jnp.arange(size, dtype=u.dtype) / 2
    below = log_rise(rest + steps[::-1], steps)
    return value + jnp.sum(log_rise(count * a + 1, steps)) + count * jnp.sum(below)


def _log_det(matrix: Array) -> Array:
    factor = cholesky((matrix + matrix.T) / 2)
    return 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))


def _log_sinh(x: Array) -> Array:
    # for x > 0
    return x + jnp.log(-jnp.expm1(-2 * x)) - _LOG_2


def _log_cosh(x: Array) -> Array:
    return jnp.logaddexp(x, -x) - _LOG_2
