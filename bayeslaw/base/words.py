"""How checks, figures, reports and notebooks write numbers, places and facts."""

import html
import math
from collections.abc import Iterable, Mapping
from typing import Any

from bayeslaw.base.terminal import Shown

__all__ = [
    "COUNTED_COLUMNS",
    "Described",
    "amount",
    "counted",
    "facts",
    "facts_html",
    "percent",
    "place",
    "run_called",
    "span",
    "times",
]

COUNTED_COLUMNS = ("N", "D", "U", "step", "domain_tokens")
"""Columns whose values `amount` writes."""

CELL = "<{0} style='text-align: left'>{1}</{0}>"
"""A left-aligned cell of an HTML table."""


def amount(number: float) -> str:
    """Write a number of parameters or tokens with three digits and a unit: 922720 is 923 k."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g} {letter}"
    return f"{number:.3g}"


def counted(number: int, noun: str) -> str:
    """Write a number and its noun: 1 run, 2 runs, 2 quantities."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else many}"


def percent(log_ratio: float) -> str:
    """Write how far one number lies above or below another, given the logarithm of their ratio: 0.83 is 130 %."""
    return f"{float(f'{100 * abs(math.expm1(log_ratio)):.2g}'):g} %"


def times(factor: float) -> str:
    """Write a factor above 1: 410 times; one so close to 1 that it rounds to it as a percentage, 1.6 %."""
    return f"{100 * (factor - 1):.2g} %" if factor < 1.05 else f"{float(f'{factor:.2g}'):g} times"


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
        run_called(value) if name == "run" else f"{_column(name)} {_value(name, value)}"
        for name, value in columns.items()
    )


def _column(name: Any) -> str:
    return {"eval": "validation set", "eval_role": "role"}.get(name, str(name).replace("_", " "))


def _value(name: Any, value: Any) -> str:
    if name in COUNTED_COLUMNS and not isinstance(value, str):
        return amount(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def span(name: str, values: Iterable[Any]) -> str:
    """Write the range of a column: N 300 M to 3 B; labels one by one."""
    levels = sorted(set(values))
    ends = levels if isinstance(levels[0], str) else levels[:: max(len(levels) - 1, 1)]
    first, *others = (place({name: end}) for end in ends)
    name = name.replace("_", " ")
    return (", " if isinstance(levels[0], str) else " to ").join([first, *(w.removeprefix(f"{name} ") for w in others)])
