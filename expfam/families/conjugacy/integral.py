"""Priors whose normalizer is an integral over one number, taken by a rule of fixed cost.

All coordinates but one number u are integrated in closed form. What remains has one peak, decays at
least exponentially on both sides in a suitable variable, and is analytic in a strip around the real
line, so that the trapezoidal rule converges exponentially (Trefethen & Weideman 2014).
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.points import pairing
from .base import AbstractNamelessConjugacy, Counts, Scalar, predict_by_remainder

_NODES = 256
_DRAWN = 2048  # nodes between which draws are interpolated
# The peak lies between ±40; it is found to 80·32⁻⁸ by rounds of that many points.
_RANGE = 40.0
_POINTS, _ROUNDS = 65, 8


class AbstractIntegral(AbstractNamelessConjugacy):
    """Priors of families with Z = e^c ∫ e^f(u) du; `count` must be positive."""

    @abstractmethod
    def log_integrand(self, family: Any, total: Any, count: Counts, u: Scalar) -> Scalar:
        """f(u), with one peak."""

    @abstractmethod
    def log_constant(self, family: Any, total: Any, count: Counts) -> Scalar:
        """c."""

    @abstractmethod
    def place(self, family: Any, total: Any, count: Counts, u: Scalar) -> Any:
        """A point θ in the middle of what has a given u."""

    @abstractmethod
    def draw_given(
        self, family: Any, key: Key[Array, ""], total: Any, count: Counts, u: Scalar
    ) -> Any:
        """A draw of θ given u."""

    @abstractmethod
    def inside(self, total: Any, count: Counts) -> Bool[Array, ""]:
        """Whether φ/ν is a possible expectation, given that ν > 0."""

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Those of Diaconis & Ylvisaker: ν > 0, and φ/ν is the mean of some θ."""
        return {
            "count > 0": count > 0,
            "mean inside the set of possible expectations": self.inside(total, count),
        }

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """c + log ∫ e^f(u) du."""
        return self._integrate(family, total, count)[0]

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """⟨φ, θ⟩ − ν ψ(θ) − log Z."""
        height = _height(family, total, count, coords)
        return height - self.log_normalizer(family, total, count)

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """A point at the peak of f, and log p(θ*) − log p'(θ*) (Chib 1995)."""
        both = jax.tree.map(lambda a, b: jnp.stack([a, b]), before, after)
        logs, peaks = jax.vmap(lambda point: self._integrate(family, *point))(both)
        reference = self.place(family, after[0], after[1], peaks[1])
        heights = [_height(family, phi, nu, reference) for phi, nu in (before, after)]
        return reference, (heights[0] - logs[0]) - (heights[1] - logs[1])

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Any) -> Scalar:
        """As the evidence of one row."""
        return predict_by_remainder(self, family, total, count, x)

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """log Z − ⟨φ, E θ⟩ + ν E ψ."""
        log_z, (natural, minus_psi) = jax.value_and_grad(
            lambda point: self.log_normalizer(family, *point)
        )((total, count))
        return log_z - pairing(natural, total) - count * minus_psi

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """A draw of u from the nodes, with linear interpolation, then one of θ given u."""
        first, second = jax.random.split(key)

        def log_integrand(u: Scalar) -> Scalar:
            return self.log_integrand(family, total, count, u)

        # Linear between nodes, a distribution function is off by less than 1e-5.
        nodes, step, _ = _nodes(log_integrand, jnp.result_type(count), _DRAWN)
        values = jax.vmap(log_integrand)(nodes)
        masses = jnp.exp(values - jnp.max(values))
        below = jnp.concatenate([jnp.zeros(1, step.dtype), jnp.cumsum(masses[1:] + masses[:-1])])
        u = jnp.interp(jax.random.uniform(first, dtype=step.dtype) * below[-1], below, nodes)
        return self.draw_given(family, second, total, count, u)

    def _integrate(self, family: Any, total: Any, count: Counts) -> tuple[Scalar, Scalar]:
        # log Z and the peak of f. The nodes are fixed: the rule is as exact for derivatives.
        fixed = jax.lax.stop_gradient((total, count))
        nodes, step, peak = _nodes(
            lambda u: self.log_integrand(family, *fixed, u), jnp.result_type(count), _NODES
        )
        values = jax.vmap(lambda u: self.log_integrand(family, total, count, u))(nodes)
        integral = jax.nn.logsumexp(values) + jnp.log(step)
        return self.log_constant(family, total, count) + integral, peak


def _height(family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
    return pairing(coords, total) - count * family._log_normalizer(coords)


def _nodes(
    log_integrand: Callable[[Scalar], Scalar], dtype: Any, n: int
) -> tuple[Float[Array, " n"], Scalar, Scalar]:
    # Equidistant nodes from one end of what matters to the other, their distance, and the peak.
    values = jax.vmap(log_integrand)

    def climb(_: Array, bracket: tuple) -> tuple:
        # to the neighbors of the highest of some points
        low, high = bracket
        points = low + (high - low) * grid
        heights = values(points)
        best = jnp.argmax(jnp.where(jnp.isnan(heights), -jnp.inf, heights))
        return points[jnp.maximum(best - 1, 0)], points[jnp.minimum(best + 1, _POINTS - 1)]

    grid = jnp.linspace(0, 1, _POINTS, dtype=dtype)
    limit = jnp.asarray(_RANGE, dtype)
    low, high = jax.lax.fori_loop(0, _ROUNDS, climb, (-limit, limit))
    peak = (low + high) / 2
    # The ends: where the integrand has fallen below all that is resolved, at most 1.4 times as far.
    distances = jnp.exp(jnp.linspace(-16, 5, _POINTS, dtype=dtype))
    heights = values(jnp.concatenate([peak - distances, peak + distances])).reshape(2, _POINTS)
    # Far out some are NaN, in float32.
    floor = jnp.nanmax(heights) - 4 + jnp.log(jnp.finfo(dtype).eps)
    fallen = ~(heights > floor)
    reach = distances[jnp.where(jnp.any(fallen, axis=1), jnp.argmax(fallen, axis=1), _POINTS - 1)]
    begin, end = jax.lax.stop_gradient((peak - reach[0], peak + reach[1]))
    nodes = begin + (end - begin) * jnp.linspace(0, 1, n, dtype=dtype)
    return nodes, (end - begin) / (n - 1), jax.lax.stop_gradient(peak)
