"""Learning curves in one variable: power laws on the language curves of a public benchmark, by its own split.

python -m tests.studies.revisiting
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from bayeslaw.declare.laws import Law
from bayeslaw.validation.splits import Splits
from tests.studies.page import BUILD, DATA, Page

SAMPLING: dict[str, Any] = {"draws": 500, "chains": 2, "tune": 500, "seed": 1}

DOMAINS = {"NMT": "translation", "LM": "language models", "BB": "BIG-Bench"}

BENT: dict[str, Any] = {"misfit": bl.Misfit(), "noise": bl.Noise(correlated=False)}
"""Where errors are correlated along a single short curve, misfit and run effect meet every point of it."""

METHODS: dict[str, tuple[Law, dict[str, Any], dict[str, Any]]] = {
    "power law": (models.power_law, {}, SAMPLING),
    "with misfit": (models.power_law, BENT, SAMPLING),
    "shifted": (models.shifted_power_law, {}, SAMPLING),
    "shifted, with misfit": (models.shifted_power_law, BENT, SAMPLING),
    "least squares": (models.power_law, {}, {"method": "mle", "seed": 1}),
}
"""The law, what its model has besides, and how it is fitted."""

ANCHORS = pd.DataFrame(
    {
        "printed": ["NSL-PFN", "BNSL", "MCMC(M4)"],
        "RMSLE": ["0.0194", "0.0223", "0.0235"],
        "log score": ["2.773", "", "2.216"],
    }
)
"""Of language curves in arXiv:2505.23032, as secondary texts give them."""


def curves() -> Iterator[tuple[str, str, pd.DataFrame]]:
    """Yield the domain, the name and the rows of every curve; rows that stand there twice count once."""
    table = pd.read_csv(DATA / "revisiting" / "benchmark.lang.csv").drop_duplicates()
    for labels, rows in table.groupby(["Domain", "Task", "Model"]):
        domain, task, model = map(str, labels)
        name = model if domain != "BB" else task.strip("()").replace("'", "")
        yield domain, name, rows.rename(columns={"Seen Examples": "D", "Loss": "loss"}).reset_index(drop=True)


def the_benchmarks(rows: pd.DataFrame) -> Splits:
    """Hold out what the benchmark holds out, of rows in the order of their data."""
    late = rows.sort_values("D")["Training"].to_numpy() == 0

    def cut(table: pd.DataFrame) -> Mapping[str, np.ndarray]:
        return {"its own": late}

    return Splits("the benchmark's", cut, whole_runs=False)


def scored(method: str, name: str, rows: pd.DataFrame) -> dict[str, float]:
    """Fit the training part of a curve; the priors, their scale and the reference know nothing of the rest."""
    law, settings, sampling = METHODS[method]
    table, first = rows[["D", "loss"]].assign(run="curve"), (rows["Training"] == 1).to_numpy()
    about = {"reference": {"D": float(rows.loc[first, "D"].max())}, **settings}
    scale = bl.Model(law, bl.read_runs(table[first]), **about).loss_scale
    model = bl.Model(law, bl.read_runs(table), loss_scale=scale, **about)
    folder = BUILD / "revisiting" / f"{name} {method}".replace(" ", "_").replace(",", "")
    found = bl.evaluate(model, the_benchmarks(rows), folder=folder, progress=False, **sampling)
    error = np.log(found.rows["mean"] / found.rows["observed"])
    width = np.log(found.rows["upper"] / found.rows["lower"])
    return {
        "RMSLE": float(np.sqrt((error**2).mean())),
        "log score": float((found.rows["log_score"] - np.log(found.rows["observed"])).mean()),
        "coverage": float(found.rows["observed"].between(found.rows["lower"], found.rows["upper"]).mean()),
        "half-width, %": 50 * float(width.mean()),
        "R-hat": float(found.folds["r_hat"].max()),
        "divergences": float(found.folds["divergences"].sum()),
    }


def every() -> pd.DataFrame:
    """Return the scores of every method on every curve."""
    found = []
    for domain, name, rows in curves():
        first = rows["Training"] == 1
        about = {"domain": domain, "curve": name, "fitted": int(first.sum()), "held out": int((~first).sum())}
        about["factor"] = rows["D"].max() / rows.loc[first, "D"].max()
        for method in METHODS:
            found.append(about | {"method": method} | scored(method, f"{domain} {name}", rows))
            print(found[-1], flush=True)
    return pd.DataFrame(found)


def means(found: pd.DataFrame) -> pd.DataFrame:
    """Return the means over curves, each counted alike; least squares gives one line and no interval."""
    measures = ["RMSLE", "log score", "coverage", "half-width, %"]
    table = found.groupby("method", sort=False)[measures].mean()
    table.loc["least squares", measures[1:]] = np.nan
    return table


def main() -> None:
    """Score the curves, and write the page."""
    page = Page("revisiting", "Learning curves in one variable")
    found = every()
    curves_of = found.drop_duplicates(["domain", "curve"])
    page.text(
        f"The benchmark of arXiv:2209.06640 has {len(curves_of)} language curves: translation, language models and "
        "tasks of BIG-Bench, loss or error against the examples or tokens seen, each with the split that its authors "
        "made: the first part is fitted, the rest predicted. Rows that stand there twice count once. "
        "`power_law` and `shifted_power_law` are fitted to the first part of a curve alone, with their default "
        "priors, whose scale follows the fitted losses, and the largest fitted amount of data as reference. "
        "*RMSLE* is the root mean square of log(predicted / measured), *log score* the mean log density of the "
        "measured loss under the prediction of a new run, both averaged over curves; coverage is that of 89 % "
        "intervals. A curve is one run: its own luck is not told from the law's level, so that intervals of a "
        "new run are too wide for its continuation. With a misfit its errors are independent ones: with correlated "
        "errors, the posterior of a curve of ten points has a second mode, in which misfit and run effect meet every "
        "point and chains get stuck."
    )
    page.text("## Means over curves\n\nAll of them:")
    page.table(means(found).reset_index(), digits=4)
    for domain, words in DOMAINS.items():
        part = found[found["domain"] == domain]
        count = part["curve"].nunique()
        page.text(f"{words.capitalize()}, {count} curves:")
        page.table(means(part).reset_index(), digits=4)
    page.text(
        "## Beside printed numbers\n\nOf the language curves of this benchmark, arXiv:2505.23032 prints these, as "
        "secondary texts give them; the paper itself was not read. How it averages over curves, and of which variable "
        "its log score is a density, is not known to us, so that the columns are compared with care. Secondary texts "
        "also say that on the curves of translation and language models alone MCMC(M4) is slightly better than "
        "NSL-PFN."
    )
    page.table(ANCHORS)
    best = means(found)["RMSLE"].drop("least squares")
    scores = means(found)["log score"].drop("least squares")
    page.text(
        f"Ours: the smallest mean RMSLE is {best.min():.4f} ({best.idxmin()}), the largest mean log score "
        f"{scores.max():.3f} ({scores.idxmax()}). "
        f"The smallest is {'below' if best.min() < 0.0194 else 'above'} NSL-PFN's 0.0194, the largest "
        f"{'above' if scores.max() > 2.773 else 'below'} its 2.773."
    )
    page.text("## Every curve\n\nRMSLE, and the factor by which the last amount of data lies beyond the fitted ones:")
    wide = found.pivot(index=["domain", "curve"], columns="method", values="RMSLE")[list(METHODS)].reset_index()
    about = curves_of[["domain", "curve", "fitted", "held out", "factor"]]
    page.table(about.merge(wide, on=["domain", "curve"]), digits=4)
    page.text("Log score:")
    wide = found.pivot(index=["domain", "curve"], columns="method", values="log score").reset_index()
    page.table(wide[["domain", "curve", *[m for m in METHODS if m != "least squares"]]], digits=2)
    sampled = found[found["method"] != "least squares"]
    page.text(
        f"{len(sampled)} posteriors of 2 x 500 draws; the largest R-hat is {sampled['R-hat'].max():.3f}, "
        f"{int((sampled['R-hat'] > 1.01).sum())} lie above 1.01, divergences in all: "
        f"{int(sampled['divergences'].sum())}."
    )
    page.write()


if __name__ == "__main__":
    main()
