"""What a law misses in several domains alike: errors of new runs told from those of fitted runs at the same place.

Runs of the same size and mixture at the same tokens often miss the law alike, whatever their domain: a re-warm-up, or a
bend that the law cannot make. The errors of the new runs are then about c times those of their twins, and c is the
slope of one on the other, for every validation set, shrunk to 0 where it is within two standard errors of it.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import at_rows, thinned
from bayeslaw.spec.design import Design

__all__ = ["SharedErrors", "shared_errors"]

DIGITS = 6
"""Significant digits in which the places of twins agree."""

ENOUGH = 200
"""Draws from which the mean law is taken."""

LEAST_STANDARD_ERRORS = 2.0
"""Standard errors from 0 up to which a slope counts as 0."""


@dataclass(frozen=True)
class SharedErrors:
    """Errors that the runs of a domain share with others: by place, on the log scale, a column per validation set."""

    domain: str
    errors: pd.DataFrame
    slopes: dict[str, float]
    at_the_end: dict[str, float]

    @property
    def settings(self) -> dict[str, dict[str, float]]:
        """What a fit keeps: the shared part of the errors, and its mean at the end of the runs."""
        return {
            "shared_errors": {e: round(slope, 2) for e, slope in self.slopes.items()},
            "shared_at_the_end": {e: round(self.slopes[e] * error, 4) for e, error in self.at_the_end.items()},
        }

    def without(self, design: Design) -> Design:
        """Return a design with the shared errors taken off the losses of the domain."""
        shared = self.errors.reindex(_places(design))[design.evals].fillna(0.0) * pd.Series(self.slopes)
        own = design.rows["domain"] == self.domain
        factor = xr.DataArray(np.exp(-shared.to_numpy()), dims=("row", "eval"))
        return replace(design, rows=design.rows.assign(loss=design.rows["loss"] * factor.where(own, 1.0)))


def shared_errors(fit: Posterior, domain: str, early: Design) -> SharedErrors:
    """Return the errors that early runs of a new domain share with their twins among the fitted runs."""
    design = fit.model.design
    loss = xr.ufuncs.log(design.rows["loss"]).transpose("row", "eval")
    law = xr.ufuncs.log(at_rows(thinned(fit, ENOUGH))).mean(SAMPLE).transpose("row", "eval")
    rows = pd.DataFrame((loss - law).where(design.measured).values, index=_places(design), columns=design.evals)
    expected = pd.DataFrame(law.values, index=rows.index, columns=design.evals)
    errors, expected = (frame.groupby(level=0).mean() for frame in (rows, expected))
    early_loss = xr.ufuncs.log(early.rows["loss"]).transpose("row", "eval").where(early.measured)
    new = pd.DataFrame(early_loss.values, index=_places(early), columns=early.evals)
    slopes = {e: _slope(errors[e].reindex(new.index), new[e] - expected[e].reindex(new.index)) for e in early.evals}
    last = ~pd.Series(design.rows["run"].values).duplicated(keep="last").to_numpy()
    at_the_end = {e: float(rows[e][last].mean()) for e in design.evals if rows[e][last].notna().any()}
    return SharedErrors(domain, errors, slopes, at_the_end)


def _places(design: Design) -> pd.Index:
    """Return the place of every row: the columns of the law that are not the domain's own."""
    law = design.law
    columns = [c for c in law.columns if c not in law.covariates or law.covariates[c].of is None]
    values = [design.rows[c].transpose("row", ...).values.reshape(design.rows.sizes["row"], -1) for c in columns]
    return pd.Index([" ".join(f"{v:.{DIGITS}g}" for v in row) for row in np.hstack(values).astype(float)])


def _slope(twin: pd.Series, new: pd.Series) -> float:
    """Return the slope of the errors of new runs on those of their twins, shrunk, from 0 to 1."""
    known = (twin.notna() & new.notna()).to_numpy()
    x, y = (s.to_numpy()[known] - s.to_numpy()[known].mean() if known.any() else np.empty(0) for s in (twin, new))
    free, squares = len(x) - 2, float(x @ x)
    if free < 1 or squares == 0:
        return 0.0
    slope = float(x @ y) / squares
    variance = float(((y - slope * x) ** 2).sum()) / free / squares
    if slope <= 0 or slope**2 <= LEAST_STANDARD_ERRORS**2 * variance:
        return 0.0
    return min(slope * (1 - LEAST_STANDARD_ERRORS**2 * variance / slope**2), 1.0)
