"""What the shape prior did to answers: the same draws, weighted as if it had not been there."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.special import softmax

from bayeslaw.base.intervals import CI_PROB, SAMPLE, levels
from bayeslaw.posterior.convergence import MOST_PARETO_K
from bayeslaw.posterior.draws import Posterior
from bayeslaw.posterior.sensitivity import weighable
from bayeslaw.spec.shape import RISE

__all__ = ["WithoutShape", "without_shape"]

BOUNDED = 1.0
"""Log units between the weights of draws up to which they are bounded and need no smoothing of their tail."""


@dataclass(frozen=True)
class WithoutShape:
    """Answers with and without the shape prior.

    Attributes
    ----------
    pareto_k : float
        Reliability of the weights; 0 if they hardly differ.
    answers : dict
        Of every answer by its name, median and interval with the shape prior and without it (3 numbers each); empty if
        the weights are unreliable.
    moved : float
        The largest distance of two medians, in posterior standard deviations.
    """

    pareto_k: float
    answers: Mapping[str, tuple[np.ndarray, np.ndarray]]
    moved: float


def without_shape(fit: Posterior, answers: Mapping[str, xr.DataArray]) -> WithoutShape | None:
    """Return what answers would be without the trends that `monotone` asks for; None where nothing was asked.

    The floors below the observed losses stay. A draw gets back what the shape prior took from its density.
    """
    coefficients = {name: fit.posterior[name] for name in fit.model.law.coefficients}
    against = fit.model.shape.against_trends(coefficients)
    if not (against and weighable(fit)):
        return None
    cost = sum((v**2).sum([d for d in v.dims if d not in SAMPLE]) for v in against) / (2 * RISE**2)
    named = {name: draws.transpose(*SAMPLE).values.ravel() for name, draws in answers.items()}
    ends, log_weight, k = [0.5, *levels(CI_PROB)], cost, 0.0
    if float(cost.max()) > BOUNDED:
        log_weight, pareto_k = (-cost).azstats.psislw(dim=SAMPLE)
        k = float(pareto_k)
    if not k <= MOST_PARETO_K:
        return WithoutShape(k, {}, float("nan"))
    weight = softmax(log_weight.transpose(*SAMPLE).values.ravel())
    found = {name: (np.quantile(y, ends), _weighted(y, weight, ends)) for name, y in named.items()}
    moved = max((abs(b[0] - a[0]) / (named[name].std() or np.inf) for name, (a, b) in found.items()), default=0.0)
    return WithoutShape(k, found, float(moved))


def _weighted(values: np.ndarray, weight: np.ndarray, ends: list[float]) -> np.ndarray:
    """Return weighted quantiles."""
    quantiles: np.ndarray = np.quantile(values, ends, weights=weight, method="inverted_cdf")
    return quantiles
