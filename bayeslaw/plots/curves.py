"""Figures of losses along one column: steps, tokens, shares, windows."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB, SAMPLE
from bayeslaw.base.numbers import level
from bayeslaw.base.words import place
from bayeslaw.decisions.schedule import check_law, curve
from bayeslaw.declare.laws import AREAS
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.plots import style
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import Schedule

__all__ = ["plot_along", "plot_curve", "plot_turning_point"]

LINE_POINTS = 201
"""Points of a line."""


@checked
def plot_curve(
    fit: Posterior,
    run: str,
    axes: Sequence[Axes] | np.ndarray | None = None,
    *,
    runs: Runs | None = None,
    schedule: Schedule | None = None,
    before: Schedule | None = None,
    goal: str | None = None,
    new_run: bool = False,
    prob: float = CI_PROB,
) -> np.ndarray:
    """Plot a training curve: the learning rate above, measured losses and their band below, over the same steps.

    Points that the fit did not use are hollow.

    Parameters
    ----------
    fit : Fit
        A posterior of a law of training curves.
    run : str
        The run.
    axes : pair of matplotlib Axes, optional
        Axes of the rate and the loss; by default new ones.
    runs : Runs, optional
        The runs that hold `run`, if it was not fitted; see `bayeslaw.read_curves`.
    schedule : Schedule, optional
        The schedule of the run, to draw rate and band at every step; by default at the logged steps, which blurs a jump
        of the rate between two of them.
    before : Schedule, optional
        The schedule of pre-training, with `schedule`.
    goal : str, optional
        The validation set to draw; by default all.
    new_run : bool
        Draw the band of a single new run, with its error, instead of the mean law's.
    prob : float
        Probability of the band (equal-tailed).

    Returns
    -------
    array of Axes
        The axes of the rate and of the loss.

    Raises
    ------
    LawError
        The law has no schedule.
    UnknownName
        The runs have no such run, or the fit no such validation set.
    """
    check_law(fit)
    measured = fit.model.runs if runs is None else runs
    if run not in (names := measured.table["run"].unique()):
        raise unknown_name("run", run, names)
    if goal not in (None, *fit.evals):
        raise unknown_name("validation set", goal, fit.evals)
    rows = measured.dataset.isel(row=(measured.table["run"] == run).to_numpy())
    step = rows["step"].values.astype(int)
    asked = dict.fromkeys([*fit.model.law.columns, *fit.model.design.groups])
    if schedule is None:
        along: dict[str, Any] = {
            c: xr.DataArray(rows[c].values, dims="step", coords={"step": step}) for c in asked if c in rows
        }
        draws, rate = predict(fit, new_run=new_run, **along).draws, pd.Series(rows["lr"].values, step)
    else:
        same = {c: rows[c].values[0] for c in asked if c in rows and c not in AREAS}
        draws = curve(fit, schedule, before=before, new_run=new_run, **same).draws
        rate = pd.Series(schedule.lr, np.arange(1, len(schedule) + 1))
    fitted = fit.model.runs.table
    counted = xr.DataArray(np.isin(step, fitted.loc[fitted["run"] == run, "step"]), dims="row")
    if axes is None:
        size = (style.COLUMN, 1.4 * style.HEIGHT)
        axes = plt.subplots(2, figsize=size, sharex=True, height_ratios=[1, 3], layout="constrained")[1]
    above, below = style.given_axes(axes, 2, "of the rate and of the loss")
    above.fill_between(rate.index, rate, color="0.8", lw=0)
    above.plot(rate, color="0.35", lw=1)
    above.set(ylabel="rate", ylim=(0, None))
    above.locator_params("y", nbins=2)
    style.losses(below, draws, rows, counted, "step", prob, fit.model.unit, goal=goal, size=10)
    what = "a new run" if new_run else f"the {fit.mean_name}"
    style.finish(above, run)
    style.finish(below, note=f"line: median, band: {level(prob)}, {what}")
    return np.array([above, below])


@checked
def plot_along(
    fit: Posterior,
    along: str,
    ax: Axes | None = None,
    *,
    best: Quantity | None = None,
    prob: float = CI_PROB,
    **at: Any,
) -> Axes:
    """Plot the loss of every validation set along one column of the law, with the measurements there.

    Parameters
    ----------
    fit : Fit
        The posterior.
    along : str
        The column: ``"duration"``, ``"D"``, ``"N"``, ...
    best : Quantity, optional
        A place on that axis to mark with its interval, such as ``fit.best_duration()``.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.
    **at
        One value of each other column; the figure shows the measurements made there.

    Raises
    ------
    UnknownName
        The law has no such column.
    """
    x, design = _line(fit, along), fit.model.design
    draws = predict(fit, **{along: x, **at}).draws
    ax = style.axes_or_new(ax)
    here = np.ones(design.rows.sizes["row"], bool)
    for name, value in at.items():
        values = design.rows[name].values
        here &= np.isclose(values, value) if values.dtype.kind in "fiu" else values == value
    style.losses(ax, draws, design.rows.isel(row=here), design.measured.isel(row=here), along, prob, fit.model.unit)
    if best is not None:
        style.mark(ax, best, prob)
    style.scale(ax, x)
    return style.finish(ax, place(at), f"line: median, band: {level(prob)}")


@checked
def plot_turning_point(
    fit: Posterior, along: str = "D", ax: Axes | None = None, *, goal: str = "general", prob: float = CI_PROB, **at: Any
) -> Axes:
    """Plot a loss that rises and then falls, and its turning point: the peak of every draw's line.

    Parameters
    ----------
    fit : Fit
        The posterior.
    along : str
        The column along which the loss turns.
    goal : str
        The validation set that turns.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.
    **at
        One value of each other column.

    Raises
    ------
    RangeError
        Another column has several values.
    UnknownName
        The fit has no such validation set or column.

    Notes
    -----
    A peak at an end of the measured range is no turning point; the legend gives the share of draws that turn inside it.
    """
    if goal not in fit.evals:
        raise unknown_name("validation set", goal, fit.evals)
    x = _line(fit, along)
    line = predict(fit, **{along: x, **at}).draws.sel(eval=goal, drop=True)
    if several := [str(dim) for dim in line.dims if dim not in (*SAMPLE, along)]:
        raise RangeError(f"{several[0]} has several values: give one, since a figure has one line")
    peak = Censored("turning_point", line.idxmax(along), along, fit.mean_name, low=x[0], high=x[-1])
    return plot_along(fit, along, ax, best=peak, prob=prob, **at)


def _line(fit: Posterior, along: str) -> np.ndarray:
    """Return points between the smallest and largest measured value of a column."""
    if along not in fit.model.law.columns:
        raise unknown_name(f"column of {fit.model.law.name}", along, fit.model.law.columns)
    return style.spaced(fit.model.design.rows[along].values, LINE_POINTS)
