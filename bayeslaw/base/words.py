"""How checks, figures, reports and notebooks write places and facts."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

from bayeslaw.base.numbers import COUNTED_COLUMNS, written
from bayeslaw.base.terminal import Shown

__all__ = [
    "Described",
    "counted",
    "facts",
    "facts_html",
    "label",
    "place",
    "run_called",
    "span",
]

CELL = "<{0} style='text-align: left'>{1}</{0}>"
"""A left-aligned cell of an HTML table."""


def counted(number: int, noun: str) -> str:
    """Write a number and its noun: 1 run, 2 runs, 2 quantities, 2 losses."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}es" if noun.endswith("s") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def run_called(label: object) -> str:
    """Write the name of a run within a sentence: "run 65" stays, "a7f" becomes "the run a7f"."""
    words = str(label).split()
    return str(label) if words and words[0].lower() == "run" else f"the run {label}"


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Write a title and one line for each fact below it."""
    return "\n".join([title, *(f"  {name:<16} {text}" for name, text in rows)])


def facts_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Write a title and a table of facts as HTML."""
    cells = (
        f"<tr>{CELL.format('th', html.escape(name))}{CELL.format('td', html.escape(text))}</tr>" for name, text in rows
    )
    return f"<p><b>{html.escape(title)}</b></p><table>{''.join(cells)}</table>"


class Described(Shown):
    """An object that shows a title and facts, as text and in a notebook."""

    def _about(self) -> tuple[str, list[tuple[str, str]]]:
        raise NotImplementedError

    def __str__(self) -> str:
        """Return the title and the facts as text."""
        return facts(*self._about())

    def _repr_html_(self) -> str:
        return facts_html(*self._about())


def place(columns: Mapping[Any, Any]) -> str:
    """Write column values: ``{"N": 922720, "domain_share": 0.5}`` is N 923 k, domain share 0.5."""
    return ", ".join(
        run_called(value) if name == "run" else f"{_column(name)} {label(name, value)}"
        for name, value in columns.items()
    )


def _column(name: Any) -> str:
    return {"eval": "validation set", "eval_role": "role"}.get(name, str(name).replace("_", " "))


def label(name: Any, value: Any) -> str:
    """Write a value of a column: 922720 of N is 923 k."""
    counted = name in COUNTED_COLUMNS and not isinstance(value, str)
    return written(name, value) if counted or isinstance(value, float) else str(value)


def span(name: str, values: Iterable[Any]) -> str:
    """Write the range of a column: N 300 M to 3 B; labels one by one."""
    levels = sorted(set(values))
    ends = levels if isinstance(levels[0], str) else levels[:: max(len(levels) - 1, 1)]
    first, *others = (place({name: end}) for end in ends)
    name = name.replace("_", " ")
    return (", " if isinstance(levels[0], str) else " to ").join([first, *(w.removeprefix(f"{name} ") for w in others)])
