"""Saved positions of long fits: written atomically, so that there is always a whole one."""

import hashlib
import json
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from .averages import nothing
from .blocks import Blocks
from .loop import Journal
from .settings import whole

# Rows at both ends of an array that tell it from others.
_ROWS = 1024


@final
@dataclass
class Checkpoint:
    """Saves the journal of a fit to a file every so many blocks, and takes it up again.

    Attributes:
        path: the file; `None` to save nowhere.
        every: number of blocks between two writes.
        marks: what tells the fit from others, by the name of the argument.
        since: number of blocks since the last write.
    """

    path: Path | None
    every: int
    marks: dict[str, str]
    since: int = 0

    def restore(self, journal: Journal) -> None:
        """Set a journal to the saved position, where there is one.

        Raises:
            ValueError: where the file is damaged, or belongs to another fit.
        """
        if self.path is None or not self.path.exists():
            return
        try:
            with np.load(self.path) as saved:
                stored = {name: saved[name] for name in saved.files}
            marks = json.loads(str(stored["marks"]))
            other = [name for name, mark in self.marks.items() if marks.get(name) != mark]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"fit: `checkpoint` {self.path} is no saved fit, or is damaged ({error}); delete "
                "the file, or give another path."
            ) from error
        if other:
            raise ValueError(
                f"fit: `checkpoint` {self.path} belongs to another fit, of which "
                f"{', '.join(f'`{name}`' for name in other)} differed; delete the file, or give "
                "another path."
            )
        leaves, structure = jax.tree.flatten(_arrays(journal))
        arrays = [stored[f"leaf{i}"] for i in range(len(leaves))]
        (journal.run, journal.coords, journal.sums), *rest = jax.tree.unflatten(structure, arrays)
        journal.ends, journal.slots, journal.codes, journal.taken, journal.remaining = rest
        counts = stored["counts"].tolist()
        journal.started, journal.passes, journal.block, journal.seen, journal.rows = counts
        pieces = np.split(stored["objectives"], np.cumsum(stored["lengths"])[:-1])
        journal.traces = [piece.tolist() for piece in pieces]

    def keep(self, journal: Journal, blocks: int = 1) -> None:
        """Save a journal, if it is time after more blocks."""
        self.since += blocks
        if self.since >= self.every:
            self.save(journal)

    def save(self, journal: Journal) -> None:
        """Save a journal now."""
        self.since = 0
        if self.path is None:
            return
        leaves = jax.tree.leaves(_arrays(journal))
        arrays: Any = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        counts = journal.started, journal.passes, journal.block, journal.seen, journal.rows
        unfinished = self.path.with_name(self.path.name + ".part")
        with unfinished.open("wb") as file:
            np.savez(
                file,
                marks=json.dumps(self.marks),
                counts=np.array(counts),
                objectives=np.concatenate([np.asarray(trace, float) for trace in journal.traces]),
                lengths=np.array([len(trace) for trace in journal.traces]),
                **arrays,
            )
        os.replace(unfinished, self.path)


def _arrays(journal: Journal) -> Any:
    sums = nothing(journal.coords) if journal.sums is None else journal.sums
    moving = journal.run, journal.coords, sums
    rest = journal.ends, journal.slots, journal.codes, journal.taken, journal.remaining
    return moving, *rest


def check_checkpoint(path: Any, every: Any) -> tuple[Path | None, int]:
    """Refuse a place that nothing can be written to, before anything is computed.

    Raises:
        TypeError: a path of another type.
        ValueError: a missing folder; a folder instead of a file; no number of blocks.
    """
    every = whole("fit", "checkpoint_every", 1)(every)
    if path is None:
        return None, every
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"fit: `checkpoint` must be the path of a file, but is of type {type(path).__name__}."
        )
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(
            f"fit: the folder of `checkpoint` {path} does not exist; make it, or give another path."
        )
    if path.is_dir():
        raise ValueError(f"fit: `checkpoint` must be a file, but {path} is a folder.")
    return path, every


def mark(*objects: Any) -> str:
    """What tells objects from others: their structure, and arrays, or both ends of long ones."""
    leaves, structure = jax.tree.flatten(objects)
    digest = hashlib.sha256(_without_addresses(structure).encode())
    for leaf in leaves:
        typed = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        leaf = jax.random.key_data(leaf) if typed else leaf
        leaf = leaf if hasattr(leaf, "dtype") else np.asarray(leaf)
        digest.update(f"{leaf.shape} {leaf.dtype}".encode())
        # Rows on other hosts cannot be looked at.
        if getattr(leaf, "is_fully_addressable", True):
            ends = (leaf[:_ROWS], leaf[-_ROWS:]) if np.ndim(leaf) else (leaf,)
            for end in ends:
                digest.update(np.ascontiguousarray(np.asarray(end)).tobytes())
    return digest.hexdigest()


def marks_of_blocks(xs: Any, first: Any) -> Any:
    """What tells blocks from others: the first ones; of a sequence also the last, and their number.

    Args:
        xs: the blocks, as they were given.
        first: blocks that were read already.
    """
    if isinstance(xs, (np.memmap, Blocks)):
        return (np.asarray(xs),) if isinstance(xs, np.memmap) else (xs.size, xs.arrays)
    return (first, len(xs), xs[-1]) if isinstance(xs, Sequence) else (first,)


def _without_addresses(thing: Any) -> str:
    return re.sub(r" at 0x[0-9a-f]+", "", str(thing))
