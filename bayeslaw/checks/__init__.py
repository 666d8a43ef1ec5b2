"""What could be wrong with a fit: one sentence and a remedy for each."""

from bayeslaw.checks.answers import boundary, extrapolation, influence, trends
from bayeslaw.checks.cross_check import beside_papers_fit
from bayeslaw.checks.priors import identification, prior_decides, prior_sensitivity
from bayeslaw.checks.residuals import coverage, misfit, scatter
from bayeslaw.checks.result import CheckResult, Checks
from bayeslaw.checks.runs import bend, in_range, reference
from bayeslaw.checks.sampling import convergence
from bayeslaw.posterior.draws import Posterior, kept

__all__ = ["CheckResult", "Checks", "beside_papers_fit", "convergence", "extrapolation", "prior_decides", "run_checks"]

ALWAYS = (reference, in_range, coverage, misfit, scatter, bend, trends)
OF_POSTERIORS = (boundary, identification, prior_sensitivity, influence)
"""In the order in which they are told."""


@kept
def run_checks(fit: Posterior) -> Checks:
    """Run every check that applies to the fit."""
    found: list[CheckResult | None] = [convergence(fit)]
    found += [check(fit) for check in (*ALWAYS, *OF_POSTERIORS)]
    if fit.sampled:
        found.append(beside_papers_fit(fit))
    return Checks(tuple(c for c in found if c is not None))
