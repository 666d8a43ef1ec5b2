"""What a report says, section by section."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.progress import Bar
from bayeslaw.checks import beside_papers_fit, run_checks
from bayeslaw.decisions.domain_learnability import learnability
from bayeslaw.decisions.study import study_of
from bayeslaw.declare.laws import AREAS
from bayeslaw.posterior.convergence import convergence
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.provenance import provenance
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, sensitivity
from bayeslaw.reporting.answer import Answer, plain, predictions, spending
from bayeslaw.reporting.choices import durations, mixture, schedules
from bayeslaw.reporting.coefficients import coefficients, in_short
from bayeslaw.reporting.figures import of_coefficients, of_fit
from bayeslaw.reporting.ratios import ratios

__all__ = ["answer", "content", "unless_unconverged"]

FEW = 4
"""Sources that are described one by one."""

type Question = Mapping[str, Any] | None


ANSWERS = {
    "critical_ratio": ratios,
    "best_mixture": mixture,
    "best_duration": durations,
    "allocation": spending,
}
"""The decisions that a report tells at length; others are told as they are."""


def answer(fit: Posterior, question: Question = None) -> Answer:
    """Return the answer to what a study is asked: a decision where its law has one, else what it predicts.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    question : mapping, optional
        Arguments of the decision, such as those of `Fit.critical_ratio` or `Fit.best_mixture`.
    """
    study, law = study_of(fit), fit.model.law
    if law.kind == "schedule":
        return schedules(fit, question)
    if study.question is None:
        return predictions(fit)
    name = study.question[0].name
    try:
        found = ANSWERS.get(name, plain)(fit, question)
    except BayeslawError as e:
        if question:
            raise
        found, what = predictions(fit), name.replace("_", " ")
        sentences = [f"No {what}: {e}", *found.sentences]
        return replace(found, sentences=sentences, actions=[f"no {what} follows from this report: {e}"])
    if law.learnability is not None:
        found = replace(found, sentences=[*found.sentences, *learnability(fit).text().split("\n")])
    return found


def unless_unconverged(fit: Posterior, found: Answer) -> Answer:
    """Return an answer that recommends nothing if the fit has not converged."""
    mixing = convergence(fit)
    if mixing is None or not mixing.remedy:
        return found
    return replace(found, actions=[f"act on nothing here before the fit has converged: {mixing.remedy}"])


def content(fit: Posterior, question: Question, published: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return everything that the template of a report names, the figures as lists of pictures; count what is done."""
    bar.more(3)
    found = answer(fit, question)
    bar.step()
    checks = list(run_checks(fit))
    bar.step()
    if fit.method not in ("mle", "prior") and not fit.sampled:
        checks.append(beside_papers_fit(fit))
    found = unless_unconverged(fit, found)
    many = fit.draws >= LEAST_DRAWS
    said: dict[str, Any] = {
        "law": fit.model.law,
        "model": fit.model,
        "equation": fit.model.law.equation,
        "answer": found,
        "passed": [c for c in checks if c.passed],
        "failed": [c for c in checks if not c.passed],
        "coefficients": in_short(fit, coefficients(fit, published)),
        "published": bool(published),
        "sensitivity": _sensitivity(fit, found) if many else None,
        "evidence": of_fit(fit, found.marks),
        "coefficients_pictures": of_coefficients(fit),
        "others": [decision for decision in study_of(fit).decisions if decision.name not in ANSWERS],
        "facts": _facts(fit),
        "noise": fit.model.describe_noise(),
        "provenance": {k: v for k, v in provenance(fit).items() if k not in ("pooling", "errors")},
        "prob": CI_PROB,
        "today": date.today().isoformat(),
    }
    bar.step()
    bar.more(len([*found.pictures, *said["evidence"], *said["coefficients_pictures"]]))
    return said


def _facts(fit: Posterior) -> list[tuple[str, str]]:
    """Return what the runs are, without what was computed from them."""
    other = {c for c in map(str, fit.model.runs.table) if c.endswith("_loss") and c not in fit.model.law.columns}
    facts = [(name, text) for name, text in fit.model.runs._facts() if name not in {*AREAS, "areas", *other}]
    sources = [name.removeprefix("weight_") for name, _ in facts if name.startswith("weight_")]
    if len(sources) > FEW:
        facts = [(name, text) for name, text in facts if not name.startswith("weight_")]
        facts.append(("sources", ", ".join(sources)))
    return facts


def _sensitivity(fit: Posterior, found: Answer) -> pd.DataFrame:
    draws = pd.Index(found.draws, name="answer")
    table = sensitivity(fit, xr.concat(found.draws.values(), draws, coords="minimal").to_dataset(name="draws"))
    return table.set_axis(draws).reset_index()
