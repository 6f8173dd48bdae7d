"""The chi-square family of positive numbers."""

from typing import final

import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import require
from ...geometry.points import Natural
from ..derived.fixed import FixedRate
from ..derived.named import AbstractNamedFamily
from ..derived.sub_family import SubFamily
from ..support import Support
from .gamma import Gamma


@final
class ChiSquare(AbstractNamedFamily[Array]):
    """Squared lengths of standard normal vectors, p(x) = x^(n/2−1) e^(−x/2) / (2^(n/2) Γ(n/2)).

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | n/2 | digamma(n/2) + log 2 | log x | e^(−x/2)/x |

    That is, x is a gamma with shape n/2 and rate ½. The degrees of freedom n need not be whole.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 18.

    Examples:
        >>> import expfam as ef
        >>> family = ef.ChiSquare()
        >>> float(family.log_normalizer(family.from_freedom(2.0)).round(4))
        0.6931
    """

    @property
    def definition(self) -> SubFamily:
        """Gammas with rate ½."""
        return SubFamily(Gamma(), FixedRate(0.5))

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
            "ChiSquare.from_freedom: `freedom` must be positive and finite.",
        )

    def freedom(self, params: Natural[Array]) -> Float[Array, ""]:
        """The degrees of freedom n."""
        self._check_point(params, Natural, "freedom", "params")
        return 2 * params.coords

    readers = (freedom,)
