"""The reader that laws of a kind take a table by."""

from collections.abc import Mapping
from typing import Any

from bayeslaw.declare.laws import Kind
from bayeslaw.tables.curves import read_curves
from bayeslaw.tables.reading import Table
from bayeslaw.tables.runs import Runs, read_runs
from bayeslaw.tables.scores import has_scores, losses_of_scores, read_scores

__all__ = ["read_for"]


def read_for(
    kind: Kind,
    table: Table,
    *,
    loss: Mapping[str, str] | None = None,
    units: Mapping[str, Any] | None = None,
    curves: Mapping[str, Any] | None = None,
    columns: Mapping[str, str],
) -> Runs:
    """Read a table as laws of a kind take it: as curves, as scores (against a loss, or without any), or as runs.

    Parameters
    ----------
    kind : Kind
        The kind of the law.
    table, loss
        As in `bayeslaw.read_runs`; for laws from loss to score, the loss that each benchmark's score follows.
    units : mapping, optional
        `unit` and `bytes_per_token` of `bayeslaw.read_runs`.
    curves : mapping, optional
        `warmup`, `before` and `memory` of `bayeslaw.read_curves`.
    columns : mapping
        ``{canonical: column in the table}``.
    """
    named: dict[str, Any] = {**(units or {}), **columns}
    if kind == "schedule":
        return read_curves(table, loss=loss, **(curves or {}), **named)
    if kind == "score" and (against := loss or losses_of_scores(table, columns)):
        return read_scores(table, against=against, **named)
    if loss is None and not units and has_scores(table, columns):
        return read_scores(table, **named)
    return read_runs(table, loss=loss, **named)
