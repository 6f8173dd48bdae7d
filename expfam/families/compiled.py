"""Compiled bodies of the public methods of families.

A family holds no arrays, so it is part of the key under which JAX keeps compiled programs.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Array, Float

from ..geometry.derivatives import derivative_along, differentiated_as, not_negative
from ..geometry.duality import bregman_divergence
from ..geometry.linalg import factorize
from ..geometry.points import pairing
from ..geometry.programs import compiled_once
from ..geometry.shards import sum_over_devices
from ..geometry.spaces import zeros
from . import cells, ends
from .observations import fill, group_of, has_gaps, over_rows

# Blocks of this many bytes a column stay in the cache, and are long enough to be shared out to
# threads: 1024 rows in float32, 512 in float64.
_BYTES_PER_COLUMN = 4096
# Rows with missing cells that are looked at together, each with its own factorizations.
_MAPPED = 256


def over_data(kernel: Callable[..., Any], n_axes: int, n_params: int = 0) -> Callable[..., Any]:
    """A kernel (family, *parameters, datum), compiled and mapped over leading axes of the data.

    Args:
        kernel: for one data point; its identity is part of the compilation key.
        n_axes: number of leading axes.
        n_params: number of arguments between the family and the data.
    """
    return lambda family, *args: map_data(kernel, n_axes, n_params, family, *args)


def map_data(kernel: Any, n_axes: int, n_params: int, family: Any, *args: Any) -> Any:
    """Map a kernel over leading axes of its last argument; see `over_data`."""
    mapped = kernel
    if n_axes and has_gaps(args[-1]):
        return _map_in_blocks(kernel, n_axes, family, *args)
    for _ in range(n_axes):
        mapped = jax.vmap(mapped, in_axes=(None,) * (1 + n_params) + (0,))
    return mapped(family, *args)


def _map_in_blocks(kernel: Any, n_axes: int, family: Any, *args: Any) -> Any:
    # Every row may have a factorization of its own: in bounded memory, a block after another.
    *params, x = args
    shape = jax.tree.leaves(x)[0].shape[:n_axes]
    rows = jax.tree.map(lambda leaf: jnp.reshape(leaf, (-1, *leaf.shape[n_axes:])), x)
    values = jax.lax.map(lambda row: kernel(family, *params, row), rows, batch_size=_MAPPED)
    return jax.tree.map(lambda leaf: jnp.reshape(leaf, (*shape, *leaf.shape[1:])), values)


map_data = jax.jit(map_data, static_argnums=(0, 1, 2))


def log_prior(prior: Any, family: Any, coords: Any, total: Any) -> Array | float:
    """Log-density of a prior over the number of rows; 0 without a prior."""
    if prior is None:
        return 0.0
    return prior._log_density(coords, family._log_normalizer(coords)) / total


def shares(weights: Any, n: int, dtype: Any) -> Any:
    """Weights, of JAX or of NumPy, that sum to one."""
    if weights is None:
        return jnp.full((n,), 1 / n, dtype)
    scaled = weights / weights.max()
    return (scaled / scaled.sum()).astype(dtype)


def dtype_of(*trees: Any) -> Any:
    """The floating-point type of trees of arrays; JAX's default where they hold none."""
    floats = [leaf for leaf in jax.tree.leaves(trees) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.result_type(*floats) if floats else jnp.result_type(float)


def sum_over_rows(
    function: Callable[..., Any],
    fixed: Any,
    xs: Any,
    parts: Array,
    block_size: int | None = None,
    like: Any = None,
) -> Any:
    """A sum over rows, in which every device walks through its own rows in blocks.

    Temporaries stay bounded, whatever the number of rows.

    Args:
        function: from `fixed`, some of the rows and their shares to a tree of sums over these rows,
            linear in the shares.
        fixed: what is the same for all rows, a tree of arrays.
        xs: rows.
        parts: the shares of the rows.
        block_size: largest number of rows of a block; 1024 (float32) or 512 (float64) where not
            given.
        like: tree of arrays shaped like the result, where it is at hand.
    """

    def walk(fixed: Any, own: Any) -> Any:
        xs, parts = own
        n, group = parts.shape[0], group_of(xs)
        largest = _BYTES_PER_COLUMN // parts.dtype.itemsize if block_size is None else block_size
        if group == 1 and has_gaps(xs):
            largest = min(largest, _MAPPED)
        if n <= largest and group in (1, n):
            return function(fixed, xs, parts)
        # of blocks about equally long, a multiple of what the processor takes at a time; or those
        # of one pattern of missing cells
        size = group if group > 1 else min(largest, -(-n // -(-n // largest) // 64) * 64)

        def block(begin: Any) -> Any:
            return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, begin, size), (xs, parts))

        def step(carry: Any, start: Array) -> tuple[Any, None]:
            # The last block overlaps the one before it; rows met twice count once.
            begin = jnp.minimum(start, n - size)
            rows, shares = block(begin)
            fresh = jnp.arange(size) + begin >= start
            sums = function(fixed, rows, jnp.where(fresh, shares, 0))
            return jax.tree.map(jnp.add, carry, sums), None

        shapes = like
        if shapes is None:
            shapes = jax.eval_shape(lambda: function(fixed, *block(0)))
        empty = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.scan(step, empty, jnp.arange(0, n, size))[0]

    return sum_over_devices(walk, fixed, (xs, parts))


def expectation(
    family: Any, coords: Any, xs: Any, parts: Array, block_size: int | None = None
) -> Any:
    """The average over rows of ∇ψ(θ | x), with shares that sum to one: an E-step."""
    # The value is not used, and not computed.
    return _value_and_slope(cells.log_normalizer_given, family, coords, xs, parts, block_size)[1]


def density_and_expectation(
    family: Any, coords: Any, xs: Any, parts: Array, block_size: int | None = None
) -> tuple[Float[Array, ""], Any]:
    """The averages over rows of log p(x) and of ∇ψ(θ | x), from one pass through the rows."""
    return _look(block_size, family, coords, xs, parts)


def _look_plainly(block_size: int | None, family: Any, coords: Any, xs: Any, parts: Array) -> Any:
    return _value_and_slope(cells.log_evidence, family, coords, xs, parts, block_size)


_look = partial(jax.custom_jvp, nondiff_argnums=(0,))(_look_plainly)


def _look_jvp(block_size: int | None, primals: Any, tangents: Any) -> tuple[Any, Any]:
    # Differentiated block by block: derivatives of a scan in which a gradient is taken of functions
    # with rules of their own are wrong under reverse mode (seen with JAX 0.10.2).
    family, coords, xs, parts = primals
    found = _look(block_size, *primals)
    still = jax.tree.leaves((tangents[0], *tangents[2:]))
    if not all(isinstance(leaf, SymbolicZero) for leaf in still):
        return found, derivative_along(
            lambda *args: _look_plainly(block_size, *args), primals, tangents
        )
    moves = jax.tree.map(
        lambda leaf, move: jnp.zeros_like(leaf) if isinstance(move, SymbolicZero) else move,
        coords,
        tangents[1],
    )

    def bend(fixed: Any, rows: Any, parts: Array) -> Any:
        family, coords, moves = fixed
        look = partial(_slope_of_rows, cells.log_evidence, family, rows=rows, parts=parts)
        return jax.jvp(look, (coords,), (moves,))[1]

    fixed = family, coords, moves
    return found, sum_over_rows(bend, fixed, xs, parts, block_size, (parts[0], coords))


_look.defjvp(_look_jvp, symbolic_zeros=True)


def _value_and_slope(
    kernel: Callable[..., Array],
    family: Any,
    coords: Any,
    xs: Any,
    parts: Array,
    block_size: int | None,
) -> tuple[Float[Array, ""], Any]:
    def both(fixed: Any, rows: Any, parts: Array) -> tuple[Array, Any]:
        family, coords = fixed
        return _slope_of_rows(kernel, family, coords, rows, parts)

    return sum_over_rows(both, (family, coords), xs, parts, block_size, (parts[0], coords))


def _slope_of_rows(
    kernel: Callable[..., Array], family: Any, coords: Any, rows: Any, parts: Array
) -> tuple[Float[Array, ""], Any]:
    def total(coords: Any) -> Array:
        return jnp.dot(parts, over_rows(lambda x: kernel(family, coords, x), rows))

    return jax.value_and_grad(total)(coords)


def log_observable_density(family: Any, coords: Any, x: Any) -> Array:
    """log p(x) of what is observed, with its own derivatives."""
    evidence = cells.log_evidence(family, coords, x)
    return differentiated_as(evidence, evidence - family._log_normalizer(coords))


@jax.custom_jvp
def average_density(family: Any, coords: Any, xs: Any, parts: Array) -> Float[Array, ""]:
    """The average over rows of log p(x), with shares that sum to one.

    Its gradient comes from the same pass through blocks of rows.
    """
    return density_and_expectation(family, coords, xs, parts)[0]


def _average_density_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    family, coords, xs, parts = primals
    value, means = density_and_expectation(family, coords, xs, parts)

    def along(moved: Any) -> Array:
        return pairing(moved, means) - jnp.sum(parts) * family._log_normalizer(moved)

    def average(family: Any, xs: Any, parts: Array) -> Array:
        densities = over_rows(lambda x: log_observable_density(family, coords, x), xs)
        return jnp.dot(parts, densities)

    slope = derivative_along(along, (coords,), tangents[1:2])
    rest = derivative_along(average, (family, xs, parts), (tangents[0], *tangents[2:]))
    return value, slope + rest


average_density.defjvp(_average_density_jvp, symbolic_zeros=True)


@jax.jit
def average_statistic(family: Any, xs: Any, weights: Array | None) -> Any:
    """The weighted average of s(x) over rows."""
    return weighted_average(family, xs, shares_of(xs, weights))


def weighted_average(family: Any, xs: Any, parts: Array) -> Any:
    """The average of s(x) over rows, with shares that sum to one."""

    def average(family: Any, rows: Any, parts: Array) -> Any:
        return jax.tree.map(
            lambda leaf: jnp.tensordot(parts.astype(leaf.dtype), leaf, axes=1),
            jax.vmap(family._sufficient_statistic)(rows),
        )

    return sum_over_rows(average, family, xs, parts)


def shares_of(xs: Any, weights: Array | None, *others: Any) -> Float[Array, " n"]:
    """The shares of rows of data, of their floating-point type, and that of other trees."""
    return shares(weights, jax.tree.leaves(xs)[0].shape[0], dtype_of(xs, *others))


def total_weight(xs: Any, weights: Array | None) -> Any:
    """The sum of the weights of rows: their number, where none are given."""
    return jax.tree.leaves(xs)[0].shape[0] if weights is None else jnp.sum(weights)


@jax.jit
def maximum_likelihood(
    family: Any, xs: Any, weights: Array | None, prior: Any
) -> tuple[Any, Array]:
    """The estimate from rows, and whether it is the maximum up to rounding."""
    parts = shares_of(xs, weights)
    if prior is None:
        coords = family._estimate(xs, parts)
        return coords, family._attains(coords, xs, parts)
    means = prior._average(weighted_average(family, xs, parts), total_weight(xs, weights))
    coords = family._maximize(means, None)
    return coords, _has_means(family, coords, means)


def has_average(family: Any, coords: Any, xs: Any, parts: Array) -> Array:
    """Whether coordinates have the average statistic of rows as means, up to rounding."""
    return _has_means(family, coords, weighted_average(family, xs, parts))


@jax.jit
def log_normalizer(family: Any, coords: Any) -> Array:
    """ψ(θ)."""
    return family._log_normalizer(coords)


@jax.jit
def to_mean(family: Any, coords: Any) -> Any:
    """∇ψ(θ)."""
    return jax.grad(family._log_normalizer)(coords)


@jax.jit
def to_natural(family: Any, means: Any) -> tuple[Any, Array]:
    """(∇ψ)⁻¹(η), and whether it has these means up to rounding."""
    coords = family._maximize(means, None)
    return coords, _has_means(family, coords, means) & ends.inside(family, coords)


def _has_means(family: Any, coords: Any, means: Any) -> Array:
    # A solution must have the means that were asked for.
    returned = jax.grad(family._log_normalizer)(coords)
    wanted, got = family._flatten(means, "mean"), family._flatten(returned, "mean")
    tolerance = jnp.finfo(wanted.dtype).eps ** 0.5 * jnp.max(jnp.abs(wanted), initial=1.0)
    return family._in_domain(coords) & jnp.all(jnp.abs(wanted - got) <= tolerance)


def divergence(family: Any, p: Any, q: Any) -> Array:
    """KL(p ‖ q), by the kernel `_divergence` of a family, else as a Bregman divergence of ψ."""
    own = getattr(family, "_divergence", None)
    return bregman_divergence(family._log_normalizer, q, p) if own is None else own(p, q)


@jax.jit
def kl_divergence(family: Any, p: Any, q: Any) -> Array:
    """KL(p ‖ q)."""
    return divergence(family, p, q)


@jax.jit
def cross_entropy(family: Any, p: Any, q: Any) -> Array:
    """−E_p[log q(x)]."""
    return family._entropy(p) + divergence(family, p, q)


@jax.jit
def renyi_divergence(family: Any, p: Any, q: Any, order: Array) -> Array:
    """D_α(p ‖ q), without the cancellation of three log-normalizers."""
    # 1. With m = αp + (1 − α)q the linear parts of αB(p, m) + (1 − α)B(q, m) add up to nothing,
    #    where B is the Bregman divergence of ψ, B(p, m) = KL(m ‖ p), so that it is (1 − α) D_α.
    # 2. At α = 1 what is left is B(q, p). For δ = p − q,
    #    B(p, m) = (1 − α)² ∫₀¹ (1 − t) δᵀ∇²ψ(p − (1 − α)(1 − t)δ)δ dt,
    #    of which Gauss's rule of one node, t = ⅓, has the value and the slope there.
    alpha = order.astype(dtype_of(p))
    rest = 1 - alpha
    middle = jax.tree.map(lambda a, b: alpha * a + rest * b, p, q)
    own, other = (divergence(family, middle, point) for point in (p, q))
    step = jax.tree.map(jnp.subtract, p, q)
    node = jax.tree.map(lambda a, b: a - 2 / 3 * rest * b, p, step)
    bent = jax.jvp(jax.grad(family._log_normalizer), (node,), (step,))[1]
    ratio = jnp.where(
        rest == 0, rest / 2 * pairing(bent, step), own / jnp.where(rest == 0, 1, rest)
    )
    return jnp.where(family._in_domain(middle), not_negative(other + alpha * ratio), jnp.inf)


@jax.jit
def fisher_information(family: Any, coords: Any) -> Array:
    """∇²ψ(θ) in flattened coordinates."""
    return _fisher_information(family, coords)


@jax.jit
def inverse_fisher_information(family: Any, coords: Any) -> Array:
    """(∇²ψ(θ))⁻¹ in flattened coordinates."""
    information = _fisher_information(family, coords)
    return _solve(information, jnp.eye(information.shape[0], dtype=information.dtype))


@jax.jit
def natural_gradient(family: Any, coords: Any, slope: Any) -> Any:
    """(∇²ψ(θ))⁻¹g."""
    solution = _solve(_fisher_information(family, coords), family._flatten(slope, "mean"))
    return family._unflatten(solution, "natural")


def _fisher_information(family: Any, coords: Any) -> Array:
    def potential(vector: Array) -> Array:
        return family._log_normalizer(family._unflatten(vector, "natural"))

    return jax.hessian(potential)(family._flatten(coords, "natural"))


def _solve(information: Array, target: Array) -> Array:
    # in units of the standard deviations, so that scales do not matter
    scale = jnp.sqrt(jnp.diagonal(information))
    _, inverse = factorize(information / jnp.outer(scale, scale))
    scaled = (target.T / scale).T
    return ((inverse.T @ (inverse @ scaled)).T / scale).T


@jax.jit
def entropy(family: Any, coords: Any) -> Array:
    """−E[log p(x)]."""
    return family._entropy(coords)


@jax.jit
def in_domain(family: Any, coords: Any) -> Array:
    """Whether ψ(θ) is finite."""
    return family._in_domain(coords)


@jax.jit
def to_unconstrained(family: Any, coords: Any) -> tuple[Any, Array]:
    """Free parameters of a point, and whether they are finite, and the point in the domain."""
    free = family._to_unconstrained(coords)
    finite = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(free)]
    return free, jnp.all(jnp.stack([family._in_domain(coords), *finite]))


@jax.jit
def from_unconstrained(family: Any, free: Any) -> Any:
    """The point with the given free parameters."""
    return family._from_unconstrained(free)


def free_parameters(family: Any) -> tuple[Any, list[tuple[int, ...]]]:
    """The structure of the tree of free parameters, and the shapes of its leaves."""
    coords = zeros(family.spaces, jnp.zeros(()).dtype)
    leaves, structure = jax.tree.flatten(jax.eval_shape(family._to_unconstrained, coords))
    return structure, [leaf.shape for leaf in leaves]


@jax.jit
def initialize(family: Any, key: Array) -> Any:
    """A random point."""
    return family._initialize(key)


@compiled_once
def initialize_from_sample(
    family: Any, sketch: Any, key: Array, xs: Any, weights: Array | None
) -> tuple[Any, Array]:
    """A start from data and its sketch, and whether it is in the domain."""
    n = jax.tree.leaves(xs)[0].shape[0]
    parts = jnp.ones((n,), dtype_of(xs)) if weights is None else weights.astype(dtype_of(xs))
    rows = fill(key, xs)
    features = jax.vmap(family._features)(rows)
    coords = family._initialize_from_sample(sketch, rows, features, parts)
    return coords, family._in_domain(coords)


def sample(family: Any, shape: tuple[int, ...], key: Array, coords: Any) -> Any:
    """Draws with leading axes."""
    draw = family._sample
    for size in reversed(shape):
        draw = repeat(draw, size)
    return draw(key, coords)


sample = jax.jit(sample, static_argnums=(1,))


def repeat(draw: Callable[..., Any], size: int) -> Callable[..., Any]:
    """A sampler of several draws."""
    return lambda key, coords: jax.vmap(draw, in_axes=(0, None))(
        jax.random.split(key, size), coords
    )
