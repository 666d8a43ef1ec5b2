"""Whether the curves were read with a memory that predicts their schedules."""

from bayeslaw.base.numbers import exact, short
from bayeslaw.checks.result import CheckResult
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.forgetting import ALL_RUNS, compare_memories, remembers
from bayeslaw.tables.areas import FEWEST_MEMORIES, short_for

__all__ = ["memory"]

MOST_WORSE = 1.5
"""Factor by which another memory may predict better; on long public curves the papers' 0.999 is worse by up to 1.4."""

LEAST_ERROR = 1e-3
"""Part of the loss: repeated runs differ by more than smaller errors."""


def memory(fit: Posterior) -> CheckResult | None:
    """Whether another memory of the annealing area predicts schedules left out clearly better."""
    if not remembers(fit.model):
        return None
    runs, errors = fit.model.runs, compare_memories(fit.model)
    mean, own = errors["mean"], float(runs.area_settings["memory"])
    others, best = mean.drop(own), float(str(mean.idxmin()))
    rival = float(str(others.idxmin()))
    found = f"an error of {short(mean[own], 2)} nats, {exact(rival)} with {short(others.min(), 2)}"
    worse = mean[own] / max(mean.min(), LEAST_ERROR * runs.table[runs.loss_columns].to_numpy().mean())
    if ALL_RUNS in errors and worse <= MOST_WORSE and (few := short_for(runs.table, own)):
        return CheckResult.judged(
            "memory",
            FEWEST_MEMORIES / (1 - own) / runs.table["step"].max(),
            1.0,
            f"memory {exact(own)} fits its runs with {found}, and none can be left out to compare them; {few}",
            "add runs of another schedule with a decay, or compare the answers with other memories",
        )
    what = "fits its runs with" if ALL_RUNS in errors else "predicts runs left out with"
    return CheckResult.judged(
        "memory",
        worse,
        MOST_WORSE,
        f"memory {exact(own)} {what} {found}",
        f"read the curves with memory={exact(best)}",
    )
