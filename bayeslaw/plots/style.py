"""The house style, and the marks that figures are made of."""

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.base.intervals import SAMPLE
from bayeslaw.base.words import amount
from bayeslaw.posterior.quantity import Censored, Quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "COLOURS",
    "axes_or_new",
    "axis",
    "band",
    "colours",
    "density",
    "each",
    "finish",
    "labels",
    "mark",
    "markers",
    "plain",
    "points",
    "quantiles",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, told apart by colour-blind readers."""

AXES = {
    "N": "N (parameters)",
    "D": "D (tokens)",
    "domain_share": "domain share (of the tokens)",
    "duration": "upsampled window (share of the training)",
    "step": "step",
}
"""What columns are called on an axis."""


def axes_or_new(ax: "Axes | None") -> "Axes":
    """Return the axes given, or new ones of the house's size."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5, 3.2), layout="constrained")[1]


def finish(ax: "Axes", title: str = "", pad: float = 6, **legend: Any) -> "Axes":
    """Give axes the house style; the legend stands above the data, or beside them where it is long."""
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
    if labels:
        ax.legend(frameon=False, fontsize=8, handletextpad=0.5, **legend)
    return ax


def _columns(ax: "Axes", labels: list[str]) -> int:
    """Return how many labels of a legend fit side by side above axes: about 15 letters to the inch."""
    place = ax.get_subplotspec()
    width = ax.figure.bbox.width / ax.figure.dpi / (place.get_gridspec().ncols if place else 1) - 0.6
    fit = [n for n in (3, 2) if n * (max(map(len, labels), default=0) + 5) <= 15 * width]
    return fit[0] if fit else 1


def colours() -> Iterator[str]:
    """Repeat the colours."""
    while True:
        yield from COLOURS


def markers() -> Iterator[str]:
    """Repeat the markers."""
    while True:
        yield from "osD^v"


def plain(text: str) -> str:
    """Keep matplotlib from reading a user's label as mathematics."""
    return text.replace("$", r"\$")


def axis(name: str) -> str:
    """Return what a column is called on an axis."""
    return AXES.get(name, name)


def labels(draws: xr.DataArray) -> list[str]:
    """Return the dims that are not those of the draws."""
    return [str(d) for d in draws.dims if d not in SAMPLE]


def each(draws: xr.DataArray, *keep: str) -> Iterator[tuple[str, xr.DataArray]]:
    """Every combination of labels of the dims that are not kept, in words, with its draws."""
    dims = [d for d in labels(draws) if d not in keep]
    for place in product(*(range(draws.sizes[d]) for d in dims)):
        part = draws.isel(dict(zip(dims, place, strict=True)))
        values = {d: part[d].item() for d in dims if d in part.coords and draws.sizes[d] > 1}
        yield (
            ", ".join(f"{d} {amount(v)}" if isinstance(v, float | int) else plain(str(v)) for d, v in values.items()),
            part,
        )


def quantiles(draws: xr.DataArray, prob: float) -> Any:
    """Return lower end, median and upper end over the draws."""
    over = [d for d in draws.dims if d in SAMPLE]
    if not over:  # of a single draw, as maximum likelihood is
        return np.stack([draws.values] * 3)
    return draws.quantile([(1 - prob) / 2, 0.5, (1 + prob) / 2], over, skipna=False).values


def band(ax: "Axes", draws: xr.DataArray, along: str, colour: str, label: str, prob: float) -> None:
    """Draw a line at the median and its band."""
    low, middle, high = quantiles(draws, prob)
    x = draws[along].values
    ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    ax.plot(x, middle, color=colour, lw=1.5, label=label)


def density(ax: "Axes", draws: xr.DataArray, colour: str, label: str, prob: float, bins: Any = 50) -> None:
    """Draw a histogram of draws, with median and interval at its foot."""
    low, middle, high = quantiles(draws, prob)
    ax.hist(draws.values.ravel(), bins=bins, density=True, histtype="stepfilled", color=colour, alpha=0.35)
    ax.plot([low, high], [0, 0], color=colour, lw=4, alpha=0.7, solid_capstyle="butt", clip_on=False, zorder=3)
    ax.plot(middle, 0, "o", color=colour, mec="white", ms=7, clip_on=False, zorder=4, label=label)


def points(ax: "Axes", x: Any, y: Any, counts: Any, colour: str, marker: str, size: float = 16) -> None:
    """Draw measurements; hollow ones did not count in the fit."""
    faces = np.where(np.broadcast_to(counts, np.shape(x)), colour, "white")
    ax.scatter(x, y, s=size, marker=marker, facecolors=faces, edgecolors=colour, lw=0.8, zorder=3)


def mark(ax: "Axes", q: Quantity, prob: float) -> None:
    """Mark a quantity on the x axis: a line at its median, its interval in grey."""
    low, middle, high = quantiles(q.draws.squeeze(drop=True), prob)
    label = q.name.replace("_", " ")
    if isinstance(q, Censored) and (inside := float(q.p_interior)) < 1:
        label += f" ({inside:.0%} inside)"
    ax.axvspan(low, high, color="0.85", lw=0, zorder=0)
    ax.axvline(middle, color="0.35", lw=1, ls="--", zorder=1, label=label)
