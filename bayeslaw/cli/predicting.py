"""The command that predicts losses for the rows of a table."""

from pathlib import Path
from typing import Annotated

import typer

from bayeslaw.base.files import check_writable
from bayeslaw.base.numbers import level
from bayeslaw.base.words import counted
from bayeslaw.cli.options import Before, FitFile, NewRun, Prob, Warmup, given, load_fit, probability, read_before
from bayeslaw.cli.printing import write_csv

__all__ = ["predict"]


def predict(
    fit_file: FitFile,
    grid: Annotated[Path, typer.Argument(metavar="GRID.csv", help="The places to predict, one in each row.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PRED.csv", help="The file to write the table to.")],
    prob: Prob = None,
    new_run: NewRun = False,
    warmup: Warmup = None,
    before: Before = None,
) -> None:
    """Predict losses row by row: the columns of the grid, then mean, sd, lower, upper; laws of curves need step and lr.

    Example: bayeslaw predict fit.nc grid.csv -o predicted.csv --new-run
    """
    check_writable(output)
    result = load_fit(fit_file)
    curves = given(warmup=warmup, before=read_before(before))
    predicted = result.predict(grid, prob=probability(prob), new_run=new_run, **curves)
    write_csv(predicted, output)
    what = "a new run" if new_run else "the mean law"
    typer.echo(f"{output}: {counted(len(predicted), 'row')}, {what}, {level(probability(prob))} intervals")
