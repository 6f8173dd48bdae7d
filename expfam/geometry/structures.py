"""Covariance structures: which symmetric matrices a normal family may use.

A structure works on *leaves*, the arrays that store its matrices:

| structure | natural leaf Θ | mean leaf M that pairs with it | factor L |
| --- | --- | --- | --- |
| `PositiveDefinite` | matrix `[d, d]` | matrix | lower triangle `[d, d]` |
| `Diagonal` | diagonal `[d]` | diagonal | diagonal `[d]` |
| `Scale` | number t, for t·I | trace | number |
| `Identity` | none: Θ = −I/2 is fixed | none | none |

Precisions are P = −2Θ = L Lᵀ. Kernels multiply by L or by L⁻¹, computed once, and never invert
the matrix itself. The structures are nested, `PositiveDefinite` ⊃ `Diagonal` ⊃ `Scale` ⊃
`Identity`.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .linalg import factorize
from .spaces import AbstractSpace, Euclidean, Isotropic, Symmetric

# A covariance is numerically singular where this many units in the last place of the second moments
# that it was computed from make up a conditional variance: rounding noise, not a variance.
_SINGULAR_ULPS = 16.0

# Dimensions up to which XLA (of jaxlib 0.10.2) makes one program of Lᵀx − v and its norm, over many
# x and components. With more it writes Lᵀx − v twice, in two orders of the axes, and takes up to
# three times as long; not so where v is a column of the matrix.
_FUSED = 32

# An array, or None where nothing is stored: the structure knows which.
Leaf = Any
Vector = Float[Array, " d"]


class AbstractStructure(eqx.Module):
    """A set of symmetric d × d matrices, and the operations on the leaves that store them."""

    # Equinox makes a module of every bound method, which takes longer than many a method.
    __getattribute__ = object.__getattribute__

    @property
    @abstractmethod
    def rank(self) -> int:
        """Position in the nesting: structures of higher rank contain those of lower."""

    @abstractmethod
    def space(self, dim: int) -> AbstractSpace | None:
        """The space of the leaves, `None` where nothing is free."""

    @abstractmethod
    def outer(self, x: Vector) -> Leaf:
        """The statistic x xᵀ, as a mean leaf."""

    @abstractmethod
    def quadratic(self, natural: Leaf, x: Vector) -> Array | float:
        """The linear form ⟨Θ, x xᵀ⟩ = xᵀ Θ x of the natural leaf (0 where nothing is free)."""

    @abstractmethod
    def factor(self, natural: Leaf) -> Leaf:
        """L, the Cholesky factor of the precision P = −2Θ; NaN where P is not positive definite."""

    @abstractmethod
    def from_factor(self, factor: Leaf) -> Leaf:
        """The natural leaf −L Lᵀ/2."""

    @abstractmethod
    def factors(self, natural: Leaf) -> tuple[Leaf, Leaf]:
        """L and L⁻¹."""

    @abstractmethod
    def log_det(self, factor: Leaf, dim: int) -> Array | float:
        """log |L|, half the log-determinant of the precision."""

    @abstractmethod
    def apply(self, factor: Leaf, x: Vector) -> Vector:
        """L x."""

    @abstractmethod
    def apply_transposed(self, factor: Leaf, x: Vector) -> Vector:
        """Lᵀ x."""

    @abstractmethod
    def residual(self, factor: Leaf, x: Vector, whitened: Vector) -> Vector:
        """Lᵀ x − v, in the form that compiles to the fastest program over many x."""

    @abstractmethod
    def covariance(self, inverse: Leaf, dim: int) -> Leaf:
        """The covariance Σ = L⁻ᵀ L⁻¹ from L⁻¹, as a mean leaf."""

    @abstractmethod
    def multiply(self, natural: Leaf, x: Vector) -> Array | float:
        """Θ x for the natural leaf of a direction (0 where nothing is free)."""

    @abstractmethod
    def covary(self, covariance: Leaf, x: Vector) -> Vector:
        """Σ x for a covariance given as a mean leaf."""

    @abstractmethod
    def respond(self, covariance: Leaf, direction: Leaf, dim: int) -> Leaf:
        """The derivative 2Σ Θ̇ Σ of the covariance, a mean leaf, along a natural leaf Θ̇."""

    @abstractmethod
    def precision_factor(self, covariance: Leaf, second_moment: Leaf, dim: int) -> Leaf:
        """L of the precision, from the covariance (a mean leaf).

        NaN where the covariance is singular up to the rounding of `second_moment`, the mean leaf
        E[x xᵀ] that it was computed from: noise is never taken for a variance.
        """

    @abstractmethod
    def restrict(self, matrix: Float[Array, "d d"]) -> Leaf:
        """The mean leaf of a matrix: the part of it that the structure sees."""

    @abstractmethod
    def restrict_product(self, left: Float[Array, "d k"], right: Float[Array, "d k"]) -> Leaf:
        """The mean leaf of A Bᵀ, without entries of it that the structure does not see."""

    @abstractmethod
    def nearest(self, matrix: Float[Array, "d d"]) -> Leaf:
        """The natural leaf closest to a matrix in Frobenius norm."""

    @abstractmethod
    def dense(self, natural: Leaf, dim: int, dtype: jnp.dtype) -> Float[Array, "d d"]:
        """The matrix that a natural leaf stands for."""

    @abstractmethod
    def to_unconstrained(self, factor: Leaf) -> Leaf:
        """Free parameters of a factor: logarithms of its positive diagonal."""

    @abstractmethod
    def from_unconstrained(self, free: Leaf) -> Leaf:
        """The factor with the given free parameters; any finite value is allowed."""


@final
class PositiveDefinite(AbstractStructure):
    """All symmetric matrices: full covariance."""

    @property
    def rank(self) -> int:
        return 3

    def space(self, dim: int) -> Symmetric:
        return Symmetric(dim)

    def outer(self, x: Vector) -> Array:
        return jnp.outer(x, x)

    def quadratic(self, natural: Array, x: Vector) -> Array:
        # As x·(Θx), so that the transpose under vmap is one matrix product over the rows.
        return jnp.dot(x, natural @ x)

    def factor(self, natural: Array) -> Array:
        # Where both are called, the compiler finds that this is the same factorization.
        return self.factors(natural)[0]

    def from_factor(self, factor: Array) -> Array:
        return -0.5 * factor @ factor.T

    def factors(self, natural: Array) -> tuple[Array, Array]:
        return factorize(-(natural + natural.T))

    def log_det(self, factor: Array, dim: int) -> Array:
        return jnp.sum(jnp.log(jnp.diagonal(factor)))

    def apply(self, factor: Array, x: Vector) -> Vector:
        return factor @ x

    def apply_transposed(self, factor: Array, x: Vector) -> Vector:
        return factor.T @ x

    def residual(self, factor: Array, x: Vector, whitened: Vector) -> Vector:
        if x.shape[-1] <= _FUSED:
            return factor.T @ x - whitened
        matrix = jnp.concatenate([factor.T, -whitened[:, None]], axis=1)
        return matrix @ jnp.append(x, jnp.ones((), x.dtype))

    def covariance(self, inverse: Array, dim: int) -> Array:
        return inverse.T @ inverse

    def multiply(self, natural: Array, x: Vector) -> Array:
        return natural @ x

    def covary(self, covariance: Array, x: Vector) -> Vector:
        return covariance @ x

    def respond(self, covariance: Array, direction: Array, dim: int) -> Array:
        return 2 * covariance @ direction @ covariance

    def precision_factor(self, covariance: Array, second_moment: Array, dim: int) -> Array:
        # 1. Reversing rows and columns, J Σ J = C Cᵀ, so Σ = (J C J)(J C J)ᵀ with U = J C J upper.
        # 2. P = Σ⁻¹ = U⁻ᵀ U⁻¹, and L = U⁻ᵀ = J C⁻ᵀ J is lower triangular: no second factorization.
        # 3. The conditional variance 1/L_jj² of x_j is that of Σ_i L_ij x_i / L_jj, so rounding of
        #    the second moments by ε moves it by up to ε Σ_i L_ij² E[x_i²] / L_jj².
        symmetric = (covariance + covariance.T) / 2
        _, inverse = factorize(symmetric[::-1, ::-1])
        factor = inverse.T[::-1, ::-1]
        noise = jnp.finfo(covariance.dtype).eps * (jnp.diagonal(second_moment) @ factor**2)
        return jnp.where(jnp.all(_SINGULAR_ULPS * noise < 1), factor, jnp.nan)

    def restrict(self, matrix: Array) -> Array:
        return (matrix + matrix.T) / 2

    def restrict_product(self, left: Array, right: Array) -> Array:
        return self.restrict(left @ right.T)

    def nearest(self, matrix: Array) -> Array:
        return (matrix + matrix.T) / 2

    def dense(self, natural: Array, dim: int, dtype: jnp.dtype) -> Array:
        return natural

    def to_unconstrained(self, factor: Array) -> Array:
        return jnp.tril(factor, -1) + jnp.diag(jnp.log(jnp.diagonal(factor)))

    def from_unconstrained(self, free: Array) -> Array:
        return jnp.tril(free, -1) + jnp.diag(jnp.exp(jnp.diagonal(free)))


@final
class Diagonal(AbstractStructure):
    """Diagonal matrices: every coordinate has its own variance."""

    @property
    def rank(self) -> int:
        return 2

    def space(self, dim: int) -> Euclidean:
        return Euclidean((dim,))

    def outer(self, x: Vector) -> Array:
        return x * x

    def quadratic(self, natural: Array, x: Vector) -> Array:
        return jnp.dot(natural, x * x)

    def factor(self, natural: Array) -> Array:
        return jnp.sqrt(_positive(-2 * natural))

    def from_factor(self, factor: Array) -> Array:
        return -0.5 * factor**2

    def factors(self, natural: Array) -> tuple[Array, Array]:
        factor = self.factor(natural)
        return factor, 1 / factor

    def log_det(self, factor: Array, dim: int) -> Array:
        return jnp.sum(jnp.log(factor))

    def apply(self, factor: Array, x: Vector) -> Vector:
        return factor * x

    def apply_transposed(self, factor: Array, x: Vector) -> Vector:
        return factor * x

    def residual(self, factor: Array, x: Vector, whitened: Vector) -> Vector:
        return factor * x - whitened

    def covariance(self, inverse: Array, dim: int) -> Array:
        return inverse**2

    def multiply(self, natural: Array, x: Vector) -> Array:
        return natural * x

    def covary(self, covariance: Array, x: Vector) -> Vector:
        return covariance * x

    def respond(self, covariance: Array, direction: Array, dim: int) -> Array:
        return 2 * direction * covariance**2

    def precision_factor(self, covariance: Array, second_moment: Array, dim: int) -> Array:
        noise = _SINGULAR_ULPS * jnp.finfo(covariance.dtype).eps * second_moment
        return 1 / jnp.sqrt(jnp.where(jnp.all(covariance > noise), covariance, jnp.nan))

    def restrict(self, matrix: Array) -> Array:
        return jnp.diagonal(matrix)

    def restrict_product(self, left: Array, right: Array) -> Array:
        return jnp.sum(left * right, axis=1)

    def nearest(self, matrix: Array) -> Array:
        return jnp.diagonal(matrix)

    def dense(self, natural: Array, dim: int, dtype: jnp.dtype) -> Array:
        return jnp.diag(natural)

    def to_unconstrained(self, factor: Array) -> Array:
        return jnp.log(factor)

    def from_unconstrained(self, free: Array) -> Array:
        return jnp.exp(free)


@final
class Scale(AbstractStructure):
    """Multiples of the identity: one variance for all coordinates."""

    @property
    def rank(self) -> int:
        return 1

    def space(self, dim: int) -> Isotropic:
        return Isotropic(dim)

    def outer(self, x: Vector) -> Array:
        return jnp.dot(x, x)

    def quadratic(self, natural: Array, x: Vector) -> Array:
        return natural * jnp.dot(x, x)

    def factor(self, natural: Array) -> Array:
        return jnp.sqrt(_positive(-2 * natural))

    def from_factor(self, factor: Array) -> Array:
        return -0.5 * factor**2

    def factors(self, natural: Array) -> tuple[Array, Array]:
        factor = self.factor(natural)
        return factor, 1 / factor

    def log_det(self, factor: Array, dim: int) -> Array:
        return dim * jnp.log(factor)

    def apply(self, factor: Array, x: Vector) -> Vector:
        return factor * x

    def apply_transposed(self, factor: Array, x: Vector) -> Vector:
        return factor * x

    def residual(self, factor: Array, x: Vector, whitened: Vector) -> Vector:
        return factor * x - whitened

    def covariance(self, inverse: Array, dim: int) -> Array:
        return dim * inverse**2

    def multiply(self, natural: Array, x: Vector) -> Array:
        return natural * x

    def covary(self, covariance: Array, x: Vector) -> Vector:
        return covariance / x.shape[-1] * x

    def respond(self, covariance: Array, direction: Array, dim: int) -> Array:
        return 2 * direction * covariance**2 / dim

    def precision_factor(self, covariance: Array, second_moment: Array, dim: int) -> Array:
        noise = _SINGULAR_ULPS * jnp.finfo(covariance.dtype).eps * second_moment
        return jnp.sqrt(dim / jnp.where(covariance > noise, covariance, jnp.nan))

    def restrict(self, matrix: Array) -> Array:
        return jnp.trace(matrix)

    def restrict_product(self, left: Array, right: Array) -> Array:
        return jnp.sum(left * right)

    def nearest(self, matrix: Array) -> Array:
        return jnp.trace(matrix) / matrix.shape[-1]

    def dense(self, natural: Array, dim: int, dtype: jnp.dtype) -> Array:
        return natural * jnp.eye(dim, dtype=dtype)

    def to_unconstrained(self, factor: Array) -> Array:
        return jnp.log(factor)

    def from_unconstrained(self, free: Array) -> Array:
        return jnp.exp(free)


@final
class Identity(AbstractStructure):
    """The identity alone: unit covariance, nothing to estimate."""

    @property
    def rank(self) -> int:
        return 0

    def space(self, dim: int) -> None:
        return None

    def outer(self, x: Vector) -> None:
        return None

    def quadratic(self, natural: None, x: Vector) -> float:
        return 0.0

    def factor(self, natural: None) -> None:
        return None

    def from_factor(self, factor: None) -> None:
        return None

    def factors(self, natural: None) -> tuple[None, None]:
        return None, None

    def log_det(self, factor: None, dim: int) -> float:
        return 0.0

    def apply(self, factor: None, x: Vector) -> Vector:
        return x

    def apply_transposed(self, factor: None, x: Vector) -> Vector:
        return x

    def residual(self, factor: None, x: Vector, whitened: Vector) -> Vector:
        return x - whitened

    def covariance(self, inverse: None, dim: int) -> None:
        return None

    def multiply(self, natural: None, x: Vector) -> float:
        return 0.0

    def covary(self, covariance: None, x: Vector) -> Vector:
        return x

    def respond(self, covariance: None, direction: None, dim: int) -> None:
        return None

    def precision_factor(self, covariance: None, second_moment: None, dim: int) -> None:
        return None

    def restrict(self, matrix: Array) -> None:
        return None

    def restrict_product(self, left: Array, right: Array) -> None:
        return None

    def nearest(self, matrix: Array) -> None:
        return None

    def dense(self, natural: None, dim: int, dtype: jnp.dtype) -> Array:
        return -0.5 * jnp.eye(dim, dtype=dtype)

    def to_unconstrained(self, factor: None) -> None:
        return None

    def from_unconstrained(self, free: None) -> None:
        return None


def _positive(values: Array) -> Array:
    return jnp.where(values > 0, values, jnp.nan)
