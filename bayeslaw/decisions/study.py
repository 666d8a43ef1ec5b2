"""A study: one fit, the decisions that apply to its law, and their answers, each computed once."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import place
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.table import DECISIONS, Decision
from bayeslaw.errors import BayeslawError
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.prediction import at_rows, part
from bayeslaw.posterior.quantity import Quantity, elements

__all__ = ["Study", "study_of"]


class Study:
    """The decisions and answers of one fit."""

    def __init__(self, fit: Posterior) -> None:
        self.fit = fit
        self._asked: dict[tuple[str, str], Quantity] = {}

    @property
    def decisions(self) -> list[Decision]:
        """The decisions that apply to the law."""
        return [decision for decision in DECISIONS.values() if decision.applies(self.fit.model.law)]

    @cached_property
    def question(self) -> tuple[Decision, Mapping[str, Any]] | None:
        """The study's decision and its own question; None if the law has no such decision."""
        for decision in self.decisions:
            if (question := decision.of_the_study(self.fit)) is not None:
                return decision, question
        return None

    def ask(self, name: str, **question: Any) -> Any:
        """Return the answer of a decision; a repeated question is not computed again."""
        usual = {p.name: p.default for p in signature(DECISIONS[name].ask).parameters.values()}
        question = {k: v for k, v in question.items() if v is not usual.get(k, ...)}
        key = name, json.dumps(question, default=_as_text, sort_keys=True)
        if key not in self._asked:
            self._asked[key] = checked(DECISIONS[name].ask)(self.fit, **question)
        return self._asked[key]

    @cached_property
    def critical_ratio(self) -> CriticalRatio | None:
        """The critical ratios of the study; None if the law or the runs give no such question or no baseline."""
        if self.question is None or self.question[0].name != "critical_ratio":
            return None
        with suppress(BayeslawError):  # a baseline or a label is missing
            ratio: CriticalRatio = self.ask("critical_ratio", **self.question[1])
            return ratio
        return None

    @cached_property
    def answers(self) -> xr.DataArray:
        """The answers of the study by their names in words; dims chain, draw, answer.

        The critical ratios at which the general loss does not rise (if the law and the runs have one), and the mean
        losses at the end of every run that was measured within the law's range. The coordinate ``decision`` names the
        decision, or is empty for a loss; ``measured_in`` names the run of a loss, and ``of_eval`` its validation set.
        """
        names, decisions, runs, evals, draws = zip(*self._ratios(), *self._losses(), strict=True)
        of = {"decision": decisions, "measured_in": runs, "of_eval": evals}
        labels = {"answer": list(names), **{label: ("answer", list(values)) for label, values in of.items()}}
        joined: xr.DataArray = xr.concat(draws, "answer", coords="minimal").transpose(*SAMPLE, "answer")
        return joined.assign_coords(labels)

    def answers_of(self, thinned: Posterior) -> xr.DataArray:
        """Return `answers` at the draws of a thinned fit."""
        return self.answers.sel(draw=thinned.posterior["draw"])

    def _ratios(self) -> Iterator[tuple[str, str, str, str, xr.DataArray]]:
        if self.critical_ratio is not None:
            for at, draws in elements(self.critical_ratio.draws):
                yield f"the critical ratio{f' at {place(at)}' if at else ''}", "critical_ratio", "", "", draws

    def _losses(self) -> Iterator[tuple[str, str, str, str, xr.DataArray]]:
        design, law, found = self.fit.model.design, self.fit.model.law, {}
        run = pd.Series(design.rows["run"].values)
        last = np.flatnonzero(~run.duplicated(keep="last"))
        ends = part(design, np.isin(run.index, last))
        losses = at_rows(self.fit, ends)
        labels = [*design.levels, *design.groups, *(["run"] if law.over else [])]
        for row in range(len(last)):
            at = {c: ends.rows[c].isel(row=row).item() for c in labels if c != law.path}
            for e in np.flatnonzero(ends.measured.values[row]):
                of, draws = self.fit.evals[e], losses.isel(row=row, eval=e).reset_coords(drop=True)
                name = f"the {of} loss{f' at {place(at)}' if at else ''}"
                found[name] = name, "", str(run[last[row]]), of, draws
        yield from found.values()


def _as_text(value: Any) -> Any:
    return repr(value) if callable(value) else np.asarray(value).tolist()


@kept
def study_of(fit: Posterior) -> Study:
    """Return the study of a fit, the same one every time."""
    return Study(fit)
