"""How numbers, places and facts are written in checks, figures, reports and notebooks."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["amount", "counted", "facts", "facts_html", "place", "run_called"]

COUNTS = ("N", "D", "step", "domain_tokens")
"""Columns that are counted, and written the way people say them."""


LEFT = "<{0} style='text-align: left'>{1}</{0}>"
"""A cell of a table in a notebook, which aligns to the right otherwise."""


def amount(number: float) -> str:
    """Write parameters or tokens the way people say them: 922720 is 923 k."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            return f"{float(f'{number / size:.3g}'):g} {letter}"
    return f"{number:.3g}"


def counted(number: int, noun: str) -> str:
    """Write how many there are: 1 run, 2 runs."""
    return f"{number} {noun}{'s' * (number != 1)}"


def run_called(label: object) -> str:
    """Write the name of a run as part of a sentence: "run 65" as it is, "a7f" as "the run a7f"."""
    words = str(label).split()
    return str(label) if words and words[0].lower() == "run" else f"the run {label}"


def facts(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Write what there is to know of an object, a line each below its title."""
    return "\n".join([title, *(f"  {name:<16} {text}" for name, text in rows)])


def facts_html(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Write the same for a notebook."""
    cells = (
        f"<tr>{LEFT.format('th', html.escape(name))}{LEFT.format('td', html.escape(text))}</tr>" for name, text in rows
    )
    return f"<p><b>{html.escape(title)}</b></p><table>{''.join(cells)}</table>"


def place(columns: Mapping[Any, Any]) -> str:
    """Write where something was measured: ``{"N": 922720, "domain_share": 0.5}`` is N 923 k, domain share 0.5."""
    return ", ".join(
        f"{'validation set' if name == 'eval' else str(name).replace('_', ' ')} "
        + (amount(value) if name in COUNTS else f"{value:.3g}" if isinstance(value, float) else str(value))
        for name, value in columns.items()
    )
