"""What the D-CPT paper requires of a law, as posterior probabilities.

Source: Que et al. 2024, arXiv:2406.01375, section 3: adaptability, explicit trends, implicit trend, consistency. The
paper judges a form by its formula and its fitted coefficients; here every posterior draw is judged, on a grid of the
design, from the losses alone.
"""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw import models
from bayeslaw.base.arguments import checked, numbers
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.errors import LawError, RangeError, shown, unknown_name
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.prediction import thinned
from bayeslaw.spec.ranges import inside

__all__ = ["requirements"]

LEVELS = 9
"""Levels of each column between which losses are compared."""

LEAST_DIFFERENCE = 1e-9
"""Nats: smaller differences are none."""

SHARE = "domain_share"

AMOUNTS = ("N", "D")
"""Columns in which, at a fixed share, a consistent law is a sum of a constant and powers."""


@checked
def requirements(fit: Posterior, **ranges: Any) -> pd.DataFrame:
    """Return how probable it is that a fitted law, without its misfit, meets the four requirements of the D-CPT paper.

    Parameters
    ----------
    fit : Fit
        A posterior. One that was fitted with a shape prior (``monotone="observed"``, the default) was told the explicit
        trends over the observed range; to ask the data, fit with ``monotone=None``.
    **ranges : tuple of float
        Smallest and largest value of a column (``N``, ``D``, ``domain_share``), in place of the measured ones.

    Returns
    -------
    pandas.DataFrame
        One row per requirement, validation set and group: ``requirement``, ``along``, ``eval``, labels of groups,
        ``probability`` that it holds everywhere on the grid and ``worst``, the posterior median of the cell that is
        farthest from it or, if all cells meet it, nearest to failing it (nats; see Notes).

    Raises
    ------
    LawError
        The law is about many sources.
    RangeError, UnknownName
        A range is no interval, or of no column of the law.

    Notes
    -----
    adaptability
        The loss is finite at every domain share from 0 to 1; `worst` is 0, or infinite.
    explicit trend
        The loss falls in each covariate the card names; `worst` is its largest rise between neighbouring levels.
    implicit trend
        It falls faster in one covariate where another is larger; `worst` is the largest amount by which a fall
        shrinks from one level to the next.
    consistency
        At a fixed share the law is Chinchilla's: size and tokens add up, and each of them falls as a constant plus a
        power; `worst` is the largest deviation between neighbouring levels of N, of D, and of both.

    Cells outside the range for which the law is claimed count for adaptability only. N and D have levels at equal
    ratios, over which a power falls by drops of equal ratios; a column that coefficients vary by is held at each group.
    """
    law, design = fit.model.law, fit.model.design
    if law.vectors:
        known = models.such_as(lambda law: SHARE in law.columns)
        raise LawError(
            f"the requirements need one domain share, and {law.name} has many sources: fit a law such as {known} to "
            "the runs of one target domain"
        )
    free = [c for c in law.columns if c not in design.groups]
    for name in ranges:
        if name not in free:
            raise unknown_name(f"column of {law.name} with a range", name, free)
    grid = {c: _levels(fit, c, ranges.get(c)) for c in free}
    some, found = thinned(fit.without_misfit()), []
    for labels in product(*design.groups.values()):
        group = dict(zip(design.groups, labels, strict=True))
        for (requirement, along), worst in _worst(some, grid, group).items():
            holds = worst < -LEAST_DIFFERENCE if requirement.endswith("trend") else worst <= LEAST_DIFFERENCE
            summary = zip(fit.evals, holds.mean(SAMPLE).values, worst.median(SAMPLE).values, strict=True)
            found += [(requirement, along, e, *group.values(), p, w) for e, p, w in summary]
    return pd.DataFrame(found, columns=["requirement", "along", "eval", *design.groups, "probability", "worst"])


def _levels(fit: Posterior, column: str, ends: tuple[float, float] | None) -> np.ndarray:
    if ends is None:
        seen = fit.model.design.rows[column].values[fit.model.design.measured.any("eval").values]
        ends = seen.min(), seen.max()
    values = numbers(ends, f"the range of {column}").ravel()
    lowest, highest = {"N": (1e-9, np.inf), "D": (1e-9, np.inf), SHARE: (0, 1)}.get(column, (-np.inf, np.inf))
    if len(values) != 2 or not lowest <= values[0] <= values[1] <= highest or not np.isfinite(values).all():
        raise RangeError(f"the range of {column} is {shown(ends)}: give its smallest and its largest value")
    count = LEVELS if values[1] > values[0] else 1
    low, high = values
    return np.geomspace(low, high, count) if column in AMOUNTS else np.linspace(low, high, count)


def _worst(fit: Posterior, grid: dict[str, np.ndarray], group: dict[str, Any]) -> dict[tuple[str, str], xr.DataArray]:
    """Return the largest violation of every requirement, dims chain, draw, eval; in nats."""
    law, result = fit.model.law, {}
    if SHARE in grid:
        everywhere = fit.loss(fit.columns(**grid | {SHARE: np.linspace(0, 1, LEVELS)}, **group))
        finite = xr.ufuncs.isfinite(everywhere).all([d for d in everywhere.dims if d not in (*SAMPLE, "eval")])
        result["adaptability", SHARE] = xr.where(finite, 0.0, np.inf)
    asked = fit.columns(**grid, **group)
    columns = fit.model.design.with_evals(asked)
    loss = fit.loss(asked).where(inside(law, columns))
    covariates = law.inputs(columns, {c: 1.0 for c in law.covariates})
    dims = {name: law.covariates[name].columns(name)[0] for name in law.covariates}
    varies = [name for name, dim in dims.items() if len(grid.get(dim, ())) > 1 and dim in covariates[name].dims]

    def step(values: xr.DataArray, name: str) -> xr.DataArray:
        direction = xr.ufuncs.sign(covariates[name].diff(dims[name], label="lower"))
        change: xr.DataArray = values.diff(dims[name], label="lower") * direction.reset_coords(drop=True)
        return change

    for name in law.falls_in:
        if name in varies:
            result["explicit trend", name] = step(loss, name)
    for name, faster in law.falls_faster:
        if name in varies and faster in varies:
            result["implicit trend", f"{name}, {faster}"] = step(step(loss, name), faster)
    amounts = [name for name in AMOUNTS if name in varies]
    departures = [_off_a_power(loss, name) for name in amounts]
    if len(amounts) > 1:
        departures.append(abs(loss.diff(AMOUNTS[0]).diff(AMOUNTS[1])))
    worst = {k: _largest(v) for k, v in result.items()}
    if departures:
        each = xr.concat([_largest(d) for d in departures], "of")
        worst["consistency", ", ".join(amounts)] = each.max("of")
    return worst


def _off_a_power(loss: xr.DataArray, dim: str) -> xr.DataArray:
    """Return by how much every drop differs from the one that the two before it announce, over equal ratios."""
    drop = -loss.diff(dim)
    first, second, third = (drop.isel({dim: slice(i, drop.sizes[dim] - 2 + i)}).drop_vars(dim) for i in range(3))
    off: xr.DataArray = abs(third - second**2 / first.where(first != 0))
    return off


def _largest(values: xr.DataArray) -> xr.DataArray:
    return values.max([d for d in values.dims if d not in (*SAMPLE, "eval")]).reset_coords(drop=True)
