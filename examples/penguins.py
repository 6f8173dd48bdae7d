"""Penguins: a table of mixed type with gaps, from the frame to clusters and imputations.

Four measurements, sex and island of 344 penguins (Horst, Hill & Gorman 2020), of which 19 cells are
missing, are read from a data frame. Mixtures are fitted to them as they are, BIC chooses the number
of components, and gaps are filled with what is expected. Where the data are not at hand, penguins
are drawn that look like them. Writes output/penguins.png.
"""

from pathlib import Path

import jax
import matplotlib as mpl
import numpy as np
import pandas as pd

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt

DATA = Path(__file__).parents[2] / "shared" / "data" / "penguins.csv.gz"
MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def penguins():
    """A data frame with gaps."""
    if DATA.exists():
        return pd.read_csv(DATA)
    print("penguins.csv.gz is not at hand: simulated penguins\n")
    rng = np.random.default_rng(0)
    means = np.array([[38.8, 18.3, 190, 3700], [48.8, 18.4, 196, 3730], [47.5, 15.0, 217, 5080]])
    islands = np.array([[0.3, 0.35, 0.35], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    which = rng.choice(3, size=344, p=[0.44, 0.2, 0.36])
    male = rng.random(344) < 0.5
    size = np.where(male, 1.0, -1.0)[:, None] * [1.6, 0.7, 3.5, 350]
    cells = means[which] + size + rng.normal(size=(344, 4)) * [2.3, 0.8, 5.5, 300]
    frame = pd.DataFrame(cells.round(1), columns=MEASURES)
    frame["species"] = np.array(["Adelie", "Chinstrap", "Gentoo"])[which]
    frame["sex"] = np.where(male, "male", "female")
    places = np.array(["Biscoe", "Dream", "Torgersen"])
    frame["island"] = [rng.choice(places, p=islands[k]) for k in which]
    frame.loc[:1, MEASURES] = np.nan
    frame.loc[rng.choice(344, 11, replace=False), "sex"] = None
    return frame


def main():
    """Read, choose, fit, fill, draw."""
    frame = penguins()
    table = ef.tables.read(frame, columns=[*MEASURES, "sex", "island"])
    print(table, "\n")
    models = {k: ef.Mixture(table.family, k) for k in (4, 5, 6)}
    compared = ef.assess.compare(
        models, table.data, key=jax.random.key(0), prior=ef.weak_prior, restarts=4
    )
    print(compared)
    model, params = compared.best_model, compared.best_fit.params

    assigned = table.assignments(model, params)
    print("\nSpecies, which were not read, and sex, by component")
    groups = [frame["species"], frame["sex"].fillna("unknown")]
    print(pd.crosstab(groups, assigned["component"]).to_string())

    filled = table.impute(model, params)
    gaps = frame[[*MEASURES, "sex"]].isna().any(axis=1)
    print("\nRows with gaps, filled")
    print(filled.loc[gaps, [*MEASURES, "sex", "island"]].head(6).round(1).to_string())

    points = model.components(params).coords
    normal = model.component.factors[0]
    means, covariances = jax.vmap(normal.mean_covariance)(ef.Natural(points[0]))
    figure = plt.figure(figsize=(12.5, 6.4), layout="constrained")
    left, right = figure.subfigures(1, 2)
    ef.plot.pairs(
        table.data[0],
        assigned["component"],
        names=["bill length (mm)", "bill depth (mm)", "flipper (mm)", "body mass (g)"],
        means=means,
        covariances=covariances,
        weights=model.weights(params),
        figure=left,
    )
    ef.plot.profiles(table, model, params, figure=right)
    path = Path("output") / "penguins.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
