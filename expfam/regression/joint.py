"""Regressions whose covariates have a density of their own."""

from dataclasses import replace
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ..families import cells
from ..families.base import AbstractExponentialFamily, Data
from ..families.cells import AbstractCells
from ..families.observations import has_gaps
from ..families.observed import is_fully_observed
from ..families.support import Support, is_support, leaves_of
from ..geometry.derivatives import differentiated_as
from ..geometry.table import Kind, Table
from .conditional import AbstractConditional, refuse
from .grouping import ByClustersOrLines
from .regression import Regression, RegressionCoords


@final
class JointCoords(eqx.Module):
    """Coordinates of covariates and of the regression on them.

    Attributes:
        covariates: those of the density of the covariates.
        regression: those of the regression.
    """

    covariates: Any
    regression: Any


@final
class JointRegression(AbstractConditional[JointCoords]):
    """Covariates u with a density, and a response y that depends on them: p(u)ᵗ p(y | u).

    As components of a mixture these cluster the covariates and regress the response within each
    cluster. Data are pairs (u, y). With full covariances and a normal response it is the mixture of
    joint normals of (u, y).

    Many covariates tell more of the clusters than one response does, so that they alone decide the
    partition (Wade, Dunson, Petrone & Trippa 2014). A `tempering` t < 1 takes them less seriously.

    Attributes:
        covariates: family of the covariates, such as `Normal(p)`, or a `Product` of several.
        regression: of the response on them. Categories enter as indicators of all but the first, so
            that its `n_covariates` counts these.
        columns: numbers of the covariates that have the density, where others are only given, such
            as squares; u is then one vector. By default all have it.
        tempering: power t of the density of the covariates, greater than 0 and at most 1. Below 1
            what is maximized is no likelihood.

    Examples:
        >>> import expfam as ef
        >>> component = ef.JointRegression(ef.Normal(2), ef.Regression(ef.Normal(1), 2))
        >>> ef.Mixture(component, 3).dim
        29
    """

    covariates: AbstractExponentialFamily
    regression: Regression
    columns: tuple[int, ...] | None = eqx.field(static=True, default=None)
    tempering: float = eqx.field(static=True, default=1.0)

    def __check_init__(self) -> None:
        """Refuse what is no density, no regression, or of other sizes."""
        if not is_fully_observed(self.covariates) or isinstance(
            self.covariates, AbstractConditional
        ):
            raise TypeError(
                "JointRegression: `covariates` must be a family without latent variables, e.g. "
                f"expfam.Normal(2), but is {self.covariates!r}."
            )
        if not isinstance(self.regression, Regression):
            raise TypeError(
                "JointRegression: `regression` must be an expfam.Regression, but is of type "
                f"{type(self.regression).__name__}."
            )
        if not 0 < self.tempering <= 1:
            raise ValueError(
                "JointRegression: `tempering` must be greater than 0 and at most 1, but is "
                f"{self.tempering}."
            )
        wanted, own = self.regression.n_covariates, sum(map(_width, leaves_of(self._own_support)))
        if own != (wanted if self.columns is None else len(self.columns)):
            raise ValueError(
                f"JointRegression: `covariates` are {own} columns (categories count as one less "
                f"than there are), but `regression` has n_covariates={wanted} and `columns` is "
                f"{self.columns}."
            )

    @property
    def _own_support(self) -> Any:
        own = self.covariates.support
        return jax.tree.map(lambda leaf: replace(leaf, given=True), own, is_leaf=is_support)

    @property
    def spaces(self) -> JointCoords:
        """Those of both."""
        return JointCoords(self.covariates.spaces, self.regression.spaces)

    @property
    def support(self) -> tuple[Any, Any]:
        """Covariates and response."""
        given, response = self.regression.support
        return (self._own_support if self.columns is None else given), response

    @property
    def observed_support(self) -> Any:
        """Covariates and response."""
        return self.support

    @property
    def response(self) -> AbstractExponentialFamily:
        """The family of y."""
        return self.regression.response

    # ---------------------------------------------------------------- kernels

    def _observe(self, x: Data) -> Data:
        return x

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> tuple[()]:
        return ()

    def _log_evidence(self, coords: JointCoords, x: Data) -> Float[Array, ""]:
        return differentiated_as(
            self._log_density(coords, x), self._log_normalizer_given(coords, x)
        )

    @property
    def _cells(self) -> "JointCells":
        return JointCells()

    @property
    def _guarded(self) -> bool:
        return self.regression._guarded

    @property
    def _grouping(self) -> ByClustersOrLines:
        return ByClustersOrLines(self._width, self.regression._grouping)

    @property
    def _width(self) -> int:
        # Number of features of the covariates.
        shapes = jax.tree.map(
            lambda s: jax.ShapeDtypeStruct(s.shape, jnp.zeros(()).dtype if s.is_real else int),
            self._own_support,
            is_leaf=lambda node: isinstance(node, Support),
        )
        return jax.eval_shape(self.covariates._features, shapes).shape[0]

    def _design(self, u: Data) -> Array:
        if self.columns is not None:
            return u
        supports = leaves_of(self._own_support)
        leaves = jax.tree.leaves(u)
        parts = [_columns(leaf, s) for leaf, s in zip(leaves, supports, strict=True)]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def _dense(self, u: Data) -> Data:
        return u if self.columns is None else u[np.array(self.columns, int)]

    def _pair(self, x: Data) -> Data:
        return self._design(x[0]), x[1]

    def _log_normalizer(self, coords: JointCoords) -> Array:
        own = self.covariates._log_normalizer(coords.covariates)
        return self.tempering * own + self.regression._log_normalizer(coords.regression)

    def _log_normalizer_given(self, coords: JointCoords, x: Data) -> Array:
        own = self.covariates._log_normalizer_given(coords.covariates, self._dense(x[0]))
        rest = self.regression._log_normalizer_given(coords.regression, self._pair(x))
        return self.tempering * own + rest

    def _log_density(self, coords: JointCoords, x: Data) -> Array:
        rest = self.regression._log_density(coords.regression, self._pair(x))
        return self._log_density_of_covariates(coords, x[0]) + rest

    def _log_density_of_covariates(self, coords: JointCoords, u: Data) -> Float[Array, ""]:
        return self.tempering * self.covariates._log_density(coords.covariates, self._dense(u))

    def _response_given(self, coords: JointCoords, u: Data) -> tuple[Any, Any]:
        return self.regression._response_given(coords.regression, self._design(u))

    def _mean_given(self, coords: JointCoords, u: Data) -> Any:
        return self.regression._mean_given(coords.regression, self._design(u))

    def _maximize(self, means: JointCoords, start: JointCoords | None) -> JointCoords:
        if start is None:
            refuse(self, "mean coordinates are those of steps from other coefficients")
        scaled = jax.tree.map(lambda leaf: leaf / self.tempering, means.covariates)
        return JointCoords(
            self.covariates._maximize(scaled, start.covariates),
            self.regression._maximize(means.regression, start.regression),
        )

    def _estimate(self, xs: Data, shares: Array) -> JointCoords:
        us, pairs = jax.vmap(self._dense)(xs[0]), jax.vmap(self._pair)(xs)
        return JointCoords(
            self.covariates._estimate(us, shares), self.regression._estimate(pairs, shares)
        )

    def _attains(self, coords: JointCoords, xs: Data, shares: Array) -> Bool[Array, ""]:
        us, pairs = jax.vmap(self._dense)(xs[0]), jax.vmap(self._pair)(xs)
        own = self.covariates._attains(coords.covariates, us, shares)
        return own & self.regression._attains(coords.regression, pairs, shares)

    def _in_domain(self, coords: JointCoords) -> Bool[Array, ""]:
        own = self.covariates._in_domain(coords.covariates)
        return own & self.regression._in_domain(coords.regression)

    def _sample(self, key: Key[Array, ""], coords: JointCoords) -> Data:
        if self.columns is not None:
            refuse(self, "some covariates have no distribution")
        first, second = jax.random.split(key)
        u = self.covariates._sample(first, coords.covariates)
        family, point = self._response_given(coords, u)
        return u, family._sample(second, point)

    def _features(self, x: Data) -> Array:
        own = self.covariates._features(self._dense(x[0]))
        rest = self.regression._features(self._pair(x))
        return jnp.concatenate([own, rest.astype(own.dtype)])

    def _initialize(self, key: Key[Array, ""]) -> JointCoords:
        first, second = jax.random.split(key)
        own = self.covariates._initialize(first)
        return JointCoords(own, self.regression._initialize(second))

    def _initialize_from_sample(
        self, sketch: Any, xs: Data, features: Array, weights: Array
    ) -> JointCoords:
        us, pairs, width = jax.vmap(self._dense)(xs[0]), jax.vmap(self._pair)(xs), self._width
        own = self.covariates._initialize_from_sample((), us, features[:, :width], weights)
        rest = self.regression._initialize_from_sample((), pairs, features[:, width:], weights)
        return JointCoords(own, rest)

    def _weak_means(self, xs: Data) -> JointCoords:
        own = self.covariates._weak_means(jax.vmap(self._dense)(xs[0]))
        own = jax.tree.map(lambda leaf: self.tempering * leaf, own)
        return JointCoords(own, self.regression._weak_means(jax.vmap(self._pair)(xs)))

    def _to_unconstrained(self, coords: JointCoords) -> PyTree[Array]:
        own = self.covariates._to_unconstrained(coords.covariates)
        return own, self.regression._to_unconstrained(coords.regression)

    def _from_unconstrained(self, free: PyTree[Array]) -> JointCoords:
        own, rest = free
        regression: RegressionCoords = self.regression._from_unconstrained(rest)
        return JointCoords(self.covariates._from_unconstrained(own), regression)


@final
class JointCells(AbstractCells):
    """Of a regression with a density of the covariates, cells of the response can be missing."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """That of the covariates and of the response."""
        pair = _complete(family, x)
        own = family.covariates._log_normalizer_given(coords.covariates, family._dense(x[0]))
        rest = cells.log_normalizer_given(family.regression, coords.regression, pair)
        return family.tempering * own + rest

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """log p(u) + log p(y_seen | u)."""
        pair = _complete(family, x)
        rest = cells.log_evidence(family.regression, coords.regression, pair)
        value = family._log_density_of_covariates(coords, x[0]) + rest
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """E[y | u, y_seen]."""
        pair = _complete(family, x)
        return x[0], cells.expectation(family.regression, coords.regression, pair)[1]

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """A draw from p(y | u, y_seen)."""
        pair = _complete(family, x)
        return x[0], cells.draw(family.regression, key, coords.regression, pair)[1]

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """p(y_missing | u, y_seen)."""
        pair = _complete(family, x)
        return cells.conditional(family.regression, coords.regression, pair)


def _complete(family: Any, x: Any) -> Any:
    if has_gaps(x[0]):
        raise TypeError(
            "JointRegression: covariates must be complete; of normal covariates and responses, "
            "cells may be missing in a mixture of joint normals, expfam.Mixture(expfam.Normal(d))."
        )
    return family._pair(x)


def _width(support: Support) -> int:
    if support.kind == "category":
        return support.n_categories - 1
    return int(np.prod(support.shape))


def _columns(leaf: Array, support: Support) -> Float[Array, " columns"]:
    dtype = jnp.zeros(()).dtype
    if support.kind == "category":
        return (leaf == jnp.arange(1, support.n_categories)).astype(dtype)
    return jnp.ravel(leaf) if support.is_real else jnp.ravel(leaf).astype(dtype)
