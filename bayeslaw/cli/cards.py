"""The card of a law as text: its equation in plain letters, its tables as tables."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bayeslaw.base.numbers import between, short
from bayeslaw.base.terminal import printed, width
from bayeslaw.declare.equations import plain_equation
from bayeslaw.declare.priors import describe

if TYPE_CHECKING:
    from bayeslaw.declare.laws import Law

__all__ = ["card"]


def card(law: "Law") -> str:
    """Return the card of a law: equation, source, covariates, coefficients with priors and why, and its limits."""
    return "\n".join(_parts(law))


def _parts(law: "Law") -> Iterator[str]:
    yield f"{_filled(f'{law.name}: {law.title}')}\n"
    yield _filled(plain_equation(law.equation), "    ", "      ")
    yield f"\n{_filled(f'Source: {law.source}')}\n"
    covariates = [
        (name, c.unit, short(c.reference), between(*c.valid), c.meaning) for name, c in law.covariates.items()
    ]
    yield _table(("covariate", "unit", "reference", "valid", "meaning"), covariates)
    coefficients = [(name, c.unit, describe(c.prior), c.meaning, c.why) for name, c in law.coefficients.items()]
    yield f"\n{_table(('coefficient', 'unit', 'default prior', 'meaning', 'why this prior'), coefficients)}"
    if law.notes:
        yield "\nWhat to know"
        yield from (_filled(note, "- ", "  ") for note in law.notes)


def _filled(text: str, first: str = "", others: str = "") -> str:
    return textwrap.fill(
        text, width(), initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table whose cells are wrapped between words."""
    from rich.table import Table
    from rich.text import Text

    found, rows = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold"), list(rows)
    for name, cells in zip(head, zip(*rows, strict=True), strict=True):
        found.add_column(Text(name), min_width=max(len(word) for text in (name, *cells) for word in text.split()))
    for row in rows:
        found.add_row(*map(Text, row))
    return printed(found)
