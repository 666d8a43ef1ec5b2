"""Predictions at the rows of a design, piece by piece where there are many, and fits with fewer draws."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.spec.design import Design

__all__ = [
    "CELLS",
    "MOST_LOSSES",
    "at_rows",
    "batch_noise",
    "enough",
    "mean_and_sd",
    "new_runs",
    "of_new_runs",
    "part",
    "pieces",
    "thinned",
]

CELLS = 8_000_000
"""Draws of losses that are held at once."""

MOST_DRAWS = 1000
"""Draws from which a probability, or the sensitivity of an answer, is estimated."""

MOST_LOSSES = 40_000_000
"""Draws of losses at the rows of a fit up to which all draws of the fit count, and not `MOST_DRAWS` alone."""

LEAST_NEW_RUN_DRAWS = 2000
"""Smallest number of draws of new runs."""


def batch_noise(fit: Posterior, design: Design, seed: int = 0) -> xr.DataArray:
    """Return the batch noise of rows, on the log scale; dims chain, draw, eval, row.

    The noise of batches outside the fit is drawn; it is 0 if the fit has no batch noise.
    """
    if not fit.noise.batch:
        return xr.DataArray(0.0)
    effect, (labels, number) = fit.posterior["batch_effect"], design.batches
    known = pd.Index(fit.model.design.batches[0]).get_indexer(labels)
    sd, rng = fit.posterior["batch_effect_sigma"], np.random.default_rng([seed, 4])
    drawn = [effect.isel(batch=at, drop=True) if at >= 0 else sd * rng.standard_normal(sd.shape) for at in known]
    by_row = xr.concat(drawn, "batch").isel(batch=xr.DataArray(number, dims="row"))
    noise: xr.DataArray = fit.noise.at_size(fit.posterior, design.log_size(design.rows)) * by_row
    return noise


def part(design: Design, keep: np.ndarray | slice) -> Design:
    """Return a design of some of the rows, with all groups."""
    at = {"row": keep if isinstance(keep, slice) else np.flatnonzero(keep)}
    return replace(design, rows=design.rows.isel(at), measured=design.measured.isel(at))


def pieces(design: Design, draws: int, *, of_runs: bool = False) -> Iterator[Design]:
    """Yield a design in pieces, one after the other, so that draws of the losses of one are at most about `CELLS`.

    Parameters
    ----------
    draws : int
        Number of draws.
    of_runs : bool
        Leave runs whole.
    """
    run, rows = design.rows["run"].values, max(1, CELLS // (draws * len(design.evals)))
    first = np.flatnonzero(np.r_[True, run[1:] != run[:-1]]) if of_runs else np.arange(len(run))
    cuts = [0, *first[np.flatnonzero(np.diff(first // rows)) + 1], len(run)]
    yield from (part(design, slice(*ends)) for ends in pairwise(cuts))


def at_rows(fit: Posterior, design: Design | None = None) -> xr.DataArray:
    """Return the losses of the mean law at the rows of a design (by default the fit's); dims chain, draw, eval, row."""
    rows = (design or fit.model.design).rows
    return fit.loss(rows[list(dict.fromkeys([*fit.model.law.columns, *fit.model.design.groups]))])


@kept
def mean_and_sd(fit: Posterior) -> tuple[xr.DataArray, xr.DataArray]:
    """Return mean and standard deviation of the losses of the mean law at the fit's rows; dims eval, row."""
    some = enough(fit)
    losses = (at_rows(some, piece) for piece in pieces(fit.model.design, some.draws))
    mean, sd = zip(*((each.mean(SAMPLE), each.std(SAMPLE)) for each in losses), strict=True)
    return xr.concat(mean, "row"), xr.concat(sd, "row")


def of_new_runs(
    fit: Posterior, design: Design, rng: np.random.Generator
) -> tuple[xr.DataArray, xr.DataArray, xr.Dataset]:
    """Return the losses of the mean law at the rows of a design, those of new runs there, and the parameters of both.

    A fit of few draws repeats them with other errors, so that also a point fit has a band of new runs.
    """
    law = at_rows(fit, design)
    many = -(-LEAST_NEW_RUN_DRAWS // fit.draws)
    repeated = {"draw": np.tile(np.arange(law.sizes["draw"]), many)}
    law = law.drop_vars("draw", errors="ignore").isel(repeated)
    parameters = fit.posterior.drop_vars("draw", errors="ignore").isel(repeated)
    new = law * np.exp(fit.errors(law, design.rows, rng, parameters=parameters))
    return law, fit.noise.measured(new, design.rows, rng), parameters


def new_runs(fit: Posterior, design: Design, rng: np.random.Generator) -> xr.DataArray:
    """Return losses of new runs at the rows of a design, without errors of measuring; dims chain, draw, eval, row.

    Rows of one run are checkpoints of one new run.
    """
    losses = at_rows(fit, design) * np.exp(batch_noise(fit, design))
    of_runs = replace(fit, model=replace(fit.model, noise=replace(fit.noise, batch=False)))
    run, path = design.rows["run"].values, fit.model.law.path
    drawn = []
    for label in dict.fromkeys(run):
        of_run = {"row": np.flatnonzero(run == label)}
        log_path = xr.ufuncs.log(design.rows[path].isel(of_run)) if path in design.rows else None
        drawn.append(of_runs.errors(losses.isel(of_run), design.rows.isel(of_run), rng, log_path=log_path))
    found: xr.DataArray = losses * xr.ufuncs.exp(xr.concat(drawn, "row"))
    return found


def thinned(fit: Posterior, draws: int = MOST_DRAWS) -> Posterior:
    """Return the fit with about that many draws, or with all of its draws if it has fewer; the same one every time."""
    step, found = -(-fit.draws // draws), fit.kept.setdefault(thinned, {})
    if step == 1:
        return fit
    if step not in found:
        found[step] = replace(fit, idata=fit.idata.isel(draw=slice(None, None, step)))
    few: Posterior = found[step]
    return few


def enough(fit: Posterior) -> Posterior:
    """Return the fit with as many draws as its checks take of the losses at all rows: fewer where rows are many."""
    return thinned(fit, max(MOST_DRAWS, MOST_LOSSES // fit.model.design.measured.size))
