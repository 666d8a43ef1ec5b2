"""Benchmark scores as losses: error rates, and their binomial measurement errors."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.tables.reading import Table, numeric, read_table, refuse
from bayeslaw.tables.runs import Runs, read_labelled, read_runs

__all__ = ["has_scores", "read_scores"]


def has_scores(table: Table, columns: Mapping[str, str]) -> bool:
    """Return whether a table, its columns mapped, names scores (``<benchmark>_score``) and no loss."""
    given = read_table(table).columns
    names = [*columns, *(c for c in given if c not in columns.values())]
    return any(c.endswith("_score") for c in names) and not any(c.endswith("loss") for c in names)


@checked
def read_scores(
    table: Table,
    *,
    score: Mapping[str, str] | None = None,
    items: Mapping[str, int] | None = None,
    full: float = 1.0,
    **columns: str,
) -> Runs:
    """Read a table of benchmark scores as error rates, 1 minus the score.

    The number of test items gives the binomial measurement error; the error model then holds the run effect only.

    Parameters
    ----------
    table : DataFrame or path
        One row per run.
    score : mapping, optional
        ``{benchmark: column}``; left out: every ``<benchmark>_score``.
    items : mapping, optional
        ``{benchmark: number of test items}``, of some or all; left out: the columns ``<benchmark>_items``, if any.
    full : float
        The score of a model without mistakes: 1, or 100 for percentages.
    **columns : str
        ``canonical=column in the table``, as in `bayeslaw.read_runs`, for example ``duration="window"``; a score may be
        named here too, ``mmlu_score="mmlu_acc"``.

    Returns
    -------
    Runs
        Validation sets are the benchmarks, losses the error rates p, and known measurement errors
        (``<benchmark>_loss_sd``) sqrt(p (1 - p) / n) for n items.

    Raises
    ------
    DataError
        There is no score, one does not lie between 0 and `full`, or a number of items is below 1.
    RangeError
        `full` is not above 0.
    UnknownName
        `items` names no benchmark of the table, or `score` no column.
    """
    if not 0 < full < np.inf:
        raise RangeError(f"full is {full}: give the score of a model without mistakes, 1 or 100")
    frame = read_labelled(table, columns)
    mapped = {c.removesuffix("_score"): columns.pop(c) for c in list(columns) if c.endswith("_score")}
    own = {c.removesuffix("_score"): c for c in frame.columns if c.endswith("_score")}
    named = dict(score or mapped or own)
    if not named:
        known = ", ".join(frame.columns)
        raise DataError(f"no score column: name them with score={{'benchmark': 'its column'}} (columns: {known})")
    rates = {}
    for name, column in named.items():
        values, lies = numeric(frame, column), f"a score lies above 0 and below {full:g}"
        percent = values.between(1, 100, inclusive="right") & (full == 1)
        refuse(values, percent, f"{lies}; divide percentages by 100 (or give full=100 to bl.read_scores)")
        refuse(values, (values <= 0) | (values >= full), f"{lies}; correct it or leave the row out")
        rates[f"{name}_loss"] = 1 - values.to_numpy() / full
    for name, count in _items(frame, named, items).items():
        rate = rates[f"{name}_loss"]
        rates[f"{name}_loss_sd"] = np.sqrt(rate * (1 - rate) / count)
    gone = {*named.values(), *rates, *(f"{name}_items" for name in named)}
    kept = frame.drop(columns=[c for c in gone if c in frame])
    losses = {name: f"{name}_loss" for name in named}
    return read_runs(kept.assign(**rates), loss=losses, unit="nats", bytes_per_token=None, **columns)


def _items(frame: pd.DataFrame, named: Mapping[str, str], items: Mapping[str, int] | None) -> dict[str, np.ndarray]:
    """Return the known numbers of test items, by benchmark."""
    if unknown := [name for name in items or {} if name not in named]:
        raise unknown_name("benchmark", unknown[0], named)
    columns = {name: f"{name}_items" for name in named if f"{name}_items" in frame}
    if items is None:
        found = {name: numeric(frame, column).to_numpy() for name, column in columns.items()}
    else:
        found = {name: np.atleast_1d(np.asarray(count, float)) for name, count in items.items()}
    for name, counts in found.items():
        if (bad := ~(counts >= 1)).any():
            raise DataError(f"{name} has {counts[bad][0]:g} test items: give their number, at least 1")
    return found
