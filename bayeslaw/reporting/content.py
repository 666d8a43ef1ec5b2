"""The content of a report: its answer, its checks, and its sections."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bayeslaw.base.progress import Bar
from bayeslaw.checks import CHECKS, CheckResult, beside_papers_fit, extrapolation, run_checks
from bayeslaw.checks.answers import boundary
from bayeslaw.decisions.domain_learnability import learnability
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import BayeslawError, RangeError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.advice import advised
from bayeslaw.reporting.answer import Answer, Verdict, plain, predictions
from bayeslaw.reporting.answers import ANSWERS
from bayeslaw.reporting.cells import for_each
from bayeslaw.reporting.choices import schedules
from bayeslaw.reporting.ratios import ratios
from bayeslaw.reporting.sections import SECTIONS, Findings

__all__ = ["answer", "checks_of", "content"]

type Question = Mapping[str, Any] | None


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
            raise RangeError(f"{law.name} answers no decision, so its report takes no question: leave question out")
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
        return replace(
            found,
            title=f"What is the {what}?",
            headline=f"no {what}: {e}",
            sentences=[f"No {what}: {e}", *found.sentences],
            actions=actions,
            verdict=Verdict("red", "do not act", "the report has no answer to the question"),
        )
    if law.learnability is None:
        return found
    return replace(found, sentences=[*found.sentences, *learnability(fit).domains()])


def checks_of(fit: Posterior, found: Answer) -> list[CheckResult]:
    """Return all checks of a fit, of its critical ratios those of an answer, and where that lies beyond the runs."""
    planned = {column: value for column, value in found.planned.items() if column in fit.model.design.levels}
    checks = list(run_checks(fit))
    if (own := boundary(fit, found.ratios)) is not None:
        order = {name: n for n, name in enumerate(CHECKS)}
        checks = sorted([*(c for c in checks if c.name != own.name), own], key=lambda c: order.get(c.name, -1))
    return [*checks, *([extrapolation(fit, **planned)] if planned else [])]


def content(fit: Posterior, question: Question, published: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return the head of a report and its sections, each with what its template names; move the bar."""
    bar.more(3)
    found = answer(fit, question)
    bar.step()
    checks = checks_of(fit, found)
    bar.step()
    if fit.method not in ("mle", "prior") and not fit.sampled:
        checks.append(beside_papers_fit(fit))
    found = advised(fit, found, checks)
    findings = Findings(fit, found, checks, question, published or {})
    every = ((section, section.found(findings)) for section in SECTIONS)
    sections = [(section, told) for section, told in every if told is not None]
    bar.step()
    bar.more(len([*found.head, *(drawn for _, told in sections for drawn in told.get("pictures", ()))]))
    return {
        "title": found.title or found.question,
        "headline": found.headline or found.sentences[0],
        "answer": found,
        "model": fit.model,
        "heads": [told["head"] for _, told in sections if told.get("head")],
        "sections": sections,
    }
