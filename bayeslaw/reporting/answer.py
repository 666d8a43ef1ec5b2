"""The answer of a report: the question of a study, what its fit answers, and what follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from itertools import product
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.intervals import CI_PROB, levels
from bayeslaw.base.numbers import amount, percent, short, times, with_interval
from bayeslaw.base.words import counted, place
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.allocation import of_the_study as allocation_of_the_study
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.question import evals_asked, largest_run, named, of_largest_run
from bayeslaw.decisions.study import study_of
from bayeslaw.errors import unknown_name
from bayeslaw.plots import plot_along
from bayeslaw.plots.panels import grid
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.reporting.figures import Picture

__all__ = [
    "LEAST_PROBABILITY",
    "Answer",
    "Verdict",
    "columns_of",
    "in_a_sentence",
    "in_counts",
    "losses_of",
    "plain",
    "predictions",
    "question_of",
    "sizes_of",
    "spending",
]

FARTHEST_ADVICE = 10.0
"""A report advises an optimum up to this factor beyond the runs."""

MOST_SAID = 3
"""Losses or answers in the sentence; a table has all."""

LEAST_PROBABILITY = 0.005
"""A sentence leaves out probabilities below this; those above 1 minus this count as certain."""


@dataclass(frozen=True)
class Verdict:
    """Whether to act on an answer: green, amber or red, in a few words, and why."""

    colour: Literal["green", "amber", "red"]
    words: str
    why: str = ""


BELIEVE = Verdict("green", "believe it")


@dataclass(frozen=True)
class Answer:
    """The first page of a report.

    Attributes
    ----------
    question : str
        The question.
    sentences, actions : list of str
        The answer, with interval and probability, and the actions that follow from it.
    table : pandas.DataFrame
        The answer at every size, domain, source, run or validation set.
    how_to_read : str
        What the table and the pictures show.
    draws : dict
        Draws of the answers, by their names in words.
    pictures : list of Picture
        Figures of the answer; the first stands in the head of the report.
    cautions : tuple of str
        Reasons to doubt it.
    marks : dict
        Critical ratios to mark in the figure of the losses, by model size and domain.
    about : str
        What is answered, in words.
    planned : dict
        The ``N``, ``D`` and ``domain_share`` that it is about; the report checks whether they lie beyond the runs.
    evals : tuple of str
        The losses that it rests on; empty: all.
    doubts : dict
        What its failed checks mean for it, by their names.
    beside : dict
        Of failed checks of other losses, that they are no doubt about it.
    ratios : dict
        The critical ratios that it is about, by their places; the report checks whether they were measured.
    title : str
        The question with its subject, in a few words; by default the question.
    headline : str
        The answer in one plain sentence with rounded numbers; by default the first of `sentences`.
    verdict : Verdict
        Whether to act on it.
    """

    question: str
    sentences: list[str]
    actions: list[str]
    table: pd.DataFrame
    how_to_read: str
    draws: dict[str, xr.DataArray]
    pictures: list[Picture] = field(default_factory=list)
    cautions: tuple[str, ...] = ()
    marks: dict[tuple[Any, Any], CriticalRatio] = field(default_factory=dict)
    about: str = "this answer"
    planned: Mapping[str, Any] = field(default_factory=dict)
    evals: tuple[str, ...] = ()
    doubts: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    ratios: Mapping[str, CriticalRatio] = field(default_factory=dict)
    title: str = ""
    headline: str = ""
    verdict: Verdict = BELIEVE

    @property
    def head(self) -> list[Picture]:
        """The figure in the head of the report: none of an answer that is not to be acted on."""
        return self.pictures[: self.verdict.colour != "red"]

    @property
    def evidence(self) -> list[Picture]:
        """The figures that stand below."""
        return self.pictures[len(self.head) :]


def question_of(name: str, question: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments of a decision.

    Raises
    ------
    UnknownName
        The decision takes no such argument.
    """
    known = [p.name for p in signature(DECISIONS[name].ask).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    for part in question or {}:
        if part not in known:
            raise unknown_name(f"part of the question {name.replace('_', ' ')}", part, known)
    return dict(question or {})


def columns_of(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a decision as the columns of a prediction at the same place."""
    return {k: v for k, v in question.items() if k != "labels"} | dict(question.get("labels", {}))


def in_counts(draws: Any) -> str:
    """Return median and interval of a number of parameters, tokens or steps in words."""
    middle, low, high = np.quantile(draws, [0.5, *levels(CI_PROB)])
    return with_interval(middle, low, high, amount)


def predictions(fit: Posterior) -> Answer:
    """Answer with the losses of the largest run that were measured there."""
    largest, at = largest_run(fit), columns_of(of_largest_run(fit))
    measured = {e: loss for e in fit.evals if np.isfinite(loss := float(largest["loss"].sel(eval=e)))}
    mean, new = (predict(fit, **at, new_run=new_run) for new_run in (False, True))
    numbers = place({k: v for k, v in at.items() if not isinstance(v, xr.DataArray)})
    shown = f" ({numbers})" if numbers else ""
    rows = [
        (e, short(loss, 4), *(str(q.text().sel(eval=e).item()) for q in (mean, new))) for e, loss in measured.items()
    ]
    return Answer(
        f"Which loss does the law predict for the largest run of the study{shown}?",
        [f"{e} loss: {m} in the {fit.mean_name}, {n} for a new run; measured {seen}." for e, seen, m, n in rows],
        [],
        pd.DataFrame(rows, columns=["validation set", "measured", fit.mean_name, "new run"]),
        f"Losses in {fit.model.unit}: of the {fit.mean_name}, and of a single new run, with its own error.",
        {f"{e} loss{shown}": mean.draws.sel(eval=e, drop=True) for e in measured},
        cautions=mean.cautions,
        about="the predicted loss",
        planned=sizes_of(at),
        evals=tuple(measured),
        headline=in_a_sentence(
            [
                f"the {e} loss of the largest run is about {short(mean.median().sel(eval=e))} (measured {short(seen)})"
                for e, seen in measured.items()
            ],
            "loss",
        ),
    )


def in_a_sentence(said: Sequence[str], what: str) -> str:
    """Return what is said of the first answers, and how many others there are."""
    others = len(said) - MOST_SAID
    left = [f"{counted(others, f'other {what}')} in the table below"] if others > 0 else []
    return "; ".join([*said[:MOST_SAID], *left])


def plain(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the decision that the study is about, for decisions without an answer of their own."""
    assert (study := study_of(fit)).question is not None
    decision, own = study.question
    found = study.ask(decision.name, **dict(own) | question_of(decision.name, question))
    return Answer(
        f"What is the {decision.name.replace('_', ' ')}?",
        [found.about()],
        [],
        found.to_frame(),
        "Median and interval of the posterior.",
        {decision.name: found.draws},
        cautions=found.cautions,
        about=f"the {decision.name.replace('_', ' ')}",
        evals=losses_of(found),
        planned=sizes_of(dict(own) | dict(question or {})),
    )


def losses_of(answer: Quantity) -> tuple[str, ...]:
    """Return the losses that an answer rests on, as its question names them; empty: all."""
    asked = answer.inputs.get("eval", answer.inputs.get("goal", ()))
    both = "weight" in answer.inputs  # the turning point of a weighted sum of losses
    return () if both else (asked,) if isinstance(asked, str) else tuple(asked)


def sizes_of(at: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model sizes, tokens and domain shares of a question."""
    return {column: at[column] for column in ("N", "D", "domain_share") if at.get(column) is not None}


def spending(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best model size and tokens for budgets; by default the largest run's, and ten times as much."""
    given = question_of("allocation", question)
    own = allocation_of_the_study(fit, **{k: v for k, v in given.items() if k == "flops_per_token"})
    asked, largest = own | given, own["flops"]
    budgets = (
        np.ravel(named(asked["flops"], "flops")).tolist()
        if question and "flops" in question
        else [largest, 10 * largest]
    )
    found, sizes = predictions(fit), fit.model.design.levels
    spent = "compute"
    if question and "flops" in question:
        spent = " or ".join(map(short, budgets)) + " FLOPs"
    draws, cautions, actions = dict(found.draws), dict.fromkeys(found.cautions), []
    middles: dict[str, list[float]] = {"N": [], "D": []}
    evals = evals_asked(fit, asked.get("eval"))
    of_each = " for each loss" if len(evals) > 1 else ""
    for flops, eval in product(budgets, evals):
        best = study_of(fit).ask("allocation", **asked | {"flops": flops, "eval": eval})
        each = {label: best.draws.sel(quantity=label, drop=True) for label in ("N", "D")}
        for label, part in each.items():
            middles[label].append(float(part.median()))
        beyond = max(max(v[-1] / sizes[k].max(), sizes[k].min() / v[-1]) for k, v in middles.items())
        goal = f" for the {eval} loss" if len(evals) > 1 else ""
        budget = f"{short(flops)} FLOPs ({short(flops / largest)} x the largest run){goal}"
        N, D = (in_counts(part) for part in each.values())
        inside = float(best.p_interior.min())
        some = (
            ""
            if inside > 1 - LEAST_PROBABILITY
            else f" ({percent(inside)} of the draws have an optimum in the searched range)"
        )
        cautions |= dict.fromkeys(best.cautions)
        if beyond > FARTHEST_ADVICE:
            actions.append(
                f"these runs do not show how to spend {budget}: the optimum of the law, {N} parameters on {D} tokens, "
                f"lies {times(beyond)} beyond them{some}."
            )
            continue
        warned = f"; that lies {times(beyond)} beyond the runs" if beyond > 1 else ""
        actions.append(f"with {budget} train {N} parameters on {D} tokens{some}{warned}.")
        draws |= {f"best {label} at {short(flops)} FLOPs{goal}": part for label, part in each.items()}
    at = columns_of(of_largest_run(fit, "N", "D"))
    losses = Picture(
        "tokens",
        f"Losses over tokens in the {fit.mean_name}, one panel per model size, with bands and the measured losses",
        lambda: grid(list(sizes["N"]), lambda N, ax: plot_along(fit, "D", ax, **at, N=N)),
    )
    return replace(
        found,
        question=f"{found.question.removesuffix('?')}, and how would {spent} be spent best{of_each}?",
        actions=actions,
        draws=draws,
        pictures=[losses],
        cautions=tuple(cautions),
        about="the best size and tokens",
        evals=tuple(evals),
        planned=middles,
        title=f"How is {spent} best spent on model size and tokens?",
        headline=f"{short(budgets[0], 2)} FLOPs are best spent on about {amount(middles['N'][0], 2)} parameters and "
        f"{amount(middles['D'][0], 2)} tokens",
    )
