"""Whether the law holds where a mixture leaves sources out."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import xarray as xr

from bayeslaw.base.numbers import short
from bayeslaw.base.words import counted
from bayeslaw.checks.residuals import MOST_MISSED, residuals, rows_of, variance_of_sum
from bayeslaw.checks.result import CheckResult, Group, largest
from bayeslaw.declare.names import WEIGHT
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import mean_and_sd
from bayeslaw.tables.units import called

__all__ = ["sources_left_out"]


def sources_left_out(fit: Posterior) -> CheckResult | None:
    """Whether losses jump away from the law where a source, or two at once, are left out of the mixture."""
    if not fit.model.law.vectors:
        return None
    groups = list(_groups(fit))
    if not groups:
        return None
    score, limit, where, losses = largest(groups, MOST_MISSED)
    return CheckResult.judged(
        "sources left out",
        score,
        limit,
        f"where sources are left out the law is off most in {where}; chance explains {short(limit)} standard errors",
        "predictions without them are off by about as much: keep some of them with at_least=, or leave those runs "
        "out of the table",
        losses,
    )


def _groups(fit: Posterior) -> Iterator[Group]:
    """Mean residual, in standard errors and in words, of the runs without a source or without a pair of sources."""
    design, (frame, _), nats = fit.model.design, rows_of(fit), called(fit.model.unit)
    z = residuals(fit)[0].transpose("eval", "row").values
    above = (design.rows["loss"] - mean_and_sd(fit)[0]).transpose("eval", "row").values
    absent: xr.DataArray = design.rows[WEIGHT].transpose("source", "row") == 0
    without = {str(s): rows for s, rows in zip(absent["source"].values, absent.values, strict=True)}
    groups = [{s: rows} for s, rows in without.items() if 0 < rows.sum() < len(rows)]
    groups += [one | other for one, other in combinations(groups, 2)]
    for e, name in enumerate(design.evals):
        for group in groups:
            rows = np.logical_and.reduce(list(group.values())) & ~np.isnan(z[e])
            if rows.any():
                score = float(abs(z[e, rows].sum()) / np.sqrt(variance_of_sum(fit, frame[rows])))
                jump = float(above[e, rows].mean())
                yield Group(
                    score,
                    f"the {name} loss without {' and '.join(group)}, measured {short(abs(jump))} {nats} "
                    f"{'above' if jump > 0 else 'below'} it in {counted(int(rows.sum()), 'row')} ({short(score)} "
                    "standard errors)",
                    name,
                )
