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
from dataclasses import dataclass, fields

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

    def place(self, u: np.ndarray, w: np.ndarray, c: np.ndarray) -> float:
        """Fill in the coordinates from their deviations; return the log Jacobian."""
        return float(_place(u, w, c, *self._numbers))

    def displace(self, w: np.ndarray, u: np.ndarray, c: np.ndarray) -> None:
        """Fill in the deviations from the coordinates."""
        _displace(w, u, c, *self._numbers)

    def pull_back(self, g: np.ndarray, u: np.ndarray, w: np.ndarray, c: np.ndarray, chain: np.ndarray) -> None:
        """Turn a gradient in the coordinates into one in their deviations, Jacobian included."""
        _pull_back(g, u, w, c, chain, *self._numbers)

    @property
    def _numbers(self) -> tuple[np.ndarray, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))


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
def _cholesky(a):  # type: ignore[no-untyped-def]
    """Put L, a = L L', into the lower triangle of a."""
    for i in range(len(a)):
        for j in range(i + 1):
            total = a[i, j]
            for r in range(j):
                total -= a[i, r] * a[j, r]
            a[i, j] = math.sqrt(total) if i == j else total / a[j, j]


@njit(cache=True, nogil=True, error_model="numpy")
def _times(a, x):  # type: ignore[no-untyped-def]
    y = np.zeros(len(a))
    for i in range(len(a)):
        for j in range(len(x)):
            y[i] += a[i, j] * x[j]
    return y


@njit(cache=True, nogil=True, error_model="numpy")
def _product(a, b):  # type: ignore[no-untyped-def]
    c = np.zeros((len(a), b.shape[1]))
    for i in range(len(a)):
        for r in range(len(b)):
            for j in range(b.shape[1]):
                c[i, j] += a[i, r] * b[r, j]
    return c


@njit(cache=True, nogil=True, error_model="numpy")
def _solved(root, b):  # type: ignore[no-untyped-def]
    """Return (L L')^-1 b."""
    x = b.T.copy()
    for column in x:
        _forward(root, column)
        _back(root, column)
    return x.T


@njit(cache=True, nogil=True, error_model="numpy")
def _pooling(c, spread, precision, slope):  # type: ignore[no-untyped-def]
    """Return S, and L of Q = L L', of every group."""
    groups, k = slope.shape[:2]
    pooling, root = np.zeros((groups, k, k)), precision.copy()
    for n in range(groups):
        for r in range(k):
            weight = c[spread[r]] ** -2
            for i in range(k):
                for j in range(k):
                    pooling[n, i, j] += slope[n, r, i] * weight * slope[n, r, j]
        root[n] += pooling[n]
        _cholesky(root[n])
    return pooling, root


@njit(cache=True, nogil=True, error_model="numpy")
def _of_location(pooling, root, precision, center, constant, home, prior):  # type: ignore[no-untyped-def]
    """Return L of R = L L', and the mean less the home of the location."""
    total, linear = prior.copy(), np.zeros(len(home))
    for n in range(len(root)):
        total += _product(pooling[n], _solved(root[n], precision[n]))
        told = constant[n] + _times(precision[n], center[n] - home)
        _forward(root[n], told)
        _back(root[n], told)
        linear += _times(pooling[n], told) - constant[n]
    total = 0.5 * (total + total.T)
    _cholesky(total)
    _forward(total, linear)
    _back(total, linear)
    return total, linear


@njit(cache=True, nogil=True, error_model="numpy")
def _mean(pooling, root, constant, away):  # type: ignore[no-untyped-def]
    """Return Q^-1 (c + S (m - w0))."""
    mean = constant + _times(pooling, away)
    _forward(root, mean)
    _back(root, mean)
    return mean


@njit(cache=True, nogil=True, error_model="numpy")
def _place(u, w, c, entry, location, spread, precision, slope, center, constant, home, prior):  # type: ignore[no-untyped-def]
    pooling, root = _pooling(c, spread, precision, slope)
    jacobian = 0.0
    if len(prior):
        own, mean = _of_location(pooling, root, precision, center, constant, home, prior)
        z = u[location]
        _back(own, z)
        for i in range(len(location)):
            w[location[i]] = home[i] + mean[i] + z[i]
            jacobian -= math.log(own[i, i])
    for n in range(len(entry)):
        z = u[entry[n]]
        _back(root[n], z)
        z += center[n] + _mean(pooling[n], root[n], constant[n], w[location] - center[n])
        for i in range(len(z)):
            w[entry[n, i]] = z[i]
            jacobian -= math.log(root[n, i, i])
    return jacobian


@njit(cache=True, nogil=True, error_model="numpy")
def _displace(w, u, c, entry, location, spread, precision, slope, center, constant, home, prior):  # type: ignore[no-untyped-def]
    pooling, root = _pooling(c, spread, precision, slope)
    k = len(location)
    for n in range(len(entry)):
        z = w[entry[n]] - center[n] - _mean(pooling[n], root[n], constant[n], w[location] - center[n])
        for i in range(k):
            u[entry[n, i]] = 0.0
            for j in range(i, k):
                u[entry[n, i]] += root[n, j, i] * z[j]
    if len(prior):
        own, mean = _of_location(pooling, root, precision, center, constant, home, prior)
        z = w[location] - home - mean
        for i in range(k):
            u[location[i]] = 0.0
            for j in range(i, k):
                u[location[i]] += own[j, i] * z[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_deviation(g, z, mean, root):  # type: ignore[no-untyped-def]
    """Turn the gradient in mean + L'^-1 z into that in z; return those in Q (the mean's linear term held) and in it."""
    k = len(z)
    moved = z.copy()
    _back(root, moved)
    _forward(root, g)
    by_linear = g.copy()
    _back(root, by_linear)
    by_root = np.zeros((k, k))
    for i in range(k):
        for j in range(i + 1):
            by_root[i, j] = -moved[i] * g[j]
        by_root[i, i] -= 1 / root[i, i]
    by_precision = _cholesky_pull_back(root, by_root)
    for i in range(k):
        for j in range(k):
            by_precision[i, j] -= 0.5 * (by_linear[i] * mean[j] + mean[i] * by_linear[j])
    return by_precision, by_linear


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_back(g, u, w, c, chain, entry, location, spread, precision, slope, center, constant, home, prior):  # type: ignore[no-untyped-def]
    pooling, root = _pooling(c, spread, precision, slope)
    groups, k = entry.shape
    by_pooling = np.empty((groups, k, k))
    for n in range(groups):
        away = w[location] - center[n]
        mean = _mean(pooling[n], root[n], constant[n], away)
        own = g[entry[n]]
        by_pooling[n], by_linear = _pull_deviation(own, u[entry[n]], mean, root[n])
        pulled = _times(pooling[n], by_linear)
        for i in range(k):
            g[entry[n, i]] = own[i]
            g[location[i]] += pulled[i]
            for j in range(k):
                by_pooling[n, i, j] += 0.5 * (by_linear[i] * away[j] + away[i] * by_linear[j])
    if len(prior):
        factor, mean = _of_location(pooling, root, precision, center, constant, home, prior)
        own = g[location]
        by_total, by_linear = _pull_deviation(own, u[location], mean, factor)
        for i in range(k):
            g[location[i]] = own[i]
        for n in range(groups):
            shrunk = _solved(root[n], precision[n])
            by_pooling[n] += _product(shrunk, _product(by_total, shrunk.T))
            told = constant[n] + _times(precision[n], center[n] - home)
            _forward(root[n], told)
            _back(root[n], told)
            pulled = _times(shrunk, by_linear)
            for i in range(k):
                for j in range(k):
                    by_pooling[n, i, j] += 0.5 * (pulled[i] * told[j] + told[i] * pulled[j])
    for r in range(k):
        by_weight = 0.0
        for n in range(groups):
            for i in range(k):
                for j in range(k):
                    by_weight += slope[n, r, i] * by_pooling[n, i, j] * slope[n, r, j]
        g[spread[r]] -= 2 * by_weight * c[spread[r]] ** -3 * chain[spread[r]]


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
