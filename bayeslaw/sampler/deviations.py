"""The map between coordinates and deviations from conditional means, for eight groups at a time: what is compiled.

See `bayeslaw.sampler.conditionals` for what is computed, in whose terms functions are described here. Vectors and
matrices of lanes lie in one array, the memory, from a place on; those of a population have eight equal lanes.
"""

import math

import numpy as np
from numba import njit

from bayeslaw.sampler.lanes import (
    LANES,
    add,
    gather,
    lanes_at,
    log_total,
    put,
    spread,
    square_root,
    total,
)
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = ["memory_of", "place_families", "pull_back_families"]


def memory_of(groups: int, k: int) -> int:
    """Return how many numbers the memory of a family holds: of packs, of the population, and for use."""
    return (-(-groups // LANES) * (2 * k * k + 4 * k) + 4 * k * k + 9 * k) * LANES


@njit(nogil=True, error_model="numpy")
def _room(k):  # type: ignore[no-untyped-def]
    """Return the numbers kept for a pack: K, F and f, r = K^-1 D a + z, K'^-1 r, and the gradient in r."""
    return (2 * k * k + 4 * k) * LANES


@njit(nogil=True, error_model="numpy")
def _given(k):  # type: ignore[no-untyped-def]
    """Return the numbers given for a pack: T, N, then B and b."""
    return (3 * k * k + k) * LANES


@njit(nogil=True, error_model="numpy")
def _element(m, matrix, i, j, k):  # type: ignore[no-untyped-def]
    return lanes_at(m, matrix + (i * k + j) * LANES)


@njit(nogil=True, error_model="numpy")
def _forward(m, root, x, step, k):  # type: ignore[no-untyped-def]
    """Solve L y = x in place; the elements of x are `step` lanes apart."""
    for i in range(k):
        value = lanes_at(m, x + i * step * LANES)
        for j in range(i):
            value = value - _element(m, root, i, j, k) * lanes_at(m, x + j * step * LANES)
        put(m, x + i * step * LANES, value / _element(m, root, i, i, k))


@njit(nogil=True, error_model="numpy")
def _back(m, root, x, step, k):  # type: ignore[no-untyped-def]
    """Solve L' y = x in place."""
    for i in range(k - 1, -1, -1):
        value = lanes_at(m, x + i * step * LANES)
        for j in range(i + 1, k):
            value = value - _element(m, root, j, i, k) * lanes_at(m, x + j * step * LANES)
        put(m, x + i * step * LANES, value / _element(m, root, i, i, k))


@njit(nogil=True, error_model="numpy")
def _cholesky(m, a, k):  # type: ignore[no-untyped-def]
    """Put L, a = L L', into the lower triangle of a."""
    for i in range(k):
        for j in range(i + 1):
            value = _element(m, a, i, j, k)
            for r in range(j):
                value = value - _element(m, a, i, r, k) * _element(m, a, j, r, k)
            put(m, a + (i * k + j) * LANES, square_root(value) if i == j else value / _element(m, a, j, j, k))


@njit(nogil=True, error_model="numpy")
def _log_determinant(m, root, groups, memory, k):  # type: ignore[no-untyped-def]
    product = _element(m, root, 0, 0, k)
    for i in range(1, k):
        product = product * _element(m, root, i, i, k)
    return log_total(product, groups, m[memory:])


@njit(nogil=True, error_model="numpy")
def _dot(m, x, of_x, n, y, of_y, k):  # type: ignore[no-untyped-def]
    """Return the product of k lanes of one array, `of_x` lanes apart, and of another."""
    found = spread(0.0)
    for r in range(k):
        found = found + lanes_at(m, x + r * of_x * LANES) * lanes_at(n, y + r * of_y * LANES)
    return found


@njit(nogil=True, error_model="numpy")
def _factors(m, at, packs, k, numbers, first, moved, tau):  # type: ignore[no-untyped-def]
    """Fill in what depends on the spreads alone: K, F and f of every pack; the root of R and the linear term."""
    square, vector = k * k * LANES, k * LANES
    home, own = first + packs * _given(k) + k, at + packs * _room(k)
    for i in range(k * k + k if moved else 0):
        put(m, own + i * LANES, spread(numbers[home + i] / LANES))
    for n in range(packs):
        root = at + n * _room(k)
        follows, told = root + square, first + n * _given(k)
        linear = told + 2 * square
        for i in range(k):
            for j in range(i + 1):
                scaled = tau[i] * tau[j] * _element(numbers, told, i, j, k)
                put(m, root + (i * k + j) * LANES, scaled + (1.0 if i == j else 0.0))
            for j in range(k + 1):
                put(m, follows + (i * (k + 1) + j) * LANES, tau[i] * _element(numbers, linear, i, j, k + 1))
        _cholesky(m, root, k)
        for j in range(k + 1):
            _forward(m, root, follows + j * LANES, k + 1, k)
        for i in range(k if moved else 0):
            for j in range(i + 1):
                lost = _dot(m, follows + i * LANES, k + 1, m, follows + j * LANES, k + 1, k)
                add(m, own + (i * k + j) * LANES, 0.0 - lost)
            lost = _dot(m, follows + i * LANES, k + 1, m, follows + vector, k + 1, k)
            add(m, own + square + i * LANES, 0.0 - lost)
    if moved:
        for i in range(k * k + k):
            put(m, own + i * LANES, spread(total(lanes_at(m, own + i * LANES))))
        _cholesky(m, own, k)


@njit(nogil=True, error_model="numpy")
def _spreads(c, entries, first, k):  # type: ignore[no-untyped-def]
    tau = np.empty(k)
    for i in range(k):
        tau[i] = c[entries[first + i]]
    return tau


def place_families(table_address, u_address, w_address, c_address, memory_address, _):  # type: ignore[no-untyped-def]
    """Fill in the coordinates from the deviations of all families; return the log Jacobian."""
    table = table_at(table_address)
    size, jacobian = count(table, At.scale), 0.0
    u, w, c = number_at(u_address, size), number_at(w_address, size), number_at(c_address, size)
    m = number_at(memory_address, whole(table, At.deviations)[2])
    shape, entries, numbers = (
        whole2(table, At.family_shape),
        whole(table, At.family_entries),
        reals(table, At.family_numbers),
    )
    for f in range(shape.shape[0]):
        groups, k, moved, entry = shape[f, 0], shape[f, 1], shape[f, 2], shape[f, 3]
        first, at = shape[f, 4], shape[f, 5]
        packs, square, vector = (groups + LANES - 1) // LANES, k * k * LANES, k * LANES
        location, home, own = entry + packs * vector, first + packs * _given(k), at + packs * _room(k)
        r = own + square + vector
        away, used = r + vector, r + 2 * vector
        tau = _spreads(c, entries, location + k, k)
        _factors(m, at, packs, k, numbers, first, moved, tau)
        jacobian += numbers[home + 2 * k + k * k]
        for i in range(k):
            jacobian += groups * math.log(tau[i])
            put(m, away + i * LANES, spread(u[entries[location + i]] - numbers[home + i]))
        if moved:
            for i in range(k):
                put(m, r + i * LANES, lanes_at(m, own + square + i * LANES))
            _forward(m, own, r, 1, k)
            for i in range(k):
                add(m, r + i * LANES, spread(u[entries[location + i]]))
                put(m, away + i * LANES, lanes_at(m, r + i * LANES))
            _back(m, own, away, 1, k)
            for i in range(k):
                w[entries[location + i]] = numbers[home + i] + m[away + i * LANES]
            jacobian -= _log_determinant(m, own, 1, used, k)
        for n in range(packs):
            root = at + n * _room(k)
            follows, turned = first + n * _given(k) + square, root + square
            r = turned + square + vector
            solved = r + vector
            for i in range(k):
                value = gather(u, entries, entry + n * vector + i * LANES) + _element(m, turned, i, k, k + 1)
                value = value - _dot(m, turned + i * (k + 1) * LANES, 1, m, away, 1, k)
                put(m, r + i * LANES, value)
                put(m, solved + i * LANES, value)
            _back(m, root, solved, 1, k)
            for i in range(k):
                put(m, used + i * LANES, tau[i] * lanes_at(m, solved + i * LANES))
            for i in range(k):
                value = w[entries[location + i]] + _dot(numbers, follows + i * vector, 1, m, used, 1, k)
                put(m, used + (k + i) * LANES, value)
            own_groups = min(LANES, groups - n * LANES)
            for i in range(k):
                for j in range(own_groups):
                    w[entries[entry + n * vector + i * LANES + j]] = m[used + (k + i) * LANES + j]
            jacobian -= _log_determinant(m, root, own_groups, used, k)
    return jacobian


@njit(nogil=True, error_model="numpy")
def _pull_root(m, root, x, k):  # type: ignore[no-untyped-def]
    """Turn x, symmetric, into L'^-1 x L^-1 in place: twice the gradient in L L', x that of L' times the one in L."""
    for j in range(k):
        _back(m, root, x + j * LANES, k, k)
    for i in range(k):
        _back(m, root, x + i * k * LANES, 1, k)


def pull_back_families(table_address, g_address, u_address, c_address, chain_address, memory_address):  # type: ignore[no-untyped-def]
    """Turn a gradient in the coordinates into one in the deviations of all families, Jacobian included."""
    table = table_at(table_address)
    size = count(table, At.scale)
    g, u, c = number_at(g_address, size), number_at(u_address, size), number_at(c_address, size)
    chain, m = number_at(chain_address, size), number_at(memory_address, whole(table, At.deviations)[2])
    shape, entries, numbers = (
        whole2(table, At.family_shape),
        whole(table, At.family_entries),
        reals(table, At.family_numbers),
    )
    for f in range(shape.shape[0]):
        groups, k, moved, entry = shape[f, 0], shape[f, 1], shape[f, 2], shape[f, 3]
        first, at = shape[f, 4], shape[f, 5]
        packs, square, vector = (groups + LANES - 1) // LANES, k * k * LANES, k * LANES
        location, own = entry + packs * vector, at + packs * _room(k)
        tau = _spreads(c, entries, location + k, k)
        r, away = own + square + vector, own + square + 2 * vector
        by_away, by_tau, by_linear, force = away + vector, away + 2 * vector, away + 3 * vector, away + 4 * vector
        by_precision = force + vector
        by_root, by_follows = by_precision + square, by_precision + 2 * square
        for i in range(k):
            put(m, by_away + i * LANES, spread(0.0))
            put(m, by_tau + i * LANES, spread(0.0))
            put(m, by_linear + i * LANES, spread(0.0))
        for n in range(packs):
            root, back = at + n * _room(k), first + n * _given(k) + square
            follows = root + square
            solved, by_r = follows + square + 2 * vector, follows + square + 3 * vector
            for i in range(k):
                put(m, force + i * LANES, gather(g, entries, entry + n * vector + i * LANES))
            for i in range(k):
                along = _dot(numbers, back + i * LANES, k, m, force, 1, k)
                add(m, by_tau + i * LANES, along * lanes_at(m, solved + i * LANES))
                put(m, by_r + i * LANES, tau[i] * along)
            _forward(m, root, by_r, 1, k)
            for i in range(k):
                add(m, by_away + i * LANES, 0.0 - _dot(m, follows + i * LANES, k + 1, m, by_r, 1, k))
                for j in range(min(LANES, groups - n * LANES)):
                    place = entries[entry + n * vector + i * LANES + j]
                    g[entries[location + i]] += g[place]
                    g[place] = m[by_r + i * LANES + j]
        for i in range(k):
            g[entries[location + i]] += total(lanes_at(m, by_away + i * LANES))
            for j in range(k):
                put(m, by_precision + (i * k + j) * LANES, spread(0.0))
        if moved:
            for i in range(k):
                put(m, by_linear + i * LANES, spread(g[entries[location + i]]))
            _forward(m, own, by_linear, 1, k)
            for i in range(k):
                g[entries[location + i]] = m[by_linear + i * LANES]
                for j in range(i + 1):
                    expected = lanes_at(m, r + j * LANES) - u[entries[location + j]]
                    value = lanes_at(m, r + i * LANES) * lanes_at(m, by_linear + j * LANES)
                    value = value + lanes_at(m, by_linear + i * LANES) * expected + (1.0 if i == j else 0.0)
                    put(m, by_precision + (i * k + j) * LANES, 0.0 - value)
                    put(m, by_precision + (j * k + i) * LANES, 0.0 - value)
            _back(m, own, by_linear, 1, k)
            _pull_root(m, own, by_precision, k)
        for n in range(packs):
            root, told = at + n * _room(k), first + n * _given(k)
            linear, follows = told + 2 * square, root + square
            of_group = follows + square + vector
            by_r = of_group + 2 * vector
            for i in range(k):
                line, pulled = follows + i * (k + 1) * LANES, by_follows + i * (k + 1) * LANES
                for j in range(k):
                    value = _dot(m, line, 1, m, by_precision + j * LANES, k, k)
                    value = value + lanes_at(m, by_r + i * LANES) * lanes_at(m, away + j * LANES)
                    value = value + lanes_at(m, line + vector) * lanes_at(m, by_linear + j * LANES)
                    put(m, pulled + j * LANES, 0.0 - value)
                put(m, pulled + vector, lanes_at(m, by_r + i * LANES) - _dot(m, line, 1, m, by_linear, 1, k))
                for j in range(i + 1):
                    value = _dot(m, pulled, 1, m, follows + j * (k + 1) * LANES, 1, k + 1) + (1.0 if i == j else 0.0)
                    value = value + lanes_at(m, of_group + i * LANES) * lanes_at(m, by_r + j * LANES)
                    put(m, by_root + (i * k + j) * LANES, 0.0 - value)
                    put(m, by_root + (j * k + i) * LANES, 0.0 - value)
            _pull_root(m, root, by_root, k)
            for j in range(k + 1):
                _back(m, root, by_follows + j * LANES, k + 1, k)
            for i in range(k):
                line = i * (k + 1) * LANES
                value = _dot(m, by_follows + line, 1, numbers, linear + line, 1, k + 1)
                for j in range(k):
                    value = value + _element(m, by_root, i, j, k) * _element(numbers, told, i, j, k) * tau[j]
                add(m, by_tau + i * LANES, value)
        for i in range(k):
            place = entries[location + k + i]
            g[place] += (total(lanes_at(m, by_tau + i * LANES)) + groups / tau[i]) * chain[place]
    return 0.0
