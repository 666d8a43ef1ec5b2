"""Which laws apply to a table, what each can answer, which rows lie outside its range, and the line that fits it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw import models
from bayeslaw.base.arguments import checked
from bayeslaw.base.words import Described, counted, facts, facts_html, span
from bayeslaw.decisions.fitting_line import Outside, fitting_line
from bayeslaw.decisions.table import DECISIONS
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.declare.questions import QUESTIONS
from bayeslaw.errors import BayeslawError, DataError, unknown_name
from bayeslaw.spec.ranges import holding, inside, ranges
from bayeslaw.spec.specification import Specification
from bayeslaw.tables.lookalikes import likely_roles
from bayeslaw.tables.mixtures import sources
from bayeslaw.tables.reading import Table
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.understood import Reading, Understood, understood
from bayeslaw.tables.units import BytesPerToken, Unit

__all__ = ["Suggestion", "Suggestions", "suggest"]

SETTINGS = ("N", "D", "U", "domain_share", "duration", "domain")
"""Columns that a law leaves out at a cost where they vary."""

CHOICES: tuple[Outside, ...] = (None, "exclude", "include")

FAR = 100
"""Factor between the runs and a law's reference run beyond which its priors want the study's own."""


@dataclass(frozen=True, repr=False)
class Suggestion(Described):
    """A law that applies to a table.

    Attributes
    ----------
    law : Law
        The law.
    command : str
        The line that fits it: of the command line where the table is a file, of Python elsewhere.
    answers : tuple of str
        The decisions that it answers, beside predictions.
    outside : pandas.DataFrame
        The measurements outside its range: ``eval``, ``run``, its columns and the loss.
    outside_rows : {None, "exclude", "include"}
        What the line does with these, as `outside` of `bayeslaw.Model`.
    instead : tuple of str
        A few laws that hold for these measurements and all others of the loss.
    ignores : tuple of str
        Columns that vary in the table and are not in the law.
    """

    law: Law
    command: str
    answers: tuple[str, ...]
    outside: pd.DataFrame
    outside_rows: Outside
    instead: tuple[str, ...]
    ignores: tuple[str, ...]

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [("answers", ", ".join(name.replace("_", "-") for name in ("predict", *self.answers)))]
        if len(self.outside):
            rows.append(("outside", self._range()))
        if self.ignores:
            vary = "varies" if len(self.ignores) == 1 else "vary"
            rows.append(("ignores", f"{', '.join(self.ignores)}, which {vary}: keep one value, or pool over it"))
        return f"{self.law.name}: {self.law.title}", [*rows, ("fit", self.command)]

    def _range(self) -> str:
        """Return the measurements outside the range of the law in words."""
        measured = self.outside["eval"].value_counts(sort=False).items()
        counts = ", ".join(f"{n} {e} {'loss' if n == 1 else 'losses'}" for e, n in measured)
        limited = [c for c in self.law.columns if c in ("domain_share", "duration") and c in self.outside]
        where = "".join(f" at {span(c, self.outside[c])}" for c in limited)
        done = {None: "stay out of the fit", "exclude": "stay out, by --inside", "include": "are fitted, by --outside"}
        other = f"; all lie within the range of {', '.join(self.instead)}" if self.instead else ""
        return f"{counts}{where} outside {ranges(self.law)}; they {done[self.outside_rows]}{other}"


@dataclass(frozen=True, repr=False)
class Suggestions:
    """The laws that apply to a table, the fittest first.

    Attributes
    ----------
    laws : tuple of Suggestion
        By the question that they answer; the first of a question is the fittest.
    notes : tuple of str
        Which columns were taken for which, and what was changed when the table was read.
    refused : mapping
        Why laws whose columns the table has, or all but one, cannot be fitted, by their names; shown of those that hold
        where the fittest law does not.
    about : str
        The runs in words.
    """

    laws: tuple[Suggestion, ...]
    notes: tuple[str, ...]
    refused: Mapping[str, str]
    about: str

    def __iter__(self) -> Iterator[Suggestion]:
        return iter(self.laws)

    def __getitem__(self, law: str) -> Suggestion:
        found = {one.law.name: one for one in self.laws}
        if law in found:
            return found[law]
        if law in self.refused:
            raise DataError(f"{law} cannot be fitted to this table: {self.refused[law]}")
        raise unknown_name("law that applies to this table", law, found)

    def to_frame(self) -> pd.DataFrame:
        """Return a row per law: its name, its question, decisions, measurements outside its range, and the line."""
        rows = [
            {
                "law": one.law.name,
                "question": QUESTIONS[one.law.kind],
                "answers": ", ".join(one.answers),
                "outside": len(one.outside),
                "ignores": ", ".join(one.ignores),
                "command": one.command,
            }
            for one in self.laws
        ]
        return pd.DataFrame(rows, columns=["law", "question", "answers", "outside", "ignores", "command"])

    @property
    def _blocks(self) -> list[tuple[str, list[tuple[str, str]]]]:
        """The titles and facts of what is shown: the table, and the fittest law of every question."""
        blocks = [(self.about, [("note", note) for note in self.notes])]
        for question in dict.fromkeys(QUESTIONS[one.law.kind] for one in self.laws):
            first, *others = (one for one in self.laws if QUESTIONS[one.law.kind] == question)
            name, rows = first._about()
            also = [("also", ", ".join(one.law.name for one in others))] if others else []
            barred = [("cannot fit", f"{law}: {self.refused[law]}") for law in first.instead if law in self.refused]
            blocks.append((question, [("law", name), *rows, *also, *barred]))
        if not self.laws:
            blocks.append(
                (
                    "No law applies: `bayeslaw laws` shows the columns that each takes.",
                    [("cannot fit", f"{law}: {why}") for law, why in self.refused.items()],
                )
            )
        return blocks

    def __repr__(self) -> str:
        return "\n\n".join(facts(*block) for block in self._blocks)

    def _repr_html_(self) -> str:
        return "".join(facts_html(*block) for block in self._blocks)


@checked
def suggest(
    table: Table | Runs,
    *,
    loss: Mapping[str, str] | None = None,
    unit: Unit | Mapping[str, Unit] | None = None,
    bytes_per_token: BytesPerToken | None = None,
    warmup: int | None = None,
    **columns: str,
) -> Suggestions:
    """Say which laws apply to a table, what each can answer, which rows lie outside its range, and how to fit it.

    Columns with other names are taken for the canonical ones that they look like; the notes say which, and the line
    that fits a law maps them. Nothing is fitted.

    Parameters
    ----------
    table : DataFrame, path or Runs
        Runs, curves, mixtures, upsampling windows or scores.
    loss, unit, bytes_per_token, **columns
        As in `bayeslaw.read_runs`, where the names alone do not say it.
    warmup : int, optional
        Of curves: as in `bayeslaw.read_curves`.

    Returns
    -------
    Suggestions

    Raises
    ------
    DataError
        The table cannot be used as it is.

    Examples
    --------
    >>> suggest("runs.csv")  # doctest: +SKIP
    >>> suggest(read_runs("runs.csv"))["dcpt"].outside  # doctest: +SKIP
    """
    units = {name: value for name, value in (("unit", unit), ("bytes_per_token", bytes_per_token)) if value is not None}
    read = understood(table, loss, units, columns)
    runs, notes = read.runs, [*read.notes]
    try:
        curves = [*read.curves(warmup)]
    except DataError as e:
        curves = []
        notes.append(f"it cannot be read as curves: {e}")
    found: list[tuple[Specification, Suggestion]] = []
    refused: dict[str, str] = {}
    for law in models.catalogue.values():
        if law.of_scores and not read.scores and law.kind != "score":
            continue
        have: set[str] = set()
        try:
            readings = curves if law.kind == "schedule" else [read.read(law.kind)]
            if not readings:
                continue
            reading = next((one for one in readings if set(law.columns) <= _columns(one.runs)), readings[0])
            have = _columns(reading.runs)
            found.append(_suggestion(law, reading, read))
        except BayeslawError as e:
            missing = [c for c in law.columns if have and c not in have]
            if len(missing) < 2:
                starts = missing and any(c.start for name, c in law.covariates.items() if name == missing[0])
                told = starts or not missing  # the error says where such a column comes from
                refused[law.name] = str(e) if told else f"it needs a column {_shown(missing[0])} too"
    if (why := refused.get("loss_to_score")) and any(str(c).endswith("_score") for c in (*runs.table, *read.columns)):
        notes.append(f"no law from loss to score: {why}")
    kinds, order = list(QUESTIONS), list(models.catalogue)

    def place(each: tuple[Specification, Suggestion]) -> tuple[Any, ...]:
        model, one = each
        unlike = read.scores != one.law.of_scores
        return kinds.index(one.law.kind), unlike, *_unfitness(model, one), order.index(one.law.name)

    laws = tuple(one for _, one in sorted(found, key=place))
    about = f"{read.file or 'table'}: {counted(len(runs), 'row')} in {counted(runs.table['run'].nunique(), 'run')}"
    notes += [runs.note] * bool(runs.note)
    return Suggestions(laws, tuple(notes), refused, f"{about}; {', '.join(runs.evals)}")


def _columns(runs: Runs) -> set[str]:
    return {*map(str, runs.table), *([WEIGHT] if sources(runs.table) else [])}


def _shown(column: str) -> str:
    return f"{WEIGHT}_<source>" if column == WEIGHT else column


def _suggestion(law: Law, reading: Reading, read: Understood) -> tuple[Specification, Suggestion]:
    """Return the model of a law, and what is said of it."""
    runs = reading.runs
    likely = likely_roles(runs.table, runs.evals) if law.tells_evals_apart else {}
    kept = tuple(e for e in runs.evals if not law.evals or likely.get(e) in law.evals)
    if not kept:
        raise DataError(f"it is a law of the {' or the '.join(law.evals)} loss: name it with --role")
    if kept != runs.evals:
        reading = read.read(law.kind, kept)
    roles = {e: likely[e] for e in kept if likely.get(e, e) != e}
    model, choice = _model(law, reading.runs, roles)
    of_model = {"role": roles, "by": _by(model), "reference": _reference(model)}
    line = fitting_line(law, read.file, reading.options, of_model, choice)
    measured = {role for role in law.evals if model.design.of_role(role)}
    decisions = tuple(
        name
        for name, decision in DECISIONS.items()
        if decision.applies(law) and (not decision.role or not law.evals or decision.role in measured)
    )
    out, ignores = _outside(model), _ignored(law, reading.runs, of_model["by"])
    elsewhere = (holding(law, model.design.rows, e, throughout=True).split(", ") for e in out["eval"].unique())
    instead = tuple(dict.fromkeys(name for names in elsewhere for name in names if name))
    return model, Suggestion(law, line, decisions, out, choice, instead, ignores)


def _unfitness(model: Specification, one: Suggestion) -> tuple[float, ...]:
    """Return the reasons against a law, the weightiest first.

    Varying columns that it leaves out, tenths of the measurements outside its range, a count of epochs where nothing is
    repeated, how few of its columns vary, and how few it has.
    """
    law, rows = model.law, model.design.rows
    tenths = round(10 * len(one.outside) / int(rows["loss"].notnull().sum()))
    idle = "U" in law.columns and not _repeat(model.runs)
    varying = sum(bool((rows[c] != rows[c][0]).any()) for c in law.columns if rows[c].dims[:1] == ("row",))
    return len(one.ignores), tenths, idle, -varying, -len(law.columns)


def _repeat(runs: Runs) -> bool:
    """Return whether some run sees its unique tokens more than once."""
    if not {"D", "U"} <= set(runs.table):
        return False
    seen = runs.table["D"] * runs.table.get("domain_share", 1.0)
    return bool((seen > runs.table["U"]).any())


def _model(law: Law, runs: Runs, roles: Mapping[str, str]) -> tuple[Specification, Outside]:
    """Return a model whose range the engine accepts, and the choice of the rows outside it."""
    for choice in CHOICES[:-1]:
        try:
            model = Specification(law, runs, roles=roles, outside=choice)
            model.check_range()
            return model, choice
        except DataError:
            continue
    return Specification(law, runs, roles=roles, outside=CHOICES[-1]), CHOICES[-1]


def _by(model: Specification) -> dict[str, str]:
    """Return the pooling of the level of a law over the domains of a table."""
    table, law = model.runs.table, model.law
    several = "domain" in table and table["domain"].nunique() > 1
    if not several or any(covariate.of == "domain" for covariate in law.covariates.values()):
        return {}
    return {name: "domain" for name, along in model.terms.items() if along == "level"}


def _reference(model: Specification) -> dict[str, str]:
    """Return the mean of the runs, in one digit, in the covariates where the law's reference run is far from it."""
    found = {}
    for name, values in model.law.inputs(model.design.rows, model.reference).items():
        positive = values.values[values.values > 0]
        if len(positive) and model.reference[name] != 1 and not 1 / FAR < positive.mean() < FAR:
            found[name] = f"{positive.mean() * model.reference[name]:.0e}".replace("e+0", "e").replace("e+", "e")
    return found


def _outside(model: Specification) -> pd.DataFrame:
    """Return the measurements outside the range of the law."""
    law, rows = model.law, model.design.rows
    out = (rows["loss"].notnull() & ~inside(law, rows)).transpose("row", "eval")
    labels = [c for c in dict.fromkeys(("run", law.path, *law.columns)) if c in rows and rows[c].dims == ("row",)]
    row, ev = np.nonzero(out.values)
    frame = pd.DataFrame({c: rows[c].values[row] for c in labels})
    frame.insert(0, "eval", rows["eval"].values[ev].astype(str))
    return frame.assign(loss=rows["loss"].transpose("row", "eval").values[row, ev])


def _ignored(law: Law, runs: Runs, by: Mapping[str, str]) -> tuple[str, ...]:
    """Return the settings that vary in a table and are not in the law."""
    if law.kind == "score":  # the loss stands for all settings
        return ()
    known = {*law.columns, *by.values(), *(covariate.of for covariate in law.covariates.values())}
    known |= {"D"} if law.kind == "schedule" else set()
    known |= set() if _repeat(runs) else {"U"}
    varying = (c for c in SETTINGS if c in runs.table and c not in known and runs.table[c].nunique() > 1)
    return (*varying, *([] if WEIGHT in known or not sources(runs.table) else ["the shares of sources"]))
