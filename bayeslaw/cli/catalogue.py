"""The commands that list laws and data sets."""

from pathlib import Path
from typing import Annotated

import typer

from bayeslaw import datasets, models
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
    wide = max(map(len, models.catalogue))
    for name, entry in sorted(models.catalogue.items()):
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
        catalogue = datasets.catalogue()
        wide = max(map(len, catalogue["name"]))
        for entry in catalogue.itertuples():
            typer.echo(f"{entry.name:{wide}}  {entry.rows:>7} rows  {entry.home:9}  {entry.what}")
    elif output is None:
        typer.echo(str(datasets.card(name)))
    else:
        table = datasets.load(name)
        write_csv(table, output)
        typer.echo(f"{output}: {counted(len(table), 'row')}")
