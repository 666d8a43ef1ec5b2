"""Exported charts of Weights & Biases: a column of steps, and of every run its metric and the limits of its bins."""

import pandas as pd

__all__ = ["is_chart", "unfolded"]

BETWEEN = " - "
"""What stands between the name of a run and its metric, as in ``r20 - val/loss``."""

LIMITS = ("__MIN", "__MAX")
STEP, OWN_STEP = "Step", "_step"


def is_chart(table: pd.DataFrame) -> bool:
    """Return whether all columns but the first are metrics of runs."""
    columns = [BETWEEN in str(c) for c in table.columns]
    return len(columns) > 1 and not columns[0] and all(columns[1:])


def unfolded(chart: pd.DataFrame) -> pd.DataFrame:
    """Return one row per run and step, with a column per metric; cells of no run are left out."""
    along, *series = chart.columns
    metrics: dict[str, dict[str, pd.Series]] = {}
    for column in series:
        run, _, metric = column.rpartition(BETWEEN)
        if not metric.endswith(LIMITS) and metric != OWN_STEP:
            metrics.setdefault(run, {})[metric] = chart[column]
    first = "step" if along == STEP else along
    parts = [pd.DataFrame({"run": run, first: chart[along], **own}) for run, own in metrics.items()]
    known = list(dict.fromkeys(metric for own in metrics.values() for metric in own))
    return pd.concat(parts, ignore_index=True).dropna(subset=known, how="all").reset_index(drop=True)
