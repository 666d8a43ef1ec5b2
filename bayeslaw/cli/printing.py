"""Printed results and written tables of commands."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import typer

from bayeslaw.base.files import replacing
from bayeslaw.cli.options import probability
from bayeslaw.workflow import Fit

__all__ = ["caution", "note", "print_answer", "print_checks", "write_csv"]


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a whole table; after an error there is no file."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def print_checks(result: Fit, **planned: Any) -> bool:
    """Print every check, also that of a planned prediction; return whether all passed."""
    checks = result.checks(**planned)
    for one in checks:
        typer.echo(repr(one))
    for name, why in checks.skipped.items():
        typer.echo(f"skip  {name}: {why}")
    return bool(checks.passed)


def note(text: Any) -> None:
    """Print a note on standard error."""
    typer.echo(f"bayeslaw: note: {' '.join(str(text).split())}", err=True)


def caution(cautions: Iterable[str]) -> None:
    """Print what speaks against an answer on standard error."""
    for text in cautions:
        typer.echo(f"bayeslaw: caution: {text}", err=True)


def print_answer(answer: Any, prob: float | None, as_json: bool, **extra: Any) -> None:
    """Print a Quantity as text or JSON, with further values about it."""
    caution(answer.cautions)
    chosen = probability(prob)
    if as_json:
        typer.echo(json.dumps(answer.as_json(chosen) | extra))
        return
    shown = replace(answer, cautions=())
    typer.echo(str(shown) if prob is None else f"{answer.to_frame(chosen).to_string()}\n{answer.about(chosen)}")
    for name, value in {**answer._beside(), **extra}.items():
        typer.echo(f"{name}  {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return f"{value:.3f}" if isinstance(value, float) else str(value)
