"""The house style, and the marks that figures are made of."""

import re
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.intervals import SAMPLE, levels
from bayeslaw.base.numbers import amount, percent
from bayeslaw.declare.laws import Law
from bayeslaw.errors import ArgumentError, shown
from bayeslaw.posterior.quantity import Censored, Quantity
from bayeslaw.tables.units import ERROR_RATE

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of Okabe and Ito, which colour-blind readers can tell apart."""

AXES = {
    "N": "N (parameters)",
    "D": "D (tokens)",
    "domain_share": "domain share (of the tokens)",
    "duration": "upsampled window (share of the training)",
}
"""Labels of the axes of columns."""

LOG_RATIO = 30.0
"""An axis is logarithmic if the ratio of its ends is larger."""


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the given axes, or new ones of the usual size."""
    return plt.subplots(figsize=(5, 3.2), layout="constrained")[1] if ax is None else ax


def given_axes(axes: Any, number: int, of: str) -> list[Axes]:
    """Return the axes that a caller gave; raise ArgumentError unless they are that many."""
    found = np.ravel(np.asarray(axes, object)).tolist()
    if len(found) != number or not all(isinstance(ax, Axes) for ax in found):
        raise ArgumentError(f"axes is {shown(axes)}: give {number} axes of matplotlib, {of}")
    return found


def finish(ax: Axes, title: str = "", pad: float = 6, **legend: Any) -> Axes:
    """Give axes the house style; a legend of up to three labels stands above the axes, a longer one beside them."""
    labels = [label for label in ax.get_legend_handles_labels()[1] if label]
    if not legend and len(labels) > 3:
        legend = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    elif not legend:
        across = _columns(ax, labels)
        legend = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.1, "columnspacing": 1}
        legend["ncols"] = across
        pad += 14 * -(-len(labels) // across)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(color="0.92", lw=0.6)
    ax.set_axisbelow(True)
    ax.set_title(plain(title), fontsize=9, loc="left", color="0.3", pad=pad)
    texts = [ax.xaxis.label, ax.yaxis.label]
    if labels:
        texts += ax.legend(frameon=False, fontsize=8, handletextpad=0.5, **legend).get_texts()
    for text in texts:
        text.set_text(plain(text.get_text()))
    return ax


def _columns(ax: Axes, labels: list[str]) -> int:
    """Return how many labels of a legend fit side by side above axes, at 15 letters per inch."""
    place = ax.get_subplotspec()
    width = ax.figure.bbox.width / ax.figure.dpi / (place.get_gridspec().ncols if place else 1) - 0.6
    longest = max(map(len, labels), default=0)
    return next((n for n in (3, 2) if n * (longest + 5) <= 15 * width), 1)


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
    return AXES.get(name, name)


def _wide(x: np.ndarray) -> bool:
    return bool(x.min() > 0 and x.max() / x.min() > LOG_RATIO)


def scale(ax: Axes, x: np.ndarray) -> None:
    """Make the x axis logarithmic if the values span more than `LOG_RATIO`."""
    if _wide(x):
        ax.set_xscale("log")


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
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    ax.plot(x, middle, color=colour, lw=1.5, label=label)


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
    label = q.name.replace("_", " ")
    if isinstance(q, Censored) and (inside := float(q.p_interior)) < 1:
        label += f" ({percent(inside)} inside)"
    ax.axvspan(low, high, color="0.85", lw=0, zorder=0)
    ax.axvline(middle, color="0.35", lw=1, ls="--", zorder=1, label=label)
