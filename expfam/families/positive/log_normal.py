"""The log-normal family of positive vectors, with a choice of covariance structure."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.checks import whole
from ...geometry.points import Natural
from ...geometry.structures import AbstractStructure, PositiveDefinite
from ..derived.bijections import ExponentialMap
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..frame import Frame
from ..real.normal import Normal, NormalCoords
from ..support import Support


@final
class LogNormal(AbstractNamedFamily[NormalCoords]):
    """Distributions of positive vectors whose logarithm is normal, p(x) = N(log x; μ, Σ) / Π_i x_i.

    | | first | second |
    | --- | --- | --- |
    | natural θ | Σ⁻¹μ | −½Σ⁻¹ |
    | mean η | μ | Σ + μμᵀ |
    | statistic s(x) | log x | log x (log x)ᵀ |

    The base measure is (2π)^(−d/2) / Π_i x_i. Coordinates are those of the normal of log x.

    Attributes:
        size: number of dimensions d.
        structure: covariance structure of log x: `PositiveDefinite()` (default), `Diagonal()`,
            `Scale()` or `Identity()`.
        frame: origin and units of log x, for data far from 1; made by `expfam.standardize`.

    References:
        Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1 (1994), chapter 14.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.LogNormal(1)
        >>> params = family.from_log_mean_covariance(jnp.zeros(1), jnp.eye(1))
        >>> mean, covariance = family.mean_covariance(params)
        >>> round(float(mean[0]), 4)
        1.6487
    """

    size: int = eqx.field(static=True, converter=whole("LogNormal", "size", 1))
    structure: AbstractStructure = PositiveDefinite()
    frame: Frame | None = None

    def __check_init__(self) -> None:
        """Refuse what no normal has for its size and structure."""
        Normal(self.size, self.structure, self.frame)

    @property
    def definition(self) -> PushForward:
        """The exponential of a normal."""
        return PushForward(self.normal, ExponentialMap())

    @property
    def normal(self) -> Normal:
        """The family of log x, which has the same coordinates."""
        return Normal(self.size, self.structure, self.frame)

    @property
    def support(self) -> Support:
        """Vectors of positive numbers."""
        return Support((self.size,), "positive", whole=0)

    def from_log_mean_covariance(
        self, mean: Float[Array, " d"], covariance: Array | None = None
    ) -> Natural[NormalCoords]:
        """The distribution whose logarithm has a given mean and covariance.

        Args:
            mean: μ, of shape `(d,)`.
            covariance: Σ, as `Normal.from_mean_covariance` takes it.

        Raises:
            ValueError: a wrong shape, or a covariance that is not positive definite.
        """
        return self.normal.from_mean_covariance(mean, covariance)

    def log_mean_covariance(
        self, params: Natural[NormalCoords]
    ) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Mean vector and covariance matrix of log x."""
        self._check_point(params, Natural, "log_mean_covariance", "params")
        return self.normal.mean_covariance(params)

    def mean_covariance(
        self, params: Natural[NormalCoords]
    ) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Mean vector and covariance matrix of x itself."""
        self._check_point(params, Natural, "mean_covariance", "params")
        return _mean_covariance(*self.normal.mean_covariance(params))

    readers = (log_mean_covariance,)


@jax.jit
def _mean_covariance(mean: Array, covariance: Array) -> tuple[Array, Array]:
    # E x_i = exp(μ_i + ½Σ_ii), Cov(x_i, x_j) = E x_i E x_j (exp(Σ_ij) − 1)
    raw = jnp.exp(mean + jnp.diagonal(covariance) / 2)
    return raw, jnp.outer(raw, raw) * jnp.expm1(covariance)
