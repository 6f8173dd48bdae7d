"""What a family does with data of which some cells are missing.

Kernels of families are for complete data. A family says by `_cells` which parts of a datum can be
missing by themselves, and how they are integrated out: an object of the kind below. The functions
here take complete and incomplete data alike.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ..geometry.derivatives import differentiated_as
from .observations import has_gaps, is_incomplete, map_leaves


class AbstractCells(eqx.Module):
    """How the cells of a datum are missing. All methods are kernels, for one datum with gaps."""

    @abstractmethod
    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """ψ(θ | x_seen); its derivative must be exact."""

    @abstractmethod
    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """log p(x_seen) without cancellation, with the derivatives of ψ(θ | x_seen)."""

    @abstractmethod
    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """The datum with E[x | x_seen] in the cells that are missing; probabilities of categories.

        What stands in leaves and cells that are seen is not used.
        """

    @abstractmethod
    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """The datum with a draw from p(x | x_seen) in the cells that are missing."""

    @abstractmethod
    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """A family and its natural coordinates: p(x_missing | x_seen).

        `None` where nothing is missing. Which cells are missing is known.

        Raises:
            TypeError: where it has no family.
        """


@final
class Whole(AbstractCells):
    """A datum is seen or missing as a whole.

    Attributes:
        expected: E[x], as a function of the family and its natural coordinates; for data that are
            categories, their probabilities. `None` where it has no closed form.
    """

    expected: Callable[[Any, Any], Any] | None = eqx.field(static=True, default=None)

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """ψ(θ | x) or ψ(θ)."""
        given = family._log_normalizer_given(coords, values_of(x))
        return jnp.where(_is_seen(x), given, family._log_normalizer(coords))

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """log p(x) or 0."""
        value = jnp.where(_is_seen(x), family._log_density(coords, values_of(x)), 0)
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """E[x]."""
        if self.expected is None:
            raise TypeError(
                f"{type(family).__name__}: the expectation of a missing datum has no closed form; "
                "draw it with `sample_missing`."
            )
        return self.expected(family, coords)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """The datum, or a draw."""
        return _choose(_is_seen(x), values_of(x), family._sample(key, coords))

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """The family itself, where the datum is missing."""
        return None if bool(_is_seen(x)) else (family, coords)


@final
class OfBase(AbstractCells):
    """Cells of a family whose data and distributions are those of another one.

    Attributes:
        base: the other family.
        embed: from natural coordinates to those of the other family.
    """

    base: Any
    embed: Callable[[Any], Any] = eqx.field(static=True, default=lambda coords: coords)

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """That of the base."""
        return log_normalizer_given(self.base, self.embed(coords), x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """That of the base."""
        return log_evidence(self.base, self.embed(coords), x)

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """That of the base."""
        return expectation(self.base, self.embed(coords), x)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """That of the base."""
        return draw(self.base, key, self.embed(coords), x)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """That of the base."""
        return conditional(self.base, self.embed(coords), x)


# ---------------------------------------------------------------- for complete data, too


def log_normalizer_given(family: Any, coords: Any, x: Any) -> Float[Array, ""]:
    """ψ(θ | x), for data with or without gaps."""
    if has_gaps(x):
        return family._cells.log_normalizer_given(family, coords, x)
    return family._log_normalizer_given(coords, x)


def log_evidence(family: Any, coords: Any, x: Any) -> Float[Array, ""]:
    """log p(x), with the derivatives of ψ(θ | x), for data with or without gaps."""
    if has_gaps(x):
        return family._cells.log_evidence(family, coords, x)
    return family._log_evidence(coords, x)


def expectation(family: Any, coords: Any, x: Any) -> Any:
    """The data, with conditional expectations in missing cells."""
    return family._cells.expectation(family, coords, x) if has_gaps(x) else x


def draw(family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
    """The data, with draws in missing cells."""
    return family._cells.draw(family, key, coords, x) if has_gaps(x) else x


def conditional(family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
    """A family and natural coordinates of the missing cells, given the others."""
    return family._cells.conditional(family, coords, x) if has_gaps(x) else None


def values_of(x: Any) -> Any:
    """Data without the marks of what is missing."""
    return map_leaves(lambda leaf: leaf.values if is_incomplete(leaf) else leaf, x)


def _is_seen(x: Any) -> Bool[Array, ""]:
    leaves = jax.tree.leaves(x, is_leaf=is_incomplete)
    return jnp.all(jnp.stack([jnp.all(leaf.observed) for leaf in leaves if is_incomplete(leaf)]))


def _choose(seen: Array, value: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(seen, a, b), value, other)


def mean_statistic(family: Any, coords: Any) -> Any:
    """E[s(x)]; where the statistic is x itself, the expectation of the data."""
    return jax.grad(family._log_normalizer)(coords)
