"""Pooled coefficients as deviations from their conditional means given the population.

The coefficients of a well measured group depend little on the population, those of another almost entirely; which
holds depends on the spread of the population, and in between lies the funnel in which samplers stall. Near the mode the
data give the coordinates w of a group the precision P and pull them with c from w0. Its coefficients differ from those
of the population by d = M (w - m), m the population's location in the same coordinates. With N the inverse of M, D the
diagonal matrix of the spreads, T = N' P N, B = N' P and b = N' (c + P (w0 - m0)), the posterior is about normal:

    K K' = I + D T D,    F = K^-1 D B,    f = K^-1 D b,
    m given D      precision R = R0 + sum of P - F' F,   linear term  sum of P (w0 - m0) - F' f, from m0,
    d given m, D   D K'^-1 (z + f - F (m - m0)),         z standard normal,

R0 the precision of the prior, (w0, m0, D0) the mode, where c = M' D0^-2 M (w0 - m0), so that the means are m0 and w0.
The sampler moves z, and m from its mean in units of the Cholesky factor of R, which are nearly standard normal for
every spread. Spreads occur nowhere as divisors: with D = 0 deviations are z times the spread, as in a hierarchy that is
not centred, and with large D they are those of the data alone. Means and factors depend on D, those of d also on m; the
Jacobian of the factors makes this exact.

M is that of the mode; `bayeslaw.sampler.bends` adds what it leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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

    def displace(self, w: np.ndarray, u: np.ndarray, tau: np.ndarray) -> None:
        """Fill in the deviations from the coordinates (compiled, `bayeslaw.sampler.deviations` is the way back)."""
        told, back, linear = self.of_groups
        precision, left = self.of_population
        root = np.linalg.cholesky(np.eye(len(tau)) + tau[:, None] * told * tau)
        follows = np.linalg.solve(root, tau[:, None] * linear)
        away = w[self.location] - self.home
        parted = np.linalg.solve(back, (w[self.entry] - w[self.location])[..., None])[..., 0]
        expected = follows[..., -1] - follows[..., :-1] @ away
        u[self.entry] = _times(root.transpose(0, 2, 1), parted / tau) - expected
        if len(self.prior):
            rest = follows[..., :-1].transpose(0, 2, 1)
            own = np.linalg.cholesky(precision - (rest @ follows[..., :-1]).sum(axis=0))
            u[self.location] = own.T @ away - np.linalg.solve(own, left - _times(rest, follows[..., -1]).sum(axis=0))

    @cached_property
    def of_groups(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """T, N, and B with b as its last column, of every group."""
        back = np.linalg.inv(self.slope)
        across = back.transpose(0, 2, 1)
        own = self.constant + _times(self.precision, self.center - self.home)
        linear = np.concatenate([self.precision, own[..., None]], axis=-1)
        return across @ self.precision @ back, back, across @ linear

    @cached_property
    def of_population(self) -> tuple[np.ndarray, np.ndarray]:
        """R and its linear term where the spreads are 0."""
        precision = self.precision.sum(axis=0) + (self.prior if len(self.prior) else 0.0)
        return precision, _times(self.precision, self.center - self.home).sum(axis=0)


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
        packs = [_side_by_side(np.concatenate([x, np.zeros((short, *x.shape[1:]))])) for x in f.of_groups]
        volume = -np.linalg.slogdet(f.slope)[1].sum()
        population = [np.ravel(x) for x in (f.home, *f.of_population, volume)]
        numbers += [np.concatenate(packs, axis=1).ravel(), *population]
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
