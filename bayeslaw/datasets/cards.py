"""The card of a data set: its source, its licence, and the unit and meaning of every column."""

import html
import textwrap
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from bayeslaw.base.arguments import checked
from bayeslaw.base.numbers import exact
from bayeslaw.base.words import counted
from bayeslaw.errors import unknown_name

HERE = files(__package__)
REGISTRY = "public.toml"


class Column(NamedTuple):
    """Unit (empty where there is none, "1" for a pure number) and meaning of one column."""

    unit: str
    meaning: str


@dataclass(frozen=True)
class Card:
    """The description of a data set; printing it shows the whole card.

    Attributes
    ----------
    name, title, what
        Name, title, and one line about the rows.
    source
        Citation with arXiv id and table or figure, or the place of measurement.
    licence
        Terms of use.
    rows
        Number of rows.
    home
        "embedded" in the package, or "fetchable" from its public home.
    notes
        How the data were made, and cautions.
    columns
        Unit and meaning of every column, in order.
    numbers
        Other published numbers (a baseline, the paper's answer), explained in `notes`.
    """

    name: str
    title: str
    what: str
    source: str
    licence: str
    rows: int
    home: str
    notes: tuple[str, ...]
    columns: dict[str, Column]
    numbers: dict[str, float]

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

    def __str__(self) -> str:
        """Return the card as plain text, wrapped at 100 characters."""
        wide = max(map(len, [*self.columns, *self.numbers])) + 2
        unit = max(len(column.unit) for column in self.columns.values()) + 2
        parts = [
            f"{self.name}: {self.title}",
            f"{self.what} ({counted(self.rows, 'row')}, {self.home})",
            f"source   {self.source}",
            f"licence  {self.licence}",
            *(f"- {note}" for note in self.notes),
            "columns",
            *(f"  {name:{wide}}{about.unit:{unit}}{about.meaning}" for name, about in self.columns.items()),
        ]
        if self.numbers:
            parts += ["numbers", *(f"  {name:{wide}}{exact(value)}" for name, value in self.numbers.items())]
        return "\n".join(textwrap.fill(part, 100, subsequent_indent="    ") for part in parts)


def names() -> list[str]:
    """Names of all data sets, alphabetically."""
    cards = (entry.name for entry in HERE.iterdir() if entry.name.endswith(".toml") and entry.name != REGISTRY)
    return sorted(name.removesuffix(".toml") for name in cards)


@checked
def card(name: str) -> Card:
    """Return the card of a data set of `catalogue()`.

    Raises
    ------
    UnknownName
        There is no such data set.
    """
    if name not in names():
        raise unknown_name("data set", name, names())
    content = tomllib.loads((HERE / f"{name}.toml").read_text(encoding="utf-8"))
    return Card(
        name=name,
        home="embedded" if embedded_file(name) else "fetchable",
        notes=tuple(content.pop("notes")),
        columns={column: Column(**about) for column, about in content.pop("columns").items()},
        numbers=content.pop("numbers", {}),
        **content,
    )


def embedded_file(name: str) -> str | None:
    """Return the file name of an embedded table; None for a fetchable one."""
    return next((file for file in (f"{name}.csv", f"{name}.csv.gz") if (HERE / file).is_file()), None)
