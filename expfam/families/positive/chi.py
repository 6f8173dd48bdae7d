"""The chi family of positive numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.bijections import RootMap
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..support import Support
from .chi_square import ChiSquare


@final
class Chi(AbstractNamedFamily[Array]):
    """Lengths of standard normal vectors, p(x) = x^(n−1) e^(−x²/2) / (2^(n/2−1) Γ(n/2)).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | n/2 | digamma(n/2) + log 2 | 2 log x | 2 e^(−x²/2)/x |

    That is, x² has a chi-square distribution. The degrees of freedom n need not be whole.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), section 18.8.

    Examples:
        >>> import expfam as ef
        >>> family = ef.Chi()
        >>> round(float(family.entropy(family.from_freedom(1.0))), 4)
        0.7258
    """

    @property
    def definition(self) -> PushForward:
        """The square root of a chi-square variable."""
        return PushForward(ChiSquare().definition, RootMap(2.0))

    @property
    def support(self) -> Support:
        """(0, ∞)."""
        return Support((), "positive")

    def from_freedom(self, freedom: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with given degrees of freedom n, positive and finite."""
        coords = jnp.asarray(freedom, float) / 2
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Chi.from_freedom: `freedom` must be positive and finite.",
        )

    def freedom(self, params: Natural[Array]) -> Float[Array, ""]:
        """The degrees of freedom n."""
        self._check_point(params, Natural, "freedom", "params")
        return 2 * params.coords

    readers = (freedom,)
