"""Whether the chains are draws from the posterior."""

import arviz as az

from bayeslaw.checks.result import CheckResult
from bayeslaw.posterior.draws import Posterior

__all__ = ["convergence"]

MOST_RHAT = 1.01
LEAST_ESS = 400
LEAST_BFMI = 0.3
"""Energy: the least Bayesian fraction of missing information that counts as moving (Betancourt 2016)."""


def convergence(fit: Posterior) -> CheckResult:
    """R-hat, effective draws, divergences, and whether the energy moved as far as it should (E-BFMI)."""
    statistics = fit.idata["sample_stats"]
    sampled = [n for n in fit.posterior.data_vars if not str(n).endswith("_paper")]
    summary = az.summary(fit.idata, var_names=sampled, kind="all")
    rhat, ess = float(summary["r_hat"].astype(float).max()), float(summary["ess_bulk"].astype(float).min())
    divergent, bfmi = int(statistics["diverging"].sum()), 1.0
    text = f"R-hat at most {rhat:.3f}, ESS at least {ess:.0f}, {divergent} divergences"
    if "energy" in statistics:
        bfmi = float(az.bfmi(fit.idata)["energy"].min())
        text += f", E-BFMI at least {bfmi:.2f}"
    slow = "the chains move too slowly between narrow and wide regions: use tighter priors or pool less"
    mixing = (rhat, MOST_RHAT, "draw more (draws=, tune=)")
    numbers = (
        (divergent, 0, "raise target_accept or use tighter priors"),
        (1 - bfmi, 1 - LEAST_BFMI, slow),
        mixing,
        (ess**-0.5, LEAST_ESS**-0.5, mixing[-1]),
    )
    value, limit, remedy = next((one for one in numbers if not one[0] <= one[1]), mixing)
    return CheckResult.judged("convergence", value, limit, text, remedy)
