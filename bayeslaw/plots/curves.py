"""Figures of losses along one thing that varies: steps, tokens, shares, windows."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayeslaw.base.errors import unknown_name
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.words import place
from bayeslaw.decisions.schedule import check_law, curve
from bayeslaw.declare.laws import AREAS
from bayeslaw.plots.style import axes_or_new, axis, band, colours, finish, mark, markers, points
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.losses import predict
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.tables.runs import Runs
from bayeslaw.tables.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_along", "plot_curve", "plot_turning_point"]

FINE = 201
"""Points of a line."""


def plot_curve(
    fit: Posterior,
    run: str,
    axes: Any = None,
    *,
    runs: Runs | None = None,
    schedule: Schedule | None = None,
    before: Schedule | None = None,
    goal: str | None = None,
    new_run: bool = False,
    prob: float = CI_PROB,
) -> np.ndarray:
    """Plot a training curve: the learning rate above, measured losses and their band below, over the same steps.

    Filled points were fitted, hollow ones were not.

    Parameters
    ----------
    fit : Fit
        A posterior of a law of training curves.
    run : str
        The run.
    axes : pair of matplotlib Axes, optional
        Where to draw the rate and the loss.
    runs : Runs, optional
        Where the run is, if it was not fitted; see `bayeslaw.read_curves`.
    schedule : Schedule, optional
        The schedule of the run: the rate and the band are then drawn along all of it. Left out: at the logged steps,
        which blurs a jump of the rate between two of them.
    before : Schedule, optional
        The schedule of pre-training, with `schedule`.
    goal : str, optional
        The validation set to draw; left out: all.
    new_run : bool
        The band of one new run, with its error, instead of the mean law's.
    prob : float
        Probability of the band (equal-tailed).

    Returns
    -------
    array of Axes
        That of the rate and that of the loss.

    Raises
    ------
    LawError
        The law has no schedule.
    UnknownName
        There is no such run or validation set.
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
    counted = np.isin(step, fitted.loc[fitted["run"] == run, "step"])
    if axes is None:
        import matplotlib.pyplot as plt

        axes = plt.subplots(2, figsize=(5, 4), sharex=True, height_ratios=[1, 3], layout="constrained")[1]
    above, below = axes
    above.fill_between(rate.index, rate, color="0.8", lw=0)
    above.plot(rate, color="0.35", lw=1)
    above.set(ylabel="rate", ylim=(0, None))
    above.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    above.yaxis.get_offset_text().set_fontsize(7)
    for colour, marker, name in zip(colours(), markers(), fit.evals, strict=False):
        if goal not in (None, name):
            continue
        band(below, draws.sel(eval=name), "step", colour, f"{name} loss", prob)
        points(below, step, rows["loss"].sel(eval=name).values, counted, colour, marker, size=10)
    below.set(xlabel="step", ylabel="loss (nats per token)")
    what = "a new run" if new_run else "the mean law"
    finish(above, f"{run}; band: {prob:.0%}, {what}")
    finish(below)
    return np.array([above, below])


def plot_along(
    fit: Posterior,
    along: str,
    ax: "Axes | None" = None,
    *,
    best: Quantity | None = None,
    prob: float = CI_PROB,
    **at: Any,
) -> "Axes":
    """Plot the loss of every validation set along one column of the law, with what was measured there.

    Parameters
    ----------
    fit : Fit
        The posterior.
    along : str
        The column: ``"duration"``, ``"D"``, ``"N"``, ...
    ax : matplotlib Axes, optional
        Where to draw.
    best : Quantity, optional
        A place on that axis to mark with its interval, such as ``fit.best_duration()``.
    prob : float
        Probability of the band (equal-tailed).
    **at
        The other columns, one value each; measurements made elsewhere are left out.

    Raises
    ------
    UnknownName
        The law has no such column.
    """
    draws, design = predict(fit, **{along: _scan(fit, along), **at}).draws, fit.model.design
    ax = axes_or_new(ax)
    here = np.ones(design.rows.sizes["row"], bool)
    for name, value in at.items():
        values = design.rows[name].values
        here &= np.isclose(values, value) if values.dtype.kind in "fiu" else values == value
    x = design.rows[along].values[here]
    for colour, marker, name in zip(colours(), markers(), design.evals, strict=False):
        band(ax, draws.sel(eval=name).squeeze(drop=True), along, colour, f"{name} loss", prob)
        counts = design.measured.sel(eval=name).values[here]
        points(ax, x, design.rows["loss"].sel(eval=name).values[here], counts, colour, marker)
    if best is not None:
        mark(ax, best, prob)
    if _wide(*draws[along].values[[0, -1]]):
        ax.set_xscale("log")
    ax.set(xlabel=axis(along), ylabel="loss (nats per token)")
    return finish(ax, "; ".join(part for part in (place(at), f"band: {prob:.0%}") if part))


def plot_turning_point(
    fit: Posterior,
    along: str = "D",
    ax: "Axes | None" = None,
    *,
    goal: str = "general",
    prob: float = CI_PROB,
    **at: Any,
) -> "Axes":
    """Plot a loss that rises and falls again, and where it turns: the peak of every draw's line.

    Parameters
    ----------
    fit : Fit
        The posterior.
    along : str
        The column along which the loss turns.
    ax : matplotlib Axes, optional
        Where to draw.
    goal : str
        The validation set that turns.
    prob : float
        Probability of band and interval (equal-tailed).
    **at
        The other columns, one value each.

    Raises
    ------
    UnknownName
        The fit has no such validation set or column.

    Notes
    -----
    A peak at an end of the measured range is no turning point; the legend says how many draws turn inside it.
    """
    if goal not in fit.evals:
        raise unknown_name("validation set", goal, fit.evals)
    x = _scan(fit, along)
    line = predict(fit, **{along: x, **at}).draws.sel(eval=goal).squeeze(drop=True)
    peak = Censored("turning_point", line.idxmax(along), along, "mean law", low=x[0], high=x[-1])
    return plot_along(fit, along, ax, best=peak, prob=prob, **at)


def _scan(fit: Posterior, along: str) -> np.ndarray:
    """Return places between the ends of what was measured along a column, even in the logarithm over a wide range."""
    if along not in fit.model.law.columns:
        raise unknown_name(f"column of {fit.model.law.name}", along, fit.model.law.columns)
    values = fit.model.design.rows[along].values
    low, high = float(values.min()), float(values.max())
    return np.geomspace(low, high, FINE) if _wide(low, high) else np.linspace(low, high, FINE)


def _wide(low: float, high: float) -> bool:
    return low > 0 and high / low > 30
