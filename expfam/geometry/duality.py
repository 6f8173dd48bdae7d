"""Convex duality: divergences of a potential, and the inverse of its gradient."""

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from jaxtyping import Array, Bool, Float

from .linalg import cholesky

Vector = Float[Array, " dim"]
Potential = Callable[[Vector], Float[Array, ""]]

_DESCENT_STEPS = 500
_POLISH_STEPS = 4
_NODES = 8
_LARGEST_LAYER = 1e4
_COARSE = 1e-10  # rounding of a type that needs more care: that of float32


def bregman_divergence(
    potential: Callable[[Any], Float[Array, ""]], point: Any, base: Any, step: Any = None
) -> Float[Array, ""]:
    """Bregman divergence ψ(p) − ψ(b) − ⟨∇ψ(b), p − b⟩ of a convex potential.

    For the log-normalizer of an exponential family and natural coordinates it is the
    Kullback–Leibler divergence KL(b ‖ p) (Banerjee et al. 2005, section 4). Where they are close,
    the difference loses all digits. With δ = p − b it is also the remainder ∫₀¹ (1 − t) g(t) dt of
    a Taylor series, g(t) = δᵀ∇²ψ(b + tδ)δ ≥ 0, which is integrated by Gauss's rule where that is
    the more exact of the two.

    Args:
        potential: differentiable convex function ψ of an array, or of a tree of arrays.
        point: array or tree p.
        base: array or tree b of the same structure.
        step: p − b, where it is known to more digits than the two.

    Returns:
        A scalar, not negative, and zero where the two are equal.
    """
    value, slope = jax.value_and_grad(potential)(base)
    delta = jax.tree.map(jnp.subtract, point, base) if step is None else step
    end, linear = potential(point), jax.tree.map(jnp.multiply, delta, slope)
    leaves = jax.tree.leaves(linear)
    if not leaves:
        return jnp.zeros_like(value)
    difference = end - value - sum(jnp.sum(leaf) for leaf in leaves)
    rounding = abs(end) + abs(value) + sum(jnp.sum(jnp.abs(leaf)) for leaf in leaves)

    def curvature(t: Array) -> Array:
        place = jax.tree.map(lambda b, d: b + t * d, base, delta)
        bent = jax.jvp(jax.grad(potential), (place,), (delta,))[1]
        return sum(
            (jnp.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (bent, delta)), strict=True)),
            start=jnp.zeros_like(value),
        )

    # 1. The rule of n nodes x on [−1, 1], t = (1 + x)/2, for the integrand (1 − t) g(t).
    # 2. Its Legendre coefficients c_k fall like ϱ⁻ᵏ, and the error of the rule like ϱ⁻²ⁿ, so that
    #    relative to the integral it is about the square of the last coefficients.
    # 3. A layer at an end, as thin as the ratio of two magnitudes, lies between the nodes; there g
    #    is larger by more than a smooth function could be.
    nodes, weights, last = (jnp.asarray(a, value.dtype) for a in _gauss(_NODES))
    bends = jax.vmap(curvature)(jnp.concatenate([nodes, jnp.array([0, 1], value.dtype)]))
    integrand = (1 - nodes) * bends[:-2]
    integral, tail = weights @ integrand, jnp.sum(jnp.abs(last @ integrand))
    noise = jnp.finfo(value.dtype).eps * rounding
    smooth = jnp.max(bends[-2:]) <= _LARGEST_LAYER * jnp.max(bends[:-2])
    near = smooth & (tail**2 <= noise * jnp.maximum(integral, noise))
    return jnp.maximum(jnp.where(near, integral, difference), 0)


def _gauss(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    # Nodes and weights on [0, 1], and the rows that give the last two Legendre coefficients.
    nodes, weights = np.polynomial.legendre.leggauss(n)
    last = np.polynomial.legendre.legvander(nodes, n - 1)[:, -2:].T * (2 * n - 1) / 2
    return (1 + nodes) / 2, weights / 2, last * weights


def minimize_tilted(potential: Potential, target: Vector, start: Vector) -> Vector:
    """Minimize ψ(θ) − ⟨θ, η⟩ for a strictly convex ψ that is NaN or infinite off its domain.

    Newton's method with backtracking, which refuses every step off the domain, never increases the
    function, and does not depend on the scale of the coordinates. At most 500 steps; it stops
    where a step would gain no more than the rounding of the function (the Newton decrement: Boyd &
    Vandenberghe, Convex Optimization, 2004, section 9.5).

    Args:
        potential: the strictly convex function ψ of a vector.
        target: η.
        start: a point of the domain, the closer the better.

    Returns:
        θ, to about half the digits; the last iterate where the iteration did not converge.
    """
    eps = float(jnp.finfo(start.dtype).eps)
    return optx.minimise(
        _gain if eps > _COARSE else _tilted,
        _Newton(jax.hessian(potential), eps**0.5, eps**0.5),  # pyright: ignore[reportCallIssue] optimistix declares as fields what are class attributes here
        start,
        args=(potential, target, start),
        max_steps=_DESCENT_STEPS,
        throw=False,
    ).value


def _tilted(theta: Vector, args: Any) -> Array:
    potential, target, _ = args
    return potential(theta) - jnp.dot(theta, target)


def _gain(theta: Vector, args: Any) -> Array:
    # The same up to a constant, which makes it zero at the start: coarse numbers do not hold the
    # small gains of a step beside a large ψ.
    potential, target, start = args
    slope = jax.grad(potential)(start) - target

    @jax.custom_jvp
    def gain(theta: Vector, start: Vector, target: Vector, slope: Vector) -> Array:
        return bregman_divergence(potential, theta, start) + jnp.dot(slope, theta - start)

    def gain_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
        theta, _, target, _ = primals
        return gain(*primals), jnp.dot(jax.grad(potential)(theta) - target, tangents[0])

    gain.defjvp(gain_jvp)
    return gain(theta, start, target, slope)


def invert_gradient(potential: Potential, target: Vector, start: Vector) -> Vector:
    """Solve ∇ψ(θ) = η for a strictly convex potential ψ that is NaN or infinite off its domain.

    `minimize_tilted`, then plain Newton steps down to rounding. Differentiable in `target` by the
    implicit function theorem.

    Args:
        potential: the strictly convex function ψ of a vector.
        target: η, a point in the image of ∇ψ.
        start: a point of the domain, the closer the better.

    Returns:
        θ. Where the iteration did not converge it is the last iterate; compare ∇ψ(θ) with η.
    """
    gradient = jax.grad(potential)
    near = minimize_tilted(potential, jax.lax.stop_gradient(target), jax.lax.stop_gradient(start))
    polished = optx.root_find(
        lambda theta, eta: gradient(theta) - eta,
        optx.Newton(
            rtol=8 * float(jnp.finfo(start.dtype).eps),
            atol=0.0,
            linear_solver=lx.AutoLinearSolver(well_posed=None),
        ),
        jax.lax.stop_gradient(near),
        args=target,
        max_steps=_POLISH_STEPS,
        throw=False,
    ).value
    # From a start too far off the plain Newton steps may leave the domain.
    return jnp.where(jnp.all(jnp.isfinite(polished)), polished, near)


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
