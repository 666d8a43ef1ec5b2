"""What could be wrong with a fit: one sentence and a remedy for each."""

from collections.abc import Callable

from bayeslaw.base.words import counted
from bayeslaw.checks.along_tokens import bend
from bayeslaw.checks.answers import boundary, extrapolation, influence, trends
from bayeslaw.checks.cross_check import beside_papers_fit
from bayeslaw.checks.forgetting import memory
from bayeslaw.checks.mixtures import sources_left_out
from bayeslaw.checks.neighbours import alike
from bayeslaw.checks.priors import identification, prior_decides, prior_sensitivity
from bayeslaw.checks.residuals import coverage, misfit, scatter
from bayeslaw.checks.result import CheckResult, Checks
from bayeslaw.checks.run_effect import run_effect
from bayeslaw.checks.runs import in_range, peaks, reference, repetition, sizes
from bayeslaw.checks.sampling import convergence
from bayeslaw.checks.slides import slide
from bayeslaw.checks.trends_measured import measured_rises
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, weighable

__all__ = [
    "CHECKS",
    "CheckResult",
    "Checks",
    "beside_papers_fit",
    "convergence",
    "extrapolation",
    "prior_decides",
    "run_checks",
]

CHECKS: dict[str, Callable[[Posterior], CheckResult | None]] = {
    "convergence": convergence,
    "reference run": reference,
    "range": in_range,
    "memory": memory,
    "peak learning rates": peaks,
    "model sizes": sizes,
    "repetition": repetition,
    "fit to the data": coverage,
    "misfit by group": misfit,
    "misfit along scales": slide,
    "run effect": run_effect,
    "neighbouring runs": alike,
    "sources left out": sources_left_out,
    "scatter": scatter,
    "shape along tokens": bend,
    "trends": trends,
    "shape prior": measured_rises,
    "boundary shares": boundary,
    "identification": identification,
    "prior sensitivity": prior_sensitivity,
    "influential runs": influence,
    "papers' fit": beside_papers_fit,
}
"""In the order in which they are told; a check that does not apply to a fit returns None."""

OF_SAMPLES = ("convergence", "papers' fit")
"""Checks of fits that were sampled."""

OF_POSTERIORS = ("identification", "prior sensitivity", "influential runs")
"""Checks that weigh the draws of a posterior."""


@kept
def run_checks(fit: Posterior) -> Checks:
    """Run every check that applies to the fit; a check that raises has failed, for the reason that it gives."""
    found: list[CheckResult] = []
    skipped: dict[str, str] = {}
    for name, check in CHECKS.items():
        try:
            result = check(fit) if fit.sampled or name not in OF_SAMPLES else None
        except Exception as error:
            result = CheckResult(name, False, f"this could not be checked ({type(error).__name__}: {error})")
        if result is not None:
            found.append(result)
        elif reason := _cannot(fit, name):
            skipped[name] = reason
    return Checks(tuple(found), skipped)


def _cannot(fit: Posterior, name: str) -> str:
    """Say why a check has nothing to look at in such a fit; empty if it could have had."""
    if name in (*OF_SAMPLES, *OF_POSTERIORS) and fit.method == "mle":
        return "a point fit has no posterior"
    if name in OF_SAMPLES and not fit.sampled:
        return "the draws were not sampled"
    if name in OF_POSTERIORS and not weighable(fit):
        return f"{counted(fit.draws, 'draw')} are too few for weights: sample {LEAST_DRAWS}"
    return ""
