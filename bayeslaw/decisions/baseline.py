"""The loss before training, from which a rise is measured: given, or the mean of the runs' rows at D = 0."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import numbers
from bayeslaw.base.numbers import exact, short
from bayeslaw.base.words import counted, place
from bayeslaw.errors import ArgumentError, DataError, RangeError, shown
from bayeslaw.posterior.draws import Posterior

__all__ = ["Baseline", "base_models", "baseline_of"]

NOT_LABELS = ("D", "U", "step", "lr", "domain_share")
"""Columns that do not tell one model before training from another."""

FARTHEST = 2.0
"""Factor beyond the measured losses from which a baseline is in another unit."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A loss before training (nats), with the dims of the question.

    Parameters
    ----------
    mean, sd : xarray.DataArray
        The loss, and the standard deviation that it is known with.
    inputs : mapping
        What the answer shows of it.
    freedom : int, optional
        Degrees of freedom of `sd`, where replicates gave it.
    """

    mean: xr.DataArray
    sd: xr.DataArray
    inputs: dict[str, Any]
    freedom: int | None = None

    def draws(self, like: xr.DataArray, *stream: int) -> xr.DataArray:
        """Return the loss, for every draw of `like` where it is uncertain: normal, or Student-t of few replicates.

        `stream` are the seeds of its errors.
        """
        if not self.sd.any():
            return self.mean
        rng, size = np.random.default_rng(stream), (*like.shape, *self.sd.shape)
        z = rng.standard_normal(size) if self.freedom is None else rng.standard_t(self.freedom, size)
        return self.mean + self.sd * xr.DataArray(z, dims=(*like.dims, *self.sd.dims), coords=like.coords)


def base_models(fit: Posterior, asked: Mapping[str, Any], given: Any) -> dict[str, xr.DataArray]:
    """Return the losses that a law starts from (`L_base`) of labels that the runs do not have: the baseline given."""
    given = next(iter(given.values()), None) if isinstance(given, Mapping) else given
    found: dict[str, xr.DataArray] = {}
    for name, covariate in fit.model.law.covariates.items():
        of = str(covariate.of)
        if covariate.start is None or name in asked or given is None or of not in asked:
            continue
        loss = numbers(given[0] if isinstance(given, tuple) else given, "baseline")
        labels = xr.DataArray(np.asarray(asked[of]), dims=[of] * np.ndim(asked[of]))
        if fit.model.design.feature(name, {of: labels}) is None and loss.shape in ((), labels.shape):
            found[name] = labels.copy(data=np.broadcast_to(loss, labels.shape))
    return found


def baseline_of(fit: Posterior, given: Any, columns: xr.Dataset, eval: str) -> Baseline:
    """Return the baseline that was given, or that of the runs: their rows at D = 0, or what the law starts from."""
    rows = fit.model.runs.baseline
    if given is None and (f"{eval}_loss" not in rows or rows[f"{eval}_loss"].isna().all()):
        for name in (name for name, covariate in fit.model.law.covariates.items() if covariate.start):
            return Baseline(columns[name], xr.DataArray(0.0), {"baseline": _shown(columns[name])})
    if given is None:
        return _measured(fit.model.runs.baseline, columns, eval)
    form = f"give a loss in {fit.model.unit}, a pair (value, sd), or a list with one loss per N"
    try:
        values = numbers(given, "baseline")
    except ArgumentError:
        raise DataError(f"baseline is {shown(given)}: {form}") from None
    inputs, exact = {"baseline": given}, xr.DataArray(0.0)
    if isinstance(given, tuple):
        if len(given) != 2 or not 0 <= values[1] < values[0] / 2:
            raise DataError(f"baseline is {shown(given)}, which is no loss with its standard deviation: {form}")
        _check_near(values[0], fit, eval)
        return Baseline(xr.DataArray(values[0]), xr.DataArray(values[1]), inputs)
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise DataError(f"baseline is {shown(given)}: a loss is finite and above 0; {form}")
    _check_near(values, fit, eval)
    if values.ndim == 0:
        return Baseline(xr.DataArray(values), exact, inputs)
    N = columns.get("N", xr.DataArray(0.0))
    if values.shape != N.shape:
        raise DataError(f"baseline has {counted(values.size, 'value')}, N has {N.size}: {form}")
    return Baseline(xr.DataArray(values, dims=N.dims, coords=N.coords), exact, inputs)


def _check_near(losses: np.ndarray, fit: Posterior, eval: str) -> None:
    """Refuse a baseline that no loss beside the measured ones is, such as a perplexity."""
    runs = fit.model.runs
    measured = pd.concat([rows[f"{eval}_loss"] for rows in (runs.table, runs.baseline) if len(rows)])
    low, high = measured.min(), measured.max()
    if (far := ~((losses >= low / FARTHEST) & (losses <= high * FARTHEST))).any():
        raise RangeError(
            f"baseline is {exact(losses[far].flat[0])}, and the measured {eval} losses lie between "
            f"{short(low)} and {short(high)}: give it in {fit.model.unit}"
        )


def _measured(rows: pd.DataFrame, columns: xr.Dataset, eval: str) -> Baseline:
    """Return the mean of the rows at D = 0 with the labels of the columns.

    The relative scatter of replicates is that of all labels together. Rows with one and the same loss are one
    measurement of one model.
    """
    loss = f"{eval}_loss"
    rows = rows.dropna(subset=[c for c in rows if c == loss])
    keys = [str(c) for c in columns.variables if c in rows and c not in NOT_LABELS]

    def at(*wanted: Any) -> tuple[float, float]:
        same = np.ones(len(rows), bool)
        for key, value in zip(keys, wanted, strict=True):
            numeric = rows[key].dtype.kind in "fiu"
            same &= np.isclose(rows[key], value, rtol=1e-6) if numeric else rows[key] == str(value)
        if not same.any():
            there = place(dict(zip(keys, wanted, strict=True)))
            raise DataError(
                f"the runs have no row at D = 0{' with ' + there if there else ''}: give baseline=, the {eval} loss "
                "before training, or add such rows"
            )
        found = rows[loss][same]
        return float(found.mean()), float(found.mean() / np.sqrt(found.nunique()))

    labels = [columns[k] for k in keys]
    mean, unit = xr.apply_ufunc(at, *labels, vectorize=True, output_core_dims=[[], []]) if keys else at()
    mean, unit = (xr.DataArray(value).reset_coords(drop=True) for value in (mean, unit))
    distinct = rows.drop_duplicates([*keys, loss])
    scatter = np.log(distinct[loss]).groupby([distinct[k] for k in keys] or np.zeros(len(distinct)))
    freedom = int((scatter.count() - 1).sum())
    variance = scatter.var().fillna(0.0) @ (scatter.count() - 1) / freedom if freedom else 0.0
    sd = unit * np.sqrt(variance)
    shown = {"baseline": mean, "baseline_sd": sd}
    return Baseline(mean, sd, {k: _shown(v) for k, v in shown.items()}, freedom or None)


def _shown(value: xr.DataArray) -> Any:
    """Return what an answer shows of an input: a number, or an array of several."""
    return value if value.ndim else value.item()
