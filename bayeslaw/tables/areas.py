"""Areas under the learning-rate schedules of runs: the covariates of curve laws."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.errors import BayeslawError, DataError, unknown_name
from bayeslaw.tables.power import PowerMemory, annealed_power
from bayeslaw.tables.reading import Table, as_text, numeric, read_table, texts
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import Schedule, from_table

__all__ = ["Schedules", "area_columns", "area_settings", "logged_schedules", "read_schedule", "with_areas"]

type Schedules = Schedule | Mapping[str, Schedule | None] | Table

ANNEALED = {"S2": "annealed", "S2pt": "annealed_pt", "S2cpt": "annealed_cpt"}
RATE_TOLERANCE = 0.01
"""A logged rate may differ from the schedule's, at most one step away, by this share of the peak."""


def area_settings(runs: Runs) -> Mapping[str, Any]:
    """Return `Runs.area_settings`.

    Raises
    ------
    DataError
        The runs are no curves.
    """
    if not runs.area_settings:
        raise DataError("these runs are no curves and have no settings of areas: read them with read_curves")
    return runs.area_settings


def area_columns(schedule: Schedule, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the areas under a schedule after every step, by the column names of the laws."""
    options = {k: settings[k] for k in ("memory", "warmup_counted", "tail")}
    columns = {str(name): area.values for name, area in schedule.areas(**options).data_vars.items()}
    return columns | {rate: (1 - settings["memory"]) * columns[S2] for S2, rate in ANNEALED.items() if S2 in columns}


def with_areas(
    frame: pd.DataFrame,
    schedule: Schedules | None,
    before: Schedules | None,
    warmup: int | None,
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Return the rows of curves with the areas under their schedules.

    Parameters
    ----------
    frame : DataFrame
        ``run``, ``step`` (rising within a run) and, without `schedule`, ``lr``.
    schedule, before, warmup
        As in `bayeslaw.read_curves`.
    settings : mapping
        See `area_settings`.

    Raises
    ------
    DataError
        A schedule is missing, too short, or not the one logged.
    """
    names = list(frame["run"].unique())
    if schedule is not None and warmup is not None:
        raise DataError("warmup= was given beside schedule=, which holds the warm-up: leave warmup= out")
    if schedule is None and "lr" not in frame:
        raise DataError("a curve needs a column 'lr' with the learning rate, or schedule= with the whole schedule")
    own = logged_schedules(frame, warmup) if schedule is None else _schedules("schedule", schedule, names)
    first = {} if before is None else _schedules("before", before, names)
    power = PowerMemory(*(settings[f"power_{k}"] for k in ("C", "beta", "gamma")))
    known: dict[tuple[int, int], tuple[Schedule, dict[str, np.ndarray]]] = {}
    parts = []
    for run, rows in frame.groupby("run", sort=False):
        planned, start = own[str(run)], first.get(str(run))
        at = rows["step"].to_numpy(int)
        if at[0] == 0 and start is None:
            raise DataError(f"a row of {run!r} is at step 0, before any training: leave it out")
        if at[-1] > len(planned):
            raise DataError(
                f"the schedule of {run!r} ends at step {len(planned)} and its log goes on to step {at[-1]}: give the "
                "schedule to its end"
            )
        if "lr" in frame and schedule is not None:
            _check_agreement(str(run), at, rows["lr"].to_numpy(float), planned.lr)
        key = (id(planned), id(start))
        if key not in known:
            alone = planned if before is None else replace(planned, transfer=len(planned))
            whole = alone if start is None else start.then(planned)
            known[key] = whole, area_columns(whole, settings)
        whole, areas = known[key]
        done = at + (0 if start is None else len(start))
        columns = {name: area[done - 1] for name, area in areas.items()}
        columns["annealed_power"] = annealed_power(whole, done, power, settings["warmup_counted"])
        lr = rows["lr"] if "lr" in frame else planned.lr[at - 1]
        length = planned.warmups[0][1] if planned.warmups and planned.warmups[0][0] == 0 else 0
        parts.append(rows.assign(lr=lr, **columns, warmup=length))
    return pd.concat(parts).loc[frame.index]


@checked
def read_schedule(table: Table, *, warmup: int | None = None, called: str | None = None) -> Schedule:
    """Return the schedule in a table of ``step`` and ``lr``: straight lines between its rows.

    Parameters
    ----------
    table : DataFrame or path
        From step 1 on; with `warmup` it may start later.
    warmup : int, optional
        As in `schedules.from_table`.
    called : str, optional
        Name of the table in error sentences; left out: its path.

    Raises
    ------
    DataError
        The table holds no schedule.
    """
    called = called or (str(table) if isinstance(table, str | Path) else "the table")
    frame = read_table(table)
    if not len(frame):
        raise DataError(f"{called} has no rows: give step and lr")
    try:
        step, lr = numeric(frame, "step"), numeric(frame, "lr")
        found = from_table(step, lr, warmup=warmup)
    except BayeslawError as e:
        raise DataError(f"{called}: {e}") from None
    if warmup is None and step.iloc[0] > 1:
        raise DataError(
            f"{called} starts at step {step.iloc[0]:g}: give the steps of the warm-up with warmup=STEPS (0: no "
            "warm-up), or the schedule from step 1 on"
        )
    return found


def logged_schedules(frame: pd.DataFrame, warmup: int | None) -> dict[str, Schedule]:
    """Return the schedule of every run as straight lines between its logged rates."""
    found = {}
    for run, rows in frame[frame["step"] > 0].groupby("run", sort=False):
        own = None if warmup is None else min(warmup, int(rows["step"].iloc[-1]))
        found[str(run)] = read_schedule(rows.drop_duplicates("step"), warmup=own, called=f"the log of {run!r}")
    return found


def _schedules(what: str, given: Schedules, runs: Sequence[str]) -> dict[str, Any]:
    """Return one schedule per run (None: no such stage); equal schedules of several runs are one object."""
    if isinstance(given, Schedule):
        return dict.fromkeys(runs, given)
    if isinstance(given, Mapping):
        by_run = {as_text(k): v for k, v in given.items()}
    else:
        table = read_table(given, ["run"])
        if "run" not in table:
            return dict.fromkeys(runs, read_schedule(table, called=f"the table given for {what}"))
        table = table.assign(run=texts(table, "run"), step=numeric(table, "step"), lr=numeric(table, "lr"))
        named = table.groupby("run", sort=False)
        by_run = {str(run): read_schedule(rows, called=f"{what} of {run!r}") for run, rows in named}
    for run in runs:
        if run not in by_run:
            raise DataError(f"{what}: {unknown_name('schedule for the run', run, by_run)}")
        if not (isinstance(by_run[run], Schedule) or (what == "before" and by_run[run] is None)):
            raise DataError(
                f"{what} of {run!r} is {by_run[run]!r}: make it with bl.schedules, for example schedules.cosine"
            )
    return by_run


def _check_agreement(run: str, step: np.ndarray, lr: np.ndarray, planned: np.ndarray) -> None:
    near = [planned[np.clip(step - 1 + shift, 0, len(planned) - 1)] for shift in (-1, 0, 1)]
    off = np.min([np.abs(lr - n) for n in near], axis=0) > RATE_TOLERANCE * planned.max()
    if off.any():
        i = int(np.argmax(off))
        raise DataError(
            f"schedule and log disagree: the run {run!r} has the rate {lr[i]:g} at step {step[i]}, its schedule "
            f"{planned[step[i] - 1]:g}; correct one of them"
        )
