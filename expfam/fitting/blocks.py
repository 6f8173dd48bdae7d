"""Data that come in blocks: what can be read, once or often, and how it is checked."""

import numbers
from collections.abc import Callable, Iterable, Iterator
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..families.base import AbstractExponentialFamily
from ..families.support import check_observations
from ..geometry.shards import devices_of
from .settings import whole

# Rows of blocks are taken in multiples of this; rows that starts are found from.
_PIECE = 8192
_SAMPLE = 16384


@final
class Blocks(eqx.Module):
    """Rows of arrays, block by block: a re-iterable for `fit`, e.g. of a memory-mapped file.

    Attributes:
        arrays: one array, or a tuple of arrays of the same length; NumPy memory maps are read block
            by block.
        size: number of rows of a block.

    Examples:
        >>> import numpy as np, expfam as ef
        >>> [len(block) for block in ef.Blocks(np.zeros((10, 2)), 4)]
        [4, 4, 2]
    """

    arrays: Any
    size: int = eqx.field(static=True, converter=whole("Blocks", "size", 1), default=65536)

    def __check_init__(self) -> None:
        """Refuse arrays of unequal length."""
        lengths = [len(leaf) for leaf in jax.tree.leaves(self.arrays)]
        if len(set(lengths)) > 1:
            raise ValueError(
                f"Blocks: `arrays` must have the same number of rows, but have {lengths}."
            )

    def __iter__(self) -> Iterator[Any]:
        """The blocks, in order."""
        n = len(jax.tree.leaves(self.arrays)[0])
        for start in range(0, n, self.size):
            rows = slice(start, start + self.size)
            yield jax.tree.map(lambda leaf, rows=rows: np.asarray(leaf[rows]), self.arrays)


def is_stream(xs: Any) -> bool:
    """Whether data are blocks, and not one array or a tuple of arrays.

    A list of numbers, or of lists of numbers, is rows; a list of arrays is blocks.
    """
    if isinstance(xs, np.memmap) or callable(xs):
        return True
    if isinstance(xs, list) and _are_numbers(xs):
        return False
    return isinstance(xs, Iterable) and not (hasattr(xs, "shape") or isinstance(xs, tuple))


def _are_numbers(node: Any) -> bool:
    # decided by what comes first: rows are not looked through
    while isinstance(node, list | tuple) and node:
        node = node[0]
    return node is None or isinstance(node, numbers.Number | str | np.generic)


def reader(xs: Any, passes: int | None) -> Callable[[], Iterator[Any]]:
    """A function that begins to read the blocks.

    Args:
        xs: a memory map, a function that returns an iterator, or an iterable of blocks.
        passes: how often they are read; `None`: many times.

    Raises:
        TypeError: an iterator that can be read only once, where it has to be read more often.
    """
    if isinstance(xs, np.memmap):
        xs = Blocks(xs)
    if callable(xs):
        return lambda: _begun(xs())
    if passes != 1 and iter(xs) is xs:
        raise TypeError(
            "fit: `xs` is an iterator, which can be read only once, but this method reads the "
            "blocks in every step. Give a list, a function that returns a new iterator, or an "
            "object such as expfam.Blocks; or use expfam.StepwiseEM(passes=1)."
        )
    return lambda: iter(xs)


def _begun(blocks: Any) -> Iterator[Any]:
    if not isinstance(blocks, Iterable):
        raise TypeError(
            "fit: the function `xs` must return an iterator of blocks in every call, but returned "
            f"{'None' if blocks is None else f'a {type(blocks).__name__}'}."
        )
    return iter(blocks)


def head(
    model: AbstractExponentialFamily, blocks: Iterator[Any]
) -> tuple[list[Any], Any, Iterator[Any]]:
    """The first blocks; their rows, up to 16384, to find a start from; all blocks from the first.

    Raises:
        ValueError: no block at all, or blocks that are no data of the model.
    """
    read, rows = [], 0
    for i, block in enumerate(blocks):
        checked, n = check_observations(model, block, f"fit, block {i} of `xs`")
        read.append(checked)
        rows += n
        if rows >= _SAMPLE:
            break
    if not read:
        raise ValueError("fit: `xs` must have at least one block of rows, but has none.")
    sample = jax.tree.map(lambda *leaves: jnp.concatenate(leaves)[:_SAMPLE], *read)

    def again() -> Iterator[Any]:
        yield from read
        yield from blocks

    return read, sample, again()


def checked(
    model: AbstractExponentialFamily, blocks: Iterator[Any], skip: int
) -> Iterator[tuple[int, list[tuple[Any, Array]], int]]:
    """Blocks as pieces of few sizes with weights, so that few programs are compiled.

    Args:
        model: what the blocks are data of.
        blocks: the blocks.
        skip: number of blocks to pass over.

    Yields:
        The number of the block, its pieces, and its number of rows.

    Raises:
        TypeError: blocks of different types.
        ValueError: no block, or one that is no data of the model.
    """
    first, found = None, False
    for i, block in enumerate(blocks):
        found = True
        if i < skip:
            continue
        xs, n = check_observations(model, block, f"fit, block {i} of `xs`")
        kinds = [leaf.dtype for leaf in jax.tree.leaves(xs)]
        first = kinds if first is None else first
        if kinds != first:
            raise TypeError(
                f"fit: block {i} of `xs` has type {', '.join(map(str, kinds))}, but the blocks "
                f"before it have type {', '.join(map(str, first))}."
            )
        yield i, _pieces(xs, n), n
    if not found:
        raise ValueError("fit: `xs` must have at least one block of rows, but has none.")


def _pieces(xs: Any, n: int) -> list[tuple[Any, Array]]:
    # Rows on several devices stay where they are.
    if devices_of(xs) is not None:
        return [(xs, jnp.ones(n))]
    # A whole number of pieces at once; the rest is filled up to a power of two with rows that count
    # nothing.
    rest = n % _PIECE
    pieces = []
    if n > rest:
        rows = jax.tree.map(lambda leaf: leaf[: n - rest], xs) if rest else xs
        pieces.append((rows, jnp.ones(n - rest)))
    if rest:
        index = np.arange(n - rest, n - rest + (1 << (rest - 1).bit_length()))
        rows = jax.tree.map(lambda leaf: leaf[np.minimum(index, n - 1)], xs)
        pieces.append((rows, jnp.asarray(index < n, float)))
    return pieces
