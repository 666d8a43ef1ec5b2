"""Whether the chains are draws from the posterior."""

import arviz as az

from bayeslaw.checks.result import CheckResult
from bayeslaw.posterior.draws import Posterior

__all__ = ["convergence"]

RHAT = 1.01
ESS = 400
BFMI = 0.3
"""Energy: the least Bayesian fraction of missing information that counts as moving (Betancourt 2016)."""


def convergence(fit: Posterior) -> CheckResult:
    """R-hat, effective draws, divergences, and whether the energy moved as far as it should (E-BFMI)."""
    sampled = [n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]
    summary = az.summary(fit.idata, var_names=sampled, kind="all")
    rhat, ess = float(summary["r_hat"].astype(float).max()), float(summary["ess_bulk"].astype(float).min())
    divergent = int(fit.idata["sample_stats"]["diverging"].sum())
    numbers = f"R-hat at most {rhat:.3f}, ESS at least {ess:.0f}, {divergent} divergences"
    slow = False
    if "energy" in fit.idata["sample_stats"]:
        bfmi = float(az.bfmi(fit.idata)["energy"].min())
        numbers, slow = f"{numbers}, E-BFMI at least {bfmi:.2f}", bfmi < BFMI
    if rhat <= RHAT and ess >= ESS and divergent == 0 and not slow:
        return CheckResult("convergence", True, numbers)
    if divergent:
        remedy = "raise target_accept or use tighter priors"
    elif slow:
        remedy = "the chains move too slowly between narrow and wide regions: use tighter priors or pool less"
    else:
        remedy = "draw more (draws=, tune=)"
    return CheckResult("convergence", False, f"{numbers}; {remedy}")
