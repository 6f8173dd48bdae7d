"""Where fits of mixtures and of linear Gaussian models start."""

from typing import Any, NamedTuple, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from ..families.real.normal import Normal
from ..families.support import leaves_of
from ..geometry.structures import Identity, PositiveDefinite, Scale
from ..geometry.table import Kind, Seeds, Table
from .interaction import HarmoniumCoords

# So many rows, spread over all, count as members of each cluster at the start, so that small
# clusters have full covariances and no event has probability zero. A singular cluster gets as many
# as it has itself, and with them the shape of all rows.
_SMOOTHING = 1.0


@final
class MixtureSketch(NamedTuple):
    """What decides where a mixture starts.

    Attributes:
        groups: of the rows.
        shares: part of every row that counts as a member of each cluster besides, shape `(K,)`.
        parts: sketches of the components, along a leading axis.
    """

    groups: Any
    shares: Any
    parts: Any


@final
class LinearSketch(NamedTuple):
    """What decides where a linear Gaussian model starts, in the units of the data.

    Attributes:
        mean: where scores are zero.
        loadings: W, of scores of variance one.
        directions: matrix that gives the scores.
        noise: variances that the noise has where its own estimate is singular.
        latent: sketch of the latent family, in the scores.
    """

    mean: Any
    loadings: Any
    directions: Any
    noise: Any
    latent: Any


def sketch_mixture(
    mixture: Any, rng: np.random.Generator, table: Table, kind: Kind
) -> MixtureSketch:
    """Clusters, each to be fitted by itself: within-cluster, not total, variance.

    Args:
        mixture: a one-hot interaction.
        rng: random numbers.
        table: features of the rows.
        kind: of start.
    """
    n, count = np.count_nonzero(table.weights), mixture.n_components
    if n < count:
        raise ValueError(f"`n_components` must not exceed the number of rows, {n}, but is {count}.")
    grouping = mixture.component._grouping
    groups = grouping.find(rng, table, kind, count)
    members = grouping.members(table, groups)
    shares = np.where(_flat(mixture, table, members), members @ table.shares, 0)
    shares = np.maximum(shares, _SMOOTHING / n)
    parts = [
        mixture.component._sketch(rng, table.reweighted(table.weights * (own + share)), kind)
        for own, share in zip(members, shares, strict=True)
    ]
    return MixtureSketch(groups, shares, jax.tree.map(lambda *leaves: np.stack(leaves), *parts))


def start_mixture(
    mixture: Any,
    sketch: MixtureSketch,
    xs: Any,
    features: Float[Array, "n features"],
    weights: Float[Array, " n"],
) -> HarmoniumCoords:
    """The components of the clusters of a sketch.

    Args:
        mixture: a one-hot interaction.
        sketch: from `sketch_mixture`.
        xs: rows.
        features: of the rows.
        weights: of the rows.
    """
    labels = mixture.component._grouping.labels(sketch.groups, features)
    parts, count = start_components(mixture, sketch, labels, xs, features, weights)
    return mixture._from_components(parts, jnp.log(count + _SMOOTHING))


def start_components(
    mixture: Any,
    sketch: MixtureSketch,
    labels: Int[Array, " n"],
    xs: Any,
    features: Float[Array, "n features"],
    weights: Float[Array, " n"],
) -> tuple[Any, Float[Array, " k"]]:
    """Components that are fitted to groups of rows, and the weights of these.

    Args:
        mixture: what has components.
        sketch: from `sketch_mixture`.
        labels: the group of every row.
        xs: rows.
        features: of the rows.
        weights: of the rows.
    """
    members = jax.nn.one_hot(labels, mixture.n_components, axis=0, dtype=weights.dtype)
    parts = jax.vmap(mixture.component._initialize_from_sample, in_axes=(0, None, None, 0))(
        sketch.parts, xs, features, weights * (members + sketch.shares[:, None])
    )
    return parts, jnp.sum(members * weights, axis=1)


def _flat(mixture: Any, table: Table, members: np.ndarray) -> np.ndarray:
    # Which clusters are singular: a component of their shape would keep it.
    component = mixture.component
    if not all(support.is_real for support in leaves_of(component.observed_support)):
        return np.zeros(len(members), bool)
    full = isinstance(component, Normal) and component.structure == PositiveDefinite()
    return component._grouping.flat(table, members, full)


def sketch_linear(linear: Any, rng: np.random.Generator, table: Table, kind: Kind) -> LinearSketch:
    """Principal components, and the latent family looked at in their scores.

    W = U(Λ − σ²I)^½, σ² the mean of the other eigenvalues (Tipping & Bishop 1999). Scores lie in
    one space: for clusters the first one counts most, unless white ones are asked for.

    Args:
        linear: a linear interaction.
        rng: random numbers.
        table: features of the rows.
        kind: of start.
    """
    dim = linear.location.size
    # Noise of one variance for all columns knows one unit.
    scaled = kind.scaled and linear.observable.structure not in (Scale(), Identity())
    components = table.components(scaled, dim)
    within = kind._replace(scaled=False)
    latent = linear.prior_family._sketch(rng, table.scores(components), within)
    if not jax.tree.leaves(latent) and kind.seeds is not Seeds.CENTERS:
        # Nothing else is random: the weights of the rows are (the bootstrap of Rubin 1981).
        drawn = table.reweighted(table.weights * rng.exponential(size=len(table.rows)))
        components = drawn.components(scaled, dim)
    return LinearSketch(
        table.mean, components.loadings, components.directions, components.noise, latent
    )


def start_linear(
    linear: Any,
    sketch: LinearSketch,
    xs: Any,
    features: Float[Array, "n features"],
    weights: Float[Array, " n"],
) -> HarmoniumCoords:
    """The loadings of a sketch, and the noise that they leave over; where singular, isotropic.

    Args:
        linear: a linear interaction.
        sketch: from `sketch_linear`.
        xs: rows.
        features: of the rows.
        weights: of the rows.
    """
    observable = linear.observable
    structure, size, frame = observable.structure, observable.size, observable.frame
    rows, share = jax.vmap(observable._enter)(xs), weights / jnp.sum(weights)
    mean = share @ rows
    centered = (rows - mean).T
    unit = jnp.ones_like(mean) if frame is None else frame.scale
    loadings = sketch.loadings / unit[:, None]
    covariance = structure.restrict_product(share * centered, centered)
    second = jax.tree.map(jnp.add, covariance, structure.outer(mean))
    explained = structure.restrict_product(loadings, loadings)
    left = jax.tree.map(jnp.subtract, covariance, explained)
    isotropic = structure.restrict(jnp.diag(sketch.noise / unit**2))
    factor = jax.tree.map(
        lambda own, other: jnp.where(jnp.all(jnp.isfinite(own)), own, other),
        structure.precision_factor(left, second, size),
        structure.precision_factor(isotropic, isotropic, size),
    )
    scores = (features - sketch.mean) @ sketch.directions
    turn, inverse = linear._frame(loadings, factor)
    prior = linear.prior_family._initialize_from_sample(
        sketch.latent, scores @ inverse.T, scores, weights
    )
    return linear._join_nearest(linear.from_loadings(loadings @ turn, mean, factor), prior)
