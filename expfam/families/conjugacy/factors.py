"""Priors of independent variables: products of the priors of each, with one pseudo-count."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from .base import AbstractConjugacy, AbstractNamelessConjugacy, Counts, Scalar


@final
class Factors(AbstractNamelessConjugacy):
    """Priors of a product of families.

    Attributes:
        parts: what the families say.
    """

    parts: tuple[AbstractConjugacy, ...]

    def _zip(self, family: Any, *others: Any) -> Any:
        return zip(self.parts, family.factors, *others, strict=True)

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Those of all factors."""
        return {
            f"{text} (factor {i})": holds
            for i, (part, own, phi) in enumerate(self._zip(family, total))
            for text, holds in part.conditions(own, phi, count).items()
        }

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """The sum over factors."""
        return _sum(p.log_normalizer(f, t, count) for p, f, t in self._zip(family, total))

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """The sum over factors."""
        return _sum(
            p.log_density(f, t, count, c) for p, f, t, c in self._zip(family, total, coords)
        )

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[tuple, Scalar]:
        """Points factor by factor, and the sum of the remainders."""
        (total, count), (total_after, count_after) = before, after
        pairs = [
            p.compare(f, (t, count), (end, count_after))
            for p, f, t, end in self._zip(family, total, total_after)
        ]
        return tuple(point for point, _ in pairs), _sum(remainder for _, remainder in pairs)

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Any) -> Scalar:
        """The sum over factors."""
        return _sum(p.log_predictive(f, t, count, y) for p, f, t, y in self._zip(family, total, x))

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """The sum over factors."""
        return _sum(p.entropy(f, t, count) for p, f, t in self._zip(family, total))

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> tuple:
        """Factor by factor."""
        keys = jax.random.split(key, len(self.parts))
        return tuple(p.sample(f, k, t, count) for p, f, k, t in self._zip(family, keys, total))


@final
class Copies(AbstractNamelessConjugacy):
    """Priors of n variables of one family, each with its own parameters.

    Attributes:
        part: what the family of one variable says.
        copies: n.
    """

    part: AbstractConjugacy
    copies: int = eqx.field(static=True)

    def conditions(self, family: Any, total: Any, count: Counts) -> dict[str, Bool[Array, ""]]:
        """Those of all variables."""
        each = jax.vmap(lambda one: self.part.conditions(family.family, one, count))(total)
        return {text: jnp.all(holds) for text, holds in each.items()}

    def log_normalizer(self, family: Any, total: Any, count: Counts) -> Scalar:
        """The sum over variables."""
        one = self.part.log_normalizer
        return jnp.sum(jax.vmap(lambda phi: one(family.family, phi, count))(total))

    def log_density(self, family: Any, total: Any, count: Counts, coords: Any) -> Scalar:
        """The sum over variables."""
        one = self.part.log_density
        return jnp.sum(jax.vmap(lambda t, c: one(family.family, t, count, c))(total, coords))

    def compare(self, family: Any, before: tuple, after: tuple) -> tuple[Any, Scalar]:
        """Points variable by variable, and the sum of the remainders."""
        (total, count), (total_after, count_after) = before, after

        def one(start: Any, end: Any) -> tuple[Any, Scalar]:
            return self.part.compare(family.family, (start, count), (end, count_after))

        points, remainders = jax.vmap(one)(total, total_after)
        return points, jnp.sum(remainders)

    def log_predictive(self, family: Any, total: Any, count: Counts, x: Any) -> Scalar:
        """The sum over variables."""
        one = self.part.log_predictive
        return jnp.sum(jax.vmap(lambda t, y: one(family.family, t, count, y))(total, x))

    def entropy(self, family: Any, total: Any, count: Counts) -> Scalar:
        """The sum over variables."""
        return jnp.sum(jax.vmap(lambda phi: self.part.entropy(family.family, phi, count))(total))

    def sample(self, family: Any, key: Key[Array, ""], total: Any, count: Counts) -> Any:
        """Variable by variable."""
        keys = jax.random.split(key, self.copies)
        return jax.vmap(lambda k, t: self.part.sample(family.family, k, t, count))(keys, total)


def _sum(terms: Any) -> Scalar:
    return jnp.sum(jnp.stack(list(terms)))
