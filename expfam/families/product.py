"""Independent products of families, and replications of one family."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key, PyTree

from ..geometry import spaces
from ..geometry.checks import whole
from ..geometry.points import Natural
from . import compiled
from .base import AbstractExponentialFamily
from .cells import AbstractCells, conditional, draw, expectation, log_evidence, log_normalizer_given
from .conjugacy.factors import Copies, Factors
from .observed import AbstractObservedFamily, is_fully_observed
from .readings import read_each, readings
from .support import replicate


@final
class Product(AbstractObservedFamily[tuple]):
    """Independent variables of different families: rows of mixed type.

    Data are tuples with one entry for each factor; coordinates are tuples likewise. Mathematically,
    p(x) = Π_i p_i(x_i), so statistics stand side by side and log-normalizers add.

    Attributes:
        factors: the families, in the order of the data.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> product = ef.Product((ef.Normal(2), ef.Poisson()))
        >>> params = product.initialize(jax.random.key(0))
        >>> x, count = product.sample(jax.random.key(1), params, (5,))
        >>> x.shape, count.shape
        ((5, 2), (5,))
    """

    factors: tuple[AbstractExponentialFamily, ...]

    def __check_init__(self) -> None:
        """Refuse an empty product, and factors with latent variables."""
        if not self.factors or not all(is_fully_observed(family) for family in self.factors):
            raise TypeError(
                "Product: `factors` must be a non-empty tuple of families without latent "
                f"variables, but is {self.factors!r}."
            )

    def _read_factors(self, params: Natural[tuple]) -> Any:
        pairs = zip(self.factors, params.coords, strict=True)
        return {str(i): readings(family, Natural(own)) for i, (family, own) in enumerate(pairs)}

    readers = (_read_factors,)

    @property
    def spaces(self) -> tuple:
        """The spaces of the factors."""
        return tuple(family.spaces for family in self.factors)

    @property
    def support(self) -> tuple:
        """The supports of the factors."""
        return tuple(family.support for family in self.factors)

    @property
    def _cells(self) -> "FactorCells":
        return FactorCells()

    @property
    def _conjugacy(self) -> Factors | None:
        parts: Any = tuple(getattr(family, "_conjugacy", None) for family in self.factors)
        return None if None in parts else Factors(parts)

    def _sufficient_statistic(self, x: tuple) -> tuple:
        return tuple(f._sufficient_statistic(x_i) for f, x_i in zip(self.factors, x, strict=True))

    def _log_base_measure(self, x: tuple) -> Array:
        return sum(
            (f._log_base_measure(x_i) for f, x_i in zip(self.factors, x, strict=True)),
            start=jnp.zeros(()),
        )

    def _log_normalizer(self, coords: tuple) -> Array:
        return _total(f._log_normalizer(c) for f, c in zip(self.factors, coords, strict=True))

    def _log_normalizer_given(self, coords: tuple, x: tuple) -> Array:
        triples = zip(self.factors, coords, x, strict=True)
        return _total(f._log_normalizer_given(c, x_i) for f, c, x_i in triples)

    def _log_density(self, coords: tuple, x: tuple) -> Array:
        triples = zip(self.factors, coords, x, strict=True)
        return _total(f._log_density(c, x_i) for f, c, x_i in triples)

    def _maximize(self, means: tuple, start: tuple | None) -> tuple:
        starts = (None,) * len(self.factors) if start is None else start
        triples = zip(self.factors, means, starts, strict=True)
        return tuple(f._maximize(m, s) for f, m, s in triples)

    def _estimate(self, xs: tuple, shares: Array) -> tuple:
        return tuple(f._estimate(x_i, shares) for f, x_i in zip(self.factors, xs, strict=True))

    def _entropy(self, coords: tuple) -> Array:
        return _total(f._entropy(c) for f, c in zip(self.factors, coords, strict=True))

    def _divergence(self, p: tuple, q: tuple) -> Array:
        triples = zip(self.factors, p, q, strict=True)
        return _total(compiled.divergence(f, one, other) for f, one, other in triples)

    def _in_domain(self, coords: tuple) -> Bool[Array, ""]:
        inside = [f._in_domain(c) for f, c in zip(self.factors, coords, strict=True)]
        return jnp.all(jnp.stack(inside))

    def _sample(self, key: Key[Array, ""], coords: tuple) -> tuple:
        keys = jax.random.split(key, len(self.factors))
        return tuple(f._sample(k, c) for f, k, c in zip(self.factors, keys, coords, strict=True))

    def _features(self, x: tuple) -> Array:
        parts = [f._features(x_i) for f, x_i in zip(self.factors, x, strict=True)]
        return jnp.concatenate(parts)

    def _initialize(self, key: Key[Array, ""]) -> tuple:
        keys = jax.random.split(key, len(self.factors))
        return tuple(f._initialize(k) for f, k in zip(self.factors, keys, strict=True))

    def _weak_means(self, xs: tuple) -> tuple:
        return tuple(f._weak_means(x_i) for f, x_i in zip(self.factors, xs, strict=True))

    def _to_unconstrained(self, coords: tuple) -> tuple:
        return tuple(f._to_unconstrained(c) for f, c in zip(self.factors, coords, strict=True))

    def _from_unconstrained(self, free: tuple) -> tuple:
        return tuple(f._from_unconstrained(u) for f, u in zip(self.factors, free, strict=True))


@final
class Replicated(AbstractObservedFamily[Any]):
    """n independent variables of one family, each with its own parameters.

    Data and coordinates are those of the family with a leading axis of length n.

    Attributes:
        family: the family of each variable.
        copies: number of variables n.

    Examples:
        >>> import expfam as ef
        >>> ef.Replicated(ef.Poisson(), 5).dim
        5
    """

    family: AbstractExponentialFamily
    copies: int = eqx.field(static=True, converter=whole("Replicated", "copies", 1))

    def __check_init__(self) -> None:
        """Refuse less than one copy, and a family with latent variables."""
        if not is_fully_observed(self.family):
            raise TypeError(
                "Replicated: `family` must be a family without latent variables, but is "
                f"{self.family!r}."
            )

    def _read_copies(self, params: Natural[Any]) -> Any:
        return read_each(self.family, params)

    readers = (_read_copies,)

    @property
    def spaces(self) -> Any:
        """The spaces of the family, n times each."""
        return spaces.replicate(self.family.spaces, self.copies)

    @property
    def support(self) -> Any:
        """The support of the family, with a leading axis n."""
        return replicate(self.family.support, self.copies)

    @property
    def _cells(self) -> "CopyCells":
        return CopyCells()

    @property
    def _conjugacy(self) -> Copies | None:
        part = getattr(self.family, "_conjugacy", None)
        return None if part is None else Copies(part, self.copies)

    def _sufficient_statistic(self, x: Any) -> Any:
        return jax.vmap(self.family._sufficient_statistic)(x)

    def _log_base_measure(self, x: Any) -> Array:
        return jnp.sum(jax.vmap(self.family._log_base_measure)(x))

    def _log_normalizer(self, coords: Any) -> Array:
        return jnp.sum(jax.vmap(self.family._log_normalizer)(coords))

    def _log_normalizer_given(self, coords: Any, x: Any) -> Array:
        return jnp.sum(jax.vmap(self.family._log_normalizer_given)(coords, x))

    def _log_density(self, coords: Any, x: Any) -> Array:
        return jnp.sum(jax.vmap(self.family._log_density)(coords, x))

    def _maximize(self, means: Any, start: Any) -> Any:
        if start is None:
            return jax.vmap(lambda one: self.family._maximize(one, None))(means)
        return jax.vmap(self.family._maximize)(means, start)

    def _estimate(self, xs: Any, shares: Array) -> Any:
        return jax.vmap(lambda x: self.family._estimate(x, shares), in_axes=1)(xs)

    def _entropy(self, coords: Any) -> Array:
        return jnp.sum(jax.vmap(self.family._entropy)(coords))

    def _divergence(self, p: Any, q: Any) -> Array:
        return jnp.sum(jax.vmap(lambda a, b: compiled.divergence(self.family, a, b))(p, q))

    def _in_domain(self, coords: Any) -> Bool[Array, ""]:
        return jnp.all(jax.vmap(self.family._in_domain)(coords))

    def _sample(self, key: Key[Array, ""], coords: Any) -> Any:
        return jax.vmap(self.family._sample)(jax.random.split(key, self.copies), coords)

    def _features(self, x: Any) -> Array:
        return jnp.ravel(jax.vmap(self.family._features)(x))

    def _initialize(self, key: Key[Array, ""]) -> Any:
        return jax.vmap(self.family._initialize)(jax.random.split(key, self.copies))

    def _weak_means(self, xs: Any) -> Any:
        return jax.vmap(self.family._weak_means, in_axes=1)(xs)

    def _to_unconstrained(self, coords: Any) -> PyTree[Array]:
        return jax.vmap(self.family._to_unconstrained)(coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> Any:
        return jax.vmap(self.family._from_unconstrained)(free)


@final
class FactorCells(AbstractCells):
    """What is missing of a product is missing of its factors."""

    def log_normalizer_given(self, family: Any, coords: tuple, x: tuple) -> Array:
        """The sum over the factors."""
        triples = zip(family.factors, coords, x, strict=True)
        return _total(log_normalizer_given(*triple) for triple in triples)

    def log_evidence(self, family: Any, coords: tuple, x: tuple) -> Array:
        """The sum over the factors."""
        return _total(
            log_evidence(*triple) for triple in zip(family.factors, coords, x, strict=True)
        )

    def expectation(self, family: Any, coords: tuple, x: tuple) -> tuple:
        """Factor by factor."""
        return tuple(expectation(*triple) for triple in zip(family.factors, coords, x, strict=True))

    def draw(self, family: Any, key: Key[Array, ""], coords: tuple, x: tuple) -> tuple:
        """Factor by factor."""
        keys = jax.random.split(key, len(family.factors))
        parts = zip(family.factors, keys, coords, x, strict=True)
        return tuple(draw(*part) for part in parts)

    def conditional(self, family: Any, coords: tuple, x: tuple) -> tuple[Any, Any] | None:
        """The product of the factors of which something is missing."""
        triples = zip(family.factors, coords, x, strict=True)
        found = [part for triple in triples if (part := conditional(*triple)) is not None]
        if not found:
            return None
        families, points = zip(*found, strict=True)
        return Product(families), points


@final
class CopyCells(AbstractCells):
    """What is missing of replications is missing of the single copies."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """The sum over the copies."""
        return jnp.sum(
            jax.vmap(lambda c, x_i: log_normalizer_given(family.family, c, x_i))(coords, x)
        )

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """The sum over the copies."""
        return jnp.sum(jax.vmap(lambda c, x_i: log_evidence(family.family, c, x_i))(coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """Copy by copy."""
        return jax.vmap(lambda c, x_i: expectation(family.family, c, x_i))(coords, x)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """Copy by copy."""
        keys = jax.random.split(key, family.copies)
        return jax.vmap(lambda k, c, x_i: draw(family.family, k, c, x_i))(keys, coords, x)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """The product of the copies of which something is missing."""
        copies = range(family.copies)
        split = [jax.tree.map(lambda leaf, i=i: leaf[i], (coords, x)) for i in copies]
        product = Product((family.family,) * family.copies)
        return FactorCells().conditional(
            product, *(tuple(part) for part in zip(*split, strict=True))
        )


def _total(terms: Any) -> Array:
    return jnp.sum(jnp.stack(list(terms)))
