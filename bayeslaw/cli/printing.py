"""What commands print and write."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bayeslaw.cli.options import probability

if TYPE_CHECKING:
    import pandas as pd

    from bayeslaw.fit import Fit

__all__ = ["print_answer", "print_checks", "write_csv"]


def write_csv(table: "pd.DataFrame", path: Path) -> None:
    """Write a table, or nothing."""
    from bayeslaw.files import replacing

    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def print_checks(result: "Fit", **planned: Any) -> bool:
    """Print every check, that of a planned prediction too; return whether all passed."""
    checks = result.checks(**planned)
    for one in checks:
        typer.echo(f"{'pass' if one.passed else 'FAIL'}  {one.name}: {one.text}")
    return bool(checks.passed)


def print_answer(answer: Any, prob: float | None, as_json: bool, **extra: Any) -> None:
    """Print a Quantity, for a reader or for a program, and what else was asked about it."""
    chosen = probability(prob)
    if as_json:
        typer.echo(json.dumps(answer.as_json(chosen) | extra))
        return
    typer.echo(str(answer) if chosen == probability(None) else answer.frame(chosen).to_string())
    for name, value in extra.items():
        typer.echo(f"{name}  {_words(value)}")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)
