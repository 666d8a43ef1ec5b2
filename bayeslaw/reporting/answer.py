"""The answer of a report: what a study is asked, what its fit says, and what follows."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from inspect import Parameter, signature
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import unknown_name
from bayeslaw.base.words import amount, place
from bayeslaw.decisions.allocation import FLOPS_PER_TOKEN, allocation
from bayeslaw.plots import plot_along
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.reporting.figures import Picture, grid

__all__ = ["Answer", "largest_run", "predictions", "question_of", "spending", "where"]

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
    """

    question: str
    sentences: list[str]
    actions: list[str]
    table: pd.DataFrame
    how_to_read: str
    draws: dict[str, xr.DataArray]
    pictures: list[Picture] = field(default_factory=list)


def question_of(decision: Callable[..., Any], question: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a question whose names a decision knows.

    Raises
    ------
    UnknownName
        It knows one of them not.
    """
    known = [p.name for p in signature(decision).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    if any(p.kind is Parameter.VAR_KEYWORD for p in signature(decision).parameters.values()):
        known.append("domain")
    for name in question or {}:
        if name not in known:
            raise unknown_name(f"part of the question {decision.__name__.replace('_', ' ')}", name, known)
    return dict(question or {})


def largest_run(fit: Posterior) -> xr.Dataset:
    """Return the row of the largest run: the most parameters times tokens, or the furthest along the law's path."""
    rows = fit.model.design.rows
    counted: list[str] = [c for c in ("N", "D") if c in fit.model.law.columns] or [
        c for c in (fit.model.law.path,) if c in rows
    ]
    size = sum(np.log(rows[c].values) for c in counted) if counted else rows["row"].values
    return rows.isel(row=int(np.argmax(size)))


def where(fit: Posterior, *without: str) -> dict[str, Any]:
    """Return the columns and labels of the largest run, those left out that are asked for."""
    largest, design = largest_run(fit), fit.model.design
    wanted = dict.fromkeys([*fit.model.law.columns, *design.groups])
    return {c: largest[c].item() if largest[c].ndim == 0 else largest[c] for c in wanted if c not in without}


def predictions(fit: Posterior) -> Answer:
    """Answer with the losses of the largest run."""
    at, largest = where(fit), largest_run(fit)
    mean, new = fit.predict(**at), fit.predict(**at, new_run=True)
    features = {k for k, covariate in fit.model.law.covariates.items() if covariate.of in at}
    numbers = place({k: v for k, v in at.items() if not isinstance(v, xr.DataArray) and k not in features})
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
    )


def spending(fit: Posterior, question: Mapping[str, Any] | None = None) -> Answer:
    """Answer with the best model sizes and tokens for the compute of the largest run, and ten times that."""
    asked = question_of(allocation, question)
    found = predictions(fit)
    at = where(fit)
    actions: list[str] = []
    draws = dict(found.draws)
    for action, best in _allocations(fit, {k: v for k, v in at.items() if k not in ("N", "D")} | asked, at):
        actions, draws = [*actions, action], draws | best
    text = found.question.removesuffix("?")
    losses = [
        Picture(
            "tokens",
            "Bands of the mean law over tokens, one panel per model size, and the measured losses on them",
            lambda: grid(list(fit.model.design.levels["N"]), lambda N, ax: _along_tokens(fit, N, ax)),
        )
    ]
    return replace(
        found,
        question=f"{text}, and how would compute be spent best?",
        actions=actions,
        draws=draws,
        pictures=losses,
    )


def _along_tokens(fit: Posterior, N: float, ax: Any) -> Any:
    return plot_along(fit, "D", ax, **(where(fit, "N", "D") | {"N": N}))


def _allocations(
    fit: Posterior, rest: dict[str, Any], at: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, xr.DataArray]]]:
    largest = FLOPS_PER_TOKEN * at["N"] * at["D"]
    budgets = [rest.pop("flops")] if "flops" in rest else [largest, 10 * largest]
    for flops in budgets:
        best = allocation(fit, flops=flops, **rest)
        N, D = (_count(best, label) for label in ("N", "D"))
        inside = float(best.p_interior.min())
        beyond = "" if inside > 0.995 else f" ({inside:.0%} of the draws have an optimum in the searched range)"
        budget = f"{flops:.3g} FLOPs ({flops / largest:.3g} x the largest run)"
        factor = max(_beyond(fit, best, label) for label in ("N", "D"))
        if factor > FAR:
            yield (
                f"these runs do not say how to spend {budget}: the optimum of the law, {N} parameters on {D} tokens, "
                f"lies {factor:.2g} times beyond them{beyond}.",
                {},
            )
            continue
        warned = f"; that lies {factor:.2g} times beyond the runs" if factor > 1 else ""
        yield (
            f"with {budget} train {N} parameters on {D} tokens{beyond}{warned}.",
            {f"best {label} at {flops:.3g} FLOPs": best.draws.sel(quantity=label, drop=True) for label in ("N", "D")},
        )


def _beyond(fit: Posterior, best: Quantity, label: str) -> float:
    """Return how many times beyond the runs the optimum lies; at most 1 among them."""
    levels, middle = fit.model.design.levels[label], best.median().sel(quantity=label).item()
    return float(max(middle / levels.max(), levels.min() / middle))


def _count(best: Quantity, label: str) -> str:
    ends = best.interval().sel(quantity=label)
    middle = float(best.median().sel(quantity=label))
    return f"{amount(middle)} [{amount(float(ends['lower']))}, {amount(float(ends['upper']))}]"
