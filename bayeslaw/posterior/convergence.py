"""Convergence: whether the chains of a fit are draws from its posterior."""

from dataclasses import dataclass

import arviz as az

from bayeslaw.posterior.draws import Posterior, kept

__all__ = ["Convergence", "convergence"]

MOST_RHAT = 1.01
LEAST_ESS = 400
LEAST_BFMI = 0.3
"""Smallest energy Bayesian fraction of missing information of a chain that explores (Betancourt 2016)."""


@dataclass(frozen=True)
class Convergence:
    """Diagnostics of the chains.

    Attributes
    ----------
    r_hat, ess : float
        The largest R-hat and the smallest bulk ESS of all parameters.
    divergences : int
        Number of divergent draws.
    bfmi : float
        The smallest E-BFMI of the chains; NaN if the sampler kept no energies.
    """

    r_hat: float
    ess: float
    divergences: int
    bfmi: float = float("nan")

    @property
    def remedy(self) -> str:
        """The remedy; empty if the fit converged."""
        if self.divergences:
            return "raise target_accept or use tighter priors"
        if self.bfmi < LEAST_BFMI:
            return "the chains move too slowly between narrow and wide regions: use tighter priors or pool less"
        return "" if self.r_hat <= MOST_RHAT and self.ess >= LEAST_ESS else "draw more (draws=, tune=)"

    def __str__(self) -> str:
        energy = f", E-BFMI at least {self.bfmi:.2f}" if self.bfmi == self.bfmi else ""
        return f"R-hat at most {self.r_hat:.3f}, ESS at least {self.ess:.0f}, {self.divergences} divergences{energy}"


@kept
def convergence(fit: Posterior) -> Convergence | None:
    """Return the diagnostics of the chains; None for a fit that was not sampled."""
    if not fit.sampled:
        return None
    parameters = fit.posterior[[name for name in fit.posterior.data_vars if not str(name).endswith("_paper")]]
    r_hat = max(float(v.max()) for v in az.rhat(parameters).data_vars.values())
    ess = min(float(v.min()) for v in az.ess(parameters).data_vars.values())
    stats = fit.idata["sample_stats"]
    bfmi = float(az.bfmi(fit.idata)["energy"].min()) if "energy" in stats else float("nan")
    return Convergence(r_hat, ess, int(stats["diverging"].sum()), bfmi)
