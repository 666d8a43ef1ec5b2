"""The likelihood of runs: the joint log density of the measurements of a run, and their standardised errors."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import xarray as xr
from scipy.special import gammaln

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.prediction import at_rows, batch_noise, pieces
from bayeslaw.spec.design import Design

__all__ = ["errors", "log_likelihood", "standardised"]

NORMAL = -np.log(2 * np.pi) / 2
STUDENT = gammaln(3) - gammaln(2.5) - np.log(5 * np.pi) / 2
"""Log densities at 0 of the standard normal and of Student's t with 5 degrees of freedom."""

MOST_ERRORS = 1_000_000
"""Approximate number of errors held in memory at once."""


def log_likelihood(fit: Posterior, design: Design | None = None) -> xr.DataArray:
    """Return the joint log density of all measurements of a run, run effects and correlations integrated out.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    design : Design, optional
        Rows sorted by run, then tokens; by default those of the fit.

    Returns
    -------
    xarray.DataArray
        Dims chain, draw, run: natural logarithm of the density of the log losses, all constants included. Measurements
        outside the law's range do not count, and runs with no other ones are left out.
    """
    return _of_the_fit(fit) if design is None else _of_rows(fit, design)


@kept
def _of_the_fit(fit: Posterior) -> xr.DataArray:
    return _of_rows(fit, fit.model.design)


def _of_rows(fit: Posterior, d: Design) -> xr.DataArray:
    run = d.rows["run"].values
    first = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    density = xr.concat([_of_runs(fit, piece) for piece in pieces(d, fit.draws, of_runs=True)], "run")
    counts = np.logical_or.reduceat(d.measured.any("eval").values, first)
    density = density.assign_coords(run=run[first]).isel(run=counts)
    return density.transpose(*SAMPLE, "run").rename("log_likelihood")


def _of_runs(fit: Posterior, d: Design) -> xr.DataArray:
    error = errors(fit, d)
    pieces = np.array_split(np.arange(error.sizes["draw"]), max(1, min(error.sizes["draw"], error.size // MOST_ERRORS)))
    return xr.concat([_density(fit, d, error.isel(draw=p), fit.posterior.isel(draw=p)) for p in pieces], "draw")


def errors(fit: Posterior, design: Design | None = None) -> xr.DataArray:
    """Return log loss minus log law and batch noise of every measurement, 0 where none is; dims as `at_rows`."""
    d = design or fit.model.design
    law = xr.ufuncs.log(at_rows(fit, d)) + batch_noise(fit, d)
    error: xr.DataArray = xr.where(d.measured, xr.ufuncs.log(d.rows["loss"]) - law, 0.0)
    return error


def standardised(fit: Posterior, error: xr.DataArray, design: Design | None = None) -> xr.DataArray:
    """Return errors, each standardised by its prediction from earlier ones of its run; dims chain, draw, row, eval.

    If the model holds, those of a fit are independent with unit scale: standard normal, or Student-t for robust errors.
    """
    return _standardised(fit, design or fit.model.design, error, fit.posterior)[0].transpose(*SAMPLE, "row", "eval")


def _standardised(fit: Posterior, d: Design, error: xr.DataArray, posterior: xr.Dataset) -> tuple[xr.DataArray, Any]:
    noise, parameters = fit.noise, cast(Mapping[str, xr.DataArray], posterior)
    factor = noise.at_size(parameters, d.log_size(d.rows))
    if noise.correlated:
        z, scale = _correlated(fit, d, error / factor, posterior)
        return z, scale * factor
    mean: Any = 0.0
    if noise.joint:
        order = {"measured": xr.DataArray(d.order()["measured"], dims=("row", "eval"))}
        mean, scale = noise.same_step(error / factor, parameters, order)
    else:
        scale = noise.scale(parameters["sigma"], xr.DataArray(d.known_error, dims=("row", "eval")) / factor)
    return (error / factor - mean) / scale, scale * factor


def _correlated(
    fit: Posterior, d: Design, error: xr.DataArray, posterior: xr.Dataset
) -> tuple[xr.DataArray, xr.DataArray]:
    """Return `Noise.one_step_ahead` of every draw, as standardised errors and scales."""
    from bayeslaw.posterior.innovations import innovations

    order = d.order()
    sigma = posterior["sigma"].transpose(*SAMPLE, "eval")
    error = error.broadcast_like(sigma).transpose(*SAMPLE, "row", "eval")
    w, ell = (posterior[name].transpose(*SAMPLE) for name in ("run_weight", "correlation_length"))
    rho = posterior["eval_correlation"].transpose(*SAMPLE) if fit.noise.joint else 0 * w
    z, scale = np.empty((2, w.size, *order["gap"].shape))
    draws = (np.ascontiguousarray(x.values).reshape(w.size, *x.shape[2:]) for x in (error, sigma, w, ell, rho))
    rows = (order[name] for name in ("measured", "gap", "previous", "start"))
    innovations(*draws, *rows, z, scale)
    return error.copy(data=z.reshape(error.shape)), error.copy(data=scale.reshape(error.shape))


def _density(fit: Posterior, d: Design, error: xr.DataArray, posterior: xr.Dataset) -> xr.DataArray:
    z, scale = _standardised(fit, d, error, posterior)
    density = (STUDENT - 3 * np.log1p(z**2 / 5) if fit.noise.robust else NORMAL - z**2 / 2) - xr.ufuncs.log(scale)
    by_row = density.where(d.measured, 0.0).sum("eval").transpose(*SAMPLE, "row")
    by_run = np.add.reduceat(by_row.values, np.unique(d.order()["start"]), axis=-1)
    return xr.DataArray(by_run, dims=(*SAMPLE, "run"), coords={k: v for k, v in by_row.coords.items() if k in SAMPLE})
