"""The normal-Wishart family of pairs of a mean vector and a precision matrix."""

from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from ...geometry.checks import require, require_shape, whole
from ...geometry.linalg import (
    cholesky,
    factorize,
    gram,
    invert_positive,
    invert_triangular,
    is_symmetric,
    log_determinant,
    reverse_cholesky,
)
from ...geometry.points import Natural, pairing
from ...geometry.spaces import Euclidean, Symmetric
from ..cells import Whole
from ..matrices.wishart import Wishart, WishartCoords, mean_of, scale_of
from ..observed import AbstractObservedFamily, given_by_density
from ..special.constants import LOG_2_PI
from ..special.divergence import normal_wishart_divergence
from ..support import Support


@final
class NormalWishartCoords(eqx.Module):
    """Coordinates of a normal-Wishart, and of its relatives.

    Attributes:
        first: pairs with Λμ: natural κm; shape `(d,)`.
        second: pairs with −Λ/2: natural V⁻¹ + κmmᵀ; shape `(d, d)`.
        quadratic: pairs with −μᵀΛμ/2: natural κ; a scalar.
        log_determinant: pairs with log(|Λ|)/2: natural n; a scalar.
    """

    first: Any
    second: Any
    quadratic: Any
    log_determinant: Any


@final
class NormalWishart(AbstractObservedFamily[NormalWishartCoords]):
    r"""Distributions of a mean μ and a precision matrix Λ: conjugate priors of a normal vector.

    The precision has a Wishart distribution with scale V and n degrees of freedom, and given it the
    mean is normal about the location m: p(μ, Λ) = Wishart(Λ; V, n) N(μ; m, (κΛ)⁻¹).

    | | first | second | quadratic | log_determinant |
    | --- | --- | --- | --- | --- |
    | natural θ | κm | V⁻¹ + κmmᵀ | κ | n |
    | mean η | nVm | −½nV | −½(d/κ + n mᵀVm) | ½ E log \|Λ\|, as in `Wishart` |
    | statistic s(μ, Λ) | Λμ | −½Λ | −½μᵀΛμ | ½ log \|Λ\| |

    The base measure is (2π)^(−d/2) |Λ|^(−d/2), against Lebesgue measure of μ and of the entries of
    Λ on and above the diagonal. Natural coordinates are sums over imagined observations: seeing x,
    of mean μ and precision Λ, adds x, xxᵀ, 1 and 1 to them. The prior of Diaconis & Ylvisaker, flat
    in the natural coordinates of the normal where nothing is imagined, has n = κ + d + 2.

    Like all sums of squares, `second` holds V only up to its own rounding: of V⁻¹, the share
    (1 + κ mᵀVm) ε is lost at rest, and all of it where κ mᵀVm reaches 1/ε. Where that matters, take
    vectors relative to a point near m.

    Attributes:
        size: number of dimensions d.

    References:
        DeGroot, Optimal Statistical Decisions (1970), section 9.10; Bishop, Pattern Recognition and
        Machine Learning (2006), section 2.3.6.

    Examples:
        >>> import jax.numpy as jnp, expfam as ef
        >>> family = ef.NormalWishart(2)
        >>> params = family.from_location_count_scale_freedom(jnp.ones(2), 4.0, jnp.eye(2), 3.0)
        >>> float(family.to_mean(params).coords.first[0].round(4))
        3.0
    """

    size: int = eqx.field(static=True, converter=whole("NormalWishart", "size", 1))

    @property
    def spaces(self) -> NormalWishartCoords:
        """ℝᵈ, symmetric matrices, ℝ, and ℝ."""
        scalar = Euclidean(())
        return NormalWishartCoords(Euclidean((self.size,)), Symmetric(self.size), scalar, scalar)

    @property
    def support(self) -> tuple[Support, Support]:
        """Real vectors, and positive-definite matrices."""
        return Support((self.size,), "real"), self._of_precision.support

    @property
    def _of_precision(self) -> Wishart:
        return Wishart(self.size)

    def from_location_count_scale_freedom(
        self,
        location: Float[Array, " d"],
        count: Float[Array, ""] | float,
        scale: Float[Array, "d d"],
        freedom: Float[Array, ""] | float,
    ) -> Natural[NormalWishartCoords]:
        """The distribution with given location m, count κ, scale V and degrees of freedom n.

        Args:
            location: m, the mean of μ, shape `(d,)`.
            count: κ > 0, the number of observations that the knowledge of the mean is worth.
            scale: V, shape `(d, d)`; the mean of the precision is nV.
            freedom: n > d − 1.

        Raises:
            ValueError: a wrong shape, or a value that is not allowed.
        """
        owner = "NormalWishart.from_location_count_scale_freedom"
        given = check_usual(self.size, location, count, scale, freedom, owner)
        coords, valid = _from_usual(self, *given)
        return require(
            Natural(coords),
            valid,
            f"{owner}: `location` must be finite, `count` positive and finite, `scale` symmetric "
            f"and positive definite, and `freedom` more than {self.size - 1} and finite; the "
            "inverse of the scale must not be lost in the rounding of count · location locationᵀ.",
        )

    def location_count_scale_freedom(
        self, params: Natural[NormalWishartCoords]
    ) -> tuple[Float[Array, " d"], Float[Array, ""], Float[Array, "d d"], Float[Array, ""]]:
        """Location m, count κ, scale V and degrees of freedom n."""
        self._check_point(params, Natural, "location_count_scale_freedom", "params")
        coords = params.coords
        location, wishart = split(coords)
        return location, coords.quadratic, scale_of(wishart), coords.log_determinant

    readers = (location_count_scale_freedom,)

    @property
    def _cells(self) -> Whole:
        return Whole()

    def _sufficient_statistic(self, x: tuple[Array, Array]) -> NormalWishartCoords:
        mean, precision = x
        first = precision @ mean
        log_det = log_determinant(cholesky(precision))
        return NormalWishartCoords(first, -precision / 2, -jnp.dot(first, mean) / 2, log_det / 2)

    def _log_base_measure(self, x: tuple[Array, Array]) -> Array:
        return -self.size / 2 * (log_determinant(cholesky(x[1])) + LOG_2_PI)

    def _log_normalizer(self, coords: NormalWishartCoords) -> Array:
        return _log_normalizer(coords)

    def _log_normalizer_given(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        return given_by_density(self, coords, x)

    def _log_density(self, coords: NormalWishartCoords, x: tuple[Array, Array]) -> Array:
        # that of Λ = GᵀG, and that of μ given Λ
        (mean, precision), (location, wishart) = x, split(coords)
        lower = reverse_cholesky(precision)
        residual = lower @ (mean - location)
        normal = self.size * (jnp.log(coords.quadratic) - LOG_2_PI) + log_determinant(lower)
        fit = coords.quadratic * jnp.dot(residual, residual)
        marginal = self._of_precision._log_density_of_factor(wishart, lower)
        return marginal + (normal - fit) / 2

    def _maximize(
        self, means: NormalWishartCoords, start: NormalWishartCoords | None
    ) -> NormalWishartCoords:
        # 1. P = nV = −2 η_second = G Gᵀ, m = P⁻¹ η_first, and d/κ = −2 η_quadratic − ‖Gᵀm‖², where
        #    noise is never taken for a variance.
        # 2. The degrees of freedom are those of a Wishart with the same E Λ and E log |Λ|.
        precision = -2 * means.second
        _, inverse = factorize(precision)
        whitened = inverse @ means.first
        total = -2 * means.quadratic
        spread = total - jnp.dot(whitened, whitened)
        wishart = WishartCoords(precision, 2 * means.log_determinant)
        return _join(
            whitened @ inverse,
            _above(spread, 8 * jnp.finfo(total.dtype).eps * total) / self.size,
            self._of_precision._maximize(wishart, None),
        )

    def _estimate(self, xs: tuple[Array, Array], shares: Array) -> NormalWishartCoords:
        # d/κ = Σ w (μ − m)ᵀΛ(μ − m), about m = (Σ wΛ)⁻¹ Σ wΛμ
        means, precisions = xs
        parts = shares.astype(means.dtype)
        covariance = invert_positive(jnp.tensordot(parts, precisions, axes=1))
        location = jnp.zeros_like(means[0])
        for _ in range(2):
            pulls = jnp.einsum("n,nij,nj->i", parts, precisions, means - location)
            location = location + covariance @ pulls
        spread = _spread(parts, precisions, means - location)
        noise = 64 * jnp.finfo(means.dtype).eps ** 2 * _spread(parts, precisions, means)
        wishart = self._of_precision._estimate(precisions, shares)
        return _join(location, _above(spread, noise) / self.size, wishart)

    def _entropy(self, coords: NormalWishartCoords) -> Array:
        # that of Λ, and on average that of μ given Λ
        normal = self.size * (1 + LOG_2_PI - jnp.log(coords.quadratic))
        wishart = split(coords)[1]
        mean_log = mean_of(wishart).log_determinant
        return self._of_precision._entropy(wishart) + (normal - mean_log) / 2

    def _divergence(self, p: NormalWishartCoords, q: NormalWishartCoords) -> Array:
        # those of one row B = μᵀ
        def matrices(point: NormalWishartCoords) -> tuple[Array, Array, Array, Array]:
            count = jnp.reshape(point.quadratic, (1, 1))
            return point.first[None], point.second, count, point.log_determinant

        return normal_wishart_divergence(matrices(p), matrices(q))

    def _in_domain(self, coords: NormalWishartCoords) -> Bool[Array, ""]:
        location, wishart = split(coords)
        count = coords.quadratic
        finite = jnp.all(jnp.isfinite(location)) & jnp.isfinite(count)
        return (count > 0) & finite & self._of_precision._in_domain(wishart)

    def _sample(self, key: Key[Array, ""], coords: NormalWishartCoords) -> tuple[Array, Array]:
        # With Λ = GᵀG, μ = m + G⁻¹ε/√κ
        first, second = jax.random.split(key)
        location, wishart = split(coords)
        factor = self._of_precision._sample_factor(first, wishart)
        noise = jax.random.normal(second, (self.size,), location.dtype)
        step = invert_triangular(factor) @ noise / jnp.sqrt(coords.quadratic)
        return location + step, gram(factor)

    def _features(self, x: tuple[Array, Array]) -> Array:
        return jnp.concatenate([x[0], self._of_precision._features(x[1])])

    def _initialize(self, key: Key[Array, ""]) -> NormalWishartCoords:
        first, second = jax.random.split(key)
        location = jax.random.normal(first, (self.size,))
        return _join(location, jnp.ones(()), self._of_precision._initialize(second))

    def _weak_means(self, xs: tuple[Array, Array]) -> NormalWishartCoords:
        # those of the data, with 1/κ larger by 1, and d + 1 degrees of freedom of the precision
        means, precisions = xs
        wishart = self._of_precision._weak_means(precisions)
        parts = jnp.full(means.shape[:1], 1 / means.shape[0], means.dtype)
        first = jnp.einsum("n,nij,nj->i", parts, precisions, means)
        total = self.size + _spread(parts, precisions, means)
        return NormalWishartCoords(
            first, -wishart.matrix / 2, -total / 2, wishart.log_determinant / 2
        )

    def _to_unconstrained(self, coords: NormalWishartCoords) -> tuple[Array, Array, Any]:
        # m, log κ, and the free parameters of the Wishart
        location, wishart = split(coords)
        free = self._of_precision._to_unconstrained(wishart)
        return location, jnp.log(coords.quadratic), free

    def _from_unconstrained(self, free: tuple[Array, Array, Any]) -> NormalWishartCoords:
        wishart = self._of_precision._from_unconstrained(free[2])
        return _join(free[0], jnp.exp(-free[1]), wishart)


@jax.jit
def _from_usual(
    family: NormalWishart, location: Array, count: Array, scale: Array, freedom: Array
) -> tuple[NormalWishartCoords, Array]:
    coords = join_sums(location, count, invert_positive(scale), freedom)
    return coords, family._in_domain(coords) & is_symmetric(scale)


@jax.custom_jvp
def _log_normalizer(coords: NormalWishartCoords) -> Array:
    # that of the Wishart of Λ, − d/2 log κ
    location, wishart = split(coords)
    size = location.shape[0]
    return Wishart(size)._log_normalizer(wishart) - size / 2 * jnp.log(coords.quadratic)


@_log_normalizer.defjvp
def _log_normalizer_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    return _log_normalizer(*primals), pairing(tangents[0], _mean(*primals))


def _mean(coords: NormalWishartCoords) -> NormalWishartCoords:
    # E μᵀΛμ = d/κ + mᵀPm, with P = E Λ
    location, wishart = split(coords)
    size = location.shape[0]
    means = mean_of(wishart)
    first = means.matrix @ location
    square = size / coords.quadratic + jnp.dot(first, location)
    return NormalWishartCoords(first, -means.matrix / 2, -square / 2, means.log_determinant / 2)


def _spread(parts: Array, precisions: Array, vectors: Array) -> Array:
    # Σ w vᵀΛv
    return jnp.einsum("n,ni,nij,nj->", parts, vectors, precisions, vectors)


def _above(value: Array, noise: Array) -> Array:
    return jnp.where(value > noise, value, jnp.nan)


# Of use for normal-inverse-Wisharts too.


def split(coords: NormalWishartCoords) -> tuple[Array, WishartCoords]:
    """m, and the Wishart of Λ: V⁻¹ = S − κmmᵀ, the square completed once."""
    location = coords.first / coords.quadratic
    inverse_scale = coords.second - jnp.outer(coords.first, coords.first) / coords.quadratic
    return location, WishartCoords(-inverse_scale / 2, coords.log_determinant / 2)


def _join(location: Array, spread: Array, wishart: WishartCoords) -> NormalWishartCoords:
    # from m, 1/κ, and the Wishart of Λ
    second = -2 * wishart.matrix + jnp.outer(location, location) / spread
    return NormalWishartCoords(location / spread, second, 1 / spread, 2 * wishart.log_determinant)


def join_sums(
    location: Array, count: Array, inverse_scale: Array, freedom: Array
) -> NormalWishartCoords:
    """Natural coordinates of m, κ, V⁻¹ and n."""
    second = inverse_scale + count * jnp.outer(location, location)
    return NormalWishartCoords(count * location, second, count, freedom)


def check_usual(
    size: int, location: Any, count: Any, scale: Any, freedom: Any, owner: str
) -> list[Array]:
    """Usual parameters as arrays; refuses other shapes."""
    require_shape(location, (size,), owner, "location")
    require_shape(count, (), owner, "count")
    require_shape(scale, (size, size), owner, "scale")
    require_shape(freedom, (), owner, "freedom")
    return [jnp.asarray(value, float) for value in (location, count, scale, freedom)]
