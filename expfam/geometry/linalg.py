"""Factorizations of small matrices, with derivatives that are matrix products.

Under `vmap` they run one matrix after the other. Batched LAPACK calls of jaxlib on the CPU wait for
tasks on the thread pool that they themselves run on; two of them at a time stop a machine of two
cores for good (seen with jaxlib 0.10.2, batches of twenty 20 × 20 triangular solves).

Triangular matrices of 32 and more dimensions are inverted by blocks. LAPACK shares the solve among
threads of its own then, and where one of them has to wait for a core they all do: 8 milliseconds
and more in place of 0.1, on a machine that does anything else (seen with OpenBLAS in SciPy 1.17).
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Bool, Float

Matrix = Float[Array, "d d"]

# Dimensions that LAPACK solves for on one thread, and of the blocks of larger matrices.
_SMALL, _BLOCK = 31, 16


@jax.custom_jvp
def cholesky(matrix: Matrix) -> Matrix:
    """Lower Cholesky factor L, A = L Lᵀ; NaN where A is not positive definite."""
    return _cholesky(matrix)


@cholesky.defjvp
def _cholesky_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    factor, inverse = factorize(*primals)
    return factor, factor @ _relative(inverse, tangents[0])


@jax.custom_jvp
def factorize(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Lower Cholesky factor L, A = L Lᵀ, and L⁻¹; NaN where A is not positive definite."""
    factor, inverse = _factorize(matrix)
    return factor, inverse


@factorize.defjvp
def _factorize_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    factor, inverse = factorize(*primals)
    relative = _relative(inverse, tangents[0])
    return (factor, inverse), (factor @ relative, -relative @ inverse)


def _relative(inverse: Array, tangent: Array) -> Array:
    # dL = L Φ(L⁻¹ dA L⁻ᵀ), Φ: the lower triangle with half of the diagonal (Murray 2016, eq. 8)
    middle = inverse @ tangent @ inverse.T
    return jnp.tril(middle) - 0.5 * jnp.diag(jnp.diagonal(middle))


@jax.custom_jvp
def invert_triangular(factor: Matrix) -> Matrix:
    """The inverse of a lower triangular matrix."""
    return _invert_triangular(factor)


@invert_triangular.defjvp
def _invert_triangular_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    inverse = invert_triangular(*primals)
    return inverse, -inverse @ tangents[0] @ inverse


@jax.custom_jvp
def largest_eigenvalue(matrix: Matrix) -> Float[Array, ""]:
    """The largest eigenvalue of a symmetric matrix."""
    return _eigh(matrix)[0][-1]


@largest_eigenvalue.defjvp
def _largest_eigenvalue_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    values, vectors = _eigh(*primals)
    leading = vectors[:, -1]
    return values[-1], leading @ tangents[0] @ leading


def eigh(matrix: Matrix) -> tuple[Float[Array, " d"], Matrix]:
    """Eigenvalues, in ascending order, and eigenvectors of a symmetric matrix; no derivative."""
    return _eigh(jax.lax.stop_gradient(matrix))


def reverse_cholesky(matrix: Matrix) -> Matrix:
    """Lower triangular G with A = Gᵀ G; NaN where A is not positive definite."""
    # of the matrix with rows and columns in reverse order, J A J = L Lᵀ, and G = J Lᵀ J
    return cholesky(matrix[::-1, ::-1])[::-1, ::-1].T


def invert_positive(matrix: Matrix) -> Matrix:
    """The inverse of a symmetric, positive-definite matrix; NaN where it is not."""
    _, inverse = factorize(matrix)
    return inverse.T @ inverse


def invert_principal(matrix: Matrix, chosen: Bool[Array, " d"]) -> tuple[Matrix, Float[Array, ""]]:
    """The inverse of a principal submatrix, and log |L| of its Cholesky factor L; no derivative.

    Args:
        matrix: symmetric, positive definite.
        chosen: rows and columns of the submatrix; in the others the inverse is zero.
    """
    matrix = jax.lax.stop_gradient(matrix)
    both = chosen[:, None] & chosen[None, :]
    factor, inverse = factorize(jnp.where(both, matrix, jnp.eye(*matrix.shape, dtype=matrix.dtype)))
    logs = jnp.log(jnp.diagonal(factor))
    return jnp.where(both, inverse.T @ inverse, 0), jnp.sum(jnp.where(chosen, logs, 0))


def gram(root: Matrix) -> Matrix:
    """Rᵀ R, with a diagonal a few units in the last place larger.

    That keeps it positive definite after rounding, whatever the triangular R.
    """
    matrix = root.T @ root
    info = jnp.finfo(matrix.dtype)
    diagonal = jnp.diagonal(matrix)
    larger = 4 * (matrix.shape[0] + 1) * info.eps * diagonal
    return matrix + jnp.diag(jnp.maximum(larger, info.tiny))


def orthonormal_basis(matrix: Float[Array, "p d"]) -> Float[Array, "p d"]:
    """Orthonormal columns Q of which those of a matrix are combinations; no derivative."""
    return _orthonormal_basis(jax.lax.stop_gradient(matrix))


def log_determinant(factor: Matrix) -> Float[Array, ""]:
    """log |L Lᵀ| of a triangular factor L with a positive diagonal."""
    return 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))


def is_symmetric(matrix: Matrix) -> Bool[Array, ""]:
    """Whether a matrix is finite, and symmetric up to rounding."""
    tolerance = 64 * jnp.finfo(matrix.dtype).eps * jnp.max(jnp.abs(matrix))
    return jnp.all(jnp.isfinite(matrix)) & jnp.all(jnp.abs(matrix - matrix.T) <= tolerance)


@sequential_vmap
def _cholesky(matrix: Array) -> Array:
    return jnp.linalg.cholesky(matrix, symmetrize_input=False)


@sequential_vmap
def _factorize(matrix: Array) -> Float[Array, "2 d d"]:
    # As one array: loops over the same matrices are then the same, whichever part is asked for, and
    # the compiler makes one of them.
    factor = jnp.linalg.cholesky(matrix, symmetrize_input=False)
    return jnp.stack([factor, _solve_identity(factor)])


@sequential_vmap
def _invert_triangular(factor: Array) -> Array:
    return _solve_identity(factor)


def _solve_identity(factor: Array) -> Array:
    if factor.shape[0] <= _SMALL:
        return solve_triangular(factor, jnp.eye(*factor.shape, dtype=factor.dtype), lower=True)
    # L X = I by blocks of rows (Du Croz & Higham 1992, method 1B): rows k of X are
    # L_kk⁻¹(I_k − L_k X), where the rows of X from k on are still zero.
    dim, dtype = factor.shape[0], factor.dtype
    count = -(-dim // _BLOCK)
    identity = jnp.eye(count * _BLOCK, dtype=dtype)
    padded = identity.at[:dim, :dim].set(factor)

    def substitute(k: Array, inverse: Array) -> Array:
        start = k * _BLOCK
        rows = jax.lax.dynamic_slice_in_dim(padded, start, _BLOCK)
        corner = jax.lax.dynamic_slice_in_dim(rows, start, _BLOCK, axis=1)
        rest = jax.lax.dynamic_slice_in_dim(identity, start, _BLOCK)
        rest = rest - jnp.matmul(rows, inverse, precision="highest")
        own = solve_triangular(corner, jnp.eye(_BLOCK, dtype=dtype), lower=True)
        own = jnp.matmul(own, rest, precision="highest")
        return jax.lax.dynamic_update_slice_in_dim(inverse, own, start, axis=0)

    return jax.lax.fori_loop(0, count, substitute, jnp.zeros_like(identity))[:dim, :dim]


@sequential_vmap
def _eigh(matrix: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(matrix)
    return values, vectors


@sequential_vmap
def _orthonormal_basis(matrix: Array) -> Array:
    return jax.lax.linalg.qr(matrix, full_matrices=False)[0]
