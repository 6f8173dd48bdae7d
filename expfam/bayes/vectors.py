"""Points of a model as vectors of any real numbers, as many as the model has dimensions.

Free parameters of `to_unconstrained` may be more than that: weights have a logarithm each, factors
of covariances a whole matrix. What is superfluous is linear, so that a fixed basis leaves it out.
"""

from abc import abstractmethod
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from ..geometry.manifold import remembered
from ..geometry.programs import compiled_once
from ..geometry.spaces import zeros
from ..harmonium.mixture import Mixture

_TOLERANCE = 1e-4


class AbstractVectors(eqx.Module):
    """A chart of a model: vectors of length `dim`, all of which are points."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """The dimension of the model."""

    @abstractmethod
    def free(self, vector: Float[Array, " dim"]) -> PyTree[Array]:
        """Free parameters, as `from_unconstrained` of the model takes them."""

    @abstractmethod
    def vector(self, free: PyTree[Array]) -> Float[Array, " dim"]:
        """The inverse, up to what is superfluous."""

    @abstractmethod
    def log_volume(self, vector: Float[Array, " dim"]) -> Float[Array, ""]:
        """log |det ∂θ/∂u|, θ being natural coordinates, packed as `flatten` packs them."""


@final
class GeneralVectors(AbstractVectors):
    """Of any model: the Jacobian determinant is that of a matrix."""

    model: Any
    basis: Float[Array, "free dim"]

    @property
    def dim(self) -> int:
        """The dimension of the model."""
        return self.basis.shape[1]

    def free(self, vector: Float[Array, " dim"]) -> PyTree[Array]:
        """Combinations of the basis."""
        return _empty(self.model)[1](self.basis.astype(vector.dtype) @ vector)

    def vector(self, free: PyTree[Array]) -> Float[Array, " dim"]:
        """Inner products with the basis."""
        flat = ravel_pytree(free)[0]
        return flat @ self.basis.astype(flat.dtype)

    def log_volume(self, vector: Float[Array, " dim"]) -> Float[Array, ""]:
        """By forward differentiation, a direction for every dimension."""

        def natural(vector: Array) -> Array:
            return self.model._flatten(self.model._from_unconstrained(self.free(vector)), "natural")

        return jnp.linalg.slogdet(jax.jacfwd(natural)(vector))[1]


@final
class MixtureVectors(AbstractVectors):
    """Of mixtures whose components share nothing: log-odds of the weights, then the components.

    With log-weights w_k = log π_k − ψ(θ_k) up to a constant, the Jacobian matrix is block
    triangular: its determinant is the product of those of the components.
    """

    component: AbstractVectors
    n_components: int = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """K − 1, and those of the components."""
        return self.n_components * (self.component.dim + 1) - 1

    def _split(self, vector: Float[Array, " dim"]) -> tuple[Array, Array]:
        odds, rest = jnp.split(vector, [self.n_components - 1])
        return odds, jnp.reshape(rest, (self.n_components, self.component.dim))

    def free(self, vector: Float[Array, " dim"]) -> PyTree[Array]:
        """Logarithms of the weights, relative to component 0, and free parameters of each."""
        odds, parts = self._split(vector)
        return jnp.concatenate([jnp.zeros((1,), odds.dtype), odds]), jax.vmap(self.component.free)(
            parts
        )

    def vector(self, free: PyTree[Array]) -> Float[Array, " dim"]:
        """The inverse."""
        logs, parts = free
        return jnp.concatenate(
            [logs[1:] - logs[0], jnp.ravel(jax.vmap(self.component.vector)(parts))]
        )

    def log_volume(self, vector: Float[Array, " dim"]) -> Float[Array, ""]:
        """The sum of those of the components."""
        return jnp.sum(jax.vmap(self.component.log_volume)(self._split(vector)[1]))


def vectors_of(model: Any, owner: str) -> AbstractVectors:
    """The chart of a model.

    Args:
        model: a family or a model.
        owner: function, for the message.

    Raises:
        TypeError: a model of which free parameters reach a part only.
    """
    if isinstance(model, Mixture) and model.interaction.varying is None:
        return MixtureVectors(vectors_of(model.component, owner), model.n_components)
    basis = remembered(model, "free basis", lambda: _basis(model))
    if basis.shape[1] != model.dim:
        raise TypeError(
            f"{owner}: `model` has {model.dim} natural coordinates, but the points that are "
            f"reached by from_unconstrained have {basis.shape[1]} dimensions only, so that "
            "densities with respect to natural coordinates say nothing about them. Use "
            "expfam.numpyro.distribution, with priors on the usual parameters."
        )
    return GeneralVectors(model, jnp.asarray(basis, float))


def _empty(model: Any) -> tuple[Array, Any]:
    # Free parameters that are zero, as a vector, and how to make a tree of a vector.
    coords = zeros(model.spaces, jnp.result_type(float))
    shapes = jax.eval_shape(model._to_unconstrained, coords)
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))


def _basis(model: Any) -> np.ndarray:
    # An orthonormal basis of the free parameters that move the point, entries as they are where
    # that is possible. What moves nothing does so everywhere: any place shows it.
    flat, restore = _empty(model)
    noise = 0.4 * np.random.default_rng(0).normal(size=flat.shape)
    derivative = compiled_once(
        jax.jacfwd(lambda u: model._flatten(model._from_unconstrained(restore(u)), "natural"))
    )
    jacobian = np.asarray(derivative(jnp.asarray(noise, flat.dtype)), float)
    _, sizes, rows = np.linalg.svd(jacobian, full_matrices=False)
    rows = rows[sizes > _TOLERANCE * sizes.max(initial=0.0)]
    projector = rows.T @ rows
    alone = np.diagonal(projector) > 1 - _TOLERANCE
    mixed = np.flatnonzero(~alone & (np.diagonal(projector) > _TOLERANCE))
    values, directions = np.linalg.eigh(projector[np.ix_(mixed, mixed)])
    rest = np.zeros((len(flat), len(mixed)))
    rest[mixed] = directions
    return np.concatenate([np.eye(len(flat))[:, alone], rest[:, values > 0.5]], axis=1)
