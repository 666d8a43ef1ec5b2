"""Whether the chains are draws from the posterior."""

from bayeslaw.checks.result import CheckResult
from bayeslaw.posterior.convergence import convergence as mixing
from bayeslaw.posterior.draws import Posterior

__all__ = ["convergence"]


def convergence(fit: Posterior) -> CheckResult | None:
    """R-hat, effective draws, divergences, and whether the energy moved as far as it should (E-BFMI)."""
    found = mixing(fit)
    return None if found is None else CheckResult.judged("convergence", *found.deciding, str(found), found.remedy)
