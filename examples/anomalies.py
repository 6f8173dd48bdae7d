"""Anomalies: heart rates of unborn children, and which of them a doctor should look at.

Factor analysis of 21 measurements of 1831 cardiotocograms (UCI; 176 of them pathological), fitted
without labels; the number of factors is chosen by the likelihood of held-out rows. A threshold is
set on half of the labels and judged on the other half, and the cells that make the oddest rows odd
are named. Where the data are not at hand, rows are drawn that behave alike. Writes
output/anomalies.png.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np

import expfam as ef

mpl.use("Agg")
import matplotlib.pyplot as plt

DATA = Path(__file__).parents[2] / "shared" / "data" / "ad_cardio.npz"
METHOD = ef.EM(max_steps=500, tolerance=1e-4, acceleration=8)


def rows():
    """Rows of measurements, and which are anomalies."""
    if DATA.exists():
        data = np.load(DATA)
        return data["X"].astype(np.float32), data["y"].astype(int)
    print("ad_cardio.npz is not at hand: simulated rows\n")
    rng = np.random.default_rng(0)
    loadings = rng.normal(size=(3, 21))
    truth = (rng.random(1800) < 0.1).astype(int)
    spread = np.where(truth, 2.5, 1.0)[:, None]
    xs = rng.normal(size=(1800, 3)) @ loadings * spread + rng.normal(size=(1800, 21)) * spread
    return xs.astype(np.float32), truth


def main():
    """Choose and fit models, set a threshold, explain, draw."""
    xs, truth = rows()
    models = {"one normal": ef.Normal(21)}
    models |= {f"{d} factors": ef.factor_analysis(21, d) for d in (3, 6)}
    key = jax.random.key(0)
    train, held_out = jnp.asarray(xs[::2]), jnp.asarray(xs[1::2])
    print(f"{'':12}{'held-out':>10}{'ROC AUC':>10}{'AP':>8}")
    found = {}
    for name, model in models.items():
        part = ef.fit(model, train, key=key, method=METHOD, prior=ef.weak_prior(model, train))
        likelihood = float(-ef.assess.anomaly_scores(model, part.params, held_out).mean())
        fit = ef.fit(model, xs, key=key, method=METHOD, prior=ef.weak_prior(model, xs))
        scores = ef.assess.anomaly_scores(model, fit.params, xs)
        curves = ef.assess.anomaly_curves(scores, truth)
        found[name] = likelihood, model, fit.params, scores, curves
        areas = f"{curves.roc_auc:10.4f}{curves.average_precision:8.3f}"
        print(f"{name:12}{likelihood:10.2f}{areas}")
    # Likelihood says how many factors; the normal has more of it, as it describes anomalies better,
    # and for that reason tells them less well from other rows.
    best = max((name for name in found if "factors" in name), key=lambda name: found[name][0])
    _, model, params, scores, curves = found[best]
    print(f"\nNumber of factors, by held-out rows: {best}")

    # Half of the labels set the line, the other half judges it.
    known = np.arange(len(truth)) % 2 == 0
    line = ef.assess.threshold(scores, np.where(known, truth, -1))
    flagged = scores > line.value
    others = truth[~known]
    hits = flagged[~known] & (others == 1)
    print(
        f"Line at {line.value:.1f}: flags {flagged.mean():.1%} of the rows; of the other half "
        f"precision {hits.sum() / flagged[~known].sum():.2f}, "
        f"recall {hits.sum() / others.sum():.2f}"
    )

    oddest = np.argsort(-scores)[:3]
    surprise = np.asarray(ef.assess.explain(model, params, jnp.asarray(xs[oddest])))
    print("\nThe oddest rows, and the columns to blame (nats, given the rest of the row)")
    for row, cells in zip(oddest, surprise, strict=True):
        worst = np.argsort(-cells)[:3]
        blame = ", ".join(f"column {j}: {cells[j]:.1f}" for j in worst)
        print(f"  row {row:5d} (anomaly: {'yes' if truth[row] else 'no'})   {blame}")

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    for name, (*_, own) in found.items():
        chosen = ef.assess.threshold(scores, truth) if name == best else None
        ef.plot.anomaly_curve(own, threshold=chosen, label=name, ax=left)
    left.set_title("Precision and recall; the point has the best F1", fontsize=9)
    bins = np.linspace(scores.min(), np.quantile(scores, 0.995), 50)
    right.hist(
        [scores[truth == 0], scores[truth == 1]],
        bins,
        stacked=True,
        color=["0.75", "#D55E00"],
        label=["sound", "anomaly"],
    )
    right.axvline(line.value, color="black", lw=1, ls="--", label="threshold")
    right.set(xlabel="anomaly score (nats)", ylabel="rows")
    right.legend(frameon=False, fontsize=8)
    path = Path("output") / "anomalies.png"
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)
    print(f"\nPicture: {path}")


if __name__ == "__main__":
    ef.enable_compilation_cache()
    main()
