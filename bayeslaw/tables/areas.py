"""The areas under the learning-rate schedules of runs, as columns that laws of training curves ask for."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.errors import DataError, RangeError, unknown_name
from bayeslaw.tables.power import PowerMemory, annealed_power
from bayeslaw.tables.reading import read_table
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import Schedule, from_table

__all__ = ["AREAS", "SETTINGS", "Schedules", "area_columns", "area_settings", "with_areas"]

type Schedules = Schedule | Mapping[str, Schedule | None] | pd.DataFrame | str | Path

ANNEALED = {"S2": "annealed", "S2pt": "annealed_pt", "S2cpt": "annealed_cpt"}
AREAS = ("S1", "S1pt", "S1cpt", *ANNEALED, *ANNEALED.values(), "annealed_power")
SETTINGS = ("memory", "warmup_counted", "tail", "power_C", "power_beta", "power_gamma")
AGREE = 0.01
"""A logged rate may differ from the schedule's by this share of the peak, and by one step."""


def area_settings(runs: Runs) -> dict[str, Any]:
    """Return how the areas of those curves were computed: the options of `Schedule.areas`, and the power memory.

    Raises
    ------
    DataError
        They are no curves.
    """
    if missing := [c for c in SETTINGS if c not in runs.table]:
        raise DataError(f"these runs have no column {missing[0]!r}, so they are no curves: read them with read_curves")
    return {c: runs.table[c].iloc[0] for c in SETTINGS}


def area_columns(schedule: Schedule, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the areas under a schedule after every step, by the names of the columns that laws ask for."""
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
    """Return the rows of curves with the areas under their schedules, computed with those settings.

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
    frame = frame.drop(columns=[*AREAS, *settings], errors="ignore")
    names = list(frame["run"].unique())
    if schedule is not None and warmup is not None:
        raise DataError("the warm-up is part of the schedule: leave warmup= out")
    if schedule is None and "lr" not in frame:
        raise DataError("a curve needs a column 'lr' with the learning rate, or schedule= with the whole schedule")
    own = _logged(frame, warmup) if schedule is None else _schedules("schedule", schedule, names)
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
    return pd.concat(parts).loc[frame.index].assign(**settings)


def _logged(frame: pd.DataFrame, warmup: int | None) -> dict[str, Schedule]:
    """Return the schedule of every run as straight lines between its logged rates."""
    found = {}
    for run, rows in frame[frame["step"] > 0].groupby("run", sort=False):
        rows = rows.drop_duplicates("step")
        first = int(rows["step"].iloc[0])
        if warmup is None and first > 1:
            raise DataError(
                f"the log of {run!r} starts at step {first}: say how the learning rate came there with warmup=STEPS "
                "(0: without a warm-up), or give schedule="
            )
        try:
            own = None if warmup is None else min(warmup, int(rows["step"].iloc[-1]))
            found[str(run)] = from_table(rows["step"], rows["lr"], warmup=own)
        except RangeError as e:
            raise DataError(f"run {run!r}: {e}") from None
    return found


def _schedules(what: str, given: Schedules, runs: Sequence[str]) -> dict[str, Any]:
    """Return one schedule per run (None: no such stage); runs that share one share the object."""
    if isinstance(given, Schedule):
        return dict.fromkeys(runs, given)
    if isinstance(given, Mapping):
        by_run = {str(k): v for k, v in given.items()}
    else:
        table = read_table(given)
        for column in ("step", "lr"):
            if column not in table:
                raise DataError(
                    f"the table given for {what} needs a column {column!r}: {unknown_name('column', column, table)}"
                )
        if "run" not in table:
            return dict.fromkeys(runs, from_table(table["step"], table["lr"]))
        by_run = {str(run): from_table(rows["step"], rows["lr"]) for run, rows in table.groupby("run", sort=False)}
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
    off = np.min([np.abs(lr - n) for n in near], axis=0) > AGREE * planned.max()
    if off.any():
        i = int(np.argmax(off))
        raise DataError(
            f"schedule and log disagree: the run {run!r} has the rate {lr[i]:g} at step {step[i]}, its schedule "
            f"{planned[step[i] - 1]:g}; correct one of them"
        )
