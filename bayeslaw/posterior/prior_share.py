"""The prior's share of the information on an answer, and the coefficients whose priors contribute it.

Power scaling (arXiv:2107.14054) of the answer itself: where the priors of coefficients count a little more, the
variance of an answer y falls by cov(y, z)^2 for each coefficient z in prior units. Relative to that variance it is
1 where the runs say nothing of y and 0 where they alone decide it: in a linear law, the prior's part of the precision.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import ndtri
from scipy.stats import rankdata

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.posterior.draws import Posterior, kept
from bayeslaw.posterior.identified import untold_coefficients
from bayeslaw.posterior.sensitivity import Cell, unit_cells, weighable

__all__ = ["PriorShare", "prior_share"]

MOST_DRAWS = 1000
"""Draws, and elements of an answer, from which the share is estimated."""

ROUNDING = 1e-6
"""Relative difference that counts as none."""

NAMED = 0.5
"""Part of the largest share of a coefficient from which another one is named too."""

LEAST = 0.05
"""Part of it from which one is named that says how the loss varies with what never varied."""

MOST_NAMED = 3

MOST_PRIOR, MOST_UNTOLD = 0.5, 0.25
"""Share above which an answer rests on its priors: of any, and of coefficients that the runs say nothing of. A misfit
widens the answer along with them, which lowers their share."""


@dataclass(frozen=True)
class PriorShare:
    """The prior's share of the information on an answer, the coefficients whose priors bring it in, and why.

    `constant` names the columns, with their value, that never varied in the runs although these coefficients are about
    how the loss varies with them.
    """

    share: float = 0.0
    names: tuple[str, ...] = ()
    constant: str = ""

    @property
    def limit(self) -> float:
        """Share up to which the runs decide the answer."""
        return MOST_UNTOLD if self.constant else MOST_PRIOR

    def __str__(self) -> str:
        of: dict[str, list[str]] = {}
        for name, where in (label.split(" ", 1) for label in self.names):
            of.setdefault(where, []).append(name)
        whose = " and ".join(f"{' and '.join(names)} {where}" for where, names in of.items())
        if self.constant:
            return f"the answer depends on the prior of {whose}: the runs have {self.constant}"
        return f"the answer depends more on the prior of {whose} than on the runs"


def prior_share(fit: Posterior, draws: xr.DataArray) -> PriorShare:
    """Return the prior's share of what a fit knows of an answer; the largest of all its elements.

    The groups of a pooled coefficient share their prior; only the one that counts most does. What chance makes of so
    many coefficients is taken off: the same sum for draws half a chain apart.
    """
    if not weighable(fit) or any(draws.sizes.get(d) != fit.posterior.sizes[d] for d in SAMPLE):
        return PriorShare()
    cells, z = _in_prior_units(fit)
    step = -(-fit.draws // MOST_DRAWS)
    few = draws.transpose(*SAMPLE, ...).isel(draw=slice(None, None, step)).values
    few = few if few.ndim > len(SAMPLE) else few[..., None]
    element = np.arange(0, few[0, 0].size, -(-few[0, 0].size // MOST_DRAWS))
    place: tuple[Any, ...] = (..., *np.unravel_index(element, few.shape[2:]))
    y = few[place].astype(float)
    flat = y.reshape(-1, y.shape[-1])
    y = y[..., np.isfinite(flat).all(axis=0) & (flat.std(axis=0) > ROUNDING * abs(flat.mean(axis=0)))]
    if not (cells and y.size):
        return PriorShare()
    scores = _scores(y.reshape(-1, y.shape[-1]))
    apart = np.roll(scores.reshape(y.shape), y.shape[1] // 2, axis=1).reshape(scores.shape)
    each, chance = (_shares(of, z.reshape(len(scores), -1)) for of in (scores, apart))
    by, role = fit.model.by, dict(zip(fit.evals, fit.model.design.roles, strict=True))
    pooled: dict[tuple[str, str], list[int]] = {}
    for i, cell in enumerate(cells):
        shared = role[cell.eval] if by.get(cell.coefficient) == "eval" else cell.eval
        pooled.setdefault((cell.coefficient, shared if cell.coefficient in by else cell.label), []).append(i)
    total = sum((each[i] - chance[i]).max(axis=0) for i in pooled.values())
    worst = int(np.argmax(total))
    own = each[:, worst]
    order = [int(i) for i in np.argsort(-own)[:MOST_NAMED] if own[i] >= NAMED * own.max()]
    constant = ""
    for where, names in untold_coefficients(fit).items():
        about = [int(i) for i in np.argsort(-own) if cells[i].coefficient in names and own[i] >= LEAST * own.max()]
        if set(about) & set(order):
            order, constant = about[:MOST_NAMED], where
    return PriorShare(float(total[worst]), tuple(cells[i].label for i in order), constant)


@kept
def _in_prior_units(fit: Posterior) -> tuple[list[Cell], np.ndarray]:
    """Return every coefficient in every group and its draws in prior units (chain, draw, cell)."""
    cells, step = list(unit_cells(fit)), -(-fit.draws // MOST_DRAWS)
    draws = [cell.draws.transpose(*SAMPLE).isel(draw=slice(None, None, step)).values for cell in cells]
    return cells, np.stack(draws, axis=-1) if draws else np.empty((0, 0, 0))


def _shares(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return squared covariances over the variance of y; rows cells, columns elements of the answer."""
    z = z - z.mean(axis=0)
    covariance = z.T @ y / len(y)
    shares: np.ndarray = covariance**2 / y.var(axis=0)
    return shares


def _scores(values: np.ndarray) -> np.ndarray:
    """Return the normal scores of every column, standard normal quantiles of its ranks: skewed answers count alike."""
    return np.asarray(ndtri((rankdata(values, axis=0) - 0.5) / len(values)))
