"""One evaluation of the log density and its gradient, as the sampler asks for it: at a known point, in its frame."""

import time

import numpy as np
import xarray as xr

from bayeslaw import Model
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame, conditionals, first_guess
from bayeslaw.sampler.least_squares import Estimate

__all__ = ["seconds_per_gradient"]


def seconds_per_gradient(model: Model, truth: xr.Dataset, budget: float = 0.5) -> float:
    """Return the median seconds of one evaluation near the truth, over about `budget` seconds of them."""
    density = Density(model)
    evals = density.design.evals
    estimate = Estimate(truth.sel(eval=evals), xr.DataArray([0.005] * len(evals), dims="eval", coords={"eval": evals}))
    v = first_guess(density, estimate)
    coordinates = Coordinates(density, conditionals(density, v))
    frame = Frame.around(coordinates, coordinates.inverse(v))
    q = np.zeros(density.size)
    if not np.isfinite(frame(q)[0]):
        raise ArithmeticError("the density has no value at the truth")
    taken: list[float] = []
    while len(taken) < 5 or sum(taken) < budget:
        start = time.perf_counter()
        frame(q)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))
