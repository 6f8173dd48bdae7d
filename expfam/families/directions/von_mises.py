"""The von Mises family: angles."""

import math
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..conjugacy.integrals import Directions
from ..observed import AbstractObservedFamily
from ..support import Support
from . import von_mises_fisher as sphere


@final
class VonMises(AbstractObservedFamily[Array]):
    """Distributions of an angle around a mean angle μ, p(x) = exp(κ cos(x − μ))/(2π I₀(κ)).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | κ (cos μ, sin μ) | A(κ) (cos μ, sin μ) | (cos x, sin x) | 1/2π |

    with A = I₁/I₀. Angles are in radians, on any turn; draws lie in (−π, π].

    References:
        Mardia & Jupp, Directional Statistics (2000), section 3.5.4.

    Examples:
        >>> import expfam as ef
        >>> family = ef.VonMises()
        >>> params = family.from_angle_concentration(0.0, 2.0)
        >>> round(float(family.to_mean(params).coords[0]), 4)
        0.6978
    """

    @property
    def spaces(self) -> Any:
        """ℝ²."""
        return Euclidean((2,))

    @property
    def support(self) -> Support:
        """All angles, as real numbers."""
        return Support((), "real")

    def from_angle_concentration(
        self, angle: Float[Array, ""] | float, concentration: Float[Array, ""] | float
    ) -> Natural[Array]:
        """The distribution around a mean angle μ, with given κ ≥ 0."""
        mu, kappa = jnp.asarray(angle, float), jnp.asarray(concentration, float)
        coords = kappa * _point(mu)
        return require(
            Natural(coords),
            self._in_domain(coords) & (kappa >= 0),
            "VonMises.from_angle_concentration: `angle` must be finite, `concentration` finite and "
            "not negative.",
        )

    def angle_concentration(
        self, params: Natural[Array]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Mean angle μ in (−π, π], zero where κ = 0, and concentration κ."""
        self._check_point(params, Natural, "angle_concentration", "params")
        return _angle(params.coords), jnp.hypot(params.coords[0], params.coords[1])

    readers = (angle_concentration,)

    @property
    def _conjugacy(self) -> Directions:
        return Directions(2)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: jnp.arctan2(coords[1], coords[0]))

    def _sufficient_statistic(self, x: Array) -> Array:
        return _point(x)

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.asarray(-math.log(2 * math.pi), x.dtype)

    def _log_normalizer(self, coords: Array) -> Array:
        return sphere.log_normalizer(2, coords)

    def _log_normalizer_given(self, coords: Array, x: Array) -> Array:
        return jnp.dot(coords, _point(x)) - jnp.asarray(math.log(2 * math.pi), coords.dtype)

    def _log_density(self, coords: Array, x: Array) -> Array:
        return sphere.log_density(2, coords, _point(x))

    def _maximize(self, means: Array, start: Array | None) -> Array:
        return sphere.invert_mean(2, means, start)

    def _estimate(self, xs: Array, shares: Array) -> Array:
        parts = shares.astype(xs.dtype)
        angle = _angle(parts @ jax.vmap(_point)(xs))
        center, turns = _point(angle), xs - angle
        across = parts @ jnp.sin(turns) * jnp.stack([-center[1], center[0]])
        return sphere.estimate(2, center, across, 2 * parts @ jnp.sin(turns / 2) ** 2)

    def _entropy(self, coords: Array) -> Array:
        return sphere.entropy(2, coords)

    def _divergence(self, p: Array, q: Array) -> Array:
        return sphere.divergence(2, p, q)

    def _in_domain(self, coords: Array) -> Bool[Array, ""]:
        return jnp.all(jnp.isfinite(coords))

    def _sample(self, key: Key[Array, ""], coords: Array) -> Array:
        first, second = jax.random.split(key)
        depth = sphere.sample_depth(2, first, jnp.hypot(coords[0], coords[1]))
        # sin² of half the angle to μ is half of 1 − cos
        turn = 2 * jnp.arcsin(jnp.sqrt(jnp.minimum(depth / 2, 1)))
        turn = jnp.where(jax.random.bernoulli(second), turn, -turn)
        return _angle(_point(_angle(coords) + turn))

    def _features(self, x: Array) -> Array:
        return _point(x)

    def _initialize(self, key: Key[Array, ""]) -> Array:
        return jax.random.normal(key, (2,))

    def _weak_means(self, xs: Array) -> Array:
        # half the mean of the data: never on the circle itself
        return jnp.mean(jax.vmap(_point)(xs), axis=0) / 2

    def _to_unconstrained(self, coords: Array) -> Array:
        return coords

    def _from_unconstrained(self, free: Array) -> Array:
        return free


def _point(angle: Array) -> Array:
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)])


def _angle(point: Array) -> Array:
    return jnp.arctan2(point[1], point[0])
