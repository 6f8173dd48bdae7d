"""What a step of any method needs of the rows: two averages, and the weight of the rows."""

from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families.base import AbstractExponentialFamily
from ..families.compiled import log_prior
from ..geometry.points import pairing


@final
class Averages(eqx.Module):
    """Averages over rows, taken at some coordinates θ.

    Attributes:
        value: of log p(x).
        means: of ∇ψ(θ | x), the expected complete statistics.
        total: weight of all rows, which a prior is weighed against.
    """

    value: Float[Array, "*restarts"]
    means: Any
    total: Any

    def objective(self, model: AbstractExponentialFamily, coords: Any, prior: Any) -> Array:
        """What a fit maximizes: the mean log-density, with a prior plus its share."""
        return self.value + log_prior(prior, model, coords, self.total)

    def slope(
        self,
        model: AbstractExponentialFamily,
        coords_of: Callable[[Any], Any],
        free: Any,
        prior: Any,
    ) -> Any:
        """The gradient of the objective in free parameters, without another look at the rows.

        Mathematically, the gradient of the mean of ψ(θ | x) − ψ(θ) in natural coordinates is
        `means` minus ∇ψ(θ); in free parameters it is that of ⟨θ, means⟩ − ψ(θ).

        Args:
            model: the model.
            coords_of: coordinates from free parameters.
            free: the free parameters of the coordinates that the averages were taken at.
            prior: a conjugate prior, or `None`.
        """

        def rest(free: Any) -> Array:
            coords = coords_of(free)
            given = pairing(coords, self.means)
            return (
                given - model._log_normalizer(coords) + log_prior(prior, model, coords, self.total)
            )

        return jax.grad(rest)(free)


def nothing(coords: Any) -> Averages:
    """Averages over no rows, at coordinates with a leading axis of restarts."""
    leaf = jax.tree.leaves(coords)[0]
    means = jax.tree.map(jnp.zeros_like, coords)
    return Averages(jnp.zeros(leaf.shape[0], leaf.dtype), means, jnp.zeros((), leaf.dtype))
