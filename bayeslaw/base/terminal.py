"""Text on a terminal: wrapped at the width that is there, never inside a word, and coloured; elsewhere as it is."""

import re
import shutil
import sys
import textwrap
from typing import Any

__all__ = ["PLAIN_WIDTH", "Shown", "coloured", "printed", "width", "wrapped"]

PLAIN_WIDTH = 100
"""Columns of what is set in columns where there is no terminal."""

LEAD = re.compile(r" *(?:\S+(?: \S+)* {2,})?")
"""What a line begins with, below which its other lines do not go: blanks, or a name and the blanks after it."""

STYLES = {"pass": "green", "FAIL": "bold red", "skip": "dim", "caution": "yellow"}
"""Colours of the words that a line may begin with."""


def width() -> int:
    """Return the columns of the terminal, or `PLAIN_WIDTH`."""
    return shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns


def wrapped(text: str) -> str:
    """Return a text for standard output: on a terminal, lines that are too long go on below their beginning."""
    if not sys.stdout.isatty():
        return text
    return "\n".join(_wrapped(line, width()) for line in text.splitlines())


def _wrapped(line: str, wide: int) -> str:
    lead = LEAD.match(line)
    indent = lead.end() if lead else 0
    indent = indent if indent <= wide // 3 else 4
    return textwrap.fill(line, wide, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def coloured(text: str) -> str:
    """Return a text, wrapped, with the words of `STYLES` coloured on a terminal."""
    if not sys.stdout.isatty():
        return text
    from rich.text import Text

    marked = Text(wrapped(text))
    for word, style in STYLES.items():
        marked.highlight_regex(rf"(?m)^ *{word}\b", style)
    return printed(marked)


def printed(what: Any) -> str:
    """Return what rich prints for an object at the width of the terminal; without one, in plain text."""
    from rich.console import Console

    console = Console(width=width(), force_terminal=sys.stdout.isatty(), highlight=False, emoji=False, markup=False)
    with console.capture() as caught:
        console.print(what, soft_wrap=isinstance(what, str))
    return "\n".join(line.rstrip() for line in caught.get().splitlines())


class Shown:
    """An object that shows its text, ``str(self)``: wrapped on a terminal and, in IPython, coloured there."""

    def __repr__(self) -> str:
        return wrapped(str(self))

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(coloured(str(self)))
