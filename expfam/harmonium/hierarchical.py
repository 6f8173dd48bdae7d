"""Hierarchical models: the latent variable of a lower harmonium is observed by an upper one."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
from jaxtyping import Array, Float

from ..families.kernels import Data
from ..geometry.points import Natural
from . import conditionals
from .base import AbstractHarmonium, latent_mean
from .interaction import HarmoniumCoords
from .latent import location
from .linear import LinearInteraction
from .linear_gaussian import LinearGaussian


@final
class Hierarchical(AbstractHarmonium):
    """A hierarchy p(x, y, z) = p(x | y) p(y, z) of a linear Gaussian likelihood and an upper model.

    Any model of normal observations can stand above: a mixture of normals (see the HMoG classes),
    another `LinearGaussian`, a mixture of factor analyzers, or again a hierarchy. Complete data are
    pairs (x, (y, z)).

    Attributes:
        lower: the likelihood p(x | y); its own prior is not used.
        upper: the model of (y, z), whose observations have the latent dimension of `lower` and full
            covariance.
        whiten: whether EM steps bring y to mean 0 and covariance I, where `upper` allows it.

    Examples:
        >>> import expfam as ef
        >>> lower = ef.LinearGaussian(10, ef.Diagonal(), 4)
        >>> upper = ef.LinearGaussian(4, ef.PositiveDefinite(), 2)
        >>> ef.Hierarchical(lower, upper).observable.size
        10
    """

    lower: LinearGaussian
    upper: AbstractHarmonium
    whiten: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        """Refuse models that do not fit."""
        family = location(self.upper)
        if family.size != self.lower.lat_dim:
            raise ValueError(
                "Hierarchical: `upper` must model observations of the latent dimension of `lower`, "
                f"{self.lower.lat_dim}, but its observations have dimension {family.size}."
            )
        if family.structure.rank != 3:
            raise ValueError(
                "Hierarchical: `upper` must have observations of full covariance, so that the "
                f"posterior is closed under conjugation, but has {family.structure!r}."
            )

    @property
    def interaction(self) -> LinearInteraction:
        """The linear Gaussian interaction of x and y."""
        return LinearInteraction(self.lower.observable, self.upper, self.upper, self.whiten)

    def _conditional(self, coords: HarmoniumCoords, x: Any) -> tuple[Any, Any] | None:
        return conditionals.conditional(self, coords, x)

    def _observing(self, observable: Any) -> "Hierarchical":
        return replace(self, lower=self.lower._observing(observable))

    def latent_mean(self, params: Natural[HarmoniumCoords], x: Data) -> Float[Array, "*batch d"]:
        """The posterior mean E[y | x], for observations with any leading axes."""
        return self._per_observation(latent_mean, params, x, "latent_mean")
