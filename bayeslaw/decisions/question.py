"""What the decisions share: their arguments, the loss along a line of the covariates, its minimum and crossing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import elementwise

from bayeslaw import models
from bayeslaw.base.arguments import named_values, some_numbers
from bayeslaw.base.numbers import exact
from bayeslaw.base.words import span
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import LawError, RangeError, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.spec.ranges import each_inside, inside, ranges
from bayeslaw.tables.plausible import check_count

__all__ = [
    "END_ROUNDING",
    "LINE_POINTS",
    "Line",
    "evals_asked",
    "general_sets",
    "given",
    "largest_run",
    "last_below",
    "minimise",
    "named",
    "of_largest_run",
    "of_one_role",
    "only_eval",
    "open_columns",
    "require",
    "sets_of",
    "where",
]

LINE_POINTS = 201
"""Points of the grid on a line, between which a crossing or an optimum is refined."""

END_ROUNDING = 1e-9
"""Relative distance from an end of a searched range within which a draw counts as censored at that end."""

OWN_ARGUMENTS = ("N", "D", "U", "domain_share", "domain")
"""Columns that are arguments of decisions; other columns of groups go into ``labels``."""

MOST_CELLS = 2_000_000
"""Losses held in memory at once while a line is scanned."""

OPEN = {"N": 1e9, "D": 1e9, "domain_share": 0.5, "duration": 0.0}
"""Placeholders of columns that a decision seeks."""


def given(**arguments: Any) -> dict[str, Any]:
    """Return the arguments that are not None."""
    return {k: v for k, v in arguments.items() if v is not None}


def where(labels: Mapping[str, Any] | None, **columns: Any) -> dict[str, Any]:
    """Return the columns and labels that a question fixes, without those that are None."""
    own = named_values(labels or {}, "labels", "labels={'language': 'de'}")
    if twice := [name for name in own if name in columns]:
        raise RangeError(f"labels holds {twice[0]!r}, which is an argument of its own: give {twice[0]}=")
    return given(**columns, **own)


def sets_of(fit: Posterior, name: str) -> list[str]:
    """Return the validation set of a name, or those with the role of that name; none if there are neither."""
    return [name] if name in fit.evals else fit.model.design.of_role(name)


def _sets_named(fit: Posterior, name: str) -> list[str]:
    """Return the same; raise UnknownName if there are none."""
    if found := sets_of(fit, name):
        return found
    raise unknown_name("validation set", name, fit.evals)


def of_one_role(fit: Posterior, name: str) -> list[str]:
    """Return the validation sets with the role of one."""
    design = fit.model.design
    return design.of_role(design.roles[fit.evals.index(name)])


def general_sets(fit: Posterior, eval: str | Sequence[str] | None) -> list[str]:
    """Return the validation sets asked for, all of one role; by default the general ones."""
    design = fit.model.design
    if eval is None:
        return design.of_role("general") or _sets_named(fit, "general")
    names = [eval] if isinstance(eval, str) else eval
    if not names:
        raise RangeError("eval is empty: give at least one validation set")
    sets = list(dict.fromkeys(one for name in names for one in _sets_named(fit, name)))
    if other := [name for name in sets if name not in of_one_role(fit, sets[0])]:
        raise RangeError(f"{sets[0]!r} and {other[0]!r} have different roles: ask for validation sets of one role")
    return sets


def only_eval(fit: Posterior, eval: str | None) -> str:
    """Return the validation set asked for, by its name or role; if None, the only one of the fit, else ``domain``.

    Raises
    ------
    RangeError
        Several have the role; or None is asked for, and the fit has several of which none is of the domain.
    """
    first, *others = evals_asked(fit, eval)
    if others:
        raise RangeError(f"the fit has several losses: name one, eval={' or '.join(map(repr, (first, *others)))}")
    return first


def evals_asked(fit: Posterior, eval: str | None) -> list[str]:
    """Return the validation set asked for, or those that a question about one loss may mean."""
    if eval is not None:
        return _sets_named(fit, eval)
    return [name for name in fit.evals if name == "domain"] or fit.model.design.of_role("domain") or list(fit.evals)


def largest_run(fit: Posterior) -> xr.Dataset:
    """Return the row of the largest run: the largest model size times tokens, or the last along the law's path."""
    rows, law = fit.model.design.rows, fit.model.law
    counted: list[str] = [c for c in ("N", "D") if c in law.columns] or [c for c in (law.path,) if c in rows]
    size = sum(np.log(rows[c].values) for c in counted) if counted else rows["row"].values
    return rows.isel(row=int(np.argmax(size)))


def of_largest_run(fit: Posterior, *without: str) -> dict[str, Any]:
    """Return the covariates and labels of the largest run, as arguments of a decision.

    Columns of `without` are left out; features of a label (``k1`` of a domain) follow from the label.
    """
    law, groups, largest = fit.model.law, fit.model.design.groups, largest_run(fit)
    of = {c: covariate.of for c, covariate in law.covariates.items() if covariate.of}
    wanted = [c for c in dict.fromkeys([*law.columns, *groups, *of.values()]) if c not in (*without, *of)]
    at = {c: largest[c].item() if largest[c].ndim == 0 else largest[c] for c in wanted}
    labels = {c: at.pop(c) for c in list(at) if c in groups and c not in OWN_ARGUMENTS}
    return at | ({"labels": labels} if labels else {})


def named(value: Any, name: str) -> xr.DataArray:
    """Return a number or a 1-d array, all above 0, as an array whose dim has the argument's name."""
    values = some_numbers(value, name)
    if not (values > 0).all():
        raise RangeError(f"{name} is {exact(values[values <= 0].flat[0])}: give numbers above 0")
    check_count(name, values)
    return xr.DataArray(values, dims=[name] * values.ndim, coords={name: values} if values.ndim else None)


def open_columns(fit: Posterior, asked: Mapping[str, Any], *sought: str) -> xr.Dataset:
    """Return the columns of a question without those that are sought; LawError if it cannot be put to the fit."""
    law, groups = fit.model.law, fit.model.design.groups
    if column := next((name for name in sought if name in groups), None):
        varying = [c for c, prior in fit.model.coefficient_priors.items() if column in (prior.dims or ())]
        raise LawError(
            f"{' and '.join(varying)} have one value for each {column}, and the fit knows no other {column} than "
            f"those of its runs: fit without by={column!r} to choose {column}"
        )
    require(law, *sought)
    sources = fit.model.design.over["source"] if WEIGHT in sought else ()
    even = dict.fromkeys(sources, 1 / max(len(sources), 1))
    placeholders = {name: even if name == WEIGHT else OPEN[name] for name in sought}
    if twice := [name for name in sought if name in asked]:
        raise RangeError(f"{twice[0]} is the answer of the question: leave it out of labels")
    columns: xr.Dataset = fit.columns(**placeholders, **asked).drop_vars(sought)
    return columns


def require(law: Law, *columns: str) -> None:
    """Raise a LawError if the law does not depend on all columns."""
    if missing := [name for name in columns if name not in law.columns]:
        known = models.such_as(lambda law: set(columns) <= set(law.columns))
        raise LawError(
            f"the law {law.name} does not depend on {' and '.join(missing)}: use a law that does, such as {known}"
        )


@dataclass(frozen=True)
class Line:
    """The loss of one validation set along a line through the covariates, as a function of the position in [0, 1].

    `at` returns the table's columns at positions (a named array with any dims); `ends` are the searched positions, as
    far as the law's range allows.
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
        loss: xr.DataArray = self.fit.loss(self.at(position)).sel(eval=self.eval).reset_coords(drop=True)
        return loss

    def error(self, columns: xr.Dataset, seed: int) -> xr.DataArray:
        """Return the error of one new run at those columns, as a factor of every draw's loss."""
        error: xr.DataArray = xr.ufuncs.exp(self.fit.error(seed, columns).sel(eval=self.eval))
        return error.reset_coords(drop=True)

    def grid(self) -> xr.DataArray:
        """Return the searched positions: the part of the line inside the law's range."""
        low, high = self.ends
        if self.fit.model.outside != "include":
            positions, holds = self._holds()
            everywhere = holds.all([d for d in holds.dims if d != "grid"]).broadcast_like(positions)
            if everywhere.sum() < 2:
                law, why = self.fit.model.law, self._why(positions, holds)
                raise RangeError(
                    f"the question lies outside the range of {law.name} ({ranges(law)}){why}; ask within it, or fit "
                    "with outside='include'"
                )
            low, high = (float(positions[everywhere.values][i]) for i in (0, -1))
        return xr.DataArray(np.linspace(low, high, LINE_POINTS), dims="grid")

    def narrowed(self) -> tuple[str, ...]:
        """Say that some question of several, asked alone, would be searched further than all are together."""
        if self.fit.model.outside == "include":
            return ()
        positions, holds = self._holds()
        several = [d for d in holds.dims if d != "grid"]
        if not (holds.any(several) & ~holds.all(several)).any():
            return ()
        law = self.fit.model.law
        return (
            f"only what lies within the range of {law.name} for all values asked about is searched: ask one by one",
        )

    def _holds(self) -> tuple[xr.DataArray, xr.DataArray]:
        """Return the positions that may be searched, and where the question is in the law's range there."""
        low, high = self.ends
        positions = xr.DataArray([x for x in np.linspace(0, 1, 1001) if low <= x <= high], dims="grid")
        return positions, inside(self.fit.model.law, self._rows(positions))

    def _rows(self, positions: xr.DataArray) -> xr.Dataset:
        rows: xr.Dataset = self.fit.model.design.with_evals(self.at(positions)).sel(eval=self.eval)
        return rows

    def _why(self, positions: xr.DataArray, holds: xr.DataArray) -> str:
        """Return which covariate is nowhere in its range where the others are in theirs, and its values there."""
        law, counts = self.fit.model.law, holds.sum("grid")
        worst = counts.argmin([*counts.dims]) if counts.dims else {}
        rows = self._rows(positions).isel(worst, missing_dims="ignore")
        values, each = law.inputs(rows, dict.fromkeys(law.covariates, 1.0)), each_inside(law, rows)
        for name, own in reversed(each.items()):
            rest = reduce(and_, (other for c, other in each.items() if c != name), xr.DataArray(True))
            there = values[name].where(rest)
            if there.notnull().any() and not (own & rest).any():
                return f", with {span(name, there.values[there.notnull().values])}"
        return ""

    @staticmethod
    def scan(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
        """Return the function on the grid (dim ``grid``), evaluated in pieces that bound the memory."""
        length = max(1, MOST_CELLS // function(grid[:1]).size)
        values = [function(grid[start : start + length]) for start in range(0, grid.size, length)]
        return xr.concat(values, "grid", join="exact", coords="minimal", compat="override")


def minimise(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
    """Return the position of the minimum of every element of a function, within the grid's range.

    The best point of the grid and its neighbours bracket an interior optimum; an optimum at an end is exactly that end.
    """
    best = Line.scan(function, grid).fillna(np.inf).argmin("grid")
    inner = np.flatnonzero((best > 0) & (best < grid.size - 1))
    points = best.values.ravel()[inner]
    bracket = tuple(grid.values[points + step] for step in (-1, 0, 1))
    return _refined(elementwise.find_minimum, function, grid.isel(grid=best), inner, bracket)


def last_below(function: Callable[[xr.DataArray], xr.DataArray], grid: xr.DataArray) -> xr.DataArray:
    """Return the position at which every element of a function first rises above 0, from the grid's start.

    The result is exactly the start where the function is above 0 there, and exactly the end where it never is.
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
    """Return the positions, the chosen elements solved for in their brackets."""

    def changed(elements: np.ndarray, values: np.ndarray) -> xr.DataArray:
        everywhere = positions.values.flatten()
        everywhere[elements] = values
        return positions.copy(data=everywhere.reshape(positions.shape))

    def at(position: np.ndarray, element: np.ndarray) -> np.ndarray:
        some = element.astype(int)
        values: np.ndarray = function(changed(some, position)).transpose(*positions.dims).values.ravel()[some]
        return values

    if not chosen.size:
        return positions
    found = solver(at, bracket, args=(chosen.astype(float),))
    return changed(chosen, np.where(found.success, found.x, positions.values.ravel()[chosen]))
