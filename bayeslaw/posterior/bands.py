"""Predictions row by row of a table, in pieces that fit into memory."""

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.posterior.draws import Posterior

__all__ = ["bands"]

CELLS = 8_000_000
"""Draws of losses that are held at once."""


def bands(
    fit: Posterior, columns: xr.Dataset, *, prob: float = CI_PROB, new_run: bool = False, seed: int = 0
) -> pd.DataFrame:
    """Summarise the predicted losses of many rows.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    columns : xarray.Dataset
        The law's columns and the labels of groups, with the dim ``row`` (`Fit.columns` checks them).
    prob : float
        Probability of the equal-tailed interval.
    new_run : bool
        Every row is a new run with an error of its own; otherwise the mean law.
    seed : int
        Of the errors.

    Returns
    -------
    pandas.DataFrame
        One row per row and validation set: ``row``, ``eval``, ``mean``, ``sd``, ``lower``, ``upper`` (nats per token).

    Raises
    ------
    RangeError
        `prob` does not lie between 0 and 1.
    """
    sizes = fit.idata["posterior"].sizes
    step = max(1, CELLS // (sizes["chain"] * sizes["draw"] * len(fit.evals)))
    ends = levels(prob)
    parts = []
    for start in range(0, columns.sizes["row"], step):
        part = columns.isel(row=slice(start, start + step))
        loss = fit.loss(part, seed=seed)
        if new_run:
            rng = np.random.default_rng([seed, start])
            loss = loss * xr.ufuncs.exp(fit.errors(loss, part, rng))
        draws = loss.transpose("row", "eval", "chain", "draw").values.reshape(loss.sizes["row"], len(fit.evals), -1)
        lower, upper = np.quantile(draws, ends, axis=-1)
        summary = {"mean": draws.mean(axis=-1), "sd": draws.std(axis=-1), "lower": lower, "upper": upper}
        row, ev = np.indices(draws.shape[:2])
        labels = {"row": start + row.ravel(), "eval": np.asarray(fit.evals)[ev.ravel()]}
        parts.append(pd.DataFrame(labels | {k: x.ravel() for k, x in summary.items()}))
    return pd.concat(parts, ignore_index=True)
