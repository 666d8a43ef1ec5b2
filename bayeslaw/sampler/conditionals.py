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

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numba import njit

from bayeslaw.sampler.bends import bend

__all__ = ["Conditionals", "factors", "family_arrays", "place", "pull_back_deviations"]


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

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    def displace(self, w: np.ndarray, u: np.ndarray, c: np.ndarray, falls: np.ndarray) -> None:
        """Fill in the deviations from the coordinates, given the log drops at unit amplitude."""
        straight = w.copy()
        bend(straight, falls, c, self._arrays, -1.0)
        _displace(straight, u, self._arrays, self._factors(c))

    def _factors(self, c: np.ndarray) -> tuple[np.ndarray, ...]:
        groups, k = self.entry.shape
        memory = (*np.zeros((3, groups, k, k)), *np.zeros((3, groups, k)), np.zeros((k, k)), np.zeros(k))
        factors(c, self._arrays, memory)
        return memory


def family_arrays(families: Sequence[Conditionals]) -> dict[str, np.ndarray]:
    """Return the arrays of the families for the compiled density.

    The shape holds the numbers of groups and coefficients, whether the location is moved, and the first places among
    the entries and the numbers.
    """
    shape, entries, numbers = [], [np.zeros(0, int)], [np.zeros(0)]
    for f in families:
        shape.append((*f.entry.shape, len(f.prior) > 0, sum(map(len, entries)), sum(map(len, numbers))))
        entries += [x.ravel() for x in (f.entry, f.location, f.spread)]
        numbers += [x.ravel() for x in (f.precision, f.slope, f.center, f.constant, f.home, f.prior)]
    return {
        "family_shape": np.array(shape, int).reshape(-1, 5),
        "family_entries": np.concatenate(entries),
        "family_numbers": np.concatenate(numbers),
    }


# Loops, because Numba compiles array expressions ten times as slowly.


@njit(cache=True, nogil=True, error_model="numpy")
def _forward(root, x):  # type: ignore[no-untyped-def]
    """Solve L y = x in place."""
    for i in range(len(x)):
        for j in range(i):
            x[i] -= root[i, j] * x[j]
        x[i] /= root[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def _back(root, x):  # type: ignore[no-untyped-def]
    """Solve L' y = x in place."""
    for i in range(len(x) - 1, -1, -1):
        for j in range(i + 1, len(x)):
            x[i] -= root[j, i] * x[j]
        x[i] /= root[i, i]


@njit(cache=True, nogil=True, error_model="numpy")
def _solve(root, x):  # type: ignore[no-untyped-def]
    """Solve L L' y = x in place."""
    _forward(root, x)
    _back(root, x)


@njit(cache=True, nogil=True, error_model="numpy")
def _cholesky(a):  # type: ignore[no-untyped-def]
    """Put L, a = L L', into the lower triangle of a."""
    for i in range(len(a)):
        for j in range(i + 1):
            total = a[i, j]
            for r in range(j):
                total -= a[i, r] * a[j, r]
            a[i, j] = math.sqrt(total) if i == j else total / a[j, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _add(a, x, y):  # type: ignore[no-untyped-def]
    """Add a x to y."""
    for i in range(len(a)):
        for j in range(len(x)):
            y[i] += a[i, j] * x[j]


@njit(cache=True, nogil=True, error_model="numpy")
def factors(c, sets, memory):  # type: ignore[no-untyped-def]
    """Fill in the parts of the memory that depend on the spreads alone.

    S, and L of Q = L L', of every group; if the location is moved, also Q^-1 P and Q^-1 (c + P (w0 - m0)), and for the
    location L of R = L L' and the mean minus m0.
    """
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    pooling, root, shrunk, solved, mean, away, own, shift = memory
    groups, k = solved.shape
    for n in range(groups):
        for r in range(k):
            for i in range(k):
                pull = slope[n, r, i] / c[spread[r]] ** 2
                for j in range(k):
                    pooling[n, i, j] += pull * slope[n, r, j]
        for i in range(k):
            for j in range(k):
                root[n, i, j] = precision[n, i, j] + pooling[n, i, j]
        _cholesky(root[n])
    if len(prior) == 0:
        return
    for i in range(k):
        for j in range(k):
            own[i, j] = prior[i, j]
    for n in range(groups):
        for i in range(k):
            away[n, i] = center[n, i] - home[i]
            solved[n, i] = constant[n, i]
            shift[i] -= constant[n, i]
            for j in range(k):
                shrunk[n, i, j] = precision[n, i, j]
        for j in range(k):
            _solve(root[n], shrunk[n, :, j])
        for i in range(k):
            for r in range(k):
                for j in range(k):
                    own[i, j] += pooling[n, i, r] * shrunk[n, r, j]
        _add(precision[n], away[n], solved[n])
        _solve(root[n], solved[n])
        _add(pooling[n], solved[n], shift)
    _cholesky(own)
    _solve(own, shift)


@njit(cache=True, nogil=True, error_model="numpy")
def _expect(n, w, sets, memory):  # type: ignore[no-untyped-def]
    """Fill in m - w0 of a group, and its mean minus w0: Q^-1 (c + S (m - w0))."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    pooling, root, shrunk, solved, mean, away, own, shift = memory
    for i in range(len(location)):
        away[n, i] = w[location[i]] - center[n, i]
        mean[n, i] = constant[n, i]
    _add(pooling[n], away[n], mean[n])
    _solve(root[n], mean[n])


@njit(cache=True, nogil=True, error_model="numpy")
def place(u, w, sets, memory):  # type: ignore[no-untyped-def]
    """Fill in the coordinates from the deviations; return the log Jacobian."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    pooling, root, shrunk, solved, mean, away, own, shift = memory
    groups, k = entry.shape
    jacobian = 0.0
    z = np.empty(k)
    if len(prior) > 0:
        for i in range(k):
            z[i] = u[location[i]]
        _back(own, z)
        for i in range(k):
            w[location[i]] = home[i] + shift[i] + z[i]
            jacobian -= math.log(own[i, i])
    for n in range(groups):
        _expect(n, w, sets, memory)
        for i in range(k):
            z[i] = u[entry[n, i]]
        _back(root[n], z)
        for i in range(k):
            w[entry[n, i]] = center[n, i] + mean[n, i] + z[i]
            jacobian -= math.log(root[n, i, i])
    return jacobian


@njit(cache=True, nogil=True, error_model="numpy")
def _displace(w, u, sets, memory):  # type: ignore[no-untyped-def]
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    pooling, root, shrunk, solved, mean, away, own, shift = memory
    groups, k = entry.shape
    for n in range(groups):
        _expect(n, w, sets, memory)
        for i in range(k):
            u[entry[n, i]] = 0.0
            for j in range(i, k):
                u[entry[n, i]] += root[n, j, i] * (w[entry[n, j]] - center[n, j] - mean[n, j])
    if len(prior) > 0:
        for i in range(k):
            u[location[i]] = 0.0
            for j in range(i, k):
                u[location[i]] += own[j, i] * (w[location[j]] - home[j] - shift[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_deviation(g, u, at, mean, root, by_linear, by_precision):  # type: ignore[no-untyped-def]
    """Turn the gradient in mean + L'^-1 z into one in z; fill in those in the linear term and in Q = L L'."""
    k = len(at)
    moved, by_root = np.empty(k), np.zeros((k, k))
    for i in range(k):
        moved[i], by_linear[i] = u[at[i]], g[at[i]]
    _back(root, moved)
    _forward(root, by_linear)
    for i in range(k):
        g[at[i]] = by_linear[i]
        for j in range(i + 1):
            by_root[i, j] = -moved[i] * by_linear[j]
        by_root[i, i] -= 1 / root[i, i]
    _back(root, by_linear)
    _pull_cholesky(root, by_root, by_precision)
    for i in range(k):
        for j in range(k):
            by_precision[i, j] -= 0.5 * (by_linear[i] * mean[j] + mean[i] * by_linear[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_cholesky(root, by_root, middle):  # type: ignore[no-untyped-def]
    """Fill in the symmetric gradient in Q = L L' from the gradient in the lower triangle of L (arXiv:1602.07527)."""
    k = len(root)
    for i in range(k):
        for j in range(i + 1):
            total = 0.0
            for n in range(i, k):
                total += root[n, i] * by_root[n, j]
            middle[i, j] = middle[j, i] = 0.5 * total
    for j in range(k):
        _back(root, middle[:, j])
    for i in range(k):
        _back(root, middle[i])


@njit(cache=True, nogil=True, error_model="numpy")
def pull_back_deviations(g, u, c, chain, sets, memory):  # type: ignore[no-untyped-def]
    """Turn a gradient in the coordinates into one in the deviations, Jacobian included."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    pooling, root, shrunk, solved, mean, away, own, shift = memory
    groups, k = entry.shape
    by_linear, pulled, by_total = np.empty(k), np.empty(k), np.empty((k, k))
    by_pooling, half = np.empty((groups, k, k)), np.empty((k, k))
    for n in range(groups):
        _pull_deviation(g, u, entry[n], mean[n], root[n], by_linear, by_pooling[n])
        for i in range(k):
            for j in range(k):
                g[location[i]] += pooling[n, i, j] * by_linear[j]
                by_pooling[n, i, j] += 0.5 * (by_linear[i] * away[n, j] + away[n, i] * by_linear[j])
    if len(prior) > 0:
        _pull_deviation(g, u, location, shift, own, by_linear, by_total)
        for n in range(groups):
            for i in range(k):
                pulled[i] = 0.0
                for j in range(k):
                    half[i, j] = 0.0
                for r in range(k):
                    pulled[i] += shrunk[n, i, r] * by_linear[r]
                    for j in range(k):
                        half[i, j] += shrunk[n, i, r] * by_total[r, j]
            for i in range(k):
                for j in range(k):
                    total = 0.5 * (pulled[i] * solved[n, j] + solved[n, i] * pulled[j])
                    for r in range(k):
                        total += half[i, r] * shrunk[n, j, r]
                    by_pooling[n, i, j] += total
    for r in range(k):
        by_weight = 0.0
        for n in range(groups):
            for i in range(k):
                for j in range(k):
                    by_weight += slope[n, r, i] * by_pooling[n, i, j] * slope[n, r, j]
        g[spread[r]] -= 2 * by_weight * c[spread[r]] ** -3 * chain[spread[r]]
