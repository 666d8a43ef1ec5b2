"""Learning rates of planned curves that no run has: decays that go further, and rates that rise again."""

from collections.abc import Iterable
from itertools import chain

import numpy as np
import pandas as pd

from bayeslaw.base.numbers import short
from bayeslaw.tables.schedules import Schedule

__all__ = ["plan_rises", "rates_beyond", "rises"]

SLACK = 0.1
"""Part of the peak rate by which rates may differ from those of the runs before a caution says so."""


def rises(table: pd.DataFrame) -> bool:
    """Return whether the rate of some logged curve rises after its warm-up."""
    if "lr" not in table:
        return False
    trained = table[table["step"] > table.get("warmup", 0)]
    return _rises(trained["lr"], trained["run"])


def plan_rises(plan: Schedule) -> bool:
    """Return whether the rate of a schedule rises elsewhere than in a warm-up or where a new stage begins."""
    stage = [] if plan.transfer is None else [(plan.transfer, plan.transfer)]
    edges = [0, *chain.from_iterable(sorted([*plan.warmups, *stage])), len(plan)]
    parts = [pd.Series(plan.lr[a:b]) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    trained = pd.concat(parts, keys=range(len(parts)))
    return _rises(trained, trained.index.get_level_values(0))


def _rises(lr: "pd.Series[float]", by: "pd.Series[str] | pd.Index[int]") -> bool:
    """Return whether a rate has been higher before, and becomes so after; a warm-up at the start is no such valley."""
    before = lr.groupby(by, sort=False).cummax()
    after = lr[::-1].groupby(by[::-1], sort=False).cummax()[::-1]
    return bool((np.minimum(before, after) - lr > SLACK * lr.max()).any())


def rates_beyond(runs: pd.DataFrame, asked: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return what planned curves have and no run has, in sentences.

    Parameters
    ----------
    runs, asked : DataFrame
        Curves with their areas.
    columns : iterable of str
        The columns of the law.
    """
    found, peak = [], max((runs[c].max() for c in ("peak", "lr") if c in runs), default=0.0)
    for column in [c for c in columns if c.startswith("annealed") and c in asked]:
        low, high = runs[column].min(), runs[column].max()
        ends = {"above": (asked[column].max(), 1), "below": (asked[column].min(), -1)}
        for side, (value, sign) in ends.items():
            if sign * (value - (high if sign > 0 else low)) > SLACK * (peak or high - low):
                measured = f"{short(low)} to {short(high)}" if low < high else short(low)
                found.append(
                    f"{column.replace('_', ' ')} {short(value)} lies {side} that of the runs, {measured}: no run shows "
                    "the gain of such a decay"
                )
    if "lr" in runs and rises(asked) and not rises(runs):
        found.append("the learning rate rises again after the warm-up, which it does in no run")
    return found
