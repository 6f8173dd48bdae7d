"""Vector spaces that the leaves of structured coordinates live in.

Each space says how its elements are stored (`shape`) and how they are packed into a vector of
minimal length (`dim`). Packing is orthonormal: the pairing of a natural and a mean leaf, the sum
of products of what is stored, equals the dot product of the packed vectors.
"""

from abc import abstractmethod
from typing import Any, Literal, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Chart = Literal["natural", "mean"]


class AbstractSpace(eqx.Module):
    """A finite-dimensional vector space with a stored and a packed form."""

    # Equinox makes a module of every bound method, which takes longer than many a method.
    __getattribute__ = object.__getattribute__

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the array that stores an element."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of the packed vector."""

    @abstractmethod
    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """The coordinates of an element in an orthonormal basis."""

    @abstractmethod
    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """The element with the given coordinates."""


@final
class Euclidean(AbstractSpace):
    """Arrays of a given shape."""

    sizes: tuple[int, ...] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self.sizes

    @property
    def dim(self) -> int:
        """Number of entries."""
        return int(np.prod(self.shape))

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """Entries in row-major order."""
        return jnp.reshape(leaf, (self.dim,))

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Entries in row-major order."""
        return jnp.reshape(vector, self.shape)


@final
class Symmetric(AbstractSpace):
    """Symmetric n × n matrices, stored in full; off-diagonal entries are packed times √2."""

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.size, self.size)

    @property
    def dim(self) -> int:
        """n(n + 1)/2."""
        return self.size * (self.size + 1) // 2

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """Diagonal, then upper triangle times √2."""
        return jnp.concatenate([jnp.diagonal(leaf), _pack_off_diagonal(leaf)])

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        diagonal, rest = vector[: self.size], vector[self.size :]
        return jnp.diag(diagonal) + _unpack_off_diagonal(rest, self.size)


@final
class Isotropic(AbstractSpace):
    """Multiples of the n × n identity, stored as one number.

    A natural leaf t stands for t·I; the mean leaf that pairs with it is the trace. Both are packed
    along the unit vector I/√n.
    """

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """()."""
        return ()

    @property
    def dim(self) -> int:
        """1."""
        return 1

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """t√n, or trace/√n."""
        root = self.size**0.5
        return jnp.reshape(leaf * root if chart == "natural" else leaf / root, (1,))

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        root = self.size**0.5
        return vector[0] / root if chart == "natural" else vector[0] * root


@final
class Hollow(AbstractSpace):
    """Symmetric n × n matrices with zero diagonal: what `Symmetric` has beyond diagonals."""

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.size, self.size)

    @property
    def dim(self) -> int:
        """n(n − 1)/2."""
        return self.size * (self.size - 1) // 2

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """Upper triangle times √2."""
        return _pack_off_diagonal(leaf)

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        return _unpack_off_diagonal(vector, self.size)


@final
class Traceless(AbstractSpace):
    """Symmetric n × n matrices of trace zero: what `Symmetric` has beyond multiples of I."""

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, n)."""
        return (self.size, self.size)

    @property
    def dim(self) -> int:
        """n(n + 1)/2 − 1."""
        return self.size * (self.size + 1) // 2 - 1

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """The diagonal in a basis orthogonal to I, then the upper triangle times √2."""
        diagonal = _helmert(self.size, leaf.dtype) @ jnp.diagonal(leaf)
        return jnp.concatenate([diagonal, _pack_off_diagonal(leaf)])

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        diagonal, rest = vector[: self.size - 1], vector[self.size - 1 :]
        basis = _helmert(self.size, vector.dtype)
        return jnp.diag(diagonal @ basis) + _unpack_off_diagonal(rest, self.size)


@final
class TracelessDiagonal(AbstractSpace):
    """Diagonal n × n matrices of trace zero, stored as their diagonal."""

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (self.size,)

    @property
    def dim(self) -> int:
        """n − 1."""
        return self.size - 1

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """The diagonal in a basis orthogonal to I."""
        return _helmert(self.size, leaf.dtype) @ leaf

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        return vector @ _helmert(self.size, vector.dtype)


@final
class OneHot(AbstractSpace):
    """Coordinates that pair with the indicators 1[z = k] of all n categories.

    The indicators sum to one, so a constant added to the natural leaf changes nothing: n numbers
    are stored, category by category and none of them by subtraction, and n − 1 are packed. A mean
    leaf that is unpacked sums to one.
    """

    size: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n,)."""
        return (self.size,)

    @property
    def dim(self) -> int:
        """n − 1."""
        return self.size - 1

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """Log-weights relative to category 0, or probabilities of the others."""
        return leaf[1:] - leaf[0] if chart == "natural" else leaf[1:]

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Log-weights with that of category 0 at zero, or all n probabilities."""
        first = jnp.zeros((1,), vector.dtype) if chart == "natural" else 1 - jnp.sum(vector)[None]
        return jnp.concatenate([first, vector])


@final
class Replicated(AbstractSpace):
    """n elements of one space, along a leading axis."""

    space: AbstractSpace
    copies: int = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, *shape of one)."""
        return (self.copies, *self.space.shape)

    @property
    def dim(self) -> int:
        """n times the dimension of one."""
        return self.copies * self.space.dim

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """One after the other."""
        return jnp.reshape(jax.vmap(lambda one: self.space.pack(one, chart))(leaf), (self.dim,))

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Inverse of `pack`."""
        rows = jnp.reshape(vector, (self.copies, self.space.dim))
        return jax.vmap(lambda row: self.space.unpack(row, chart))(rows)


@final
class Ledger(AbstractSpace):
    """Arrays that are zero in every point, and none of its coordinates.

    Their mean leaf is what a model takes down of the rows for its M-step, beside the gradient.
    """

    sizes: tuple[int, ...] = eqx.field(static=True)

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes."""
        return self.sizes

    @property
    def dim(self) -> int:
        """0."""
        return 0

    def pack(self, leaf: Array, chart: Chart) -> Float[Array, " dim"]:
        """Nothing."""
        return jnp.zeros((0,), leaf.dtype)

    def unpack(self, vector: Float[Array, " dim"], chart: Chart) -> Array:
        """Zeros."""
        return jnp.zeros(self.sizes, vector.dtype)


def is_space(node: object) -> bool:
    """Whether a node of a `spaces` tree is a leaf of it (pass as `is_leaf` to `jax.tree.map`)."""
    return isinstance(node, AbstractSpace)


def has_ledger(spaces: Any) -> bool:
    """Whether some statistics depend on the point, as those of regressions do; see `Ledger`."""
    leaves = jax.tree.leaves(spaces, is_leaf=is_space)
    return any(space.dim == 0 and 0 not in space.shape for space in leaves)


def pack(spaces: Any, coords: Any, chart: Chart) -> Float[Array, " dim"]:
    """Pack structured coordinates, leaf by leaf, into one vector."""
    leaves, treedef = jax.tree.flatten(spaces, is_leaf=is_space)
    pairs = zip(leaves, treedef.flatten_up_to(coords), strict=True)
    packed = [space.pack(leaf, chart) for space, leaf in pairs]
    return jnp.concatenate(packed) if packed else jnp.zeros((0,))


def unpack(spaces: Any, vector: Float[Array, " dim"], chart: Chart) -> Any:
    """Structured coordinates from a vector made by `pack`."""
    leaves, treedef = jax.tree.flatten(spaces, is_leaf=is_space)
    ends = np.cumsum([space.dim for space in leaves])
    parts = [
        space.unpack(vector[end - space.dim : end], chart)
        for space, end in zip(leaves, ends, strict=True)
    ]
    return jax.tree.unflatten(treedef, parts)


def replicate(spaces: Any, copies: int) -> Any:
    """The spaces of `copies` points stacked along a leading axis."""
    return jax.tree.map(lambda space: Replicated(space, copies), spaces, is_leaf=is_space)


def zeros(spaces: Any, dtype: jnp.dtype) -> Any:
    """Structured coordinates that are all zero."""
    return jax.tree.map(lambda space: jnp.zeros(space.shape, dtype), spaces, is_leaf=is_space)


def _pack_off_diagonal(matrix: Array) -> Array:
    rows, columns = np.triu_indices(matrix.shape[-1], 1)
    return matrix[rows, columns] * 2**0.5


def _unpack_off_diagonal(vector: Array, size: int) -> Array:
    rows, columns = np.triu_indices(size, 1)
    upper = jnp.zeros((size, size), vector.dtype).at[rows, columns].set(vector / 2**0.5)
    return upper + upper.T


def _helmert(size: int, dtype: jnp.dtype) -> Array:
    # Rows: an orthonormal basis of the vectors that sum to zero (Helmert 1876).
    k = np.arange(1, size)[:, None]
    column = np.arange(size)[None, :]
    rows = np.where(column < k, 1.0, np.where(column == k, -k, 0.0)) / np.sqrt(k * (k + 1.0))
    return jnp.asarray(rows, dtype)
