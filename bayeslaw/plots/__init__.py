"""Figures of the answers, in one style: functions draw on the given axes, or on new ones, and return them."""

from typing import TYPE_CHECKING

from bayeslaw.base.lazy import lazy

if TYPE_CHECKING:
    from bayeslaw.plots.answers import plot_critical_ratio, plot_intervals, plot_quantity
    from bayeslaw.plots.calibration import plot_calibration, plot_coverage
    from bayeslaw.plots.curves import plot_along, plot_curve, plot_turning_point
    from bayeslaw.plots.fits import plot_fit, plot_forest, plot_learned, plot_prior_posterior, plot_shares
    from bayeslaw.plots.mixtures import plot_mixture, plot_regret, plot_sources
    from bayeslaw.plots.next_runs import plot_next_runs
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "bayeslaw.plots.answers": ["plot_critical_ratio", "plot_intervals", "plot_quantity"],
            "bayeslaw.plots.calibration": ["plot_calibration", "plot_coverage"],
            "bayeslaw.plots.curves": ["plot_along", "plot_curve", "plot_turning_point"],
            "bayeslaw.plots.fits": ["plot_fit", "plot_forest", "plot_learned", "plot_prior_posterior", "plot_shares"],
            "bayeslaw.plots.mixtures": ["plot_mixture", "plot_regret", "plot_sources"],
            "bayeslaw.plots.next_runs": ["plot_next_runs"],
        },
    )

__all__ = [
    "plot_along",
    "plot_calibration",
    "plot_coverage",
    "plot_critical_ratio",
    "plot_curve",
    "plot_fit",
    "plot_forest",
    "plot_intervals",
    "plot_learned",
    "plot_mixture",
    "plot_next_runs",
    "plot_prior_posterior",
    "plot_quantity",
    "plot_regret",
    "plot_shares",
    "plot_sources",
    "plot_turning_point",
]
