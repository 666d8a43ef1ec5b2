"""Whether the law is off along its scales, in residuals or in a misfit that has grown steep."""

from collections.abc import Iterator

import numpy as np

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import apart, short
from bayeslaw.base.words import counted, run_called
from bayeslaw.checks.residuals import MOST_MISSED, part_of, residuals, rows_of, scales, variance_of_sum
from bayeslaw.checks.result import CheckResult, Group, largest
from bayeslaw.checks.run_effect import PRIOR_PROB
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.declare.priors import central
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import thinned
from bayeslaw.spec.misfit import Process

__all__ = ["slide"]

NAME = "misfit along scales"

DEGREES = 3
"""Of the polynomials in the logarithm of a scale that residuals may follow."""

MOST_NAMED = 5
"""Runs that a sentence names."""


def slide(fit: Posterior) -> CheckResult | None:
    """Whether residuals slide along sizes, tokens or compute, and whether a misfit has taken more than its prior has.

    Of both, what fails is told, and the residuals if none does.
    """
    found = [check for check in (_residual(fit), _steepest(fit)) if check is not None]
    return next((check for check in found if not check.passed), found[0] if found else None)


def _residual(fit: Posterior) -> CheckResult | None:
    """Polynomials that the residuals follow, in standard errors, also where every run is a single measurement.

    What the coefficients can follow is missing in the residuals, so that chance makes less of them than is allowed.
    """
    if not (found := list(_slides(fit))):
        return None
    score, limit, where, losses = largest(found, MOST_MISSED)
    return CheckResult.judged(
        NAME,
        score,
        limit,
        f"the law is off most along {where}; chance explains {short(limit)} standard errors",
        f"predictions beyond the runs are off by more: {laws_that_bend(fit)}",
        losses,
    )


def _steepest(fit: Posterior) -> CheckResult | None:
    """Hold the posterior median of every slope of the misfit against the upper end of its prior."""
    found = []
    for process in fit.processes.values():
        ends = central(fit.model.stated_priors[process.slope], PRIOR_PROB)
        if process.sampled and ends is not None:
            slope = float(fit.posterior[process.slope].median(SAMPLE).max())
            found.append((slope / ends[2], slope, *ends, process))
    if not found:
        return None
    _, slope, middle, _, high, process = max(found, key=lambda one: one[0])
    largest_at = f", and the misfit is largest at {_runs(fit, process)}" if slope > high else ""
    robust = "" if fit.noise.robust else "let outliers count less with noise=bl.Noise(robust=True), "
    return CheckResult.judged(
        NAME,
        slope / middle,
        high / middle,
        f"the slope of the misfit along {' and '.join(process.columns)} is {short(slope, 2)}, "
        f"{short(slope / middle, 2)} times the median of its prior{largest_at}",
        f"the prior expects at most {short(high / middle, 2)} times, and a few runs may account for it: look at these, "
        f"{robust}or {laws_that_bend(fit)}",
    )


def _runs(fit: Posterior, process: Process) -> str:
    """Write the runs at which a process is more than half as large as anywhere, the largest first."""
    design = fit.model.design
    off = abs(thinned(fit).misfit(design.rows, process.name).mean(SAMPLE)).where(design.measured).max("eval")
    by_run = off.to_series().groupby(design.rows["run"].values).max().sort_values(ascending=False, kind="stable")
    there = by_run.index[by_run > by_run.max() / 2]
    more = len(there) - MOST_NAMED
    return ", ".join(map(run_called, there[:MOST_NAMED])) + (f" and {counted(more, 'other')}" if more > 0 else "")


def _slides(fit: Posterior) -> Iterator[Group]:
    """Yield the score of every polynomial of every scale, and how far the law is off along it, in words."""
    z, scale = residuals(fit)
    frame, along = rows_of(fit)[0], scales(fit)
    for e in fit.evals:
        one = frame.assign(z=z.sel(eval=e).values, unit=1 / scale.sel(eval=e).values).dropna(subset="z")
        for column, values in along.loc[one.index].items():
            if (count := min(DEGREES, values.nunique() - 1)) < 1:
                continue
            log = np.log(values.to_numpy())
            shape = np.linalg.qr(np.vander((log - log.mean()) / log.std(), count + 1, increasing=True))[0].T[1:]
            scores = [abs(c @ one["z"]) / np.sqrt(variance_of_sum(fit, one, c)) for c in shape]
            sums = one[["z", "unit"]].groupby(part_of(str(column), values)).sum()
            off = sums["z"] / sums["unit"]
            sides = {"above": str(off.idxmax()), "below": str(off.idxmin())}
            places = " and ".join(f"{apart(off[at])} {side} it at {at}" for side, at in sides.items())
            where = f"{column}, the {e} loss measured {places} ({short(max(scores))} standard errors)"
            yield Group(float(max(scores)), where, e)
