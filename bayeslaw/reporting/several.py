"""What a report of several fits says: their answers, predictions and checks side by side."""

import warnings
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import BayeslawError, RangeError
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.progress import Bar
from bayeslaw.base.words import amount
from bayeslaw.checks import CheckResult, run_checks
from bayeslaw.plots import plot_fit, plot_intervals
from bayeslaw.plots.style import plain
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.reporting.answer import Answer
from bayeslaw.reporting.content import answer, unless_unconverged
from bayeslaw.reporting.figures import Picture, grid
from bayeslaw.validation.comparison import compare

__all__ = ["several"]

COUNTED = 1e5
"""Answers above this are counts of parameters or tokens."""


def several(fits: Mapping[str, Posterior], question: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return everything that the template of several fits names; count what is done.

    Raises
    ------
    RangeError
        There are fewer than two.
    """
    if len(fits) < 2:
        raise RangeError("a report of several fits needs two or more, by name: give the fit itself for a report of one")
    bar.more(2 * len(fits) + 2)
    answers: dict[str, Answer] = {}
    checks: dict[str, list[CheckResult]] = {}
    for name, fit in fits.items():
        found = answer(fit, question)
        bar.step()
        checks[name] = list(run_checks(fit))
        answers[name] = unless_unconverged(fit, found)
        bar.step()
    asked = list(dict.fromkeys(what for found in answers.values() for what in found.draws))
    comparison, remarks = _compared(fits)
    return {
        "fits": fits,
        "answers": answers,
        "questions": list(dict.fromkeys(found.question for found in answers.values())),
        "table": _side_by_side(answers, asked),
        "spread": _spread(answers, asked),
        "comparison": comparison,
        "remarks": remarks,
        "checks": _beside(checks),
        "failed": {name: [c for c in own if not c.passed] for name, own in checks.items()},
        "answers_picture": _intervals(answers, asked),
        "predictions_picture": _predictions(fits),
        "prob": CI_PROB,
        "today": date.today().isoformat(),
    }


def _words(draws: xr.DataArray) -> str:
    low, middle, high = (float(v) for v in draws.quantile([(1 - CI_PROB) / 2, 0.5, (1 + CI_PROB) / 2]))
    if middle >= COUNTED:
        return f"{amount(middle)} [{amount(low)}, {amount(high)}]"
    return str(Quantity("answer", draws, "1", "mean law").text().item())


def _side_by_side(answers: Mapping[str, Answer], asked: list[str]) -> pd.DataFrame:
    """Return the answers in words: the fits side by side, or one below the other where there are more of them."""
    columns = {
        name: [_words(found.draws[what]) if what in found.draws else "" for what in asked]
        for name, found in answers.items()
    }
    table = pd.DataFrame(columns, index=pd.Index(asked, name="answer"))
    return (table.T.rename_axis("fit") if len(answers) > len(asked) else table).reset_index()


def _spread(answers: Mapping[str, Answer], asked: list[str]) -> str:
    """Say how far the fits' medians lie apart, beside what each is unsure of by itself."""
    worst, where = 0.0, ""
    for what in asked:
        draws = [found.draws[what] for found in answers.values() if what in found.draws]
        if len(draws) < 2:
            continue
        medians = [float(d.median()) for d in draws]
        half = max(float(np.ptp(d.quantile([(1 - CI_PROB) / 2, (1 + CI_PROB) / 2]).values)) / 2 for d in draws)
        if (apart := (max(medians) - min(medians)) / half if half else 0.0) > worst or not where:
            worst, where = apart, what
    if not where:
        return "The fits answer different questions; nothing can be set side by side."
    verdict = (
        "the choice between them matters less than what each is unsure of by itself"
        if worst <= 1
        else "the choice between them matters more than any of their intervals says: report the range over all of them"
    )
    return f"The medians lie at most {worst:.1f} half-widths of the widest interval apart ({where}): {verdict}."


def _compared(fits: Mapping[str, Posterior]) -> tuple[pd.DataFrame | None, list[str]]:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            table = compare(fits)
    except BayeslawError as e:
        return None, [str(e)]
    return table.rename_axis("fit").reset_index(), list(dict.fromkeys(str(w.message) for w in caught))


def _beside(checks: Mapping[str, list[CheckResult]]) -> pd.DataFrame:
    results = {name: {c.name: "pass" if c.passed else "FAIL" for c in own} for name, own in checks.items()}
    return pd.DataFrame(results).fillna("").rename_axis("check").reset_index()


def _intervals(answers: Mapping[str, Answer], asked: list[str]) -> Picture:
    panels = [(w, {n: a.draws[w] for n, a in answers.items() if w in a.draws}) for w in asked]
    return Picture(
        "answers",
        "Interval of every answer, one panel per answer and one line per fit",
        lambda: grid(panels, lambda p, ax: plot_intervals(p[1], ax, title=p[0]), height=0.9 + 0.25 * len(answers)),
    )


def _predictions(fits: Mapping[str, Posterior]) -> Picture:
    def draw(named: Any, ax: Any) -> Any:
        plot_fit(named[1], ax).text(0.98, 0.04, plain(named[0]), transform=ax.transAxes, ha="right")

    return Picture(
        "predictions",
        "Losses of the mean law of every fit against the measured ones; points on the line agree",
        lambda: grid(list(fits.items()), draw, height=3.2),
    )
