"""Losses that a fit predicts: what it is asked for, the coefficients that apply there, and the law on both."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.design import Design
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.law import Law
from bayeslaw.mixtures import WEIGHT, as_weights

if TYPE_CHECKING:
    from bayeslaw.fit import Fit

__all__ = ["UNSEEN", "at_rows", "batch_noise", "coefficients", "columns", "errors", "loss", "thinned"]

UNSEEN = "(unseen)"
"""The label of a group that was not fitted: its coefficients are drawn from the population."""

LARGEST = float(np.finfo(float).max)

POSSIBLE = {
    "N": (1.0, LARGEST, "a number of parameters"),
    "D": (0.0, LARGEST, "a number of tokens"),
    "domain_share": (-1e-9, 1 + 1e-9, "a share in [0, 1]"),
    "duration": (-1e-9, 1 + 1e-9, "a share of the training in [0, 1]"),
}
"""What a run can have of a column, and what to give."""


def columns(fit: "Fit", **given: Any) -> xr.Dataset:
    """Return covariates and labels as named arrays: scalars stay scalars, a 1-d array gets a dim of its own name.

    Raises
    ------
    UnknownName, DataError
        A name the fit does not know, or one it needs and did not get.
    RangeError
        A value that no run can have.
    """
    design = fit.model.design
    labels = [c for c in ("domain", *design.groups) if c in design.rows]
    known = list(dict.fromkeys([*fit.model.law.columns, *labels]))
    arrays: dict[str, xr.DataArray] = {}
    for name, value in given.items():
        if name not in known:
            raise unknown_name(f"column of a fit of {fit.model.law.name}", name, known)
        if value is None:
            continue
        if name == WEIGHT:
            arrays[name] = as_weights(value, design.rows["source"].values)
        elif isinstance(value, xr.DataArray):
            arrays[name] = value
        else:
            a = np.asarray(value)
            if a.ndim > 1:
                raise DataError(
                    f"{name} has {a.ndim} dimensions: give a number, a list, or a DataArray with named dims"
                )
            arrays[name] = xr.DataArray(a, dims=(name,) * a.ndim, coords={name: a} if a.ndim else None)
        if name in fit.model.law.columns and name != WEIGHT:
            _check_numbers(name, arrays[name].values, fit.model.law)
    for name in known:
        if name in arrays:
            continue
        if (value := design.feature(name, arrays)) is not None:
            arrays[name] = value
            continue
        if name in fit.model.law.columns:
            raise DataError(f"{name} is missing: {fit.model.law.name} needs {', '.join(fit.model.law.columns)}")
        if name in design.groups:
            if len(design.groups[name]) > 1:
                raise DataError(f"{name} is missing: say which of {', '.join(map(str, design.groups[name]))}")
            arrays[name] = xr.DataArray(design.groups[name][0])
    for name in labels:
        if name in arrays and name not in fit.model.law.columns:
            known_labels = [str(x) for x in np.unique(design.rows[name].values)]
            if design.rows[name].dtype.kind not in "fiub":  # a domain called 7 is no number
                arrays[name] = arrays[name].astype(str)
            asked = arrays[name].values
            numbers = asked.dtype.kind in "iu" and design.rows[name].dtype.kind == "f"
            for label in np.unique(asked.astype(float) if numbers else asked):
                if str(label) not in known_labels and label != UNSEEN:
                    raise unknown_name(f"{name} (bl.UNSEEN stands for a new one)", label, known_labels)
    return xr.Dataset(arrays)


def _check_numbers(name: str, values: np.ndarray, law: Law) -> None:
    if values.dtype.kind not in "fiu":
        raise DataError(f"{name} is {str(values.ravel()[0])[:80]!r}, which is not a number: give numbers")
    low, high, what = POSSIBLE.get(name, (-np.inf, np.inf, "a number"))
    covariate = law.covariates.get(name)
    if covariate is not None and covariate.of is not None:
        low, high = covariate.valid
        what = f"{low:g} to {high:g} {covariate.unit}, as {law.name} takes it"
    if (bad := ~((values >= low) & (values <= high))).any():
        raise RangeError(f"{name} is {values[bad].ravel()[0]:g}: give {what}")


def coefficients(fit: "Fit", columns: xr.Dataset, seed: int = 0) -> dict[str, xr.DataArray]:
    """Return the coefficients that apply to those columns; an unseen group's are drawn from its population."""
    posterior, result = fit.posterior, {}
    for name in fit.model.law.coefficients:
        c = posterior[name]
        for dim in [d for d in c.dims if d in fit.model.design.groups]:
            c = _select(fit, name, c, str(dim), columns[dim], seed)
        result[name] = c
    return result


def _select(fit: "Fit", name: str, c: xr.DataArray, dim: str, labels: xr.DataArray, seed: int) -> xr.DataArray:
    known = fit.model.design.groups[dim]
    wanted, place = np.unique(labels.values, return_inverse=True)
    parts = []
    for label in wanted:
        if known.dtype.kind in "fiu" and label != UNSEEN:
            label = float(label)
            where = np.flatnonzero(np.isclose(known, label, rtol=1e-6))
        else:
            where = np.flatnonzero(known == label)
        if len(where):
            parts.append(c.isel({dim: int(where[0])}, drop=True))
            continue
        if name not in fit.model.by:
            raise RangeError(
                f"{name} is separate by {dim} and was not fitted at {dim} {label}: pool it with "
                f"by={{{name!r}: {dim!r}}}"
            )
        mu, sigma = fit.posterior[f"{name}_mu"], fit.posterior[f"{name}_sigma"]
        number = list(fit.model.law.coefficients).index(name)
        z = np.random.default_rng([seed, number, crc32(str(label).encode())]).standard_normal(mu.shape)
        drawn = mu + sigma * z
        parts.append(xr.ufuncs.exp(drawn) if fit.model.coefficient_priors[name].distribution == "LogNormal" else drawn)
    if labels.ndim == 0:
        return parts[0]
    index = xr.DataArray(
        place.reshape(labels.shape),
        dims=labels.dims,
        coords={k: v for k, v in labels.coords.items() if k in labels.dims},
    )
    return xr.concat(parts, dim="__label").isel(__label=index)


def loss(fit: "Fit", columns: xr.Dataset, new_run: bool = False, seed: int = 0) -> xr.DataArray:
    """Return losses (nats per token), dims chain, draw, eval and those of the columns.

    ``new_run`` adds the error of a run that was not measured; cells that differ only in tokens are checkpoints of
    one new run.
    """
    law = fit.model.law
    full = columns.assign_coords(eval=fit.evals)
    inputs = law.inputs(full, fit.model.reference)
    loss: xr.DataArray = law(*inputs.values(), **coefficients(fit, columns, seed))
    order = [d for d in ("chain", "draw", "eval") if d in loss.dims]
    loss = loss.transpose(*order, ...)
    if new_run:
        along = law.path in columns and columns[law.path].dims == (law.path,)
        rng = np.random.default_rng([seed, 1])
        log_path = xr.ufuncs.log(columns[law.path]) if along else None
        loss = loss * xr.ufuncs.exp(errors(fit, loss, columns, rng, log_path=log_path))
    return loss.rename("loss")


def errors(
    fit: "Fit",
    like: xr.DataArray,
    columns: xr.Dataset,
    rng: np.random.Generator,
    *,
    log_path: xr.DataArray | None = None,
    parameters: xr.Dataset | None = None,
) -> xr.DataArray:
    """Draw the errors of new runs at those columns, on the log scale; see `bayeslaw.noise.Noise.sample`."""
    parameters = fit.posterior if parameters is None else parameters
    drawn = fit.noise.sample(parameters, like, log_path, rng)
    result: xr.DataArray = drawn * fit.noise.at_size(parameters, fit.model.design.log_size(columns))
    return result.transpose(*like.dims, ...)


def batch_noise(fit: "Fit", design: Design, seed: int = 0) -> xr.DataArray:
    """Return what the rows share with others of their data order, on the log scale; dims chain, draw, eval, row.

    That of batches that the fit does not know is drawn; 0 where the fit has no batch noise.
    """
    if not fit.noise.batch:
        return xr.DataArray(0.0)
    effect, (labels, number) = fit.posterior["batch_effect"], design.batches
    known = pd.Index(fit.model.design.batches[0]).get_indexer(labels)
    sd, rng = fit.posterior["batch_effect_sigma"], np.random.default_rng([seed, 4])
    drawn = [effect.isel(batch=at, drop=True) if at >= 0 else sd * rng.standard_normal(sd.shape) for at in known]
    by_row = xr.concat(drawn, "batch").isel(batch=xr.DataArray(number, dims="row"))
    factor = fit.noise.at_size(fit.posterior, design.log_size(design.rows))
    result: xr.DataArray = factor * by_row
    return result


def at_rows(fit: "Fit", design: Design | None = None) -> xr.DataArray:
    """Return the losses of the mean law at the rows of a design, by default the fit's; dims chain, draw, eval, row."""
    rows = (design or fit.model.design).rows
    return fit.loss(rows[list(dict.fromkeys([*fit.model.law.columns, *fit.model.design.groups]))])


def thinned(fit: "Fit", draws: int) -> "Fit":
    """Return the fit with about as many draws, or all where there are fewer."""
    sizes = fit.posterior.sizes
    return replace(fit, idata=fit.idata.isel(draw=slice(None, None, -(-sizes["chain"] * sizes["draw"] // draws))))
