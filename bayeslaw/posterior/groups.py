"""The groups of a fit beside its draws, under ArviZ's names; losses are logarithms there, as in the model."""

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.errors import unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import prior_predictive
from bayeslaw.posterior.likelihood import log_likelihood
from bayeslaw.posterior.prediction import new_runs
from bayeslaw.spec.design import Design
from bayeslaw.spec.specification import Specification

__all__ = ["extended", "with_data"]

LOSS = "log_loss"
"""The observed variable of `Model.pymc_model`."""

ON_REQUEST = ("log_likelihood", "prior", "prior_predictive", "posterior_predictive")
BY_MEASUREMENT = "measurement"
DATA = ("observed_data", "constant_data")


def with_data(model: Specification, idata: xr.DataTree) -> xr.DataTree:
    """Return draws with the measurements in the likelihood (``observed_data``) and what they belong to."""
    design = model.design
    observed = xr.DataArray(design.log_loss, dims=BY_MEASUREMENT)
    columns = [*dict.fromkeys(["run", *model.law.columns, *design.groups])]
    constant = _of_measurements(design.rows[columns].reset_coords(drop=True), design)
    named = np.asarray(design.evals, object)[design.cells["eval"]]
    data = (_numbered(observed.to_dataset(name=LOSS)), constant.assign(eval=(BY_MEASUREMENT, named)))
    groups = {name: node.to_dataset() for name, node in idata.children.items()}
    return xr.DataTree.from_dict(groups | dict(zip(DATA, data, strict=True)))


@checked
def extended(fit: Posterior, *groups: str, draws: int = 500, seed: int = 0) -> xr.DataTree:
    """Return the groups of a fit and further ones; see `bayeslaw.Fit.extend`."""
    wanted = groups or ON_REQUEST
    for name in wanted:
        if name not in ON_REQUEST:
            raise unknown_name("group to add", name, ON_REQUEST)
    found = {name: node.to_dataset() for name, node in fit.idata.children.items()}
    if "log_likelihood" in wanted:
        found["log_likelihood"] = log_likelihood(fit).reset_coords(drop=True).to_dataset(name=LOSS)
    if "posterior_predictive" in wanted:
        found["posterior_predictive"] = _predicted(fit, seed)
    if {"prior", "prior_predictive"} & set(wanted):
        prior = prior_predictive(fit.model, draws=draws, seed=seed)
        both = {"prior": prior.posterior, "prior_predictive": _predicted(prior, seed)}
        found |= {name: both[name] for name in wanted if name in both}
    return xr.DataTree.from_dict(found)


def _predicted(fit: Posterior, seed: int) -> xr.Dataset:
    """Return log losses of new runs, measured like those of the fit."""
    design, rng = fit.model.design, np.random.default_rng([seed, 5])
    with np.errstate(invalid="ignore", divide="ignore"):  # outside its range, or at a prior draw, a law may be negative
        log_loss = xr.ufuncs.log(new_runs(fit, design, rng)).transpose(*SAMPLE, "row", "eval")
    log_loss = log_loss + design.known_error * rng.standard_normal(log_loss.shape)
    return _numbered(_of_measurements(log_loss.reset_coords(drop=True).to_dataset(name=LOSS), design))


def _of_measurements(rows: xr.Dataset, design: Design) -> xr.Dataset:
    """Return values of rows (and validation sets) for every measurement in the likelihood."""
    at = {dim: xr.DataArray(position, dims=BY_MEASUREMENT) for dim, position in design.cells.items()}
    return _numbered(rows.isel(at, missing_dims="ignore").drop_vars(["row", "eval"], errors="ignore"))


def _numbered(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords({BY_MEASUREMENT: np.arange(data.sizes[BY_MEASUREMENT])})
