"""Models of the library as distributions of NumPyro; needs `pip install 'expfam[bayes]'`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import jax
from jaxtyping import Array

from .families import compiled
from .families.base import AbstractExponentialFamily
from .families.support import is_support
from .geometry import checks
from .geometry.points import Natural

try:
    from numpyro.distributions import Distribution, constraints
except ImportError as error:
    raise ImportError(
        "expfam.numpyro needs NumPyro; install it with pip install 'expfam[bayes]'."
    ) from error


@final
class ModelDistribution(Distribution):
    """The distribution of one observation of a model, with its latent variables summed out."""

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012 as NumPyro declares it
    pytree_data_fields = ("params",)
    pytree_aux_fields = ("model",)

    model: AbstractExponentialFamily
    params: Natural[Any]

    @constraints.dependent_property
    def support(self) -> Any:
        """Of counts and categories: integers that are not negative; else real numbers."""
        kind = self.model.observed_support.kind
        whole = {"count", "binary", "category", "positive count", "bounded count"}
        own = constraints.nonnegative_integer if kind in whole else constraints.real
        rank = len(self.event_shape)
        return constraints.independent(own, rank) if rank else own

    def log_prob(self, value: Any, intermediates: Any = None) -> Array:
        """The log-density of observations with any leading axes."""
        return self.model._per_observation(
            compiled.log_observable_density, self.params, value, "log_prob"
        )

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Array:
        """Draws of observations with leading axes `sample_shape`."""
        draws = self.model.sample(key, self.params, sample_shape)
        observe = self.model._observe
        for _ in sample_shape:
            observe = jax.vmap(observe)
        return observe(draws)


def distribution(model: AbstractExponentialFamily, params: Natural[Any]) -> ModelDistribution:
    """The NumPyro distribution of an observation of a model, its latent variables summed out.

    In `numpyro.sample("xs", distribution(model, params), obs=xs)` rows may be incomplete or
    labeled. Make the parameters of draws of the usual ones by the named constructors of the model,
    in a block `with expfam.numpyro.proposals():`.

    Args:
        model: a family or a model of one array.
        params: a point of it, in natural coordinates.

    Raises:
        TypeError: a model of tuples of data.
    """
    if not is_support(model.observed_support):
        raise TypeError(
            f"expfam.numpyro.distribution: `model` must have data of one array, but {model!r} has "
            'tuples of them; use numpyro.factor("xs", '
            "jnp.sum(model.log_observable_density(params, xs)))."
        )
    model._check_point(params, Natural, "numpyro.distribution", "params")
    own = ModelDistribution(event_shape=model.observed_support.shape)
    own.model, own.params = model, params
    return own


@contextmanager
def proposals() -> Iterator[None]:
    """A block in which invalid parameters become NaN, and no error, where they are traced.

    Samplers propose what is out of range by rounding, a weight of zero or a singular covariance.
    They reject a density that is NaN; an error would end the run.
    """
    with checks.nan_where_traced():
        yield
