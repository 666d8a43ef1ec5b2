"""The papers' fit beside the posterior."""

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import short
from bayeslaw.base.words import place
from bayeslaw.checks.result import CheckResult, Group, largest
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.inference import fit as refit
from bayeslaw.posterior.prediction import at_rows, mean_and_sd

__all__ = ["beside_papers_fit"]

MOST_APART = 3.0
"""Posterior standard deviations that the median of a group may lie apart: the papers' fit has noise of its own."""


def beside_papers_fit(fit: Posterior) -> CheckResult:
    """Compare the posterior's predictions at the measurements with those of the papers' fit, which takes seconds.

    Coefficients are not compared: the papers' fit has no priors, so those that the runs do not determine drift to
    anything there, and the predictions do not care. The papers' fit is of the law alone, and is compared with it.
    """
    design = fit.model.design
    other = refit(fit.model, method="mle", seed=fit.settings.get("seed", 0))
    mean, sd = mean_and_sd(fit.without_misfit())
    apart = (abs(at_rows(other).squeeze(SAMPLE, drop=True) - mean) / sd).where(design.measured)
    frame = apart.reset_coords(drop=True).rename("apart").to_dataframe().reset_index().dropna()
    levels = {c: design.rows[c].values[frame["row"]] for c in design.levels if c != fit.model.law.path}
    frame = frame.assign(**levels)
    groups = [
        Group(
            by := float(group["apart"].median()),
            f"the {e} loss" + (f" at {place({c: level})}" if c else "") + f" by {short(by, 2)}",
            str(e),
        )
        for c in levels or [""]
        for (e, level), group in frame.groupby(["eval", c or "eval"])
    ]
    most, limit, where, losses = largest(groups, MOST_APART)
    misfit, without = (", the misfit", ", with misfit=None") if fit.processes else ("", "")
    return CheckResult.judged(
        "papers' fit",
        most,
        limit,
        "predictions at the measurements differ from those of the papers' fit (multi-start least squares with the "
        f"Huber loss, no priors) by {short(frame['apart'].median(), 2)} posterior standard deviations in the median; "
        f"of {len(groups)} groups most in {where}",
        f"beyond {short(limit, 2)} the priors, the pooling{misfit} or the error model decide: compare the answers with "
        f"other priors{without} and another bl.Noise",
        losses,
    )
