"""Convex duality: divergences of a potential, and the inverse of its gradient."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .derivatives import not_negative

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
    return not_negative(jnp.where(near, integral, difference))


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
    from .solvers import minimize

    function = _gain if jnp.finfo(start.dtype).eps > _COARSE else _tilted
    args = (potential, target, start)
    return minimize(function, jax.hessian(potential), start, args, _DESCENT_STEPS)


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
    from .solvers import polish

    gradient = jax.grad(potential)
    near = minimize_tilted(potential, jax.lax.stop_gradient(target), jax.lax.stop_gradient(start))

    def residual(theta: Vector, eta: Vector) -> Vector:
        return gradient(theta) - eta

    polished = polish(residual, jax.lax.stop_gradient(near), target, 8, _POLISH_STEPS)
    # From a start too far off the plain Newton steps may leave the domain.
    return jnp.where(jnp.all(jnp.isfinite(polished)), polished, near)
