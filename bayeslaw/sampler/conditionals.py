"""Pooled coefficients as deviations from their conditional means given the population.

The coefficients of a well measured group depend little on the population, those of another almost entirely; which
holds depends on the spread of the population, and in between lies the funnel in which samplers stall. Near the mode the
data give the coordinates w of a group the precision P, and its coefficients differ from those of the population by
M (w - m), m the population's location in the same coordinates. With the spreads tau, S = M' diag(tau^-2) M and
Q = P + S, the posterior is about normal:

    m given tau      precision R = R0 + sum of S Q^-1 P,   linear term  r0 + sum of S Q^-1 (c + P (w0 - m0)),
    w given m, tau   precision Q,                          mean  w0 + Q^-1 (c + S (m - w0)),

R0 the precision of the prior, c = S (w0 - m0) and r0 = - sum of c at the mode (w0, m0, tau0), where the means are then
m0 and w0. The sampler moves deviations from these means in units of the Cholesky factors, which are nearly standard
normal for every spread. Means and factors depend on tau, those of w also on m; the Jacobian of the factors makes this
exact.

M is that of the mode; `bayeslaw.sampler.bends` adds what it leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayeslaw.sampler.deviations import memory_of, place_families, pull_back_families
from bayeslaw.sampler.lanes import LANES
from bayeslaw.sampler.stored import stored

__all__ = ["Conditionals", "family_arrays"]


@dataclass(frozen=True, eq=False)
class Conditionals:
    """A population and its groups, whose coefficients are measured together within a group.

    Attributes
    ----------
    entry : array (group, coefficient)
        Entries of the groups' coefficients in the vector of parameters.
    location, spread : array (coefficient)
        Entries of the population's location and spread.
    precision, slope : array (group, coefficient, coefficient)
        P; and M, the derivative of each coefficient on its population's scale (first) in the coordinates (second).
    center, constant : array (group, coefficient)
        w0 and c.
    home : array (coefficient)
        m0.
    prior : array (coefficient, coefficient)
        R0; empty if the location is not moved, because other populations share it.
    """

    entry: np.ndarray
    location: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    slope: np.ndarray
    center: np.ndarray
    constant: np.ndarray
    home: np.ndarray
    prior: np.ndarray

    def straight(self, w: np.ndarray, c: np.ndarray, falls: np.ndarray) -> np.ndarray:
        """Return coordinates without the bend of the drops, given the log drops at unit amplitude."""
        straight, tau = w.copy(), c[self.spread]
        share = 1 / (1 + np.einsum("grr->gr", self.precision) * tau**2)
        others = self.slope * (1 - np.eye(len(self.location)))
        left = falls[self.entry] - falls[self.location] + _times(others, w[self.entry] - w[self.location])
        straight[self.entry] -= np.where(falls[self.entry] != 0, share * left, 0.0)
        return straight

    def displace(self, w: np.ndarray, u: np.ndarray, c: np.ndarray) -> None:
        """Fill in the deviations from the coordinates (compiled, `bayeslaw.sampler.deviations` is the way back)."""
        pooling = (self.slope.transpose(0, 2, 1) * c[self.spread] ** -2) @ self.slope
        total = self.precision + pooling
        expected = self.constant + _times(pooling, w[self.location] - self.center)
        left = w[self.entry] - self.center - _times(np.linalg.inv(total), expected)
        u[self.entry] = _times(np.linalg.cholesky(total).transpose(0, 2, 1), left)
        if len(self.prior):
            kept = pooling @ np.linalg.inv(total)
            linear = _times(kept, self.constant + _times(self.precision, self.center - self.home)) - self.constant
            precision = self.prior + (kept @ self.precision).sum(axis=0)
            away = w[self.location] - self.home - np.linalg.solve(precision, linear.sum(axis=0))
            u[self.location] = np.linalg.cholesky(precision).T @ away


def _times(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    product: np.ndarray = np.einsum("gij,gj->gi", matrices, vectors)
    return product


def family_arrays(families: Sequence[Conditionals]) -> dict[str, np.ndarray]:
    """Return the arrays of families of populations and groups for the compiled density: eight groups side by side."""
    shape, entries, numbers, memory = [], [np.zeros(0, int)], [np.zeros(0)], 0
    for f in families:
        shape.append((*f.entry.shape, len(f.prior) > 0, sum(map(len, entries)), sum(map(len, numbers)), memory))
        memory += memory_of(*f.entry.shape)
        short = -len(f.entry) % LANES
        nobody = np.broadcast_to(np.eye(f.entry.shape[1]), (short, *f.precision.shape[1:]))
        own = [np.concatenate([f.precision, nobody])]
        own += [np.concatenate([x, np.zeros((short, *x.shape[1:]))]) for x in (f.slope, f.center, f.constant)]
        packs = [_side_by_side(x) for x in own]
        numbers += [np.concatenate(packs, axis=1).ravel(), f.home, f.prior.ravel()]
        whole = np.concatenate([f.entry, np.repeat(f.entry[:1], short, axis=0)])
        entries += [_side_by_side(whole).ravel(), f.location, f.spread]
    shapes, bent, own = [], [np.zeros(0, int)], [np.zeros(0)]
    for f in families:
        shapes.append((*f.entry.shape, sum(map(len, bent)), sum(map(len, own))))
        bent += [f.entry.ravel(), f.location, f.spread]
        own += [np.einsum("grr->gr", f.precision).ravel(), f.slope.ravel()]
    addresses = [stored(f).address for f in (place_families, pull_back_families) if families]
    return {
        "bent_shape": np.array(shapes, int).reshape(-1, 4),
        "bent_entries": np.concatenate(bent),
        "bent_numbers": np.concatenate(own),
        "family_shape": np.array(shape, int).reshape(-1, 6),
        "family_entries": np.concatenate(entries),
        "family_numbers": np.concatenate(numbers),
        "deviations": np.array([*addresses, memory]) if families else np.zeros(0, int),
    }


def _side_by_side(x: np.ndarray) -> np.ndarray:
    """Return numbers of groups as (pack, number and lane)."""
    return np.moveaxis(x.reshape(-1, LANES, *x.shape[1:]), 1, -1).reshape(len(x) // LANES, -1)
