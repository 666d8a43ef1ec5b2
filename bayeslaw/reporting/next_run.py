"""What to run next: the section of a report, and its sentence for the head."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.numbers import percent, short
from bayeslaw.base.words import place
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import BayeslawError
from bayeslaw.posterior.convergence import convergence
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import thinned
from bayeslaw.reporting.answer import question_of
from bayeslaw.validation.candidates import RUNS, spent
from bayeslaw.validation.neighbourhood import neighbourhood
from bayeslaw.validation.next_runs import next_runs
from bayeslaw.validation.proposals import NextRuns

__all__ = ["NextRun", "next_run"]

DRAWS = 1000
"""Draws of a report's estimate."""

LEAST_DRAWS = 400
"""Draws of a fit from which a report proposes a next run."""

ROWS = 4
"""Candidates that a report shows."""


@dataclass(frozen=True)
class NextRun:
    """What a report says of the next run.

    Attributes
    ----------
    sentence : str
        For the head of a report.
    table : pandas.DataFrame
        The best candidates.
    how_to_read : str
        What was asked, and what the columns are.
    """

    sentence: str
    table: pd.DataFrame
    how_to_read: str


def next_run(fit: Posterior, question: Mapping[str, Any] | None = None) -> NextRun | None:
    """Return which run narrows the answer of a report most, at the cost of its dearest run; None if none can be told.

    A fit that has not converged names none. The candidates are the settings of the runs and one step beyond; of several
    model sizes the largest is asked about.
    """
    if (study := study_of(fit)).question is None or fit.draws < LEAST_DRAWS or fit.method in ("mle", "prior"):
        return None
    if (mixing := convergence(fit)) is not None and mixing.remedy:
        return None
    decision, own = study.question
    asked = dict(own) | question_of(decision.name, question)
    if "N" in asked and np.ndim(asked["N"]):
        asked["N"] = max(asked["N"])
    costs = spent(fit)
    with suppress(BayeslawError):
        candidates = neighbourhood(fit)
        candidates = candidates if costs is not None else candidates.assign(**{RUNS: 1.0})
        budget, column = (1.0, RUNS) if costs is None else (float(costs.max()), None)
        name = decision.name.replace("_", "-")
        found = next_runs(thinned(fit, DRAWS), name, candidates=candidates, cost=column, budget=budget, **asked)
        return _said(found, budget, None if costs is None else float(costs.sum()), asked)
    return None


def _said(found: NextRuns, budget: float, total: float | None, asked: Mapping[str, Any]) -> NextRun:
    name, where = found.answer.name.replace("_", " "), place({k: asked[k] for k in ("N", "D") if k in asked})
    unit = {"1": ""}.get(found.unit, f" {found.unit}")
    limit = "" if total is None else ", which costs at most as much as the largest so far,"
    if found.stop:
        sentence = f"one more run{limit} would narrow the {name} little: {found.stop.text}"
    else:
        first = found.chosen.iloc[0]
        share = "" if total is None else f", for {percent(first['cost'] / total)} of the FLOPs spent so far"
        run = found.stop.text.split(" would narrow")[0]
        run = f"one more {run.removeprefix('a ')}" if run.startswith("a run") else run
        sentence = (
            f"{run} is expected to narrow the interval of the {name} from {short(found.width)} to "
            f"{short(first['width'])}{unit}{share}"
        )
    within = found.table[found.table["cost"] <= budget].nlargest(ROWS, "reduction")
    shown = [c for c in found.table if c not in ("nats", "regret") and not str(c).endswith(("_error", "_per_cost"))]
    table = within[shown].rename(columns={"width": "width after", "reduction": "narrower by"})
    return NextRun(
        sentence,
        table,
        f"Of {len(found.table)} candidates{limit} those that narrow the {name}{f' ({where})' if where else ''} most, "
        "estimated without a refit. `bayeslaw next fit.nc` weighs your own candidates.",
    )
