"""When a loss that rose in continual pre-training returns: turning length and critical point (arXiv:2505.07796)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import LINE_POINTS, Line, last_below, where
from bayeslaw.decisions.schedule import beyond, check_law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored
from bayeslaw.tables.areas import area_columns, area_settings
from bayeslaw.tables.schedules import Schedule

__all__ = ["critical_point", "turning_length"]

AREAS = (1e-4, 1e6)
"""Range of the search for the critical point: forward areas of pre-training (rate x steps)."""


def turning_length(
    fit: Posterior,
    schedule: Schedule,
    *,
    before: Schedule,
    goal: str | Mapping[str, float] = "general",
    N: Any = None,
    domain_share: Any = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return after how many steps of continual pre-training a loss that rose returns to its start.

    Parameters
    ----------
    fit, N, domain_share, domain, labels
        The posterior of a law of continual pre-training curves; model size (parameters), share of the domain, target
        domain and ``{column: label}`` of other groups.
    schedule, before : Schedule
        Continual pre-training, up to its longest length, and pre-training.
    goal : str or mapping
        The validation set, or ``{validation set: importance}`` for a weighted change.

    Returns
    -------
    Censored
        Steps. `p_never`: the loss never rises above its start; `p_always`: it is not back by the end of `schedule`. Its
        note says where the schedule, up to the upper end of the interval, leaves the range of the runs.

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        The law has no continual pre-training; a column is missing; a validation set does not exist.

    Notes
    -----
    Section 4 of arXiv:2505.07796, for any schedule. A rise and return between two of the 400 steps of the first scan is
    missed.
    """
    check_law(fit, "S1cpt")
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    wanted = Goal.of(goal, fit.evals)
    joined = area_columns(before.then(schedule), area_settings(fit.model.runs))
    areas = {c: a[len(before) - 1 :] for c, a in joined.items() if c in fit.model.law.columns}
    length = len(schedule)

    def change(step: xr.DataArray) -> xr.DataArray:
        known = {c: xr.DataArray(a[step.values], dims=step.dims) for c, a in areas.items()}
        return wanted(fit.loss(fit.columns(**columns, **known)))

    start = change(xr.DataArray(0))
    spaced = np.r_[0, np.geomspace(1, length, LINE_POINTS), np.linspace(1, length, LINE_POINTS)]
    grid = xr.DataArray(np.unique(spaced.round().astype(int)), dims="grid")
    above = Line.scan(lambda step: change(step) - start, grid) > 0
    rose = above.cumsum("grid") > 0
    back = rose & ~above
    first = back.argmax("grid").clip(min=1)
    lower, upper = grid[first - 1], grid[first]
    while ((upper - lower) > 1).any():
        middle = (lower + upper) // 2
        still = change(middle) > start
        lower, upper = middle.where(still, lower), middle.where(~still, upper)
    draws = upper.where(back.any("grid"), length).where(rose.isel(grid=-1, drop=True), 0).astype(float)
    notes = ["p_never: it never rises above its start; p_always: it is not back by the last step"]
    end = max(1, int(np.ceil(float(draws.quantile((1 + CI_PROB) / 2)))))
    name = "the schedule up to the answer"
    reached = pd.DataFrame({c: a[1 : end + 1] for c, a in areas.items()}).assign(run=name)
    if left := beyond(fit, {name: Schedule(schedule.lr[:end])}, reached):
        notes.append(left)
    answer = Censored(
        "turning_length",
        draws.transpose(*SAMPLE, ...),
        "steps",
        fit.mean_name,
        {**columns, "goal": wanted.asked, "schedule": repr(schedule)},
        "; ".join(notes),
        low=0.0,
        high=float(length),
    )
    return cautioned(fit, answer, N=N, domain_share=domain_share, step=end, peak=schedule.lr.max())


def critical_point(
    fit: Posterior,
    *,
    goal: str | Mapping[str, float] = "general",
    N: Any = None,
    domain_share: Any = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the forward area of pre-training from which on a loss that rises does not return to its start.

    At a constant rate, as in arXiv:2505.07796: for one validation set it is ``(A / B)^(1 / alpha)`` of its eq. (4).
    After shorter pre-training the loss still has so far to fall that it ends lower. The comparison is with endless
    steps: by the constants of its figure 3 a loss beyond this point may be back for a while.

    Parameters
    ----------
    fit, goal, N, domain_share, domain, labels
        As in `turning_length`.

    Returns
    -------
    Censored
        Rate x steps: divided by a rate, the steps at that rate. `p_always`: the loss comes back from any pre-training.

    Raises
    ------
    DataError, LawError, UnknownName
        The law does not depend on both stages; a column is missing; a validation set does not exist.
    """
    check_law(fit, "S1", "S1cpt")
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    wanted = Goal.of(goal, fit.evals)
    constant = dict.fromkeys((c for c in fit.model.law.columns if c.startswith("annealed")), 0.0)

    def loss(S1: Any, S1cpt: float) -> xr.DataArray:
        return wanted(fit.loss(fit.columns(**columns, **constant, S1=S1, S1cpt=S1cpt)))

    end = loss(np.inf, np.inf)
    grid = xr.DataArray(np.log(np.geomspace(*AREAS, LINE_POINTS)), dims="grid")
    low, high = (float(np.exp(grid[i])) for i in (0, -1))
    draws = last_below(lambda log_area: end - loss(np.exp(log_area), 0.0), grid)
    answer = Censored(
        "critical_point",
        xr.ufuncs.exp(draws).transpose(*SAMPLE, ...),
        "rate x steps",
        fit.mean_name,
        {**columns, "goal": wanted.asked},
        low=low,
        high=high,
    )
    return cautioned(fit, answer, N=N, domain_share=domain_share)
