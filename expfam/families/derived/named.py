"""Families that are others under usual names: what a combinator makes, with its own parameters."""

from abc import abstractmethod
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Array, Bool, Float, Key, PyTree

from ...geometry.grouping import AbstractGrouping
from ...geometry.table import Kind, Table
from .. import compiled
from ..base import AbstractExponentialFamily, Data
from ..cells import OfBase
from ..conjugacy.carried import Carried, carry

C = TypeVar("C")


class AbstractNamedFamily(AbstractExponentialFamily[C]):
    """A family without latent variables that is defined by another one.

    A final class says what it is made of (`definition`) and where its data lie (`support`), and
    adds constructors and readers in the parameters of the field. Coordinates are those of the
    definition.
    """

    @property
    @abstractmethod
    def definition(self) -> AbstractExponentialFamily[C]:
        """The same distributions, as other families make them up."""

    @property
    def spaces(self) -> C:
        """Those of the definition."""
        return self.definition.spaces

    @property
    def observed_support(self) -> Any:
        """Everything: the same as `support`."""
        return self.support

    @property
    def n_labels(self) -> int:
        """None: nothing is latent."""
        return 0

    @property
    def n_parameters(self) -> int:
        """All coordinates."""
        return self.dim

    @property
    def _cells(self) -> OfBase:
        return OfBase(self.definition)

    @property
    def _conjugacy(self) -> Carried | None:
        return carry(self.definition)

    def _sufficient_statistic(self, x: Data) -> C:
        return self.definition._sufficient_statistic(x)

    def _log_base_measure(self, x: Data) -> Float[Array, ""]:
        return self.definition._log_base_measure(x)

    def _log_normalizer(self, coords: C) -> Float[Array, ""]:
        return self.definition._log_normalizer(coords)

    def _log_normalizer_given(self, coords: C, x: Data) -> Float[Array, ""]:
        return self.definition._log_normalizer_given(coords, x)

    def _log_density(self, coords: C, x: Data) -> Float[Array, ""]:
        return self.definition._log_density(coords, x)

    def _log_evidence(self, coords: C, x: Data) -> Float[Array, ""]:
        return self.definition._log_evidence(coords, x)

    def _maximize(self, means: C, start: C | None) -> C:
        return self.definition._maximize(means, start)

    def _estimate(self, xs: Data, shares: Float[Array, " n"]) -> C:
        return self.definition._estimate(xs, shares)

    def _entropy(self, coords: C) -> Float[Array, ""]:
        return self.definition._entropy(coords)

    def _divergence(self, p: C, q: C) -> Float[Array, ""]:
        return compiled.divergence(self.definition, p, q)

    def _in_domain(self, coords: C) -> Bool[Array, ""]:
        return self.definition._in_domain(coords)

    def _sample(self, key: Key[Array, ""], coords: C) -> Data:
        return self.definition._sample(key, coords)

    def _observe(self, x: Data) -> Data:
        return x

    def _attains(self, coords: C, xs: Data, shares: Float[Array, " n"]) -> Bool[Array, ""]:
        return self.definition._attains(coords, xs, shares)

    @property
    def _guarded(self) -> bool:
        return self.definition._guarded

    @property
    def _grouping(self) -> AbstractGrouping:
        return self.definition._grouping

    def _features(self, x: Data) -> Float[Array, " features"]:
        return self.definition._features(x)

    def _initialize(self, key: Key[Array, ""]) -> C:
        return self.definition._initialize(key)

    def _sketch(self, rng: np.random.Generator, table: Table, kind: Kind) -> Any:
        return self.definition._sketch(rng, table, kind)

    def _initialize_from_sample(
        self,
        sketch: Any,
        xs: Data,
        features: Float[Array, "n features"],
        weights: Float[Array, " n"],
    ) -> C:
        return self.definition._initialize_from_sample(sketch, xs, features, weights)

    def _weak_means(self, xs: Data) -> C:
        return self.definition._weak_means(xs)

    def _to_unconstrained(self, coords: C) -> PyTree[Array]:
        return self.definition._to_unconstrained(coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> C:
        return self.definition._from_unconstrained(free)

    def _compress(self, xs: Data, weights: Any) -> tuple[Any, Data, Any]:
        return self, xs, weights

    def _whiten(self, means: C) -> C:
        return self.definition._whiten(means)

    def _complete(self, means: C, mass: Array | float) -> C:
        return self.definition._complete(means, mass)
