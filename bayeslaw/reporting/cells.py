"""Questions with several values of an argument: one answer for each, joined into one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from bayeslaw.base.arguments import named_values
from bayeslaw.base.words import place
from bayeslaw.posterior.draws import Posterior
from bayeslaw.reporting.answer import Answer

__all__ = ["for_each"]

type Question = Mapping[str, Any] | None

SEVERAL = ("N", "D", "domain_share", "domain", "labels")
"""Arguments of decisions that take several values, besides those that an answer of a report takes itself."""

MOST_HEADLINES = 3
"""Most answers in the head of a report."""


def for_each(ask: Callable[[Posterior, Question], Answer], fit: Posterior, question: Question) -> Answer:
    """Return the answer to a question, or one for each combination of several values, joined."""
    asked = dict(question or {})
    labels = named_values(asked.get("labels") or {}, "labels", "labels={'language': 'de'}")
    flat = {k: v for k, v in asked.items() if k in SEVERAL and k != "labels"} | labels
    several = {k: np.asarray(v).tolist() for k, v in flat.items() if v is not None and np.ndim(v)}
    if not several:
        return ask(fit, question)
    answers: list[tuple[dict[str, Any], Answer]] = []
    for values in product(*several.values()):
        at = dict(zip(several, values, strict=True))
        own = {k: at.get(k, v) for k, v in asked.items() if k != "labels"}
        answers.append(
            (at, ask(fit, own | ({"labels": {k: at.get(k, v) for k, v in labels.items()}} if labels else {})))
        )
    return _joined(answers)


def _joined(answers: list[tuple[dict[str, Any], Answer]]) -> Answer:
    (first, whole), *_ = answers
    if len(answers) == 1:
        return whole
    tables = [found.table.assign(**at)[[*at, *found.table]] for at, found in answers]
    named = [(place(at), found) for at, found in answers]
    planned: dict[str, np.ndarray] = {
        k: np.concatenate([np.ravel(found.planned[k]) for _, found in answers]) for k in whole.planned
    }
    return replace(
        whole,
        question=" ".join(dict.fromkeys(found.question for _, found in named)),
        headline="; ".join(f"{at}: {found.headline or found.sentences[0]}" for at, found in named[:MOST_HEADLINES]),
        sentences=[f"{at}: {sentence}" for at, found in named for sentence in found.sentences],
        actions=[f"{at}: {action}" for at, found in named for action in found.actions],
        table=pd.concat(tables, ignore_index=True),
        draws={f"{name}, {at}": draws for at, found in named for name, draws in found.draws.items()},
        pictures=[
            replace(picture, name=f"{picture.name}-{number}", alt=f"{picture.alt} ({at})")
            for number, (at, found) in enumerate(named, 1)
            for picture in found.pictures
        ],
        cautions=tuple(dict.fromkeys(caution for _, found in named for caution in found.cautions)),
        planned=planned,
    )
