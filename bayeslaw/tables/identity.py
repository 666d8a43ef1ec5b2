"""Which rows of a table belong to which run: without a run column, and where a run was resumed."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayeslaw.base.words import counted, place
from bayeslaw.errors import DataError
from bayeslaw.tables.mixtures import PREFIX
from bayeslaw.tables.reading import row

__all__ = ["ALONG", "check_cells", "named_runs", "without_repeats"]

ALONG = ("D", "step", "lr")
"""Columns that vary along a run by their meaning; without steps, a rate of learning tells runs apart."""

VARYING = re.compile(
    r"(?<![a-z])(time|timestamp|date|created|runtime|elapsed|wall|wallclock|clock|hours?|minutes?|seconds?|secs?"
    r"|epoch|iter|iteration|progress|checkpoint|ckpt|throughput|mfu|grad|gradient|loss|losses|ppl|perplexity|nll|bpb"
    r"|acc|accuracy|score)(?![a-z])",
    re.I,
)
"""Names of what is measured along a run: times, progress, throughput, gradients, losses and scores."""

IDENTIFYING = re.compile(r"(?<![a-z])(seed|id|run|trial|replicate)(?![a-z])", re.I)
"""Names of numbers that tell runs apart, even where each has a row of its own."""


def named_runs(frame: pd.DataFrame, settings: Sequence[str], measured: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """Return a table without a run column with one, and a note on the columns that tell its runs apart.

    Parameters
    ----------
    frame : DataFrame
        The canonical table.
    settings : sequence of str
        Columns that are fixed in a run by their meaning.
    measured : sequence of str
        Losses and their known errors.

    Notes
    -----
    Every other column tells runs apart too, unless it varies along a run: its name says so; or it holds numbers of
    which each stands in one row only, or belongs to one number of tokens (or steps) only, as an epoch does.
    """
    along = [c for c in ALONG if c in frame and (c != "lr" or "step" in frame)]
    path = [c for c in ("D", "step") if c in frame]
    others = [
        c for c in frame.columns if c not in (*settings, *measured, *along) and frame[c].nunique(dropna=False) > 1
    ]
    fixed = list(settings)
    varying: list[str] = []
    for column in sorted(others, key=lambda c: (frame[c].dtype.kind in "fiu", frame[c].is_unique)):
        (varying if _varies_along(frame, column, fixed, path) else fixed).append(column)
    number = frame.groupby(fixed, dropna=False).ngroup() if fixed else pd.Series(0, index=frame.index)
    runs = frame.assign(run="run " + (number + 1).astype(str))
    if not along:
        return runs, ""
    several = (c for c in fixed if frame[c].nunique(dropna=False) > 1)
    telling = list(dict.fromkeys("the shares of sources" if c.startswith(PREFIX) else c for c in several))
    notes = [f"no run column: {counted(runs['run'].nunique(), 'run')}"]
    if telling:
        notes[0] += f", distinguished by {', '.join(telling)}"
    if varying:
        notes.append(f"not by {', '.join(varying)} (varying along a run)")
    if runs["run"].nunique() == len(frame) > 1 and any(frame[c].nunique() > 1 for c in path):
        notes.append("every row is a run of its own: if some are checkpoints of one run, name their run")
    return runs, "; ".join(notes)


def _varies_along(frame: pd.DataFrame, column: str, fixed: Sequence[str], path: Sequence[str]) -> bool:
    """Return whether a column varies along the runs that the fixed columns tell apart."""
    if VARYING.search(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)):  # gradNorm is two words
        return True
    if frame[column].dtype.kind not in "fiu" or IDENTIFYING.search(column):
        return False
    if not path or frame.duplicated([*fixed, *path]).any():
        return False
    pairs = frame[[column, path[0]]].drop_duplicates()
    return bool(frame[column].is_unique or (pairs[column].is_unique and pairs[path[0]].is_unique))


def without_repeats(frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the rows of runs without those that a resumed run logged again, and a note.

    A run was resumed where its steps, in the order of the table, go back to one after its first and repeat one or
    more of them. The rows that the resumption replaces are left out, whether their step was logged again or not.
    """
    replaced = np.zeros(len(frame), bool)
    for at in frame.groupby("run", sort=False).indices.values():
        step = frame["step"].to_numpy()[at]
        later = np.minimum.accumulate(step[::-1])[::-1]
        old = np.append(step[:-1] >= later[1:], False)
        if not old[0] and np.isin(step[old], step[~old]).any():
            replaced[at] = old
    if not replaced.any():
        return frame, ""
    runs = frame["run"][replaced].unique()
    named = f"the run {runs[0]!r}" if len(runs) == 1 else f"{len(runs)} runs"
    gone = counted(int(replaced.sum()), "row")
    return frame[~replaced], f"{named} resumed at an earlier step: {gone} from before left out, the later ones kept"


def check_cells(frame: pd.DataFrame) -> None:
    """Refuse two rows of one run at the same tokens, step and rate."""
    cell = ["run", *(c for c in ALONG if c in frame)]
    if not (again := frame.duplicated(cell)).any():
        return
    of = frame.loc[again, cell].iloc[0]
    first = (frame[cell] == of).all(axis="columns")
    where = place({c: of[c] for c in cell})
    raise DataError(
        f"{row(again)} measures the same cell as {row(first)} ({where}): leave one out, map the column in which they "
        "differ, or give replicates different names in a run column"
    )
