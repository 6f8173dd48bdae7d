"""Observations of which cells are missing, in models with latent variables."""

from typing import Any, final

from jaxtyping import Array, Float, Key

from ..families.cells import AbstractCells


@final
class HarmoniumCells(AbstractCells):
    """What is missing of an observation is integrated out with the latent variables."""

    def log_normalizer_given(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """ψ(θ | x_seen)."""
        return family.interaction.log_normalizer_given(coords, x)

    def log_evidence(self, family: Any, coords: Any, x: Any) -> Float[Array, ""]:
        """log p(x_seen)."""
        return family.interaction.log_evidence(coords, x)

    def expectation(self, family: Any, coords: Any, x: Any) -> Any:
        """E[x | x_seen]."""
        return family.interaction.impute(coords, x)

    def draw(self, family: Any, key: Key[Array, ""], coords: Any, x: Any) -> Any:
        """A draw from p(x | x_seen)."""
        return family.interaction.draw_missing(key, coords, x)

    def conditional(self, family: Any, coords: Any, x: Any) -> tuple[Any, Any] | None:
        """That of p(x), where it is a family or a mixture of one."""
        return family._conditional(coords, x)
