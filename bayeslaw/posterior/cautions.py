"""Reasons against an answer: a fit that did not converge, a place far beyond the runs, a prior that decides it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtri
from scipy.stats import rankdata

from bayeslaw.base.arguments import some_numbers
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import amount
from bayeslaw.posterior.convergence import convergence
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.posterior.sensitivity import LEAST_CONTRACTION, contraction, unit_cells, weighable

__all__ = ["VERIFIED", "Reach", "cautioned", "cautions", "reach"]

VERIFIED = {"N": 1.0, "D": 1.5}
"""Factor beyond the runs up to which intervals kept their coverage on held-out runs (docs/studies/held_out.md). On no
table did they keep it for larger models."""

DECIDED_VARIANCE = 0.5
"""Part of an answer's posterior variance, explained by unlearned coefficients, from which their priors decide it."""

MOST_REGRESSED = 1000
"""Draws, and elements of an answer, from which that part is estimated."""

ROUNDING = 1e-6
"""Relative difference that counts as none."""


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
        asked, seen = some_numbers(planned[column], column), fit.model.design.levels[column]
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
    if names := _deciding(fit, answer):
        found.append(f"the answer rests on the prior of {' and of '.join(names)}, which the runs hardly inform")
    return replace(answer, cautions=(*answer.cautions, *found))


@kept
def _unlearned(fit: Posterior) -> dict[str, xr.DataArray]:
    """Return the draws, in prior units, of every unlearned coefficient by its name in words."""
    cells = unit_cells(fit) if weighable(fit) else ()
    return {label: z for label, _, z in cells if contraction(z) < LEAST_CONTRACTION}


def _deciding(fit: Posterior, answer: Quantity) -> list[str]:
    """Return the unlearned coefficients that explain at least half of an answer's variance, strongest first.

    By a regression of normal scores (skewed and saturating answers count) on the coefficients and their products.
    """
    unlearned = _unlearned(fit)
    if not unlearned or any(answer.draws.sizes.get(d) != fit.posterior.sizes[d] for d in SAMPLE):
        return []
    step = -(-fit.draws // MOST_REGRESSED)
    x = _scores(np.stack([z.transpose(*SAMPLE).values.ravel()[::step] for z in unlearned.values()], axis=1))
    y = answer.draws.transpose(*SAMPLE, ...).values.reshape(fit.draws, -1)[::step]
    y = y[:, :: -(-y.shape[1] // MOST_REGRESSED)].astype(float)
    y = y[:, np.isfinite(y).all(axis=0) & (y.std(axis=0) > ROUNDING * abs(y.mean(axis=0)))]
    y, one, other = _scores(y), *np.triu_indices(x.shape[1])
    terms = np.column_stack([np.ones(len(x)), x, x[:, one] * x[:, other]])
    terms = terms if terms.shape[1] < len(x) / 4 else terms[:, : x.shape[1] + 1]
    free = len(x) - terms.shape[1]
    if not y.shape[1] or free < len(x) / 2:
        return []
    left = (y - terms @ np.linalg.lstsq(terms, y, rcond=None)[0]).var(axis=0) * (len(x) - 1) / free
    worst = int(left.argmin())
    if left[worst] > 1 - DECIDED_VARIANCE:
        return []
    strength = abs(x.T @ y[:, worst]) / len(x)
    order = np.argsort(-strength)
    return [list(unlearned)[i] for i in order[:3] if i == order[0] or strength[i] ** 2 > DECIDED_VARIANCE / 2]


def _scores(values: np.ndarray) -> np.ndarray:
    """Return the normal scores of every column: standard normal quantiles of its ranks."""
    return np.asarray(ndtri((rankdata(values, axis=0) - 0.5) / len(values)))
