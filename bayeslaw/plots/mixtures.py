"""Figures of many sources: what each does to the loss, and the best mixture of them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bayeslaw.base.errors import RangeError, unknown_name
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.plots.style import COLOURS, axes_or_new, colours, each, finish, markers, plain, quantiles
from bayeslaw.posterior.draws import Posterior

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["SHOWN", "plot_mixture", "plot_regret", "plot_sources"]

HEIGHT = np.sqrt(3) / 2
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, HEIGHT]])
"""Where the three sources of a triangle lie."""

OUTWARD = np.array([[0.0, -1.0], [HEIGHT, 0.5], [-HEIGHT, 0.5]])
"""Away from the side on which the shares of each source are read."""

SHOWN = 20
"""A figure names at most this many sources."""


def plot_mixture(best: Mixture, ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot the posterior of the best mixture: a triangle for three sources, bars with intervals otherwise.

    The diamond, or the bar, is the recommended mixture: the one with the smallest expected loss.

    Parameters
    ----------
    best : Mixture
        The answer of ``fit.best_mixture()``.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the intervals (equal-tailed).

    Raises
    ------
    RangeError
        The question has dims of its own: choose one of their labels.
    """
    if extra := [str(d) for d in best.recommended.dims if d != "source"]:
        raise RangeError(f"there is one mixture for every {extra[0]}: ask for one value of it to draw it")
    draws = best.draws.transpose("chain", "draw", "source")
    if draws.sizes["source"] == 3:
        return _triangle(draws, best.recommended, axes_or_new(ax))
    return _bars(draws, best.recommended, axes_or_new(ax), prob)


def plot_regret(
    best: Mixture,
    candidates: Mapping[str, Any] | None = None,
    ax: "Axes | None" = None,
    prob: float = CI_PROB,
) -> "Axes":
    """Plot how far the recommended mixture, and others, lie above each draw's own best.

    Parameters
    ----------
    best : Mixture
        The answer of ``fit.best_mixture()``.
    candidates : mapping of name to mixture, optional
        Others to compare, shares by source.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the interval below each density (equal-tailed); the dot is the expected regret.
    """
    ax = axes_or_new(ax)
    regrets = {"recommended": best.regret().draws} | {k: best.regret(v).draws for k, v in (candidates or {}).items()}
    largest = max(float(r.quantile(0.995)) for r in regrets.values())
    bins = np.linspace(0, largest if largest > 0 else 1e-3, 51)
    for colour, (name, regret) in zip(colours(), regrets.items(), strict=False):
        low, _, high = quantiles(regret, prob)
        mean = float(regret.mean())
        label = f"{plain(name)}: {mean:.2g}"
        ax.hist(regret.values.ravel(), bins=list(bins), density=True, histtype="stepfilled", color=colour, alpha=0.35)
        ax.plot([low, high], [0, 0], color=colour, lw=4, alpha=0.7, solid_capstyle="butt", clip_on=False, zorder=3)
        ax.plot(mean, 0, "o", color=colour, mec="white", ms=7, clip_on=False, zorder=4, label=label)
    ax.set(xlabel="regret (nats per token)", ylabel="posterior density", xlim=(0, bins[-1]))
    return finish(ax, f"dot: expected regret, bar: {prob:.0%}")


def plot_sources(fit: Posterior, name: str, ax: "Axes | None" = None, prob: float = CI_PROB) -> "Axes":
    """Plot a coefficient of every source, the lowest first: a line per source, an interval per validation set.

    Of more than 20 sources, the 20 that lie farthest from the middle one are shown.

    Parameters
    ----------
    fit : Fit
        A fitted mixture law.
    name : str
        The coefficient.
    ax : matplotlib Axes, optional
        Where to draw.
    prob : float
        Probability of the intervals (equal-tailed).

    Raises
    ------
    UnknownName
        The law has no such coefficient.
    RangeError
        The coefficient is not one of each source.
    """
    if name not in (known := fit.model.law.coefficients):
        raise unknown_name(f"coefficient of {fit.model.law.name}", name, known)
    ax, draws = axes_or_new(ax), fit.posterior[name]
    if "source" not in draws.dims:
        raise RangeError(f"{name} is one number for all sources: plot_prior_posterior shows it")
    middles = draws.median([d for d in draws.dims if d != "source"])
    apart = np.argsort(-abs(middles - middles.median()).values)[:SHOWN]
    shown = draws.isel(source=apart[np.argsort(middles.values[apart])])
    height, parts = np.arange(shown.sizes["source"]), list(each(shown, "source"))
    offsets = np.linspace(-0.3, 0.3, len(parts)) if len(parts) > 1 else [0.0]
    for offset, colour, marker, (label, part) in zip(offsets, colours(), markers(), parts, strict=False):
        low, middle, high = quantiles(part, prob)
        ax.hlines(height + offset, low, high, color=colour, lw=1.5)
        ax.plot(middle, height + offset, marker, color=colour, ms=4, ls="", label=label)
    ax.set_yticks(height, [plain(str(s)) for s in shown["source"].values])
    ax.invert_yaxis()
    unit = known[name].unit
    ax.set_xlabel(name if unit == "1" else f"{name} ({unit})")
    some = "" if len(middles) <= SHOWN else f"; {SHOWN} of {len(middles)} sources"
    return finish(ax, f"intervals: {prob:.0%}{some}")


def _triangle(draws: xr.DataArray, recommended: xr.DataArray, ax: "Axes") -> "Axes":
    names = [str(s) for s in draws["source"].values]
    for share in np.arange(0.2, 1.0, 0.2):
        for corner in range(3):
            ends = np.zeros((2, 3))
            ends[:, corner] = share
            ends[0, (corner + 1) % 3] = ends[1, (corner + 2) % 3] = 1 - share
            ax.plot(*(ends @ CORNERS).T, color="0.88", lw=0.6, zorder=0)
            x, y = ends[0] @ CORNERS + 0.045 * OUTWARD[corner]
            ax.text(x, y, f"{share:.0%}", fontsize=7, color="0.5", ha="center", va="center")
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.35", lw=1, zorder=1)
    across, up = (draws.values.reshape(-1, 3) @ CORNERS).T
    ax.scatter(across, up, s=6, color=COLOURS[0], alpha=0.25, lw=0, label="best of a draw")
    x, y = recommended.values @ CORNERS
    ax.scatter(x, y, s=50, marker="D", color=COLOURS[1], edgecolors="white", zorder=3, label="recommended")
    for name, corner, share in zip(names, CORNERS, recommended.values, strict=True):
        x, y = corner + 0.2 * (corner - CORNERS.mean(0))
        ax.text(x, y, f"{plain(name)}\n{share:.0%}", ha="center", va="center", fontsize=9)
    finish(ax, "shares of the tokens", loc="upper left", bbox_to_anchor=(0, 1))
    ax.set(aspect="equal", xlim=(-0.25, 1.25), ylim=(-0.2, 1.1))
    ax.set_axis_off()
    return ax


def _bars(draws: xr.DataArray, recommended: xr.DataArray, ax: "Axes", prob: float) -> "Axes":
    order = np.argsort(-recommended.values, kind="stable")
    low, middle, high = quantiles(draws, prob)[:, order]
    height = np.arange(len(order))
    ax.barh(height, recommended.values[order], height=0.7, color=COLOURS[5], alpha=0.6, label="recommended")
    ax.hlines(height, low, high, color="0.25", lw=1.5)
    ax.plot(middle, height, "o", color="0.25", ms=4, label=f"best of a draw: median, {prob:.0%}")
    ax.set_yticks(height, [plain(str(s)) for s in draws["source"].values[order]])
    ax.invert_yaxis()
    ax.set(xlabel="share of the tokens", xlim=(0, None))
    return finish(ax)
