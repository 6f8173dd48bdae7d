"""`GaussianMixture`, in place of scikit-learn's."""

import warnings
from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.mixture
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from ..families.real.normal import Normal, NormalCoords
from ..fitting import result
from ..fitting.fit import fit
from ..fitting.methods import EM
from ..fitting.weak_prior import weak_prior
from ..geometry.points import Mean, Natural
from ..geometry.structures import Diagonal, Identity, PositiveDefinite, Scale
from ..harmonium.interaction import LikelihoodCoords
from ..harmonium.mixture import Mixture
from ..priors.conjugate import ConjugatePrior
from .rows import as_weights, in_precision_of
from .units import Units, units_of

_STRUCTURES = {
    "full": PositiveDefinite(),
    "tied": PositiveDefinite(),
    "diag": Diagonal(),
    "spherical": Scale(),
}

# Of the rows: what the prior is worth that components without rows fall back on.
_SHARE = 1e-6

_COLLAPSED = (
    "Fitting the mixture model failed because some components have ill-defined empirical "
    "covariance (for instance caused by singleton or collapsed samples). Try to decrease the "
    "number of components, increase reg_covar, or scale the input data."
)
_NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase "
    "max_iter, tol, or check for degenerate data."
)


@final
class GaussianMixture(sklearn.mixture.GaussianMixture):
    """A mixture of normals in place of scikit-learn's, with its parameters and attributes.

    Starts, checks, messages and predictions are scikit-learn's; the steps of EM are this library's,
    compiled for the processor or accelerator that JAX uses, and rows may have weights. What
    differs:

    * `reg_covar` is added to the covariance of a component of average size, smaller ones get more,
      so that the objective never falls and none can collapse; components that lose all rows become
      as wide as the data. `reg_covar=0` is pure maximum likelihood.
    * A fit has converged where further steps would gain less than `tol`, in nats a row.
    * `lower_bounds_` are those after each step, `lower_bound_` the mean log-likelihood at the end.

    Steps are taken in the type of `X`, float64 or float32, whatever JAX is set to, in standard
    units of the columns.

    Examples:
        >>> import numpy as np
        >>> from expfam.sklearn import GaussianMixture
        >>> xs = np.array([[1.0, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
        >>> mixture = GaussianMixture(n_components=2, random_state=0).fit(xs)
        >>> labels = mixture.predict([[0, 0], [12, 3]])
        >>> bool(labels[0] != labels[1])
        True
    """

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> "GaussianMixture":
        """Fit to rows.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.

        Returns:
            The estimator itself.
        """
        self.fit_predict(X, y, sample_weight)
        return self

    def fit_predict(self, X: Any, y: Any = None, sample_weight: Any = None) -> np.ndarray:
        """Fit to rows, and assign each of them to the most probable component.

        Args:
            X: rows, shape `(n, d)`.
            y: ignored.
            sample_weight: n numbers, not negative; equal where not given.
        """
        self._validate_params()
        X = validate_data(self, X, dtype=[np.float64, np.float32], ensure_min_samples=2)
        if len(X) < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components "
                f"but got n_components = {self.n_components}, n_samples = {len(X)}"
            )
        weights = as_weights(sample_weight, X)
        self._check_parameters(X, xp=np)
        goes_on = self.warm_start and hasattr(self, "converged_")
        random_state = check_random_state(self.random_state)
        best: Any = None
        for init in range(1 if goes_on else self.n_init):
            self._print_verbose_msg_init_beg(init)
            if not goes_on:
                self._initialize_parameters(X, random_state, xp=np)
            if self.max_iter == 0:
                break
            found = _climb(self, X, weights)
            self._print_verbose_msg_init_end(found.log_likelihood, found.converged)
            if best is None or found.log_likelihood > best.log_likelihood:
                best = found
        self._finish(X, weights, best)
        return self.predict(X)

    def _finish(self, X: np.ndarray, weights: np.ndarray | None, best: Any) -> None:
        # The attributes of a fit, and a warning where it needs more steps.
        if best is None:
            own = self.weights_, self.means_, _covariances(self), self.precisions_cholesky_
            self._set_parameters(own)
            self.converged_, self.n_iter_ = False, 0
            self.lower_bound_, self.lower_bounds_ = -np.inf, []
            return
        self._set_parameters(best.parameters)
        self.converged_, self.n_iter_ = best.converged, best.steps
        # With a prior the objective has any constant: that of the log-likelihood at the end.
        self.lower_bound_ = float(np.average(self.score_samples(X), weights=weights))
        bounds = best.log_likelihoods - best.log_likelihood + self.lower_bound_
        self.lower_bounds_ = bounds.tolist()
        if not self.converged_:
            warnings.warn(_NOT_CONVERGED, ConvergenceWarning, stacklevel=3)


@final
class _Climbed(NamedTuple):
    """What steps of EM reached, in units of the data."""

    parameters: tuple[np.ndarray, ...]
    log_likelihoods: np.ndarray
    log_likelihood: float
    steps: int
    converged: bool


def _climb(estimator: GaussianMixture, X: np.ndarray, weights: np.ndarray | None) -> _Climbed:
    kind, count = estimator.covariance_type, estimator.n_components
    units = units_of(X, weights, common=kind == "spherical")
    component = Normal(X.shape[1], _STRUCTURES[kind])
    model = Mixture(component, count, Identity() if kind == "tied" else None)
    with in_precision_of(X), warnings.catch_warnings():
        warnings.simplefilter("ignore", result.ConvergenceWarning)
        rows = jnp.asarray(units.enter(X), X.dtype)
        prior = None
        if estimator.reg_covar > 0:
            total = float(len(X) if weights is None else weights.sum())
            prior = _prior(model, rows, total, estimator.reg_covar / units.scale**2)
        found = fit(
            model,
            rows,
            key=jax.random.key(0),
            method=EM(max_steps=estimator.max_iter, tolerance=estimator.tol),
            params=_start(estimator, model, units),
            weights=weights,
            prior=prior,
            throw=False,
        )
        if found.status in (result.Status.DEGENERATE, result.Status.NOT_FINITE):
            raise ValueError(_COLLAPSED)
        read = jax.vmap(component.mean_covariance)(model.components(found.params))
        own = (model.weights(found.params), *read)
    shares, means, matrices = (np.asarray(part, float) for part in own)
    matrices = matrices * np.outer(units.scale, units.scale)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.diagonal(matrices, axis1=1, axis2=2),
        "spherical": matrices[:, 0, 0],
    }[kind]
    cholesky = _compute_precision_cholesky(covariances, kind)
    parameters = shares / shares.sum(), units.leave(means), covariances, cholesky
    values = np.asarray(found.log_likelihoods, float)
    # As scikit-learn does, too: a single step tells by its own gain.
    still = found.steps > 0 and abs(values[-1] - values[-2]) < estimator.tol
    return _Climbed(
        tuple(part.astype(X.dtype) for part in parameters),
        values[1:],
        found.log_likelihood,
        found.steps,
        found.converged or bool(still),
    )


def _start(estimator: GaussianMixture, model: Mixture, units: Units) -> Natural[Any]:
    # The parameters that the estimator has, in standard units.
    count, kind = model.n_components, estimator.covariance_type
    covariances = _covariances(estimator)
    scale = units.scale
    leaves = {
        "full": lambda: covariances / np.outer(scale, scale),
        "tied": lambda: np.broadcast_to(
            covariances / np.outer(scale, scale), (count, *covariances.shape)
        ),
        "diag": lambda: covariances / scale**2,
        "spherical": lambda: covariances / scale[0] ** 2,
    }[kind]()
    weights = np.maximum(np.asarray(estimator.weights_, float), 1e-30)
    arrays = weights / weights.sum(), units.enter(np.asarray(estimator.means_)), leaves
    shares, means, spreads = (jnp.asarray(array, float) for array in arrays)
    return Natural(_joined(model, jnp.log(shares), means, spreads))


@jax.jit
def _joined(model: Mixture, log_weights: Any, means: Any, spreads: Any) -> Any:
    # Tied components have one covariance by construction; there is nothing to be checked.
    normal: Any = model.component
    parts = jax.vmap(lambda m, s: normal._from_covariance(m, s)[0])(means, spreads)
    interaction, rest = model.interaction, None
    if model.varying is not None:
        rest, _ = interaction.splitting.split_natural(parts.second[0])
        parts = NormalCoords(parts.first, None)
    return interaction.weighted(LikelihoodCoords(rest, parts), log_weights)


def _covariances(estimator: GaussianMixture) -> np.ndarray:
    factors = np.asarray(estimator.precisions_cholesky_, float)
    if factors.ndim < 2 or estimator.covariance_type == "diag":
        return 1 / factors**2
    inverse = np.linalg.inv(factors)
    return np.swapaxes(inverse, -1, -2) @ inverse


def _prior(model: Mixture, rows: Any, total: float, added: np.ndarray) -> ConjugatePrior:
    # A few rows like the data, and the sum of squares that adds to covariances.
    normal: Any = model.component
    weak = weak_prior(model, rows, _SHARE * total)
    leaf = normal.structure.restrict(jnp.diag(jnp.asarray(added, rows.dtype)))
    count, size = model.n_components, normal.size
    joint = NormalCoords(
        jnp.zeros((count, size), rows.dtype), jnp.stack([leaf * (total / count)] * count)
    )
    whole = NormalCoords(jnp.zeros(size, rows.dtype), leaf * total)
    sums = model.interaction._split_means(whole, joint, jnp.zeros(count, rows.dtype))
    return ConjugatePrior(model, weak.total + Mean(sums), weak.count)
