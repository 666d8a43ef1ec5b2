"""Pooled coefficients as deviations from what the groups' data and the population expect of them.

A group that is well measured should move by itself, one that is not should move with its population; which of the two
holds changes with the spread of the population, and between them lies the funnel where samplers stall. Near the mode
the data give the coordinates w of group g the precision P, and its coefficients are off those of the population by
M (w - m), m the population's location in the same coordinates. With the spreads tau, S = M' diag(tau^-2) M and
Q = P + S, all this is about normal:

    m given tau      precision R = R0 + sum of S Q^-1 P,   linear term  r0 + sum of S Q^-1 (c + P (w0 - m0)),
    w given m, tau   precision Q,                          mean  w0 + Q^-1 (c + S (m - w0)),

R0 the prior's, and c = S (w0 - m0) and r0 = - sum of c at the mode (w0, m0, tau0), so that there the means are m0 and
w0. The sampler moves deviations from these means in units of the Cholesky factors: nearly standard normal whatever the
spreads are. Shifts and scales depend on tau, and those of w on m too: exact, with the Jacobian of the factors.
"""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit

__all__ = ["Conditionals"]


@dataclass(frozen=True, eq=False)
class Conditionals:
    """A population and its groups: as many coefficients each, tied together by the data within a group.

    Attributes
    ----------
    entry : array (group, coefficient)
        Where the groups' coefficients lie in the vector of parameters.
    location, spread : array (coefficient)
        Where location and spread of the population lie.
    precision, slope : array (group, coefficient, coefficient)
        P; and M: derivative of each coefficient on the scale of its population (first) in the coordinates (second).
    center, constant : array (group, coefficient)
        w0 and c.
    home : array (coefficient)
        m0.
    prior : array (coefficient, coefficient)
        R0; empty where the location is not moved: other populations have a part in it.
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

    def place(self, u: np.ndarray, w: np.ndarray, c: np.ndarray) -> tuple[float, tuple[np.ndarray, ...]]:
        """Fill in the coordinates from their deviations; return the log Jacobian and what `pull_back` needs."""
        memory = self._factors(c)
        jacobian = _place(u, w, *self._at, *memory, *self._from, self._moved)  # type: ignore[call-arg]
        return float(jacobian), memory

    def displace(self, w: np.ndarray, u: np.ndarray, c: np.ndarray) -> None:
        """Fill in the deviations from the coordinates."""
        _displace(w, u, *self._at, *self._factors(c), *self._from, self._moved)  # type: ignore[call-arg]

    def pull_back(
        self, g: np.ndarray, u: np.ndarray, c: np.ndarray, chain: np.ndarray, memory: tuple[np.ndarray, ...]
    ) -> None:
        """Turn a gradient in the coordinates into one in their deviations, Jacobian included."""
        _pull_back(g, u, c, chain, *self._at, *memory, self.spread, self.slope, self._moved)  # type: ignore[call-arg]

    def _factors(self, c: np.ndarray) -> tuple[np.ndarray, ...]:
        groups, k = self.entry.shape
        memory = (*np.zeros((3, groups, k, k)), *np.zeros((3, groups, k)), np.zeros((k, k)), np.zeros(k))
        _factors(c, self.spread, self.precision, self.slope, *self._from, self.prior, *memory)
        return memory

    @property
    def _at(self) -> tuple[np.ndarray, np.ndarray]:
        return self.entry, self.location

    @property
    def _from(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.center, self.constant, self.home

    @property
    def _moved(self) -> bool:
        return len(self.prior) > 0


# Loops instead of array expressions: those take Numba ten times as long to compile.


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
def _solve(root, columns):  # type: ignore[no-untyped-def]
    """Solve L L' x = b in place for every column."""
    k = len(root)
    for i in range(k):
        for j in range(k):
            for r in range(i):
                columns[i, j] -= root[i, r] * columns[r, j]
            columns[i, j] /= root[i, i]
    for i in range(k - 1, -1, -1):
        for j in range(k):
            for r in range(i + 1, k):
                columns[i, j] -= root[r, i] * columns[r, j]
            columns[i, j] /= root[i, i]


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
def _factors(  # type: ignore[no-untyped-def]
    c, spread, precision, slope, center, constant, home, prior, pooling, root, shrunk, told, mean, away, own, shift
):
    """Fill in what only the spreads decide.

    S, and L of Q = L L', of every group; if the location is moved, also Q^-1 P and what a group tells of it, and L of
    R = L L' and the mean less the home of the location.
    """
    groups, k = told.shape
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
            told[n, i] = constant[n, i]
            shift[i] -= constant[n, i]
            for j in range(k):
                shrunk[n, i, j] = precision[n, i, j]
        _solve(root[n], shrunk[n])
        for i in range(k):
            for r in range(k):
                for j in range(k):
                    own[i, j] += pooling[n, i, r] * shrunk[n, r, j]
        _add(precision[n], away[n], told[n])
        _forward(root[n], told[n])
        _back(root[n], told[n])
        _add(pooling[n], told[n], shift)
    _cholesky(own)
    _forward(own, shift)
    _back(own, shift)


@njit(cache=True, nogil=True, error_model="numpy")
def _expect(n, w, location, pooling, root, mean, away, center, constant):  # type: ignore[no-untyped-def]
    """Fill in how far the population is away from a group's center, and Q^-1 (c + S (m - w0))."""
    for i in range(len(location)):
        away[n, i] = w[location[i]] - center[n, i]
        mean[n, i] = constant[n, i]
    _add(pooling[n], away[n], mean[n])
    _forward(root[n], mean[n])
    _back(root[n], mean[n])


@njit(cache=True, nogil=True, error_model="numpy")
def _place(  # type: ignore[no-untyped-def]
    u, w, entry, location, pooling, root, shrunk, told, mean, away, own, shift, center, constant, home, moved
):
    groups, k = entry.shape
    jacobian = 0.0
    z = np.empty(k)
    if moved:
        for i in range(k):
            z[i] = u[location[i]]
        _back(own, z)
        for i in range(k):
            w[location[i]] = home[i] + shift[i] + z[i]
            jacobian -= math.log(own[i, i])
    for n in range(groups):
        _expect(n, w, location, pooling, root, mean, away, center, constant)
        for i in range(k):
            z[i] = u[entry[n, i]]
        _back(root[n], z)
        for i in range(k):
            w[entry[n, i]] = center[n, i] + mean[n, i] + z[i]
            jacobian -= math.log(root[n, i, i])
    return jacobian


@njit(cache=True, nogil=True, error_model="numpy")
def _displace(  # type: ignore[no-untyped-def]
    w, u, entry, location, pooling, root, shrunk, told, mean, away, own, shift, center, constant, home, moved
):
    groups, k = entry.shape
    for n in range(groups):
        _expect(n, w, location, pooling, root, mean, away, center, constant)
        for i in range(k):
            u[entry[n, i]] = 0.0
            for j in range(i, k):
                u[entry[n, i]] += root[n, j, i] * (w[entry[n, j]] - center[n, j] - mean[n, j])
    if moved:
        for i in range(k):
            u[location[i]] = 0.0
            for j in range(i, k):
                u[location[i]] += own[j, i] * (w[location[j]] - home[j] - shift[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_deviation(g, u, at, mean, root, by_linear, by_precision):  # type: ignore[no-untyped-def]
    """Turn the gradient in mean + L'^-1 z into that in z; fill in those in Q (the linear term held) and in that."""
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
def _pull_back(  # type: ignore[no-untyped-def]
    g, u, c, chain, entry, location, pooling, root, shrunk, told, mean, away, own, shift, spread, slope, moved
):
    groups, k = entry.shape
    by_linear, pulled, by_total = np.empty(k), np.empty(k), np.empty((k, k))
    by_pooling, half = np.empty((groups, k, k)), np.empty((k, k))
    for n in range(groups):
        _pull_deviation(g, u, entry[n], mean[n], root[n], by_linear, by_pooling[n])
        for i in range(k):
            for j in range(k):
                g[location[i]] += pooling[n, i, j] * by_linear[j]
                by_pooling[n, i, j] += 0.5 * (by_linear[i] * away[n, j] + away[n, i] * by_linear[j])
    if moved:
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
                    total = 0.5 * (pulled[i] * told[n, j] + told[n, i] * pulled[j])
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
