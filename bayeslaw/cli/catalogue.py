"""The commands that list laws and data sets, and say which laws a table is for."""

from pathlib import Path
from typing import Annotated, Any

import typer

import bayeslaw as bl
from bayeslaw.base.terminal import wrapped
from bayeslaw.base.words import counted
from bayeslaw.cli import options
from bayeslaw.cli.printing import write_csv
from bayeslaw.errors import RangeError

__all__ = ["data", "laws", "suggest"]


def laws(law: Annotated[str | None, typer.Argument(metavar="[LAW]")] = None) -> None:
    """List the laws by the question they answer, or show the card of one: equation, priors with reasons, source, range.

    Example: bayeslaw laws dcpt
    """
    if law is not None:
        from bayeslaw.cli.cards import card

        typer.echo(card(options.law_named(law)))
        return
    from bayeslaw.declare.questions import QUESTIONS

    catalogue = bl.models.catalogue
    wide = max(map(len, catalogue))
    for kind, question in QUESTIONS.items():
        typer.echo(question)
        for name, entry in sorted(catalogue.items()):
            if entry.kind == kind:
                typer.echo(wrapped(f"  {name:{wide}}  {entry.title}: {', '.join(entry.columns)}; {entry.source}"))


def suggest(
    table: Annotated[Path, typer.Argument(metavar="TABLE.csv", help="Runs, curves, mixtures, windows or scores.")],
    law: Annotated[str | None, typer.Argument(metavar="[LAW]", help="Show only this law.")] = None,
    columns: options.Columns = None,
    loss: options.Losses = None,
    unit: options.Units = None,
    bytes_per_token: options.BytesPerToken = None,
    warmup: options.Warmup = None,
) -> None:
    """List the laws that apply to a table: what each answers, the rows outside its range, and the command to fit it.

    Example: bayeslaw suggest runs.csv
    """
    if law is not None:
        options.law_named(law)
    named: dict[str, Any] = options.read_units(unit, bytes_per_token) | options.pairs(columns, "--map", "N=params")
    found = bl.suggest(
        table, loss=options.pairs(loss, "--loss", "general=general_loss") or None, warmup=warmup, **named
    )
    typer.echo(repr(found if law is None else found[law]))


def data(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.csv", help="Write the table there.")
    ] = None,
) -> None:
    """List the data sets, show the card of one, or write its table.

    Example: bayeslaw data tinycpt -o runs.csv
    """
    if name is None:
        if output is not None:
            raise RangeError(
                "-o needs the name of the data set to write: for example bayeslaw data tinycpt -o runs.csv"
            )
        catalogue = bl.datasets.catalogue()
        wide = max(map(len, catalogue["name"]))
        for entry in catalogue.itertuples():
            typer.echo(wrapped(f"{entry.name:{wide}}  {entry.rows:>7} rows  {entry.home:9}  {entry.what}"))
    elif output is None:
        typer.echo(str(bl.datasets.card(name)))
    else:
        table = bl.datasets.load(name)
        write_csv(table, output)
        typer.echo(f"{output}: {counted(len(table), 'row')}")
