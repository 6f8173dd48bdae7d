"""Sub-families: natural coordinates of a family, fixed or tied by an affine map."""

from collections.abc import Callable
from typing import Any, final

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from ...geometry.points import Natural, pairing
from ...geometry.spaces import zeros
from .. import compiled
from ..base import AbstractExponentialFamily, Data
from ..cells import OfBase
from ..conjugacy.base import AbstractConjugacy
from ..observed import AbstractObservedFamily, is_fully_observed
from .bijections import capability
from .restrictions import AbstractRestriction


@final
class SubFamily(AbstractObservedFamily[Any]):
    """The members of a family whose natural coordinates are θ = Aτ + b.

    Mathematically, ⟨Aτ + b, s(x)⟩ = ⟨τ, Aᵀs(x)⟩ + ⟨b, s(x)⟩: the statistic is Aᵀs(x), the fixed
    part goes into the base measure, and ψ(τ) = ψ_base(Aτ + b).

    Attributes:
        base: the whole family, without latent variables.
        restriction: the affine map: `FixedShape` or `FixedRate` of a gamma, `ZeroMean` or
            `FixedCovariance` of a normal, `SharedParameters` of the copies of a `Replicated`
            family, or any `AffineRestriction`.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> erlang = ef.SubFamily(ef.Gamma(), ef.FixedShape(3.0))
        >>> params = erlang.maximum_likelihood(jnp.array([1.0, 2.0]))
        >>> shape, rate = erlang.base.shape_rate(erlang.embed(params))
        >>> float(shape), float(rate)
        (3.0, 2.0)
    """

    base: AbstractExponentialFamily
    restriction: AbstractRestriction

    def __check_init__(self) -> None:
        """Refuse a base with latent variables, or that the restriction does not apply to."""
        if not is_fully_observed(self.base):
            raise TypeError(
                "SubFamily: `base` must be a family without latent variables, but is "
                f"{self.base!r}."
            )
        self.restriction.check(self.base)

    @property
    def spaces(self) -> Any:
        """Those of the restriction."""
        return self.restriction.spaces(self.base)

    @property
    def support(self) -> Any:
        """That of the base."""
        return self.base.support

    def embed(self, params: Natural[Any]) -> Natural[Any]:
        """The same distribution as a point of the base, to be read there.

        Args:
            params: natural coordinates of this family.

        Returns:
            Natural coordinates of the base.
        """
        self._check_point(params, Natural, "embed", "params")
        return Natural(self._embed(params.coords))

    def _embed(self, coords: Any) -> Any:
        return self.restriction.embed(self.base, coords)

    @property
    def _cells(self) -> OfBase:
        return OfBase(self.base, self._embed)

    @property
    def _conjugacy(self) -> AbstractConjugacy | None:
        return getattr(self.restriction, "_conjugacy", None)

    def _sufficient_statistic(self, x: Data) -> Any:
        return self.restriction.project(self.base, self.base._sufficient_statistic(x))

    def _log_base_measure(self, x: Data) -> Array:
        statistic = self.base._sufficient_statistic(x)
        offset = self._embed(zeros(self.spaces, compiled.dtype_of(statistic)))
        return self.base._log_base_measure(x) + pairing(offset, statistic)

    def _log_normalizer(self, coords: Any) -> Array:
        return self.base._log_normalizer(self._embed(coords))

    def _log_normalizer_given(self, coords: Any, x: Data) -> Array:
        return self.base._log_normalizer_given(self._embed(coords), x)

    def _log_density(self, coords: Any, x: Data) -> Array:
        return self.base._log_density(self._embed(coords), x)

    def _maximize(self, means: Any, start: Any) -> Any:
        return self.restriction.maximize(self.base, means, start)

    def _estimate(self, xs: Data, shares: Array) -> Any:
        return self.restriction.estimate(self.base, xs, shares)

    def _entropy(self, coords: Any) -> Array:
        return self.base._entropy(self._embed(coords))

    def _divergence(self, p: Any, q: Any) -> Array:
        return compiled.divergence(self.base, self._embed(p), self._embed(q))

    def _in_domain(self, coords: Any) -> Bool[Array, ""]:
        return self.base._in_domain(self._embed(coords))

    def _sample(self, key: Key[Array, ""], coords: Any) -> Data:
        return self.base._sample(key, self._embed(coords))

    def _features(self, x: Data) -> Float[Array, " features"]:
        return self.base._features(x)

    def _initialize(self, key: Key[Array, ""]) -> Any:
        free = jax.eval_shape(self._to_unconstrained, zeros(self.spaces, jnp.result_type(float)))
        leaves, treedef = jax.tree.flatten(free)
        keys = jax.random.split(key, len(leaves))
        noise = [jax.random.normal(k, leaf.shape) for k, leaf in zip(keys, leaves, strict=True)]
        return self._from_unconstrained(jax.tree.unflatten(treedef, noise))

    def _weak_means(self, xs: Data) -> Any:
        return self.restriction.project(self.base, self.base._weak_means(xs))

    def _to_unconstrained(self, coords: Any) -> PyTree[Array]:
        return self.restriction.to_unconstrained(self.base, coords)

    def _from_unconstrained(self, free: PyTree[Array]) -> Any:
        return self.restriction.from_unconstrained(self.base, free)

    # ---------------------------------------------------------------- what only some bases have

    @property
    def _mean_value(self) -> Callable[..., Array] | None:
        return self._of_base("_mean_value")

    @property
    def _mean_logarithm(self) -> Callable[..., Array] | None:
        return self._of_base("_mean_logarithm")

    @property
    def _sample_logarithm(self) -> Callable[..., Array] | None:
        return self._of_base("_sample_logarithm")

    def _of_base(self, kernel: str) -> Callable[..., Array] | None:
        # kernels whose last argument are natural coordinates
        own = capability(self.base, kernel)
        return None if own is None else lambda *args: own(*args[:-1], self._embed(args[-1]))
