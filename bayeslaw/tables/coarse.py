"""Whether a log of learning rates is fine enough to show how they fall."""

import numpy as np
import pandas as pd

from bayeslaw.base.numbers import percent
from bayeslaw.base.words import counted
from bayeslaw.tables.areas import logged_schedules
from bayeslaw.tables.schedules import Schedule, from_table

__all__ = ["coarse_logs"]

MOST_CHANGE = 0.1
"""Relative change of the annealing area without every second logged rate, above which a log counts as coarse.

Of 210 logs of cosine, linear, step-wise and warm-up-stable-decay schedules, 32 had areas off by more than 10 %: it
finds 31 of them, and names 14 of the 156 that were off by less than 3 %.
"""


def coarse_logs(frame: pd.DataFrame, warmup: int | None) -> str:
    """Return a note on runs whose rates are logged too coarsely for straight lines between them; "" for none.

    Parameters
    ----------
    frame : DataFrame
        ``run``, ``step`` (above 0) and ``lr`` of curves.
    warmup : int, optional
        As in `bayeslaw.read_curves`.
    """
    changes = {}
    logged = logged_schedules(frame, warmup)
    for run, rows in frame.groupby("run", sort=False):
        whole = logged[str(run)]
        if len(rows) > 2 and (area := _annealed(whole)) > 0:
            halves = (_without(rows, np.arange(first, len(rows) - 1, 2), whole) for first in (1, 2))
            changes[run] = max(abs(_annealed(half) / area - 1) for half in halves)
    if not (coarse := {run: change for run, change in changes.items() if change > MOST_CHANGE}):
        return ""
    return (
        f"learning rates are logged too coarsely in {counted(len(coarse), 'run')}: S2 changes by up to "
        f"{percent(max(coarse.values()))} without every second logged rate; give the exact rates with schedule="
    )


def _without(rows: pd.DataFrame, left_out: np.ndarray, whole: Schedule) -> Schedule:
    fewer = rows.drop(rows.index[left_out])
    return from_table(fewer["step"], fewer["lr"], warmup=whole.warmups[0][1] if whole.warmups else 0)


def _annealed(schedule: Schedule) -> float:
    return float(schedule.areas()["S2"][-1])
