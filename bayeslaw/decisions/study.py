"""A study: one fit, the questions that apply to it, and every answer computed once."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.table import DECISIONS, Decision
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.prediction import at_rows
from bayeslaw.posterior.quantity import Quantity

__all__ = ["Study", "study_of"]


class Study:
    """What a fit is asked, and what it answered.

    Parameters
    ----------
    fit : Posterior
        The fit that is asked.
    """

    def __init__(self, fit: Posterior) -> None:
        self.fit = fit
        self._asked: dict[tuple[str, str], Quantity] = {}

    @property
    def decisions(self) -> list[Decision]:
        """The decisions that are questions to the law."""
        return [decision for decision in DECISIONS.values() if decision.applies(self.fit.model.law)]

    @cached_property
    def question(self) -> tuple[Decision, Mapping[str, Any]] | None:
        """The decision that the study is about with its own question; None where it is about losses alone."""
        own = ((decision, decision.of_the_study(self.fit)) for decision in self.decisions)
        return next(((decision, question) for decision, question in own if question is not None), None)

    def ask(self, name: str, **question: Any) -> Any:
        """Return the answer of a decision; one that was asked before is not computed again."""
        usual = {p.name: p.default for p in signature(DECISIONS[name].ask).parameters.values()}
        question = {k: v for k, v in question.items() if v is not usual.get(k, ...)}
        key = name, json.dumps(question, default=lambda value: np.asarray(value).tolist(), sort_keys=True)
        if key not in self._asked:
            self._asked[key] = DECISIONS[name].ask(self.fit, **question)
        return self._asked[key]

    @cached_property
    def critical_ratio(self) -> CriticalRatio | None:
        """The critical ratios of the study; None where the law, the runs or a missing baseline leave none."""
        if self.question is None or self.question[0].name != "critical_ratio":
            return None
        with suppress(BayeslawError):  # no baseline, or a label that the question leaves open
            ratio: CriticalRatio = self.ask("critical_ratio", **self.question[1])
            return ratio
        return None

    @cached_property
    def answers(self) -> xr.DataArray:
        """What the study is asked, in words, with its draws; dims chain, draw, answer.

        The critical ratios at which the general loss does not rise (where the law and the runs have one), and the mean
        losses at the end of every run that was measured within the law's range. The coordinate ``decision`` names the
        decision, or is empty for a loss; ``measured_in`` names the run of a loss.
        """
        found = [*self._ratios(), *self._losses()]
        draws = xr.concat([d for *_, d in found], "answer", coords="minimal").transpose(*SAMPLE, "answer")
        names, decisions, runs, _ = zip(*found, strict=True)
        labels = {"answer": list(names), "decision": ("answer", list(decisions)), "measured_in": ("answer", list(runs))}
        return draws.assign_coords(labels)

    def answers_of(self, thinned: Posterior) -> xr.DataArray:
        """Return `answers` at the draws of a thinned fit."""
        return self.answers.sel(draw=thinned.posterior["draw"])

    def _ratios(self) -> list[tuple[str, str, str, xr.DataArray]]:
        found: list[tuple[str, str, str, xr.DataArray]] = []
        if self.critical_ratio is None:
            return found
        ratio = self.critical_ratio.draws
        asked = [str(d) for d in ratio.dims if d not in SAMPLE]
        for index in np.ndindex(*(ratio.sizes[d] for d in asked)):
            cell = ratio.isel(dict(zip(asked, index, strict=True)))
            at = place({d: cell[d].item() for d in asked})
            name = f"the critical ratio at {at}" if at else "the critical ratio"
            found.append((name, "critical_ratio", "", cell.reset_coords(drop=True)))
        return found

    def _losses(self) -> list[tuple[str, str, str, xr.DataArray]]:
        design, law, found = self.fit.model.design, self.fit.model.law, []
        run = pd.Series(design.rows["run"].values)
        losses = at_rows(self.fit)
        for row in np.flatnonzero(~run.duplicated(keep="last")):
            labels = [*design.levels, *design.groups, *(["run"] if law.over else [])]
            at = {c: design.rows[c].isel(row=row).item() for c in labels if c != law.path}
            for e in np.flatnonzero(design.measured.values[row]):
                name = f"the {self.fit.evals[e]} loss at {place(at)}" if at else f"the {self.fit.evals[e]} loss"
                found.append((name, "", str(run[row]), losses.isel(row=row, eval=e).reset_coords(drop=True)))
        return list({one[0]: one for one in found}.values())


@kept
def study_of(fit: Posterior) -> Study:
    """Return the study of a fit, the same one every time."""
    return Study(fit)
