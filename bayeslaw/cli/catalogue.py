"""The commands that list laws and data sets."""

from pathlib import Path
from typing import Annotated

import typer

import bayeslaw as bl
from bayeslaw.base.words import counted
from bayeslaw.cli.options import law_named
from bayeslaw.cli.printing import write_csv
from bayeslaw.errors import RangeError

__all__ = ["data", "laws"]


def laws(law: Annotated[str | None, typer.Argument(metavar="[LAW]")] = None) -> None:
    """List the laws, or show the card of one: equation, priors and why, source, validity.

    Example: bayeslaw laws dcpt
    """
    if law is not None:
        typer.echo(law_named(law).card(), nl=False)
        return
    catalogue = bl.models.catalogue
    wide = max(map(len, catalogue))
    for name, entry in sorted(catalogue.items()):
        typer.echo(f"{name:{wide}}  {entry.title}: {', '.join(entry.columns)}; {entry.source}")


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
            raise RangeError("name the data set to write, for example: bayeslaw data tinycpt -o runs.csv")
        catalogue = bl.datasets.catalogue()
        wide = max(map(len, catalogue["name"]))
        for entry in catalogue.itertuples():
            typer.echo(f"{entry.name:{wide}}  {entry.rows:>7} rows  {entry.home:9}  {entry.what}")
    elif output is None:
        typer.echo(str(bl.datasets.card(name)))
    else:
        table = bl.datasets.load(name)
        write_csv(table, output)
        typer.echo(f"{output}: {counted(len(table), 'row')}")
