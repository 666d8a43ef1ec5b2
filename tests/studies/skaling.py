"""Skaling beside the Chinchilla law: within public runs, beyond them, and both stacked.

python -m tests.studies.skaling
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.workflow import Fit
from tests.studies.page import BUILD, DATA, Page, convergence

LARGEST_FITTED = 2e9
"""Models of the OLMo ladder up to here are fitted: 190 M to 1.3 B."""

LARGEST_COMPUTE = 1e21
"""Of the Chinchilla points, those up to this training compute (FLOPs) are fitted."""

LAWS = {"Chinchilla": models.chinchilla, "Skaling": models.skaling}
STACKED = "both, stacked"
REFITS: dict[str, Any] = {"draws": 1000, "chains": 4, "seed": 1}
BUDGETS = [1e21, 1e22, 1e23]


def olmo_ladder() -> pd.DataFrame:
    """Losses on C4 at the end of the ladder's runs; the targets, which end on other data, are left out."""
    table = pd.read_csv(DATA / "scores" / "olmo_ladder_final.csv").rename(columns={"tokens": "D", "c4_loss": "loss"})
    return table.loc[table["size"].isin(["190M", "370M", "760M", "1B", "3B"]), ["run", "N", "D", "loss"]]


def chinchilla_points() -> pd.DataFrame:
    """The points read off Chinchilla's figure."""
    points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
    N = points["Model Size"]
    D = points["Training FLOP"] / (6 * N)
    return pd.DataFrame({"run": points.index.astype(str), "N": N, "D": D, "loss": points["loss"]})


def studies() -> dict[str, tuple[pd.DataFrame, pd.DataFrame, bl.Noise]]:
    """Runs to fit, runs held out, and their errors."""
    ladder, points, robust = olmo_ladder(), chinchilla_points(), bl.Noise(robust=True)
    small, cheap = ladder["N"] < LARGEST_FITTED, 6 * points["N"] * points["D"] <= LARGEST_COMPUTE
    return {
        "OLMo ladder": (ladder[small], ladder[~small], bl.Noise()),
        "Chinchilla points to 1e21 FLOPs": (points[cheap], points[~cheap], robust),
        "all Chinchilla points": (points, points.iloc[:0], robust),
    }


def scores(predict: Callable[..., Quantity], table: pd.DataFrame, where: str) -> dict[str, float]:
    """Mean absolute error (percent of the loss) and coverage of new runs at the rows of a table."""
    if table.empty:
        return {f"error, {where}": np.nan, f"coverage, {where}": np.nan}
    at = {c: xr.DataArray(table[c].to_numpy(), dims="at") for c in ("N", "D")}
    seen, found = table["loss"].to_numpy(), predict(**at, new_run=True)
    low, high = (end.values.ravel() for end in found.interval().values())
    error = np.abs(found.median().values.ravel() / seen - 1)
    return {
        f"error, {where}": 100 * float(error.mean()),
        f"coverage, {where}": float(((low <= seen) & (seen <= high)).mean()),
    }


def weights(name: str, fits: dict[str, Fit]) -> pd.DataFrame:
    """Compare the laws by refits without a tenth of the runs each."""
    folder = BUILD / "skaling" / name
    split = bl.splits.runs(10)
    found = {
        law: bl.evaluate(fit.model, split, folder=folder / law, progress=False, **REFITS) for law, fit in fits.items()
    }
    return bl.compare(found)


def main() -> None:
    """Fit, compare, stack, and write the page."""
    matplotlib.use("agg")
    page = Page("skaling", "Skaling: size and tokens that meet in a power")
    page.text(
        "The Skaling law (`skaling`) has one coefficient more than Chinchilla's: k, the power in which the "
        "terms of size and tokens meet. k = 1 adds them up; below 1 size is worth more with more tokens. Both are "
        "fitted to public runs, with their default priors, and predict runs held out. Errors are mean absolute errors "
        "of the loss in percent, coverage is that of 89 % intervals for new runs; the weights are those of the stacked "
        "prediction, from refits without a tenth of the runs each. *OLMo ladder*: losses on C4 at the end of 24 runs "
        "of 190M to 1.3B, with those of 3.2B held out. *Chinchilla points*: read off a figure, with robust errors."
    )
    rows, answers, shapes, went = [], [], [], []
    for name, (near, far, noise) in studies().items():
        fits = {
            law: page.fit(f"{name}-{law}", bl.Model(body, bl.read_runs(near), noise=noise, misfit=None))
            for law, body in LAWS.items()
        }
        compared = weights(name, fits)
        weight = {str(law): float(w) for law, w in compared["weight"].items()}

        def stack(*, of: dict[str, Fit], by: dict[str, float], **at: Any) -> Quantity:
            return bl.stacked(of, lambda one: one.predict(**at), weights=by)

        predictors: dict[str, Callable[..., Quantity]] = {law: fit.predict for law, fit in fits.items()}
        predictors[STACKED] = partial(stack, of=fits, by=weight)
        for law, predict in predictors.items():
            about: dict[str, Any] = {"runs": name, "law": law}
            if law in fits:
                about |= {
                    "elpd": compared.loc[law, "elpd"],
                    "below the best": compared["elpd_diff"].abs()[law],
                    "its error": compared.loc[law, "diff_se"],
                    "weight": weight[law],
                }
            rows.append(about | scores(predict, near, "fitted") | scores(predict, far, "held out"))
        asked = partial(Fit.allocation, flops=BUDGETS)
        for law, best in {
            **{k: asked(f) for k, f in fits.items()},
            STACKED: bl.stacked(fits, asked, weights=weight),
        }.items():
            text = best.text().sel(quantity="N").values
            answers.append(
                {"runs": name, "law": law} | {f"N at {C:g} FLOPs": t for C, t in zip(BUDGETS, text, strict=True)}
            )
        joint = fits["Skaling"].posterior.squeeze("eval")
        shapes.append({"runs": name} | {c: _words(joint[c]) for c in ("k", "E", "a_N", "s_N", "a_D", "s_D")})
        went += [{"runs": name, "law": law, **convergence(fit)} for law, fit in fits.items()]
    page.text("## Within the runs and beyond")
    page.table(pd.DataFrame(rows))
    page.text(
        "Within a clean ladder the power is worth several times the error. Beyond the runs it gains less, and its "
        "bands are too narrow there, as those of other laws are ([beyond the runs](beyond.md)). Where neither law is "
        "clearly better, `bl.stacked` answers with both."
    )
    page.text("## Coefficients\n\nPosterior median and 89 % interval.")
    page.table(pd.DataFrame(shapes))
    page.text(
        "Secondary texts on the paper give k of 0.77 to 0.90 for the Chinchilla points. E and k trade against each "
        "other, so that a floor says nothing of the text.\n\n## The best size for a budget\n\nIn the inner constants "
        "the optimum does not know k, but a fit with another k has other inner constants."
    )
    page.table(pd.DataFrame(answers))
    page.figure("errors", residuals(page), "Errors of both laws on the OLMo ladder over tokens, one line a size")
    page.text("## How the fits went")
    page.table(pd.DataFrame(went))
    page.write()


def _words(draws: xr.DataArray) -> str:
    low, middle, high = draws.quantile([0.055, 0.5, 0.945]).values
    return f"{middle:.3g} [{low:.3g}, {high:.3g}]"


def residuals(page: Page) -> Any:
    """Draw the errors of the mean law on the ladder, over tokens."""
    ladder = olmo_ladder()
    near = ladder[ladder["N"] < LARGEST_FITTED]
    figure, axes = plt.subplots(1, len(LAWS), figsize=(8, 3.2), sharey=True, layout="constrained")
    for ax, (law, body) in zip(axes, LAWS.items(), strict=True):
        fit = page.fit(f"OLMo ladder-{law}", bl.Model(body, bl.read_runs(near), noise=bl.Noise(), misfit=None))
        mean = fit.predict(ladder.drop(columns="loss"))["mean"].to_numpy()
        for _, own in ladder.assign(error=100 * (ladder["loss"] / mean - 1)).groupby("N"):
            size = float(own["N"].iloc[0])
            held = size > LARGEST_FITTED
            style = {"marker": "o", "linestyle": "--" if held else "-"}
            ax.plot(own["D"], own["error"], label=f"{size / 1e9:.2g} B{' (held out)' * held}", **style)
        ax.set(xscale="log", xlabel="tokens", title=law)
        ax.axhline(0, color="grey", linewidth=0.8)
    axes[0].set_ylabel("measured above the law (%)")
    axes[1].legend(frameon=False, fontsize=8)
    return figure


if __name__ == "__main__":
    main()
