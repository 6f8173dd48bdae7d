"""The beta family: a number between 0 and 1."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole
from ..observed import AbstractObservedFamily
from ..special.gamma import factorial_remainder
from ..support import Support
from . import dirichlet


@final
class BetaCoords(eqx.Module):
    """Coordinates of a beta.

    Attributes:
        logarithm: pairs with log x: natural α; a scalar.
        complement: pairs with log(1 − x): natural β; a scalar.
    """

    logarithm: Any
    complement: Any


@final
class Beta(AbstractObservedFamily[BetaCoords]):
    """Distributions of a number between 0 and 1, p(x) = x^(α−1) (1 − x)^(β−1) / B(α, β).

    | | logarithm | complement |
    | --- | --- | --- |
    | natural θ | α | β |
    | mean η | digamma(α) − digamma(α + β) | digamma(β) − digamma(α + β) |
    | statistic s(x) | log x | log(1 − x) |

    The base measure is 1/(x(1 − x)). Draws that round to 0 or to 1, which small α or β have often,
    are moved to the nearest number inside.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 2 (1995), chapter 25.

    Examples:
        >>> import expfam as ef
        >>> beta = ef.Beta()
        >>> round(float(beta.to_mean(beta.from_concentration(1.0, 2.0)).coords.logarithm), 4)
        -1.5
    """

    @property
    def spaces(self) -> BetaCoords:
        """ℝ²."""
        return BetaCoords(Euclidean(()), Euclidean(()))

    @property
    def support(self) -> Support:
        """(0, 1)."""
        return Support((), "unit")

    def from_concentration(
        self, alpha: Float[Array, ""] | float, beta: Float[Array, ""] | float
    ) -> Natural[BetaCoords]:
        """The distribution with given α and β, both positive and finite."""
        coords = BetaCoords(jnp.asarray(alpha, float), jnp.asarray(beta, float))
        return require(
            Natural(coords),
            self._in_domain(coords),
            "Beta.from_concentration: `alpha` and `beta` must be positive and finite.",
        )

    def concentration(
        self, params: Natural[BetaCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The concentrations α and β."""
        self._check_point(params, Natural, "concentration", "params")
        return params.coords.logarithm, params.coords.complement

    readers = (concentration,)

    @property
    def _cells(self) -> Whole:
        return Whole(
            lambda family, coords: coords.logarithm / (coords.logarithm + coords.complement)
        )

    def _sufficient_statistic(self, x: Array) -> BetaCoords:
        return BetaCoords(jnp.log(x), jnp.log1p(-x))

    def _log_base_measure(self, x: Array) -> Array:
        return -jnp.log(x) - jnp.log1p(-x)

    def _log_normalizer(self, coords: BetaCoords) -> Array:
        return dirichlet.log_normalizer(_stack(coords))

    def _log_normalizer_given(self, coords: BetaCoords, x: Array) -> Array:
        return (coords.logarithm - 1) * jnp.log(x) + (coords.complement - 1) * jnp.log1p(-x)

    def _log_density(self, coords: BetaCoords, x: Array) -> Array:
        # as in the Dirichlet family, for the pair x, 1 − x
        alpha, pair = _stack(coords), jnp.stack([x, 1 - x])
        n = jnp.sum(alpha)
        logs = jnp.log(x) + jnp.log1p(-x)
        spread = dirichlet.share_deviance(alpha, pair)
        terms = jnp.log(alpha) - factorial_remainder(alpha) - spread
        return factorial_remainder(n) - jnp.log(n) + jnp.sum(terms) - logs

    def _maximize(self, means: BetaCoords, start: BetaCoords | None) -> BetaCoords:
        begin = None if start is None else _stack(start)
        return _unstack(dirichlet.invert_mean(_stack(means), begin))

    def _estimate(self, xs: Array, shares: Array) -> BetaCoords:
        parts = shares.astype(xs.dtype)
        center = parts @ xs
        step = xs - center
        pair, steps = jnp.stack([xs, 1 - xs], axis=1), jnp.stack([step, -step], axis=1)
        return _unstack(dirichlet.estimate(jnp.stack([center, 1 - center]), pair, steps, parts))

    def _entropy(self, coords: BetaCoords) -> Array:
        return dirichlet.entropy(_stack(coords))

    def _divergence(self, p: BetaCoords, q: BetaCoords) -> Array:
        return dirichlet.divergence(_stack(p), _stack(q))

    def _in_domain(self, coords: BetaCoords) -> Bool[Array, ""]:
        alpha = _stack(coords)
        return jnp.all((alpha > 0) & jnp.isfinite(alpha))

    def _sample(self, key: Key[Array, ""], coords: BetaCoords) -> Array:
        # x = 1/(1 + e^(−d)) for the difference d of the logarithms of two gammas
        alpha = _stack(coords)
        logs = jax.random.loggamma(key, alpha, dtype=alpha.dtype)
        limits = jnp.finfo(logs.dtype)
        return jnp.clip(jax.nn.sigmoid(logs[0] - logs[1]), limits.tiny, 1 - limits.epsneg)

    def _features(self, x: Array) -> Array:
        return jnp.arcsin(jnp.sqrt(x))[None]

    def _initialize(self, key: Key[Array, ""]) -> BetaCoords:
        return self._from_unconstrained(jax.random.normal(key, (2,)))

    def _weak_means(self, xs: Array) -> BetaCoords:
        # α and β in the proportion of the data, with a total of 2
        share = jnp.clip(jnp.mean(xs), 1e-3, 1 - 1e-3)
        return _unstack(dirichlet.mean_of(2 * jnp.stack([share, 1 - share])))

    def _to_unconstrained(self, coords: BetaCoords) -> Array:
        return jnp.log(_stack(coords))

    def _from_unconstrained(self, free: Array) -> BetaCoords:
        return _unstack(jnp.exp(free))


def _stack(coords: BetaCoords) -> Array:
    return jnp.stack([coords.logarithm, coords.complement])


def _unstack(pair: Array) -> BetaCoords:
    return BetaCoords(pair[0], pair[1])
