"""What could be wrong with a fit: one sentence and a remedy for each."""

from collections.abc import Callable

from bayeslaw.checks.answers import boundary, extrapolation, influence, trends
from bayeslaw.checks.cross_check import beside_papers_fit
from bayeslaw.checks.forgetting import memory
from bayeslaw.checks.mixtures import sources_left_out
from bayeslaw.checks.neighbours import alike
from bayeslaw.checks.priors import identification, prior_decides, prior_sensitivity
from bayeslaw.checks.residuals import coverage, misfit, scatter
from bayeslaw.checks.result import CheckResult, Checks
from bayeslaw.checks.runs import bend, in_range, reference
from bayeslaw.checks.sampling import convergence
from bayeslaw.posterior.draws import Posterior, kept

__all__ = ["CheckResult", "Checks", "beside_papers_fit", "convergence", "extrapolation", "prior_decides", "run_checks"]

CHECKS: dict[str, Callable[[Posterior], CheckResult | None]] = {
    "convergence": convergence,
    "reference run": reference,
    "range": in_range,
    "memory": memory,
    "fit to the data": coverage,
    "misfit by group": misfit,
    "neighbouring runs": alike,
    "sources left out": sources_left_out,
    "scatter": scatter,
    "shape along tokens": bend,
    "trends": trends,
    "boundary shares": boundary,
    "identification": identification,
    "prior sensitivity": prior_sensitivity,
    "influential runs": influence,
    "papers' fit": beside_papers_fit,
}
"""In the order in which they are told; a check that does not apply to a fit returns None."""

OF_SAMPLES = ("convergence", "papers' fit")
"""Checks of fits that were sampled."""


@kept
def run_checks(fit: Posterior) -> Checks:
    """Run every check that applies to the fit; a check that raises has failed, for the reason that it gives."""
    found: list[CheckResult | None] = []
    for name, check in CHECKS.items():
        if fit.sampled or name not in OF_SAMPLES:
            try:
                found.append(check(fit))
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                found.append(CheckResult(name, False, f"this could not be checked ({reason})"))
    return Checks(tuple(c for c in found if c is not None))
