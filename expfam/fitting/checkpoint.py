"""Saved positions of long fits: written atomically, so that there is always a whole one."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


@final
class Sums(eqx.Module):
    """Averages over the rows read so far: of ψ(θ | x), of its gradient, and their number."""

    value: Float[Array, ""]
    means: Any
    count: Float[Array, ""]


@final
class Position(eqx.Module):
    """Where a fit of blocks is: everything that is needed to go on from there.

    Attributes:
        state: what the method goes on from: natural coordinates, and of accelerated EM its memory.
        sums: averages of the pass under way; of stepwise EM, those over all blocks.
        step: number of steps done.
        block: number of blocks of this pass read.
        trace: objectives so far.
    """

    state: Any
    sums: Sums
    step: int
    block: int
    trace: list[float]


@final
@dataclass
class Checkpoint:
    """Remembers the position of a fit, and saves it to a file every so many blocks.

    Attributes:
        path: the file; `None` to save nowhere.
        every: number of blocks between two writes.
        label: what tells the fit from others.
        calls: number of positions so far.
        position: the last one.
    """

    path: Path | None
    every: int
    label: str
    calls: int = 0
    position: Position | None = None

    def restore(self, start: Position) -> Position:
        """The saved position, where there is one, else the given one.

        Raises:
            ValueError: where the file belongs to another fit.
        """
        self.position = start
        if self.path is None or not self.path.exists():
            return start
        leaves, treedef = jax.tree.flatten((start.state, start.sums))
        with np.load(self.path) as saved:
            stored = [saved[f"leaf{i}"] for i in range(len(leaves)) if f"leaf{i}" in saved]
            same = str(saved["label"]) == self.label and [a.shape for a in stored] == [
                a.shape for a in leaves
            ]
            if not same:
                raise ValueError(
                    f"fit: `checkpoint` {self.path} belongs to another fit, {saved['label']}, but "
                    f"this one is {self.label}; delete the file, or give another path."
                )
            arrays = [jnp.asarray(a, b.dtype) for a, b in zip(stored, leaves, strict=True)]
            state, sums = jax.tree.unflatten(treedef, arrays)
            step, block = int(saved["step"]), int(saved["block"])
            return Position(state, sums, step, block, saved["trace"].tolist())

    def keep(self, position: Position) -> None:
        """Remember a position, and save it if it is time."""
        self.position = position
        self.calls += 1
        if self.path is None or self.calls % self.every:
            return
        leaves = jax.tree.leaves((position.state, position.sums))
        arrays: Any = {f"leaf{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        unfinished = self.path.with_name(self.path.name + ".part")
        with unfinished.open("wb") as file:
            np.savez(
                file,
                label=self.label,
                step=position.step,
                block=position.block,
                trace=np.asarray(position.trace, float),
                **arrays,
            )
        os.replace(unfinished, self.path)
