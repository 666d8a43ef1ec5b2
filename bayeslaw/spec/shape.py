"""The shape prior: the loss falls in the covariates that the paper names; floors lie below the observed losses."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.declare.algebra import maximum
from bayeslaw.declare.calls import call_with
from bayeslaw.declare.laws import Law
from bayeslaw.declare.priors import Prior
from bayeslaw.spec.design import Design

__all__ = ["RISE", "Shape"]

RISE = 0.01
"""Scale of the shape prior: a rise of this many nats between neighbouring levels costs half a log unit."""

MOST_LEVELS = 7
"""Levels of a covariate at which the shape prior evaluates the loss."""


@dataclass(frozen=True, eq=False)
class Shape:
    """The shape prior of a model; its methods take draws or, for PyMC, named symbols.

    Parameters
    ----------
    design : Design
        The runs; the shape prior covers their range.
    priors : mapping
        The prior of every coefficient, which has the dims of the coefficient.
    monotone : {"observed", "paper", None}
        See `bayeslaw.Model`.
    among : Design, optional
        Other runs, whose range is covered instead.
    """

    design: Design
    priors: Mapping[str, Prior]
    monotone: str | None
    among: Design | None = None

    @property
    def law(self) -> Law:
        """The law of the model."""
        return self.design.law

    @cached_property
    def grid(self) -> dict[str, xr.DataArray]:
        """Covariates in reference units at a few observed levels, each along a dim of its own."""
        own = _levels(self.design)
        if self.among is None:
            return own
        groups = self.design.groups
        return {k: own[k] if k in groups else levels for k, levels in _levels(self.among).items()}

    def ends(self) -> dict[str, dict[str, xr.DataArray]]:
        """Return, for each covariate in which the loss falls, its levels and both ends of the other covariates."""
        groups, result = self.design.groups, {}
        for name in self.law.falls_in:
            if self.grid[name].sizes.get(f"{name}_level", 0) > 1:
                result[name] = {
                    k: v if k == name or k in groups else v[[0, -1]] if len(v) > 1 else v for k, v in self.grid.items()
                }
        return result

    def rises(self, coefficients: Mapping[str, Any]) -> dict[str, Any]:
        """Return the rise of the loss (nats) between neighbouring levels of each covariate of `ends`."""
        result = {}
        for name, ends in self.ends().items():
            loss = self.law(*(_like(v, coefficients) for v in ends.values()), **coefficients)
            dim, n = f"{name}_level", ends[name].sizes[f"{name}_level"]
            result[name] = loss.isel({dim: slice(1, n)}) - loss.isel({dim: slice(0, n - 1)})
        return result

    def violations(self, coefficients: Mapping[str, Any]) -> list[Any]:
        """Return the amounts that the prior keeps at 0, with the scale `RISE`."""
        above = [maximum(coefficients[k] - _like(low, coefficients), 0.0) for k, low in self.floors.items()]
        return above + self.against_trends(coefficients)

    def against_trends(self, coefficients: Mapping[str, Any]) -> list[Any]:
        """Return the amounts of `violations` that `monotone` asks for, without the floors."""
        if self.monotone == "observed":
            return [maximum(rise, 0.0) for rise in self.rises(coefficients).values()]
        if self.monotone == "paper":
            lowest = [float(v.min()) for v in self.grid.values()]
            return [maximum(-margin(*lowest, **coefficients), 0.0) for margin in self.margins.values()]
        return []

    @cached_property
    def margins(self) -> dict[str, Law]:
        """The amounts that the paper's sufficient condition keeps above 0, as functions with the law's arguments."""
        law = self.law
        assert law.sufficient_shape is not None
        ones = (dict.fromkeys(names, 1.0) for names in (law.covariates, law.coefficients))
        names = call_with(law.sufficient_shape, *ones)
        return {k: replace(law, function=_margin(law.function, law.sufficient_shape, k)) for k in names}

    @cached_property
    def floors(self) -> dict[str, xr.DataArray]:
        """The lowest observed loss above each floor of the law, with the dims of the floor."""
        design, result = self.design, {}
        for name, coefficient in self.law.coefficients.items():
            if coefficient.floor:
                groups = [g for g in self.priors[name].dims or () if g != "eval"]
                losses = design.rows["loss"].to_dataframe().reset_index()
                for g in groups:
                    losses[g] = design.rows[g].values[losses["row"]]
                lowest = losses.groupby(["eval", *groups])["loss"].min().to_xarray().fillna(np.inf)
                result[name] = lowest.sel({"eval": design.evals, **{g: design.groups[g] for g in groups}})
        return result


@cache
def _margin(function: Callable[..., Any], condition: Callable[..., Mapping[str, Any]], name: str) -> Callable[..., Any]:
    """Return one amount of a condition as a function with a law's signature (cached: kernels are kept by function)."""
    signature = inspect.signature(function)
    covariates = [p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_ONLY]

    def margin(*values: Any, **coefficients: Any) -> Any:
        return call_with(condition, dict(zip(covariates, values, strict=True)), coefficients)[name]

    margin.__name__ = f"{condition.__name__}_{name}"
    margin.__signature__ = signature  # type: ignore[attr-defined]
    return margin


def _levels(d: Design) -> dict[str, xr.DataArray]:
    grid = {}
    for name, v in d.law.inputs(d.rows, d.reference).items():
        if name in d.groups:
            grid[name] = xr.DataArray(np.unique(v.values), dims=name)
            continue
        if own := [str(dim) for dim in v.dims if dim in d.over]:
            seen = np.unique(v.transpose("row", *own).values[d.measured.any("eval").values], axis=0)
        else:
            v, measured = xr.broadcast(v, d.measured)
            seen = np.unique(v.values[measured.values].round(12))
        few = np.linspace(0, len(seen) - 1, min(MOST_LEVELS, len(seen))).round().astype(int)
        grid[name] = xr.DataArray(seen[few], dims=(f"{name}_level", *own), coords={dim: d.over[dim] for dim in own})
    return grid


def _like(values: xr.DataArray, coefficients: Mapping[str, Any]) -> Any:
    """Return numbers in the type of the coefficients: named arrays or symbols."""
    if isinstance(next(iter(coefficients.values())), xr.DataArray):
        return values
    from pytensor.xtensor import as_xtensor

    return as_xtensor(values.values, dims=[str(d) for d in values.dims])
