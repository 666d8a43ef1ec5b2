"""The answer of a report: what a study is asked, what its fit says, and what follows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from typing import Any

import pandas as pd
import xarray as xr

from bayeslaw.base.errors import unknown_name
from bayeslaw.base.words import amount, place
from bayeslaw.decisions import DECISIONS
from bayeslaw.decisions.allocation import of_the_study as allocation_of_the_study
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.decisions.question import largest_run, of_largest_run
from bayeslaw.decisions.study import study_of
from bayeslaw.plots import plot_along
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.reporting.figures import Picture, grid

__all__ = ["Answer", "columns_of", "plain", "predictions", "question_of", "spending"]

FAR = 10.0
"""Factor beyond the runs from which the optimum of a law is no advice."""

NATS = "Losses in nats per token: of the mean law, and of a single new run, whose own luck counts too."


@dataclass(frozen=True)
class Answer:
    """The first page of a report.

    Attributes
    ----------
    question : str
        What was asked.
    sentences, actions : list of str
        The answer, with interval and probability, and what to do if the checks allow it.
    table : pandas.DataFrame
        The answer at every size, domain, source, run or validation set.
    how_to_read : str
        What the table and the pictures show.
    draws : dict
        Draws of what was answered, by its name in words.
    pictures : list of Picture
        Figures of the answer.
    cautions : tuple of str
        What speaks against it.
    marks : dict
        Critical ratios that the figure of the losses marks, by model size and domain.
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


def question_of(name: str, question: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a question whose parts a decision knows.

    Raises
    ------
    UnknownName
        It does not know one of them.
    """
    known = [p.name for p in signature(DECISIONS[name].ask).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    for part in question or {}:
        if part not in known:
            raise unknown_name(f"part of the question {name.replace('_', ' ')}", part, known)
    return dict(question or {})


def predictions(fit: Posterior) -> Answer:
    """Answer with the losses of the largest run."""
    largest, at = largest_run(fit), columns_of(of_largest_run(fit))
    mean, new = (predict(fit, **at, new_run=new_run) for new_run in (False, True))
    numbers = place({k: v for k, v in at.items() if not isinstance(v, xr.DataArray)})
    shown = f" ({numbers})" if numbers else ""
    words = [
        (e, f"{float(largest['loss'].sel(eval=e)):.4g}", *(str(q.text().sel(eval=e).item()) for q in (mean, new)))
        for e in fit.evals
    ]
    return Answer(
        f"Which loss does the law predict for the largest run of the study{shown}?",
        [f"{e} loss: {m} in the mean law, {n} for a new run; measured {seen}." for e, seen, m, n in words],
        [],
        pd.DataFrame(words, columns=["validation set", "measured", "mean law", "new run"]),
        NATS,
        {f"{e} loss{shown}": mean.draws.sel(eval=e, drop=True) for e in fit.evals},
        cautions=mean.cautions,
    )


def columns_of(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question about a place as the columns that a prediction there takes."""
    return {k: v for k, v in question.items() if k != "labels"} | dict(question.get("labels", {}))


def plain(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the decision that the study is about, as it is."""
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
    )


def spending(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best model sizes and tokens for the compute of the largest run, and ten times that."""
    asked = {**(allocation_of_the_study(fit)), **question_of("allocation", question)}
    found = predictions(fit)
    largest = allocation_of_the_study(fit)["flops"]
    budgets = [asked["flops"]] if question and "flops" in question else [largest, 10 * largest]
    actions: list[str] = []
    draws, cautions = dict(found.draws), dict.fromkeys(found.cautions)
    for flops in budgets:
        best = study_of(fit).ask("allocation", **asked | {"flops": flops})
        action, advised = _advice(fit, best, flops, largest)
        actions.append(action)
        if advised:
            draws |= {f"best {n} at {flops:.3g} FLOPs": best.draws.sel(quantity=n, drop=True) for n in ("N", "D")}
            cautions |= dict.fromkeys(best.cautions)
    losses = Picture(
        "tokens",
        "Bands of the mean law over tokens, one panel per model size, and the measured losses on them",
        lambda: grid(list(fit.model.design.levels["N"]), lambda N, ax: _along_tokens(fit, N, ax)),
    )
    text = found.question.removesuffix("?")
    return replace(
        found,
        question=f"{text}, and how would compute be spent best?",
        actions=actions,
        draws=draws,
        pictures=[losses],
        cautions=tuple(cautions),
    )


def _along_tokens(fit: Posterior, N: float, ax: Any) -> Any:
    return plot_along(fit, "D", ax, **columns_of(of_largest_run(fit, "N", "D")), N=N)


def _advice(fit: Posterior, best: Censored, flops: float, largest: float) -> tuple[str, bool]:
    """Return how to spend a budget, and whether that is advice."""
    N, D = (_count(best, label) for label in ("N", "D"))
    inside = float(best.p_interior.min())
    beyond = "" if inside > 0.995 else f" ({inside:.0%} of the draws have an optimum in the searched range)"
    budget = f"{flops:.3g} FLOPs ({flops / largest:.3g} x the largest run)"
    factor = max(_beyond(fit, best, label) for label in ("N", "D"))
    if factor > FAR:
        return (
            f"these runs do not say how to spend {budget}: the optimum of the law, {N} parameters on {D} tokens, "
            f"lies {factor:.2g} times beyond them{beyond}.",
            False,
        )
    warned = f"; that lies {factor:.2g} times beyond the runs" if factor > 1 else ""
    return f"with {budget} train {N} parameters on {D} tokens{beyond}{warned}.", True


def _beyond(fit: Posterior, best: Quantity, label: str) -> float:
    """Return how many times beyond the runs the optimum lies; at most 1 among them."""
    levels, middle = fit.model.design.levels[label], best.median().sel(quantity=label).item()
    return float(max(middle / levels.max(), levels.min() / middle))


def _count(best: Quantity, label: str) -> str:
    ends = best.interval().sel(quantity=label)
    middle = float(best.median().sel(quantity=label))
    return f"{amount(middle)} [{amount(float(ends['lower']))}, {amount(float(ends['upper']))}]"
