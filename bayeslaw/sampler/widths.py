"""Coordinates as wide as the noise is large: without them, a small table has a funnel towards small noise.

What a few runs tell of a mean loss or a drop is uncertain by their noise and by the misfit. The variance of such a
coordinate is about that at the mode times 1 - r + 2 r / (exp(2 (m - s)) + exp(m - s)), s the log noise and m that at
the mode: proportional to the noise squared where it is small, and to the noise where it is large, since errors that are
correlated along a run are large where the correlation is long, and the coefficients no less certain. The sampler moves
the deviation from the mode over the root of this.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from bayeslaw.sampler.stored import inner, kept
from bayeslaw.sampler.table import At, reals, whole2

__all__ = ["Widths", "pull_widths", "widen"]


@dataclass(frozen=True, eq=False)
class Widths:
    """Coordinates that are as wide as the noise is large; by default none.

    Attributes
    ----------
    entries : array
        The entry of every coordinate, and of its noise (coordinate, 2).
    share : array
        r, the share of the noise in the variance.
    middle : array
        The coordinate and the log noise at the mode (coordinate, 2).
    """

    entries: np.ndarray = field(default_factory=lambda: np.empty((0, 2), int))
    share: np.ndarray = field(default_factory=lambda: np.empty(0))
    middle: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {"widened": self.entries, "noise_share": self.share, "widened_at": self.middle.ravel()}

    def displace(self, u: np.ndarray) -> None:
        """Divide the deviations from the mode by their relative width."""
        (own, noise), (at, middle) = self.entries.T, self.middle.T
        u[own] = at + (u[own] - at) / np.sqrt(1 - self.share + self.share * _growth(np.exp(middle - u[noise])))


@kept
def _growth(smaller):  # type: ignore[no-untyped-def]
    """Return the factor on the part of the noise, given exp(m - s)."""
    return 2 / (smaller * smaller + smaller)


@inner
def widen(table, u):  # type: ignore[no-untyped-def]
    """Multiply the deviations from the mode by their relative width; return the log Jacobian."""
    entries, share, at = whole2(table, At.widened), reals(table, At.noise_share), reals(table, At.widened_at)
    jacobian = 0.0
    for n in range(len(share)):
        own, middle = entries[n, 0], at[2 * n]
        square = 1 - share[n] + share[n] * _growth(math.exp(at[2 * n + 1] - u[entries[n, 1]]))
        u[own] = middle + (u[own] - middle) * math.sqrt(square)
        jacobian += 0.5 * math.log(square)
    return jacobian


@inner
def pull_widths(table, g, u):  # type: ignore[no-untyped-def]
    """Turn a gradient in coordinates, which u has, into one in relative deviations, the Jacobian included."""
    entries, share, at = whole2(table, At.widened), reals(table, At.noise_share), reals(table, At.widened_at)
    for n in range(len(share)):
        own, noise = entries[n, 0], entries[n, 1]
        smaller = math.exp(at[2 * n + 1] - u[noise])
        grown = share[n] * _growth(smaller)
        square = 1 - share[n] + grown
        slope = grown * (2 * smaller + 1) / (smaller + 1) / square
        g[noise] += 0.5 * slope * (1 + g[own] * (u[own] - at[2 * n]))
        g[own] *= math.sqrt(square)
