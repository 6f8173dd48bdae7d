"""Maximum likelihood of conditional models from rows: Newton's method that never falls."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..families import ascent, compiled
from ..geometry.points import pairing


def climb(
    model: Any, xs: Any, shares: Float[Array, " n"], start: Any, imagined: Any, steps: int
) -> Any:
    """The maximum of the likelihood of rows, as far as so many steps lead.

    Args:
        model: a conditional model.
        xs: rows.
        shares: weights that sum to one.
        start: coordinates.
        imagined: means of imagined rows and their share of all; `None`: none.
        steps: number of steps at most.
    """

    def look(coords: Any) -> tuple[Array, Any]:
        value, means = compiled.density_and_expectation(model, coords, xs, shares)
        if imagined is None:
            return value, model._maximize(means, coords)
        weak, share = imagined
        blended = jax.tree.map(
            lambda own, other: ((1 - share) * own + share * other).astype(own.dtype), means, weak
        )
        prior = pairing(coords, weak) - model._log_normalizer(coords)
        return (1 - share) * value + share * prior, model._maximize(blended, coords)

    def proceeds(state: Any) -> Array:
        _, gain, count = state
        return (count < steps) & (gain > 0)

    def step(state: Any) -> Any:
        climbing, _, count = state
        value, image = look(climbing.candidate)
        present, following, good = ascent.proceed(model, climbing, value, image)
        sound = model._in_domain(following.candidate)
        following = ascent.choose(sound, following, present)
        # It ends where the last step gained no more than rounding, or led nowhere.
        gain = jnp.where(good, value - climbing.best, jnp.inf)
        rounding = 4 * jnp.finfo(value.dtype).eps * jnp.maximum(jnp.abs(value), 1)
        return following, jnp.where(sound & (gain > rounding), 1.0, 0.0), count + 1

    begin = ascent.begin(start), jnp.ones(()), jnp.zeros((), int)
    return jax.lax.while_loop(proceeds, step, begin)[0].kept


def least_squares(
    rows: Float[Array, "n q"], targets: Float[Array, "n m"], shares: Float[Array, " n"]
) -> Float[Array, "m q"]:
    """Coefficients of the least squares of targets, slightly shrunk, so that they exist.

    Args:
        rows: regressors.
        targets: what is to be explained.
        shares: weights of the rows.
    """
    weighted = rows * shares[:, None].astype(rows.dtype)
    products = weighted.T @ rows
    size = jnp.diagonal(products)
    scale = 1 / jnp.sqrt(jnp.where(size > 0, size, 1))
    unit = products * jnp.outer(scale, scale) + 1e-4 * jnp.eye(len(size), dtype=rows.dtype)
    found = jnp.linalg.solve(unit, scale[:, None] * (weighted.T @ targets))
    return (scale[:, None] * found).T
