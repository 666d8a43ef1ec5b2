"""Convergence: whether the chains of a fit are draws from its posterior."""

import math
from dataclasses import dataclass

import arviz_stats
import numpy as np

from bayeslaw.base.numbers import exact
from bayeslaw.base.words import counted
from bayeslaw.posterior.draws import Posterior, kept

__all__ = ["MOST_PARETO_K", "Convergence", "convergence"]

MOST_RHAT = 1.01
LEAST_ESS = 400
LEAST_BFMI = 0.3
"""Smallest energy Bayesian fraction of missing information of a chain that explores (Betancourt 2016)."""

MOST_PARETO_K = 0.7
"""Largest Pareto k of reliable importance weights (arXiv:1507.02646)."""


@dataclass(frozen=True)
class Convergence:
    """Diagnostics of the chains.

    Attributes
    ----------
    r_hat, ess : float
        The largest R-hat and the smallest bulk ESS of all parameters; of chains that never moved NaN, which is too
        large and too small.
    divergences : int
        Number of divergent draws.
    bfmi : float
        The smallest E-BFMI of the chains; NaN if the sampler kept no energies.
    chains : int
        Number of chains; one alone has no R-hat.
    """

    r_hat: float
    ess: float
    divergences: int
    bfmi: float = float("nan")
    chains: int = 2

    @property
    def _numbers(self) -> list[tuple[float, float, str]]:
        """Every number with what it may be at most, and what to do where it is more; the first that is counts."""
        slow = "the chains move too slowly between narrow and wide regions: use tighter priors or pool less"
        return [
            (self.divergences, 0, "raise target_accept or use tighter priors"),
            *([(1 - self.bfmi, 1 - LEAST_BFMI, slow)] if self.bfmi == self.bfmi else []),
            (
                self.r_hat,
                MOST_RHAT,
                "sample two or more (chains=)" if self.chains == 1 else "draw more (draws=, tune=)",
            ),
            (self.ess**-0.5, LEAST_ESS**-0.5, "draw more (draws=, tune=)"),
        ]

    @property
    def deciding(self) -> tuple[float, float]:
        """The number that decides, and its limit: one that is above, or else R-hat (for the ESS, 1 over its root)."""
        above = [(value, limit) for value, limit, _ in self._numbers if not value <= limit]
        return above[0] if above else (self.r_hat, MOST_RHAT)

    @property
    def remedy(self) -> str:
        """What to do; empty if the fit converged."""
        return next((remedy for value, limit, remedy in self._numbers if not value <= limit), "")

    def __str__(self) -> str:
        r_hat = self.r_hat if self.r_hat <= MOST_RHAT else float(np.ceil(1000 * self.r_hat)) / 1000
        mixed = "one chain: R-hat is not known" if self.chains == 1 else f"R-hat at most {r_hat:.3f}"
        mixed += f", {exact(MOST_RHAT)} allowed" if self.r_hat > MOST_RHAT else ""
        many = f"ESS at least {math.floor(self.ess)}" + (f", {LEAST_ESS} needed" if self.ess < LEAST_ESS else "")
        energy = f", E-BFMI at least {self.bfmi:.2f}" if self.bfmi == self.bfmi else ""
        energy += f", {exact(LEAST_BFMI)} needed" if self.bfmi < LEAST_BFMI else ""
        return f"{mixed}, {many}, {counted(self.divergences, 'divergence')}{energy}"


@kept
def convergence(fit: Posterior) -> Convergence | None:
    """Return the diagnostics of the chains; None for a fit that was not sampled."""
    if not fit.sampled:
        return None
    parameters = fit.posterior[[name for name in fit.posterior.data_vars if not str(name).endswith("_paper")]]
    with np.errstate(divide="ignore", invalid="ignore"):  # of chains that never moved
        r_hat = max(float(v.max()) for v in arviz_stats.rhat(parameters).data_vars.values())
        ess = min(float(v.min()) for v in arviz_stats.ess(parameters).data_vars.values())
    stats = fit.idata["sample_stats"]
    bfmi = float(arviz_stats.bfmi(fit.idata)["energy"].min()) if "energy" in stats else float("nan")
    return Convergence(r_hat, ess, int(stats["diverging"].sum()), bfmi, fit.posterior.sizes["chain"])
