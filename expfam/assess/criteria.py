"""Information criteria: log-likelihoods that pay for parameters."""

from typing import Any, final

import equinox as eqx
import numpy as np

from ..families.base import AbstractExponentialFamily
from ..geometry.points import Natural
from .rows import assignments, checked_rows, entropy, log_densities, row_weights

NAMES = ("aic", "aicc", "bic", "caic", "icl", "sabic")


@final
class Criteria(eqx.Module):
    """How well a model fits, in the currencies of the field: smaller is better.

    With L the log-likelihood of n rows and k parameters that it determines.

    Attributes:
        log_likelihood: L, the sum over rows of log p(x), in nats.
        n_parameters: k.
        n_rows: n, the sum of the weights.
        entropy: −Σ p(z | x) log p(z | x) over rows and components, in nats; 0 without components.
    """

    log_likelihood: float
    n_parameters: int
    n_rows: float
    entropy: float

    def _penalized(self, price: float) -> float:
        return -2 * self.log_likelihood + price * self.n_parameters

    @property
    def aic(self) -> float:
        """−2 L + 2 k (Akaike 1973): of the models, that which predicts best."""
        return self._penalized(2.0)

    @property
    def aicc(self) -> float:
        """AIC + 2 k (k + 1)/(n − k − 1) (Hurvich & Tsai 1989); infinite where n ≤ k + 1."""
        k, rest = self.n_parameters, self.n_rows - self.n_parameters - 1
        return self.aic + 2 * k * (k + 1) / rest if rest > 0 else float("inf")

    @property
    def bic(self) -> float:
        """−2 L + k log n (Schwarz 1978): of the models, that which is true."""
        return self._penalized(float(np.log(self.n_rows)))

    @property
    def caic(self) -> float:
        """−2 L + k (log n + 1) (Bozdogan 1987)."""
        return self._penalized(float(np.log(self.n_rows)) + 1)

    @property
    def sabic(self) -> float:
        """−2 L + k log((n + 2)/24) (Sclove 1987): BIC for few rows."""
        return self._penalized(float(np.log((self.n_rows + 2) / 24)))

    @property
    def icl(self) -> float:
        """BIC + 2 · entropy (Biernacki, Celeux & Govaert 2000): components that are clusters."""
        return self.bic + 2 * self.entropy

    def __repr__(self) -> str:
        """All criteria, a line each."""
        head = f"log-likelihood {self.log_likelihood:.3f}, {self.n_parameters} parameters"
        lines = [f"  {name:6} {getattr(self, name):.3f}" for name in NAMES]
        return "\n".join([f"{head}, {self.n_rows:g} rows", *lines])


def criteria(
    model: AbstractExponentialFamily, params: Natural[Any], xs: Any, weights: Any = None
) -> Criteria:
    """Information criteria of a fitted model.

    Args:
        model: any family or latent-variable model.
        params: natural coordinates, at the maximum of the likelihood.
        xs: the rows that it was fitted to.
        weights: n numbers, not negative; equal where not given. Their sum stands for n.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> xs = jnp.array([0, 1, 1, 3, 5])
        >>> poisson = ef.Poisson()
        >>> ef.assess.criteria(poisson, poisson.maximum_likelihood(xs), xs).n_parameters
        1
    """
    xs, n = checked_rows(model, params, xs, "criteria")
    parts = row_weights(weights, n, "criteria")
    total = float(parts @ log_densities(model, params.coords, xs))
    doubt = entropy(assignments(model, params.coords, xs), parts) if model.n_labels else 0.0
    return Criteria(total, model.n_parameters, float(parts.sum()), doubt)
