"""Best duration: how long to upsample a domain at the end of training (arXiv:2406.03476)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.decisions.best_mixture import importance
from bayeslaw.decisions.question import POINTS, given, minimise, open_columns
from bayeslaw.errors import RangeError
from bayeslaw.quantity import Ratio

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["best_duration"]


def best_duration(
    fit: "Fit",
    *,
    goal: str | Mapping[str, float] | None = None,
    longest: float | None = None,
    **groups: Any,
) -> Ratio:
    """Return the share of the training, at its end, whose upsampling gives the smallest loss or error rate.

    Draws whose optimum lies at an end are kept there: `p_never` is the probability that upsampling does not help,
    `p_always` that a window longer than `longest` would help still more.

    Parameters
    ----------
    fit : Fit
        The posterior.
    goal : str or mapping, optional
        The benchmark whose loss or error rate is minimised, or ``{benchmark: importance}`` for a weighted mean; left
        out: all count alike.
    longest : float, optional
        The longest window looked at, a share of the training; left out: the longest one that was tried.
    **groups
        Labels of what coefficients vary over; an array gives the result a dim of its own.

    Returns
    -------
    Ratio

    Raises
    ------
    LawError
        The law does not know a duration.
    RangeError
        `longest` is no share, or importances are not at least 0.
    UnknownName
        A benchmark or a label does not exist.

    Notes
    -----
    Beyond the longest window that was tried the answer is the form of the law, and the note says so.
    """
    weights = importance(goal, fit.evals)
    columns = open_columns(fit, {"duration": 0.0}, groups)
    tried = float(fit.model.design.rows["duration"].max())
    high = tried if longest is None else float(longest)
    if not 0 < high <= 1:
        raise RangeError(f"longest is {high}: give a share of the training, above 0 and at most 1")

    def loss(duration: xr.DataArray) -> xr.DataArray:
        losses = fit.loss(columns.assign(duration=duration))
        mean: xr.DataArray = xr.dot(losses.sel(eval=weights["eval"]), weights, dim="eval").reset_coords(drop=True)
        return mean

    grid = xr.DataArray(np.linspace(0.0, high, POINTS), dims="grid")
    return Ratio(
        "best_duration",
        minimise(loss, grid).transpose("chain", "draw", ...),
        "1",
        "mean law",
        {**given(**groups), "goal": weights.to_series().to_dict(), "longest": high},
        f"windows beyond {tried:g} were not tried" if high > tried else "",
        low=0.0,
        high=high,
    )
