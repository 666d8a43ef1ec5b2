"""The likelihood of runs: the joint log density of all that a run measured, and its standardised errors."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import xarray as xr
from scipy import stats

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.prediction import at_rows, batch_noise
from bayeslaw.spec.design import Design

__all__ = ["log_likelihood", "part", "standardised_errors"]

ORDER = {"start": ("row",), "eval_number": ("eval",)}
AT_ONCE = 1_000_000
"""Errors worked on at a time, about: what a long run with many draws takes of the memory."""


def log_likelihood(fit: Posterior, design: Design | None = None) -> xr.DataArray:
    """Return the joint log density of all measurements of a run, run effects and correlations integrated out.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    design : Design, optional
        Other rows than those of the fit, sorted by run, then tokens.

    Returns
    -------
    xarray.DataArray
        Dims chain, draw, run: natural logarithm of the density of the log losses, all constants included. Measurements
        outside the law's range do not count, and runs without another are left out.
    """
    return _of_the_fit(fit) if design is None else _of_rows(fit, design)


@kept
def _of_the_fit(fit: Posterior) -> xr.DataArray:
    return _of_rows(fit, fit.model.design)


def _of_rows(fit: Posterior, d: Design) -> xr.DataArray:
    run = d.rows["run"].values
    first = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    rows = max(1, AT_ONCE // (fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] * len(d.evals)))
    cuts = np.flatnonzero(np.diff(first // rows)) + 1
    ends = [*first[cuts], len(run)]
    pieces = [slice(*ends_of) for ends_of in zip([0, *ends], ends, strict=False)]
    density = xr.concat([_of_runs(fit, part(d, piece)) for piece in pieces], "run")
    counts = np.logical_or.reduceat(d.measured.any("eval").values, first)
    density = density.assign_coords(run=run[first]).isel(run=counts)
    return density.transpose(*SAMPLE, "run").rename("log_likelihood")


def part(design: Design, keep: np.ndarray | slice) -> Design:
    """Return a design of some of the rows, with the groups of the whole."""
    at = {"row": keep if isinstance(keep, slice) else np.flatnonzero(keep)}
    return replace(design, rows=design.rows.isel(at), measured=design.measured.isel(at))


def _of_runs(fit: Posterior, d: Design) -> xr.DataArray:
    error = _errors(fit, d)
    pieces = np.array_split(np.arange(error.sizes["draw"]), max(1, min(error.sizes["draw"], error.size // AT_ONCE)))
    return xr.concat([_density(fit, d, error.isel(draw=p), fit.posterior.isel(draw=p)) for p in pieces], "draw")


def standardised_errors(fit: Posterior) -> xr.DataArray:
    """Return every error as the error model sees it, given the earlier ones of its run; dims chain, draw, row, eval.

    Where the model holds they are independent with unit scale: standard normal, or Student-t for robust errors.
    """
    d = fit.model.design
    z = _standardised(fit, d, _errors(fit, d), fit.posterior)[0]
    return z.transpose(*SAMPLE, "row", "eval")


def _errors(fit: Posterior, d: Design) -> xr.DataArray:
    law = xr.ufuncs.log(at_rows(fit, d)) + batch_noise(fit, d)
    error: xr.DataArray = xr.where(d.measured, xr.ufuncs.log(d.rows["loss"]) - law, 0.0)
    return error


def _standardised(fit: Posterior, d: Design, error: xr.DataArray, posterior: xr.Dataset) -> tuple[xr.DataArray, Any]:
    noise, parameters = fit.noise, cast(Mapping[str, xr.DataArray], posterior)
    order = {k: xr.DataArray(v, dims=ORDER.get(k, ("row", "eval"))) for k, v in d.order().items()}
    mean: Any = 0.0
    factor = noise.at_size(parameters, d.log_size(d.rows))
    if noise.correlated:
        mean, scale = noise.one_step_ahead(error / factor, parameters, order)
    elif noise.joint:
        mean, scale = noise.same_step(error / factor, parameters, order)
    else:
        scale = noise.scale(parameters["sigma"], xr.DataArray(d.known_error, dims=("row", "eval")) / factor)
    return (error / factor - mean) / scale, scale * factor


def _density(fit: Posterior, d: Design, error: xr.DataArray, posterior: xr.Dataset) -> xr.DataArray:
    z, scale = _standardised(fit, d, error, posterior)
    density = z.copy(data=(stats.t(5) if fit.noise.robust else stats.norm).logpdf(z.values)) - xr.ufuncs.log(scale)
    by_row = density.where(d.measured, 0.0).sum("eval").transpose(*SAMPLE, "row")
    by_run = np.add.reduceat(by_row.values, np.unique(d.order()["start"]), axis=-1)
    return xr.DataArray(by_run, dims=(*SAMPLE, "run"), coords={k: v for k, v in by_row.coords.items() if k in SAMPLE})
