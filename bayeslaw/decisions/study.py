"""What a study asks: its own questions, answered once."""

from contextlib import suppress

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import critical_ratio, has_critical_ratio, of_the_study
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows

__all__ = ["answers"]


def answers(fit: Posterior) -> xr.DataArray:
    """Return what a study is asked, in words, with its draws; dims chain, draw, answer.

    The critical ratios at which the general loss does not rise (where the law and the runs have one), and the mean
    losses at the end of every run that was measured within the law's range (the coordinate ``measured_in`` names it).
    """
    design, law = fit.model.design, fit.model.law
    found: dict[str, xr.DataArray] = {}
    if has_critical_ratio(fit):
        with suppress(BayeslawError):  # no baseline, or a label that the question leaves open
            ratio = critical_ratio(fit, **of_the_study(fit)).draws
            asked = [str(d) for d in ratio.dims if d not in SAMPLE]
            for index in np.ndindex(*(ratio.sizes[d] for d in asked)):
                cell = ratio.isel(dict(zip(asked, index, strict=True)))
                where = place({d: cell[d].item() for d in asked})
                found[f"the critical ratio at {where}" if where else "the critical ratio"] = cell.reset_coords(
                    drop=True
                )
    run, runs = pd.Series(design.rows["run"].values), dict.fromkeys(found, "")
    losses = at_rows(fit)
    for row in np.flatnonzero(~run.duplicated(keep="last")):
        labels = [*design.levels, *design.groups, *(["run"] if law.over else [])]
        at = {c: design.rows[c].isel(row=row).item() for c in labels if c != law.path}
        for e in np.flatnonzero(design.measured.values[row]):
            name = f"the {fit.evals[e]} loss at {place(at)}" if at else f"the {fit.evals[e]} loss"
            found[name], runs[name] = losses.isel(row=row, eval=e).reset_coords(drop=True), str(run[row])
    every = xr.concat(found.values(), pd.Index(found, name="answer"), coords="minimal").transpose(*SAMPLE, "answer")
    return every.assign_coords(measured_in=("answer", list(runs.values())))
