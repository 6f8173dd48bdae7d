"""The Laplace families, with a fixed location, of real numbers."""

from typing import final

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.named import AbstractNamedFamily
from ..derived.symmetrized import Symmetrized
from ..positive.exponential import Exponential
from ..support import Support


@final
class Laplace(AbstractNamedFamily[Array]):
    r"""Laplace distributions around a fixed location, p(x) = exp(−|x − μ|/b) / (2b).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −1/b | b | \|x − μ\| | ½ |

    That is, |x − μ| is exponential with rate 1/b. Only the scale b is a parameter: with both free,
    the Laplace distributions are no exponential family.

    Attributes:
        location: μ, finite.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2 (1995), chapter 24.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> laplace = ef.Laplace(location=1.0)
        >>> params = laplace.maximum_likelihood(jnp.array([0.0, 4.0]))
        >>> float(laplace.scale(params))
        2.0
    """

    location: float = eqx.field(static=True, default=0.0)

    def __check_init__(self) -> None:
        """Refuse a location that is not finite."""
        if not abs(self.location) < float("inf"):
            raise ValueError(f"Laplace: `location` must be finite, but is {self.location}.")

    @property
    def definition(self) -> Symmetrized:
        """An exponential distance with a fair sign."""
        return Symmetrized(Exponential(), self.location)

    @property
    def support(self) -> Support:
        """ℝ."""
        return Support((), "real")

    def from_scale(self, scale: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given scale b, positive and finite."""
        coords = -1 / jnp.asarray(scale, float)
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Laplace.from_scale: `scale` must be positive and finite.",
        )

    def scale(self, params: Natural[Array]) -> Float[Array, ""]:
        """The scale b, the mean distance to the location."""
        self._check_point(params, Natural, "scale", "params")
        return -1 / params.coords

    readers = (scale,)
