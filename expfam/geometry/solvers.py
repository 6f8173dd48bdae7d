"""Iterative solvers of optimistix, with the settings of this library.

Import this module where a solver runs: to import optimistix takes as long as all of this library.
"""

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .linalg import cholesky

Vector = Float[Array, " dim"]


def polish(
    residual: Callable[[Any, Any], Any], near: Array, args: Any, ulps: int, steps: int
) -> Any:
    """A root by plain Newton steps down to rounding, differentiable in `args`.

    Args:
        residual: function of the unknown and `args` whose root it is.
        near: a point so near to the root that Newton's method converges.
        args: what else the residual depends on.
        ulps: relative size of a step, in units of rounding, that is the last.
        steps: number of steps at most.
    """
    newton = optx.Newton(
        rtol=ulps * float(jnp.finfo(near.dtype).eps),
        atol=0.0,
        linear_solver=lx.AutoLinearSolver(well_posed=None),
    )
    return optx.root_find(residual, newton, near, args=args, max_steps=steps, throw=False).value


def minimize(
    function: Callable[[Vector, Any], Array],
    hessian: Callable[[Vector], Array],
    start: Vector,
    args: Any,
    steps: int,
) -> Vector:
    """The minimum of a convex function, by Newton's method with backtracking.

    Args:
        function: of a vector and `args`; NaN or infinite off its domain.
        hessian: the second derivatives of the function at a vector.
        start: a point of the domain.
        args: what else the function depends on.
        steps: number of steps at most.
    """
    root = float(jnp.finfo(start.dtype).eps) ** 0.5
    newton = _Newton(hessian, root, root)  # pyright: ignore[reportCallIssue] optimistix declares as fields what are class attributes here
    return optx.minimise(function, newton, start, args=args, max_steps=steps, throw=False).value


@final
class _Newton(optx.AbstractQuasiNewton):
    # The quasi-Newton minimiser of optimistix with the exact Hessian in place of an update.
    hessian: Callable[[Vector], Array]
    rtol: float
    atol: float
    norm = staticmethod(optx.max_norm)
    use_inverse = False
    descent = optx.NewtonDescent(linear_solver=lx.Cholesky())
    search = optx.BacktrackingArmijo()
    verbose = staticmethod(lambda **_: None)

    def init_hessian(self, y: Vector, f: Array, grad: Vector) -> Any:
        """The identity, as a placeholder of the right shape."""
        matrix = jnp.eye(y.shape[0], dtype=y.dtype)
        return self._information(f, grad, matrix), None

    def update_hessian(
        self, y: Vector, y_eval: Vector, f_info: Any, f_eval_info: Any, hessian_update_state: None
    ) -> Any:
        """The Hessian at the new point."""
        matrix = self.hessian(y_eval)
        return self._information(f_eval_info.f, f_eval_info.grad, matrix), None

    def terminate(
        self, fn: Any, y: Vector, args: Any, options: Any, state: Any, tags: Any
    ) -> tuple[Bool[Array, ""], optx.RESULTS]:
        """Where steps are small, or the decrement (a step gains half of it) is lost in rounding."""
        f, gradient = state.f_info.f, state.f_info.grad
        decrement = jnp.dot(gradient, state.descent_state.newton)
        lost = decrement <= 4 * jnp.finfo(f.dtype).eps * jnp.abs(f)
        # Before the first step nothing is known.
        return state.terminate | (lost & (state.num_accepted_steps > 0)), state.result

    def _information(self, f: Array, grad: Vector, matrix: Array) -> Any:
        operator = lx.MatrixLinearOperator(_definite(matrix), lx.positive_semidefinite_tag)
        return optx.FunctionInfo.EvalGradHessian(f, grad, operator)


def _definite(matrix: Array) -> Array:
    # Statistics that nearly depend on each other have a covariance that is singular in rounding:
    # its diagonal is raised by the smallest power of 4, in units of ε, for which it has a factor.
    diagonal = jnp.diag(jnp.diagonal(matrix))

    def fails(share: Array) -> Array:
        return (share < 1) & jnp.any(jnp.isnan(cholesky(matrix + share * diagonal)))

    least = jnp.finfo(matrix.dtype).eps
    share = jax.lax.while_loop(fails, lambda share: 4 * share, jnp.asarray(least, matrix.dtype))
    return matrix + 4 * share * diagonal
