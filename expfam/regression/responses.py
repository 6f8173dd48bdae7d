"""Which responses there are regressions of."""

from typing import Any

from ..families.discrete.bernoulli import Bernoulli
from ..families.discrete.binomial import Binomial
from ..families.discrete.categorical import Categorical
from ..families.discrete.geometric import Geometric
from ..families.discrete.multinomial import Multinomial
from ..families.discrete.negative_binomial import NegativeBinomial
from ..families.discrete.poisson import Poisson
from ..families.positive.exponential import Exponential
from ..families.positive.gamma import Gamma
from ..families.positive.inverse_gaussian import InverseGaussian
from ..families.real.normal import Normal
from .canonical import Canonical
from .linear import Linear
from .log_mean import LogMean, LogMeanOfShape
from .response import AbstractResponse


def response_of(family: Any) -> AbstractResponse:
    """How the distribution of a response depends on its linear predictor.

    Raises:
        TypeError: a family that no regression is known of.
    """
    match family:
        case Normal(frame=None):
            return Linear(family)
        case Bernoulli() | Binomial() | Categorical() | Multinomial() | Poisson():
            return Canonical(family)
        case NegativeBinomial() | Geometric() | Exponential():
            return LogMean(family)
        case Gamma() | InverseGaussian():
            return LogMeanOfShape(family)
    raise TypeError(
        "Regression: `response` must be Normal (without a frame), Bernoulli, Binomial, "
        "Categorical, Multinomial, Poisson, NegativeBinomial, Geometric, Exponential, Gamma or "
        f"InverseGaussian, but is {family!r}."
    )
