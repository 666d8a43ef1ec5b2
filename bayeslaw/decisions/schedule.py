"""The loss along a learning-rate schedule, and the best one of several (arXiv:2408.11029, arXiv:2505.07796)."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models
from bayeslaw.base.arguments import some_numbers
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import short
from bayeslaw.base.words import counted
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import LINE_POINTS, require, where
from bayeslaw.errors import ArgumentError, DataError, LawError, RangeError, shown
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.posterior.rates import plan_rises, rises
from bayeslaw.tables.curves import curve_columns
from bayeslaw.tables.schedules import Schedule

__all__ = ["Best", "best_schedule", "beyond", "check_law", "curve"]

RANGE_SLACK = 0.02
"""Part by which a schedule may leave the range of the runs before the note says so."""


@dataclass(frozen=True, eq=False, repr=False)
class Best(Quantity):
    """The losses of candidates (dim ``candidate``), ranked in every draw."""

    @property
    def p_best(self) -> xr.DataArray:
        """Probability that each candidate has the smallest loss."""
        smallest = self.draws.argmin("candidate")
        labels = self.draws["candidate"]
        return (smallest == xr.DataArray(np.arange(labels.size), dims="candidate", coords=labels.coords)).mean(SAMPLE)

    @property
    def p_order(self) -> xr.DataArray:
        """Probability that each candidate (dim ``candidate``) has a smaller loss than each other (dim ``other``)."""
        return (self.draws < self.draws.rename(candidate="other")).mean(SAMPLE)

    @property
    def recommended(self) -> Hashable:
        """The candidate with the smallest expected loss.

        Raises
        ------
        RangeError
            The question has dims of its own, and with them several recommendations.
        """
        expected = self.mean()
        if expected.ndim > 1:
            raise RangeError(
                "recommended needs an answer without labels: choose for each label with .mean().idxmin('candidate')"
            )
        label: Hashable = expected["candidate"].values[expected.argmin("candidate")].item()
        return label

    def _shares_of_draws(self) -> dict[str, xr.DataArray]:
        return {"p_best": self.p_best}

    def _beside(self) -> dict[str, Any]:
        return {"recommended": self.recommended} if self.draws.ndim == 3 else {}

    def _answers(self, prob: float) -> pd.DataFrame:
        table = xr.Dataset({"median [interval]": self.text(prob), "p_best": self.p_best})
        return table.reset_coords(drop=True).to_dataframe()


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
    """Return the loss along a schedule, measured or not.

    Parameters
    ----------
    fit, N, domain_share, domain, labels
        The posterior of a law of training curves; model size (parameters), share of the domain, target domain and
        ``{column: label}`` of other groups.
    schedule, before : Schedule
        The schedule of the curve, and that of pre-training if the fit is of continual pre-training.
    steps : int or array of int, optional
        Steps from 1; by default about 200, evenly spaced from the warm-up to the last one.
    new_run, seed
        Answer for one new run with its error along the steps, not for the mean law, and the seed of its error.

    Returns
    -------
    Quantity
        Losses in nats per token, dims chain, draw, eval, step.

    Raises
    ------
    LawError, DataError
        The law is not one of training curves; `before` is missing; a step lies after the end of the schedule.
    """
    check_law(fit)
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    if steps is None:
        first = schedule.warmup
        steps = np.unique(np.linspace(first + 1, len(schedule), min(LINE_POINTS, len(schedule) - first)).round())
    rows = pd.DataFrame({"step": np.atleast_1d(some_numbers(steps, "steps"))})
    areas = curve_columns(rows, fit.model.runs, schedule=schedule, before=before)
    known = _columns_of(fit, areas, "step", areas["step"].to_numpy(int))
    named = fit.columns(**columns, **known)
    asked = {**columns, "schedule": repr(schedule)}
    note = beyond(fit, {"the schedule": schedule}, areas.assign(run="the schedule"))
    what = "new run" if new_run else fit.mean_name
    losses = Quantity("loss", fit.loss(named, new_run, seed), fit.model.unit, what, asked, note)
    return cautioned(fit, losses, N=N, domain_share=domain_share, **path(areas))


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
    """Return the loss at the end of each candidate, and the probability that it is the best.

    The candidates may be a family, labelled by peak rates, lengths, shares of replay or loss potentials (the last rate
    of pre-training over its peak), each with its own schedule, `before` and columns.

    Parameters
    ----------
    fit, domain, labels
        The posterior of a law of training curves, target domain and ``{column: label}`` of other groups.
    candidates : mapping of label to Schedule
        At least two, with texts or numbers as labels.
    goal : str or mapping, optional
        The validation set, or ``{validation set: importance}`` for a weighted mean; by default all count alike.
    before : Schedule or mapping, optional
        The schedule of pre-training, one or by candidate, if the fit is of continual pre-training.
    change : bool
        Rank by the change of the loss since the end of pre-training, the goal (5) of arXiv:2505.07796. This
        order differs only if candidates continue different pre-training, as loss potentials do: earlier annealing
        lowers the loss, but is no change.
    new_run, seed
        Answer for one new run of each candidate with its error, not for the mean law, and the seed of the errors.
    N, domain_share
        Model size (parameters) and share of the domain: one value, or a mapping by candidate
        (``domain_share={"a": 0.2, "b": 0.3}``).

    Returns
    -------
    Best
        Weighted losses, or changes, in nats per token, dims chain, draw, candidate. Its note names the candidates that
        leave the range of the runs, where the law rewards what does not help: a whole schedule scaled up, and steps at
        rate 0.

    Raises
    ------
    DataError, LawError, RangeError, UnknownName
        There are fewer than two candidates; `before` or a column is missing; a validation set does not exist.
    """
    check_law(fit)
    columns = where(labels, N=N, domain_share=domain_share, domain=domain)
    called = list(candidates)
    if len(called) < 2:
        raise RangeError(f"candidates has {counted(len(called), 'schedule')}: give at least two candidates")
    for label, plan in candidates.items():
        if not isinstance(plan, Schedule):
            raise ArgumentError(
                f"the candidate {label!r} is {shown(plan)}: give a Schedule, for example schedules.cosine(...)"
            )
    if change and before is None:
        raise DataError("change=True needs the schedule of pre-training: give before=")
    names = [str(i) for i in range(len(called))]
    plans = dict(zip(names, candidates.values(), strict=True))
    bases = None if before is None else dict(zip(names, _each(before, called, "before"), strict=True))
    rows = pd.DataFrame({"run": names, "step": [len(plan) for plan in plans.values()]})
    at = {"candidate": called}
    known = dict(columns)
    for name, value in columns.items():
        if isinstance(value, Mapping):
            known[name] = xr.DataArray(_each(value, called, name), dims="candidate", coords=at)

    def place(areas: pd.DataFrame) -> xr.Dataset:
        return fit.columns(**known, **_columns_of(fit, areas, "candidate", called))

    areas = curve_columns(rows, fit.model.runs, schedule=plans, before=bases)
    wanted, losses = Goal.of(goal, fit.evals), fit.loss(place(areas), new_run, seed)
    if change:
        start = curve_columns(rows.assign(step=0), fit.model.runs, schedule=plans, before=bases)
        losses = losses - fit.loss(place(start))
    draws = wanted(losses).assign_coords(at)
    asked = {**columns, "goal": wanted.asked}
    words = dict(zip(names, map(str, called), strict=True))
    note = beyond(fit, {words[k]: plan for k, plan in plans.items()}, areas.assign(run=areas["run"].map(words)))
    name, what = "change_of_loss" if change else "final_loss", "new run" if new_run else fit.mean_name
    best = Best(name, draws.transpose(*SAMPLE, ...), fit.model.unit, what, asked, note)
    return cautioned(fit, best, N=known.get("N"), domain_share=known.get("domain_share"), **path(areas))


def check_law(fit: Posterior, *columns: str) -> None:
    """Raise a LawError if the law is not one of training curves, or does not depend on the columns."""
    law = fit.model.law
    if law.kind != "schedule":
        known = models.such_as(lambda law: law.kind == "schedule")
        raise LawError(f"the law {law.name} has no schedule: use a law of training curves, such as {known}")
    require(law, *columns)


def _columns_of(fit: Posterior, areas: pd.DataFrame, dim: str, labels: Any) -> dict[str, xr.DataArray]:
    """Return the law's columns of a table along a dim."""
    columns = areas[[c for c in fit.model.law.columns if c in areas]]
    return {str(c): xr.DataArray(columns[c].to_numpy(), dims=dim, coords={dim: labels}) for c in columns}


def path(areas: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the steps and peak rates of planned curves, for their cautions."""
    return {c: areas[c].to_numpy() for c in ("step", "peak")}


def _each(values: Any, labels: list[Any], what: str) -> list[Any]:
    """Return the value of every candidate, from a mapping by label or one for all."""
    if not isinstance(values, Mapping):
        return [values] * len(labels)
    if missing := [label for label in labels if label not in values]:
        raise DataError(f"{what} has nothing for the candidate {missing[0]!r}: give one value for each, or one for all")
    return [values[label] for label in labels]


def beyond(fit: Posterior, plans: Mapping[str, Schedule], areas: pd.DataFrame) -> str:
    """Return in words where schedules leave the range of the runs."""
    table, notes = fit.model.runs.table, []
    peaks = table.get("peak", table["lr"])  # older fits have no peaks
    lowest, highest, risen = peaks.min(), peaks.max(), rises(table)
    least = table.loc[table["step"] > table.get("warmup", 0), "lr"].min()
    for name, plan in plans.items():
        parts = []
        if plan.lr.max() > (1 + RANGE_SLACK) * highest:
            parts.append(
                f"a peak rate of {short(plan.lr.max())}, above the {short(highest)} of the runs; the law rewards it"
            )
        if plan.lr.max() < (1 - RANGE_SLACK) * lowest:
            parts.append(f"a peak rate of {short(plan.lr.max())}, below the {short(lowest)} of the runs")
        settled = plan.lr[min(plan.warmup, len(plan) - 1) :].min()
        if settled < least - RANGE_SLACK * highest:
            parts.append(f"a rate of {short(settled)}, below the lowest of the runs, {short(least)}")
        if not risen and plan_rises(plan):
            parts.append("a rate that rises again after the warm-up")
        if (idle := int((plan.lr == 0).sum())) > 1:
            parts.append(f"{counted(idle, 'step')} at rate 0, which help in the law only")
        own = areas[areas["run"] == name]
        for column in [c for c in fit.model.law.columns if c in areas]:
            low, high = table[column].min(), table[column].max()
            slack = RANGE_SLACK * max(abs(low), abs(high), 1e-12)
            smallest, largest = own[column].min(), own[column].max()
            ends = [end for end, off in ((smallest, smallest < low - slack), (largest, largest > high + slack)) if off]
            parts += [f"{column} {short(end)}, in the runs {short(low)} to {short(high)}" for end in ends]
        if parts:
            notes.append(f"{name} leaves the range of the runs ({'; '.join(parts)})")
    return "; ".join(notes)
