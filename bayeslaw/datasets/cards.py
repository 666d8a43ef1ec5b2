"""The card of a data set: what it is, where it comes from, and what each column means."""

import html
import textwrap
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from bayeslaw.base.errors import unknown_name

HERE = files(__package__)
REGISTRY = "public.toml"


class Column(NamedTuple):
    """Unit (empty where there is none, "1" for a pure number) and meaning of one column."""

    unit: str
    meaning: str


@dataclass(frozen=True)
class Card:
    """What a data set is; printing it gives the whole card as text.

    Attributes
    ----------
    name, title, what
        Its name, its title, and one line on its rows.
    source
        Citation with arXiv id and table or figure, or where it was measured.
    licence
        Terms under which the numbers are here or can be fetched.
    rows
        Number of rows of the table.
    home
        "embedded" in the package or "fetchable" from its public home.
    notes
        How it was made, and cautions.
    columns
        Unit and meaning of every column, in order.
    numbers
        Published numbers that belong to the table (a baseline, the paper's answer), explained in `notes`.
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
        """Give the card as plain text, at most 100 characters wide where words allow."""
        wide = max(map(len, [*self.columns, *self.numbers])) + 2
        unit = max(len(column.unit) for column in self.columns.values()) + 2
        parts = [
            f"{self.name}: {self.title}",
            f"{self.what} ({self.rows:,} rows, {self.home})",
            f"source   {self.source}",
            f"licence  {self.licence}",
            *(f"- {note}" for note in self.notes),
            "columns",
            *(f"  {name:{wide}}{about.unit:{unit}}{about.meaning}" for name, about in self.columns.items()),
        ]
        if self.numbers:
            parts += ["numbers", *(f"  {name:{wide}}{value:g}" for name, value in self.numbers.items())]
        return "\n".join(textwrap.fill(part, 100, subsequent_indent="    ") for part in parts)


def names() -> list[str]:
    """Names of all data sets, alphabetically."""
    return sorted(
        entry.name.removesuffix(".toml")
        for entry in HERE.iterdir()
        if entry.name.endswith(".toml") and entry.name != REGISTRY
    )


def card(name: str) -> Card:
    """Read the card of a data set.

    Parameters
    ----------
    name
        A name of `catalogue()`.

    Returns
    -------
    Card

    Raises
    ------
    UnknownName
        If there is no such data set; the message suggests the nearest name.
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
    """File name of an embedded table inside the package, or None for a fetchable one."""
    return next((file for file in (f"{name}.csv", f"{name}.csv.gz") if (HERE / file).is_file()), None)
