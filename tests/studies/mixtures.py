"""What the studies of mixtures share: the RegMix tables, and scores of mixtures that a fit has not seen."""

from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import spearmanr

from bayeslaw.fit import Fit
from bayeslaw.mixtures import folded
from bayeslaw.quantity import CI_PROB
from bayeslaw.scores import interval_score
from tests.studies.page import DATA

__all__ = ["predicted", "regmix", "scores"]


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
    along = {c: xr.DataArray(table[c].to_numpy(float), dims="row") for c in ("N", "D") if c in fit.model.law.columns}
    named = fit.columns(weight=folded(table), **along, **columns)
    rows = fit.bands(named, new_run=True).drop(columns="mean")
    rows["mean"] = fit.bands(named)["mean"].to_numpy()
    measured = table[[f"{e}_loss" for e in fit.evals]].to_numpy()
    rows["observed"] = measured[rows["row"], rows["eval"].map(fit.evals.index)]
    return rows.assign(run=table["run"].to_numpy()[rows["row"]]).dropna(subset="observed")


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
