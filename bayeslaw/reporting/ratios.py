"""Answers that are critical ratios: the largest safe share of the new domain."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import amount, as_share, exact, percent, probability
from bayeslaw.base.words import counted, place
from bayeslaw.decisions.critical_ratio import CriticalRatio, bends, of_the_study
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import BayeslawError
from bayeslaw.plots.answers import plot_critical_ratio, plot_ratios
from bayeslaw.plots.panels import grid
from bayeslaw.plots.style import cells
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.answer import LEAST_PROBABILITY, Answer, losses_of, question_of
from bayeslaw.reporting.figures import Picture
from bayeslaw.tables.units import called

__all__ = ["critical_ratios", "ratios"]

RULES: tuple[dict[str, Any], ...] = ({"max_rise": 0.0}, {"max_rise": 0.01})
"""The limits on the general loss that a report answers by default."""

NUMERALS = dict(enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1))

LIMITS = ("max_rise", "max_increase", "rule")
"""Arguments of a question that replace them."""

PLACES = ("N", "domain", "D")
"""Arguments of a question that say where a ratio holds."""

TOGETHER = "all together"
"""Label of the share at which the losses of all validation sets stay within the limit."""

RESULTS = ("limit", "critical ratio", "of a new run", "safe share", "p_never", "p_interior", "p_always", "ratio")
"""Columns of a table of ratios besides."""

SAFE_PROBABILITY = 0.95
"""Probability with which a new run keeps the limit at the safe share."""

PROBABLY = f"with probability {exact(SAFE_PROBABILITY)}"

WIDEST = 0.2
"""Width of the interval of a ratio above which a report asks for more runs."""

HOW_TO_READ = (
    "The **critical ratio** is the largest domain share up to which the general loss respects the limit, from the "
    "smallest share of the law's range on: in the mean law, with its misfit if the model has one, and of a single new "
    "run, with its own error. "
    f"*safe share*: the largest share at which a new run keeps the limit with probability {SAFE_PROBABILITY}. "
    "*p_never*: probability that even the smallest share breaks the limit; *p_always*: that even the largest respects "
    "it. An end with `>=` or `<=` is a bound: it lies at the end of the range. "
)


def ratios(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the critical ratios of a study."""
    table = critical_ratios(fit, question)
    limits = " or ".join(dict.fromkeys(table["limit"]))
    sentences, draws, found = [], {}, {}
    actions: dict[str, list[str]] = {}
    safe: list[str] = []
    largest = table["N"].max() if "N" in table else None
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    for row in rows:
        ratio, at = row["ratio"], _at(row, table)
        label = f"{at}, {row['limit']}" if at else row["limit"]
        draws[f"critical ratio, {label}"], found[label] = ratio.draws, ratio
        if row.get("N") == largest:
            sentences.append(f"{label}: {_share(ratio)}; of a new run {row['of a new run']}.")
            if row.get("eval", TOGETHER) == TOGETHER:
                safe += [f"{as_share(row['safe share'])} ({label})"] if row["safe share"] > 0 else []
                for action in _actions(ratio, row["safe share"]):
                    actions.setdefault(action, []).append(label)
    over = f" over {' or '.join(dict.fromkeys(map(amount, table['D'])))} tokens" if "D" in table else ""
    return Answer(
        f"Which share of the new domain can continual pre-training take{over} before the general loss breaks its limit "
        f"({limits})?",
        sentences,
        [
            *[f"take at most {', or '.join(safe)}; a new run keeps the limit there {PROBABLY}"] * bool(safe),
            *(f"{'; '.join(labels)}: {action}." for action, labels in actions.items()),
        ],
        table.drop(columns=["ratio", "p_interior", *(["D"] if "D" in table and table["D"].nunique() == 1 else [])]),
        HOW_TO_READ,
        draws,
        [_picture(rows, table)],
        tuple(dict.fromkeys(caution for ratio in table["ratio"] for caution in ratio.cautions)),
        _marks(rows),
        about="the critical ratio",
        planned={column: table[column].to_numpy() for column in ("N", "D") if column in table},
        evals=losses_of(table["ratio"].iloc[0]),
        ratios=found,
        title=f"How much {_subject(fit)} can {_models(fit)} take?",
        headline=_headline([row for row in rows if row.get("N") == largest], largest),
    )


def _subject(fit: Posterior) -> str:
    """Return what the share is of: the domain, if all runs have the same."""
    rows = fit.model.runs.table
    domains = set(rows.loc[rows["domain_share"] > 0, "domain"]) if "domain" in rows else set()
    return str(domains.pop()) if len(domains) == 1 else "of the new domain"


def _models(fit: Posterior) -> str:
    """Return the models that the runs train, in words."""
    rows = fit.model.runs.table
    sizes = rows["N"].nunique() if "N" in rows else 1
    return "this model" if sizes == 1 else f"these {NUMERALS.get(sizes, sizes)} models"


def _headline(rows: list[dict[str, Any]], largest: float | None) -> str:
    """Return the answer for the largest model in one sentence, one part for each limit."""
    parts: dict[str, list[CriticalRatio]] = {}
    for row in rows:
        if row.get("eval", TOGETHER) == TOGETHER:
            parts.setdefault(row["limit"], []).append(row["ratio"])
    said = [f"{_about(of)} ({limit})" for limit, of in parts.items()]
    who = "the model" if largest is None else f"the largest model (N {amount(largest)})"
    return f"{who} can take {', or '.join(said)} before the general loss breaks its limit"


def _about(ratios: list[CriticalRatio]) -> str:
    """Return critical ratios to two digits, or that no share, or every share, respects the limit."""
    if all(float(r.p_never) > 0.5 for r in ratios):
        return "no share"
    if all(float(r.p_always) > 0.5 for r in ratios):
        return f"any share up to {exact(ratios[0].high)}"
    middles = sorted(float(r.median()) for r in ratios)
    return f"about {' to '.join(dict.fromkeys(map(as_share, (middles[0], middles[-1]))))}"


def _picture(rows: list[dict[str, Any]], table: pd.DataFrame) -> Picture:
    """Return the figure of the ratios: the posterior of a single one, or all of them on one axis from 0 to 1."""
    if len(rows) == 1:
        return Picture(
            "critical-ratio",
            f"Posterior of the critical ratio, {rows[0]['critical ratio']} in the {rows[0]['ratio'].what}; the strip "
            "shows where its interval lies between 0 and 1",
            lambda: grid(
                rows, lambda row, ax: plot_critical_ratio(row["ratio"], ax, _title(row, _at(row, table))), height=2.8
            ),
        )
    at = [_at(row, table) or "all runs" for row in rows]
    limits, places = (list(dict.fromkeys(each)) for each in ([row["limit"] for row in rows], at))
    by_place: dict[str, dict[str, Any]] = {limit: {} for limit in limits}
    for row, place_ in zip(rows, at, strict=True):
        by_place[row["limit"]][place_] = row
    ratios = {limit: {p: row["ratio"] for p, row in of.items()} for limit, of in by_place.items()}
    safe = {limit: {p: row["safe share"] for p, row in of.items()} for limit, of in by_place.items()}
    return Picture(
        "critical-ratio",
        f"Critical ratios on one axis from 0 to 1, {counted(len(places), 'row')}: median and {percent(CI_PROB)} "
        f"interval in the {rows[0]['ratio'].what}; the bar marks the share that is safe for a new run",
        lambda: grid(
            [ratios],
            lambda each, ax: plot_ratios(each, safe, ax),
            height=1.5 + 0.13 * len(places) * (1 + len(limits)),
        ),
    )


def _at(row: Mapping[str, Any], table: pd.DataFrame) -> str:
    """Return in words where a ratio holds: size, domain, other labels, and the tokens where there are several."""
    several = "D" in table and table["D"].nunique() > 1
    return place({k: v for k, v in row.items() if k not in RESULTS and (k != "D" or several)})


def _marks(rows: list[dict[str, Any]]) -> dict[tuple[Any, Any], CriticalRatio]:
    """Return the ratios of the last limit on a rise, by size and domain."""
    limited = [row for row in rows if row["ratio"].inputs["rule"] != "turning-point"] or rows
    last = [row for row in limited if row["limit"] == limited[-1]["limit"]]
    return {(row.get("N"), row.get("domain")): row["ratio"] for row in last}


def critical_ratios(fit: Posterior, question: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the critical ratio of every model size (and domain) of the study, one row per size and limit.

    Columns: ``N``, ``domain`` (where there are several), ``D``, ``limit``, ``critical ratio`` (mean law) and ``of a new
    run`` in words, ``safe share`` (the largest at which a new run keeps the limit with probability 0.95; missing if
    there is none), ``p_never``, ``p_interior``, ``p_always``, and the `CriticalRatio` itself.
    """
    own = {k: v for k, v in (of_the_study(fit) or {}).items() if k not in LIMITS}
    asked = own | question_of("critical_ratio", question)
    limits: dict[str, Any] = {k: asked.pop(k) for k in LIMITS if k in asked}
    rows: list[dict[str, Any]] = []
    errors: list[BayeslawError] = []
    for rule in [limits] if limits else [*RULES, *([{"rule": "turning-point"}] if bends(fit.model.law) else [])]:
        try:
            rows += _rows(fit, asked, rule)
        except BayeslawError as e:  # a turning point needs no baseline
            errors.append(e)
    if not rows:
        raise errors[0]
    return pd.DataFrame(rows)


def _rows(fit: Posterior, asked: Mapping[str, Any], rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for together in dict.fromkeys((bool(asked.get("together")), True)):
        question = {**asked, **rule, "together": together}
        mean, new = (study_of(fit).ask("critical_ratio", **question, new_run=new_run) for new_run in (False, True))
        several = not isinstance(mean.inputs["eval"], str)
        yield from _cells(mean, new, {**asked, "eval": TOGETHER} if together and several else asked, rule)
        if not several:
            return


def _cells(
    mean: CriticalRatio, new: CriticalRatio, asked: Mapping[str, Any], rule: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    where = [*PLACES, *(["eval"] if asked.get("eval") == TOGETHER else [])]
    for cell in cells(mean.draws):
        own, of_new = (replace(q, draws=q.draws.isel(cell, drop=True)) for q in (mean, new))
        labels = {**asked, **{d: mean.draws[d].values[i] for d, i in cell.items()}}
        yield {
            **{k: labels[k] for k in dict.fromkeys((*where, *map(str, cell))) if k in labels},
            "limit": _limit(rule, called(mean.loss_unit)),
            "critical ratio": str(own.text().item()),
            "of a new run": str(of_new.text().item()),
            "safe share": _safe_share(of_new),
            **{p: float(getattr(own, p)) for p in ("p_never", "p_interior", "p_always")},
            "ratio": own,
        }


def _safe_share(new: CriticalRatio) -> float:
    share = float(new.draws.quantile(1 - SAFE_PROBABILITY))
    return share if share > new.low else float("nan")


def _limit(rule: Mapping[str, Any], nats: str) -> str:
    if rule.get("rule") == "turning-point":
        return "begun to fall again"
    increase = rule.get("max_increase")
    size, unit = (100 * (rule.get("max_rise") or 0.0), "%") if increase is None else (increase, nats)
    if size == 0:
        return "no rise"
    return f"rise of at most {exact(size)} {unit}" if size > 0 else f"fall of at least {exact(-size)} {unit}"


def _actions(ratio: CriticalRatio, safe: float) -> Iterator[str]:
    if np.isnan(safe):
        yield f"no share of the law's range is safe for a new run {PROBABLY}; relax the limit"
    low, high = (float(v) for v in ratio.interval().values())
    if high - low > WIDEST:
        yield (
            f"the runs do not decide this ratio: add runs with shares from {as_share(low)} to {as_share(high)} before "
            "taking more"
        )


def _share(ratio: CriticalRatio) -> str:
    text = f"{ratio.text().item()} in the {ratio.what}"
    for chance, end, does in ((ratio.p_never, ratio.low, "breaks"), (ratio.p_always, ratio.high, "respects")):
        if float(chance) > LEAST_PROBABILITY:
            probably = "" if float(chance) > 1 - LEAST_PROBABILITY else f"with probability {probability(chance)} "
            text += f"; {probably}even a share of {exact(end)} {does} the limit"
    return text


def _title(row: Mapping[str, Any], at: str) -> str:
    return f"{at}, {row['limit']}" if at else str(row["limit"])
