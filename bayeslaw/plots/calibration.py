"""The figure of a calibration."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from arviz_stats.ecdf_utils import ecdf_pit
from matplotlib.axes import Axes

from bayeslaw.base.arguments import checked
from bayeslaw.base.intervals import CI_PROB
from bayeslaw.plots import style
from bayeslaw.validation.calibration import Calibration

__all__ = ["plot_calibration"]


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
        size = (2.6 * len(kinds), 2.6)
        axes = plt.subplots(1, len(kinds), figsize=size, layout="constrained", sharey=True, squeeze=False)[1][0]
    axes = style.given_axes(axes, len(kinds), "one for each kind of quantity")
    for ax, (kind, quantities) in zip(axes, kinds.items(), strict=True):
        for quantity in quantities:
            x, share, low, high = ecdf_pit(calibration.pit.sel(quantity=quantity).values, CI_PROB, n_simulations=1000)
            ax.plot(x, share - x, lw=0.8)
        ax.fill_between(x, low - x, high - x, color="0.85", zorder=0)
        ax.set_xlabel("rank / number of draws")
        style.finish(ax, f"{kind} ({len(quantities)})")
    axes[0].set_ylabel("share below, minus uniform")
    return axes
