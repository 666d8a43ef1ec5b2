"""What the shape prior holds a law to: falling where the paper says so, floors below what was observed."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

import numpy as np
import pytensor.xtensor as ptx
import xarray as xr

from bayeslaw.declare.laws import Law, call_with, maximum
from bayeslaw.declare.priors import Prior
from bayeslaw.spec.design import Design

__all__ = ["RISE", "Shape"]

RISE = 0.01
"""How soft the shape prior is: a rise of this many nats between neighbouring levels costs half a log unit."""

LEVELS = 7
"""Number of levels of a covariate between which the shape prior looks at the loss."""


@dataclass(frozen=True, eq=False)
class Shape:
    """The shape prior of a model; its methods take draws or, for PyMC, named symbols.

    Parameters
    ----------
    design : Design
        The runs, over whose range the law is held to its shape.
    priors : mapping
        The prior of every coefficient, whose dims are those of a floor.
    monotone : {"observed", "paper", None}
        See `bayeslaw.Model`.
    among : Design, optional
        More runs, whose range counts instead.
    """

    design: Design
    priors: Mapping[str, Prior]
    monotone: str | None
    among: Design | None = None

    @property
    def law(self) -> Law:
        """The law that has the shape."""
        return self.design.law

    @cached_property
    def grid(self) -> dict[str, xr.DataArray]:
        """Covariates in reference units at a few observed levels, every one with a dim of its own."""
        own = _levels(self.design)
        if self.among is None:
            return own
        groups = self.design.groups
        return {k: own[k] if k in groups else levels for k, levels in _levels(self.among).items()}

    def ends(self) -> dict[str, dict[str, xr.DataArray]]:
        """For each covariate the law should fall in: its levels, and the ends of the other covariates."""
        groups, result = self.design.groups, {}
        for name in self.law.falls_in:
            if self.grid[name].sizes.get(f"{name}_level", 0) > 1:
                result[name] = {
                    k: v if k == name or k in groups else v[[0, -1]] if len(v) > 1 else v for k, v in self.grid.items()
                }
        return result

    def rises(self, coefficients: Mapping[str, Any]) -> dict[str, Any]:
        """How much the law rises (nats) between neighbouring levels of each covariate it should fall in.

        The other covariates are at their smallest and largest observed level.
        """
        result = {}
        for name, ends in self.ends().items():
            loss = self.law(*(_like(v, coefficients) for v in ends.values()), **coefficients)
            dim, n = f"{name}_level", ends[name].sizes[f"{name}_level"]
            result[name] = loss.isel({dim: slice(1, n)}) - loss.isel({dim: slice(0, n - 1)})
        return result

    def violations(self, coefficients: Mapping[str, Any]) -> list[Any]:
        """Return what the prior holds at 0, give or take `RISE`."""
        floors = self.floors.items()
        above = [maximum(coefficients[k] - _like(lowest, coefficients), 0.0) for k, lowest in floors]
        if self.monotone == "observed":
            return above + [maximum(rise, 0.0) for rise in self.rises(coefficients).values()]
        if self.monotone == "paper":
            lowest = [float(v.min()) for v in self.grid.values()]
            return above + [maximum(-margin(*lowest, **coefficients), 0.0) for margin in self.margins.values()]
        return above

    @cached_property
    def margins(self) -> dict[str, Law]:
        """The amounts that the paper's sufficient condition keeps above 0, as functions of all that the law takes."""
        law = self.law
        assert law.sufficient_shape is not None
        names = call_with(
            law.sufficient_shape, dict.fromkeys(law.covariates, 1.0), dict.fromkeys(law.coefficients, 1.0)
        )
        return {k: replace(law, function=_margin(law.function, law.sufficient_shape, k)) for k in names}

    @cached_property
    def floors(self) -> dict[str, xr.DataArray]:
        """The lowest observed loss that each floor of the law has to stay below, with the floor's dims."""
        design, result = self.design, {}
        for name, coefficient in self.law.coefficients.items():
            if coefficient.floor:
                groups = [str(g) for g in self.priors[name].dims if g != "eval"]
                losses = design.rows["loss"].to_dataframe().reset_index()
                for g in groups:
                    losses[g] = design.rows[g].values[losses["row"]]
                lowest = losses.groupby(["eval", *groups])["loss"].min().to_xarray().fillna(np.inf)
                result[name] = lowest.sel({"eval": design.evals, **{g: design.groups[g] for g in groups}})
        return result


@cache
def _margin(function: Callable[..., Any], condition: Callable[..., Mapping[str, Any]], name: str) -> Callable[..., Any]:
    """Return one amount of a condition as a function that takes what a law's does; the same one every time."""
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
        if own := [dim for dim in v.dims if dim in d.over]:
            seen = np.unique(v.transpose("row", *own).values[d.measured.any("eval").values], axis=0)
            few = np.linspace(0, len(seen) - 1, min(LEVELS, len(seen))).round().astype(int)
            labels = {dim: d.over[str(dim)] for dim in own}
            grid[name] = xr.DataArray(seen[few], dims=(f"{name}_level", *own), coords=labels)
            continue
        v, measured = xr.broadcast(v, d.measured)
        seen = np.unique(v.values[measured.values].round(12))
        if name in d.groups:
            grid[name] = xr.DataArray(np.unique(v.values), dims=name)
            continue
        if len(seen) > LEVELS:
            seen = seen[np.linspace(0, len(seen) - 1, LEVELS).round().astype(int)]
        grid[name] = xr.DataArray(seen, dims=f"{name}_level")
    return grid


def _like(values: xr.DataArray, coefficients: Mapping[str, Any]) -> Any:
    """Return numbers as the coefficients are: named arrays, or symbols."""
    if isinstance(next(iter(coefficients.values())), xr.DataArray):
        return values
    return ptx.as_xtensor(values.values, dims=[str(d) for d in values.dims])
