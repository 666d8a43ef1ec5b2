"""How much of a fit is the law's, and how much its misfit's, along each scale."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import thinned
from bayeslaw.spec.misfit import DECADES, SCALES, Process

__all__ = ["law_and_misfit"]

FURTHER = 10.0
"""How many times the largest size or number of tokens counts as beyond the runs."""


def law_and_misfit(fit: Posterior) -> pd.DataFrame:
    """Return a row for each process of the misfit and each validation set; none without a misfit.

    Columns ``along`` (the columns of the process), ``eval``, ``law`` (relative change of the loss over the runs by the
    law from one end of the scale to the other, on average over the runs; missing for products), ``misfit``
    (root mean square of what the misfit adds at the runs, relative to the loss) and ``beyond`` (standard deviation of
    what it adds at ten times the largest size or number of tokens; missing along shares).
    """
    return pd.DataFrame([row for process in fit.processes.values() for row in _rows(thinned(fit), process)])


def _rows(fit: Posterior, process: Process) -> Iterator[dict[str, Any]]:
    design, beyond = fit.model.design, _beyond(fit, process)
    law = _of_the_law(fit, process.columns[0]) if len(process.columns) == 1 else None
    within = fit.misfit(design.rows, process.name).mean(SAMPLE)
    for e in fit.evals:
        here = within.sel(eval=e).values[design.measured.sel(eval=e).values]
        yield {
            "along": " and ".join(process.columns),
            "eval": e,
            "law": np.nan if law is None else float(law.sel(eval=e)),
            "misfit": float(np.sqrt(np.mean(here**2))),
            "beyond": np.nan if beyond is None else float(beyond.sel(eval=e)),
        }


def _of_the_law(fit: Posterior, column: str) -> xr.DataArray:
    """Return by how much the law alone changes the log loss from the smallest to the largest value of a column."""
    rows = fit.model.design.rows
    ends = (rows.assign({column: end.broadcast_like(rows[column])}) for end in (rows[column].min(), rows[column].max()))
    low, high = (xr.ufuncs.log(fit.loss(end) / xr.ufuncs.exp(fit.misfit(end))).mean(SAMPLE) for end in ends)
    change: xr.DataArray = (high - low).mean("row")
    return change


def _beyond(fit: Posterior, process: Process) -> xr.DataArray | None:
    """Return the spread of the process where its sizes or tokens are so many times the largest."""
    rows = fit.model.design.rows
    further = [c for c in process.columns if DECADES is SCALES[c]]
    if len(further) < len(process.columns):
        return None
    return fit.misfit(xr.Dataset({c: FURTHER * rows[c].max() for c in further}), process.name).std(SAMPLE)
