"""The map between coordinates and deviations from conditional means, for eight groups at a time: what is compiled.

See `bayeslaw.sampler.conditionals` for what is computed, in whose terms functions are described here. Vectors and
matrices of lanes lie in one array, the memory, from a place on; those of a population have eight equal lanes.
"""

import math

from numba import njit

from bayeslaw.sampler.lanes import (
    LANES,
    add,
    gather,
    lanes_at,
    put,
    spread,
    square_root,
    total,
)
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = ["memory_of", "place_families", "pull_back_families"]


def memory_of(groups: int, k: int) -> int:
    """Return how many numbers the memory of a family holds: of packs, of the population, and for use."""
    return (-(-groups // LANES) * 3 + 5) * (k * k + k) * LANES


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
def _dot(m, x, of_x, n, y, of_y, k):  # type: ignore[no-untyped-def]
    """Return the product of k lanes of one array, `of_x` lanes apart, and of another."""
    found = spread(0.0)
    for r in range(k):
        found = found + lanes_at(m, x + r * of_x * LANES) * lanes_at(n, y + r * of_y * LANES)
    return found


@njit(nogil=True, error_model="numpy")
def _room(k):  # type: ignore[no-untyped-def]
    """Return lanes kept for a pack: S, L, Q^-1 P; then Q^-1 (c + P (w0 - m0)), the mean minus w0, m - w0."""
    return 3 * k * k + 3 * k


@njit(nogil=True, error_model="numpy")
def _factors(m, at, packs, k, numbers, first, moved, entries, spreads, c):  # type: ignore[no-untyped-def]
    """Fill in what depends on the spreads alone: of every group, and L of R and the mean minus m0 of the population."""
    square, vector = k * k * LANES, k * LANES
    own, shift = at + packs * _room(k) * LANES, at + (packs * _room(k) + k * k) * LANES
    home = first + packs * 2 * (square + vector)
    for i in range(k):
        put(m, shift + i * LANES, spread(0.0))
        for j in range(k if moved else 0):
            put(m, own + (i * k + j) * LANES, spread(numbers[home + k + i * k + j] / LANES))
    for n in range(packs):
        pooling = at + n * _room(k) * LANES
        root, shrunk, solved = pooling + square, pooling + 2 * square, pooling + 3 * square
        precision = first + n * 2 * (square + vector)
        slope, center, constant = precision + square, precision + 2 * square, precision + 2 * square + vector
        for i in range(k):
            for j in range(k):
                pulled = spread(0.0)
                for r in range(k):
                    scale = c[entries[spreads + r]]
                    pulled = pulled + _element(numbers, slope, r, i, k) * _element(numbers, slope, r, j, k) * (
                        1 / (scale * scale)
                    )
                given = _element(numbers, precision, i, j, k)
                put(m, pooling + (i * k + j) * LANES, pulled)
                put(m, root + (i * k + j) * LANES, given + pulled)
                put(m, shrunk + (i * k + j) * LANES, given)
        _cholesky(m, root, k)
        if not moved:
            continue
        for j in range(k):
            _forward(m, root, shrunk + j * LANES, k, k)
            _back(m, root, shrunk + j * LANES, k, k)
        for i in range(k):
            value = lanes_at(numbers, constant + i * LANES)
            add(m, shift + i * LANES, 0.0 - value)
            for j in range(k):
                away = lanes_at(numbers, center + j * LANES) - numbers[home + j]
                value = value + _element(numbers, precision, i, j, k) * away
            put(m, solved + i * LANES, value)
        _forward(m, root, solved, 1, k)
        _back(m, root, solved, 1, k)
        for i in range(k):
            add(m, shift + i * LANES, _dot(m, pooling + i * vector, 1, m, solved, 1, k))
            for j in range(k):
                add(m, own + (i * k + j) * LANES, _dot(m, pooling + i * vector, 1, m, shrunk + j * LANES, k, k))
    if moved:
        for i in range(k * k + k):
            put(m, own + i * LANES, spread(total(lanes_at(m, own + i * LANES))))
        _cholesky(m, own, k)
        _forward(m, own, shift, 1, k)
        _back(m, own, shift, 1, k)


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
        location = entry + packs * vector
        home = first + packs * 2 * (square + vector)
        own = at + packs * _room(k) * LANES
        z = own + square + vector
        _factors(m, at, packs, k, numbers, first, moved, entries, location + k, c)
        if moved:
            for i in range(k):
                put(m, z + i * LANES, spread(u[entries[location + i]]))
            _back(m, own, z, 1, k)
            for i in range(k):
                w[entries[location + i]] = numbers[home + i] + m[own + square + i * LANES] + m[z + i * LANES]
                jacobian -= math.log(m[own + (i * k + i) * LANES])
        for n in range(packs):
            pooling = at + n * _room(k) * LANES
            root, mean = pooling + square, pooling + 3 * square + vector
            away, center = mean + vector, first + n * 2 * (square + vector) + 2 * square
            for i in range(k):
                put(m, away + i * LANES, w[entries[location + i]] - lanes_at(numbers, center + i * LANES))
                put(m, z + i * LANES, gather(u, entries, entry + n * vector + i * LANES))
            for i in range(k):
                pulled = _dot(m, pooling + i * vector, 1, m, away, 1, k)
                put(m, mean + i * LANES, lanes_at(numbers, center + vector + i * LANES) + pulled)
            _forward(m, root, mean, 1, k)
            _back(m, root, mean, 1, k)
            _back(m, root, z, 1, k)
            for i in range(k):
                add(m, z + i * LANES, lanes_at(numbers, center + i * LANES) + lanes_at(m, mean + i * LANES))
                for r in range(min(LANES, groups - n * LANES)):
                    w[entries[entry + n * vector + i * LANES + r]] = m[z + i * LANES + r]
                    jacobian -= math.log(m[root + (i * k + i) * LANES + r])
    return jacobian


@njit(nogil=True, error_model="numpy")
def _pull_deviation(m, z, by_linear, mean, root, by_root, by_precision, out, k):  # type: ignore[no-untyped-def]
    """Turn the gradient in mean + L'^-1 z (by_linear) into one in z (out), in the linear term, and in Q = L L'.

    The gradient in Q, symmetric, from the one in L: arXiv:1602.07527.
    """
    _back(m, root, z, 1, k)
    _forward(m, root, by_linear, 1, k)
    for i in range(k):
        put(m, out + i * LANES, lanes_at(m, by_linear + i * LANES))
        for j in range(i + 1):
            force = 0.0 - lanes_at(m, z + i * LANES) * lanes_at(m, by_linear + j * LANES)
            put(m, by_root + (i * k + j) * LANES, force - 1.0 / _element(m, root, i, i, k) if i == j else force)
    _back(m, root, by_linear, 1, k)
    for i in range(k):
        for j in range(i + 1):
            last = (i * k + i) * LANES
            half = 0.5 * _dot(m, root + last, k, m, by_root + (i * k + j) * LANES, k, k - i)
            put(m, by_precision + (i * k + j) * LANES, half)
            put(m, by_precision + (j * k + i) * LANES, half)
    for j in range(k):
        _back(m, root, by_precision + j * LANES, k, k)
    for i in range(k):
        _back(m, root, by_precision + i * k * LANES, 1, k)
    _add_products(m, by_precision, -0.5, by_linear, mean, k)


@njit(nogil=True, error_model="numpy")
def _add_products(m, matrix, factor, x, y, k):  # type: ignore[no-untyped-def]
    """Add factor (x y' + y x') to a matrix."""
    for i in range(k):
        for j in range(k):
            both = lanes_at(m, x + i * LANES) * lanes_at(m, y + j * LANES)
            both = both + lanes_at(m, y + i * LANES) * lanes_at(m, x + j * LANES)
            add(m, matrix + (i * k + j) * LANES, factor * both)


@njit(nogil=True, error_model="numpy")
def _pull_weights(m, by_weight, by_pooling, numbers, slope, k):  # type: ignore[no-untyped-def]
    """Add the gradient in tau^-2 from the one in S."""
    for r in range(k):
        for i in range(k):
            along = _dot(m, by_pooling + i * k * LANES, 1, numbers, slope + r * k * LANES, 1, k)
            add(m, by_weight + r * LANES, _element(numbers, slope, r, i, k) * along)


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
        location = entry + packs * vector
        own = at + packs * _room(k) * LANES
        z = own + square + vector
        by_linear, out, by_weight, by_root = z + vector, z + 2 * vector, z + 3 * vector, z + 4 * vector
        by_pooling, by_total, half = by_root + square, by_root + 2 * square, by_root + 3 * square
        for r in range(k):
            put(m, by_weight + r * LANES, spread(0.0))
        for n in range(packs):
            pooling = at + n * _room(k) * LANES
            root, mean, away = pooling + square, pooling + 3 * square + vector, pooling + 3 * square + 2 * vector
            for i in range(k):
                place = entry + n * vector + i * LANES
                put(m, z + i * LANES, gather(u, entries, place))
                put(m, by_linear + i * LANES, gather(g, entries, place))
            _pull_deviation(m, z, by_linear, mean, root, by_root, by_pooling, out, k)
            for i in range(k):
                g[entries[location + i]] += total(_dot(m, pooling + i * vector, 1, m, by_linear, 1, k))
                for r in range(min(LANES, groups - n * LANES)):
                    g[entries[entry + n * vector + i * LANES + r]] = m[out + i * LANES + r]
            _add_products(m, by_pooling, 0.5, by_linear, away, k)
            _pull_weights(m, by_weight, by_pooling, numbers, first + n * 2 * (square + vector) + square, k)
        if moved:
            for i in range(k):
                put(m, z + i * LANES, spread(u[entries[location + i]]))
                put(m, by_linear + i * LANES, spread(g[entries[location + i]]))
            _pull_deviation(m, z, by_linear, own + square, own, by_root, by_total, out, k)
            for i in range(k):
                g[entries[location + i]] = m[out + i * LANES]
            for n in range(packs):
                shrunk = at + n * _room(k) * LANES + 2 * square
                for i in range(k):
                    put(m, out + i * LANES, _dot(m, shrunk + i * vector, 1, m, by_linear, 1, k))
                    for j in range(k):
                        value = _dot(m, shrunk + i * vector, 1, m, by_total + j * LANES, k, k)
                        put(m, half + (i * k + j) * LANES, value)
                for i in range(k):
                    for j in range(k):
                        value = _dot(m, half + i * vector, 1, m, shrunk + j * vector, 1, k)
                        put(m, by_pooling + (i * k + j) * LANES, value)
                _add_products(m, by_pooling, 0.5, out, shrunk + square, k)
                _pull_weights(m, by_weight, by_pooling, numbers, first + n * 2 * (square + vector) + square, k)
        for r in range(k):
            n = entries[location + k + r]
            g[n] -= 2 * total(lanes_at(m, by_weight + r * LANES)) * c[n] ** -3 * chain[n]
    return 0.0
