"""What training costs: floating-point operations per token of a model of N parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import one_number
from bayeslaw.base.numbers import exact
from bayeslaw.errors import ArgumentError, DataError, RangeError, shown, unknown_name
from bayeslaw.posterior.draws import Posterior

__all__ = ["FLOPS_PER_PARAMETER", "Cost", "cost_of"]

FLOPS_PER_PARAMETER = 6.0
"""Floating-point operations per parameter and token of training (arXiv:2001.08361)."""

MOST_FLOPS_PER_PARAMETER = 1000.0
"""A larger number must be meant for a whole model."""

type Cost = float | str | Callable[[Any], Any]
"""FLOPs per token: as a number per parameter, as a column of the runs, or as a function of N."""


def cost_of(fit: Posterior, flops_per_token: Cost) -> Callable[[xr.DataArray], xr.DataArray]:
    """Return the FLOPs per token as a function of N.

    Parameters
    ----------
    fit : Fit
        The posterior, whose runs have the column.
    flops_per_token : float, str or callable
        A number of FLOPs per parameter and token (6: forward and backward pass); a column of the runs with the FLOPs
        per token of each size, between which straight lines on log scales are drawn, and beyond which they are
        proportional to N; or a function of N, which takes arrays.

    Raises
    ------
    DataError, UnknownName
        The column is missing, or gives one size several costs.
    RangeError, ArgumentError
        A cost is not above 0, or falls where N grows.
    """
    if isinstance(flops_per_token, str):
        return _between_runs(fit, flops_per_token)
    if callable(flops_per_token):
        return _function(flops_per_token)
    each = one_number(flops_per_token, "flops_per_token")
    if not 0 < each <= MOST_FLOPS_PER_PARAMETER:
        raise RangeError(
            f"flops_per_token is {exact(each)}: give FLOPs per parameter and token, such as "
            f"{exact(FLOPS_PER_PARAMETER)}, or a function of N"
        )
    return lambda N: each * N


def _between_runs(fit: Posterior, column: str) -> Callable[[xr.DataArray], xr.DataArray]:
    runs = fit.model.runs.table
    if column not in runs:
        raise unknown_name("column of the runs (flops_per_token=)", column, runs.columns)
    if runs[column].dtype.kind not in "fiu" or not (runs[column] > 0).all():
        raise DataError(f"{column} is no cost of training: give a column of FLOPs per token, all above 0")
    costs = runs.groupby("N")[column].agg(["min", "max"])
    if (several := costs["max"] > costs["min"] * (1 + 1e-6)).any():
        size = costs.index[several][0]
        raise DataError(f"{column} gives N {exact(size)} several costs: give the FLOPs per token, not of a whole run")
    at, cost = np.log(costs.index.to_numpy(float)), np.log(costs["min"].to_numpy(float))
    if (np.diff(cost) <= 0).any():
        raise DataError(f"{column} does not grow with N: give the FLOPs per token of each size")

    def between(N: xr.DataArray) -> xr.DataArray:
        log_size = xr.ufuncs.log(N)
        beyond = log_size - log_size.clip(at[0], at[-1])
        result: xr.DataArray = xr.ufuncs.exp(log_size.copy(data=np.interp(log_size.values, at, cost)) + beyond)
        return result

    return between


def _function(function: Callable[[Any], Any]) -> Callable[[xr.DataArray], xr.DataArray]:
    sizes = xr.DataArray(np.geomspace(1e3, 1e15, 49), dims="size")
    try:
        costs = np.asarray(function(sizes), float)
        if costs.shape != sizes.shape:
            raise ValueError(f"it returned the shape {costs.shape} for {sizes.shape}")
    except Exception as e:  # whatever a user's function raises
        reason = " ".join(f"{type(e).__name__}: {e}".split())[:120]
        raise ArgumentError(
            f"flops_per_token={shown(function)} cannot be called with an array of N ({reason}): give a function such "
            "as lambda N: 6 * N"
        ) from None
    if not (np.isfinite(costs).all() and (costs > 0).all() and (np.diff(costs) > 0).all()):
        raise RangeError("flops_per_token is no cost of training: it must lie above 0 and grow with N")
    return lambda N: N.copy(data=np.asarray(function(N), float))
