"""The Conway–Maxwell–Poisson family: counts with more or less dispersion than a Poisson."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require
from ...geometry.points import Natural
from ...geometry.spaces import Euclidean
from ..cells import Whole, mean_statistic
from ..observed import AbstractObservedFamily
from ..special import dispersed
from ..special.gamma import log_gamma
from ..support import Support


@final
class ConwayMaxwellPoissonCoords(eqx.Module):
    """Coordinates of a Conway–Maxwell–Poisson.

    Attributes:
        count: pairs with x: natural ν log μ; a scalar.
        log_factorial: pairs with log x!: natural −ν; a scalar.
    """

    count: Any
    log_factorial: Any


@final
class ConwayMaxwellPoisson(AbstractObservedFamily[ConwayMaxwellPoissonCoords]):
    """Distributions of counts with rate μ and dispersion ν, p(x) ∝ (μˣ/x!)^ν.

    With ν = 1 they are Poissons; below, the variance (about μ/ν) is larger, above, smaller.

    | | count | log_factorial |
    | --- | --- | --- |
    | natural θ | ν log μ | −ν |
    | mean η | E x | E log x! |
    | statistic s(x) | x | log x! |

    The base measure is 1. The sum over all counts in ψ is taken without truncation.

    References:
        Shmueli et al., A useful distribution for fitting discrete data (2005); Guikema & Goffelt, A
        flexible count data regression model for risk analysis (2008), for the rate μ.

    Examples:
        >>> import expfam as ef
        >>> family = ef.ConwayMaxwellPoisson()
        >>> params = family.from_rate_dispersion(3.0, 1.0)
        >>> round(float(family.to_mean(params).coords.count), 4)
        3.0
    """

    @property
    def spaces(self) -> ConwayMaxwellPoissonCoords:
        """ℝ²."""
        return ConwayMaxwellPoissonCoords(Euclidean(()), Euclidean(()))

    @property
    def support(self) -> Support:
        """0, 1, 2, …."""
        return Support((), "count")

    def from_rate_dispersion(
        self, rate: Float[Array, ""] | float, dispersion: Float[Array, ""] | float
    ) -> Natural[ConwayMaxwellPoissonCoords]:
        """The distribution with given rate μ and dispersion ν, both positive and finite."""
        mu, nu = jnp.asarray(rate, float), jnp.asarray(dispersion, float)
        coords = ConwayMaxwellPoissonCoords(nu * jnp.log(mu), -nu)
        return require(
            Natural(coords),
            self._in_domain(coords) & (mu > 0),
            "ConwayMaxwellPoisson.from_rate_dispersion: `rate` and `dispersion` must be positive "
            "and finite.",
        )

    def rate_dispersion(
        self, params: Natural[ConwayMaxwellPoissonCoords]
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """Rate μ and dispersion ν."""
        self._check_point(params, Natural, "rate_dispersion", "params")
        return dispersed.rate_of(_stack(params.coords)), -params.coords.log_factorial

    readers = (rate_dispersion,)

    @property
    def _cells(self) -> Whole:
        return Whole(lambda family, coords: mean_statistic(family, coords).count)

    def _sufficient_statistic(self, x: Array) -> ConwayMaxwellPoissonCoords:
        return ConwayMaxwellPoissonCoords(x.astype(float), log_gamma(x.astype(float) + 1))

    def _log_base_measure(self, x: Array) -> Array:
        return jnp.zeros(())

    def _log_normalizer(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        return dispersed.log_normalizer(_stack(coords))

    def _log_normalizer_given(self, coords: ConwayMaxwellPoissonCoords, x: Array) -> Array:
        count = x.astype(coords.count.dtype)
        return coords.count * count + coords.log_factorial * log_gamma(count + 1)

    def _log_density(self, coords: ConwayMaxwellPoissonCoords, x: Array) -> Array:
        return dispersed.log_density(_stack(coords), x.astype(coords.count.dtype))

    def _maximize(
        self, means: ConwayMaxwellPoissonCoords, start: ConwayMaxwellPoissonCoords | None
    ) -> ConwayMaxwellPoissonCoords:
        begin = None if start is None else _stack(start)
        return _unstack(dispersed.invert_mean(_stack(means), begin))

    def _estimate(self, xs: Array, shares: Array) -> ConwayMaxwellPoissonCoords:
        # Σ w (log x! − its chord at the mean), of terms that are not negative
        parts = shares.astype(float)
        counts = xs.astype(parts.dtype)
        mean = parts @ counts
        mean = mean + parts @ (counts - mean)
        gap = parts @ dispersed.above_chord(counts, mean)
        return _unstack(dispersed.invert_gap(mean, gap, None))

    def _entropy(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        return dispersed.entropy(_stack(coords))

    def _in_domain(self, coords: ConwayMaxwellPoissonCoords) -> Bool[Array, ""]:
        inside = (coords.log_factorial < 0) & jnp.isfinite(coords.log_factorial)
        rate = dispersed.rate_of(_stack(coords))
        return inside & jnp.isfinite(coords.count) & jnp.isfinite(rate)

    def _sample(self, key: Key[Array, ""], coords: ConwayMaxwellPoissonCoords) -> Array:
        return dispersed.draw(key, _stack(coords))

    def _features(self, x: Array) -> Array:
        return jnp.sqrt(x.astype(float) + 3 / 8)[None]

    def _initialize(self, key: Key[Array, ""]) -> ConwayMaxwellPoissonCoords:
        return self._from_unconstrained(0.5 * jax.random.normal(key, (2,)))

    def _weak_means(self, xs: Array) -> ConwayMaxwellPoissonCoords:
        # those of a Poisson between the mean of the data and 1
        rate = (jnp.mean(xs.astype(float)) + 1) / 2
        return _unstack(dispersed.mean_of(jnp.stack([jnp.log(rate), -jnp.ones_like(rate)])))

    def _to_unconstrained(self, coords: ConwayMaxwellPoissonCoords) -> Array:
        nu = -coords.log_factorial
        return jnp.stack([coords.count / nu, jnp.log(nu)])

    def _from_unconstrained(self, free: Array) -> ConwayMaxwellPoissonCoords:
        nu = jnp.exp(free[1])
        return ConwayMaxwellPoissonCoords(nu * free[0], -nu)


def _stack(coords: ConwayMaxwellPoissonCoords) -> Array:
    return jnp.stack([coords.count, coords.log_factorial])


def _unstack(pair: Array) -> ConwayMaxwellPoissonCoords:
    return ConwayMaxwellPoissonCoords(pair[0], pair[1])
