"""Benchmark scores as losses: error rates, their binomial measurement errors, and the losses that they follow."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import exact
from bayeslaw.errors import DataError, RangeError, unknown_name
from bayeslaw.tables.reading import Table, numeric, read_table, refuse, texts
from bayeslaw.tables.runs import Runs, read_labelled, read_runs
from bayeslaw.tables.units import ERROR_RATE, BytesPerToken, Unit, in_nats, units_of

__all__ = ["FOLLOWS", "has_scores", "losses_of_scores", "read_scores"]

FOLLOWS = "follows"
"""The column that names the loss which a score follows."""


def has_scores(table: Table, columns: Mapping[str, str]) -> bool:
    """Return whether a table, its columns mapped, names scores (``<benchmark>_score``) and no loss."""
    names = _names(table, columns)
    return any(c.endswith("_score") for c in names) and not any(c.endswith("loss") for c in names)


def losses_of_scores(table: Table, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the loss that each score of a table, its columns mapped, is likely to follow: its own or the only one.

    Empty where there is none, or where the rows have it already (column ``L``).
    """
    names = _names(table, columns)
    losses = [c for c in names if c == "loss" or c.endswith("_loss")]
    benchmarks = [c.removesuffix("_score") for c in names if c.endswith("_score")]
    own = {b: f"{b}_loss" if f"{b}_loss" in losses else losses[0] for b in benchmarks if losses}
    alone = len(losses) == 1 or all(column == f"{b}_loss" for b, column in own.items())
    return own if alone and "L" not in names else {}


def _names(table: Table, columns: Mapping[str, str]) -> list[str]:
    given = read_table(table).columns
    return [*columns, *(c for c in given if c not in columns.values())]


@checked
def read_scores(
    table: Table,
    *,
    score: Mapping[str, str] | None = None,
    items: Mapping[str, int] | None = None,
    full: float = 1.0,
    against: str | Mapping[str, str] | None = None,
    chance: float | Mapping[str, float] | None = None,
    unit: Unit | Mapping[str, Unit] | None = None,
    bytes_per_token: BytesPerToken | None = None,
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
        ``{benchmark: number of test items}``, of some or all; left out: the columns ``<benchmark>_items``, if any, but
        of scores `against` a loss only where every run was measured once.
    full : float
        The score of a model without mistakes: 1, or 100 for percentages.
    against : str or mapping, optional
        The column of the loss that every score follows, or ``{benchmark: column}``, for the laws from loss to score.
        Every benchmark then has rows, and runs, of its own, with that loss in the column ``L`` and its name in
        ``follows``; a score or a loss that was not measured has none.
    chance : float or mapping, optional
        With `against`: the score of guessing, or ``{benchmark: score}``, from 0 to 1; left out: the columns
        ``<benchmark>_chance``, or ``chance``.
    unit, bytes_per_token : optional
        Of the losses of `against`, as in `bayeslaw.read_runs`; ``bytes_per_token=1`` makes nats a byte of bits a byte.
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
    gaps = against is not None
    rates = {}
    for name, column in named.items():
        values, lies = numeric(frame, column, gaps=gaps), f"a score lies above 0 and below {exact(full)}"
        percent = values.between(1, 100, inclusive="right") & (full == 1)
        refuse(values, percent, f"{lies}; divide percentages by 100 (or give full=100 to bl.read_scores)")
        refuse(values, (values <= 0) | (values >= full), f"{lies}; correct it or leave the row out")
        rates[f"{name}_loss"] = 1 - values.to_numpy() / full
    for name, count in _items(frame, named, items).items():
        rate = rates[f"{name}_loss"]
        rates[f"{name}_loss_sd"] = np.sqrt(rate * (1 - rate) / count)
    losses = {name: f"{name}_loss" for name in named}
    own_columns = {*named.values(), *rates, *(f"{name}_{end}" for name in named for end in ("items", "chance"))}
    if against is None:
        kept = frame.drop(columns=[c for c in own_columns if c in frame])
        runs = read_runs(kept.assign(**rates), loss=losses, unit="nats", bytes_per_token=None, **columns)
        return replace(runs, unit=ERROR_RATE)
    loss_of = dict(against) if isinstance(against, Mapping) else dict.fromkeys(named, against)
    proxies = _in_nats(frame, named, loss_of, unit, bytes_per_token)
    guessing = _chances(frame, named, chance)
    kept = frame.drop(columns=[c for c in (*own_columns, *loss_of.values(), "chance") if c in frame])
    label = columns.get("run", "run")
    parts = []
    for name in named:
        measured = {c: values for c, values in rates.items() if c in (f"{name}_loss", f"{name}_loss_sd")}
        follows = {FOLLOWS: loss_of[name]}
        part = kept.assign(benchmark=name, L=proxies[name], chance=guessing[name], **follows, **measured)
        if label in part:
            part[label] = [f"{run}, {name}" for run in texts(part, label)]
        parts.append(part[part["L"].notna() & part[f"{name}_loss"].notna()])
    runs = read_runs(pd.concat(parts, ignore_index=True), loss=losses, unit="nats", bytes_per_token=None, **columns)
    notes = [note for note in runs.note.split("; ") if note and " was not measured in " not in note]
    errors = [f"{name}_loss_sd" for name in named if f"{name}_loss_sd" in runs.table]
    if items is None and errors and runs.table["run"].duplicated().any():
        runs = replace(runs, table=runs.table.drop(columns=errors))
        notes.append("numbers of items not used: the checkpoints of a run share its errors, and all runs the items")
    return replace(runs, note="; ".join(notes), unit=ERROR_RATE)


def _in_nats(
    frame: pd.DataFrame,
    named: Mapping[str, str],
    loss_of: Mapping[str, str],
    unit: Unit | Mapping[str, Unit] | None,
    bytes_per_token: BytesPerToken | None,
) -> dict[str, pd.Series]:
    """Return the loss that every score follows, in nats."""
    if missing := [name for name in named if name not in loss_of]:
        raise unknown_name("benchmark (in against=)", missing[0], loss_of)
    of = {name: loss_of[name] for name in named}
    units = units_of(of, unit, bytes_per_token)
    table = pd.DataFrame({f"{name}_loss": numeric(frame, column, gaps=True) for name, column in of.items()})
    table, _ = in_nats(table, of, units)
    for name, column in of.items():
        values = table[f"{name}_loss"].rename(column)
        refuse(values, values <= 0, "a loss is above 0")
    return {name: table[f"{name}_loss"] for name in named}


def _chances(
    frame: pd.DataFrame, named: Mapping[str, str], chance: float | Mapping[str, float] | None
) -> dict[str, pd.Series]:
    """Return the score of guessing, by benchmark."""
    stated = dict(chance) if isinstance(chance, Mapping) else dict.fromkeys(named, chance)
    found = {}
    for name in named:
        column = next((c for c in (f"{name}_chance", "chance") if c in frame), None)
        if stated.get(name) is None and column is None:
            raise DataError(
                f"the score of guessing in {name} is not known: give chance={{{name!r}: 0.25}} (0 for open answers), "
                f"or a column {name}_chance"
            )
        given = stated.get(name)
        values = numeric(frame, str(column)) if given is None else pd.Series(float(given), frame.index, name="chance")
        lies = "guessing scores 0 or more, and less than 1"
        refuse(values, values.between(1, 100, inclusive="right"), f"{lies}; divide percentages by 100")
        refuse(values, ~values.between(0, 1, inclusive="left"), f"{lies}; correct it")
        found[name] = values
    return found


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
            raise DataError(f"{name} has {exact(counts[bad][0])} test items: give their number, at least 1")
    return found
