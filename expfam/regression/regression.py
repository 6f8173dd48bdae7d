"""Generalized linear models: families of a response given covariates."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..families import compiled
from ..families.base import AbstractExponentialFamily, Data
from ..families.conversion import Numbers
from ..families.support import Support, check_rows, check_weights
from ..geometry.checks import require, whole
from ..geometry.derivatives import differentiated_as
from ..geometry.linalg import factorize
from ..geometry.points import Mean, Natural
from ..geometry.spaces import Euclidean, Ledger
from ..geometry.table import Kind, Table
from ..priors.conjugate import ConjugatePrior
from .conditional import AbstractConditional, refuse
from .estimates import climb, least_squares
from .grouping import ByLines
from .missing import ResponseCells
from .response import AbstractResponse
from .responses import response_of

# Where a Newton step promises less than the first, in nats a row, but moves the predictors by more
# than the second, the likelihood grows for ever: covariates separate the responses.
_GAIN, _MOVE = 1e-6, 0.3
# Pivots of an information matrix of unit diagonal that are rounding, in units of its size and ε.
_SINGULAR = 32


@final
class RegressionCoords(eqx.Module):
    """Coordinates of a regression with m predictors of q columns, the intercept first.

    Attributes:
        coefficients: B, shape `(m, q)`; their mean leaf is the score.
        dispersion: of the response; `None` where it has none.
        squares: −B²/2, entry by entry, which the precisions of a normal prior pair with.
        curvature: zero; its mean leaf is the information of the coefficients.
        reach: zero; its mean leaf holds the mean squares of the columns.
    """

    coefficients: Any
    dispersion: Any
    squares: Any
    curvature: Any
    reach: Any


@final
class Regression(AbstractConditional[RegressionCoords]):
    """A response y whose distribution depends on covariates u through Bũ, with ũ = (1, u).

    Data are pairs (u, y). The mean of a normal response is Bũ; the natural coordinates of
    Bernoulli, binomial, categorical, multinomial and Poisson responses are (canonical links:
    log-odds, log-rates); of others Bũ is the logarithm of the mean.

    The maximum of the likelihood is found by Newton's method (iteratively reweighted least
    squares), that of a mixture of regressions by EM with one Newton step for each component.

    Attributes:
        response: family of y: `Normal` of any dimension and structure, `Bernoulli`, `Binomial`,
            `Categorical`, `Multinomial`, `Poisson`, `NegativeBinomial`, `Geometric`, `Exponential`,
            `Gamma` or `InverseGaussian`.
        n_covariates: length p of u.
        intercept: whether there is one.
        columns: numbers of the covariates that the response depends on; by default all but the
            offset.
        offset: number of a covariate that is added to the predictor as it is, e.g. the logarithm of
            an exposure.

    References:
        McCullagh & Nelder, Generalized Linear Models (1989).

    Examples:
        >>> import numpy as np, expfam as ef
        >>> u = np.array([[0.0], [1.0], [2.0], [3.0]])
        >>> y = np.array([1, 2, 6, 13])
        >>> model = ef.Regression(ef.Poisson(), n_covariates=1)
        >>> params = model.maximum_likelihood((u, y))
        >>> model.coefficients(params).round(2).tolist()
        [0.87]
    """

    response: AbstractExponentialFamily
    n_covariates: int = eqx.field(static=True, converter=whole("Regression", "n_covariates", 0))
    intercept: bool = eqx.field(static=True, default=True)
    columns: tuple[int, ...] | None = eqx.field(static=True, default=None)
    offset: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        """Refuse responses that no regression is known of, and columns that there are not."""
        response_of(self.response)
        named = (*(self.columns or ()), *(() if self.offset is None else (self.offset,)))
        if not all(isinstance(i, int) and 0 <= i < self.n_covariates for i in named):
            raise ValueError(
                "Regression: `columns` and `offset` must be numbers of covariates, 0 … "
                f"{self.n_covariates - 1}, but are {self.columns} and {self.offset}."
            )
        if not self._size:
            raise ValueError("Regression: there must be an intercept or a covariate.")

    @property
    def _link(self) -> AbstractResponse:
        return response_of(self.response)

    @property
    def _chosen(self) -> tuple[int, ...]:
        if self.columns is not None:
            return self.columns
        return tuple(i for i in range(self.n_covariates) if i != self.offset)

    @property
    def _size(self) -> int:
        return len(self._chosen) + self.intercept

    @property
    def spaces(self) -> RegressionCoords:
        """Coefficients and dispersion; the other leaves are no coordinates."""
        link, columns = self._link, self._size
        return RegressionCoords(
            Euclidean((link.size, columns)),
            link.dispersion_space,
            Ledger((link.size, columns)),
            link.curvature_space(columns),
            None if link.exact else Ledger((columns,)),
        )

    @property
    def support(self) -> tuple[Support, Any]:
        """Covariates and response."""
        return Support((self.n_covariates,), "real", whole=0), self.response.support

    @property
    def observed_support(self) -> Any:
        """Covariates and response."""
        return self.support

    # ---------------------------------------------------------------- usual parameters

    def from_coefficients(
        self, coefficients: Numbers, intercept: Numbers | None = None, dispersion: Any = None
    ) -> Natural[RegressionCoords]:
        """The regression with given coefficients.

        Args:
            coefficients: one for each of the columns, shape `(p,)`; `(m, p)` for m predictors, of
                vectors and categories.
            intercept: a number, or shape `(m,)`; left out where the regression has none.
            dispersion: the covariance of normal responses, as in `Normal.from_mean_covariance`; the
                shape of gamma or inverse Gaussian ones; left out for others.

        Raises:
            ValueError: wrong shapes, or a dispersion that is none.
        """
        owner, m = self._owner("from_coefficients"), self._link.size
        slopes = jnp.asarray(coefficients, float)
        first = jnp.asarray(0.0 if intercept is None else intercept, float)
        wanted = self._outer(len(self._chosen))
        if slopes.shape != wanted or (intercept is not None) != self.intercept:
            raise ValueError(
                f"{owner}: `coefficients` must have shape {wanted} and `intercept` be "
                f"{'given' if self.intercept else 'left out'}, but `coefficients` have shape "
                f"{slopes.shape}."
            )
        rows = jnp.reshape(slopes, (m, -1))
        if self.intercept:
            rows = jnp.concatenate([jnp.broadcast_to(first, (m,))[:, None], rows], axis=1)
        own = self._link.from_usual(dispersion, owner)
        coords = self._with_ledger(rows, own)
        message = f"{owner}: coefficients must be finite, and `dispersion` positive."
        return require(Natural(coords), self._in_domain(coords), message)

    def coefficients(self, params: Natural[RegressionCoords]) -> Float[Array, "*m p"]:
        """The coefficients of the columns, shape `(p,)`; `(m, p)` for several predictors."""
        self._check_point(params, Natural, "coefficients", "params")
        rows = params.coords.coefficients[:, int(self.intercept) :]
        return jnp.reshape(rows, self._outer(len(self._chosen)))

    def intercepts(self, params: Natural[RegressionCoords]) -> Float[Array, "*m"]:
        """The intercept, a number; shape `(m,)` for several predictors; zero without one."""
        self._check_point(params, Natural, "intercepts", "params")
        rows = params.coords.coefficients[:, 0]
        return jnp.reshape(rows if self.intercept else jnp.zeros_like(rows), self._outer())

    def dispersion(self, params: Natural[RegressionCoords]) -> Any:
        """The covariance matrix of a normal response; the shape of others; `None` without one."""
        self._check_point(params, Natural, "dispersion", "params")
        return self._link.usual(params.coords.dispersion)

    readers = (intercepts, coefficients, dispersion)

    def _outer(self, *sizes: int) -> tuple[int, ...]:
        return sizes if self._link.scalar else (self._link.size, *sizes)

    # ---------------------------------------------------------------- given covariates

    def standard_errors(
        self, params: Natural[RegressionCoords], xs: Data, weights: Numbers | None = None
    ) -> Float[Array, "*m q"]:
        """Standard errors of the coefficients at a maximum, the intercept first.

        Mathematically, roots of the diagonal of the inverse of the expected information of the
        rows, Σ w ∇²A(Bũ) ⊗ ũũᵀ.

        Args:
            params: natural coordinates.
            xs: rows (u, y).
            weights: n numbers, not negative; equal where not given. Their sum stands for n.
        """
        owner = self._owner("standard_errors")
        self._check_point(params, Natural, "standard_errors", "params")
        rows, n = check_rows(xs, self.support, owner)
        checked = check_weights(weights, n, float, owner)
        variances = _variances(self, params.coords, rows, checked)
        message = f"{owner}: the information is singular: columns are linearly dependent."
        found = require(jnp.sqrt(variances), jnp.all(jnp.isfinite(variances)), message)
        return jnp.reshape(found, self._outer(self._size))

    def normal_prior(self, scale: Numbers) -> ConjugatePrior:
        """A normal prior of mean zero on the coefficients of the columns (ridge regression).

        Args:
            scale: standard deviation of the prior; one, or one for each column.
        """
        shape = self._link.size, len(self._chosen)
        rows = jnp.broadcast_to(jnp.asarray(scale, float) ** -2, shape)
        rows = jnp.pad(rows, ((0, 0), (int(self.intercept), 0)))
        nothing = self._nothing(rows.dtype)
        return ConjugatePrior(self, Mean(replace(nothing, squares=rows)), 0.0)

    def _response_given(self, coords: RegressionCoords, u: Array) -> tuple[Any, Any]:
        predictor, _ = self._predictor(coords, u)
        return self.response, self._link.point(predictor, coords.dispersion)

    def _mean_given(self, coords: RegressionCoords, u: Array) -> Any:
        return self._link.mean(self._predictor(coords, u)[0], coords.dispersion)

    def _log_density_of_covariates(self, coords: RegressionCoords, u: Array) -> Array:
        return jnp.zeros((), coords.coefficients.dtype)

    def _design(self, u: Array) -> Array:
        return u

    def _row(self, u: Array) -> Float[Array, " q"]:
        chosen = self._chosen
        own = u if chosen == tuple(range(self.n_covariates)) else u[np.array(chosen, int)]
        return jnp.concatenate([jnp.ones((1,), u.dtype), own]) if self.intercept else own

    def _predictor(self, coords: RegressionCoords, u: Array) -> tuple[Array, Array]:
        row = self._row(u)
        predictor = coords.coefficients @ row
        return predictor if self.offset is None else predictor + u[self.offset], row

    # ---------------------------------------------------------------- kernels

    def _observe(self, x: Data) -> Data:
        return x

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> tuple[()]:
        return ()

    def _log_evidence(self, coords: RegressionCoords, x: Data) -> Float[Array, ""]:
        return differentiated_as(
            self._log_density(coords, x), self._log_normalizer_given(coords, x)
        )

    @property
    def _cells(self) -> ResponseCells:
        return ResponseCells()

    @property
    def _guarded(self) -> bool:
        return not self._link.exact

    @property
    def _grouping(self) -> ByLines:
        return ByLines(self._size - self.intercept, self._link.size, self.intercept)

    def _log_normalizer(self, coords: RegressionCoords) -> Array:
        zero = jnp.zeros((), coords.coefficients.dtype)
        return zero + self._link.log_normalizer(coords.dispersion)

    def _log_normalizer_given(self, coords: RegressionCoords, x: Data) -> Array:
        u, y = x
        predictor, row = self._predictor(coords, u)
        value = self._link.log_density_given(predictor, coords.dispersion, y)
        return value + self._note(coords, predictor, row)

    def _note(self, coords: RegressionCoords, predictor: Array, row: Array) -> Array:
        noted = self._link.note(coords.curvature, predictor, row)
        if coords.reach is None:
            return noted
        return noted + _note_squares(coords.reach, row)

    def _log_density(self, coords: RegressionCoords, x: Data) -> Array:
        u, y = x
        predictor, _ = self._predictor(coords, u)
        return self._link.log_density(predictor, coords.dispersion, y)

    def _maximize(
        self, means: RegressionCoords, start: RegressionCoords | None
    ) -> RegressionCoords:
        if start is None:
            refuse(self, "mean coordinates are those of steps from other coefficients")
        link, ridge = self._link, means.squares
        score = means.coefficients - ridge * start.coefficients
        information = link.information(means.curvature, start.dispersion)
        information = information + jnp.diag(jnp.ravel(ridge))
        step = jnp.reshape(solve_information(information, jnp.ravel(score)), score.shape)
        if means.reach is not None:
            move = jnp.sqrt(jnp.sum(step**2 * means.reach))
            separated = (jnp.sum(score * step) < _GAIN) & (move > _MOVE)
            step = jnp.where(separated, jnp.nan, step)
        dispersion = link.maximize(
            means.dispersion, means.coefficients, step, means.curvature, start.dispersion
        )
        return self._with_ledger(start.coefficients + step, dispersion)

    def _with_ledger(self, coefficients: Array, dispersion: Any) -> RegressionCoords:
        link, columns, dtype = self._link, self._size, coefficients.dtype
        return RegressionCoords(
            coefficients,
            dispersion,
            -0.5 * coefficients**2,
            jnp.zeros(link.curvature_space(columns).shape, dtype),
            None if link.exact else jnp.zeros((columns,), dtype),
        )

    def _nothing(self, dtype: Any) -> RegressionCoords:
        zero = jnp.zeros((self._link.size, self._size), dtype)
        return jax.tree.map(jnp.zeros_like, self._with_ledger(zero, self._link.origin(dtype)))

    def _estimate(self, xs: Data, shares: Array) -> RegressionCoords:
        return climb(self, xs, shares, self._first(xs, shares), None, 50)

    def _attains(self, coords: RegressionCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        # Another step neither moves the predictors nor promises a gain.
        _, means = compiled.density_and_expectation(self, coords, xs, shares)
        following = self._maximize(means, coords)
        gain = jnp.sum(means.coefficients * (following.coefficients - coords.coefficients))
        small = gain <= 16 * jnp.finfo(gain.dtype).eps ** 0.75
        return self._in_domain(following) & small

    def _first(self, xs: Data, shares: Array) -> RegressionCoords:
        us, ys = xs
        rows, targets = jax.vmap(self._row)(us), jax.vmap(self._link.working)(ys)
        if self.offset is not None:
            targets = targets - us[:, self.offset, None]
        coefficients = least_squares(rows, targets.astype(rows.dtype), shares)
        return self._with_ledger(coefficients, self._link.origin(rows.dtype))

    def _in_domain(self, coords: RegressionCoords) -> Bool[Array, ""]:
        finite = jnp.all(jnp.isfinite(coords.coefficients))
        return finite & self._link.in_domain(coords.dispersion)

    def _sample(self, key: Key[Array, ""], coords: RegressionCoords) -> Data:
        refuse(self, "covariates have no distribution here; `JointRegression` gives them one")

    def _features(self, x: Data) -> Array:
        u, y = x
        row = self._row(u)[int(self.intercept) :]
        target = self._link.working(y).astype(row.dtype)
        return jnp.concatenate([row, target if self.offset is None else target - u[self.offset]])

    def _initialize(self, key: Key[Array, ""]) -> RegressionCoords:
        coefficients = 0.3 * jax.random.normal(key, (self._link.size, self._size))
        return self._with_ledger(coefficients, self._link.origin(coefficients.dtype))

    def _initialize_from_sample(
        self, sketch: Any, xs: Data, features: Array, weights: Array
    ) -> RegressionCoords:
        # The maximum of the likelihood, with one imagined row more.
        shares = compiled.shares_of(xs, weights)
        imagined = 1 / (1 + jnp.sum(weights))
        return climb(self, xs, shares, self._first(xs, shares), (self._weak_means(xs), imagined), 8)

    def _weak_means(self, xs: Data) -> RegressionCoords:
        # A normal prior worth one row, and the dispersion of the data.
        us, ys = xs
        link, rows = self._link, jax.vmap(self._row)(us)
        dtype, spread = rows.dtype, jnp.var(rows, axis=0)
        level = jax.vmap(link.working)(ys)
        unit = jnp.maximum(jnp.var(level, axis=0), 1e-30) if link.exact else jnp.ones(link.size)
        ridge = spread / unit[:, None].astype(dtype)
        if self.intercept and not link.exact:
            ridge = ridge.at[:, 0].set(0.1)
        nothing = self._nothing(dtype)
        return replace(nothing, squares=ridge, dispersion=link.weak_dispersion(ys))

    def _to_unconstrained(self, coords: RegressionCoords) -> PyTree[Array]:
        return coords.coefficients, self._link.to_unconstrained(coords.dispersion)

    def _from_unconstrained(self, free: PyTree[Array]) -> RegressionCoords:
        return self._with_ledger(free[0], self._link.from_unconstrained(free[1]))


def solve_information(information: Float[Array, "d d"], score: Float[Array, " d"]) -> Array:
    """I⁻¹g; NaN where the information is singular up to rounding.

    Args:
        information: I, symmetric.
        score: g.
    """
    # in units of the standard errors of single coefficients, so that scales do not matter
    size = jnp.diagonal(information)
    scale = 1 / jnp.sqrt(jnp.where(size > 0, size, jnp.nan))
    factor, inverse = factorize(information * jnp.outer(scale, scale))
    tolerance = _SINGULAR * len(score) * jnp.finfo(score.dtype).eps
    regular = jnp.all(jnp.diagonal(factor) ** 2 > tolerance)
    return jnp.where(regular, scale * (inverse.T @ (inverse @ (scale * score))), jnp.nan)


@jax.custom_jvp
def _note_squares(ledger: Array, row: Array) -> Float[Array, ""]:
    # Zero; its derivative in the ledger is ũ².
    return jnp.zeros((), row.dtype)


@_note_squares.defjvp
def _note_squares_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    ledger, row = primals
    return _note_squares(ledger, row), jnp.dot(tangents[0], row**2)


@jax.jit
def _variances(model: Regression, coords: RegressionCoords, xs: Any, weights: Any) -> Array:
    shares, total = compiled.shares_of(xs, weights), compiled.total_weight(xs, weights)
    means = compiled.expectation(model, coords, xs, shares)
    information = total * model._link.information(means.curvature, coords.dispersion)
    units = jnp.eye(len(information), dtype=information.dtype)
    return jnp.diagonal(jax.vmap(lambda unit: solve_information(information, unit))(units))
