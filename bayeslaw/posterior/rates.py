"""Learning rates of planned curves that no run has: decays that go further, and rates that rise again."""

from collections.abc import Iterable

import pandas as pd

from bayeslaw.base.numbers import short

__all__ = ["rates_beyond", "rises"]

SLACK = 0.1
"""Part of the peak rate by which rates may differ from those of the runs before a caution says so."""


def rises(table: pd.DataFrame) -> bool:
    """Return whether the rate of some curve rises after its warm-up."""
    if "lr" not in table:
        return False
    trained = table[table["step"] > table.get("warmup", 0)]
    risen = trained["lr"] - trained.groupby("run", sort=False)["lr"].cummin()
    return bool((risen > SLACK * trained["lr"].max()).any())


def rates_beyond(runs: pd.DataFrame, asked: pd.DataFrame, columns: Iterable[str]) -> list[str]:
    """Return what planned curves have and no run has, in sentences.

    Parameters
    ----------
    runs, asked : DataFrame
        Curves with their areas.
    columns : iterable of str
        The columns of the law.
    """
    found, peak = [], runs.get("peak", runs["lr"]).max()
    for column in [c for c in columns if c.startswith("annealed") and c in runs and c in asked]:
        low, high = runs[column].min(), runs[column].max()
        ends = {"above": (asked[column].max(), 1), "below": (asked[column].min(), -1)}
        for side, (value, sign) in ends.items():
            if sign * (value - (high if sign > 0 else low)) > SLACK * peak:
                measured = f"{short(low)} to {short(high)}" if low < high else short(low)
                found.append(
                    f"{column.replace('_', ' ')} {short(value)} lies {side} that of the runs, {measured}: no run shows "
                    "the gain of such a decay"
                )
    if rises(asked) and not rises(runs):
        found.append("the learning rate rises again after the warm-up, which it does in no run")
    return found
