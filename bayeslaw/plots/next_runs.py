"""The figure of the next run: what candidates are worth for their cost, and the runs made so far."""

from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.plots import style
from bayeslaw.validation.proposals import NextRuns

__all__ = ["plot_next_runs"]

AXES = ("domain_share", "duration", "N", "D")
"""Columns that an axis may have, the first for the first axis."""


@checked
def plot_next_runs(found: NextRuns, ax: Axes | None = None) -> Axes:
    """Plot the candidates over two of their columns; the larger, the more they narrow the interval for their cost.

    Of candidates at one place the best is shown; hollow points tell nothing that the estimate can see. Crosses are the
    runs made so far, and the chosen ones have their number in the batch.

    Parameters
    ----------
    found : NextRuns
        The result of `Fit.next_runs`.
    ax : matplotlib Axes, optional
        Where to draw.
    """
    ax = style.axes_or_new(ax)
    table = found.frame()
    known = [c for c in (*AXES, *table.filter(like="weight_")) if c in table and table[c].nunique() > 1]
    along, up = (*known, "cost", "cost")[:2]
    best = table.sort_values("reduction_per_cost").drop_duplicates([along, up], keep="last")
    worth = best["reduction_per_cost"].where(best["reduction"] > best["reduction_error"])
    ax.scatter(best[along], best[up], s=36, facecolors="none", edgecolors="0.75", lw=0.7)
    size = 12 + 120 * (worth / worth.max()).clip(lower=0)
    ax.scatter(best[along], best[up], s=size, color=style.COLOURS[0], alpha=0.8, lw=0)
    if {along, up} <= set(found.runs):
        ax.plot(found.runs[along], found.runs[up], "x", color="0.4", ms=4, mew=0.8, label="runs so far")
    for number, (_, run) in enumerate(found.chosen.iterrows(), 1):
        ax.annotate(
            str(number), (run[along], run[up]), xytext=(6, 6), textcoords="offset points", fontsize=0.8 * style.FONT
        )
    for column, set_scale in ((along, ax.set_xscale), (up, ax.set_yscale)):
        values = table[column].to_numpy(float)
        if values.min() > 0 and values.max() / values.min() > style.LOG_RATIO:
            set_scale("log")
    ax.set(xlabel=style.axis(along), ylabel=style.axis(up))
    return style.finish(
        ax, found.answer.name.replace("_", " "), f"The larger, the narrower per {found.cost_unit.removesuffix('s')}."
    )
