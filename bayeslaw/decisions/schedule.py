"""The loss along a learning-rate schedule, and the best one of several (arXiv:2408.11029, arXiv:2505.07796)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models
from bayeslaw.base.errors import DataError, LawError, RangeError
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import POINTS, where
from bayeslaw.declare.laws import Law
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.schedules import Schedule

__all__ = ["Best", "applies", "best_schedule", "beyond", "check_law", "curve"]

BEYOND = 1.02
"""A candidate may leave the range of the runs by this factor before the answer says so."""


@dataclass(frozen=True, eq=False, repr=False)
class Best(Quantity):
    """The losses of candidates, dim ``candidate``, every draw ranking them for itself."""

    @property
    def p_best(self) -> xr.DataArray:
        """Probability that each candidate has the smallest loss."""
        smallest = self.draws.argmin("candidate")
        place = xr.DataArray(np.arange(self.draws.sizes["candidate"]), dims="candidate")
        return (smallest == place.assign_coords(candidate=self.draws["candidate"])).mean(SAMPLE)

    @property
    def p_order(self) -> xr.DataArray:
        """Probability that each candidate (dim ``candidate``) ends below each other (dim ``other``)."""
        return (self.draws < self.draws.rename(candidate="other")).mean(SAMPLE)

    @property
    def recommended(self) -> Hashable:
        """The candidate with the smallest expected loss.

        Raises
        ------
        RangeError
            The question has dims of its own, so there is one for each of their labels.
        """
        expected = self.mean()
        if expected.ndim > 1:
            raise RangeError("there is one for every label: choose with .mean().idxmin('candidate')")
        label: Hashable = expected["candidate"].values[expected.argmin("candidate")].item()
        return label

    def _shares_of_draws(self) -> dict[str, xr.DataArray]:
        return {"p_best": self.p_best}

    def _beside(self) -> dict[str, Any]:
        return {"recommended": self.recommended} if self.draws.ndim == 3 else {}

    def _answers(self) -> pd.DataFrame:
        table = xr.Dataset({"median [interval]": self.text(), "p_best": self.p_best})
        return table.reset_coords(drop=True).to_dataframe()


def applies(law: Law) -> bool:
    """Return whether a law is one of training curves."""
    return law.kind == "schedule"


def curve(
    fit: Posterior,
    schedule: Schedule,
    *,
    steps: Any = None,
    before: Schedule | None = None,
    new_run: bool = False,
    seed: int = 0,
    N: Any = None,
    domain_share: Any = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Quantity:
    """Return the loss along a schedule that need not have been run.

    Parameters
    ----------
    fit : Fit
        A posterior of a law of training curves.
    schedule : Schedule
        The schedule; that of continual pre-training, where the fit is of it.
    steps : int or array of int, optional
        Steps asked for, from 1; left out: about 200, evenly spaced after the warm-up, the last one included.
    before : Schedule, optional
        The schedule of pre-training, where the fit is of continual pre-training.
    new_run : bool
        For one new run, with its error along the steps, instead of in the law's mean.
    seed : int
        Seed of the errors of a new run.
    N, domain_share, domain
        Model size in parameters, share of the domain and target domain, where the law knows them.
    labels : mapping, optional
        Other labels that coefficients vary over, by their column.

    Returns
    -------
    Quantity
        Losses in nats per token, dims chain, draw, eval, step.

    Raises
    ------
    LawError, DataError
        The law has no schedule; `before` is missing; a step lies after the end of the schedule.
    """
    check_law(fit)
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    first = schedule.warmups[0][1] if schedule.warmups and schedule.warmups[0][0] == 0 else 0
    if steps is None:
        steps = np.unique(np.linspace(first + 1, len(schedule), min(POINTS, len(schedule) - first)).round())
    rows = pd.DataFrame({"step": np.atleast_1d(steps)})
    areas = curve_columns(rows, fit.model.runs, schedule=schedule, before=before)
    step = areas["step"].to_numpy(int)
    known = {c: xr.DataArray(areas[c], dims="step", coords={"step": step}) for c in _areas_of(fit, areas)}
    named = fit.columns(**columns, **known).assign_coords(step=step)
    asked = {**columns, "schedule": repr(schedule)}
    note = beyond(fit, {"the schedule": schedule}, areas.assign(run="the schedule"))
    what = "new run" if new_run else "mean law"
    return cautioned(fit, Quantity("loss", fit.loss(named, new_run, seed), "nats per token", what, asked, note), N=N)


def best_schedule(
    fit: Posterior,
    candidates: Mapping[Any, Schedule],
    *,
    goal: str | Mapping[str, float] | None = None,
    before: Schedule | Mapping[Any, Schedule] | None = None,
    change: bool = False,
    new_run: bool = False,
    seed: int = 0,
    N: Any = None,
    domain_share: Any = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Best:
    """Return the loss at the end of each candidate, and how probably each is the best.

    The candidates may be a family: peak rates, lengths, shares of replay or loss potentials (the last rate of
    pre-training over its peak) as labels, with the schedule, `before` and columns that belong to each.

    Parameters
    ----------
    fit : Fit
        A posterior of a law of training curves.
    candidates : mapping of label to Schedule
        At least two, texts or numbers as labels; of continual pre-training, where the fit is of it.
    goal : str or mapping, optional
        The validation set that counts, or ``{set: weight}``; left out: all alike.
    before : Schedule or mapping, optional
        The schedule of pre-training, or that of each candidate.
    change : bool
        Rank by how much the loss has changed since the end of pre-training, the goal of eq. (5) of arXiv:2505.07796.
        That is another order only where candidates continue different pre-training, as loss potentials do: what one
        of them had annealed before counts for its loss, but is no change.
    new_run : bool
        Each candidate as one new run, with its own error, instead of in the law's mean.
    seed : int
        Seed of the errors of new runs.
    N, domain_share, domain
        Model size in parameters, share of the domain and target domain, where the law knows them: one value, or
        a mapping by candidate (``domain_share={"a": 0.2, "b": 0.3}``).
    labels : mapping, optional
        Other labels that coefficients vary over, by their column.

    Returns
    -------
    Best
        Weighted losses, or changes, in nats per token, dims chain, draw, candidate. Its note names the candidates that
        leave the range of the runs, where the law is known to reward what does not help: a whole schedule scaled up,
        and steps at rate 0.

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        Fewer than two candidates, a missing `before` or column, an unknown validation set.
    """
    check_law(fit)
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    called = list(candidates)
    if len(called) < 2:
        raise RangeError("there is nothing to choose from: give at least two candidates")
    if change and before is None:
        raise DataError("a change since pre-training needs its schedule: give before=")
    names = [str(i) for i in range(len(called))]
    plans = dict(zip(names, candidates.values(), strict=True))
    bases = None if before is None else dict(zip(names, _each(before, called, "before"), strict=True))
    rows = pd.DataFrame({"run": names, "step": [len(plan) for plan in plans.values()]})
    areas = curve_columns(rows, fit.model.runs, schedule=plans, before=bases)
    at = {"candidate": called}

    def of(areas: pd.DataFrame) -> dict[str, Any]:
        return {c: xr.DataArray(areas[c].to_numpy(), dims="candidate", coords=at) for c in _areas_of(fit, areas)}

    known: dict[str, Any] = {}
    for name, value in columns.items():
        if isinstance(value, Mapping):
            known[name] = xr.DataArray(_each(value, called, name), dims="candidate", coords=at)
        else:
            known[name] = value
    wanted = Goal.of(goal, fit.evals)
    losses = fit.loss(fit.columns(**known, **of(areas)), new_run, seed)
    if change:
        start = curve_columns(rows.assign(step=0), fit.model.runs, schedule=plans, before=bases)
        losses = losses - fit.loss(fit.columns(**known, **of(start)))
    draws = wanted(losses).assign_coords(at)
    asked = {**columns, "goal": wanted.asked}
    words = dict(zip(names, map(str, called), strict=True))
    note = beyond(fit, {words[k]: plan for k, plan in plans.items()}, areas.assign(run=areas["run"].map(words)))
    name, what = "change_of_loss" if change else "final_loss", "new run" if new_run else "mean law"
    best = Best(name, draws.transpose(*SAMPLE, ...), "nats per token", what, asked, note)
    return cautioned(fit, best, N=known.get("N"))


def check_law(fit: Posterior, *needed: str) -> None:
    """Refuse a law that has no schedule, or not the columns needed, with a LawError."""
    law = fit.model.law
    if not applies(law):
        known = models.such_as(applies)
        raise LawError(f"the law {law.name} has no schedule: ask a law of training curves, such as {known}")
    if missing := [c for c in needed if c not in law.columns]:
        known = models.such_as(lambda law: set(needed) <= set(law.columns))
        raise LawError(f"the law {law.name} does not know {missing[0]}: ask a law that does, such as {known}")


def _areas_of(fit: Posterior, areas: pd.DataFrame) -> list[str]:
    return [c for c in fit.model.law.columns if c in areas]


def _each(values: Any, labels: list[Any], what: str) -> list[Any]:
    """Return the value of every candidate: their own by label, or one for all."""
    if not isinstance(values, Mapping):
        return [values] * len(labels)
    if missing := [label for label in labels if label not in values]:
        raise DataError(f"{what} has nothing for the candidate {missing[0]!r}: give one value for each, or one for all")
    return [values[label] for label in labels]


def beyond(fit: Posterior, plans: Mapping[str, Schedule], areas: pd.DataFrame) -> str:
    """Say in words where schedules leave the range of the runs."""
    table, notes = fit.model.runs.table, []
    peak = table["lr"].max()
    for name, plan in plans.items():
        parts = []
        if plan.lr.max() > BEYOND * peak:
            parts.append(
                f"a peak rate of {plan.lr.max():.3g}, above the {peak:.3g} of the runs, always helps in the law"
            )
        if (idle := int((plan.lr == 0).sum())) > 1:
            parts.append(f"{idle} steps at rate 0 help in the law only")
        own = areas[areas["run"] == name]
        for column in _areas_of(fit, areas):
            low, high = table[column].min(), table[column].max()
            slack = (BEYOND - 1) * max(abs(low), abs(high), 1e-12)
            smallest, largest = own[column].min(), own[column].max()
            ends = [end for end, off in ((smallest, smallest < low - slack), (largest, largest > high + slack)) if off]
            parts += [f"{column} {end:.3g}, in the runs {low:.3g} to {high:.3g}" for end in ends]
        if parts:
            notes.append(f"{name} leaves the range of the runs ({'; '.join(parts)})")
    return "; ".join(notes)
