"""The Zipf family: items by rank."""

from typing import final

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ...geometry.checks import require, whole
from ...geometry.points import Natural
from ..derived.named import AbstractNamedFamily
from ..derived.restrictions import AffineRestriction
from ..derived.sub_family import SubFamily
from ..support import Support
from .categorical import Categorical

# 128 MB of memory in float64.
_MOST_ITEMS = 2**24


@final
class Zipf(AbstractNamedFamily[Array]):
    """Distributions of the rank of one of n items, p(x) ∝ (x + 1)⁻ˢ: s is any real number.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −s | E log(x + 1) | log(x + 1) | 1 |

    Attributes:
        n_items: number of items n, at least 2; item 0 has rank 1.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> zipf = ef.Zipf(3)
        >>> zipf.density(zipf.from_exponent(1.0), jnp.arange(2)).round(4).tolist()
        [0.5455, 0.2727]
    """

    n_items: int = eqx.field(static=True, converter=whole("Zipf", "n_items", 2))

    def __check_init__(self) -> None:
        """Refuse more items than sums can go over."""
        if self.n_items > _MOST_ITEMS:
            raise ValueError(
                f"Zipf: `n_items` must be at most {_MOST_ITEMS}, since densities are sums over all "
                f"items, but is {self.n_items}."
            )

    @property
    def definition(self) -> SubFamily:
        """A categorical whose log-probabilities are linear in the logarithm of the rank."""
        ranks = np.log(np.arange(2, self.n_items + 1))
        return SubFamily(Categorical(self.n_items), AffineRestriction(ranks[None], 0 * ranks))

    @property
    def support(self) -> Support:
        """0 … n − 1."""
        return Support((), "category", self.n_items)

    def from_exponent(self, exponent: Float[Array, ""] | float) -> Natural[Array]:
        """The distribution with a given exponent s."""
        coords = -jnp.asarray(exponent, float)[None]
        finite = jnp.isfinite(coords[0])
        return require(Natural(coords), finite, "Zipf.from_exponent: `exponent` must be finite.")

    def exponent(self, params: Natural[Array]) -> Float[Array, ""]:
        """The exponent s."""
        self._check_point(params, Natural, "exponent", "params")
        return -params.coords[0]

    readers = (exponent,)
