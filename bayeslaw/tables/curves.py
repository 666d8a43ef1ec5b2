"""Training curves: the losses of a run at its logged steps, with the areas under its learning-rate schedule.

The covariates of a curve law are the areas under the whole schedule up to each logged step. `Runs.area_settings` keeps
their settings, so that predictions of other schedules use the same ones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import amount, exact
from bayeslaw.declare.names import AREAS
from bayeslaw.errors import DataError, RangeError
from bayeslaw.tables.areas import Schedules, area_settings, assumed, short_for, with_areas
from bayeslaw.tables.coarse import coarse_logs
from bayeslaw.tables.plausible import check_steps
from bayeslaw.tables.power import POWER, PowerMemory
from bayeslaw.tables.reading import Table, numeric, read_table, refuse, texts
from bayeslaw.tables.runs import Runs, read_labelled, read_runs
from bayeslaw.tables.schedules import MEMORY, Tail, WarmupCounted
from bayeslaw.tables.units import BytesPerToken, Unit

__all__ = ["curve_columns", "read_curves"]

MOST_LOGGED_STEPS, SPACING = 60, 1.2
"""A run with more logged steps is thinned, by default, to one step per this factor."""


@checked
def read_curves(
    table: Table,
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
    unit: Unit | Mapping[str, Unit] | None = None,
    bytes_per_token: BytesPerToken | None = None,
    **columns: str,
) -> Runs:
    """Read and check training curves.

    Parameters
    ----------
    table : DataFrame or path
        One row per logged step: ``run``, ``step`` (steps done, from 1), ``lr`` (rate of that step), losses; other
        columns as in `read_runs`. Rows at step 0 are kept as the baseline. Where a resumed run goes back to an earlier
        step, the later rows are kept.
    schedule : Schedule, mapping or DataFrame, optional
        The schedule of all runs, of each (``{run: Schedule}``), or a finer table of ``step, lr`` (and ``run``). Left
        out: straight lines between the logged rates, which smooth a jump between two of them.
    before : Schedule, mapping or DataFrame, optional
        The schedule of pre-training, where the runs continue one; ``schedules.unknown()`` for an open model, None
        for a run that is pre-training itself.
    warmup : int, optional
        Steps of the linear warm-up, without `schedule`; needed where the log starts later than step 1, otherwise its
        first rise.
    memory : float
        Lambda of the annealing area, see `Schedule.areas`: a fall of the rate has taken most of its effect after ``1 /
        (1 - memory)`` steps. The papers' 0.999 is too long for runs of few steps; `bayeslaw.compare_memories`, and the
        check "memory" of every fit, say which predicts the runs better.
    warmup_counted, tail
        How the areas are computed; see `Schedule.areas`.
    power : PowerMemory
        Settings of ``annealed_power``; see `bayeslaw.tables.power.PowerMemory`.
    spacing : float, optional
        Factor between the logged steps that are kept of each run, the last one included (1 keeps all); areas are those
        of the whole log. Left out: 1.2 where a run has more than 60 logged steps, since neighbouring losses are nearly
        equal and would outweigh the rest of the curve.
    loss, unit, bytes_per_token, **columns
        As in `read_runs`.

    Returns
    -------
    Runs
        With the columns ``S1`` and ``S2`` (rate x steps), ``annealed`` (``(1 - memory) S2``, the learning rate annealed
        away), ``annealed_power`` (the same by a power memory), ``warmup`` (steps), ``peak`` (highest rate) and, with
        `before`, the areas of both stages (``S1pt``, ``S1cpt``, ``annealed_pt``, ...).

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
    _refuse_areas(frame)
    runs = read_runs(frame, loss=loss, unit=unit, bytes_per_token=bytes_per_token, **columns)
    logged = _checked(runs.table)
    start = logged["step"] == 0
    if start.all():
        raise DataError("every row is at step 0 (before training): give the losses measured during training too")
    settings = {"memory": float(memory), "warmup_counted": warmup_counted, "tail": tail}
    settings |= {f"power_{k}": float(value) for k, value in vars(power).items()}
    curves = with_areas(logged[~start].reset_index(drop=True), schedule, before, warmup, settings, compared=True)
    kept, notes = _thinned(curves, runs.loss_columns, spacing), [runs.note]
    if schedule is None:
        notes += [coarse_logs(logged[~start], warmup), assumed(logged[~start], warmup)]
    if len(kept) < len(curves):
        notes.append(f"{amount(len(kept))} of {amount(len(curves))} logged steps kept (spacing=1 keeps all)")
    if short := short_for(kept, memory):
        notes.append(f"{short}: compare it with others, bl.compare_memories(model)")
    baseline = pd.concat([runs.baseline, logged[start]], ignore_index=True)
    note = "; ".join(filter(None, notes))
    table = kept[[*kept.columns.difference(runs.loss_columns, sort=False), *runs.loss_columns]]
    return replace(runs, table=table, baseline=baseline, note=note, area_settings=settings)


def curve_columns(
    table: Table,
    like: Runs,
    *,
    schedule: Schedules | None = None,
    before: Schedules | None = None,
    warmup: int | None = None,
) -> pd.DataFrame:
    """Return a table of planned steps with the areas that a law fitted to `like` needs.

    Parameters
    ----------
    table : DataFrame or path
        ``run``, ``step``, ``lr`` (not needed with `schedule`) and the other columns of the law; no losses. Without a
        ``run`` column it is one run.
    like : Runs
        The curves the law was fitted to; they give the settings of the areas, and the warm-up if all have the same.
    schedule, before, warmup
        As in `read_curves`.

    Returns
    -------
    DataFrame
        The rows of `table` with the columns of the areas added; ``attrs["assumed"]`` says which rates are assumed
        before its first rows, if any.

    Raises
    ------
    DataError
        The table cannot be used as it is, or `like` holds no curves.
    """
    settings = area_settings(like)
    if "S1cpt" in like.table and before is None:
        raise DataError("the fit is of continual pre-training: give the schedule of pre-training with before=")
    if warmup is None and schedule is None and like.table["warmup"].nunique() == 1:
        warmup = int(like.table["warmup"].iloc[0])
    frame = read_table(table, ["run"])
    if "run" not in frame:
        frame = frame.assign(run="run 1")
    _refuse_areas(frame)
    frame = frame.assign(run=texts(frame, "run"), **{c: numeric(frame, c) for c in ("step", "lr") if c in frame})
    frame = _checked(frame, many=True).reset_index(drop=True)
    areas = with_areas(frame, schedule, before, warmup, settings)
    areas.attrs["assumed"] = assumed(frame, warmup) if schedule is None else ""
    return areas


def _refuse_areas(frame: pd.DataFrame) -> None:
    if taken := [c for c in (*AREAS, "warmup", "peak") if c in frame]:
        raise DataError(f"the table has a column {taken[0]!r}, which read_curves computes: rename or drop it")


def _checked(frame: pd.DataFrame, many: bool = False) -> pd.DataFrame:
    """Check steps and rates; a table to predict may have `many` rows at one step."""
    if "step" not in frame:
        raise DataError("a curve needs a column 'step': map it, for example step='iteration'")
    refuse(frame["step"], (frame["step"] < 0) | (frame["step"] % 1 != 0), "give whole numbers from 0 on")
    check_steps(frame["step"])
    for run, rows in frame.groupby("run", sort=False):
        step = rows["step"].to_numpy()
        change = np.diff(step)
        if not many and (bad := rows["step"].duplicated()).any():
            at = step[np.argmax(bad)]
            raise DataError(
                f"the run {run!r} has two rows at step {exact(at)}: leave one out, or give two runs different names "
                "in the run column"
            )
        if (change < 0).any():
            i = int(np.argmax(change < 0))
            raise DataError(
                f"step {exact(step[i + 1])} of the run {run!r} comes after step {exact(step[i])}: sort its rows by "
                "step, or give two runs different names"
            )
        if "lr" in frame:
            _check_rates(run, step, rows["lr"].to_numpy(float))
    return frame


def _check_rates(run: Any, step: np.ndarray, lr: np.ndarray) -> None:
    if (bad := lr < 0).any():
        raise DataError(
            f"the learning rate of {run!r} is {exact(lr[bad][0])} at step {exact(step[bad][0])}: give rates above 0"
        )
    started = np.cumsum(lr) > 0
    if (bad := (lr == 0) & started & (step < step[-1])).any() or not (started.any() or (step == 0).all()):
        at = step[np.argmax(bad)] if bad.any() else step[-1]
        raise DataError(
            f"the learning rate of {run!r} is 0 at step {exact(at)}, where nothing is learned: correct it, or leave "
            "out the steps after the end of the schedule"
        )


def _thinned(curves: pd.DataFrame, losses: Sequence[str], spacing: float | None) -> pd.DataFrame:
    if spacing is None:
        spacing = SPACING if curves["run"].value_counts().max() > MOST_LOGGED_STEPS else 1.0
    if not 1 <= spacing < np.inf:
        raise RangeError(f"spacing is {spacing}: give a factor between logged steps, for example {SPACING}, or 1")
    if spacing == 1:
        return curves
    last = curves.groupby("run")["step"].transform("max")
    place = (np.log(last / curves["step"]) / np.log(spacing)).round()
    places, kept = pd.DataFrame({"run": curves["run"], "place": place}), pd.Series(False, index=curves.index)
    for loss in losses:
        kept[places[curves[loss].notna()].drop_duplicates(keep="last").index] = True
    return curves[kept].reset_index(drop=True)
