"""Exports of Weights & Biases as one table."""

from functools import reduce

import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.errors import DataError, unknown_name
from bayeslaw.tables.reading import Table, read_table

__all__ = ["from_wandb"]

NAME = "Name"
"""The column of names in an exported table of runs."""


@checked
def from_wandb(*charts: Table, runs: Table | None = None) -> pd.DataFrame:
    """Return exported charts of Weights & Biases, and the table of their runs, as one row per run and step.

    The readers (`bayeslaw.read_runs`, `bayeslaw.read_curves`) and the command line read a single chart as it is; this
    joins charts of several metrics, and the configuration of the runs.

    Parameters
    ----------
    *charts : DataFrame or path
        What *Export CSV* in the menu of a chart writes: ``Step``, then ``<run> - <metric>`` of every run, with the
        limits ``__MIN`` and ``__MAX`` of smoothed or sampled lines, which are left out.
    runs : DataFrame or path, optional
        What *Export as CSV* above the list of runs writes: ``Name`` and the configuration, a row per run. Leave out its
        columns of metrics, which hold the last value of each run.

    Returns
    -------
    DataFrame
        ``run``, ``step`` (or the axis that the charts have), a column per metric, and the configuration.

    Raises
    ------
    DataError
        A table is no chart, or the table of runs does not have each run once.
    UnknownName
        A run that the table of runs does not have.

    Examples
    --------
    >>> log = bl.from_wandb("loss.csv", "lr.csv", runs="runs.csv")  # doctest: +SKIP
    >>> bl.read_curves(log, lr="train/lr", loss="val/loss", N="params")  # doctest: +SKIP
    """
    tables = [read_table(chart) for chart in charts]
    for table in tables:
        if "run" not in table.columns[:1]:
            found = ", ".join(map(str, table.columns[:2])) or "none"
            raise DataError(
                f"the table with the columns {found} is no exported chart: export one with the columns Step "
                "and <run> - <metric>"
            )
    if not tables:
        raise DataError("no chart was given: name the exported CSV of one chart or more")
    if len(axes := {str(table.columns[1]) for table in tables}) > 1:
        raise DataError(f"the charts have the axes {', '.join(sorted(axes))}: export all of them over the same one")
    axis = axes.pop()
    merged = reduce(lambda a, b: a.merge(b, on=["run", axis], how="outer", sort=False), tables)
    order = pd.Categorical(merged["run"], pd.unique(merged["run"]))
    merged = merged.assign(order=order).sort_values(["order", axis]).drop(columns="order").reset_index(drop=True)
    if runs is None:
        return merged
    known = read_table(runs, [NAME])
    if NAME not in known:
        raise DataError(f"runs: {unknown_name('column', NAME, known.columns)}")
    known = known.rename(columns={NAME: "run"}).drop(columns=[c for c in merged.columns[1:] if c in known])
    if (twice := known["run"].duplicated()).any():
        raise DataError(f"the table of runs has the run {known['run'][twice].iloc[0]!r} twice: rename one of them")
    for run in merged["run"].unique():
        if run not in set(known["run"]):
            raise unknown_name("run in the table of runs", run, known["run"])
    return merged.merge(known, on="run", how="left")
