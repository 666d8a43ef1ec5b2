"""Figures of the answers, in one house style: functions draw on the given axes, or on new ones, and return them."""

from typing import Any

from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.plots.answers import plot_critical_ratio, plot_intervals, plot_quantity
from bayeslaw.plots.calibration import plot_calibration
from bayeslaw.plots.curves import plot_along, plot_curve, plot_turning_point
from bayeslaw.plots.fits import plot_fit, plot_forest, plot_learned, plot_prior_posterior, plot_shares
from bayeslaw.plots.mixtures import plot_mixture, plot_regret, plot_sources
from bayeslaw.posterior.quantity import Quantity, drawn
from bayeslaw.validation.calibration import Calibration

__all__ = [
    "plot_along",
    "plot_calibration",
    "plot_critical_ratio",
    "plot_curve",
    "plot_fit",
    "plot_forest",
    "plot_intervals",
    "plot_learned",
    "plot_mixture",
    "plot_prior_posterior",
    "plot_quantity",
    "plot_regret",
    "plot_shares",
    "plot_sources",
    "plot_turning_point",
]

drawn.register(Quantity, plot_quantity)
drawn.register(Calibration, plot_calibration)


@drawn.register
def _(mixture: Mixture, **options: Any) -> Any:
    several = any(dim != "source" for dim in mixture.recommended.dims)
    return (plot_quantity if several else plot_mixture)(mixture, **options)
