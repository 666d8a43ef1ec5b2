"""Training curves: the losses of a run at its logged steps, with the areas under its learning-rate schedule.

A curve law stays a pure function over columns: its covariates are the areas that the whole schedule, steps between the
logged ones included, has covered at each logged step. How they were computed is kept with the runs
(`Runs.area_settings`), so that predictions of other schedules are made in the same way.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.declare.laws import AREAS
from bayeslaw.errors import DataError, RangeError
from bayeslaw.tables.areas import Schedules, area_settings, with_areas
from bayeslaw.tables.power import POWER, PowerMemory
from bayeslaw.tables.reading import check_named, numeric, read_table, refuse
from bayeslaw.tables.runs import Runs, read_labelled, read_runs
from bayeslaw.tables.schedules import MEMORY, Tail, WarmupCounted

__all__ = ["curve_columns", "read_curves"]

BITS = re.compile(r"(^|_)(bits?|bp[bctw])(_|$)", re.I)
DENSE, SPACING = 60, 1.2
"""A run with more logged steps than this is thinned to one per this factor, unless asked otherwise."""


@checked
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
        Steps of the linear warm-up, without `schedule`; needed where the log starts later than step 1, otherwise its
        first rise.
    memory, warmup_counted, tail
        How the areas are computed; see `Schedule.areas`.
    power : PowerMemory
        How falls of the rate are remembered by a power of what follows; see `bayeslaw.tables.power.PowerMemory`.
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
        away), ``annealed_power`` (the same by a power memory) and, with `before`, the areas of both
        stages (``S1pt``, ``S1cpt``, ``annealed_pt``, ...); and ``warmup``, its steps.

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
    frame = read_labelled(table, columns)
    _refuse_bits(loss, frame)
    if taken := [c for c in (*AREAS, "warmup") if c in frame]:
        raise DataError(f"the table has a column {taken[0]!r}, which read_curves computes: rename or drop it")
    runs = read_runs(frame, loss=loss, **columns)
    logged = _checked(runs.table)
    start = logged["step"] == 0
    if start.all():
        raise DataError("every row is at step 0 (before training): give the losses measured during training too")
    settings = {"memory": float(memory), "warmup_counted": warmup_counted, "tail": tail}
    settings |= {f"power_{k}": float(value) for k, value in vars(power).items()}
    curves = with_areas(logged[~start].reset_index(drop=True), schedule, before, warmup, settings)
    kept = _thinned(curves, spacing)
    thinned = (
        f"{len(kept):,} of {len(curves):,} logged steps kept (spacing=1 keeps all)" if len(kept) < len(curves) else ""
    )
    curves = kept
    order = [c for c in curves if c not in runs.loss_columns]
    baseline = pd.concat([runs.baseline, logged[start]], ignore_index=True)
    note = "; ".join(part for part in (runs.note, thinned) if part)
    table = curves[[*order, *runs.loss_columns]]
    return replace(runs, table=table, baseline=baseline, note=note, area_settings=settings)


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
    frame = read_table(table, ["run"])
    if "run" not in frame:
        frame = frame.assign(run="run 1")
    check_named(frame, "run")
    frame = frame.assign(run=frame["run"].astype(str), **{c: numeric(frame, c) for c in ("step", "lr") if c in frame})
    return with_areas(_checked(frame, many=True), schedule, before, warmup, settings)


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
    refuse(frame["step"], (frame["step"] < 0) | (frame["step"] % 1 != 0), "give whole numbers from 0 on")
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
        raise DataError(f"the learning rate of {run!r} is {lr[bad][0]:g} at step {step[bad][0]:g}: give rates above 0")
    started = np.cumsum(lr) > 0
    if (bad := (lr == 0) & started & (step < step[-1])).any() or not (started.any() or (step == 0).all()):
        at = step[np.argmax(bad)] if bad.any() else step[-1]
        raise DataError(
            f"the learning rate of {run!r} is 0 at step {at:g}, where nothing is learned: correct it, or leave out the "
            "steps after the end of the schedule"
        )


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
