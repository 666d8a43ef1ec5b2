"""Whether the runs are what the law and its priors are for; no posterior is needed."""

import numpy as np

from bayeslaw.checks.result import CheckResult
from bayeslaw.posterior.draws import Posterior
from bayeslaw.spec.design import check_reference, ranges

__all__ = ["bend", "in_range", "reference"]

RISE = 0.01
"""Relative rise of a loss above the run's first measurement that counts as a bend and not as noise."""


def reference(fit: Posterior) -> CheckResult:
    """Whether the priors are read near the runs."""
    far = check_reference(fit.model.design)
    if not far:
        return CheckResult("reference run", True, "the runs lie within a factor of 100 of it")
    return CheckResult(
        "reference run",
        False,
        f"the runs lie more than a factor of 100 away in {', '.join(far)}, so the priors mean little here; state the "
        f"study's own, for example reference={{{far[0]!r}: ...}}",
    )


def in_range(fit: Posterior) -> CheckResult:
    """Whether the law is claimed to hold where the runs are."""
    outside, total = int((~fit.model.design.measured).sum()), fit.model.design.measured.size
    span = f"the law's range ({ranges(fit.model.law)})"
    if fit.model.outside == "include":
        return CheckResult("range", True, f"rows outside {span} were included on request")
    if not outside:
        return CheckResult("range", True, f"all {total} measurements lie in {span}")
    passed = outside <= total / 3
    text = f"{outside} of {total} measurements lie outside {span} and stayed out of the fit"
    return CheckResult("range", passed, text if passed else text + "; outside='include' fits them all the same")


def bend(fit: Posterior) -> CheckResult | None:
    """U-shape alarm: a loss that first rises and then falls along a run."""
    law, design = fit.model.law, fit.model.design
    if law.path not in law.falls_in or not design.has_checkpoints():
        return None
    bent: list[str] = []
    run, loss = design.rows["run"].values, design.rows["loss"].values
    for k, e in enumerate(design.evals):
        for name in np.unique(run):
            x = loss[(run == name) & design.measured.values[:, k], k]
            if len(x) >= 3 and x.max() > (1 + RISE) * x[0]:
                bent.append(f"{name} ({e})")
    if not bent:
        return CheckResult("shape along tokens", True, "no loss rises along a run, as the law requires")
    number = f"{len(bent)} runs, for example {bent[0]}" if len(bent) > 1 else f"one run, {bent[0]}"
    return CheckResult(
        "shape along tokens",
        False,
        f"the loss rises along {number}, which {law.name} cannot follow: keep "
        "predictions to the tokens measured, or use a law that can bend",
    )
