"""The multivariate normal family, with a choice of covariance structure."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from ...geometry.checks import require, whole
from ...geometry.points import Natural, pairing
from ...geometry.spaces import Euclidean
from ...geometry.structures import AbstractStructure, Leaf, PositiveDefinite
from ..compiled import sum_over_rows
from ..conjugacy.location_scale import Location, LocationScale
from ..frame import Frame, rescale
from ..observed import AbstractObservedFamily
from ..special.constants import LOG_2_PI
from ..special.gamma import deviance
from ..support import Support
from .partly_seen import NormalCells


@final
class NormalCoords(eqx.Module):
    """Coordinates of a normal: first-order part, and second-order part as the structure stores it.

    Attributes:
        first: natural Σ⁻¹μ, mean E[x]; shape `(d,)`.
        second: natural −Σ⁻¹/2, mean E[x xᵀ]; a leaf of the covariance structure.
    """

    first: Any
    second: Any


@final
class Normal(AbstractObservedFamily[NormalCoords]):
    """Normal distributions of vectors, N(x; μ, Σ) = exp(−½(x−μ)ᵀΣ⁻¹(x−μ)) / √|2πΣ|.

    | | first | second |
    | --- | --- | --- |
    | natural θ | Σ⁻¹μ | −½Σ⁻¹ |
    | mean η | μ | Σ + μμᵀ |
    | statistic s(x) | x | xxᵀ |

    The base measure is (2π)^(−d/2); with `Identity`, which has no second-order coordinates, it is
    (2π)^(−d/2) exp(−½‖x‖²). With `Diagonal` and `Scale` the second-order part of the statistic is
    restricted to x², and ‖x‖².

    Attributes:
        size: number of dimensions d.
        structure: `PositiveDefinite()` (default), `Diagonal()`, `Scale()` or `Identity()`.
        frame: origin and units in which statistics are taken, for data far from the origin; made by
            `expfam.standardize`. Data and usual parameters are in raw units all the same.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> normal = ef.Normal(2, ef.Diagonal())
        >>> params = normal.from_mean_covariance(jnp.zeros(2), jnp.ones(2))
        >>> float(normal.log_density(params, jnp.zeros(2)).round(3))
        -1.838
    """

    size: int = eqx.field(static=True, converter=whole("Normal", "size", 1))
    structure: AbstractStructure = PositiveDefinite()
    frame: Frame | None = None

    def __check_init__(self) -> None:
        """Refuse what is no covariance structure."""
        if not isinstance(self.structure, AbstractStructure):
            raise TypeError(
                "Normal: `structure` must be a covariance structure, e.g. expfam.Diagonal(), but "
                f"is {self.structure!r}."
            )

    @property
    def spaces(self) -> NormalCoords:
        """ℝᵈ, and the space of the covariance structure."""
        return NormalCoords(Euclidean((self.size,)), self.structure.space(self.size))

    @property
    def support(self) -> Support:
        """Real vectors of length d."""
        return Support((self.size,), "real", whole=0)

    # ---------------------------------------------------------------- usual parameters

    def from_mean_covariance(
        self, mean: Float[Array, " d"], covariance: Array | None = None
    ) -> Natural[NormalCoords]:
        """The normal with given mean and covariance.

        Args:
            mean: vector of shape `(d,)`.
            covariance: matrix `(d, d)` for `PositiveDefinite`; vector `(d,)` of variances for
                `Diagonal`; one variance for `Scale`; left out for `Identity`.

        Raises:
            ValueError: a wrong shape, or a covariance that is not positive definite.
        """
        space = self.structure.space(self.size)
        shape = None if space is None else space.shape
        given = None if covariance is None else jnp.shape(covariance)
        if jnp.shape(mean) != (self.size,) or given != shape:
            raise ValueError(
                f"{self!r}.from_mean_covariance: `mean` must have shape ({self.size},) and "
                f"`covariance` {'be left out' if shape is None else f'have shape {shape}'}, but "
                f"they have shapes {jnp.shape(mean)} and {given}."
            )
        mean = jnp.asarray(mean)
        leaf = None if covariance is None else jnp.asarray(covariance, mean.dtype)
        coords, valid = _from_covariance(self, mean, leaf)
        return require(
            Natural(coords),
            valid,
            f"{self!r}.from_mean_covariance: `covariance` must be "
            f"{'symmetric, positive definite' if shape and len(shape) == 2 else 'positive'} and "
            "finite, and `mean` finite.",
        )

    def mean_covariance(
        self, params: Natural[NormalCoords]
    ) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
        """Mean vector `(d,)` and covariance matrix `(d, d)` of a normal."""
        self._check_point(params, Natural, "mean_covariance", "params")
        return _usual(self, params.coords)

    readers = (mean_covariance,)

    # ---------------------------------------------------------------- kernels

    @property
    def _conjugacy(self) -> Location | LocationScale:
        if self.structure.space(self.size) is None:
            return Location()
        return LocationScale(self.size, self.structure)

    @property
    def _cells(self) -> NormalCells:
        return NormalCells()

    def _enter(self, x: Array) -> Array:
        return x if self.frame is None else self.frame.enter(x)

    def _leave(self, u: Array) -> Array:
        return u if self.frame is None else self.frame.leave(u)

    @property
    def _log_volume(self) -> Array | float:
        return 0.0 if self.frame is None else self.frame.log_volume

    def _sufficient_statistic(self, x: Array) -> NormalCoords:
        u = self._enter(x)
        return NormalCoords(u, self.structure.outer(u))

    def _log_base_measure(self, x: Array) -> Array:
        u = self._enter(x)
        gaussian = 0.0 if self.structure.space(self.size) is not None else -0.5 * jnp.dot(u, u)
        return gaussian - 0.5 * self.size * jnp.asarray(LOG_2_PI, u.dtype) - self._log_volume

    def _log_normalizer(self, coords: NormalCoords) -> Array:
        return _log_normalizer(self.structure, coords)

    def _log_normalizer_given(self, coords: NormalCoords, x: Array) -> Array:
        value = _log_normalizer_given(self.structure, coords, self._enter(x))
        return value - self._log_volume

    def _log_density(self, coords: NormalCoords, x: Array) -> Array:
        return _log_density(self.structure, coords, self._enter(x)) - self._log_volume

    def _maximize(self, means: NormalCoords, start: NormalCoords | None) -> NormalCoords:
        spread = self.structure.outer(means.first)
        covariance = None if spread is None else means.second - spread
        return self._from_moments(means.first, covariance, means.second)

    def _estimate(self, xs: Array, shares: Array) -> NormalCoords:
        # About the mean, not the origin. The rounding of the data, by ε|x|, leaves a variance of
        # (ε|x|)²; that of the sums is in units of the covariance itself.
        parts = shares.astype(xs.dtype)

        def first(fixed: Any, rows: Array, parts: Array) -> Array:
            family, center = fixed
            return parts @ (jax.vmap(family._enter)(rows) - center)

        def second(fixed: Any, rows: Array, parts: Array) -> Array:
            family, center = fixed
            outer = jax.vmap(lambda x: family.structure.outer(family._enter(x) - center))
            return jnp.tensordot(parts, outer(rows), axes=1)

        origin = jnp.zeros(self.size, xs.dtype)
        mean = sum_over_rows(first, (self, origin), xs, parts)
        mean = mean + sum_over_rows(first, (self, mean), xs, parts)
        if self.structure.space(self.size) is None:
            return self._from_moments(mean, None, None)
        covariance = sum_over_rows(second, (self, mean), xs, parts)
        total = sum_over_rows(second, (self, origin), xs, parts)
        rounding = 16 * jnp.finfo(xs.dtype).eps * total
        return self._from_moments(mean, covariance, covariance + rounding)

    def _from_moments(self, mean: Array, covariance: Leaf, second_moment: Leaf) -> NormalCoords:
        # covariance and second moment as mean leaves
        factor = self.structure.precision_factor(covariance, second_moment, self.size)
        whitened = self.structure.apply_transposed(factor, mean)
        return NormalCoords(
            self.structure.apply(factor, whitened), self.structure.from_factor(factor)
        )

    def _from_covariance(self, mean: Array, covariance: Leaf) -> tuple[NormalCoords, Array]:
        # From raw units. Given as such, a covariance is exact: its own size is the scale of its
        # rounding.
        symmetric = _symmetric(covariance)
        if self.frame is not None:
            mean = self.frame.enter(mean)
            covariance = rescale(covariance, 1 / self.frame.scale)
        if covariance is not None and covariance.ndim == 0:
            covariance = covariance * self.size
        coords = self._from_moments(mean, covariance, covariance)
        return coords, self._in_domain(coords) & symmetric

    def _usual(self, coords: NormalCoords) -> tuple[Array, Array]:
        # mean vector and covariance matrix in raw units
        covariance = self._covariance_matrix(coords)
        if self.frame is not None:
            covariance = rescale(covariance, self.frame.scale)
        return self._mean_value(coords), covariance

    def _moments(self, coords: NormalCoords) -> tuple[Array, Leaf]:
        # mean vector, and covariance as a mean leaf
        return _moments(self.structure, coords)

    def _mean_value(self, coords: NormalCoords) -> Array:
        # in raw units
        return self._leave(self._moments(coords)[0])

    def _covariance_matrix(self, coords: NormalCoords) -> Array:
        _, leaf = _moments(self.structure, coords)
        if leaf is None:
            return jnp.eye(self.size, dtype=coords.first.dtype)
        if leaf.ndim == 0:
            return leaf / self.size * jnp.eye(self.size, dtype=leaf.dtype)
        return leaf if leaf.ndim == 2 else jnp.diag(leaf)

    def _entropy(self, coords: NormalCoords) -> Array:
        log_det = self.structure.log_det(self.structure.factor(coords.second), self.size)
        return jnp.asarray(0.5 * self.size * (1 + LOG_2_PI), coords.first.dtype) - log_det

    def _divergence(self, p: NormalCoords, q: NormalCoords) -> Array:
        # ½‖L_qᵀμ_p − v_q‖² and, with A = L_p⁻¹L_q, ½(‖A‖² − d − log |A|²): terms that are not
        # negative, and do not grow with the distance from the origin
        factor, inverse = self.structure.factors(q.second)
        mean = _moments(self.structure, p)[0]
        whitened = self.structure.apply(inverse, q.first)
        residual = self.structure.residual(factor, mean, whitened)
        own = self.structure.factors(p.second)[1]
        return 0.5 * (jnp.dot(residual, residual) + _excess(own, factor, self.size))

    def _in_domain(self, coords: NormalCoords) -> Bool[Array, ""]:
        # Finite, and of a positive definite precision.
        leaves = coords.first, self.structure.factor(coords.second)
        finite = [jnp.all(jnp.isfinite(leaf)) for leaf in leaves if leaf is not None]
        return jnp.all(jnp.stack(finite))

    def _sample(self, key: Key[Array, ""], coords: NormalCoords) -> Array:
        _, inverse = self.structure.factors(coords.second)
        noise = jax.random.normal(key, (self.size,), coords.first.dtype)
        whitened = self.structure.apply(inverse, coords.first) + noise
        return self._leave(self.structure.apply_transposed(inverse, whitened))

    def _features(self, x: Array) -> Array:
        return x

    def _initialize(self, key: Key[Array, ""]) -> NormalCoords:
        # A random mean near the origin, and a random covariance around the identity.
        means, spread = jax.random.split(key)
        mean = jax.random.normal(means, (self.size,))
        rows = jax.random.normal(spread, (3 * self.size + 1, self.size))
        covariance = rows.T @ rows / (3 * self.size + 1)
        leaf = self.structure.restrict(covariance)
        return self._from_moments(mean, leaf, leaf)

    def _weak_means(self, xs: Float[Array, "n d"]) -> NormalCoords:
        # The variances of the columns, without correlations. A constant column gets a small share
        # of the scale of the others, or of its own value.
        xs = jax.vmap(self._enter)(xs)
        mean = jnp.mean(xs, axis=0)
        variances = jnp.mean((xs - mean) ** 2, axis=0)
        noise = 16 * jnp.finfo(xs.dtype).eps * mean**2
        spread = jnp.max(jnp.where(variances > noise, variances, 0))
        scale = jnp.where(spread > 0, spread, jnp.maximum(jnp.max(mean**2), 1))
        floor = jnp.maximum(1e-3 * scale, 2 * noise)
        variances = jnp.where(variances > noise, variances, floor)
        second = jnp.diag(variances) + jnp.outer(mean, mean)
        return NormalCoords(mean, self.structure.restrict(second))

    def _to_unconstrained(self, coords: NormalCoords) -> PyTree[Array]:
        factor = self.structure.factor(coords.second)
        return self._moments(coords)[0], self.structure.to_unconstrained(factor)

    def _from_unconstrained(self, free: PyTree[Array]) -> NormalCoords:
        mean, logs = free
        factor = self.structure.from_unconstrained(logs)
        whitened = self.structure.apply_transposed(factor, mean)
        return NormalCoords(
            self.structure.apply(factor, whitened), self.structure.from_factor(factor)
        )


# The kernels with exact derivatives. L Lᵀ = P = −2Θ, v = L⁻¹θ₁ = Lᵀμ.


@jax.custom_jvp
def _moments(structure: AbstractStructure, coords: NormalCoords) -> tuple[Array, Leaf]:
    # μ = L⁻ᵀv, and Σ = L⁻ᵀL⁻¹ as a mean leaf
    _, inverse = structure.factors(coords.second)
    mean = structure.apply_transposed(inverse, structure.apply(inverse, coords.first))
    return mean, structure.covariance(inverse, coords.first.shape[-1])


@_moments.defjvp
def _moments_jvp(primals: Any, tangents: Any) -> tuple[Any, Any]:
    # dμ = Σ(dθ₁ + 2 dΘ μ), dΣ = 2Σ dΘ Σ: products only, no derivative of a factorization
    structure, coords = primals
    direction = tangents[1]
    mean, covariance = _moments(structure, coords)
    force = direction.first + 2 * structure.multiply(direction.second, mean)
    spread = structure.respond(covariance, direction.second, mean.shape[-1])
    return (mean, covariance), (structure.covary(covariance, force), spread)


@jax.custom_jvp
def _log_normalizer(structure: AbstractStructure, coords: NormalCoords) -> Float[Array, ""]:
    # ψ(θ) = ½ θ₁ᵀP⁻¹θ₁ − ½ log|P| = ½‖v‖² − log|L|
    factor, inverse = structure.factors(coords.second)
    whitened = structure.apply(inverse, coords.first)
    return 0.5 * jnp.dot(whitened, whitened) - structure.log_det(factor, coords.first.shape[-1])


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # dψ = ⟨dθ, η⟩ with η = (μ, Σ + μμᵀ). The term of μμᵀ is kept a quadratic form: its transpose
    # under vmap is one matrix product over the rows.
    structure, coords = primals
    direction = tangents[1]
    mean, covariance = _moments(structure, coords)
    slope = jnp.dot(direction.first, mean) + structure.quadratic(direction.second, mean)
    slope = slope + pairing(direction.second, covariance)
    return _log_normalizer(structure, coords), slope


def _log_density(
    structure: AbstractStructure, coords: NormalCoords, x: Float[Array, " d"]
) -> Float[Array, ""]:
    # log p(x) = −½‖Lᵀx − v‖² + log|L| − ½ d log 2π. Under vmap, Lᵀx is one product over all rows
    # and components; x − μ would be as many vectors as both together.
    dim = x.shape[-1]
    factor, inverse = structure.factors(coords.second)
    whitened = structure.apply(inverse, coords.first)
    residual = structure.residual(factor, x, whitened)
    constant = jnp.asarray(0.5 * dim * LOG_2_PI, x.dtype)
    return structure.log_det(factor, dim) - 0.5 * jnp.dot(residual, residual) - constant


@jax.custom_jvp
def _log_normalizer_given(
    structure: AbstractStructure, coords: NormalCoords, x: Float[Array, " d"]
) -> Float[Array, ""]:
    # ψ(θ | x) = ⟨θ, s(x)⟩ + log μ(x) = ψ(θ) + log p(x; θ); the right-hand side does not cancel.
    return _log_normalizer(structure, coords) + _log_density(structure, coords, x)


@_log_normalizer_given.defjvp
def _log_normalizer_given_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    # dψ(θ | x) = ⟨dθ, s(x)⟩ + ⟨θ₁ − P x, dx⟩
    structure, coords, x = primals
    _, direction, dx = tangents
    factor = structure.factor(coords.second)
    score = coords.first - structure.apply(factor, structure.apply_transposed(factor, x))
    slope = jnp.dot(direction.first, x) + structure.quadratic(direction.second, x)
    return _log_normalizer_given(structure, coords, x), slope + jnp.dot(score, dx)


@jax.jit
def _from_covariance(normal: Normal, mean: Array, covariance: Leaf) -> tuple[NormalCoords, Array]:
    return normal._from_covariance(mean, covariance)


def _excess(inverse: Leaf, factor: Leaf, size: int) -> Array:
    # ‖A‖² − d − log |A|² of A = L_p⁻¹L_q, which is triangular: Σ A_ij² + Σ D(1, A_ii²)
    if inverse is None or factor is None:
        return jnp.zeros(())
    if inverse.ndim < 2:
        ratio = inverse * factor
        terms = deviance(jnp.ones_like(ratio), ratio * ratio)
        return jnp.sum(terms) * (size // ratio.size)
    ratio = inverse @ factor
    own = jnp.diagonal(ratio)
    rest = ratio - jnp.diag(own)
    return jnp.sum(rest * rest) + jnp.sum(deviance(jnp.ones_like(own), own * own))


def _symmetric(leaf: Leaf) -> Bool[Array, ""]:
    if leaf is None or leaf.ndim < 2:
        return jnp.asarray(True)
    tolerance = 64 * jnp.finfo(leaf.dtype).eps * jnp.max(jnp.abs(leaf))
    return jnp.all(jnp.abs(leaf - leaf.T) <= tolerance)


@jax.jit
def _usual(normal: Normal, coords: NormalCoords) -> tuple[Array, Array]:
    return normal._usual(coords)
