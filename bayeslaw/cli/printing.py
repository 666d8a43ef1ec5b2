"""Printed results and written tables of commands."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayeslaw.base.files import replacing
from bayeslaw.base.numbers import as_share, written
from bayeslaw.base.numbers import probability as chance
from bayeslaw.base.progress import working
from bayeslaw.base.terminal import coloured
from bayeslaw.cli.options import probability

if TYPE_CHECKING:
    import pandas as pd

    from bayeslaw.validation.stacking import Stack
    from bayeslaw.workflow import Fit

__all__ = ["caution", "note", "print_answer", "print_checks", "print_stack", "write_csv"]

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Beginnings of what a spreadsheet takes for a formula; the last four are wide forms of the first four."""


def write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a whole table; after an error there is no file.

    A text that a spreadsheet takes for a formula gets an apostrophe in front, which makes it a text there.
    """
    from pandas.api.types import is_numeric_dtype

    texts = {str(c): table[c].map(_no_formula) for c in table if not is_numeric_dtype(table[c])}
    with replacing(path) as temporary:
        table.assign(**texts).rename(columns=_no_formula).to_csv(temporary, index=False)


def _no_formula(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs; a text that is a number stays as it is."""
    if not (isinstance(cell, str) and cell.startswith(FORMULA)):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell


def print_checks(result: "Fit", **planned: Any) -> bool:
    """Print every check, also that of a planned prediction; return whether all passed."""
    with working("checks"):
        checks = result.checks(**planned)
    typer.echo(coloured(str(checks)))
    return bool(checks.passed)


def note(text: Any) -> None:
    """Print a note on standard error."""
    typer.echo(f"bayeslaw: note: {' '.join(str(text).split())}", err=True)


def caution(cautions: Iterable[str]) -> None:
    """Print the cautions of an answer on standard error."""
    for text in cautions:
        typer.echo(f"bayeslaw: caution: {text}", err=True)


def print_answer(answer: Any, prob: float | None, as_json: bool, **extra: Any) -> None:
    """Print a Quantity as text or JSON, with further values about it."""
    from bayeslaw.posterior.quantity import plain

    caution(answer.cautions)
    chosen = probability(prob)
    if as_json:
        typer.echo(json.dumps(answer.as_json(chosen) | extra))
        return
    shown = replace(answer, cautions=())
    typer.echo(shown._said(chosen))
    for name, value in {**answer._beside(), **extra}.items():
        typer.echo(f"{name}  {_words(name, plain(value))}")


def print_stack(stack: "Stack", prob: float | None, as_json: bool) -> None:
    """Print the answer of several fits, with the weight of each and what it says by itself."""
    chosen = probability(prob)
    if as_json:
        each = {name: {"weight": stack.weights[name], **one.as_json(chosen)} for name, one in stack.answers.items()}
        print_answer(stack.mixture, prob, as_json, agreement=stack.agree, each=each)
        return
    for name, answer in stack.answers.items():
        typer.echo(f"{name}, weight {as_share(stack.weights[name])}: {replace(answer, cautions=())}")
    if left := [name for name in stack.weights if name not in stack.answers]:
        typer.echo(f"of no weight: {', '.join(left)}")
    print_answer(stack.mixture, prob, as_json)
    typer.echo(f"{'pass' if stack.agree else 'FAIL'}  agreement of laws: {stack.agreement}")


def _words(name: str, value: Any) -> str:
    """Write a result besides the draws as the columns of its name are written."""
    if isinstance(value, dict):
        return ", ".join(f"{label} {_words(name, part)}" for label, part in value.items())
    if isinstance(value, list):
        return ", ".join(_words(name, part) for part in value)
    if value is None:
        return "none"
    if not isinstance(value, float):
        return str(value)
    return chance(value) if name.startswith("p_") else written(name, value)
