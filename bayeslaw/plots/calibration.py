"""The figures of a calibration: ranks of one law, and coverage of many."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from arviz_stats.ecdf_utils import ecdf_pit
from matplotlib.axes import Axes
from scipy.stats import binom

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.base.numbers import level, percent
from bayeslaw.errors import RangeError
from bayeslaw.plots import style
from bayeslaw.validation.calibration import Calibration

__all__ = ["plot_calibration", "plot_coverage"]

ENVELOPE = 0.99
"""Probability that the coverage of right intervals lies in its grey bar."""


@checked
def plot_calibration(calibration: Calibration, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Plot the empirical distribution of the ranks minus the uniform one, with one line per quantity.

    The line of a calibrated quantity stays inside the grey band with probability 89 %; of many lines some leave it.

    Parameters
    ----------
    calibration : Calibration
        The result of `bayeslaw.calibrate`.
    axes : sequence of matplotlib Axes, optional
        One for each kind of quantity, in the order of `Calibration.rows`; by default new ones.
    """
    kinds = calibration.rows.groupby("kind", sort=False)["quantity"].unique()
    if axes is None:
        size = (style.COLUMN if len(kinds) == 1 else style.FULL, style.HEIGHT)
        axes = plt.subplots(1, len(kinds), figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    axes = style.given_axes(axes, len(kinds), "one for each kind of quantity")
    for ax, (kind, quantities) in zip(axes, kinds.items(), strict=True):
        for quantity in quantities:
            x, share, low, high = ecdf_pit(calibration.pit.sel(quantity=quantity).values, CI_PROB, n_simulations=1000)
            ax.plot(x, share - x, lw=0.8)
        ax.fill_between(x, low - x, high - x, color="0.85", zorder=0)
        ax.set_xlabel("rank / number of draws")
        style.finish(ax, f"{kind} ({len(quantities)})")
    axes[0].set_ylabel("share below, minus uniform", fontsize=style.FONT)
    return axes


@checked
def plot_coverage(held: Mapping[str, tuple[int, int]], ax: Axes | None = None, prob: float = CI_PROB) -> Axes:
    """Plot how often intervals held the truth: sorted dots, and in grey what chance explains.

    Parameters
    ----------
    held : mapping of str to pair of int
        How many intervals held the truth, and of how many, by name.
    ax : matplotlib Axes, optional
        Where to draw; new axes are tall enough for all rows.
    prob : float
        Probability of the intervals. The grey bars hold the share of right ones with probability 0.99 (binomial).

    Raises
    ------
    RangeError
        There are no intervals, or more held the truth than there are.
    """
    for name, numbers in held.items():
        if len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] or numbers[1] < 1:
            raise RangeError(f"held[{name!r}] is {numbers}: give how many intervals held the truth, and of how many")
    if not held:
        raise RangeError("held is empty: give at least one row, for example {'dcpt': (57, 60)}")
    if ax is None:
        size = (style.COLUMN, 1.2 + 0.2 * len(held))
        ax = plt.subplots(figsize=size, layout="constrained")[1]
    rows = sorted(held.items(), key=lambda row: row[1][0] / row[1][1])
    height, (hits, of) = np.arange(len(rows)), np.array([numbers for _, numbers in rows]).T
    low, high = (binom.ppf(level, of, prob) / of for level in ((1 - ENVELOPE) / 2, (1 + ENVELOPE) / 2))
    ax.barh(height, high - low, left=low, height=0.8, color="0.88", label=f"{percent(ENVELOPE)} of right intervals")
    outside = (hits / of < low) | (hits / of > high)
    for chosen, colour, label in ((~outside, style.COLOURS[0], "inside"), (outside, style.COLOURS[1], "outside")):
        if chosen.any():
            ax.plot((hits / of)[chosen], height[chosen], "o", color=colour, ms=5, label=label)
    ax.axvline(prob, color="0.35", lw=1, ls="--")
    ax.set_yticks(height, [style.plain(name) for name, _ in rows])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlabel(f"share of {level(prob)} intervals that hold the truth", loc="right")
    ax.xaxis.set_major_formatter(lambda share, _: percent(share))
    ax.locator_params("x", nbins=4)
    return style.finish(ax)
