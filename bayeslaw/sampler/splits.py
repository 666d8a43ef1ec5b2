"""Terms that fall together: their sum, which the runs determine, and its split between the two, which they do not.

Where sizes and tokens grow in step, the drops of two terms lie along a curve on which their sum is constant. There the
sampler moves s = log(w exp a + exp(b) / w) and t = b - a - 2 log w in place of the log drops a and b. The Jacobian is
1.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from bayeslaw.sampler.stored import inner
from bayeslaw.sampler.table import At, reals, whole2

__all__ = ["Splits", "part", "pull_together"]


@dataclass(frozen=True, eq=False)
class Splits:
    """Pairs of log drops that move by their sum; by default none.

    Attributes
    ----------
    pairs : array
        Their entries (pair, 2).
    log_weight : array
        The logarithm of w, of every pair.
    """

    pairs: np.ndarray = field(default_factory=lambda: np.empty((0, 2), int))
    log_weight: np.ndarray = field(default_factory=lambda: np.empty(0))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {"splits": self.pairs, "split_weight": self.log_weight}

    def displace(self, u: np.ndarray) -> None:
        """Put sums and splits in place of log drops."""
        first, second = self.pairs.T
        a, b = u[first] + self.log_weight, u[second] - self.log_weight
        u[first], u[second] = np.logaddexp(a, b), b - a


@inner
def _log_share(t):  # type: ignore[no-untyped-def]
    """Return the logarithm of the share of a term, 1 / (1 + exp(-t))."""
    return -math.log1p(math.exp(-t)) if t > 0 else t - math.log1p(math.exp(t))


@inner
def part(table, u):  # type: ignore[no-untyped-def]
    """Put log drops in place of sums and splits."""
    pairs, weight = whole2(table, At.splits), reals(table, At.split_weight)
    for n in range(len(weight)):
        s, t = u[pairs[n, 0]], u[pairs[n, 1]]
        u[pairs[n, 0]] = s + _log_share(-t) - weight[n]
        u[pairs[n, 1]] = s + _log_share(t) + weight[n]


@inner
def pull_together(table, g, u):  # type: ignore[no-untyped-def]
    """Turn a point of log drops and the gradient there into sums and splits, and the gradient in them."""
    pairs, weight = whole2(table, At.splits), reals(table, At.split_weight)
    for n in range(len(weight)):
        a, b = pairs[n, 0], pairs[n, 1]
        t = u[b] - u[a] - 2 * weight[n]
        share, of_a, of_b = math.exp(_log_share(t)), g[a], g[b]
        u[a], u[b] = u[b] - weight[n] - _log_share(t), t
        g[a], g[b] = of_a + of_b, (1 - share) * of_b - share * of_a
