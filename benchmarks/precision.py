"""How far EM in float32 strays from EM in float64, with the same rows and the same start.

Prints the largest difference of the mean log-likelihood at any of 100 steps, in nats, and where it
falls by more than 1e-4 in a step, by how much. Models and data are those of the tests.

    python benchmarks/precision.py
"""

import sys
import warnings
from pathlib import Path

import jax
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.models.test_float32 import CASES, FITTED, both


def main() -> None:
    """Print the table."""
    jax.config.update("jax_enable_x64", True)
    # Whoever fits in raw units far from the origin is warned.
    warnings.simplefilter("ignore")
    print(f"| model | {' | '.join(CASES)} |")
    print("| --- |" + " --- |" * len(CASES))
    for name in FITTED:
        cells = []
        for case in CASES:
            found, wanted = both(name, case)
            strays, falls = np.abs(found - wanted).max(), max(0.0, -np.diff(found).min())
            cells.append(f"{strays:.0e}" + (f", falls by {falls:.0e}" if falls > 1e-4 else ""))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
