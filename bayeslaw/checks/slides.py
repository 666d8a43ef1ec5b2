"""Whether the law is off along sizes, tokens or compute, also where every run is a single measurement."""

from collections.abc import Iterator

import numpy as np

from bayeslaw.base.numbers import apart, short
from bayeslaw.checks.residuals import MOST_MISSED, part_of, residuals, rows_of, scales, variance_of_sum
from bayeslaw.checks.result import CheckResult, largest
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.posterior.draws import Posterior

__all__ = ["slide"]


DEGREES = 3
"""Of the polynomials in the logarithm of a scale that residuals may follow."""


def slide(fit: Posterior) -> CheckResult | None:
    """Polynomials that the residuals follow along sizes, tokens and compute, in standard errors.

    What the coefficients can follow is missing in the residuals, so that chance makes less of them than is allowed.
    """
    if not (found := list(_slides(fit))):
        return None
    score, limit, where = largest(found, MOST_MISSED)
    return CheckResult.judged(
        "misfit along scales",
        score,
        limit,
        f"the law is off most along {where}; chance explains {short(limit)} standard errors",
        f"predictions beyond the runs are off by more: {laws_that_bend(fit)}",
    )


def _slides(fit: Posterior) -> Iterator[tuple[float, str]]:
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
            yield max(scores), f"{column}, the {e} loss measured {places} ({short(max(scores))} standard errors)"
