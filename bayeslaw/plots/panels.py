"""Small multiples: at most twelve panels, with shared axes, and one legend and caption for all of them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayeslaw.plots import style

__all__ = ["MOST_PANELS", "grid"]

MOST_PANELS = 12
"""Most panels of a figure."""

LEAST_PART = 1 / 3
"""Panels share an axis if each fills at least this part of it."""


def grid(
    panels: Sequence[Any],
    draw: Callable[..., Any],
    height: float = style.HEIGHT,
    most: int = MOST_PANELS,
    ratios: Sequence[float] = (1,),
) -> Figure:
    """Draw small multiples: every panel, or `most` evenly spaced ones.

    A panel has one axes per height ratio, from top to bottom, over the same x axis: ``draw(panel, *axes)``. One alone
    has the width of a column.
    """
    panels = [panels[i] for i in np.unique(np.linspace(0, len(panels) - 1, most).round().astype(int))]
    across = min(len(panels), 2 if len(panels) in (2, 4) else 3)
    down = -(-len(panels) // across)
    figure = Figure(figsize=(style.COLUMN if across == 1 else style.FULL, height * down), layout="constrained")
    axes = figure.subplots(len(ratios) * down, across, squeeze=False, height_ratios=[*ratios] * down)
    own = axes.reshape(down, len(ratios), across).swapaxes(1, 2).reshape(-1, len(ratios))
    for panel, each in zip(panels, own, strict=False):
        for ax in each[:-1]:
            ax.sharex(each[-1])
            ax.tick_params(labelbottom=False)
        draw(panel, *each)
    for ax in own[len(panels) :].ravel():
        ax.set_visible(False)
    if len(panels) > 1:
        drawn = own[: len(panels)]
        for row in drawn.T:
            _share(row, across)
        _one_legend(figure, list(drawn.ravel()))
    return figure


def _share(axes: Sequence[Axes], across: int) -> None:
    """Give panels the same limits where that leaves each of them legible, and write what they share once."""
    for name in ("x", "y"):
        if len({getattr(ax, f"get_{name}label")() for ax in axes}) > 1:
            continue
        limits = np.array([getattr(ax, f"get_{name}lim")() for ax in axes])
        low, high = limits.min(), limits.max()
        straight = (np.diff(limits) > 0).all() and len({getattr(ax, f"get_{name}scale")() for ax in axes}) == 1
        shared = straight and (np.diff(limits).min() >= LEAST_PART * (high - low) or axes[0].get_xscale() == "log")
        for number, ax in enumerate(axes):
            outer = number % across == 0 if name == "y" else number + across >= len(axes)
            if shared:
                getattr(ax, f"set_{name}lim")(low, high)
            if not outer:
                getattr(ax, f"set_{name}label")("")
                if shared:
                    ax.tick_params(axis=name, **{"labelleft" if name == "y" else "labelbottom": False})


def _one_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """Write the legends and notes of panels once, above them, unless every panel has its own."""
    found: dict[str, Any] = {}
    legends = [legend for ax in axes if (legend := ax.get_legend()) is not None]
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            found.setdefault(text.get_text(), handle)
    if len(found) > style.MOST_LABELS:
        return
    notes = dict.fromkeys(legend.get_title().get_text().replace("\n", " ") for legend in legends)
    for legend in legends:
        ax = legend.axes
        legend.remove()
        ax.set_title(ax.get_title(loc="left"), loc="left", fontsize=style.FONT, color="0.3", pad=6)
    wide = figure.get_figwidth() - 0.6
    note = style.lines("; ".join(note for note in notes if note not in ("", "None")), wide)
    if found or note:
        labels = [*found]
        style.write_legend(
            figure, [*found.values()], labels, note, loc="outside upper left", ncols=style.columns(labels, wide)
        )
