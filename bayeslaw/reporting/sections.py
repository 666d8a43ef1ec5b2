"""The sections of a report below its head, in their order; a module adds its own to `SECTIONS`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.numbers import short, with_interval
from bayeslaw.checks import CheckResult, run_checks
from bayeslaw.decisions.study import study_of
from bayeslaw.declare.laws import AREAS
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.law_and_misfit import law_and_misfit
from bayeslaw.posterior.provenance import provenance
from bayeslaw.posterior.sensitivity import LEAST_DRAWS, sensitivity
from bayeslaw.posterior.without_shape import without_shape
from bayeslaw.reporting.answer import Answer
from bayeslaw.reporting.answers import ANSWERS
from bayeslaw.reporting.coefficients import coefficients, in_short
from bayeslaw.reporting.figures import of_coefficients, of_fit
from bayeslaw.reporting.next_run import next_run

__all__ = ["SECTIONS", "Findings", "Section"]

LEAST_MOVED = 0.05
"""Posterior standard deviations from which the answers without the shape prior are given one by one."""

MOST_SOURCES = 4
"""Most sources whose shares are described one by one."""


@dataclass(frozen=True)
class Findings:
    """What a report knows when its sections are written.

    Attributes
    ----------
    fit : Fit
        The fit.
    answer : Answer
        Its answer, with what the failed checks mean for it.
    checks : sequence of CheckResult
        The checks of the fit and of the answer.
    question : mapping, optional
        The reader's own question: arguments of the decision.
    published : mapping
        Published coefficients.
    """

    fit: Posterior
    answer: Answer
    checks: Sequence[CheckResult]
    question: Mapping[str, Any] | None = None
    published: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes
    ----------
    title : str
        Its heading.
    template : str
        The file in ``templates/sections`` that writes it.
    found : callable
        Returns what the template names, or None where there is nothing to say. A text ``head`` among it stands in the
        head of the report too, and every `Picture` counts in the progress bar.
    folded : str
        What stands in place of the section until a reader unfolds it; empty: it is open.
    """

    title: str
    template: str
    found: Callable[[Findings], Mapping[str, Any] | None]
    folded: str = ""


def _for(findings: Findings) -> Mapping[str, Any]:
    passed = [c for c in findings.checks if c.passed]
    return {"passed": passed, "skipped": _skipped(findings.fit, findings.checks)}


def _against(findings: Findings) -> Mapping[str, Any]:
    order = [*findings.answer.doubts, *findings.answer.beside]
    failed = [c for c in findings.checks if not c.passed]
    failed.sort(key=lambda c: order.index(c.name) if c.name in order else -1)
    return {"failed": failed, "answer": findings.answer, "law": findings.fit.model.law}


def _evidence(findings: Findings) -> Mapping[str, Any]:
    found = findings.answer
    return {"answer": found, "pictures": [*found.evidence, *of_fit(findings.fit, found.marks)]}


def _priors(findings: Findings) -> Mapping[str, Any] | None:
    if findings.fit.draws < LEAST_DRAWS:
        return None
    draws = pd.Index(findings.answer.draws, name="answer")
    answers = xr.concat(findings.answer.draws.values(), draws, coords="minimal").to_dataset(name="draws")
    table = sensitivity(findings.fit, answers).set_axis(draws).reset_index()
    return {"sensitivity": table, "shape": _shape(findings.fit, findings.answer)}


def _misfit(findings: Findings) -> Mapping[str, Any] | None:
    table = law_and_misfit(findings.fit)
    return None if table.empty else {"misfit": table.replace({np.nan: ""})}


def _next(findings: Findings) -> Mapping[str, Any] | None:
    found = next_run(findings.fit, findings.question)
    return None if found is None else {"head": found.sentence, "next": found}


def _others(findings: Findings) -> Mapping[str, Any] | None:
    others = [decision for decision in study_of(findings.fit).decisions if decision.name not in ANSWERS]
    return {"others": others} if others else None


def _coefficients(findings: Findings) -> Mapping[str, Any]:
    fit, published = findings.fit, findings.published
    return {
        "law": fit.model.law,
        "reference": fit.model.reference,
        "coefficients": in_short(fit, coefficients(fit, published), findings.answer.draws.values()),
        "published": bool(published),
        "pictures": of_coefficients(fit),
    }


def _model(findings: Findings) -> Mapping[str, Any]:
    made = {k: v for k, v in provenance(findings.fit).items() if k not in ("pooling", "errors")}
    return {"model": findings.fit.model, "facts": _facts(findings.fit), "provenance": made}


SECTIONS = [
    Section("Why believe it", "why", _for),
    Section("Why doubt it", "against", _against),
    Section("The evidence", "evidence", _evidence),
    Section("How much the priors and the law matter", "priors", _priors),
    Section("How much is the law's, and how much its misfit's", "misfit", _misfit),
    Section("What to run next", "next", _next),
    Section("What else this fit answers", "others", _others),
    Section("Coefficients", "coefficients", _coefficients, "Every coefficient beside its prior"),
    Section("Model, data and provenance", "model", _model, "What another run of this report needs"),
]
"""In the order in which they are read."""


def _skipped(fit: Posterior, checks: Sequence[CheckResult]) -> dict[str, list[str]]:
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


def _shape(fit: Posterior, found: Answer) -> str:
    """Say what the answers would be without the shape prior, or how to find out."""
    without = without_shape(fit, found.draws)
    if without is None:
        return ""
    if not without.answers:
        return (
            f"what the answers would be without the shape prior ({fit.model.monotone}) cannot be told from these draws "
            f"(Pareto k {short(without.pareto_k, 2)}): fit once more with monotone=None and write "
            "bl.report({'with': fit, 'without': other}, ...)"
        )
    moved = (
        f"without the shape prior ({fit.model.monotone}), no answer moves by more than {short(without.moved, 2)} "
        "posterior standard deviations"
    )
    if without.moved < LEAST_MOVED:
        return moved
    both = ((name, *(with_interval(*ends) for ends in each)) for name, each in without.answers.items())
    return "; ".join([moved, *(f"{name}: {having} with it, {lacking} without" for name, having, lacking in both)])
