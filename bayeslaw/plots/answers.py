"""Figures of single answers: predictions and decisions."""

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import level
from bayeslaw.decisions.critical_ratio import CriticalRatio
from bayeslaw.plots import style
from bayeslaw.posterior.losses import finer
from bayeslaw.posterior.quantity import Quantity

__all__ = ["plot_critical_ratio", "plot_intervals", "plot_quantity", "plot_ratios"]


@checked
def plot_quantity(q: Quantity, ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot a quantity: its median and band along its longest numeric dim, or its density if it has no numeric dim.

    Parameters
    ----------
    q : Quantity
        Any prediction or decision.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the band (equal-tailed).
    """
    ax = style.axes_or_new(ax)
    numeric = [d for d in style.labels(q.draws) if q.draws.sizes[d] > 1 and np.issubdtype(q.draws[d].dtype, np.number)]
    unit = f" ({q.unit})" if q.unit not in ("", "1") else ""
    words = f"{q.name.replace('_', ' ')}{unit}"
    if not numeric:
        for colour, (label, part) in zip(style.colours(), style.each(q.draws), strict=False):
            style.density(ax, part, colour, label, prob)
        ax.set(xlabel=words, ylabel="posterior density")
        return style.finish(ax, q.about(prob), f"dot: median, bar: {level(prob)}")
    along = max(numeric, key=lambda d: q.draws.sizes[d])
    q = finer(q, along)
    for colour, (label, part) in zip(style.colours(), style.each(q.draws, along), strict=False):
        style.band(ax, part, along, colour, label, prob)
    style.scale(ax, q.draws[along].values)
    ax.set(xlabel=style.axis(along), ylabel=words)
    return style.finish(ax, q.about(prob), f"line: median, band: {level(prob)}")


@checked
def plot_critical_ratio(ratio: CriticalRatio, ax: Axes | None = None, title: str = "", prob: float = CI_PROB) -> Axes:
    """Plot the posterior of a critical ratio, close up; the strip above it shows where it lies between 0 and 1.

    The grey part of the strip is the searched range; draws without a limit inside it lie at its ends.
    """
    ax = style.axes_or_new(ax)
    low, high = (float(v) for v in ratio.draws.quantile([0.002, 0.998]))
    middle, half = (low + high) / 2, max(0.65 * (high - low), 0.02)
    ends = (max(middle - half, 0.0), min(middle + half, 1.0))
    strip = ax.inset_axes((0.0, 1.04, 1.0, 0.035))
    strip.axvspan(float(ratio.low), float(ratio.high), color="0.85", lw=0)
    for colour, (label, part) in zip(style.colours(), style.each(ratio.draws), strict=False):
        style.density(ax, part, colour, label, prob, bins=np.linspace(*ends, 41))
        strip.axvspan(*style.quantiles(part, prob)[[0, 2]], color=colour, lw=1)
    strip.set(xlim=(0, 1), ylim=(0, 1), xticks=[], yticks=[])
    strip.spines[:].set_color("0.7")
    ax.set(xlabel="critical domain share", ylabel="posterior density", xlim=ends)
    ax.locator_params("x", nbins=5)
    answer = str(ratio.text(prob).item()) if not style.labels(ratio.draws) else ""
    return style.finish(ax, "\n".join(line for line in (title, answer) if line), pad=14, loc="best")


@checked
def plot_ratios(
    ratios: Mapping[str, Mapping[str, CriticalRatio]],
    safe: Mapping[str, Mapping[str, float]] | None = None,
    ax: Axes | None = None,
    prob: float = CI_PROB,
) -> Axes:
    """Plot critical ratios on one axis from 0 to 1: one row for each place, one colour for each limit.

    Shares outside the searched range are grey.

    Parameters
    ----------
    ratios : mapping of str to mapping of str to CriticalRatio
        By limit, then by place, such as a model size; the first place is the lowest row.
    safe : mapping, optional
        Shares that are safe for a new run, by limit and place; each is marked with a bar.
    ax, prob
        See `plot_quantity`.
    """
    ax, safe = style.axes_or_new(ax), safe or {}
    places = list(dict.fromkeys(place for of in ratios.values() for place in of))
    every = [ratio for of in ratios.values() for ratio in of.values()]
    for ends in ((0, min(float(r.low) for r in every)), (max(float(r.high) for r in every), 1)):
        ax.axvspan(*ends, color="0.93", lw=0, zorder=0)
    each = zip(style.offsets(len(ratios)), style.colours(), style.markers(), ratios.items(), strict=False)
    for offset, colour, marker, (limit, of) in each:
        height = np.array([places.index(place) for place in of]) + offset
        low, middle, high = np.transpose([style.quantiles(ratio.draws, prob) for ratio in of.values()])
        ax.hlines(height, low, high, color=colour, lw=2)
        ax.plot(middle, height, marker, color=colour, ms=5, ls="", label=limit)
        ax.plot([safe.get(limit, {}).get(p, np.nan) for p in of], height, "|", color=colour, ms=9, mew=2)
    ax.set_yticks(range(len(places)), [style.plain(place) for place in places])
    ax.set(xlim=(0, 1), ylim=(-0.6, len(places) - 0.4), xlabel=style.axis("domain_share"))
    return style.finish(ax, note=f"dot: median, line: {level(prob)}, bar: safe for a new run")


@checked
def plot_intervals(
    answers: Mapping[str, xr.DataArray], ax: Axes | None = None, title: str = "", prob: float = CI_PROB
) -> Axes:
    """Plot one answer of several fits: one row per fit, with median and interval.

    Parameters
    ----------
    answers : mapping of str to DataArray
        Draws by the name of the fit, all in one unit.
    title : str
        Title of the axes.
    ax, prob
        See `plot_quantity`.
    """
    ax = style.axes_or_new(ax)
    for height, (colour, draws) in enumerate(zip(style.colours(), answers.values(), strict=False)):
        low, middle, high = style.quantiles(draws, prob)
        ax.plot([low, high], [height, height], color=colour, lw=3, alpha=0.7, solid_capstyle="butt")
        ax.plot(middle, height, "o", color=colour, mec="white", ms=6)
    ax.set_yticks(range(len(answers)), [style.plain(name) for name in answers])
    ax.set_ylim(len(answers) - 0.5, -0.5)
    ax.locator_params("x", nbins=4)
    return style.finish(ax, title, f"dot: median, bar: {level(prob)}")
