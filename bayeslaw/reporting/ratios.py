"""Answers that are critical ratios: how much of the new domain a stream may hold."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.errors import BayeslawError
from bayeslaw.base.words import amount, place
from bayeslaw.decisions.critical_ratio import CriticalRatio, bends, of_the_study
from bayeslaw.decisions.study import study_of
from bayeslaw.plots import plot_critical_ratio
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.answer import Answer, question_of
from bayeslaw.reporting.figures import Picture, grid

__all__ = ["SURE", "critical_ratios", "ratios"]

RULES: tuple[dict[str, Any], ...] = ({"max_rise": 0.0}, {"max_rise": 0.01})
"""The limits on the general loss that a report answers unless asked for others."""

LIMITS = ("max_rise", "max_increase", "rule")

SURE = 0.95
"""Probability with which a single new run is to keep the limit at the share that a report recommends."""

WIDE = 0.2
"""Width of an interval on a share from which the runs do not decide it."""

HOW_TO_READ = (
    "The **critical ratio** is the largest domain share at which the general loss still respects the limit, everywhere "
    "from the smallest share of the law's range up to it: in the mean law, and of a single new run, whose own luck "
    f"counts too. *safe share*: the largest at which a new run keeps the limit with probability {SURE}. *p_never*: "
    "probability that even the smallest share breaks the limit; *p_always*: that even the largest respects it. An end "
    "with `>=` or `<=` lies at the end of the range: it is a bound. In the figure, the strip shows where the close-up "
    "lies between 0 and 1, and in grey the range looked at."
)


def ratios(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the critical ratios of a study."""
    table = critical_ratios(fit, question)
    limits = " or ".join(dict.fromkeys(table["limit"]))
    sentences, actions, draws = [], [], {}
    largest = table["N"].max() if "N" in table else None
    rows = [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]
    for row in rows:
        ratio, at = row["ratio"], place({k: row[k] for k in ("N", "domain") if k in row})
        label = f"{at}, {row['limit']}" if at else row["limit"]
        draws[f"critical ratio, {label}"] = ratio.draws
        if row.get("N") == largest:
            sentences.append(f"{label}: {_share(ratio)}; of a new run {row['of a new run']}.")
            actions += [f"{label}: {action}." for action in _actions(ratio, row["safe share"])]
    density = Picture(
        "critical-ratio",
        f"Posterior of the critical ratio, one panel per question, for example {sentences[0]}",
        lambda: grid(rows, lambda row, ax: plot_critical_ratio(row["ratio"], ax, _title(row)), width=2.6, height=2.3),
    )
    over = f" over {amount(table['D'].iloc[0])} tokens" if "D" in table else ""
    return Answer(
        f"Which share of the new domain can continual pre-training take{over} before the general loss breaks its limit "
        f"({limits})?",
        sentences,
        actions,
        table.drop(columns=["ratio", "D"], errors="ignore"),
        HOW_TO_READ,
        draws,
        [density],
        tuple(dict.fromkeys(caution for ratio in table["ratio"] for caution in ratio.cautions)),
        _marks(rows),
    )


def _marks(rows: list[dict[str, Any]]) -> dict[tuple[Any, Any], CriticalRatio]:
    """Return the ratios of the last tolerance, by size and domain."""
    tolerances = [row for row in rows if row["ratio"].inputs["rule"] != "turning-point"] or rows
    return {
        (row.get("N"), row.get("domain")): row["ratio"] for row in tolerances if row["limit"] == tolerances[-1]["limit"]
    }


def critical_ratios(fit: Posterior, question: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the critical ratio of every model size (and domain) of the study, one row per size and limit.

    Columns: ``N``, ``domain`` (where there are several), ``D``, ``limit``, ``critical ratio`` (mean law) and ``of a new
    run`` in words, ``safe share`` (the largest that a new run keeps with probability 0.95; missing if there is none),
    ``p_never``, ``p_interior``, ``p_always``, and the `CriticalRatio` itself.
    """
    own = of_the_study(fit) or {}
    asked = {k: v for k, v in own.items() if k not in LIMITS} | question_of("critical_ratio", question)
    limits: dict[str, Any] = {k: asked.pop(k) for k in LIMITS if k in asked}
    rows: list[dict[str, Any]] = []
    unanswered: list[BayeslawError] = []
    for rule in [limits] if limits else [*RULES, *([{"rule": "turning-point"}] if bends(fit.model.law) else [])]:
        try:
            rows += _rows(fit, asked, rule)
        except BayeslawError as e:  # without a baseline, a turning point is still one
            unanswered.append(e)
    if not rows:
        raise unanswered[0]
    return pd.DataFrame(rows)


def _rows(fit: Posterior, asked: Mapping[str, Any], rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    mean, new = (study_of(fit).ask("critical_ratio", **asked, **rule, new_run=new_run) for new_run in (False, True))
    varied = [str(d) for d in mean.draws.dims if d not in ("chain", "draw")]
    for index in np.ndindex(*(mean.draws.sizes[d] for d in varied)):
        cell = dict(zip(varied, index, strict=True))
        one, another = (replace(q, draws=q.draws.isel(cell, drop=True)) for q in (mean, new))
        labels = {**asked, **{d: mean.draws[d].isel({d: i}).item() for d, i in cell.items()}}
        at: dict[str, Any] = {k: labels[k] for k in ("N", "domain", "D") if k in labels}
        words = {"critical ratio": str(one.text().item()), "of a new run": str(another.text().item())}
        chances = {p: float(getattr(one, p)) for p in ("p_never", "p_interior", "p_always")}
        safe = {"safe share": _safe_share(another)}
        yield {**at, "limit": _limit(rule), **words, **safe, **chances, "ratio": one}


def _safe_share(new: CriticalRatio) -> float:
    share = float(new.draws.quantile(1 - SURE))
    return share if share > new.low else float("nan")


def _limit(rule: Mapping[str, Any]) -> str:
    if rule.get("rule") == "turning-point":
        return "begun to fall again"
    if rule.get("max_increase") is not None:
        return f"rise of at most {rule['max_increase']:g} nats"
    return f"rise of at most {100 * rule['max_rise']:g} %" if rule.get("max_rise") else "no rise"


def _actions(ratio: CriticalRatio, safe: float) -> Iterator[str]:
    if np.isnan(safe):
        yield f"no share of the law's range is safe for a new run with probability {SURE:g}; relax the limit"
    else:
        yield f"take at most {safe:.2f}; a new run keeps the limit there with probability {SURE:g}"
    low, high = (float(v) for v in ratio.interval().values())
    if high - low > WIDE:
        yield f"the runs do not decide this one: add runs with shares from {low:.2f} to {high:.2f} before taking more"


def _share(ratio: CriticalRatio) -> str:
    text = f"{ratio.text().item()} in the mean law"
    never, always = float(ratio.p_never), float(ratio.p_always)
    if never > 0.005:
        text += f"; with probability {never:.2f} even a share of {ratio.low:g} breaks the limit"
    if always > 0.005:
        text += f"; with probability {always:.2f} even a share of {ratio.high:g} respects it"
    return text


def _title(row: Mapping[str, Any]) -> str:
    size = [f"N = {amount(row['N'])}"] if "N" in row else []
    return ", ".join([*size, *([row["domain"]] if "domain" in row else []), row["limit"]])
