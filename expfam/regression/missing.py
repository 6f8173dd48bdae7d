"""Responses that are missing, or seen in part."""

from typing import Any, final

import jax.numpy as jnp
from jaxtyping import Array, Key

from ..families import cells
from ..families.observations import has_gaps
from ..geometry.derivatives import differentiated_as


@final
class ResponseCells(cells.AbstractCells):
    """Of a regression, cells of the response can be missing, but none of the covariates."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Array:
        """ψ(θ) + log p(y_seen | u)."""
        u, y = _pair(x)
        predictor, row = family._predictor(coords, u)
        own, point = family._response_given(coords, u)
        value = cells.log_normalizer_given(own, point, y) - own._log_normalizer(point)
        return family._log_normalizer(coords) + value + family._note(coords, predictor, row)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Array:
        """log p(y_seen | u)."""
        u, y = _pair(x)
        own, point = family._response_given(coords, u)
        value = cells.log_evidence(own, point, y)
        return differentiated_as(value, self.log_normalizer_given(family, coords, x))

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """E[y | u, y_seen]."""
        u, y = _pair(x)
        own, point = family._response_given(coords, u)
        return u, cells.expectation(own, point, y)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """A draw from p(y | u, y_seen)."""
        u, y = _pair(x)
        own, point = family._response_given(coords, u)
        return u, cells.draw(own, key, point, y)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """p(y_missing | u, y_seen)."""
        u, y = _pair(x)
        own, point = family._response_given(coords, u)
        return cells.conditional(own, point, y)


def _pair(x: Any) -> tuple[Array, Any]:
    u, y = x
    if has_gaps(u):
        raise TypeError(
            "Regression: covariates must be complete, as they are given; missing responses may be "
            "marked. Missing covariates need a density of the covariates."
        )
    return jnp.asarray(u), y
