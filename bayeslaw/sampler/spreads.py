"""The coordinates of the spreads of populations.

Data see how much the drop of a term differs between groups, and less whether its amplitude does or its exponents: the
posterior of the logarithms of their spreads is an L, along whose legs one spread falls towards 0 and the others are as
narrow as ever. The sampler moves the total effect of these spreads on the drop, and the ratios of the exponents'
effects to the amplitude's: of an amplitude r and its exponents j, with effects e on the drop, b to a unit of spread,

    u_r = log sqrt(sum of e^2),    u_j = log(e_j / e_r),    log e = y + log b.

y is the logarithm of a spread with a log-normal prior. Other priors (half-normal, exponential, gamma) fall as the
exponential of an exponential of the logarithm, a wall at which long steps end. There the spread is unit log(1 + exp y),
the unit a middle value of the prior: y is the logarithm far below the unit, and the spread itself far above it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayeslaw.declare.populations import typical
from bayeslaw.sampler.conditionals import Conditionals
from bayeslaw.sampler.parameters import Parameters
from bayeslaw.sampler.stored import inner
from bayeslaw.sampler.table import At, reals, whole

__all__ = ["Spreads", "place_spreads", "pull_spreads", "pull_totals"]


@dataclass(frozen=True, eq=False)
class Spreads:
    """The spreads of populations and how they move.

    Attributes
    ----------
    at : array
        Entries of the spreads in the vector of parameters.
    unit : array
        Of a spread whose prior is not log-normal; 0 for the others.
    leader : array
        Place, in `at`, of the spread of the amplitude with which a spread is totalled; its own if with none.
    weight : array
        log b.
    """

    at: np.ndarray
    unit: np.ndarray
    leader: np.ndarray
    weight: np.ndarray

    @classmethod
    def of(cls, parameters: Parameters, families: Sequence[Conditionals], amplitudes: np.ndarray) -> "Spreads":
        """Return the spreads of families; `amplitudes` are the entries of those that move by the drop of their term."""
        units = np.zeros(parameters.size)
        for block in parameters.values():
            if block.prior.distribution in ("HalfNormal", "Exponential", "Gamma"):
                units[block.place] = typical(block.prior)
        place: dict[int, int] = {}
        leader, effect = [], []
        for family in families:
            size = np.sqrt((family.slope**2).mean(axis=0))
            drops = np.flatnonzero(np.isin(family.entry[0], amplitudes))
            for j, i in enumerate(family.spread):
                if int(i) in place:
                    continue
                place[int(i)] = len(place)
                own = [r for r in drops if j not in drops and size[r, j] > 0 and family.spread[r] != i]
                leader.append(int(family.spread[own[0]] if own else i))
                effect.append(size[own[0], j] if own else 1.0)
        at = np.array(list(place), int)
        unit = units[at]
        weight = np.log(np.array(effect, float) * np.where(unit > 0, unit, 1.0))
        return cls(at, unit, np.array([place[i] for i in leader], int), weight)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {"spreads": self.at, "spread_unit": self.unit, "leader": self.leader, "effect": self.weight}

    def displace(self, v: np.ndarray, u: np.ndarray) -> None:
        """Fill in the coordinates at a parameter vector (compiled, `place_spreads` is the way back)."""
        y, soft = v[self.at], self.unit > 0
        y[soft] = np.log(np.expm1(np.exp(y[soft]) / self.unit[soft]))
        y += self.weight
        total = np.zeros(len(y))
        np.add.at(total, self.leader, np.exp(2 * y))
        leads = self.leader == np.arange(len(y))
        u[self.at] = y - y[self.leader]
        u[self.at[leads]] = np.log(total[leads]) / 2


@inner
def _totals(u, at, leader):  # type: ignore[no-untyped-def]
    """Return, for every amplitude, the sum of the squares of effects in units of its own."""
    total = np.ones(len(at))
    for n in range(len(at)):
        if leader[n] != n:
            total[leader[n]] += math.exp(2 * u[at[n]])
    return total


@inner
def place_spreads(table, u, v, c, chain):  # type: ignore[no-untyped-def]
    """Fill in spreads, their derivatives in y and their logarithms; return the log Jacobian of the logarithms."""
    at, unit, weight = whole(table, At.spreads), reals(table, At.spread_unit), reals(table, At.effect)
    leader, jacobian = whole(table, At.leader), 0.0
    total = _totals(u, at, leader)
    for n in range(len(at)):
        i, first = at[n], leader[n]
        y = u[at[first]] - 0.5 * math.log(total[first]) - weight[n]
        if first != n:
            y += u[i]
        if unit[n] > 0:
            c[i] = unit[n] * (max(y, 0.0) + math.log1p(math.exp(-abs(y))))
            chain[i] = unit[n] / (1 + math.exp(-y))
            v[i] = math.log(c[i])
            jacobian += math.log(chain[i]) - v[i]
        else:
            c[i] = chain[i] = math.exp(min(y, 50.0))
            v[i] = y
    return jacobian


@inner
def pull_spreads(table, g, c, chain):  # type: ignore[no-untyped-def]
    """Turn a gradient in logarithms of spreads into one in y, the Jacobian included."""
    at, unit = whole(table, At.spreads), reals(table, At.spread_unit)
    for n in range(len(at)):
        i = at[n]
        if unit[n] > 0:
            g[i] = (g[i] - 1) * chain[i] / c[i] + 1 - chain[i] / unit[n]


@inner
def pull_totals(table, g, u):  # type: ignore[no-untyped-def]
    """Turn a gradient in y into one in the coordinates."""
    at, leader = whole(table, At.spreads), whole(table, At.leader)
    total = _totals(u, at, leader)
    for n in range(len(at)):
        if leader[n] != n:
            g[at[leader[n]]] += g[at[n]]
    for n in range(len(at)):
        if leader[n] != n:
            g[at[n]] -= math.exp(2 * u[at[n]]) / total[leader[n]] * g[at[leader[n]]]
