"""Normal families of which the mean, or the covariance, is known."""

from typing import final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ...geometry.points import Natural
from ...geometry.structures import AbstractStructure, Leaf, PositiveDefinite
from ..derived.bijections import AffineMap, as_floats
from ..derived.fixed import FixedCovariance, ZeroMean
from ..derived.named import AbstractNamedFamily
from ..derived.push_forward import PushForward
from ..derived.sub_family import SubFamily
from ..support import Support
from .normal import Normal


@final
class KnownMeanNormal(AbstractNamedFamily[Leaf]):
    """Normal distributions of vectors around a known mean μ: only the covariance is a parameter.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | −½Σ⁻¹ | Σ | (x − μ)(x − μ)ᵀ | (2π)^(−d/2) |

    With `Diagonal` and `Scale` the statistic is restricted to (x − μ)², and ‖x − μ‖².

    Attributes:
        mean: μ, of shape `(d,)`.
        structure: `PositiveDefinite()` (default), `Diagonal()` or `Scale()`.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.KnownMeanNormal(jnp.zeros(1))
        >>> params = family.maximum_likelihood(jnp.array([[1.0], [7.0]]))
        >>> round(float(family.covariance(params)[0, 0]), 4)
        25.0
    """

    mean: Float[Array, " d"] = eqx.field(converter=as_floats)
    structure: AbstractStructure = PositiveDefinite()

    def __check_init__(self) -> None:
        """Refuse a mean that is not a vector, and structures that leave nothing to vary."""
        if jnp.ndim(self.mean) != 1:
            raise ValueError(
                f"KnownMeanNormal: `mean` must be a vector, but has shape {jnp.shape(self.mean)}."
            )
        ZeroMean().check(self.normal)

    @property
    def definition(self) -> PushForward:
        """Centered normals, shifted."""
        return PushForward(SubFamily(self.normal, ZeroMean()), AffineMap(self.mean))

    @property
    def normal(self) -> Normal:
        """The family with a free mean."""
        return Normal(self.mean.shape[0], self.structure)

    @property
    def support(self) -> Support:
        """Real vectors of length d."""
        return self.normal.support

    def from_covariance(self, covariance: Array) -> Natural[Leaf]:
        """The normal with a given covariance, as `Normal.from_mean_covariance` takes it.

        Raises:
            ValueError: a wrong shape, or a covariance that is not positive definite.
        """
        origin = jnp.zeros_like(self.mean)
        return Natural(self.normal.from_mean_covariance(origin, covariance).coords.second)

    def covariance(self, params: Natural[Leaf]) -> Float[Array, "d d"]:
        """The covariance matrix Σ."""
        self._check_point(params, Natural, "covariance", "params")
        return _covariance(self, params.coords)

    readers = (covariance,)


@final
class KnownCovarianceNormal(AbstractNamedFamily[Array]):
    """Normal distributions of vectors with a known covariance Σ: only the mean is a parameter.

    | natural θ | mean η | statistic s(x) | base measure |
    | --- | --- | --- | --- |
    | Σ⁻¹μ | μ | x | (2π)^(−d/2) exp(−½xᵀΣ⁻¹x) |

    With Σ = I it is `Normal(d, Identity())`. The log-normalizer has half the log-determinant of Σ.

    Attributes:
        covariance: Σ, a positive-definite matrix of shape `(d, d)`.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.KnownCovarianceNormal(jnp.diag(jnp.array([1.0, 4.0])))
        >>> params = family.from_mean(jnp.array([1.0, 2.0]))
        >>> [float(value) for value in params.coords]
        [1.0, 0.5]
    """

    covariance: Float[Array, "d d"] = eqx.field(converter=as_floats)

    def __check_init__(self) -> None:
        """Refuse a covariance that is not a square matrix."""
        shape = jnp.shape(self.covariance)
        if len(shape) != 2 or shape[0] != shape[1]:
            raise ValueError(
                "KnownCovarianceNormal: `covariance` must be a square matrix, but has shape "
                f"{shape}."
            )

    @property
    def definition(self) -> SubFamily:
        """Normals with the given covariance."""
        return SubFamily(self.normal, FixedCovariance(self.covariance))

    @property
    def normal(self) -> Normal:
        """The family with a free covariance."""
        return Normal(self.covariance.shape[0])

    @property
    def support(self) -> Support:
        """Real vectors of length d."""
        return self.normal.support

    def from_mean(self, mean: Float[Array, " d"]) -> Natural[Array]:
        """The normal with a given mean, of shape `(d,)`.

        Raises:
            ValueError: a wrong shape, or a covariance of the family that is not positive definite.
        """
        return Natural(self.normal.from_mean_covariance(mean, self.covariance).coords.first)

    def mean(self, params: Natural[Array]) -> Float[Array, " d"]:
        """The mean vector μ."""
        self._check_point(params, Natural, "mean", "params")
        return self.to_mean(params).coords

    readers = (mean,)


@jax.jit
def _covariance(family: KnownMeanNormal, coords: Leaf) -> Array:
    normal = family.normal
    return normal._covariance_matrix(ZeroMean().embed(normal, coords))
