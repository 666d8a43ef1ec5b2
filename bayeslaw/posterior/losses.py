"""Predicted losses: draws at the values of columns, or a summary of every row of a table."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import sampler
from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.base.words import counted
from bayeslaw.declare.names import RESULTS, WEIGHT
from bayeslaw.errors import Caution, DataError, RangeError
from bayeslaw.posterior.cautions import VERIFIED, cautioned, repeated
from bayeslaw.posterior.draws import MANY, Posterior
from bayeslaw.posterior.identified import mixture_cautions
from bayeslaw.posterior.prediction import CELLS
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.posterior.rates import rates_beyond
from bayeslaw.tables.areas import Schedules
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.mixtures import PREFIX, folded, normalised, sources
from bayeslaw.tables.reading import Table, check_named, numeric, read_table
from bayeslaw.tables.runs import LABELS

__all__ = ["Prediction", "by_row", "columns_of", "finer", "grid", "predict"]

SUMMARY = ["mean", "sd", "lower", "upper"]

CAUTIONED_ROWS = 100
"""Rows of a table, and that with the lowest loss, at which it is seen whether an answer speaks against itself."""


CURVE_POINTS = 61
"""Points that a drawn curve has at least."""

EVEN_ON_LOG = 10.0
"""Values whose ends have a larger ratio are filled evenly on the log scale."""


@checked
def grid(low: float, high: float, points: int = 101) -> np.ndarray:
    """Return evenly spaced values, both ends included."""
    return np.linspace(low, high, points)


@checked
def predict(fit: Posterior, *, new_run: bool = False, seed: int = 0, **columns: Any) -> Quantity:
    """Predict losses at the values of columns; see `bayeslaw.Fit.predict`."""
    for name, value in columns.items():
        if taken := [d for d in (*SAMPLE, "eval", *RESULTS) if isinstance(value, xr.DataArray) and d in value.dims]:
            raise DataError(f"{name} has the dim {taken[0]!r}, a name of the answer: rename it")
    named = fit.columns(**columns)
    what = "new run" if new_run else fit.mean_name
    inputs = {str(k): (v.item() if v.ndim == 0 else counted(v.size, "value")) for k, v in named.items()}
    _check_trained(fit, named)

    def between(along: str, points: np.ndarray) -> xr.DataArray:
        return fit.loss(fit.columns(**columns | {along: points}), new_run, seed)

    arrays = tuple(k for k, v in columns.items() if np.ndim(v) == 1 and not isinstance(v, xr.DataArray))
    losses = fit.loss(named, new_run, seed)
    found = Prediction("loss", losses, fit.model.unit, what, inputs, between=between, arrays=arrays)
    return _cautioned(fit, found, named)


@dataclass(frozen=True, eq=False, repr=False)
class Prediction(Quantity):
    """Predicted losses, which can be asked for between the values that they were asked for, but not from a file.

    Attributes
    ----------
    between : callable or None
        Returns the draws at other values of a column.
    arrays : tuple of str
        The columns of which that can be asked.
    """

    between: Callable[[str, np.ndarray], xr.DataArray] | None = None
    arrays: tuple[str, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields without the fit."""
        return self.__dict__ | {"between": None}


def finer(answer: Quantity, along: str) -> Quantity:
    """Return an answer at enough values along a dim to draw a curve, if it is a prediction that can be asked."""
    x = answer.draws[along].values
    if not isinstance(answer, Prediction) or answer.between is None or along not in answer.arrays:
        return answer
    if not 1 < len(x) < CURVE_POINTS:
        return answer
    even = np.geomspace if x.min() > 0 and x.max() / x.min() > EVEN_ON_LOG else np.linspace
    return replace(answer, draws=answer.between(along, np.union1d(even(x.min(), x.max(), CURVE_POINTS), x)))


@checked
def by_row(
    fit: Posterior,
    table: Table,
    *,
    prob: float = CI_PROB,
    new_run: bool = False,
    seed: int = 0,
    schedule: Schedules | None = None,
    before: Schedules | None = None,
    warmup: int | None = None,
) -> pd.DataFrame:
    """Predict the losses of every row of a table; see `bayeslaw.Fit.predict`."""
    law = fit.model.law
    groups = fit.model.design.groups
    known = read_table(table, [*LABELS, *(c for c, labels in groups.items() if labels.dtype.kind not in "fiub")])
    rows = table if isinstance(table, pd.DataFrame) else known
    if not len(rows):
        raise DataError("the table has no rows: give at least one to predict")
    added = [*(["eval"] if len(fit.evals) > 1 else []), *SUMMARY]
    if taken := [c for c in added if c in rows]:
        raise DataError(f"the table has a column {taken[0]!r}, which predictions add: rename or drop it")
    scheduled, assumed = not (schedule is before is warmup is None), [""]
    if law.kind == "schedule" and (scheduled or not set(law.columns) <= set(known)):
        known = curve_columns(known, fit.model.runs, schedule=schedule, before=before, warmup=warmup)
        assumed = [known.attrs["assumed"]]
    elif scheduled:
        raise RangeError(f"the law {law.name} has no schedule: leave schedule, before and warmup out")
    columns = columns_of(fit, known)
    summary = _summarised(fit, columns, levels(prob), new_run, seed)
    answers = rows.iloc[np.repeat(np.arange(len(rows)), len(fit.evals))]
    if len(fit.evals) > 1:
        answers = answers.assign(eval=fit.evals * len(rows))
    answers = answers.assign(**dict(zip(SUMMARY, summary.T, strict=True)))
    lowest = int(np.argmin(summary[:, SUMMARY.index("lower")])) // len(fit.evals)
    few = columns.isel(row=np.unique([*np.linspace(0, len(rows) - 1, CAUTIONED_ROWS).astype(int), lowest]))
    losses = Quantity("loss", fit.loss(few, seed=seed), fit.model.unit, fit.mean_name)
    curve = ("step", "peak") if law.kind == "schedule" else ()
    path = {c: numeric(known, c).to_numpy() for c in curve if c in known}
    rates = rates_beyond(fit.model.runs.table, known, law.columns) if path else []
    answers.attrs["cautions"] = [*filter(None, assumed), *rates, *_cautioned(fit, losses, columns, **path).cautions]
    for caution in answers.attrs["cautions"]:
        warnings.warn(caution, Caution, stacklevel=4)
    return answers


def columns_of(fit: Posterior, table: pd.DataFrame) -> xr.Dataset:
    """Return the columns of a fit at the rows of a table, as named arrays with the dim ``row``.

    Raises
    ------
    DataError, RangeError, UnknownName
        A column or label is missing, not known or not possible.
    """
    columns = fit.columns(**_asked(fit, table))
    _check_trained(fit, columns)
    return columns


def _cautioned(fit: Posterior, answer: Quantity, columns: xr.Dataset, **path: Any) -> Quantity:
    """Return an answer with its cautions; `path` has the steps and peak rates of curves, where they are known."""
    if WEIGHT in columns:
        answer = replace(answer, cautions=mixture_cautions(fit, columns[WEIGHT]))
    named = ("N", "D", "domain_share") if path else VERIFIED
    sizes = {c: columns[c].values for c in named if c in columns}
    return cautioned(fit, answer, columns.get(WEIGHT), **sizes, **repeated(fit.model.design, columns), **path)


def _check_trained(fit: Posterior, columns: xr.Dataset) -> None:
    """Refuse D = 0, before training, where a law has no loss."""
    if "D" not in columns or not (columns["D"] == 0).any():
        return
    with np.errstate(all="ignore"):
        losses = fit.loss(columns.isel({d: 0 for d in columns.dims}).assign(D=0.0))
    if not np.isfinite(losses).all():
        raise RangeError(
            f"D is 0: {fit.model.law.name} has no loss before training; give tokens above 0 "
            "(fit.model.runs.baseline has the rows at D = 0)"
        )


def _asked(fit: Posterior, table: pd.DataFrame) -> dict[str, xr.DataArray]:
    """Return what a table says of the law's columns and of groups; features of a label may be left out."""
    law, design = fit.model.law, fit.model.design
    features = {c: cov.of for c, cov in law.covariates.items() if cov.of is not None and c not in table}
    columns = [c for c in law.columns if c not in (WEIGHT, *features)]
    shares = [PREFIX + s for s in (*design.over["source"], *sources(table))] if WEIGHT in law.columns else []
    numbers = pd.DataFrame({c: numeric(table, c) for c in (*columns, *shares)})
    labels = [c for c in dict.fromkeys([*design.groups, *features.values()]) if c in table and c not in columns]
    for label in labels:
        check_named(table, label)
    asked = {
        c: xr.DataArray(np.asarray((numbers if c in columns else table)[c]), dims="row") for c in (*columns, *labels)
    }
    return asked | ({WEIGHT: folded(normalised(numbers)[0])} if shares else {})


def _summarised(fit: Posterior, columns: xr.Dataset, ends: list[float], new_run: bool, seed: int) -> np.ndarray:
    """Return mean, sd and interval of every row and validation set (row by row); every row is a run of its own."""
    rows, evals = columns.sizes["row"], len(fit.evals)
    pieces = -(-fit.draws * evals * rows // CELLS)
    parts = []
    for here in np.array_split(np.arange(rows), pieces):
        part = columns.isel(row=slice(here[0], here[-1] + 1))
        loss = fit.loss(part, seed=seed)
        if new_run:
            rng = np.random.default_rng([seed, here[0]])
            loss = loss * xr.ufuncs.exp(fit.errors(loss, part, rng))
        draws = loss.transpose("row", "eval", *SAMPLE).values.reshape(len(here) * evals, -1)
        parts += sampler.in_threads(partial(_numbers, draws, ends), len(draws), max(1, sampler.STEP // fit.draws))
    return np.concatenate(parts)


def _numbers(draws: np.ndarray, ends: list[float], some: slice) -> np.ndarray:
    """Return mean, sd and interval of some rows of draws."""
    here = draws[some]
    if draws.size >= MANY:
        (mean, sd), interval = sampler.moments(here), sampler.interval_ends(here, *ends)
    else:
        mean, sd, interval = here.mean(axis=1), here.std(axis=1), np.quantile(here, ends, axis=1)
    return np.column_stack([mean, sd, *np.where(np.isnan(mean), np.nan, interval)])
