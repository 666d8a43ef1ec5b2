"""Areas under the learning-rate schedules of runs: the covariates of curve laws."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import amount, exact, short
from bayeslaw.errors import BayeslawError, DataError, unknown_name
from bayeslaw.tables.power import PowerMemory, annealed_power
from bayeslaw.tables.reading import Table, as_text, numeric, read_table, texts
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import Schedule, from_table

__all__ = [
    "FEWEST_MEMORIES",
    "MEMORIES",
    "Schedules",
    "area_columns",
    "area_settings",
    "assumed",
    "at_memory",
    "logged_schedules",
    "memories_of",
    "read_schedule",
    "short_for",
    "with_areas",
]

type Schedules = Schedule | Mapping[str, Schedule | None] | Table

ANNEALED = {"S2": "annealed", "S2pt": "annealed_pt", "S2cpt": "annealed_cpt"}
MEMORIES = (0.9, 0.97, 0.99, 0.997, 0.999, 0.9997)
"""Memories that curves are compared at: a fall has taken most of its effect after 10 to 3,333 steps."""

FEWEST_MEMORIES = 10
"""Times the memory in steps, 1 / (1 - memory), below which runs are short for it; the papers' runs have 20 and more."""

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
        raise DataError("these runs have no settings of areas, since they are no curves: read them with read_curves")
    return runs.area_settings


def area_columns(schedule: Schedule, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the areas under a schedule after every step, by the column names of the laws."""
    options = {k: settings[k] for k in ("memory", "warmup_counted", "tail")}
    columns = {str(name): area.values for name, area in schedule.areas(**options).data_vars.items()}
    return columns | {rate: (1 - settings["memory"]) * columns[S2] for S2, rate in ANNEALED.items() if S2 in columns}


def other_memories(schedule: Schedule, settings: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the learning rate annealed away after every step at the memory of the settings and at `MEMORIES`."""
    columns: dict[str, np.ndarray] = {}
    for memory in sorted({*MEMORIES, settings["memory"]}):
        areas = area_columns(schedule, {**settings, "memory": memory})
        columns |= {remembered(rate, memory): areas[rate] for rate in ANNEALED.values() if rate in areas}
    return columns


def remembered(rate: str, memory: float) -> str:
    """Return the column of a learning rate annealed away, by one memory of several: ``annealed@0.99``."""
    return f"{rate}@{memory:g}"


def memories_of(runs: Runs) -> list[float]:
    """Return the memories at which curves have their areas; none for runs that are no curves."""
    return sorted(float(c.rpartition("@")[2]) for c in map(str, runs.table) if c.startswith("annealed@"))


def short_for(table: pd.DataFrame, memory: float) -> str:
    """Say that runs are short for their memory; "" if they are not, or anneal nothing."""
    longest, steps = table["step"].max(), 1 / (1 - memory)
    if longest >= FEWEST_MEMORIES * steps or not table["annealed"].any():
        return ""
    return f"memory {exact(memory)} spans {amount(steps)} steps, and the longest run has {amount(longest)}"


def at_memory(runs: Runs, memory: float) -> Runs:
    """Return curves with the areas of another of their memories, as `bayeslaw.read_curves` would give them."""
    rates = {S2: rate for S2, rate in ANNEALED.items() if rate in runs.table}
    known = {rate: runs.table[remembered(rate, memory)] for rate in rates.values()}
    known |= {S2: known[rate] / (1 - memory) for S2, rate in rates.items()}
    return replace(runs, table=runs.table.assign(**known), area_settings={**runs.area_settings, "memory": memory})


def with_areas(
    frame: pd.DataFrame,
    schedule: Schedules | None,
    before: Schedules | None,
    warmup: int | None,
    settings: Mapping[str, Any],
    compared: bool = False,
) -> pd.DataFrame:
    """Return the rows of curves with the areas under their schedules, their warm-ups and their highest rates.

    Parameters
    ----------
    frame : DataFrame
        ``run``, ``step`` (rising within a run) and, without `schedule`, ``lr``.
    schedule, before, warmup
        As in `bayeslaw.read_curves`.
    settings : mapping
        See `area_settings`.
    compared : bool
        Add the columns of `other_memories`.

    Raises
    ------
    DataError
        A schedule is missing, too short, or not the one logged.
    """
    names = list(frame["run"].unique())
    if schedule is not None and warmup is not None:
        raise DataError("warmup= is part of schedule=, which is given too: leave warmup= out")
    if schedule is None and "lr" not in frame:
        raise DataError("a curve needs a column 'lr' with the learning rate, or schedule= with the whole schedule")
    own = logged_schedules(frame, warmup) if schedule is None else _schedules("schedule", schedule, names)
    first = {} if before is None else _schedules("before", before, names)
    power = PowerMemory(*(settings[f"power_{k}"] for k in ("C", "beta", "gamma")))
    known: dict[tuple[int, int], tuple[Schedule, dict[str, np.ndarray]]] = {}
    parts = []
    for run, rows in frame.groupby("run", sort=False):
        planned, start = own[str(run)], first.get(str(run))
        if schedule is None:  # every run has a schedule of its own, whose areas need not be kept
            known.clear()
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
            areas = area_columns(whole, settings)
            known[key] = whole, areas | (other_memories(whole, settings) if compared else {})
        whole, areas = known[key]
        done = at + (0 if start is None else len(start))
        columns = {name: area[done - 1] for name, area in areas.items()}
        columns["annealed_power"] = annealed_power(whole, done, power, settings["warmup_counted"])
        lr = rows["lr"] if "lr" in frame else planned.lr[at - 1]
        parts.append(rows.assign(lr=lr, **columns, warmup=planned.warmup, peak=planned.lr.max()))
    return pd.concat(parts).loc[frame.index]


def assumed(frame: pd.DataFrame, warmup: int | None) -> str:
    """Say which rates `with_areas` assumes before the first row of curves without a schedule; "" for none."""
    first = frame.drop_duplicates("run")
    late = first[first["step"] > max(warmup or 0, 1)].sort_values("step", kind="stable")
    if late.empty:
        return ""
    latest = late.iloc[-1]
    others = f" (the latest of {len(late)} runs that start late)" if len(late) > 1 else ""
    rising = f"a linear warm-up over {exact(warmup)} steps and then " if warmup else ""
    return (
        f"before the first row of {latest['run']!r}, step {exact(latest['step'])}{others}, {rising}its rate of "
        f"{short(latest['lr'])} is assumed: give schedule= if it was another"
    )


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
            f"{called} starts at step {exact(step.iloc[0])}: give the steps of the warm-up with warmup=STEPS (0: no "
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
            f"schedule and log disagree: the run {run!r} has the rate {exact(lr[i])} at step {step[i]}, its schedule "
            f"{exact(planned[step[i] - 1])}; correct one of them"
        )
