"""The style of all figures, and the marks in them.

Figures are as wide as a column of text or, with several panels, twice that; all their letters have one size. The legend
of axes says above them what their marks are, and its title what bands and bars mean; `panels.grid` writes both once.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import (
    AutoLocator,
    Formatter,
    LogFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    ScalarFormatter,
)

from bayeslaw.base.intervals import SAMPLE, levels
from bayeslaw.base.numbers import DIGITS, amount, short
from bayeslaw.declare.laws import Law
from bayeslaw.errors import ArgumentError, shown
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.tables.units import ERROR_RATE

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of Okabe and Ito, which colour-blind readers can tell apart."""

COLUMN, FULL = 4.9, 9.8
"""Widths of figures in inches: of a column of text, and of two."""

HEIGHT = 3.4
"""Height of a figure of one panel, in inches."""

FONT = 11
"""Size of all letters of a figure, in points: legible where a column is as wide as a telephone."""

LETTER = 0.082
"""Mean width of a letter, in inches."""

TICK = 0.75
"""Least room for the label of a tick of the x axis, in inches."""

MOST_LABELS = 6
"""A legend of more labels stands beside the axes."""

AXES = {
    "N": "N (parameters)",
    "D": "D (tokens)",
    "U": "U (unique tokens)",
    "domain_share": "domain share (of the tokens)",
    "duration": "upsampled window (share of the training)",
    "step": "step of the optimiser",
    "L": "loss before (nats per token)",
}
"""Labels of the axes of columns."""

LOG_RATIO = 30.0
"""An axis is logarithmic if the ratio of its ends is larger."""


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the given axes, or new ones of the usual size."""
    return plt.subplots(figsize=(COLUMN, HEIGHT), layout="constrained")[1] if ax is None else ax


def given_axes(axes: Any, number: int, of: str) -> list[Axes]:
    """Return the axes that a caller gave; raise ArgumentError unless they are that many."""
    found = np.ravel(np.asarray(axes, object)).tolist()
    if len(found) != number or not all(isinstance(ax, Axes) for ax in found):
        raise ArgumentError(f"axes is {shown(axes)}: give {number} axes of matplotlib, {of}")
    return found


def finish(ax: Axes, title: str = "", note: str = "", pad: float = 6, **legend: Any) -> Axes:
    """Give axes the house style: title, legend above or (of many labels) beside, ticks without offsets.

    `note` says what the marks of the legend mean and stands at its head; `legend` places it elsewhere; `pad` is the
    room below the title, in points.
    """
    handles, labels = ax.get_legend_handles_labels()
    wide = width_of(ax)
    above = 0
    if not legend and len(labels) > MOST_LABELS:
        legend = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    elif not legend:
        legend = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.1, "ncols": columns(labels, wide)}
        note = lines(note, wide)
        above = -(-len(labels) // legend["ncols"]) + (note.count("\n") + 1) * bool(note)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.92", lw=0.6)
    ax.set_axisbelow(True)
    ax.tick_params(labelsize=FONT)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set(fontsize=FONT, text=plain(axis.label.get_text()))
        if isinstance(axis.get_major_formatter(), ScalarFormatter | LogFormatter):
            axis.set_major_formatter(Ticks())
            axis.set_minor_formatter(NullFormatter())
    if isinstance(ax.xaxis.get_major_locator(), AutoLocator):
        ax.xaxis.set_major_locator(MaxNLocator(max(int(wide / TICK), 2), steps=[1, 2, 2.5, 5, 10]))
    if labels or note:
        write_legend(ax, handles, labels, note, **legend)
    ax.set_title(
        lines(plain(title), wide),
        fontsize=FONT,
        loc="left",
        color="0.3",
        pad=pad + FONT * (1.5 * above + 0.5 * bool(above)),
    )
    return ax


def write_legend(where: Axes | Figure, handles: Any, labels: Sequence[str], note: str, **place: Any) -> None:
    """Write a legend, with the note at its head."""
    shown = where.legend(
        handles,
        [plain(label) for label in labels],
        title=plain(note) or None,
        alignment="left",
        frameon=False,
        fontsize=FONT,
        title_fontsize=FONT,
        handletextpad=0.5,
        columnspacing=1,
        borderpad=0.2,
        **place,
    )
    shown.get_title().set_color("0.3")


def width_of(ax: Axes) -> float:
    """Return about how wide axes are, in inches."""
    place, wide = ax.get_subplotspec(), ax.figure.bbox.width / ax.figure.dpi
    return wide / (place.get_gridspec().ncols if place else 1) - 0.6


def lines(text: str, wide: float) -> str:
    """Return a text broken into lines of so many inches."""
    return "\n".join(textwrap.fill(line, max(int(wide / LETTER), 12)) for line in text.splitlines())


def columns(labels: Sequence[str], wide: float) -> int:
    """Return how many labels of a legend fit side by side in so many inches."""
    longest = max(map(len, labels), default=0)
    return next((n for n in (4, 3, 2) if n <= len(labels) and n * (longest + 6) * LETTER <= wide), 1)


class Ticks(Formatter):
    """Ticks as `bayeslaw.base.numbers` writes numbers, with the digits that tell them apart."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """Return the label of one tick."""
        return short(x)

    def format_ticks(self, values: Any) -> list[str]:
        """Return the labels of all ticks."""
        places = np.unique(np.asarray(values, float))
        step = np.diff(places).min() if len(places) > 1 else 0.0
        largest = np.abs(places).max() if len(places) else 0.0
        digits = int(np.floor(np.log10(largest)) - np.floor(np.log10(step))) + 1 if step > 0 < largest else DIGITS
        return [short(0.0 if abs(v) < step / 1000 else v, max(digits, DIGITS)) for v in values]


def colours() -> Iterator[str]:
    """Return the colours, repeated without end."""
    return cycle(COLOURS)


def markers() -> Iterator[str]:
    """Return the markers, repeated without end."""
    return cycle("osD^v")


def plain(text: str) -> str:
    """Escape the dollar signs of a user's label, once, which matplotlib reads as mathematics."""
    return re.sub(r"(?<!\\)\$", r"\\$", text)


def loss_axis(unit: str) -> str:
    """Return the label of an axis of losses in a unit."""
    return "error rate (1 - score)" if unit == ERROR_RATE else f"loss ({unit})"


def axis(name: str) -> str:
    """Return the label of the axis of a column."""
    return AXES.get(name, name.replace("_", " "))


def _wide(x: np.ndarray) -> bool:
    return bool(x.min() > 0 and x.max() / x.min() > LOG_RATIO)


def scale(ax: Axes, x: np.ndarray) -> None:
    """Make the x axis logarithmic if the values span more than `LOG_RATIO`."""
    if _wide(x):
        ax.set_xscale("log")
        room, decades = int(width_of(ax) / TICK), np.log10(x.max() / x.min())
        ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0) if 2 * decades + 1 <= room else (1.0,), numticks=room))


def spaced(x: np.ndarray, points: int) -> np.ndarray:
    """Return points between the ends of the values, even on the axis that `scale` gives them."""
    return (np.geomspace if _wide(x) else np.linspace)(x.min(), x.max(), points)


def labels(draws: xr.DataArray) -> list[str]:
    """Return the dims other than chain and draw."""
    return [str(d) for d in draws.dims if d not in SAMPLE]


def cells(draws: xr.DataArray, *keep: str) -> Iterator[dict[str, int]]:
    """Return the position of every cell, over all dims but chain, draw and those to keep."""
    dims = [d for d in labels(draws) if d not in keep]
    return (dict(zip(dims, index, strict=True)) for index in np.ndindex(*(draws.sizes[d] for d in dims)))


def each(draws: xr.DataArray, *keep: str) -> Iterator[tuple[str, xr.DataArray]]:
    """Yield the labels of every cell in words, and its draws."""
    for cell in cells(draws, *keep):
        part = draws.isel(cell)
        at = {d: part[d].item() for d in cell if d in part.coords and draws.sizes[d] > 1}
        words = (f"{d} {amount(v)}" if isinstance(v, float | int) else plain(str(v)) for d, v in at.items())
        yield ", ".join(words), part


def quantiles(draws: xr.DataArray, prob: float) -> Any:
    """Return lower end, median and upper end over the draws."""
    low, high = levels(prob)
    return draws.quantile([low, 0.5, high], SAMPLE, skipna=False).values


def band(ax: Axes, draws: xr.DataArray, along: str, colour: str, label: str, prob: float) -> None:
    """Draw the median as a line, and the interval as a band, along one dim; the others have one label each."""
    low, middle, high = quantiles(draws, prob).reshape(3, -1)
    x = draws[along].values
    ax.fill_between(x, low, high, color=colour, alpha=0.3, lw=0)
    ax.plot(x, middle, color=colour, lw=1.6, label=label)


def losses(
    ax: Axes,
    draws: xr.DataArray,
    rows: xr.Dataset,
    counted: xr.DataArray,
    along: str,
    prob: float,
    unit: str,
    goal: str | None = None,
    size: float = 16,
) -> None:
    """Draw the band of every validation set (or of `goal`) along a column, and the measured losses of the rows.

    Points are hollow where `counted` is False: the fit did not use them.
    """
    counted = counted.broadcast_like(rows["loss"])
    for colour, marker, name in zip(colours(), markers(), draws["eval"].values, strict=False):
        if goal not in (None, name):
            continue
        band(ax, draws.sel(eval=name), along, colour, f"{name} loss", prob)
        loss, faces = rows["loss"].sel(eval=name).values, counted.sel(eval=name).values
        points(ax, rows[along].values, loss, faces, colour, marker, size)
    ax.set(xlabel=axis(along), ylabel=loss_axis(unit))


def density(
    ax: Axes, draws: xr.DataArray, colour: str, label: str, prob: float, bins: Any = 50, centre: float | None = None
) -> None:
    """Draw a histogram of draws, and below it their interval and `centre`, by default the median."""
    low, middle, high = quantiles(draws, prob)
    ax.hist(draws.values.ravel(), bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.35)
    ax.plot([low, high], [0, 0], color=colour, lw=4, alpha=0.7, solid_capstyle="butt", clip_on=False, zorder=3)
    x = middle if centre is None else centre
    ax.plot(x, 0, "o", color=colour, mec="white", ms=7, clip_on=False, zorder=4, label=label)


def points(ax: Axes, x: Any, y: Any, counted: Any, colour: str, marker: str, size: float = 16) -> None:
    """Draw measurements; those that are not counted in the fit are hollow."""
    faces = np.where(counted, colour, "white")
    ax.scatter(x, y, s=size, marker=marker, facecolors=faces, edgecolors=colour, lw=0.8, zorder=3)


def offsets(number: int) -> np.ndarray:
    """Return the heights of several intervals in one row, relative to the row."""
    return np.linspace(-0.3, 0.3, number) if number > 1 else np.zeros(1)


def coefficients(ax: Axes, law: Law, name: str, series: Mapping[str, xr.DataArray], dim: str, prob: float) -> None:
    """Draw the intervals of a coefficient: one row for each label of the dim, one colour for each series of draws."""
    apart = zip(offsets(len(series)), colours(), markers(), series.items(), strict=False)
    for offset, colour, marker, (label, draws) in apart:
        low, middle, high = quantiles(draws, prob)
        height = np.arange(draws.sizes[dim]) + offset
        ax.hlines(height, low, high, color=colour, lw=1.5)
        ax.plot(middle, height, marker, color=colour, ms=4, ls="", label=label)
    names, unit = draws[dim].values, law.coefficients[name].unit
    ax.set_yticks(range(len(names)), [plain(str(label)) for label in names])
    ax.invert_yaxis()
    ax.set_xlabel(name if unit == "1" else f"{name} ({unit})")


def mark(ax: Axes, q: Quantity, prob: float) -> None:
    """Mark a quantity on the x axis: a line at its median, its interval in grey."""
    low, middle, high = quantiles(q.draws, prob).ravel()
    ax.axvspan(low, high, color="0.85", lw=0, zorder=0)
    ax.axvline(middle, color="0.35", lw=1, ls="--", zorder=1, label=q.name.replace("_", " "))
