"""Latent classes: seven pathologists look at the same slides.

Each says of 118 slides whether they show carcinoma (Agresti 2002, table 13.1). Mixtures of
independent yes and no find classes of slides on which they agree or not; BIC chooses how many.
Where the data are not at hand, slides are drawn that look like them. Writes
output/latent_classes.png.
"""

from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pandas as pd

import expfam as ef

mpl.use("Agg")

DATA = Path(__file__).parents[2] / "shared" / "data" / "carcinoma.csv.gz"


def slides():
    """Seven columns of 0 and 1; one row for each slide."""
    if DATA.exists():
        return pd.read_csv(DATA)
    rng = np.random.default_rng(0)
    print("carcinoma.csv.gz is not at hand: simulated slides\n")
    yes = np.array(
        [
            [0.05, 0.15, 0.01, 0.01, 0.05, 0.01, 0.01],
            [0.50, 0.95, 0.01, 0.05, 0.75, 0.01, 0.65],
            [0.99, 0.98, 0.85, 0.60, 0.99, 0.50, 0.99],
        ]
    )
    classes = rng.choice(3, size=118, p=[0.37, 0.18, 0.45])
    return pd.DataFrame((rng.random((118, 7)) < yes[classes]).astype(int), columns=list("ABCDEFG"))


def main():
    """Choose the number of classes, print and draw them."""
    table = ef.tables.read(slides(), families=dict.fromkeys("ABCDEFG", "yes/no"))
    models = {k: ef.Mixture(table.family, k) for k in (2, 3, 4)}
    method = ef.EM(max_steps=2000, tolerance=1e-7)
    compared = ef.assess.compare(
        models, table.data, key=jax.random.key(0), method=method, restarts=20
    )
    print(compared)
    model, params = compared.best_model, compared.best_fit.params

    print("\nProbability of carcinoma, by class and pathologist")
    print(table.parameters(model, params).round(2).to_string(index=False))
    assigned = table.assignments(model, params)
    print("\nSlides by class, and how sure their class is")
    print(assigned.groupby("component")["probability"].agg(["size", "mean"]).round(3))

    figure = ef.plot.profiles(table, model, params)
    figure.suptitle("Who says that a slide shows carcinoma (1)", fontsize=10)
    path = Path("output") / "latent_classes.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
