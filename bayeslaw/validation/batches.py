"""Batches of runs: chosen greedily, each given those before it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bayeslaw.validation.candidates import Candidates
from bayeslaw.validation.worth import LEAST_ERRORS, Surrogate, Value

__all__ = ["chosen_runs", "up_to_each", "with_values"]

SHORTLIST = 16
"""Runs of a batch after the first are sought among so many candidates, the best ones by a quicker estimate."""

MEASURES = ("width", "reduction", "nats", "regret")


def with_values(plans: pd.DataFrame, values: Sequence[Value], costs: pd.Series) -> pd.DataFrame:
    """Return plans with what they are worth."""
    found: dict[str, list[float]] = {}
    for measure in MEASURES:
        pairs = [getattr(value, measure) for value in values]
        if pairs and pairs[0] is not None:
            found[measure], found[f"{measure}_error"] = ([pair[i] for pair in pairs] for i in (0, 1))
    table = plans.assign(**found, cost=costs)
    return table.assign(**{f"{m}_per_cost": table[m] / table["cost"] for m in MEASURES[1:] if m in table})


def chosen_runs(
    weighed: Surrogate, plans: Candidates, values: Sequence[Value], budget: float | None, batch: int, least: float
) -> list[int]:
    """Return the chosen candidates, in order: greedily, each given those before it.

    Within a budget, the greedy batches by reduction and by reduction per cost are compared; without one, the second is
    taken.
    """
    by_cost = _greedily(weighed, plans, values, budget, batch, least, per_cost=True)
    if budget is None:
        return by_cost
    by_gain = _greedily(weighed, plans, values, budget, batch, least, per_cost=False)
    return max((by_gain, by_cost), key=lambda runs: weighed.value(runs).reduction[0] if runs else 0.0)


def _greedily(
    weighed: Surrogate,
    plans: Candidates,
    values: Sequence[Value],
    budget: float | None,
    batch: int,
    least: float,
    per_cost: bool,
) -> list[int]:
    costs, chosen, before = plans.table["cost"].to_numpy(), list[int](), None
    left = np.inf if budget is None else budget
    alone = np.array([weighed.quickly([run]) for run in range(len(plans))])
    for _ in range(batch):
        continued = {plans.continued[run] for run in chosen} - {""}
        open_ = [
            run
            for run in range(len(plans))
            if run not in chosen and costs[run] <= left and plans.continued[run] not in continued
        ]
        weight = costs if per_cost else np.ones_like(costs)
        if not chosen:
            found = {run: values[run] for run in open_}
        else:
            quick = {run: weighed.quickly([*chosen, run]) for run in open_ if alone[run] > 0}
            short = sorted(quick, key=lambda run: -(quick[run] - weighed.quickly(chosen)) / weight[run])[:SHORTLIST]
            found = {run: weighed.value([*chosen, run]) for run in short}
        gains = {run: value.beyond(before) for run, value in found.items() if value.told_beyond(before)}
        sure = {run: gain - LEAST_ERRORS * error for run, (gain, error) in gains.items() if gain >= least}
        worth = {run: gain / weight[run] for run, gain in sure.items() if gain > 0}
        if not worth:
            break
        best = max(worth, key=worth.__getitem__)
        before, left = found[best], left - costs[best]
        chosen.append(best)
    return chosen


def up_to_each(weighed: Surrogate, plans: Candidates, runs: Sequence[int]) -> pd.DataFrame:
    """Return the chosen runs with what the batch up to each is worth and costs."""
    values = [weighed.value(runs[: n + 1]) for n in range(len(runs))]
    some = plans.table.iloc[list(runs)]
    return with_values(some, values, some["cost"].cumsum())
