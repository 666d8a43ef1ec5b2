"""Sampling: the log density and its gradient, coordinates without curved ridges, and nutpie.

docs/explanation/sampling.md has the reasons. What compiles, Numba and nutpie, is imported when it is asked for.
"""

from typing import TYPE_CHECKING

from bayeslaw.base.lazy import lazy

if TYPE_CHECKING:
    from bayeslaw.sampler.density import Density
    from bayeslaw.sampler.least_squares import estimate
    from bayeslaw.sampler.many_losses import STEP, compiled_losses, in_threads, interval_ends, moments, places
    from bayeslaw.sampler.parameters import Parameters
    from bayeslaw.sampler.sampling import named, sample
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "bayeslaw.sampler.density": ["Density"],
            "bayeslaw.sampler.least_squares": ["estimate"],
            "bayeslaw.sampler.many_losses": [
                "STEP",
                "compiled_losses",
                "in_threads",
                "interval_ends",
                "moments",
                "places",
            ],
            "bayeslaw.sampler.parameters": ["Parameters"],
            "bayeslaw.sampler.sampling": ["named", "sample"],
        },
    )

__all__ = [
    "STEP",
    "Density",
    "Parameters",
    "compiled_losses",
    "estimate",
    "in_threads",
    "interval_ends",
    "moments",
    "named",
    "places",
    "sample",
]
