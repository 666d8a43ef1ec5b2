"""Whether losses first rise and then fall along the runs, more than errors make them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import apart, p_value
from bayeslaw.base.words import counted, place, run_called
from bayeslaw.checks.neighbours import labelled_rows, neighbours
from bayeslaw.checks.residuals import LEAST_PROBABILITY, error_of
from bayeslaw.checks.result import CheckResult
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, batch_noise, thinned

__all__ = ["bend"]

REPLICATES = 400
"""Tables simulated from the fit, from which a probability is estimated."""

AT_ONCE = 50
"""Of these tables, those that are held in memory at once, about."""

LEAST_SPREAD = 1e-6
"""Spread of errors, and of rises counted in them, that counts as none."""


def bend(fit: Posterior) -> CheckResult | None:
    """U-shape alarm: losses that first rise and then fall along runs, compared with tables simulated from the fit.

    The rise of a run is that of its largest loss above its first. It counts in the errors that differ between runs next
    to each other, since the error model takes rises that these share for large errors. The rise of every run, and the
    mean over all runs and over those of a size, a share and the like, is held against those of the simulated tables.
    """
    law, design = fit.model.law, fit.model.design
    if law.path not in law.falls_in or not design.has_checkpoints():
        return None
    rows, columns, labels = labelled_rows(fit)
    run, measured = rows["run"].to_numpy(), design.measured.values
    starts = np.flatnonzero(np.r_[True, run[1:] != run[:-1]])
    cells = np.add.reduceat(measured, starts) > 2
    if not cells.any():
        return None
    names, members, evals = _groups(rows.iloc[starts], columns, cells, design.evals)
    pairs = _pairs(rows, rows.iloc[starts], columns, labels, law.path)
    unit = _error_unit(error_of(fit).values[None], measured, starts, pairs)[0]
    rises, chance = _rises(design.rows["loss"].values, measured, starts), []
    for losses, errors in _replicated(fit):
        units = _error_unit(errors, measured, starts, pairs)
        chance.append((_rises(losses, measured, starts) / units[:, None])[:, cells])
    seen, usual = (rises / unit)[cells], np.concatenate(chance)
    variance = pd.Series(usual.var(axis=0)).groupby(np.nonzero(cells)[1]).transform("mean").to_numpy()
    spread = np.sqrt(members**2 @ variance) + LEAST_SPREAD
    scores, others = ((x - usual.mean(axis=0)) @ members.T / spread for x in (seen, usual))
    worst = int(scores.argmax())
    highest = others.max(axis=1)
    p = (1 + (highest >= scores[worst]).sum()) / (1 + len(others))
    beyond = np.flatnonzero(scores > np.quantile(highest, 1 - LEAST_PROBABILITY))
    return CheckResult.judged(
        "shape along tokens",
        -np.log10(p),
        -np.log10(LEAST_PROBABILITY),
        f"{names[worst]} by {apart(members[worst] @ rises[cells])} ({p_value(p)} if errors alone make it rise)",
        f"{law.name} cannot follow such rises, and its predictions are off at the measured tokens too: "
        f"{laws_that_bend(fit)}",
        dict.fromkeys(evals[i] for i in (worst, *beyond)),
    )


def _replicated(fit: Posterior) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield losses of new runs at the rows of the fit, and their log errors (replicate, row, eval), some at once."""
    few, rng, design = thinned(fit, REPLICATES), np.random.default_rng(0), fit.model.design
    sizes = few.idata["posterior"].sizes
    repeated = np.resize(np.arange(sizes["draw"]), -(-REPLICATES // sizes["chain"]))
    for draws in np.array_split(repeated, -(-REPLICATES // AT_ONCE)):
        some = replace(few, idata=few.idata.isel(draw=draws))
        law: xr.DataArray = (at_rows(some) * xr.ufuncs.exp(batch_noise(some, design))).transpose(*SAMPLE, "row", "eval")
        new = fit.noise.measured(law * np.exp(_errors_of_runs(some, law, rng)), design.rows, rng).transpose(*law.dims)
        losses, errors = (x.values.reshape(-1, *law.shape[2:]) for x in (new, xr.ufuncs.log(new / law)))
        yield losses, errors


def _errors_of_runs(fit: Posterior, like: xr.DataArray, rng: np.random.Generator) -> np.ndarray:
    """Draw the errors of the runs of the fit, of those that were measured at the same tokens at once."""
    rows, path = fit.model.design.rows, fit.model.law.path
    of_runs = replace(fit, model=replace(fit.model, noise=replace(fit.noise, batch=False)))
    grids: dict[tuple[float, ...], list[np.ndarray]] = {}
    for run in np.split(
        np.arange(rows.sizes["row"]), np.flatnonzero(rows["run"].values[1:] != rows["run"].values[:-1]) + 1
    ):
        grids.setdefault(tuple(rows[path].values[run]), []).append(run)
    drawn = np.empty(like.shape)
    for tokens, runs in grids.items():
        at = {"row": xr.DataArray(np.array(runs), dims=("alike", "checkpoint"))}
        log_path = xr.DataArray(np.log(tokens), dims="checkpoint")
        error = of_runs.errors(like.isel(at), rows.isel(at), rng, log_path=log_path)
        drawn[:, :, np.array(runs)] = error.transpose(*SAMPLE, "alike", "checkpoint", "eval").values
    return drawn


def _pairs(
    rows: pd.DataFrame, runs: pd.DataFrame, columns: list[str], labels: list[str], path: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of runs next to each other at the same tokens, as two lists of positions."""
    one, other = np.nonzero(np.triu(neighbours(runs, columns, labels)))
    place = pd.DataFrame({"run": pd.Index(runs["run"]).get_indexer(rows["run"]), "at": rows[path], "row": rows.index})
    met = pd.DataFrame({"run": one, "next": other}).merge(place, on="run")
    met = met.merge(place.rename(columns={"run": "next"}), on=["next", "at"], suffixes=("", "_next"))
    return met["row"].to_numpy(), met["row_next"].to_numpy()


def _error_unit(
    errors: np.ndarray, measured: np.ndarray, starts: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the median difference between the errors of neighbouring runs (replicate, eval).

    Errors count from the mean of their run: what is the same all along a run is no rise. It is 1 without neighbours.
    """
    errors = np.where(measured, errors, 0.0)
    means = np.add.reduceat(errors, starts, axis=1) / np.maximum(np.add.reduceat(measured, starts), 1)
    errors = errors - np.repeat(means, np.diff(np.r_[starts, len(measured)]), axis=1)
    one, other = pairs
    apart, both = abs(errors[:, one] - errors[:, other]), measured[one] & measured[other]
    unit = np.ones((len(errors), both.shape[1]))
    for e in np.flatnonzero(both.any(axis=0)):
        unit[:, e] = np.median(apart[:, both[:, e], e], axis=1) + LEAST_SPREAD
    return unit


def _rises(losses: np.ndarray, measured: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Return the log of the largest over the first measured loss of every run (..., run, eval)."""
    logs = np.where(measured, np.log(losses), -np.inf)
    rows = np.arange(len(measured))[:, None]
    first = np.minimum.reduceat(np.where(measured, rows, len(rows) - 1), starts)
    begun = logs[..., first, np.arange(first.shape[1])]
    seen = np.isfinite(begun)
    return np.where(seen, np.maximum.reduceat(logs, starts, axis=-2) - np.where(seen, begun, 0.0), 0.0)


def _groups(
    runs: pd.DataFrame, columns: list[str], cells: np.ndarray, evals: list[str]
) -> tuple[list[str], np.ndarray, list[str]]:
    """Return groups of runs in words, the weights of their means (group, cell of run and loss), and their losses."""
    number, of_eval = np.nonzero(cells)
    names, weights, losses = [], [], []
    for e, name in enumerate(evals):
        own = of_eval == e
        groups = {"on average over all runs": own}
        groups |= {f"along {run_called(runs['run'].iloc[i])}": own & (number == i) for i in number[own]}
        for column in columns:
            for level in runs[column].unique():
                members = own & (runs[column].to_numpy()[number] == level)
                several = counted(int(members.sum()), "run")
                groups[f"on average over the {several} at {place({column: level})}"] = members
        for where, members in groups.items():
            if members.any():
                names.append(f"the {name} loss rises most {where},")
                weights.append(members / members.sum())
                losses.append(name)
    return names, np.array(weights), losses
