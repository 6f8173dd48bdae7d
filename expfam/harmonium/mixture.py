"""Mixtures of any family, or of any harmonium."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families import cells
from ..families.base import AbstractExponentialFamily
from ..families.compiled import dtype_of
from ..families.discrete.categorical import Categorical
from ..families.observations import split_labels
from ..families.readings import read_each
from ..families.real.normal import Normal
from ..geometry.checks import require, whole
from ..geometry.manifold import layout_of
from ..geometry.points import Natural
from ..geometry.structures import AbstractStructure
from .base import AbstractHarmonium
from .interaction import HarmoniumCoords, LikelihoodCoords
from .one_hot import OneHotInteraction


@final
class Mixture(AbstractHarmonium):
    """A mixture p(x) = Σ_k π_k p(x; θ_k), with the component number as the latent variable.

    Natural coordinates are θ_k for every component and log-weights w_k with π_k ∝ exp(w_k +
    ψ(θ_k)).

    `initialize_from_sample` clusters the rows by k-means++ and fits every cluster by itself.

    Attributes:
        component: family of the components: any family, a product, or a model with latent variables
            of its own, such as `LinearGaussian` (a mixture of factor analyzers).
        n_components: number of components K.
        varying: for normal components, the covariance structure in which they differ, beside their
            means; the rest of the precision matrix is shared. `None` (default): everything differs.
            `Identity()`: one covariance for all ("tied"); `Diagonal()`: precisions that differ on
            the diagonal; `Scale()`: precisions that differ by multiples of the identity.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> mixture = ef.Mixture(ef.Normal(2), n_components=3)
        >>> mixture.dim
        17
    """

    component: AbstractExponentialFamily
    n_components: int = eqx.field(static=True, converter=whole("Mixture", "n_components", 1))
    varying: AbstractStructure | None = None

    def __check_init__(self) -> None:
        """Refuse components that are none, and shared parts of anything but normals."""
        if not isinstance(self.component, AbstractExponentialFamily):
            raise TypeError(
                "Mixture: `component` must be a family, e.g. expfam.Normal(2), but is of type "
                f"{type(self.component).__name__}."
            )
        if self.varying is not None:
            if not isinstance(self.component, Normal):
                raise TypeError(
                    "Mixture: `varying` applies to components that are Normal, but `component` is "
                    f"{self.component!r}."
                )
            if self.varying.rank > self.component.structure.rank:
                raise ValueError(
                    f"Mixture: `varying` must be contained in the structure of the components, "
                    f"{self.component.structure!r}, but is {self.varying!r}."
                )

    @property
    def interaction(self) -> OneHotInteraction:
        """The one-hot interaction of x and the component number."""
        varying = self.varying
        if isinstance(self.component, Normal) and varying == self.component.structure:
            varying = None
        if isinstance(self.component, AbstractHarmonium):
            posterior = Mixture(self.component.posterior_family, self.n_components)
            prior = Mixture(self.component.prior_family, self.n_components)
        else:
            posterior = prior = Categorical(self.n_components)
        return OneHotInteraction(self.component, self.n_components, varying, posterior, prior)

    def _conditional(self, coords: HarmoniumCoords, x: Any) -> tuple[Any, Any] | None:
        # That of the components, weighted by p(z | x_seen).
        data, _ = split_labels(x)
        parts = self.interaction.components(coords)
        found = cells.conditional(self.component, jax.tree.map(lambda a: a[0], parts), data)
        if found is None:
            return None

        def point(component: Any) -> Any:
            conditional = cells.conditional(self.component, component, data)
            assert conditional is not None  # as of the first component
            return conditional[1]

        result = Mixture(found[0], self.n_components)
        logs = self.interaction.log_assignments(coords, x)
        logs = jnp.maximum(logs, jnp.log(jnp.finfo(logs.dtype).tiny))
        likelihood = LikelihoodCoords(None, jax.vmap(point)(parts))
        return result, result.interaction.weighted(likelihood, logs)

    def _observing(self, observable: Any) -> "Mixture":
        own = self.component
        nested = isinstance(own, AbstractHarmonium)
        return replace(self, component=own._observing(observable) if nested else observable)

    # ---------------------------------------------------------------- usual parameters

    def from_components(
        self, weights: Float[Array, " k"], components: Natural[Any]
    ) -> Natural[HarmoniumCoords]:
        """The mixture with given weights and components.

        Args:
            weights: K numbers that sum to one, not negative: a component of weight zero is off.
            components: natural coordinates of the components, stacked along a leading axis of every
                leaf, e.g. made by `jax.vmap(normal.from_mean_covariance)(means, covariances)`.

        Raises:
            ValueError: wrong shapes, weights that are negative or do not sum to one, or
                components that differ in what they should share.
        """
        if jnp.shape(weights) != (self.n_components,):
            raise ValueError(
                f"Mixture.from_components: `weights` must have shape ({self.n_components},), but "
                f"has shape {jnp.shape(weights)}."
            )
        complete = Mixture(self.component, self.n_components)
        layout = layout_of(complete.spaces.interaction)
        self._check_coords(components, Natural, layout, "from_components", "components")
        coords, good, shared = _from_components(self, jnp.asarray(weights), components.coords)
        good_weights = "Mixture.from_components: `weights` must not be negative, and sum to one."
        same = (
            f"Mixture.from_components: `components` may differ only in {self.varying!r} precision."
        )
        return Natural(require(require(coords, good, good_weights), shared, same))

    def weights(self, params: Natural[HarmoniumCoords]) -> Float[Array, " k"]:
        """The weights π_k of the components, shape `(K,)`."""
        self._check_point(params, Natural, "weights", "params")
        return _weights(self, params.coords)

    def components(self, params: Natural[HarmoniumCoords]) -> Natural[Any]:
        """The components, stacked along a leading axis of every leaf.

        Read them with `jax.vmap`, e.g.
        `jax.vmap(normal.mean_covariance)(mixture.components(params))`.
        """
        self._check_point(params, Natural, "components", "params")
        return Natural(_components(self, params.coords))

    def _read_components(self, params: Natural[HarmoniumCoords]) -> Any:
        return {"components": read_each(self.component, self.components(params))}

    readers = (weights, _read_components)


@jax.jit
def _from_components(mixture: Mixture, weights: Array, parts: Any) -> tuple[Any, Array, Array]:
    interaction = mixture.interaction
    # Zero is the smallest number, with the derivatives of a logarithm there.
    tiny = jnp.finfo(dtype_of(parts)).tiny
    floored = weights + jax.lax.stop_gradient(jnp.maximum(tiny - weights, 0))
    coords = interaction._from_components(parts, jnp.log(floored))
    back = interaction.components(coords)
    gaps = jax.tree.map(
        lambda a, b: jnp.max(jnp.abs(a - b)) <= 1e-4 * jnp.max(jnp.abs(b)) + 1e-30, back, parts
    )
    normalized = jnp.abs(jnp.sum(weights) - 1) < 1e-4
    return coords, jnp.all(weights >= 0) & normalized, jnp.all(jnp.stack(jax.tree.leaves(gaps)))


@jax.jit
def _weights(mixture: Mixture, coords: Any) -> Array:
    return jnp.exp(mixture.interaction.log_weights(coords))


@jax.jit
def _components(mixture: Mixture, coords: Any) -> Any:
    return mixture.interaction.components(coords)
