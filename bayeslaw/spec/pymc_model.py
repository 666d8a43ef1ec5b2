"""The model as plain PyMC; the sampler's density equals its log density up to a constant."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pymc.dims as pmd
import xarray as xr
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.xtensor import as_xtensor

from bayeslaw.spec.shape import RISE
from bayeslaw.spec.specification import Specification

__all__ = ["pymc_model"]


def pymc_model(spec: Specification) -> pm.Model:
    """Return the model as a `pymc.Model`: priors, law, shape prior and errors."""
    d, shared = spec.design, _shared(spec)
    sizes = {dim: np.arange(n) for v in shared.values() for dim, n in zip(v.dims, v.shape, strict=True)}
    coords = sizes | {**(d.levels if d.on_grid else {}), **spec.coords}
    with pm.Model(coords=coords) as model:
        data = {k: pmd.Data(k, v.values, dims=v.dims) for k, v in shared.items()}
        plain = {k: p.create_variable(k) for k, p in spec.coefficient_priors.items()}
        coefficients = {k: as_xtensor(v, dims=spec.coefficient_priors[k].dims) for k, v in plain.items()}
        errors = {k: as_xtensor(p.create_variable(k), dims=p.dims or ()) for k, p in spec.other_priors.items()}
        if (penalty := _shape_penalty(spec, plain)) is not None:
            pm.Potential("shape", penalty)
        log_mean = pm.dims.math.log(
            spec.law(*(data[f"x_{c}"] for c in spec.law.covariates), **_by_row(spec, coefficients, data))
        )
        for name, process in spec.processes.items():
            log_mean = log_mean + process.value(errors, data[f"basis_{name}"])
        center, scale = _likelihood(spec, log_mean, errors, data)
        distribution = partial(pmd.StudentT, nu=5.0) if spec.noise.robust else pmd.Normal
        distribution("log_loss", mu=center, sigma=scale, observed=data["observed"])
    return model


def _shape_penalty(spec: Specification, coefficients: Mapping[str, Any]) -> Any:
    """Return the log density of the shape prior, None without one.

    It is made of plain arrays: a Potential of named ones has no gradient in PyMC 6.3. Placeholders keep the rewriting
    away from the random variables.
    """
    inputs = {k: v.type() for k, v in coefficients.items()}
    named = {k: as_xtensor(v, dims=spec.coefficient_priors[k].dims) for k, v in inputs.items()}
    violations = spec.shape.violations(named)
    if not violations:
        return None
    total = sum((v**2).sum() for v in violations)
    penalty: Any = rewrite_graph((-0.5 * total / RISE**2).values, include=("lower_xtensor",))
    return graph_replace(penalty, {inputs[k]: v for k, v in coefficients.items()}, strict=False)


def _shared(spec: Specification) -> dict[str, xr.DataArray]:
    """Return the data of the model: by row (and eval) for correlated errors, by measurement for independent ones."""
    d, noise = spec.design, spec.noise
    row, ev = d.cells["row"], d.cells["eval"]
    shared = {f"x_{k}": v for k, v in d.inputs().items()}
    shared |= {f"at_{dim}": xr.DataArray(position, dims="row") for dim, position in d.positions().items()}
    columns = d.columns()
    shared |= {f"basis_{k}": p.basis(columns).isel({p.dim: slice(p.sampled)}) for k, p in spec.processes.items()}
    if noise.batch:
        shared["at_batch"] = xr.DataArray(d.batches[1], dims="row")
    if noise.size_exponent is not None:
        shared["log_size"] = d.log_size(d.rows)
    if noise.correlated or noise.joint:
        dims = {"start": ("row",), "eval_number": ("eval",)}
        order = d.order() if noise.correlated else {"measured": d.order()["measured"]}
        shared |= {k: xr.DataArray(v, dims=dims.get(k, ("row", "eval"))) for k, v in order.items()}
        shared["log_loss_row"] = xr.ufuncs.log(d.rows["loss"].where(d.measured, 1.0).reset_coords(drop=True)).transpose(
            "row", "eval"
        )
        shared["cell_row"] = xr.DataArray(row, dims="measurement")
    else:
        shared = {k: v.isel(row=row).rename(row="measurement") if "row" in v.dims else v for k, v in shared.items()}
    shared["cell_eval"] = xr.DataArray(ev, dims="measurement")
    if d.known_error.any():
        shared["known_error"] = xr.DataArray(d.known_error[row, ev], dims="measurement")
    shared["observed"] = xr.DataArray(d.log_loss, dims="measurement")
    return shared


def _by_row(spec: Specification, coefficients: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the coefficients by group on the grid, by row otherwise."""
    if spec.design.on_grid:
        return dict(coefficients)
    return {k: c.isel({g: data[f"at_{g}"] for g in spec.design.groups if g in c.dims}) for k, c in coefficients.items()}


def _likelihood(
    spec: Specification, log_mean: Any, errors: Mapping[str, Any], data: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return the mean and scale of every measurement in the likelihood."""
    at = {dim: data[f"at_{dim}"] for dim in spec.design.positions() if dim in log_mean.dims}
    factor = spec.noise.at_size(errors, data["log_size"]) if "log_size" in data else 1.0
    batch = errors["batch_effect"] if spec.noise.batch else None
    if not (spec.noise.correlated or spec.noise.joint):
        scale = factor * errors["sigma"].isel(eval=data["cell_eval"])
        if "known_error" in data:
            scale = spec.noise.scale(scale, data["known_error"])
        center = log_mean.isel({**at, "eval": data["cell_eval"]})
        if batch is not None:
            center = center + factor * batch.isel(batch=data["at_batch"], eval=data["cell_eval"])
        return center, scale
    log_mean = log_mean.isel(at).transpose("row", "eval")
    if batch is not None:
        log_mean = log_mean + (factor * batch.isel(batch=data["at_batch"])).transpose("row", "eval")
    error = data["measured"] * (data["log_loss_row"] - log_mean) / factor
    ahead = spec.noise.one_step_ahead if spec.noise.correlated else spec.noise.same_step
    shift, scale = (factor * part for part in ahead(error, errors, data))
    cell = {"row": data["cell_row"], "eval": data["cell_eval"]}
    return (log_mean + shift).isel(cell), scale.isel(cell)
