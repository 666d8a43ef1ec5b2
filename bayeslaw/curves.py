"""Training curves: the losses of a run at its logged steps, with the areas under its learning-rate schedule.

A curve law stays a pure function over columns: its covariates are the areas that the whole schedule, steps between the
logged ones included, has covered at each logged step. How they were computed (``memory``, ``warmup_counted``,
``tail``, ``power_...``) is written into columns too, so that predictions of other schedules are made in the same way.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.law import Law
from bayeslaw.power import POWER, PowerMemory, annealed_power
from bayeslaw.runs import Runs, read_runs, read_table
from bayeslaw.schedules import MEMORY, Schedule, Tail, WarmupCounted, from_table

__all__ = ["area_columns", "area_settings", "curve_columns", "is_curve_law", "read_curves"]

type Schedules = Schedule | Mapping[str, Schedule | None] | pd.DataFrame | str | Path

ANNEALED = {"S2": "annealed", "S2pt": "annealed_pt", "S2cpt": "annealed_cpt"}
AREAS = ("S1", "S1pt", "S1cpt", *ANNEALED, *ANNEALED.values(), "annealed_power")
SETTINGS = ("memory", "warmup_counted", "tail", "power_C", "power_beta", "power_gamma")
BITS = re.compile(r"(^|_)(bits?|bp[bctw])(_|$)", re.I)
AGREE = 0.01
"""A logged rate may differ from the schedule's by this share of the peak, and by one step."""
DENSE, SPACING = 60, 1.2
"""A run with more logged steps than this is thinned to one per this factor, unless asked otherwise."""


def read_curves(
    table: pd.DataFrame | str | Path,
    *,
    schedule: Schedules | None = None,
    before: Schedules | None = None,
    warmup: int | None = None,
    memory: float = MEMORY,
    warmup_counted: WarmupCounted = "linear",
    tail: Tail = "frozen",
    power: PowerMemory = POWER,
    spacing: float | None = None,
    loss: str | Mapping[str, str] | None = None,
    **columns: str,
) -> Runs:
    """Read and check training curves.

    Parameters
    ----------
    table : DataFrame or path
        One row per logged step: ``run``, ``step`` (steps done, from 1), ``lr`` (rate of that step), losses in nats per
        token; other columns as in `read_runs`. Rows at step 0 are kept as the baseline.
    schedule : Schedule, mapping or table, optional
        The schedule of all runs, of each (``{run: Schedule}``), or a finer table of ``step, lr`` (and ``run``). Left
        out: straight lines between the logged rates, which blur a jump between two of them.
    before : Schedule, mapping or table, optional
        The schedule of pre-training, where the runs continue one; ``schedules.unknown()`` for an open model, None
        for a run that is pre-training itself.
    warmup : int, optional
        Steps of the linear warm-up, without `schedule`; needed where the log starts later than step 1.
    memory, warmup_counted, tail
        How the areas are computed; see `Schedule.areas`.
    power : PowerMemory
        How the multi-power law remembers falls of the rate; see `bayeslaw.power`.
    spacing : float, optional
        Of each run, one logged step is kept per factor of this, the last one always (1 keeps all; areas are those of
        the whole log either way). Left out: 1.2 where a run has more than 60 logged steps: neighbours say the same
        twice, and what the law misses between them would count for more than the rest of the curve.
    loss, **columns
        As in `read_runs`.

    Returns
    -------
    Runs
        With the columns ``S1`` and ``S2`` (rate x steps), ``annealed`` (``(1 - memory) S2``, the learning rate annealed
        away), ``annealed_power`` (the same as the multi-power law remembers it) and, with `before`, the areas of both
        stages (``S1pt``, ``S1cpt``, ``annealed_pt``, ...); ``memory``, ``warmup_counted``, ``tail``, ``power_C``,
        ``power_beta``, ``power_gamma``, ``warmup``.

    Raises
    ------
    DataError
        The log cannot be used as it is; the sentence names run, step and remedy.

    Examples
    --------
    >>> runs = read_curves("log.csv", warmup=2160)  # doctest: +SKIP
    >>> plan = {"a": schedules.cosine(24_000, peak=3e-4, final=3e-5, warmup=2160)}  # doctest: +SKIP
    >>> runs = read_curves("losses.csv", schedule=plan)  # doctest: +SKIP
    """
    frame = read_table(table)
    _refuse_bits(loss, frame)
    runs = read_runs(frame, loss=loss, **columns)
    logged = _checked(runs.table)
    start = logged["step"] == 0
    if start.all():
        raise DataError("every row is at step 0 (before training): give the losses measured during training too")
    settings = {"memory": memory, "warmup_counted": warmup_counted, "tail": tail}
    settings |= {f"power_{k}": value for k, value in vars(power).items()}
    curves = _with_areas(logged[~start].reset_index(drop=True), schedule, before, warmup, settings)
    curves = _thinned(curves, spacing)
    order = [c for c in curves if c not in runs.loss_columns]
    baseline = pd.concat([runs.baseline, logged[start]], ignore_index=True)
    return replace(runs, table=curves[[*order, *runs.loss_columns]], baseline=baseline)


def curve_columns(
    table: pd.DataFrame | str | Path,
    like: Runs,
    *,
    schedule: Schedules | None = None,
    before: Schedules | None = None,
    warmup: int | None = None,
) -> pd.DataFrame:
    """Return a table of planned steps with the areas that a law fitted to `like` needs, row by row.

    Parameters
    ----------
    table : DataFrame or path
        ``run``, ``step``, ``lr`` (not needed with `schedule`) and whatever else the law asks for; no losses. Without a
        ``run`` column it is one run.
    like : Runs
        The curves the law was fitted to: the areas are computed as there, and so is the warm-up, if it was the same
        for all of them.
    schedule, before, warmup
        As in `read_curves`.

    Returns
    -------
    DataFrame
        The rows of `table` in their order, with the columns of the areas added.

    Raises
    ------
    DataError
        The table cannot be used as it is, or `like` holds no curves.
    """
    settings = area_settings(like)
    if "S1cpt" in like.table and before is None:
        raise DataError("the fit is one of continual pre-training: say with before= what the schedule before it was")
    if warmup is None and schedule is None and like.table["warmup"].nunique() == 1:
        warmup = int(like.table["warmup"].iloc[0])
    frame = read_table(table)
    if not len(frame):
        raise DataError("the table has no rows: give at least one step to predict")
    if "run" not in frame:
        frame = frame.assign(run="run 1")
    for name in (c for c in ("step", "lr") if c in frame):
        frame[name] = pd.to_numeric(frame[name], errors="coerce")
        if (bad := frame[name].isna()).any():
            raise DataError(f"{name} is missing or no number in row {int(np.argmax(bad)) + 1}: fill it in")
    return _with_areas(
        _checked(frame.assign(run=frame["run"].astype(str)), many=True), schedule, before, warmup, settings
    )


def is_curve_law(law: Law) -> bool:
    """Return whether a law's columns are areas under a schedule, so that its runs are read with `read_curves`."""
    return not set(AREAS).isdisjoint(law.columns)


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


def _refuse_bits(loss: str | Mapping[str, str] | None, frame: pd.DataFrame) -> None:
    named = loss.values() if isinstance(loss, Mapping) else [loss] if loss else [c for c in frame if "loss" in str(c)]
    for column in named:
        if BITS.search(str(column)):
            raise DataError(
                f"{column} looks like bits: give nats per token under another name (bits per token times 0.6931; bits "
                "per byte times 0.6931 and the bytes per token)"
            )


def _checked(frame: pd.DataFrame, many: bool = False) -> pd.DataFrame:
    """Check steps and rates; `many` rows at one step are allowed in a table to predict."""
    if "step" not in frame:
        raise DataError("a curve needs a column 'step': map it, for example step='iteration'")
    if (bad := (frame["step"] < 0) | (frame["step"] % 1 != 0)).any():
        row = int(np.argmax(bad))
        raise DataError(f"step is {frame['step'].iloc[row]:g} in row {row + 1}: steps are whole numbers from 0 on")
    for run, rows in frame.groupby("run", sort=False):
        step = rows["step"].to_numpy()
        change = np.diff(step)
        if not many and (bad := rows["step"].duplicated()).any():
            at = step[np.argmax(bad)]
            raise DataError(
                f"the run {run!r} has two rows at step {at:g}: if these are two runs under one id, name them apart in "
                "the run column"
            )
        if (change < 0).any():
            i = int(np.argmax(change < 0))
            raise DataError(
                f"step {step[i + 1]:g} of the run {run!r} comes after step {step[i]:g}: put its rows in order, and "
                "name runs apart that share an id"
            )
        if "lr" in frame:
            _check_rates(run, step, rows["lr"].to_numpy(float))
    return frame


def _check_rates(run: Any, step: np.ndarray, lr: np.ndarray) -> None:
    if (bad := lr < 0).any():
        raise DataError(f"the learning rate of {run!r} is {lr[bad][0]:g} at step {step[bad][0]:g}: rates are above 0")
    started = np.cumsum(lr) > 0
    if (bad := (lr == 0) & started & (step < step[-1])).any() or not (started.any() or (step == 0).all()):
        at = step[np.argmax(bad)] if bad.any() else step[-1]
        raise DataError(
            f"the learning rate of {run!r} is 0 at step {at:g}, where nothing is learned: correct it, or leave out the "
            "steps after the end of the schedule"
        )


def _with_areas(
    frame: pd.DataFrame,
    schedule: Schedules | None,
    before: Schedules | None,
    warmup: int | None,
    settings: Mapping[str, Any],
) -> pd.DataFrame:
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


def _thinned(curves: pd.DataFrame, spacing: float | None) -> pd.DataFrame:
    if spacing is None:
        spacing = SPACING if curves["run"].value_counts().max() > DENSE else 1.0
    if not 1 <= spacing < np.inf:
        raise RangeError(
            f"spacing is {spacing}: give a factor between logged steps, for example {SPACING}; 1 keeps all"
        )
    if spacing == 1:
        return curves
    last = curves.groupby("run")["step"].transform("max")
    place = (np.log(last / curves["step"]) / np.log(spacing)).round()
    kept = ~pd.DataFrame({"run": curves["run"], "place": place}).duplicated(keep="last")
    return curves[kept].reset_index(drop=True)


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
            found[str(run)] = from_table(rows["step"], rows["lr"], warmup=min(warmup or 0, int(rows["step"].iloc[-1])))
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
