"""What the questions have in common: their arguments, the loss along a line, and where it is smallest."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayeslaw import models
from bayeslaw.base.arguments import numbers
from bayeslaw.base.errors import LawError, RangeError, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.spec.design import inside, ranges

__all__ = [
    "POINTS",
    "Line",
    "given",
    "largest_run",
    "last_below",
    "minimise",
    "named",
    "of_largest_run",
    "open_columns",
    "where",
]

POINTS = 201
"""Points at which a line is looked at before a crossing or an optimum is refined."""

NAMED = ("N", "D", "domain_share", "domain")
"""Columns that decisions take by name."""

CELLS = 2_000_000
"""Losses held in memory at once while a line is looked at."""


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that are not None: what was asked."""
    return {k: v for k, v in arguments.items() if v is not None}


def where(labels: Mapping[str, Any] | None, **columns: Any) -> dict[str, Any]:
    """Return the columns and labels that a question fixes, those that are None left out."""
    return given(**columns, **(labels or {}))


def largest_run(fit: Posterior) -> xr.Dataset:
    """Return the row of the largest run: the most parameters times tokens, or the furthest along the law's path."""
    rows = fit.model.design.rows
    counted: list[str] = [c for c in ("N", "D") if c in fit.model.law.columns] or [
        c for c in (fit.model.law.path,) if c in rows
    ]
    size = sum(np.log(rows[c].values) for c in counted) if counted else rows["row"].values
    return rows.isel(row=int(np.argmax(size)))


def of_largest_run(fit: Posterior, *without: str) -> dict[str, Any]:
    """Return where the largest run is, as a decision is asked; columns left out are what is sought.

    What is a feature of a label (``k1`` of a domain) follows from the label.
    """
    law, groups, largest = fit.model.law, fit.model.design.groups, largest_run(fit)
    of = {c: covariate.of for c, covariate in law.covariates.items() if covariate.of}
    wanted = [c for c in dict.fromkeys([*law.columns, *groups, *of.values()]) if c not in (*without, *of)]
    at = {c: largest[c].item() if largest[c].ndim == 0 else largest[c] for c in wanted}
    labels = {c: at.pop(c) for c in list(at) if c in groups and c not in NAMED}
    return at | ({"labels": labels} if labels else {})


def named(value: Any, name: str) -> xr.DataArray:
    """Return a number, or a 1-d array with a dim of its own name, as a named array; above 0 or RangeError."""
    values = numbers(value, name)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise RangeError(f"{name} is {value}: give numbers above 0")
    return xr.DataArray(values, dims=[name] * values.ndim, coords={name: values} if values.ndim else None)


def open_columns(fit: Posterior, sought: Mapping[str, float], asked: Mapping[str, Any]) -> xr.Dataset:
    """Return the columns of a question, with any value in place of those that are sought.

    Raises
    ------
    LawError
        The law does not depend on what is sought, or says nothing between the levels of the runs.
    """
    law = fit.model.law
    if apart := [name for name in sought if name in fit.model.design.groups]:
        varying = [c for c, prior in fit.model.coefficient_priors.items() if apart[0] in (prior.dims or ())]
        raise LawError(
            f"{' and '.join(varying)} vary by {apart[0]}, so that the fit says nothing between the {apart[0]} of its "
            f"runs: fit without by={apart[0]!r} to choose {apart[0]}"
        )
    if missing := [name for name in sought if name not in law.columns]:
        known = models.such_as(lambda law: set(sought) <= set(law.columns))
        raise LawError(
            f"the law {law.name} does not depend on {' and '.join(missing)}: ask a law that does, such as {known}"
        )
    columns: xr.Dataset = fit.columns(**{**sought, **asked})
    return columns


@dataclass(frozen=True)
class Line:
    """The loss of one validation set along a line through the covariates, by position in [0, 1].

    Attributes
    ----------
    fit : Fit
        The posterior.
    eval : str
        The validation set.
    at : callable
        Table columns (a Dataset) at positions (named array with any dims, those of the draws included).
    ends : tuple of float
        Ends of the line that may be looked at, before the law's range is applied.

    Raises
    ------
    UnknownName
        The fit has no such validation set.
    """

    fit: Posterior
    eval: str
    at: Callable[[xr.DataArray], xr.Dataset]
    ends: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if self.eval not in self.fit.evals:
            raise unknown_name("validation set", self.eval, self.fit.evals)

    def loss(self, position: xr.DataArray) -> xr.DataArray:
        """Return the mean loss (nats) of every draw; dims (chain, draw), those of the question and of `position`."""
        loss: xr.DataArray = self.fit.loss(self.at(position)).sel(eval=self.eval, drop=True)
        return loss.reset_coords(drop=True)

    def grid(self) -> xr.DataArray:
        """Return the positions to look at: the part of the line where the law is claimed to hold.

        Raises
        ------
        RangeError
            The law holds nowhere on the line.
        """
        low, high = self.ends
        if self.fit.model.outside != "include":
            law = self.fit.model.law
            positions = xr.DataArray(np.linspace(0, 1, 1001), dims="grid")
            positions = positions[(positions >= low) & (positions <= high)]
            holds = inside(law, self.at(positions).assign_coords(eval=self.eval))
            holds = holds.all([d for d in holds.dims if d != "grid"]).broadcast_like(positions)
            if holds.sum() < 2:
                raise RangeError(
                    f"the question lies outside the range of {law.name} ({ranges(law)}); ask within it, or fit with "
                    "outside='include'"
                )
            low, high = (float(positions[holds.values][i]) for i in (0, -1))
        return xr.DataArray(np.linspace(low, high, POINTS), dims="grid")

    @staticmethod
    def scan(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
        """Return the function on the grid (dim ``grid``), evaluated a piece at a time so that memory stays bounded."""
        length = max(1, CELLS // function(grid[:1]).size)
        values = [function(grid[start : start + length]) for start in range(0, grid.size, length)]
        return xr.concat(values, "grid", join="exact", coords="minimal", compat="override")


def minimise(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
    """Return where each element of a function of position is smallest on the grid's range.

    The grid's best point and its neighbours bracket an optimum inside; an optimum at an end of the grid is that end,
    exactly.
    """
    best = Line.scan(function, grid).fillna(np.inf).argmin("grid")
    optimum = grid.isel(grid=best)
    inner = np.flatnonzero((best > 0) & (best < grid.size - 1))
    points = best.values.ravel()[inner]
    bracket = tuple(grid.values[points + step] for step in (-1, 0, 1))
    return _refined(elementwise.find_minimum, function, optimum, inner, bracket)


def last_below(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
    """Return where each element of a function of position first rises above 0, coming from the grid's start.

    An element that is above 0 at the start gets the start, one that never is gets the end, both exactly.
    """
    below = Line.scan(function, grid) <= 0
    never, always = ~below.isel(grid=0, drop=True), below.all("grid")
    first = (~below).argmax("grid").clip(min=1)
    crossing = grid.isel(grid=first - 1).where(~always, grid[-1].item()).where(~never, grid[0].item())
    inner = np.flatnonzero(~(never | always))
    points = first.values.ravel()[inner]
    return _refined(elementwise.find_root, function, crossing, inner, (grid.values[points - 1], grid.values[points]))


def _refined(
    solver: Callable[..., Any],
    function: Callable[[xr.DataArray], xr.DataArray],
    positions: xr.DataArray,
    chosen: np.ndarray,
    bracket: tuple[np.ndarray, ...],
) -> xr.DataArray:
    """Return the positions with the chosen elements solved for, each in its own bracket."""
    if not chosen.size:
        return positions

    def at(position: np.ndarray, element: np.ndarray) -> np.ndarray:
        everywhere, some = positions.values.flatten(), element.astype(int)
        everywhere[some] = position
        values = function(positions.copy(data=everywhere.reshape(positions.shape)))
        chosen_values: np.ndarray = values.transpose(*positions.dims).values.ravel()[some]
        return chosen_values

    found = solver(at, bracket, args=(chosen.astype(float),))
    solved = positions.values.flatten()
    solved[chosen] = np.where(found.success, found.x, solved[chosen])
    return positions.copy(data=solved.reshape(positions.shape))
