"""The log-gamma family of real numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import LogarithmMap
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..positive.gamma import Gamma, GammaCoords
from ..support import Support


@final
class LogGamma(AbstractNamedFamily[GammaCoords]):
    """Distributions of the logarithm of a gamma, p(x) = βᵏ exp(kx − βeˣ) / Γ(k).

    | | value | logarithm |
    | --- | --- | --- |
    | natural θ | −β | k |
    | mean η | k/β | digamma(k) − log β |
    | statistic s(x) | eˣ | x |

    The base measure is 1. With k = 1 it is the Gumbel distribution of −x.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2 (1995), section 22.

    Examples:
        >>> import expfam as ef
        >>> family = ef.LogGamma()
        >>> params = family.from_shape_rate(1.0, 2.0)
        >>> float(family.to_mean(params).coords.value)
        0.5
    """

    @property
    def definition(self) -> PushForward:
        """The logarithm of a gamma."""
        return PushForward(Gamma(), LogarithmMap())

    @property
    def support(self) -> Support:
        """ℝ."""
        return Support((), "real")

    def from_shape_rate(
        self, shape: Float[Array, ""] | float, rate: Float[Array, ""] | float
    ) -> Natural[GammaCoords]:
        """The logarithm of the gamma with given shape k and rate β, both positive and finite."""
        coords = GammaCoords(-jnp.asarray(rate, float), jnp.asarray(shape, float))
        return require(
            Natural(coords),
            self._in_domain(coords),
            "LogGamma.from_shape_rate: `shape` and `rate` must be positive and finite.",
        )

    def shape_rate(self, params: Natural[GammaCoords]) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Shape k and rate β."""
        self._check_point(params, Natural, "shape_rate", "params")
        return params.coords.logarithm, -params.coords.value

    readers = (shape_rate,)
