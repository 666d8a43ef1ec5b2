"""The content of a report, section by section."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.progress import Bar
from bayeslaw.checks import CHECKS, CheckResult, beside_papers_fit, extrapolation, run_checks
from bayeslaw.checks.answers import boundary
from bayeslaw.decisions.domain_learnability import learnability
from bayeslaw.decisions.study import study_of
from bayeslaw.declare.laws import AREAS
from bayeslaw.errors import BayeslawError, RangeError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.provenance import provenance
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, sensitivity
from bayeslaw.posterior.without_shape import without_shape
from bayeslaw.reporting.advice import advised
from bayeslaw.reporting.answer import Answer, plain, predictions, spending
from bayeslaw.reporting.cells import for_each
from bayeslaw.reporting.choices import durations, mixture, schedules
from bayeslaw.reporting.coefficients import coefficients, in_short
from bayeslaw.reporting.figures import of_coefficients, of_fit
from bayeslaw.reporting.next_run import next_run
from bayeslaw.reporting.ratios import ratios

__all__ = ["answer", "checks_of", "content"]

LEAST_MOVED = 0.05
"""Posterior standard deviations from which the answers without the shape prior are given one by one."""

MOST_SOURCES = 4
"""Most sources whose shares are described one by one."""

type Question = Mapping[str, Any] | None

ANSWERS = {"critical_ratio": ratios, "best_mixture": mixture, "best_duration": durations, "allocation": spending}
"""The decisions that have an answer of their own in a report; `plain` answers the others."""


def answer(fit: Posterior, question: Question = None) -> Answer:
    """Return the answer of a report: the decision that the study is about, or else the predictions of its law.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    question : mapping, optional
        Arguments of the decision, such as those of `Fit.critical_ratio` or `Fit.best_mixture`.

    Raises
    ------
    RangeError
        There is a question and no decision.
    """
    study, law = study_of(fit), fit.model.law
    if law.kind == "schedule":
        return schedules(fit, question)
    if study.question is None:
        if question:
            raise RangeError(f"a report of {law.name} answers no decision, only predicts: leave question out")
        return predictions(fit)
    name = study.question[0].name
    try:
        ask = ANSWERS.get(name, plain)
        found = ask(fit, question) if ask in (ratios, plain) else for_each(ask, fit, question)
    except BayeslawError as e:
        if question:
            raise
        found, what = predictions(fit), name.replace("_", " ")
        actions = [f"no {what} follows from this report: {e}"]
        return replace(found, sentences=[f"No {what}: {e}", *found.sentences], actions=actions)
    if law.learnability is None:
        return found
    return replace(found, sentences=[*found.sentences, *learnability(fit).text().split("\n")])


def checks_of(fit: Posterior, found: Answer) -> list[CheckResult]:
    """Return all checks of a fit, of its critical ratios those of an answer, and where that lies beyond the runs."""
    planned = {column: value for column, value in found.planned.items() if column in fit.model.design.levels}
    checks = list(run_checks(fit))
    if (own := boundary(fit, found.ratios)) is not None:
        order = {name: n for n, name in enumerate(CHECKS)}
        checks = sorted([*(c for c in checks if c.name != own.name), own], key=lambda c: order.get(c.name, -1))
    return [*checks, *([extrapolation(fit, **planned)] if planned else [])]


def content(fit: Posterior, question: Question, published: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return everything that the template of a report names; move the bar."""
    bar.more(3)
    found = answer(fit, question)
    bar.step()
    checks = checks_of(fit, found)
    bar.step()
    if fit.method not in ("mle", "prior") and not fit.sampled:
        checks.append(beside_papers_fit(fit))
    found = advised(fit, found, checks)
    said: dict[str, Any] = {
        "law": fit.model.law,
        "model": fit.model,
        "answer": found,
        "passed": [c for c in checks if c.passed],
        "failed": [c for c in checks if not c.passed],
        "skipped": _skipped(fit, checks),
        "coefficients": in_short(fit, coefficients(fit, published)),
        "published": bool(published),
        "sensitivity": _sensitivity(fit, found) if fit.draws >= LEAST_DRAWS else None,
        "shape": _shape(fit, found),
        "next": next_run(fit, question),
        "evidence": of_fit(fit, found.marks),
        "coefficients_pictures": of_coefficients(fit),
        "others": [decision for decision in study_of(fit).decisions if decision.name not in ANSWERS],
        "facts": _facts(fit),
        "provenance": {k: v for k, v in provenance(fit).items() if k not in ("pooling", "errors")},
    }
    bar.step()
    bar.more(len([*found.pictures, *said["evidence"], *said["coefficients_pictures"]]))
    return said


def _skipped(fit: Posterior, checks: list[CheckResult]) -> dict[str, list[str]]:
    """Return the names of the checks that were skipped, by the reason."""
    found: dict[str, list[str]] = {}
    for name, why in run_checks(fit).skipped.items():
        if name not in {check.name for check in checks}:
            found.setdefault(why, []).append(name)
    return found


def _facts(fit: Posterior) -> list[tuple[str, str]]:
    """Return the facts about the runs, without losses and computed columns."""
    losses = {c for c in map(str, fit.model.runs.table) if c.endswith("_loss") and c not in fit.model.law.columns}
    facts = {name: text for name, text in fit.model.runs._about()[1] if name not in {*AREAS, "areas", *losses}}
    sources = [name for name in facts if name.startswith("weight_")]
    if len(sources) > MOST_SOURCES:
        facts = {name: text for name, text in facts.items() if name not in sources}
        facts["sources"] = ", ".join(name.removeprefix("weight_") for name in sources)
    return list(facts.items())


def _sensitivity(fit: Posterior, found: Answer) -> pd.DataFrame:
    draws = pd.Index(found.draws, name="answer")
    table = sensitivity(fit, xr.concat(found.draws.values(), draws, coords="minimal").to_dataset(name="draws"))
    return table.set_axis(draws).reset_index()


def _shape(fit: Posterior, found: Answer) -> str:
    """Say what the answers would be without the shape prior, or how to find out."""
    without = without_shape(fit, found.draws)
    if without is None:
        return ""
    if not without.answers:
        return (
            f"what the answers would be without the shape prior ({fit.model.monotone}) cannot be told from these draws "
            f"(Pareto k {without.pareto_k:.2f}): fit once more with monotone=None and write "
            "bl.report({'with': fit, 'without': other}, ...)"
        )
    moved = (
        f"without the shape prior ({fit.model.monotone}), no answer moves by more than {without.moved:.2f} posterior "
        "standard deviations"
    )
    if without.moved < LEAST_MOVED:
        return moved
    each = (f"{name}: {_ends(a)} with it, {_ends(b)} without" for name, (a, b) in without.answers.items())
    return f"{moved}; {'; '.join(each)}"


def _ends(three: np.ndarray) -> str:
    middle, low, high = three
    return f"{middle:.4g} [{low:.4g}, {high:.4g}]"
