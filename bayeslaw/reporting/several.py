"""The content of a report of several fits: their answers, predictions and checks side by side."""

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import amount, short
from bayeslaw.base.progress import Bar
from bayeslaw.checks import CheckResult
from bayeslaw.errors import BayeslawError, RangeError
from bayeslaw.plots import plot_fit, plot_intervals
from bayeslaw.plots.panels import grid
from bayeslaw.plots.style import plain, quantiles
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.reporting.advice import NOT_CONVERGED, advised, converged, go_by, to_do
from bayeslaw.reporting.answer import Answer, Verdict, in_a_sentence, in_counts
from bayeslaw.reporting.content import answer, checks_of
from bayeslaw.reporting.figures import Picture
from bayeslaw.reporting.one_answer import one_answer
from bayeslaw.validation.comparison import compare

__all__ = ["several"]

LEAST_COUNT = 1e5
"""Answers from this number on are counts of parameters or tokens."""


def several(fits: Mapping[str, Posterior], question: Mapping[str, Any] | None, bar: Bar) -> dict[str, Any]:
    """Return everything that the template of several fits names; move the bar.

    Raises
    ------
    RangeError
        There are fewer than two.
    """
    if len(fits) < 2:
        raise RangeError(
            "a report of several fits needs at least two, by name: give the fit itself for a report of one"
        )
    bar.more(2 * len(fits) + 2)
    answers: dict[str, Answer] = {}
    checks: dict[str, list[CheckResult]] = {}
    for name, fit in fits.items():
        found = answer(fit, question)
        bar.step()
        checks[name] = checks_of(fit, found)
        answers[name] = advised(fit, found, checks[name])
        bar.step()
    draws: dict[str, dict[str, xr.DataArray]] = {}
    for name, found in answers.items():
        for what, own in found.draws.items():
            draws.setdefault(what, {})[name] = own
    passed = {name: {c.name: "pass" if c.passed else "FAIL" for c in own} for name, own in checks.items()}
    comparison, remarks = _compared(fits)
    best, (spread, agree) = None if comparison is None else str(comparison["fit"][0]), _spread(draws)
    usable = converged(fits)
    chosen = go_by(usable, answers, best)
    of_usable = {what: {name: own for name, own in each.items() if name in usable} for what, each in draws.items()}
    together = one_answer({name: fits[name] for name in usable}, of_usable, _words, _about)
    titles = dict.fromkeys(found.title or found.question for found in answers.values())
    verdict = answers[chosen or next(iter(fits))].verdict
    if verdict.colour != "red" and not agree:
        verdict = Verdict("amber", "believe it with this caveat", "the fits differ by more than their intervals show")
    return {
        "title": titles.popitem()[0] if len(titles) == 1 else "Fits side by side",
        "folded": "Equation, pooling and provenance of every fit",
        "verdict": verdict,
        "fits": fits,
        "answers": answers,
        "questions": list(dict.fromkeys(found.question for found in answers.values())),
        "table": _side_by_side(draws, list(fits)),
        "spread": spread,
        "headline": _headline(usable, answers, chosen, together["together"]),
        "actions": to_do(usable, answers, best),
        "cautions": {
            c: [n for n, a in answers.items() if c in a.cautions] for a in answers.values() for c in a.cautions
        },
        **together,
        "comparison": comparison,
        "remarks": remarks,
        "checks": pd.DataFrame(passed).fillna("").rename_axis("check").reset_index(),
        "failed": {name: [c for c in own if not c.passed] for name, own in checks.items()},
        "answers_picture": Picture(
            "answers",
            "Interval of every answer, one panel per answer and one line per fit",
            lambda: grid(
                list(draws.items()),
                lambda panel, ax: plot_intervals(panel[1], ax, title=panel[0]),
                height=0.9 + 0.25 * len(fits),
            ),
        ),
        "predictions_picture": Picture(
            "predictions",
            "Losses of the mean law of every fit against the measured ones; points on the line agree",
            lambda: grid(list(fits.items()), _predictions, height=3.2),
        ),
    }


def _headline(usable: list[str], answers: Mapping[str, Answer], chosen: str | None, together: Mapping[str, str]) -> str:
    """Return the answer of the fits that have converged, or else that of the one to go by."""
    if chosen is None:
        return NOT_CONVERGED
    if together:
        said = in_a_sentence([f"{what} about {middle}" for what, middle in together.items()], "answer")
        which = "all fits" if len(usable) == len(answers) else ", ".join(usable)
        return f"{which} together, each by its weight: {said}"
    return f"by {chosen}, {answers[chosen].headline or 'losses can be predicted'}"


def _about(draws: xr.DataArray) -> str:
    middle = float(draws.median())
    return amount(middle, 2) if middle >= LEAST_COUNT else short(middle)


def _words(draws: xr.DataArray) -> str:
    if float(draws.median()) >= LEAST_COUNT:
        return in_counts(draws)
    return str(Quantity("answer", draws, "1", "mean law").text().item())


def _side_by_side(draws: Mapping[str, Mapping[str, xr.DataArray]], fits: list[str]) -> pd.DataFrame:
    """Return the answers in words: one column per fit, or one row per fit if there are more fits than answers."""
    words = {what: {name: _words(own) for name, own in each.items()} for what, each in draws.items()}
    table = pd.DataFrame(words, index=pd.Index(fits, name="fit")).fillna("")
    return (table if len(fits) > len(draws) else table.T.rename_axis("answer")).reset_index()


def _spread(draws: Mapping[str, Mapping[str, xr.DataArray]]) -> tuple[str, bool]:
    """Say how far the medians of the fits lie apart, relative to the widest interval, and whether they agree."""
    apart = {}
    for what, each in draws.items():
        low, middle, high = np.transpose([quantiles(own, CI_PROB) for own in each.values()])
        half = (high - low).max() / 2
        if len(each) > 1:
            apart[what] = np.ptp(middle) / half if half else 0.0
    if not apart:
        return "The fits answer different questions; nothing can be set side by side.", True
    where, worst = max(apart.items(), key=lambda item: item[1])
    verdict = (
        "the fits differ less than the uncertainty of each"
        if worst <= 1
        else "the fits differ more than any of their intervals shows: report the range over all of them"
    )
    return (
        f"The medians lie at most {short(worst, 2)} half-widths of the widest interval apart ({where}): {verdict}.",
        bool(worst <= 1),
    )


def _compared(fits: Mapping[str, Posterior]) -> tuple[pd.DataFrame | None, list[str]]:
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            table = compare(fits)
    except BayeslawError as e:
        return None, [str(e)]
    return table.rename_axis("fit").reset_index(), list(dict.fromkeys(str(w.message) for w in caught))


def _predictions(named: tuple[str, Posterior], ax: Axes) -> None:
    name, fit = named
    plot_fit(fit, ax).text(0.98, 0.04, plain(name), transform=ax.transAxes, ha="right")
