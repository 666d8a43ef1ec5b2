"""Tables of training runs, read from user data and checked."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.words import Described, counted, label
from bayeslaw.declare.names import DIMS, WEIGHT
from bayeslaw.errors import DataError, unknown_name
from bayeslaw.tables.identity import ALONG, check_cells, named_runs, without_repeats
from bayeslaw.tables.mixtures import PREFIX, folded, normalised, sources
from bayeslaw.tables.plausible import check_ranges, doubtful_losses
from bayeslaw.tables.reading import FILL, Table, as_text, check_named, numeric, read_table, row
from bayeslaw.tables.units import NATS, BytesPerToken, Unit, in_nats, one_unit, units_of

__all__ = ["Runs", "read_labelled", "read_runs"]

NUMBERS = ("N", "D", "U", "step", "lr", "domain_share", "duration", "k1", "k2", "k3")
LABELS = ("run", "domain")

OF_TRAINING = ("U", "lr", "domain_share")
"""Numbers of the training, which the row of a model before it (D = 0) need not have."""

MOST_LISTED_LABELS = 8
"""A column with more labels than this is not listed."""


@dataclass(frozen=True, repr=False)
class Runs(Described):
    """Checked measurements: one row per measured cell, one loss per validation set.

    Attributes
    ----------
    table : pandas.DataFrame
        Canonical columns (`run`, covariates, labels) and ``<eval>_loss`` (in `unit`) per validation set, with
        ``<eval>_loss_sd`` where the measurement error is known.
    evals : tuple of str
        Names of the validation sets.
    baseline : pandas.DataFrame
        The rows at D = 0, before continual pre-training; never part of a likelihood.
    note : str
        What was changed when the table was read.
    area_settings : mapping
        Settings of the areas under the schedules of curves: `memory`, `warmup_counted` and `tail` of `Schedule.areas`,
        and `power_C`, `power_beta`, `power_gamma` of `PowerMemory`. Empty for runs that are not curves.
    unit : str
        Unit of the losses: nats per token, nats per byte, or error rate.
    """

    table: pd.DataFrame
    evals: tuple[str, ...]
    baseline: pd.DataFrame
    note: str = ""
    area_settings: Mapping[str, Any] = field(default_factory=dict)
    unit: str = NATS

    def __len__(self) -> int:
        return len(self.table)

    @property
    def dataset(self) -> xr.Dataset:
        """The table as a labelled Dataset with dims ``row`` and ``eval``; losses in `unit`."""
        measured, unit = self.measured_columns, {"units": self.unit}
        labels = (c for c in self.table.columns if c not in measured)
        columns: dict[str, Any] = {c: ("row", self.table[c].to_numpy()) for c in labels}
        columns["loss"] = (("row", "eval"), self.table[self.loss_columns].to_numpy(float), unit)
        if len(measured) > len(self.evals):
            known = self.table.reindex(columns=[f"{c}_sd" for c in self.loss_columns], fill_value=0.0)
            columns["loss_sd"] = (("row", "eval"), known.to_numpy(float), unit)
        rows = xr.Dataset(columns, coords={"eval": list(self.evals)})
        return rows.assign({WEIGHT: folded(self.table)}) if sources(self.table) else rows

    @property
    def loss_columns(self) -> list[str]:
        """The columns of losses, in the order of `evals`."""
        return [f"{e}_loss" for e in self.evals]

    @property
    def measured_columns(self) -> list[str]:
        """The columns of losses, and those of their known measurement errors."""
        known = [f"{c}_sd" for c in self.loss_columns]
        return [*self.loss_columns, *(c for c in known if c in self.table)]

    @property
    def hash(self) -> str:
        """First 16 hex digits of the SHA-256 of the checked table, baseline included."""
        text = "".join(t.to_csv(index=False, float_format="%.12g") for t in (self.table, self.baseline))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def sorted_along(self, path: str) -> "Runs":
        """Return the runs sorted by run, then by a column if the table has it: the order of a `Design`."""
        by_run = ["run", path] if path in self.table else ["run"]
        return replace(self, table=self.table.sort_values(by_run, kind="stable").reset_index(drop=True))

    def select(self, keep: Any) -> "Runs":
        """Return the runs of the rows where `keep` (boolean, one per row of `table`) holds; the baseline stays."""
        return replace(self, table=self.table[np.asarray(keep, bool)].reset_index(drop=True))

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        t, exact = self.table, self.measured_columns[len(self.evals) :]
        rows = f"{len(t)} in {counted(t['run'].nunique(), 'run')}"
        about = [("rows", rows), ("validation sets", ", ".join(self.evals))]
        shown = [c for c in t.columns.difference(["run", *self.measured_columns], sort=False) if "@" not in str(c)]
        described = {c: _levels(t[c]) for c in shown}
        about += [(c, levels) for c, levels in described.items() if levels]
        if exact:
            about.append(("known errors", ", ".join(c.removesuffix("_loss_sd") for c in exact)))
        if len(self.baseline):
            about.append(("baseline", f"{counted(len(self.baseline), 'row')} at D = 0, kept apart"))
        if self.area_settings:
            about.append(("areas", ", ".join(f"{name} {value}" for name, value in self.area_settings.items())))
        if self.note:
            about.append(("note", self.note))
        return "Runs", about


@checked
def read_runs(
    table: Table,
    *,
    loss: str | Mapping[str, str] | None = None,
    loss_sd: str | Mapping[str, str] | None = None,
    unit: Unit | Mapping[str, Unit] | None = None,
    bytes_per_token: BytesPerToken | None = None,
    **columns: str,
) -> Runs:
    """Read and check a table of training runs.

    Parameters
    ----------
    table : DataFrame or path
        One row per measurement: a DataFrame of pandas, polars or PyArrow, or a path to CSV, Parquet, Feather or JSON
        (lines). Named levels of an index are columns. An exported chart of Weights & Biases is read as
        `bayeslaw.from_wandb` does.
    loss : str or mapping, optional
        The column of losses, or ``{validation set: column}``. Left out: a ``loss`` column, else every ``<eval>_loss``.
        Where validation sets were measured at different rows, the other cells are empty.
    loss_sd : str or mapping, optional
        The column of the known measurement error of a loss (standard deviation, in the unit of the loss), or
        ``{validation set: column}``. Left out: the columns ``loss_sd`` or ``<eval>_loss_sd``, if any.
    unit : {"nats", "bits", "bits per byte", "perplexity"} or mapping, optional
        Unit of the losses per token, or ``{validation set: unit}``; they are converted to nats. Left out: nats; a
        column that is named after another unit is refused then.
    bytes_per_token : float or mapping, optional
        Mean bytes per token of the validation sets, or of each, for losses in bits per byte.
    **columns : str
        ``canonical=column in the table``, for example ``N="params", D="tokens", domain_share="ratio", run="run_id"``.
        Canonical names: ``N`` (parameters), ``D`` (tokens), ``U`` (unique tokens), ``step``, ``lr``, ``domain_share``
        (in [0, 1]), ``weight_<source>``, ``domain``, ``run``. Other columns are kept as labels. Without a run column,
        rows that differ only in D, step, lr and what else varies along a run are one run; `Runs.note` names the
        columns that tell runs apart.

    Returns
    -------
    Runs

    Raises
    ------
    DataError
        The table cannot be used as it is; the sentence names column, row and remedy.
    """
    frame = read_labelled(table, columns)
    for canonical, column in columns.items():
        if not isinstance(column, str):
            raise DataError(f"the column for {canonical} is {column!r}: give a name, for example {canonical}='params'")
        if column not in frame.columns:
            raise DataError(f"column for {canonical}: {unknown_name('column', column, frame.columns)}")
    gone = [new for new in columns if new in frame and new not in columns.values()]
    frame = _renamed(frame, columns)
    losses = _loss_columns(frame, loss)
    units = units_of(losses, unit, bytes_per_token)
    known = _sd_columns(frame, losses, loss_sd)
    names = {f"{name}_loss": column for name, column in losses.items()}
    names |= {f"{name}_loss_sd": column for name, column in known.items()}
    frame = _renamed(frame, names)
    if not len(frame):
        raise DataError("the table has no rows; give at least one measured loss")
    evals = tuple(losses)
    for name in (numbers := [*names, *_covariates(frame)]):
        called, remedy = (columns | names).get(name), FILL if name in names else f"{FILL}, or drop the column"
        remedy = f"{FILL}; where no token is repeated, as many as D will do" if name == "U" else remedy
        untrained = frame["D"] == 0 if name in OF_TRAINING and "D" in frame else False
        gaps = untrained if name not in names else len(losses) > 1
        frame[name] = numeric(frame, name, called, gaps=gaps, remedy=remedy)
    for name in frame.columns.difference(numbers, sort=False):
        frame[name] = _label(frame[name], name)
    notes = [f"{columns[name]} replaces the table's own column {name}" for name in gone]
    notes.append(_gaps(frame, losses))
    frame, converted = in_nats(frame, losses, units)
    in_unit = {name: column if units[name][0] == "nats" else f"{column} in nats" for name, column in losses.items()}
    check_ranges(frame, in_unit, known)
    doubtful = doubtful_losses(frame, in_unit)
    frame, summed = normalised(frame)
    measured = [*(f"{e}_loss_sd" for e in evals if e in known), *(f"{e}_loss" for e in evals)]
    frame, told_apart = _with_runs(frame, measured)
    note = "; ".join(filter(None, [*notes, converted, doubtful, summed, told_apart]))
    start = frame["D"] == 0 if "D" in frame else pd.Series(False, index=frame.index)
    if start.all():
        raise DataError("every row has D = 0 (before training): give the losses measured during training too")
    measured_rows, before = (frame[at].reset_index(drop=True) for at in (~start, start))
    return Runs(measured_rows, evals, before, note, unit=one_unit(units))


def read_labelled(table: Table, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a table with its columns of labels, mapped as in `read_runs`, as unchanged text."""
    return read_table(table, [columns.get(label, label) for label in LABELS])


def _levels(values: pd.Series) -> str:
    """Describe a column: the range of its numbers, or its labels, their number if they are many."""
    if values.isna().all():
        return "missing in every row"
    if not pd.api.types.is_numeric_dtype(values):
        found = values.dropna().unique()
        return ", ".join(map(str, found)) if len(found) <= MOST_LISTED_LABELS else f"{len(found)} labels"
    levels = np.unique(values.dropna()).tolist()
    first, last = (label(values.name, level) for level in (levels[0], levels[-1]))
    return first if len(levels) == 1 else f"{first} to {last} ({len(levels)} levels)"


def _renamed(frame: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Rename columns, ``{new: old}``; drop other columns that have a new name already."""
    for column in (old := list(names.values())):
        if old.count(column) > 1:
            raise DataError(f"the column {column!r} is mapped twice: give each name a column of its own")
    namesakes = [new for new in names if new in frame.columns and new not in old]
    return frame.drop(columns=namesakes).rename(columns={column: new for new, column in names.items()})


def _loss_columns(frame: pd.DataFrame, loss: str | Mapping[str, str] | None) -> dict[str, str]:
    if isinstance(loss, Mapping):
        losses = dict(loss)
    elif loss is not None or "loss" in frame.columns:
        losses = {"validation": "loss" if loss is None else loss}
    else:
        losses = {c.removesuffix("_loss"): c for c in frame.columns if c.endswith("_loss")}
    if not losses:
        known = ", ".join(frame.columns)
        raise DataError(
            "no loss column: name it with loss= (--loss EVAL=COLUMN), or call it 'loss' or '<validation set>_loss' "
            f"(columns: {known})"
        )
    for name, column in losses.items():
        if not (isinstance(name, str) and name and isinstance(column, str)):
            raise DataError(
                f"the loss {name!r} in {column!r} has no name: give loss={{'validation set': 'its column'}}"
            )
        if column not in frame.columns:
            raise DataError(f"loss: {unknown_name('column', column, frame.columns)}")
    return losses


def _sd_columns(
    frame: pd.DataFrame, losses: Mapping[str, str], loss_sd: str | Mapping[str, str] | None
) -> dict[str, str]:
    if loss_sd is None:
        columns = {name: "loss_sd" if column == "loss" else f"{name}_loss_sd" for name, column in losses.items()}
        return {name: column for name, column in columns.items() if column in frame.columns}
    known = dict(loss_sd) if isinstance(loss_sd, Mapping) else dict.fromkeys(losses, loss_sd)
    if not isinstance(loss_sd, Mapping) and len(losses) > 1:
        raise DataError(
            f"loss_sd is {loss_sd!r}, but there are {len(losses)} losses: give loss_sd={{'validation set': 'its "
            "column'}"
        )
    for name, column in known.items():
        if name not in losses:
            raise DataError(f"loss_sd: {unknown_name('validation set', name, losses)}")
        if column not in frame.columns:
            raise DataError(f"loss_sd: {unknown_name('column', column, frame.columns)}")
    return known


def _gaps(frame: pd.DataFrame, losses: Mapping[str, str]) -> str:
    """Return a note on losses that were not measured in every row; a row without any is refused."""
    missing = frame[[f"{name}_loss" for name in losses]].isna()
    if (bare := missing.all(axis="columns")).any():
        raise DataError(f"every loss is missing in {row(bare)}: fill one in or leave the row out")
    counts = {column: int(missing[f"{name}_loss"].sum()) for name, column in losses.items()}
    return "; ".join(f"{column} was not measured in {n} of {len(frame)} rows" for column, n in counts.items() if n)


def _covariates(frame: pd.DataFrame) -> list[str]:
    """Return the columns that are numbers by their name, in canonical order."""
    return [c for c in (*NUMBERS, *(PREFIX + s for s in sources(frame))) if c in frame]


def _label(values: pd.Series, name: str) -> pd.Series:
    """Return a column that is no covariate: numbers and booleans unchanged, anything else as text with gaps."""
    if name == "loss_sd" or DIMS.get(name) and name != "batch":
        raise DataError(f"the table has a column {name!r}, a name that bayeslaw uses itself: rename or drop it")
    if values.dtype.kind in "fiub" and name not in LABELS:
        gaps = bool(values.isna().any())
        return pd.Series(values.to_numpy(float, na_value=np.nan) if gaps else values.to_numpy(), values.index)
    given = [None if gap else value for value, gap in zip(values, values.isna(), strict=True)]
    seen: dict[str, tuple[str, bool]] = {}
    for written, is_text in dict.fromkeys((str(v), isinstance(v, str)) for v in given if v is not None):
        if any(unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t" for c in written):
            raise DataError(f"{name} is {written[:80]!r}, which holds control characters: correct it")
        alike = unicodedata.normalize("NFKC", " ".join(written.split()))
        first = seen.setdefault(alike, (written, is_text))
        if name in LABELS and first != (written, is_text):
            raise DataError(
                f"{name} has two labels that look alike, {first[0][:80]!a} and {written[:80]!a} (blanks, accents, or a "
                "number and its text): write them one way"
            )
    return pd.Series([None if v is None else as_text(v) for v in given], values.index)


def _with_runs(frame: pd.DataFrame, measured: list[str]) -> tuple[pd.DataFrame, str]:
    """Return a table with its runs named, its columns in canonical order; and a note."""
    for column in (c for c in LABELS if c in frame):
        check_named(frame, column)
    numbers, note = _covariates(frame), ""
    if "run" not in frame:
        settings = [c for c in frame if c in (*numbers, *LABELS) and c not in ALONG]
        frame, note = named_runs(frame, settings, measured)
    elif "step" in frame:
        frame, note = without_repeats(frame)
    check_cells(frame)
    return frame[
        ["run", *numbers, *(c for c in frame.columns if c not in ("run", *numbers, *measured)), *measured]
    ], note
