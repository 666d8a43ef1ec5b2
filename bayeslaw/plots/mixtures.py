"""Figures of many sources: their coefficients, and their best mixture."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import level, percent, short
from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.errors import RangeError, unknown_name
from bayeslaw.plots import style
from bayeslaw.posterior.draws import Posterior

__all__ = ["MOST_SOURCES", "plot_mixture", "plot_regret", "plot_sources"]

HEIGHT = np.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])
"""The corners of a triangle of three sources."""

OUTWARD = np.array([[0.0, -1.0], [HEIGHT, 0.5], [-HEIGHT, 0.5]])
"""The directions in which the labels of the shares of each source stand off their side."""

MOST_SOURCES = 20
"""Most sources that a figure shows."""


@checked
def plot_mixture(best: Mixture, ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot the posterior of the best mixture: a triangle for three sources, bars with intervals otherwise.

    The diamond, or the bar, is the recommended mixture: the one with the smallest expected loss.

    Parameters
    ----------
    best : Mixture
        The answer of ``fit.best_mixture()``.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.

    Raises
    ------
    RangeError
        The answer has a mixture for each of several sizes or labels.
    """
    if extra := [str(d) for d in best.recommended.dims if d != "source"]:
        raise RangeError(f"best has one mixture for every {extra[0]}: ask for a single {extra[0]} to draw one")
    draws = best.draws.transpose("chain", "draw", "source")
    if draws.sizes["source"] == 3:
        return _triangle(draws, best.recommended, style.axes_or_new(ax))
    return _bars(draws, best.recommended, style.axes_or_new(ax), prob)


@checked
def plot_regret(
    best: Mixture, candidates: Mapping[str, Any] | None = None, ax: Axes | None = None, prob: float = CI_PROB
) -> Axes:
    """Plot the regret of the recommended mixture and of others: how far they lie above the best mixture of each draw.

    The dot below each density is the expected regret.

    Parameters
    ----------
    best : Mixture
        The answer of ``fit.best_mixture()``.
    candidates : mapping of name to mixture, optional
        Other mixtures, shares by source.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.
    """
    ax = style.axes_or_new(ax)
    regrets = {"recommended": best.regret().draws} | {k: best.regret(v).draws for k, v in (candidates or {}).items()}
    largest = max(float(r.quantile(0.995)) for r in regrets.values())
    bins = np.linspace(0, largest if largest > 0 else 1e-3, 51)
    for colour, (name, regret) in zip(style.colours(), regrets.items(), strict=False):
        mean = float(regret.mean())
        style.density(ax, regret, colour, f"{style.plain(name)}: {short(mean, 2)}", prob, bins, centre=mean)
    ax.set(xlabel=f"regret ({best.loss_unit})", ylabel="posterior density", xlim=(0, bins[-1]))
    return style.finish(ax, note=f"dot: expected regret, bar: {level(prob)}")


@checked
def plot_sources(fit: Posterior, name: str, ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot a coefficient of every source, the lowest first: a row per source, an interval per validation set.

    Of more than 20 sources, the figure shows the 20 that lie farthest from the median source.

    Parameters
    ----------
    fit : Fit
        A fitted mixture law.
    name : str
        The coefficient.
    ax, prob
        See `bayeslaw.plots.plot_quantity`.

    Raises
    ------
    UnknownName
        The law has no such coefficient.
    RangeError
        The coefficient does not vary by source.
    """
    if name not in (known := fit.model.law.coefficients):
        raise unknown_name(f"coefficient of {fit.model.law.name}", name, known)
    ax, draws = style.axes_or_new(ax), fit.posterior[name]
    if "source" not in draws.dims:
        raise RangeError(f"{name} has one value for all sources: draw it with plot_prior_posterior")
    middles = draws.median([d for d in draws.dims if d != "source"])
    farthest = np.argsort(-abs(middles - middles.median()).values)[:MOST_SOURCES]
    shown = draws.isel(source=farthest[np.argsort(middles.values[farthest])])
    style.coefficients(ax, fit.model.law, name, dict(style.each(shown, "source")), "source", prob)
    some = "" if len(middles) <= MOST_SOURCES else f"; {MOST_SOURCES} of {len(middles)} sources"
    return style.finish(ax, note=f"intervals: {level(prob)}{some}")


def _triangle(draws: xr.DataArray, recommended: xr.DataArray, ax: Axes) -> Axes:
    names = [str(s) for s in draws["source"].values]
    for share in np.arange(0.2, 1.0, 0.2):
        for corner in range(3):
            ends = np.zeros((2, 3))
            ends[:, corner] = share
            ends[0, (corner + 1) % 3] = ends[1, (corner + 2) % 3] = 1 - share
            ax.plot(*(ends @ CORNERS).T, color="0.88", lw=0.6, zorder=0)
            x, y = ends[0] @ CORNERS + 0.045 * OUTWARD[corner]
            ax.text(x, y, percent(share), fontsize=0.8 * style.FONT, color="0.5", ha="center", va="center")
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.35", lw=1, zorder=1)
    across, up = (draws.values.reshape(-1, 3) @ CORNERS).T
    ax.scatter(across, up, s=6, color=style.COLOURS[0], alpha=0.25, lw=0, label="best of a draw")
    x, y = recommended.values @ CORNERS
    ax.scatter(x, y, s=50, marker="D", color=style.COLOURS[1], edgecolors="white", zorder=3, label="recommended")
    for name, corner, share in zip(names, CORNERS, recommended.values, strict=True):
        x, y = corner + 0.2 * (corner - CORNERS.mean(0))
        ax.text(x, y, f"{style.plain(name)}\n{percent(share)}", ha="center", va="center", fontsize=style.FONT)
    style.finish(ax, "shares of the tokens", loc="upper left", bbox_to_anchor=(0, 1))
    ax.set(aspect="equal", xlim=(-0.25, 1.25), ylim=(-0.2, 1.1))
    ax.set_axis_off()
    return ax


def _bars(draws: xr.DataArray, recommended: xr.DataArray, ax: Axes, prob: float) -> Axes:
    order = np.argsort(-recommended.values, kind="stable")
    low, middle, high = style.quantiles(draws, prob)[:, order]
    height = np.arange(len(order))
    ax.barh(height, recommended.values[order], height=0.7, color=style.COLOURS[5], alpha=0.6, label="recommended")
    ax.hlines(height, low, high, color="0.25", lw=1.5)
    ax.plot(middle, height, "o", color="0.25", ms=4, label=f"best of a draw: median, {level(prob)}")
    ax.set_yticks(height, [style.plain(str(s)) for s in draws["source"].values[order]])
    ax.invert_yaxis()
    ax.set(xlabel="share of the tokens", xlim=(0, None))
    return style.finish(ax)
