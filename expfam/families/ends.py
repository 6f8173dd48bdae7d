"""Ends of the range of discrete data, where estimates lie of events that never occurred.

The likelihood of discrete data is bounded. Where an event never occurred it is largest at a
probability, or rate, of zero, which has no finite natural coordinates. A number that adds nothing
takes its place, so that the likelihood is the largest one to rounding. It is the root of the
smallest number, so that quotients with it are finite.
"""

from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .cells import expectation
from .observations import Incomplete, Labeled
from .support import Support, is_support

# Roundings of a sum of the shares of many rows, by which it may miss an end.
_ROUNDINGS = 1024


def off_zero(mean: Array, largest: float | int = 1) -> Array:
    """A mean that is not negative, with a number that is next to nothing in place of zero.

    What is negative by more than the rounding of sums is no mean: NaN.

    Args:
        mean: of something that is not negative.
        largest: what it was subtracted from.
    """
    kind = jnp.finfo(mean.dtype)
    slack = _ROUNDINGS * float(kind.eps) * largest
    return jnp.where(mean < kind.tiny, jnp.where(mean < -slack, jnp.nan, _nothing(mean)), mean)


def _nothing(like: Array) -> float:
    return float(jnp.finfo(like.dtype).tiny) ** 0.5


@final
class Gaps(NamedTuple):
    """How far expectations of a leaf of the data are from the ends of their range.

    Attributes:
        low: E[x] minus the smallest x; of categories, their probabilities, along a last axis.
        high: the largest x minus E[x]; infinite where there is none, and for categories.
    """

    low: Float[Array, "..."]
    high: Float[Array, "..."]


def gaps(model: Any, coords: Any) -> list[Gaps | None]:
    """The gaps of every leaf of the data, with a leading axis of components where there are some.

    Of leaves that are real numbers, or given, nothing. Where expectations depend on numbers, as on
    covariates, the larger gaps for two values of them.
    """
    supports, treedef = jax.tree.flatten(model.observed_support, is_leaf=is_support)
    if all(_is_known(support) for support in supports):
        return [None] * len(supports)

    def given(shift: float) -> list[Gaps | None]:
        unseen = [_unseen(support, shift) for support in supports]
        found = _expectations(model, coords, jax.tree.unflatten(treedef, unseen))
        return [
            None if _is_known(support) else _gaps(support, leaf)
            for support, leaf in zip(supports, treedef.flatten_up_to(found), strict=True)
        ]

    one = given(0.0)
    if not any(_is_known(support) for support in supports):
        return one
    return [
        a
        if a is None or b is None
        else Gaps(*(jnp.maximum(*sides) for sides in zip(a, b, strict=True)))
        for a, b in zip(one, given(1.0), strict=True)
    ]


def _expectations(model: Any, coords: Any, unseen: Any) -> Any:
    if not model.n_labels:
        return expectation(model, coords, unseen)
    return jax.vmap(lambda k: expectation(model, coords, Labeled(unseen, k)))(
        jnp.arange(model.n_labels)
    )


def inside(model: Any, coords: Any) -> Bool[Array, ""]:
    """Whether no expectation is at an end of its range."""
    found = [one for one in gaps(model, coords) if one is not None]
    sides = [side for one in found for side in (one.low, one.high)]
    away = [jnp.all((side > 0) & (jnp.abs(side / _nothing(side) - 1) > 0.01)) for side in sides]
    return jnp.all(jnp.stack(away)) if away else jnp.ones((), bool)


def _is_known(support: Support) -> bool:
    return support.is_real or support.given


def _unseen(support: Support, shift: float) -> Any:
    values = jnp.broadcast_to(jnp.asarray(support.filler), support.shape)
    if support.is_real:
        return values.astype(float) + (shift if support.kind == "real" else 0)
    if support.given:
        return values.astype(int)
    return Incomplete(values.astype(int), jnp.zeros(support.shape, bool))


def _gaps(support: Support, expected: Array) -> Gaps:
    match support.kind:
        case "binary":
            high = 1 - expected
        case "bounded count" | "counts of a total":
            high = support.limit - expected
        case _:
            high = jnp.full_like(expected, jnp.inf)
    return Gaps(expected - 1 if support.kind == "positive count" else expected, high)
