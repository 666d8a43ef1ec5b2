"""Positive coefficients that may be nothing: their logarithm has a wall, which long steps run into.

What a mixture of many sources lacks without one of them, say, is known not to exceed some value. Below it the prior of
the logarithm goes on for several units, and above it the likelihood falls as the exponential of an exponential. The
sampler moves y, of which the coefficient is unit log(1 + exp y): far below the unit y is its logarithm, far above it
the coefficient itself. The unit is about the standard deviation that the runs alone would give the coefficient.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from bayeslaw.sampler.stored import inner
from bayeslaw.sampler.table import At, reals, whole

__all__ = ["Softened", "harden", "pull_softened"]


@dataclass(frozen=True, eq=False)
class Softened:
    """Logarithms that move by y; by default none.

    Attributes
    ----------
    entries : array
        Their entries.
    log_unit : array
        The logarithms of the units.
    """

    entries: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    log_unit: np.ndarray = field(default_factory=lambda: np.empty(0))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {"softened": self.entries, "log_unit": self.log_unit}

    def displace(self, u: np.ndarray) -> None:
        """Put y in place of the logarithms."""
        units = np.exp(u[self.entries] - self.log_unit)
        u[self.entries] = units + np.log(-np.expm1(-units))


@inner
def _units(y):  # type: ignore[no-untyped-def]
    """Return log(1 + exp y)."""
    return y + math.log1p(math.exp(-y)) if y > 0 else math.log1p(math.exp(y))


@inner
def harden(table, u):  # type: ignore[no-untyped-def]
    """Put the logarithms in place of y; return the log Jacobian."""
    entries, log_unit, jacobian = whole(table, At.softened), reals(table, At.log_unit), 0.0
    for n in range(len(entries)):
        y = u[entries[n]]
        log_units = math.log(_units(y)) if y > -30 else y
        u[entries[n]] = log_unit[n] + log_units
        jacobian -= _units(-y) + log_units
    return jacobian


@inner
def pull_softened(table, g, u):  # type: ignore[no-untyped-def]
    """Turn a gradient in logarithms, which u has, into one in y, the Jacobian included."""
    entries, log_unit = whole(table, At.softened), reals(table, At.log_unit)
    for n in range(len(entries)):
        units = math.exp(u[entries[n]] - log_unit[n])
        below = math.exp(-units)  # 1 / (1 + exp y)
        slope = -math.expm1(-units) / units if units > 0 else 1.0
        g[entries[n]] = (g[entries[n]] - 1) * slope + below
