"""One evaluation of the log density and its gradient, as the sampler asks for it: in its frame, by the address.

The loop is Python's, which adds about a microsecond of the foreign call to every evaluation.
"""

import ctypes
import time

import numpy as np
import xarray as xr

from bayeslaw import Model
from bayeslaw.sampler.compiled import FRAME, address
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.frame import Frame
from bayeslaw.sampler.least_squares import Estimate

__all__ = ["seconds_per_gradient"]


def seconds_per_gradient(model: Model, truth: xr.Dataset, budget: float = 0.5) -> float:
    """Return the median seconds of one evaluation at the mode, found from the truth, over about `budget` seconds."""
    density = Density(model)
    evals = density.design.evals
    estimate = Estimate(truth.sel(eval=evals), xr.DataArray([0.005] * len(evals), dims="eval", coords={"eval": evals}))
    frame = Frame.at_mode(density, estimate)
    arrays = np.zeros(density.size), np.empty(density.size), np.empty(1), frame.tables[FRAME]
    pointer = ctypes.c_void_p
    evaluate = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, *(pointer,) * 4)(address())
    given = len(arrays[0]), *(a.ctypes.data for a in arrays)
    if evaluate(*given):
        raise ArithmeticError("the density has no value at the mode")
    taken: list[float] = []
    while len(taken) < 5 or sum(taken) < budget:
        start = time.perf_counter()
        evaluate(*given)
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))
