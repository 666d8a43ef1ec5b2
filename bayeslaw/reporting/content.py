"""What a report says, section by section."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.progress import Bar
from bayeslaw.checks import CheckResult, beside_papers_fit, run_checks
from bayeslaw.decisions.critical_ratio import CriticalRatio, has_critical_ratio
from bayeslaw.decisions.domain_learnability import learnability
from bayeslaw.declare.laws import WEIGHT
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.provenance import provenance
from bayeslaw.posterior.sensitivity import FEWEST, sensitivity
from bayeslaw.reporting.answer import Answer, predictions, spending
from bayeslaw.reporting.choices import durations, mixture, schedules
from bayeslaw.reporting.coefficients import coefficients, in_short
from bayeslaw.reporting.figures import of_coefficients, of_fit
from bayeslaw.reporting.ratios import critical_ratios, ratios
from bayeslaw.tables.areas import AREAS
from bayeslaw.tables.curves import is_curve_law

__all__ = ["answer", "content", "unless_unconverged"]

FEW = 4
"""Sources that are described one by one."""

type Question = Mapping[str, Any] | None


def answer(fit: Posterior, question: Question = None) -> Answer:
    """Return the answer to what a study is asked: a decision where its law has one, else what it predicts.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    question : mapping, optional
        Arguments of the decision, such as those of `Fit.critical_ratio` or `Fit.best_mixture`.
    """
    what, decide = _decision(fit)
    if decide is None:
        return predictions(fit)
    try:
        found = decide(fit, question)
        if fit.model.law.learnability is not None:
            found = replace(found, sentences=[*found.sentences, *learnability(fit).text().split("\n")])
        return found
    except BayeslawError as e:
        if question:
            raise
        found = predictions(fit)
        sentences = [f"No {what}: {e}", *found.sentences]
        return replace(found, sentences=sentences, actions=[f"no {what} follows from this report: {e}"])


def unless_unconverged(found: Answer, checks: Iterable[CheckResult]) -> Answer:
    """Return an answer that says first that nothing is to be done, if the fit has not converged."""
    if all(c.passed for c in checks if c.name == "convergence"):
        return found
    return replace(found, actions=["act on nothing here before it has converged: draw more", *found.actions])


def _decision(fit: Posterior) -> tuple[str, Callable[[Posterior, Question], Answer] | None]:
    columns = set(fit.model.law.columns)
    if is_curve_law(fit.model.law):
        return "choice of a schedule", schedules
    if WEIGHT in columns:
        return "best mixture", mixture
    if "duration" in columns:
        return "best duration", durations
    if has_critical_ratio(fit):
        return "critical ratio", ratios
    return ("allocation", spending) if {"N", "D"} <= columns else ("", None)


def content(fit: Posterior, question: Question, published: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return everything that the template of a report names, the figures as lists of pictures; count what is done."""
    bar.more(3)
    found = answer(fit, question)
    bar.step()
    checks = list(run_checks(fit))
    bar.step()
    if fit.settings.get("method") not in ("mle", "prior") and "sample_stats" not in fit.idata.children:
        checks.append(beside_papers_fit(fit))
    found = unless_unconverged(found, checks)
    many = fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] >= FEWEST
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
        "evidence": of_fit(fit, _marked(fit, found, question)),
        "coefficients_pictures": of_coefficients(fit),
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


def _marked(fit: Posterior, found: Answer, question: Question) -> "dict[tuple[Any, Any], CriticalRatio]":
    """Return the critical ratios that the figure of the losses marks: of the last tolerance, by size and domain."""
    if "critical ratio" not in found.table or "limit" not in found.table:
        return {}
    table = critical_ratios(fit, question)
    tolerances = table[table["limit"].str.contains("rise")]
    last = tolerances[tolerances["limit"] == tolerances["limit"].iloc[-1]] if len(tolerances) else table
    return {(row.get("N"), row.get("domain")): row["ratio"] for row in last.to_dict("records")}


def _sensitivity(fit: Posterior, found: Answer) -> pd.DataFrame:
    draws = pd.Index(found.draws, name="answer")
    table = sensitivity(fit, xr.concat(found.draws.values(), draws, coords="minimal").to_dataset(name="draws"))
    return table.set_axis(draws).reset_index()
