"""Whether whole runs err by more than replicated runs differ."""

import numpy as np

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import percent
from bayeslaw.checks.result import CheckResult
from bayeslaw.checks.runs import laws_that_bend
from bayeslaw.declare.priors import central
from bayeslaw.posterior.draws import Posterior

__all__ = ["run_effect"]

PRIOR_PROB = 0.98
"""The prior's central interval, above which a run effect is no longer that of replicates."""


def run_effect(fit: Posterior) -> CheckResult | None:
    """Whether the run effect is as small as the prior of the errors, from replicated runs, expects.

    A law that cannot follow its runs, sizes or shares may leave the difference to the run effect; the mean law is then
    far off while every band holds its measurements.
    """
    prior = central(fit.noise.sigma, PRIOR_PROB)
    if prior is None or not {"sigma", "run_weight"} <= set(fit.posterior):
        return None
    spread = (fit.posterior["sigma"] * np.sqrt(fit.posterior["run_weight"])).median(SAMPLE)
    largest, most = float(spread.max()), float(np.max(prior))
    worst = spread["eval"].values[spread.values.argmax()]
    return CheckResult.judged(
        "run effect",
        largest,
        most,
        f"whole runs have errors of {percent(largest)} of the {worst} loss (standard deviation); the prior, from "
        f"replicated runs, expects at most {percent(most)}",
        "the run effect may hide a misfit of the law, and the mean law may be far off: compare with "
        f"noise=bl.Noise(correlated=False), or {laws_that_bend(fit)}",
        spread["eval"].values[spread.values > most].tolist(),
    )
