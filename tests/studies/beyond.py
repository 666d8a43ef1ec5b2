"""Larger models and more tokens than the runs: a law alone, and with a misfit along its scales.

python -m tests.studies.beyond
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

import bayeslaw as bl
from bayeslaw import models
from tests.studies.page import DATA, Page, convergence, fitted

SETTLED = 0.05
"""Share of a run's tokens before which its checkpoints are left out: warm-up and the first steep fall."""

LIMITS = (0.3, 0.5, 0.7)
"""Where a scale is cut, as shares of its logarithmic range; what lies beyond is held out."""

CLASSES = (1, 1.5, 3, 6, 15, np.inf)
"""Ends of the classes of factors beyond the runs."""

WIDE = bl.Misfit({scale: bl.positive(0.03, spread=1.2) for scale in ("N", "D", "N_D")})
"""Slopes that are left to a whole table, to see what they are there."""

SAMPLING: dict[str, Any] = {"draws": 400, "chains": 2, "seed": 1}
VARIANTS: dict[str, Any] = {"law alone": None, "with misfit": "scales"}
INTERVAL = 0.89


def tables() -> dict[str, tuple[pd.DataFrame, bl.Noise]]:
    """The tables of sizes and tokens; points that are runs of their own have robust errors."""
    families = pd.read_csv(DATA / "families" / "families.csv")
    longest = families.groupby(["family", "run"])["D"].transform("max")
    found = {
        str(name): (part.drop(columns="family").reset_index(drop=True), bl.Noise())
        for name, part in families[families["D"] > SETTLED * longest].groupby("family")
    }
    points = pd.read_csv(DATA / "chinchilla_epoch" / "svg_extracted_data.csv")
    size = points["Model Size"]
    epoch = pd.DataFrame({"N": size, "D": points["Training FLOP"] / (6 * size), "loss": points["loss"]})
    repeated = pd.read_csv(DATA / "datablations" / "datablations_LNDU.csv").query("epochs <= 4")
    for name, one in {"chinchilla_epoch": epoch, "datablations": repeated[["N", "D", "loss"]]}.items():
        one = one.reset_index(drop=True)
        found[name] = one.assign(run=[f"run {i}" for i in one.index]), bl.Noise(robust=True)
    return found


def held_out(table: pd.DataFrame) -> Iterator[tuple[str, float, pd.DataFrame, pd.DataFrame]]:
    """Yield the scale, the limit, the rows to fit and those beyond."""
    for scale in ("N", "D"):
        low, high = np.log(table[scale].min()), np.log(table[scale].max())
        seen = set()
        for share in LIMITS:
            limit = float(np.exp(low + share * (high - low)))
            near, far = table[table[scale] <= limit], table[table[scale] > limit]
            enough = near["N"].nunique() >= (3 if scale == "N" else 2) and near["D"].nunique() >= 3
            if enough and len(near) >= 10 and len(far) >= 3 and len(near) not in seen:
                seen.add(len(near))
                yield scale, limit, near, far


def scored(name: str, table: pd.DataFrame, noise: bl.Noise) -> Iterator[pd.DataFrame]:
    """Yield the predictions of what was held out, on the log scale in percent."""
    for scale, limit, near, far in held_out(table):
        for variant, misfit in VARIANTS.items():
            model = bl.Model(models.chinchilla, bl.read_runs(near), noise=noise, misfit=misfit)
            fit = fitted("beyond", f"{name}-{scale}-{limit:.3g}-{variant}", model, **SAMPLING)
            found = fit.predict(far.drop(columns="loss"), new_run=True, prob=INTERVAL)
            seen, middle, low, high = (100 * np.log(x.to_numpy()) for x in (far["loss"], *(found[k] for k in KEPT)))
            miss = np.maximum(low - seen, 0) + np.maximum(seen - high, 0)
            yield pd.DataFrame(
                {
                    "table": name,
                    "axis": {"N": "larger models", "D": "more tokens"}[scale],
                    "variant": variant,
                    "factor": far[scale].to_numpy() / near[scale].max(),
                    "run": far["run"].to_numpy(),
                    "error": middle - seen,
                    "covered": (low <= seen) & (seen <= high),
                    "score": high - low + 2 / (1 - INTERVAL) * miss,
                    "width": high - low,
                    **{k: convergence(fit)[k] for k in ("R-hat", "divergences")},
                }
            )


KEPT = ("mean", "lower", "upper")


def summary(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Scores of both variants side by side."""
    grouped = rows.groupby([*by, "variant"], observed=True, sort=False)
    found = grouped.agg(
        coverage=("covered", "mean"),
        error=("error", lambda x: float(np.sqrt((x**2).mean()))),
        score=("score", "mean"),
        width=("width", "mean"),
    )
    wide = pd.DataFrame(found.unstack("variant"))
    wide.columns = pd.Index([", ".join(map(str, name)) for name in wide.columns])
    runs = rows.groupby(list(by), observed=True, sort=False)["run"].nunique()
    return wide.assign(runs=runs).reset_index()


def by_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Scores by factor beyond the runs, every table counted alike."""
    names = [f"{a:g} to {b:g}" if b < np.inf else f"beyond {a:g}" for a, b in zip(CLASSES, CLASSES[1:], strict=False)]
    classed = rows.assign(beyond=pd.cut(rows["factor"], CLASSES, labels=names))
    each = summary(classed, "axis", "beyond", "table")
    numbers = [c for c in each if "," in str(c)]
    means = each.groupby(["axis", "beyond"], observed=True)[numbers].mean()
    return means.assign(tables=each.groupby(["axis", "beyond"], observed=True).size()).reset_index()


def slopes() -> pd.DataFrame:
    """The slopes of the misfit in every whole table, with a wide prior."""
    found = []
    for name, (table, noise) in tables().items():
        model = bl.Model(models.chinchilla, bl.read_runs(table), noise=noise, misfit=WIDE)
        fit = fitted("beyond", f"{name}-whole", model, **SAMPLING)
        row: dict[str, Any] = {"table": name}
        for scale, process in model.processes.items():
            log = np.log(fit.posterior[process.slope].values)
            row[f"{scale}, median"] = float(np.exp(np.median(log)))
            row[f"{scale}, spread"] = float(log.std())
        found.append(row | {"sigma": float(fit.posterior["sigma"].mean()), **convergence(fit)})
    return pd.DataFrame(found).drop(columns=["seconds", "bulk ESS", "steps a draw"])


def main() -> None:
    """Refit, predict, score, and write the page."""
    page = Page("beyond", "Beyond the runs: a law alone, and with a misfit")
    cut = ", ".join(f"{x:g}" for x in LIMITS)
    page.text(
        "The Chinchilla law is fitted to the smaller models, or to the first tokens, of nine public tables of sizes "
        "and tokens, and predicts new runs at the rest: once alone, once with `misfit='scales'` and its default "
        f"priors. Scales are cut at {cut} of their logarithmic range; checkpoints before {SETTLED:.0%} of a run are "
        "left out. Errors, widths and interval scores (lower is better) are percent of the loss, of "
        f"{INTERVAL:.0%} intervals; *error* is the root mean square. The default slopes were chosen with these tables "
        "in sight, so the page says what the misfit does and is no test of the choice."
    )
    rows = pd.concat([part for name, (table, noise) in tables().items() for part in scored(name, table, noise)])
    page.text("## By how far beyond\n\nMeans over tables, each counted alike.")
    page.table(by_class(rows))
    pairs = summary(rows, "table", "axis")
    page.text("## Every table")
    page.table(pairs)
    better = (pairs["score, with misfit"] < pairs["score, law alone"]).sum()
    inside = [(pairs[f"coverage, {variant}"] >= 0.7).sum() for variant in VARIANTS]
    page.text(
        f"The interval score is better with the misfit in {better} of {len(pairs)} pairs of table and axis. Coverage "
        f"is at least 0.70 in {inside[1]} of them with the misfit, in {inside[0]} without."
    )
    page.text(
        "## Slopes in whole tables\n\nPosterior of the slopes with a prior of median 0.03 and spread 1.2 on each."
    )
    page.table(slopes())
    refits = rows.drop_duplicates(["table", "axis", "variant", "R-hat"])
    bad = refits[(refits["R-hat"] > 1.01) | (refits["divergences"] > 0)]
    page.text(
        f"Of {len(refits)} refits of 2 x 400 draws, {len(bad)} have an R-hat above 1.01 or divergences (largest R-hat "
        f"{refits['R-hat'].max():.3f}, divergences in all: {int(refits['divergences'].sum())}). They count too."
    )
    page.write()


if __name__ == "__main__":
    main()
