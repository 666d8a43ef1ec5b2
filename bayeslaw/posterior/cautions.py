"""Reasons against an answer: a fit that did not converge, a place far beyond the runs, a prior that decides it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayeslaw.base.words import amount
from bayeslaw.posterior.convergence import convergence
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prior_share import prior_share
from bayeslaw.posterior.quantity import Quantity

__all__ = ["VERIFIED", "Reach", "cautioned", "cautions", "reach"]

VERIFIED = {"N": 1.0, "D": 1.5}
"""Factor beyond the runs up to which intervals kept their coverage on held-out runs (docs/studies/held_out.md). On no
table did they keep it for larger models."""

MOST_PRIOR = 0.5
"""Share of the prior in the information on an answer above which the answer rests on it."""


@dataclass(frozen=True)
class Reach:
    """The distance of a question beyond the runs, in the column where it is largest."""

    column: str = ""
    factor: float = 1.0
    asked: float = 0.0
    edge: float = 0.0
    end: str = ""

    @property
    def limit(self) -> float:
        """Factor up to which intervals kept their coverage."""
        return VERIFIED.get(self.column, 1.0)

    def __str__(self) -> str:
        if self.factor <= 1:
            return "the prediction lies inside the design"
        where = "wherever models were larger" if self.column == "N" else f"from a factor of {VERIFIED['D']:g} on"
        return (
            f"{self.column} {amount(self.asked)} lies {self.factor:.2g} times beyond the {self.end} run, "
            f"{amount(self.edge)}, and on public tables intervals were too narrow {where}"
        )


def reach(fit: Posterior, planned: Mapping[str, Any]) -> Reach:
    """Return how far planned sizes and tokens lie beyond the runs of a fit."""
    found = []
    for column in VERIFIED:
        if planned.get(column) is None or column not in fit.model.design.levels:
            continue
        asked, seen = np.asarray(planned[column], float), fit.model.design.levels[column]
        for end, edge, to in (("largest", seen.max(), asked.max()), ("smallest", seen.min(), asked.min())):
            factor = to / edge if end == "largest" else edge / to if to > 0 else np.inf
            found.append(Reach(column, round(float(factor), 6), float(to), float(edge), end))
    beyond = [r for r in found if r.factor > r.limit]
    return (
        max(beyond, key=lambda r: r.factor / r.limit) if beyond else max(found, key=lambda r: r.factor, default=Reach())
    )


def cautions(fit: Posterior, **planned: Any) -> list[str]:
    """Return the reasons against any answer of a fit about planned sizes and tokens."""
    found, mixing = [], convergence(fit)
    if mixing is not None and mixing.remedy:
        found.append(f"the fit did not converge ({mixing}): do not act on this answer; {mixing.remedy}")
    farthest = [reach(fit, {column: value}) for column, value in planned.items()]
    return found + [str(beyond) for beyond in farthest if beyond.factor > beyond.limit]


def cautioned[Q: Quantity](fit: Posterior, answer: Q, **planned: Any) -> Q:
    """Return an answer with its cautions; `planned` are the ``N`` and ``D`` of the answer, if it has any."""
    found = cautions(fit, **planned)
    if (prior := prior_share(fit, answer.draws)).share > MOST_PRIOR:
        found.append(str(prior))
    return replace(answer, cautions=(*answer.cautions, *found))
