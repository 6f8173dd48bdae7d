"""Weak conjugate priors from the scale of the data: the cure for degenerate fits."""

from typing import Any

import jax

from ..families.base import AbstractExponentialFamily, Data
from ..families.observations import fill
from ..families.support import check_observations
from ..geometry.points import Mean
from ..priors.conjugate import ConjugatePrior


def weak_prior(model: AbstractExponentialFamily, xs: Data, count: float = 1.0) -> ConjugatePrior:
    """A conjugate prior worth a few rows, which keeps covariances and probabilities off zero.

    The imagined rows have the column means and variances of the data, without correlations. In a
    mixture they are spread evenly over the components; latent variables are imagined standard
    normal and without loadings. For families of discrete data the imagined rows are half like the
    data, half like the origin of the natural coordinates (e.g. uniform).

    Args:
        model: any model.
        xs: rows of observations, with one leading axis n.
        count: how many rows the prior is worth; more pulls harder.

    Returns:
        A prior for `fit(..., prior=)` and `expectation_maximization(..., prior=)`.

    Raises:
        ValueError: where `count` is not positive.
    """
    xs, _ = check_observations(model, xs, "weak_prior")
    if not count > 0:
        raise ValueError(f"weak_prior: `count` must be positive, but is {count}.")
    return ConjugatePrior.from_mean(model, Mean(_weak_means(model, xs)), count)


@jax.jit
def _weak_means(model: AbstractExponentialFamily, xs: Any) -> Any:
    return model._weak_means(fill(jax.random.key(0), xs))
