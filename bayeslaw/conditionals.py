"""Pooled coefficients as deviations from what a group's own data and its population expect of them.

A group that is well measured should move by itself, one that is not should move with its population; which of the two
holds changes with the spread of the population, and between them lies the funnel where samplers stall. Near the mode
the data give a group's coordinates w the precision P, and its coefficients are off those of the population by
M (w - m), m the population's location in the same coordinates. Given m and the spreads tau, w is about normal with

    precision  Q = P + S,    S = M' diag(tau^-2) M,
    mean       w0 + Q^-1 (c + S (m - w0)),

c such that the mean at the mode is w0. The sampler moves u, w = mean + L'^-1 u with Q = L L': nearly standard normal
whatever m and tau are. A shift and scale that depend on m and tau only: exact, with the Jacobian of L.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
from numba import njit

__all__ = ["Conditionals"]


@dataclass(frozen=True, eq=False)
class Conditionals:
    """Sets of as many pooled coefficients each, tied together by the data within a set and not between.

    Attributes
    ----------
    entry, location_at, spread_at : array (set, coefficient)
        Where the coefficients, and location and spread of their populations, lie in the vector of parameters.
    precision : array (set, coefficient, coefficient)
        P.
    slope : array (set, coefficient, coefficient)
        M: derivative of each coefficient on the scale of its population (first) in the coordinates (second).
    center, constant : array (set, coefficient)
        w0 and c.
    """

    entry: np.ndarray
    location_at: np.ndarray
    spread_at: np.ndarray
    precision: np.ndarray
    slope: np.ndarray
    center: np.ndarray
    constant: np.ndarray

    def place(self, u: np.ndarray, w: np.ndarray, c: np.ndarray) -> float:
        """Fill in the coordinates from their deviations; return the log Jacobian."""
        return float(_place(u, w, c, *self._numbers))

    def displace(self, w: np.ndarray, u: np.ndarray, c: np.ndarray) -> None:
        """Fill in the deviations from the coordinates."""
        _displace(w, u, c, *self._numbers)

    def pull_back(self, g: np.ndarray, u: np.ndarray, c: np.ndarray, chain: np.ndarray) -> None:
        """Turn a gradient in the coordinates into one in their deviations, Jacobian included."""
        _pull_back(g, u, c, chain, *self._numbers)

    @property
    def _numbers(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))


@njit(cache=True, nogil=True, error_model="numpy")
def _conditional(w, c, n, location_at, spread_at, precision, slope, center, constant, root, mean):  # type: ignore[no-untyped-def]
    """Fill in L and Q^-1 (c + S (m - w0)) of set n."""
    k = len(mean)
    for i in range(k):
        mean[i] = constant[n, i]
        for j in range(i + 1):
            root[i, j] = precision[n, i, j]
    for r in range(k):
        weight, away = c[spread_at[n, r]] ** -2, 0.0
        for i in range(k):
            away += slope[n, r, i] * (w[location_at[n, i]] - center[n, i])
        for i in range(k):
            pull = slope[n, r, i] * weight
            mean[i] += pull * away
            for j in range(i + 1):
                root[i, j] += pull * slope[n, r, j]
    for i in range(k):
        for j in range(i + 1):
            total = root[i, j]
            for r in range(j):
                total -= root[i, r] * root[j, r]
            root[i, j] = math.sqrt(total) if i == j else total / root[j, j]
    _forward(root, mean)
    _back(root, mean)


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
def _place(u, w, c, entry, location_at, spread_at, precision, slope, center, constant):  # type: ignore[no-untyped-def]
    sets, k = entry.shape
    root, mean, z = np.zeros((k, k)), np.empty(k), np.empty(k)
    jacobian = 0.0
    for n in range(sets):
        _conditional(u, c, n, location_at, spread_at, precision, slope, center, constant, root, mean)
        for i in range(k):
            z[i] = u[entry[n, i]]
            jacobian -= math.log(root[i, i])
        _back(root, z)
        for i in range(k):
            w[entry[n, i]] = center[n, i] + mean[i] + z[i]
    return jacobian


@njit(cache=True, nogil=True, error_model="numpy")
def _displace(w, u, c, entry, location_at, spread_at, precision, slope, center, constant):  # type: ignore[no-untyped-def]
    sets, k = entry.shape
    root, mean = np.zeros((k, k)), np.empty(k)
    for n in range(sets):
        _conditional(w, c, n, location_at, spread_at, precision, slope, center, constant, root, mean)
        for i in range(k):
            u[entry[n, i]] = 0.0
            for j in range(i, k):
                u[entry[n, i]] += root[j, i] * (w[entry[n, j]] - center[n, j] - mean[j])


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_back(g, u, c, chain, entry, location_at, spread_at, precision, slope, center, constant):  # type: ignore[no-untyped-def]
    sets, k = entry.shape
    root, by_root, mean = np.zeros((k, k)), np.zeros((k, k)), np.empty(k)
    z, by_u, by_mean = np.empty(k), np.empty(k), np.empty(k)
    for n in range(sets):
        _conditional(u, c, n, location_at, spread_at, precision, slope, center, constant, root, mean)
        for i in range(k):
            z[i] = u[entry[n, i]]
            by_u[i] = g[entry[n, i]]
        _back(root, z)
        _forward(root, by_u)
        by_mean[:] = by_u
        _back(root, by_mean)
        for i in range(k):
            g[entry[n, i]] = by_u[i]
            for j in range(i + 1):
                by_root[i, j] = -z[i] * by_u[j]
            by_root[i, i] -= 1 / root[i, i]
        by_precision = _cholesky_pull_back(root, by_root)
        for i in range(k):
            for j in range(k):
                by_precision[i, j] -= 0.5 * (by_mean[i] * mean[j] + mean[i] * by_mean[j])
        for r in range(k):
            pull, away, by_weight, spread = 0.0, 0.0, 0.0, spread_at[n, r]
            for i in range(k):
                pull += slope[n, r, i] * by_mean[i]
                away += slope[n, r, i] * (u[location_at[n, i]] - center[n, i])
                for j in range(k):
                    by_weight += slope[n, r, i] * by_precision[i, j] * slope[n, r, j]
            by_weight += pull * away
            for i in range(k):
                g[location_at[n, i]] += pull * c[spread] ** -2 * slope[n, r, i]
            g[spread] -= 2 * by_weight * c[spread] ** -3 * chain[spread]


@njit(cache=True, nogil=True, error_model="numpy")
def _cholesky_pull_back(root, by_root):  # type: ignore[no-untyped-def]
    """Return the symmetric gradient in Q = L L' from the gradient in the lower triangle of L (arXiv:1602.07527)."""
    k = len(root)
    middle = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1):
            for n in range(i, k):
                middle[i, j] += root[n, i] * by_root[n, j]
        middle[i, i] *= 0.5
    for i in range(k):
        for j in range(i):
            middle[i, j] = middle[j, i] = 0.5 * middle[i, j]
    column = np.empty(k)
    for j in range(k):
        for i in range(k):
            column[i] = middle[i, j]
        _back(root, column)
        middle[:, j] = column
    for i in range(k):
        for j in range(k):
            column[j] = middle[i, j]
        _back(root, column)
        middle[i, :] = column
    return middle
