"""How a table is read: which columns look like canonical ones, and the runs that follow."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from bayeslaw.base.words import counted
from bayeslaw.declare.laws import Kind
from bayeslaw.errors import DataError
from bayeslaw.tables.lookalikes import likely_columns, likely_losses, likely_scores
from bayeslaw.tables.readers import read_for
from bayeslaw.tables.reading import Table
from bayeslaw.tables.runs import Runs, read_labelled
from bayeslaw.tables.schedules import unknown
from bayeslaw.tables.scores import has_scores, losses_of_scores
from bayeslaw.tables.units import unit_named

__all__ = ["Reading", "Understood", "understood"]

FEWEST_STEPS = 3
"""Logged steps of some run of a table of curves."""


@dataclass(frozen=True)
class Reading:
    """Runs, and the options of `bayeslaw fit` that read them: ``map``, ``loss``, ``unit``, ``before`` and the like."""

    runs: Runs
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Understood:
    """A table and how it is read.

    Attributes
    ----------
    table : DataFrame, path or Runs
        As it was given.
    columns, loss, units : mapping
        What `bayeslaw.tables.readers.read_for` takes.
    notes : tuple of str
        Which columns were taken for which.
    scores : bool
        Whether it holds scores of benchmarks.
    """

    table: Any
    columns: Mapping[str, str] = field(default_factory=dict)
    loss: Mapping[str, str] | None = None
    units: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scores: bool = False

    @property
    def file(self) -> Path | None:
        """The file that it is in."""
        return Path(self.table) if isinstance(self.table, str | os.PathLike) else None

    @cached_property
    def runs(self) -> Runs:
        """The runs that it is read as."""
        return self._read("other", self.loss, {})

    def read(self, kind: Kind, evals: tuple[str, ...] | None = None, **curves: Any) -> Reading:
        """Return it as laws of a kind take it, with some of its validation sets or all."""
        if isinstance(self.table, Runs):
            if evals is not None:
                raise DataError(f"it uses the {' and '.join(evals)} loss only: read the runs with that loss alone")
            return Reading(self.table, {})
        loss = self.loss
        if evals is not None:
            own = loss or {e: f"{e}_loss" for e in self.runs.evals}
            loss = {e: own[e] for e in evals}
        followed = losses_of_scores(self.table, self.columns) if kind == "score" else {}
        as_it_is = kind != "schedule" and evals is None and not followed
        runs = self.runs if as_it_is else self._read(kind, followed or loss, curves)
        return Reading(runs, {"map": self.columns, "loss": followed or loss or {}, **self.units, **curves})

    def _read(self, kind: Kind, loss: Mapping[str, str] | None, curves: Mapping[str, Any]) -> Runs:
        if isinstance(self.table, Runs):
            return self.table
        before = {"before": unknown()} if "before" in curves else {}
        curves = {**curves, **before}
        return read_for(kind, self.table, loss=loss, units=self.units, curves=curves, columns=self.columns)

    def curves(self, warmup: int | None) -> Iterator[Reading]:
        """Yield it as curves, and as curves that continue an unknown pre-training where it has shares of a domain.

        A table without schedules yields none.
        """
        given: dict[str, Any] = {} if warmup is None else {"warmup": warmup}
        if isinstance(self.table, Runs):
            if self.table.area_settings:
                yield Reading(self.table, {})
            return
        table = self.runs.table
        if {"step", "lr"} <= set(table) and table.groupby("run")["step"].nunique().max() >= FEWEST_STEPS:
            yield self.read("schedule", **given)
            if "domain_share" in table:
                yield self.read("schedule", before="unknown", **given)


def understood(table: Table | Runs, loss: Any, units: Mapping[str, Any], columns: Mapping[str, str]) -> Understood:
    """Return what a table is taken for; `loss`, `units` and `columns` as far as the user has said it."""
    if isinstance(table, Runs):
        below = bool((table.table[table.loss_columns].fillna(0) < 1).all(axis=None))
        taken = ("every loss is below 1 and is read as an error rate, 1 - score",) * below
        return Understood(table, notes=taken, scores=below)
    frame = read_labelled(table, columns)
    unread = frame.drop(columns=[c for c in columns.values() if c in frame])
    names, notes = dict(columns), []
    for canonical, alike in likely_columns(unread.assign(**dict.fromkeys(columns, 0.0))).items():
        names[canonical] = alike[0]
        others = f" (as {' and '.join(alike[1:])} does)" if alike[1:] else ""
        notes.append(f"{alike[0]} looks like {canonical}{others}: --map {quote(f'{canonical}={alike[0]}')}")
    losses = dict(loss) if loss else None
    if (
        not losses
        and not has_scores(frame, names)
        and not any(c == "loss" or c.endswith("_loss") for c in map(str, frame))
    ):
        losses = likely_losses(unread) or None
        notes += [f"{c} looks like the {e} loss: --loss {quote(f'{e}={c}')}" for e, c in (losses or {}).items()]
        if losses is None:
            scores = {f"{name}_score": column for name, column in likely_scores(unread).items()}
            names |= scores
            notes += [
                f"{column} looks like {name}: --map {quote(f'{name}={column}')}" for name, column in scores.items()
            ]
    notes += _untaken(unread, names)
    units = dict(units)
    if losses and "unit" not in units and (named := {e: u for e, c in losses.items() if (u := unit_named(c))}):
        units["unit"] = named
        notes += [f"{losses[e]} looks like {u}: --unit {quote(f'{e}={u}')}" for e, u in named.items()]
    scores_only = losses is None and has_scores(frame, names)
    return Understood(table, names, losses, units, tuple(notes), scores_only)


def _untaken(frame: pd.DataFrame, names: Mapping[str, str]) -> list[str]:
    """Return notes on columns that say what a canonical one does, which no option can map."""
    notes = []
    replay = [c for c in frame if "replay" in str(c).lower() and frame[c].dtype.kind in "iuf"]
    if replay and "domain_share" not in {*frame, *names}:
        notes.append(f"{replay[0]} looks like the share of the general corpus: add a column domain_share, 1 minus it")
    scores = {name: c for name, c in likely_scores(frame).items() if c not in names.values()}
    if scores and not any(c.endswith("_score") for c in [*map(str, frame), *names]):
        name, column = next(iter(scores.items()))
        notes.append(
            f"{counted(len(scores), 'column')} ({column}, ...) may be scores: for a law from loss to score, "
            f"--map {quote(f'{name}_score={column}')}, and a column {name}_chance, the score of guessing"
        )
    return notes
