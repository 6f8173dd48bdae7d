"""Models in the frame of the data: well-conditioned coordinates far from the origin."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..families.base import AbstractExponentialFamily, Data
from ..families.compiled import dtype_of, shares
from ..families.conversion import Numbers
from ..families.frame import Frame
from ..families.observations import fill, has_gaps, split_labels
from ..families.real.normal import Normal
from ..families.reframe import framed, reframe
from ..families.support import check_observations, check_weights
from ..geometry.programs import compiled_once, is_at_hand
from ..harmonium.base import AbstractHarmonium
from ..harmonium.latent import gauge
from ..priors.base import AbstractPrior

M = TypeVar("M", bound=AbstractExponentialFamily)


def standardize(model: M, xs: Data, weights: Numbers | None = None) -> M:
    """The same model with statistics taken in standard units of the data.

    Natural and mean coordinates in raw units lose digits where data lie many standard deviations
    from the origin, or where columns differ much in scale: for columns r standard deviations away
    about r²·ε, with ε the rounding of the type (6·10⁻⁸ in float32). The model returned describes
    the same distributions of the same raw data, but its coordinates are those of
    (x − mean)/standard deviation, so that they hold all digits. All methods take and return data,
    means, covariances, loadings and densities in raw units.

    Only coordinates change: a covariance structure stays what it is in raw units. With `Scale` all
    columns get one unit, with `Identity` unit 1. Families of discrete data are left as they are.

    Args:
        model: any family or model.
        xs: rows of observations, with one leading axis n.
        weights: n numbers, not negative; equal where not given.

    Returns:
        A model of the same class. Points of the given model are not points of it: make new ones.

    Examples:
        >>> import jax, jax.numpy as jnp, expfam as ef
        >>> xs = 1e4 + jax.random.normal(jax.random.key(0), (100, 2))
        >>> normal = ef.standardize(ef.Normal(2), xs)
        >>> mean, covariance = normal.mean_covariance(normal.maximum_likelihood(xs))
        >>> bool(jnp.allclose(mean, xs.mean(axis=0)))
        True
    """
    xs, n = check_observations(model, xs, "standardize")
    return in_frame_of(model, xs, check_weights(weights, n, float, "standardize"), scaled=True)


def in_frame_of(model: M, xs: Any, weights: Array | None, scaled: bool) -> M:
    """A model in the frame of rows: centered, and in standard units if `scaled`."""
    if not isinstance(model, AbstractHarmonium):
        return _framed(model, xs, weights, scaled, None)
    family = model.observable
    keeps = gauge(model) if isinstance(family, Normal) else None
    return model._observing(_framed(family, xs, weights, scaled, keeps))


def widths_from_origin(model: Any, xs: Any, weights: Array | None) -> float:
    """How many standard deviations columns lie from the origin of a model's frame, at most."""
    own, other = (_frames(m) for m in (model, in_frame_of(model, xs, weights, scaled=True)))
    # A model without frames has its origin at zero.
    origins = [frame.shift for frame in own] or [0.0] * len(other)
    ratios = [
        np.max(np.abs(np.asarray(frame.shift) - origin) / np.asarray(frame.scale))
        for frame, origin in zip(other, origins, strict=True)
    ]
    return float(max(ratios, default=0.0))


def in_raw_units(inner: M, model: M) -> M:
    """The model as it was given, in the form of the model in the frame of rows: one program."""
    given = iter(_frames(model))

    def raw(node: Any) -> Any:
        if not isinstance(node, Frame):
            return node
        zero = np.zeros_like(node.shift)
        return next(given, None) or Frame(jax.device_put(zero), jax.device_put(zero + 1))

    return jax.tree.map(raw, inner, is_leaf=lambda node: isinstance(node, Frame))


def change_frame(source: Any, target: Any, coords: Any) -> Any:
    """Natural coordinates in a model that differs in its frames."""
    return _in_float64(_change, source, target, coords)


def change_frame_of_prior(source: Any, target: Any, prior: AbstractPrior | None) -> Any:
    """The same prior in a model that differs in its frames.

    From ψ(θ) = ψ'(Tθ) + c(θ) with linear T and c follows φ = Tᵀφ' + ν∇c; read from target to
    source. With two counts, ν is that of the location, which c depends on.
    """
    return None if prior is None else prior.in_frame_of(target, _change_statistics)


def _change_statistics(source: Any, target: Any, total: Any, mass: Any) -> Any:
    return _in_float64(_change_total, source, target, total, mass)


def _frames(model: Any) -> list[Frame]:
    leaves = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Frame))
    return [leaf for leaf in leaves if isinstance(leaf, Frame)]


def _framed(family: Any, xs: Any, weights: Array | None, scaled: bool, keeps: Any) -> Any:
    if has_gaps(xs) or not all(map(is_at_hand, jax.tree.leaves((xs, weights)))):
        return _compiled_frame(family, xs, weights, scaled, keeps)
    # NumPy has nothing to compile.
    rows = jax.tree.map(np.asarray, split_labels(xs)[0])
    own = np.ones(len(jax.tree.leaves(rows)[0]), dtype_of(rows)) if weights is None else weights
    return framed(family, rows, shares(np.asarray(own), 0, dtype_of(rows)), scaled, keeps)


@partial(jax.jit, static_argnums=3)
def _compiled_frame(family: Any, xs: Any, weights: Array | None, scaled: bool, keeps: Any) -> Any:
    xs = fill(jax.random.key(0), xs)
    rows = jax.tree.leaves(xs)[0]
    return framed(family, xs, shares(weights, rows.shape[0], dtype_of(xs)), scaled, keeps)


def _in_float64(function: Callable[..., Any], source: Any, target: Any, *trees: Any) -> Any:
    # In float64 whatever the type of the coordinates, which are returned in it: the weights of
    # components are differences of what grows with the squared distance to the origin.
    dtype = dtype_of(*trees)
    with jax.enable_x64(True):
        return _cast(function(*_cast((source, target, *trees), jnp.float64)), dtype)


def _cast(tree: Any, dtype: Any) -> Any:
    # By way of the host: a conversion by JAX is a program for every shape.
    return jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf, dtype)), tree)


@compiled_once
def _change(source: Any, target: Any, coords: Any) -> Any:
    return _moved(source, target, coords)[0]


@compiled_once
def _change_total(source: Any, target: Any, total: Any, mass: Array) -> Any:
    zeros = jax.tree.map(jnp.zeros_like, total)
    _, transpose = jax.vjp(lambda coords: _moved(target, source, coords), zeros)
    return transpose((total, mass.astype(dtype_of(zeros))))[0]


def _moved(source: Any, target: Any, coords: Any) -> tuple[Any, Array]:
    if isinstance(source, AbstractHarmonium):
        return source.interaction.reframe(target.interaction, coords)
    return reframe(source, target, coords)
