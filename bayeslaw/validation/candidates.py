"""Candidates for the next run: a table or a grid of plans, what each costs, and the runs that some would continue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import named_values
from bayeslaw.base.numbers import amount, exact
from bayeslaw.decisions.compute import FLOPS_PER_PARAMETER
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import columns_of
from bayeslaw.spec.ranges import inside, ranges
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.mixtures import PREFIX
from bayeslaw.tables.reading import Table, as_text, numeric, read_table, refuse, row
from bayeslaw.tables.runs import LABELS

__all__ = ["CANDIDATE", "FLOPS", "Candidates", "spent"]

CANDIDATE = "candidate"
"""The column with equal labels for the rows of one candidate: the checkpoints of one run."""

FLOPS = "FLOPs"
"""The unit of costs, where a table names no column of them."""

SAME = 1e-9
"""Relative difference up to which a continued run keeps a number."""

RUNS = "runs"
"""The unit of costs of a law that knows neither sizes nor tokens, where a table has none and names no costs."""

MOST_CHECKPOINTS = 8
"""Measurements of one candidate that are counted; those between add little."""

MOST_CANDIDATES = 5000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Plans of runs.

    Attributes
    ----------
    table : pandas.DataFrame
        One row for each candidate, its last one, with the columns that were given and ``cost``.
    columns : xarray.Dataset
        The columns of the law and its groups at all rows.
    rows : list of array
        Numbers of the rows of each candidate.
    measured : xarray.DataArray
        (row, eval): the losses that a fit would use, those inside the law's range.
    continued : list of str
        The run that each candidate continues; empty for a new run.
    unit : str
        Of the costs.
    """

    table: pd.DataFrame
    columns: xr.Dataset
    rows: Sequence[np.ndarray]
    measured: xr.DataArray
    continued: Sequence[str]
    unit: str

    @classmethod
    def of(cls, fit: Posterior, given: Table | Mapping[str, Any], cost: str | None) -> "Candidates":
        """Read candidates for the runs of a fit.

        Raises
        ------
        DataError, RangeError, UnknownName
            There is none, or none in the law's range; a column or label is missing, not known or not possible; a run
            is not continued but cut short or changed; a cost is not above 0.
        """
        table = _crossed(given) if isinstance(given, Mapping) else _read(fit, given)
        if not len(table):
            raise DataError("candidates is empty: give at least one run that could be made")
        table, by = _understood(fit, table)
        path = fit.model.law.path
        along = numeric(table, path) if path in table else pd.Series(0.0, table.index)
        order = np.lexsort([along, by])
        table, by = table.iloc[order].reset_index(drop=True), by[order]
        whole = [np.flatnonzero(by == n) for n in range(by.max() + 1)]
        _check_checkpoints(fit, table, whole)
        rows = [_spread(each) for each in whole]
        if len(rows) > MOST_CANDIDATES:
            raise RangeError(f"candidates holds {amount(len(rows))} runs: give at most {amount(MOST_CANDIDATES)}")
        law, columns = fit.model.law, columns_of(fit, table)
        cells = xr.DataArray(np.ones((len(table), len(fit.evals)), bool), dims=("row", "eval"))
        holds = inside(law, fit.model.design.with_evals(columns)).reset_coords(drop=True)
        measured = (cells & (holds | (fit.model.outside == "include"))).transpose("row", "eval")
        if not measured.any():
            raise RangeError(
                f"no candidate lies in the range of {law.name} ({ranges(law)}): give one within it, or fit with "
                "outside='include'"
            )
        last = table.iloc[[r[-1] for r in rows]].reset_index(drop=True)
        continued = [str(run) for run in last["run"]] if "run" in last and "step" not in last else [""] * len(rows)
        costs, unit = _costs(fit, last, continued, cost)
        last = last.drop(columns=["cost"], errors="ignore").assign(cost=costs)
        return cls(last, columns, rows, measured, continued, unit)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def outside(self) -> int:
        """Number of candidates of which no loss lies in the law's range."""
        measured = self.measured.any("eval").values
        return sum(not measured[rows].any() for rows in self.rows)


def _crossed(given: Mapping[str, Any]) -> pd.DataFrame:
    """Return the grid of levels of columns."""
    levels = named_values(given, "candidates", "candidates={'N': [1e9, 3e9], 'D': [1e10, 1e11]}")
    each = {c: np.atleast_1d(np.asarray(v)) for c, v in levels.items()}
    if bad := [c for c, v in each.items() if v.ndim > 1 or not v.size]:
        raise DataError(f"{bad[0]} of the candidates has the shape {each[bad[0]].shape}: give a list of levels")
    if (count := np.prod([float(v.size) for v in each.values()])) > MOST_CANDIDATES:
        raise RangeError(f"the grid has {amount(count)} candidates: give at most {amount(MOST_CANDIDATES)}")
    if not each:
        return pd.DataFrame()
    return pd.MultiIndex.from_product(list(each.values()), names=list(each)).to_frame(index=False)


def spent(fit: Posterior) -> pd.Series | None:
    """Return the FLOPs of every run of a fit, 6 N D; None where its table has no sizes or tokens."""
    runs = fit.model.runs.table
    if not {"N", "D"} <= set(runs):
        return None
    of_run: pd.Series = (FLOPS_PER_PARAMETER * runs["N"] * runs["D"]).groupby(runs["run"], sort=False).max()
    return of_run


def _read(fit: Posterior, given: Table) -> pd.DataFrame:
    labels = [c for c, known in fit.model.design.groups.items() if known.dtype.kind not in "fiub"]
    return read_table(given, [*LABELS, *labels]).reset_index(drop=True)


def _understood(fit: Posterior, table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the table with all columns of the law, and the number of the candidate of every row."""
    law = fit.model.law
    if law.kind == "schedule" and not set(law.columns) <= set(table):
        table = curve_columns(table, fit.model.runs)
    else:
        table = _continued(fit, table) if "run" in table else table
    by = CANDIDATE if CANDIDATE in table else "run" if "step" in table else None
    return table, np.arange(len(table)) if by is None else np.asarray(pd.factorize(table[by])[0])


def _continued(fit: Posterior, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with what it leaves out of the runs that it continues."""
    path, runs = fit.model.law.path, fit.model.runs.sorted_along(fit.model.law.path).table
    last = runs.drop_duplicates("run", keep="last")
    known = dict(zip(last["run"].astype(str), _records(last), strict=True))
    identity = (*fit.model.law.columns, *fit.model.design.groups, "N", "domain")
    own = [c for c in map(str, runs.columns) if c != path and (c in identity or c.startswith(PREFIX))]
    named = ["" if pd.isna(run) else as_text(run).strip() for run in table["run"]]
    rows = _records(table.assign(run=named))
    for number, plan in enumerate(rows):
        if (run := plan["run"]) == "":
            continue
        if run not in known:
            raise DataError(
                f"{unknown_name('run to continue', run, known)}; a new run has no name in the column run (the column "
                f"{CANDIDATE} holds together the rows of one)"
            )
        before = known[run]
        for column in own:
            if pd.isna(given := plan.get(column)):
                plan[column] = before[column]
            elif not _alike(given, before[column]):
                raise DataError(
                    f"row {number} (counted from 0) continues {run!r} with {column} {given}, where the run has "
                    f"{before[column]}: leave it out"
                )
        if path in before and not (further := plan.get(path, np.nan)) > before[path]:
            raise DataError(
                f"row {number} (counted from 0) continues {run!r} to {path} {exact(further)}, where the run is at "
                f"{exact(before[path])}: give more"
            )
    return pd.DataFrame(rows)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(c): value for c, value in row.items()} for row in table.to_dict("records")]


def _alike(one: Any, other: Any) -> bool:
    if isinstance(other, str):
        return as_text(one) == other
    return bool(np.isclose(float(one), float(other), rtol=SAME, atol=0))


def _check_checkpoints(fit: Posterior, table: pd.DataFrame, rows: Sequence[np.ndarray]) -> None:
    """Refuse a candidate whose rows are not the checkpoints of one run."""
    path = fit.model.law.path
    same = [c for c in (*fit.model.law.columns, *fit.model.design.groups) if c in table and c != path]
    label = CANDIDATE if CANDIDATE in table else "run"
    for some in (table.iloc[each] for each in rows if len(each) > 1):
        called = f"the candidate {some[label].iloc[0]!r}"
        if path in table and some[path].duplicated().any():
            at = exact(some[path][some[path].duplicated()].iloc[0])
            raise DataError(f"{called} has several rows with {path} {at}: give each checkpoint of a run once")
        if fit.model.law.kind != "schedule" and (several := [c for c in same if some[c].nunique() > 1]):
            raise DataError(
                f"{called} has several values of {several[0]}: the rows of a candidate are checkpoints of one run, "
                f"which differ in {path} only"
            )


def _spread(rows: np.ndarray) -> np.ndarray:
    """Return the rows of one candidate, or some of them, the last one included."""
    if len(rows) <= MOST_CHECKPOINTS:
        return rows
    picked: np.ndarray = rows[np.unique(np.geomspace(1, len(rows), MOST_CHECKPOINTS).round().astype(int) - 1)]
    return picked


def _costs(fit: Posterior, last: pd.DataFrame, continued: Sequence[str], column: str | None) -> tuple[pd.Series, str]:
    """Return what each candidate costs from now on, and the unit."""
    if column is not None:
        named = numeric(last, column)
        refuse(named, named <= 0, "give what the run costs, above 0")
        return named, column
    if {"N", "D"}.isdisjoint([*last, *fit.model.law.columns]):
        return pd.Series(1.0, last.index), RUNS
    if missing := [c for c in ("N", "D") if c not in last]:
        raise DataError(
            f"the candidates have no {' and no '.join(missing)} to count FLOPs by (6 N D): add the missing columns, or "
            "name the column that holds the costs as cost"
        )
    tokens, runs = numeric(last, "D"), fit.model.runs.table
    seen = runs.assign(run=runs["run"].astype(str)).groupby("run")["D"].max() if "D" in runs else pd.Series(dtype=float)
    tokens = tokens - np.array([seen.get(run, 0.0) if run else 0.0 for run in continued])
    costs: pd.Series = FLOPS_PER_PARAMETER * numeric(last, "N") * tokens
    if (bad := costs <= 0).any():
        raise RangeError(
            f"the candidate in {row(bad)} costs {amount(float(costs[bad].iloc[0]))} {FLOPS}: give N and D above 0"
        )
    return costs, FLOPS
