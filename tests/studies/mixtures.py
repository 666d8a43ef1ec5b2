"""What the studies of mixtures share: the RegMix tables, and scores of mixtures that a fit has not seen."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from bayeslaw.base.intervals import CI_PROB
from bayeslaw.validation.scores import interval_score
from bayeslaw.workflow import Fit
from tests.studies.page import DATA

__all__ = ["observed_and_predicted", "predicted", "regmix", "scores"]


def regmix(kind: str, size: str) -> pd.DataFrame:
    """Return a RegMix table (`kind` train or test; `size` 1m or 60m): shares of 17 sources, losses on 13."""
    table = pd.read_csv(DATA / "regmix" / f"{kind}_mixture_{size}.csv").drop(columns="index")
    losses = pd.read_csv(DATA / "regmix" / f"{kind}_pile_loss_{size}.csv").filter(like="metric/")
    table.columns = table.columns.str.replace("train_the_pile_", "weight_")
    losses.columns = losses.columns.str.replace("metric/the_pile_", "").str.replace("_val_loss", "_loss")
    return pd.concat([table, losses], axis="columns").assign(run=[f"{kind} {size} {i + 1}" for i in table.index])


def predicted(fit: Fit, table: pd.DataFrame, **columns: Any) -> pd.DataFrame:
    """Return predicted beside measured losses: one row per row of the table and validation set.

    ``mean`` is that of the mean law, ``lower`` and ``upper`` are the ends of the 89 % interval of a new run.
    """
    table = table.reset_index(drop=True)
    asked = table.assign(**columns)
    rows = fit.predict(asked, new_run=True).assign(
        mean=fit.predict(asked)["mean"],
        observed=table[[f"{e}_loss" for e in fit.evals]].to_numpy().ravel(),
        eval=fit.evals * len(table),
    )
    return rows.dropna(subset="observed")


def scores(rows: pd.DataFrame) -> dict[str, float]:
    """Return the scores of the rows of `predicted`."""
    y, lower, upper = rows["observed"], rows["lower"], rows["upper"]
    return {
        "MAE": float((rows["mean"] - y).abs().mean()),
        "Spearman": float(spearmanr(rows["mean"], y).statistic),
        "coverage": float(y.between(lower, upper).mean()),
        "width": float((upper - lower).mean()),
        "interval score": float(np.mean(interval_score(lower, upper, y, CI_PROB))),
    }


def observed_and_predicted(of: Mapping[str, pd.DataFrame]) -> Figure:
    """Return a figure of the rows of `predicted` by several laws, one panel for each."""
    size = (4.2 * len(of), 3.9)
    figure, axes = plt.subplots(1, len(of), figsize=size, sharex=True, sharey=True, layout="constrained")
    for ax, (title, rows) in zip(axes, of.items(), strict=True):
        ends = [rows["observed"].min(), rows["observed"].max()]
        ax.plot(ends, ends, color="0.6", lw=1, zorder=0)
        ax.vlines(rows["observed"], rows["lower"], rows["upper"], color="C0", alpha=0.2, lw=1)
        ax.plot(rows["observed"], rows["mean"], ".", color="C0", ms=4)
        ax.set_title(title, fontsize=9)
    figure.supxlabel("measured loss (nats per token)", fontsize=9)
    figure.supylabel("predicted, 89 % of a new run", fontsize=9)
    return figure
