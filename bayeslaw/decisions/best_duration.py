"""Best duration: how long to upsample a domain at the end of training (arXiv:2406.03476)."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.numbers import exact
from bayeslaw.decisions.goal import Goal
from bayeslaw.decisions.question import LINE_POINTS, minimise, open_columns, where
from bayeslaw.errors import RangeError
from bayeslaw.posterior.cautions import cautioned
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.quantity import Censored

__all__ = ["best_duration", "duration_frontier"]


def best_duration(
    fit: Posterior,
    *,
    goal: str | Mapping[str, float] | None = None,
    longest: float | None = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the share of the training, at its end, whose upsampling gives the smallest loss or error rate.

    Draws with the optimum at an end are kept there: `p_never` is the probability that upsampling does not help,
    `p_always` that a window longer than `longest` helps still more.

    Parameters
    ----------
    fit, domain, labels
        The posterior; target domain and ``{column: label}`` of other groups. Arrays give the result dims.
    goal : str or mapping, optional
        The benchmark, or ``{benchmark: importance}`` for a weighted mean; by default all count alike.
    longest : float, optional
        The longest window searched, a share of the training; by default the longest one of the runs.

    Returns
    -------
    Censored
        Shares of the training.

    Raises
    ------
    LawError, RangeError, UnknownName
        The law does not depend on a duration; `longest` is not a share, or an importance is below 0; a benchmark or a
        label does not exist.

    Notes
    -----
    Beyond the longest window of the runs only the form of the law supports the answer; the note says so.
    """
    wanted, asked = Goal.of(goal, fit.evals), where(labels, domain=domain)
    columns = open_columns(fit, asked, "duration")
    tried = float(fit.model.design.rows["duration"].max())
    high = tried if longest is None else float(longest)
    if not 0 < high <= 1:
        raise RangeError(f"longest is {high}: give a share of the training, above 0 and at most 1")

    grid = xr.DataArray(np.linspace(0.0, high, LINE_POINTS), dims="grid")
    found = minimise(lambda duration: wanted(fit.loss(columns.assign(duration=duration))), grid)
    best = Censored(
        "best_duration",
        found.transpose(*SAMPLE, ...),
        "1",
        fit.mean_name,
        {**asked, "goal": wanted.asked, "longest": high},
        f"windows beyond {exact(tried)} were not tried" if high > tried else "",
        low=0.0,
        high=high,
    )
    return cautioned(fit, best)


def duration_frontier(
    fit: Posterior,
    *,
    target: str,
    general: str,
    weights: Any = None,
    longest: float | None = None,
    domain: Any = None,
    labels: Mapping[str, Any] | None = None,
) -> Censored:
    """Return the best duration for every weight between a general benchmark and one of the upsampled domain.

    Losses at these durations are the frontier: no window is better for both.

    Parameters
    ----------
    fit, longest, domain, labels
        As in `best_duration`.
    target, general : str
        Benchmarks (or validation sets): of the upsampled domain, and of general ability.
    weights : array, optional
        Importances of the target in [0, 1]; by default 0, 0.1, ... 1.

    Returns
    -------
    Censored
        Dims chain, draw and ``weight``.

    Raises
    ------
    LawError, RangeError, UnknownName
        As in `best_duration`; a weight lies outside [0, 1], or both benchmarks are one.
    """
    if target == general:
        raise RangeError(f"target and general are both {target!r}: name two benchmarks for a frontier")
    shares = np.linspace(0, 1, 11) if weights is None else np.atleast_1d(np.asarray(weights, float))
    if not ((shares >= 0) & (shares <= 1)).all():
        raise RangeError(f"weights are {weights}: give weights of the target, from 0 to 1")
    place: Any = {"longest": longest, "domain": domain, "labels": labels}
    found = [best_duration(fit, goal={general: 1 - float(w), target: float(w)}, **place) for w in shares]
    draws = xr.concat([r.draws for r in found], xr.DataArray(shares, dims="weight", name="weight"))
    asked = {**where(labels, domain=domain), "target": target, "general": general, "longest": found[0].high}
    return replace(found[0], draws=draws.transpose(*SAMPLE, "weight", ...), inputs=asked)
