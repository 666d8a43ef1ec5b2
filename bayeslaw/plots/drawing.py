"""The figure of every kind of answer, which its method ``plot`` draws."""

from functools import singledispatch
from typing import Any

from bayeslaw.decisions.best_mixture import Mixture
from bayeslaw.errors import ArgumentError
from bayeslaw.plots.answers import plot_quantity
from bayeslaw.plots.calibration import plot_calibration
from bayeslaw.plots.mixtures import plot_mixture
from bayeslaw.plots.next_runs import plot_next_runs
from bayeslaw.posterior.quantity import Quantity
from bayeslaw.validation.calibration import Calibration
from bayeslaw.validation.proposals import NextRuns

__all__ = ["draw"]


@singledispatch
def draw(answer: Any, **options: Any) -> Any:
    """Draw an answer on the given axes, or on new ones, and return them."""
    raise ArgumentError(f"{type(answer).__name__} has no figure: give a Quantity, a Calibration or NextRuns")


draw.register(Quantity, plot_quantity)
draw.register(Calibration, plot_calibration)
draw.register(NextRuns, plot_next_runs)


@draw.register
def _(mixture: Mixture, **options: Any) -> Any:
    several = any(dim != "source" for dim in mixture.recommended.dims)
    return (plot_quantity if several else plot_mixture)(mixture, **options)
