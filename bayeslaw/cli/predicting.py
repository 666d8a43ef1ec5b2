"""Losses where nothing was measured, row by row."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bayeslaw.base.errors import DataError, RangeError, unknown_name
from bayeslaw.cli.options import Before, FitFile, NewRun, Prob, Warmup, given, load_fit, probability, read_before
from bayeslaw.cli.printing import note, write_csv

if TYPE_CHECKING:
    import pandas as pd

    from bayeslaw.workflow import Fit

__all__ = ["predict"]


def predict(
    fit_file: FitFile,
    grid: Annotated[Path, typer.Argument(metavar="GRID.csv", help="Where to predict, one row each.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PRED.csv", help="Where the table goes.")],
    prob: Prob = None,
    new_run: NewRun = False,
    warmup: Warmup = None,
    before: Before = None,
) -> None:
    """Predict losses row by row: the columns of the grid, then mean, sd, lower, upper; laws of curves need step and lr.

    Example: bayeslaw predict fit.nc grid.csv -o predicted.csv --new-run
    """
    from bayeslaw.posterior.cautions import cautions
    from bayeslaw.tables.curves import curve_columns, is_curve_law
    from bayeslaw.tables.reading import read_table

    result = load_fit(fit_file)
    groups = result.model.design.groups
    table = read_table(grid, [c for c, labels in groups.items() if labels.dtype.kind not in "fiub"])
    if not len(table):
        raise DataError(f"{grid} has no rows: give at least one to predict")
    known, curves = table, given(warmup=warmup, before=read_before(before))
    if is_curve_law(result.model.law):
        known = curve_columns(table, result.model.runs, **curves)
    elif curves:
        raise RangeError(f"the law {result.model.law.name} has no schedule: leave --{' and --'.join(curves)} out")
    predicted = _predict(result, known, probability(prob), new_run).drop(
        columns=known.columns.difference(table.columns)
    )
    write_csv(predicted, output)
    for caution in cautions(result, **{c: table[c].to_numpy() for c in ("N", "D") if c in table}):
        note(caution)
    what = "a new run" if new_run else "the mean law"
    typer.echo(f"{output}: {len(predicted)} rows, {what}, {probability(prob):.0%} intervals")


def _predict(result: "Fit", table: "pd.DataFrame", prob: float, new_run: bool) -> "pd.DataFrame":
    import pandas as pd
    import xarray as xr

    needed = dict.fromkeys([*result.model.law.columns, *result.model.design.groups])
    for column in needed:
        if column not in table:
            raise unknown_name("column in the grid for the law's", column, table.columns)
        if column in result.model.law.columns and not pd.api.types.is_numeric_dtype(table[column]):
            raise DataError(f"column {column!r} of the grid holds text: give numbers")
        if (missing := table[column].isna()).any():
            first = int(missing.to_numpy().argmax()) + 1
            raise DataError(f"{column} is missing in row {first} of the grid: fill it in")
    asked = {str(c): xr.DataArray(table[c].to_numpy(), dims="row") for c in needed}
    answers = result.bands(result.columns(**asked), prob=prob, new_run=new_run).set_index("row")
    if len(result.evals) == 1:
        answers = answers.drop(columns="eval")
    kept = table.reset_index(drop=True).drop(columns=answers.columns, errors="ignore")
    joined: pd.DataFrame = kept.join(answers)
    return joined.reset_index(drop=True)
