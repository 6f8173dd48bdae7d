"""Rows that lie on several devices: each device sums over its own, and the sums are added up.

The type of an array names its mesh of devices. Rows on a mesh of several devices are dealt out to
all of them, without moving any where they lie that way already; only sums travel.
"""

from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Key

T = TypeVar("T")


def with_automatic_axes(array: Array) -> Array:
    """An array on a mesh whose axes the compiler deals with, and not the types of arrays.

    `jax.make_mesh` makes explicit axes, where every product has to say how its result is sharded.

    Args:
        array: any array; only one on a mesh of explicit axes changes its type. Nothing is copied.

    Raises:
        ValueError: where it is sharded along such axes and they are set for the whole program.
    """
    sharding = None if isinstance(array, Tracer) else getattr(array, "sharding", None)
    if not isinstance(sharding, NamedSharding):
        return array
    mesh: Any = sharding.mesh
    if mesh.are_all_axes_auto:
        return array
    if not jax.sharding.get_abstract_mesh().empty:
        if sharding.is_fully_replicated:
            return array
        raise ValueError(
            "arrays sharded along explicit axes cannot be worked on under jax.set_mesh with these "
            "axes; make the mesh with axis_types=(jax.sharding.AxisType.Auto,) for every axis, or "
            "leave out jax.set_mesh."
        )
    automatic = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,) * mesh.devices.ndim)
    return jax.make_array_from_single_device_arrays(
        array.shape,
        NamedSharding(automatic, sharding.spec),
        [shard.data for shard in array.addressable_shards],
    )


def devices_of(rows: Any) -> tuple[Any, tuple[str, ...]] | None:
    """The mesh that rows lie on, and its axes over which they are dealt out.

    Args:
        rows: tree of arrays with one leading axis.

    Returns:
        `None` where they lie on one device, or cannot be dealt out evenly.
    """
    leaves = jax.tree.leaves(rows)
    # What is made inside a program lies on no mesh yet.
    meshes = {jax.typeof(leaf).sharding.mesh for leaf in leaves}
    meshes = [mesh for mesh in meshes if not mesh.empty]
    if len(meshes) != 1 or not meshes[0].are_all_axes_auto:
        return None
    (mesh,) = meshes
    axes: tuple[str, ...] = ()
    count = 1
    for name, size in mesh.shape.items():
        if leaves[0].shape[0] % (count * size) == 0:
            axes, count = (*axes, name), count * size
    return (mesh, axes) if count > 1 else None


def sum_over_devices(function: Callable[[Any, Any], T], fixed: Any, rows: Any) -> T:
    """A sum over rows, each device summing over its own.

    Args:
        function: from what is the same for all rows, and some of the rows, to sums over these rows.
        fixed: its first argument, a tree of arrays.
        rows: its second argument, a tree of arrays with one leading axis.
    """
    found = devices_of(rows)
    if found is None:
        return function(fixed, rows)
    mesh, axes = found
    return _on_each(
        lambda fixed, rows: jax.lax.psum(function(fixed, rows), axes), mesh, axes, fixed, rows
    )


def draw_row(
    key: Key[Array, ""], rows: Float[Array, "n d"], mass: Float[Array, " n"]
) -> Float[Array, " d"]:
    """One row, drawn with probability proportional to its mass."""
    found = devices_of(rows)
    if found is None:
        return rows[jax.random.choice(key, rows.shape[0], p=mass / jnp.sum(mass))]
    mesh, axes = found

    def draw(key: Any, own: Any) -> Array:
        # The row is where the cumulative mass, first of the devices, then of the rows of one of
        # them, reaches a random share of the whole.
        points, mass = own
        cumulative = jnp.cumsum(mass)
        place = jax.lax.axis_index(axes)
        totals = jnp.zeros(prod(mesh.shape[name] for name in axes), mass.dtype)
        ends = jnp.cumsum(jax.lax.psum(totals.at[place].set(cumulative[-1]), axes))
        start = jnp.where(place > 0, ends[place - 1], 0)
        target = ends[-1] * (1 - jax.random.uniform(key, (), mass.dtype))
        chosen = jnp.searchsorted(cumulative, target - start)
        row = points[jnp.minimum(chosen, points.shape[0] - 1)]
        here = (start < target) & (target <= ends[place])
        return jax.lax.psum(jnp.where(here, row, 0), axes)

    return _on_each(draw, mesh, axes, key, (rows, mass))


def _on_each(
    function: Callable[[Any, Any], T], mesh: Any, axes: tuple[str, ...], fixed: Any, rows: Any
) -> T:
    everywhere, dealt = PartitionSpec(), PartitionSpec(axes)
    return jax.shard_map(
        function, mesh=mesh, in_specs=(everywhere, dealt), out_specs=everywhere, check_vma=False
    )(fixed, rows)
