"""The misfit of a law in the compiled density: the log losses of cells plus its processes.

Its weights have coordinates of their own (`bayeslaw.sampler.weights`), which follow the log law in every measured cell.
The law is therefore evaluated on all blocks before the errors are.

Models without a misfit compile nothing of this: others call the functions by their addresses, which are in the table.
"""

import math

import numpy as np

from bayeslaw.sampler.blocks import fill_law, pull_back
from bayeslaw.sampler.elementary import log
from bayeslaw.sampler.stored import inner, inner_sums, stored
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = [
    "ADD",
    "LAWS",
    "PLACE_WEIGHTS",
    "PULL",
    "PULL_LAWS",
    "PULL_WEIGHTS",
    "law_room",
    "misfit_parts",
    "weight_room",
]

LAWS, PLACE_WEIGHTS, ADD, PULL, PULL_WEIGHTS, PULL_LAWS = range(6)
"""Places in ``misfit_parts``: addresses of the functions below, in the order in which they are called."""


def misfit_parts(processes: np.ndarray) -> np.ndarray:
    """Return what compiled code knows of the misfit: zeros without processes."""
    parts = (laws, place_weights, add, pull, pull_weights, pull_laws)
    return np.array([stored(f).address if len(processes) else 0 for f in parts], int)


@inner
def law_room(table):  # type: ignore[no-untyped-def]
    """Return how many numbers `laws` fills in."""
    cells, total = whole(table, At.misfit_at), 0
    for b in range(len(cells) - 1):
        total += _of_block(table, b) * (cells[b + 1] - cells[b])
    return total


@inner
def _of_block(table, b):  # type: ignore[no-untyped-def]
    """Return the numbers of a cell of a block: the law and its derivatives."""
    at = whole(table, At.entry_at)
    return 1 + (at[b + 1] - at[b]) // whole2(table, At.block_shape)[b, 0]


def laws(table_address, values_address, laws_address, logs_address, _a, _b):  # type: ignore[no-untyped-def]
    """Fill in the law and its derivatives on all blocks of measurements, and its logarithm."""
    table = table_at(table_address)
    cells, first = whole(table, At.misfit_at), 0
    values = number_at(values_address, count(table, At.scale))
    room, logs = number_at(laws_address, law_room(table)), number_at(logs_address, cells[-1])
    for b in range(len(cells) - 1):
        size, rows = cells[b + 1] - cells[b], _of_block(table, b)
        fill_law(table, b, values, room[first : first + rows * size])
        for m in range(size):
            logs[cells[b] + m] = log(room[first + m])
        first += rows * size
    return 0.0


def add(table_address, c_address, logs_address, _a, _b, _c):  # type: ignore[no-untyped-def]
    """Add the misfit to the log law in every cell."""
    table = table_at(table_address)
    processes, places = whole2(table, At.misfit), whole2(table, At.misfit_level)
    c, logs = number_at(c_address, count(table, At.scale)), number_at(logs_address, places.shape[1])
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope, evals = processes[p, 3], processes[p, 4], processes[p, 5]
        basis, found = reals(table, At.misfit_basis)[start:], np.empty(evals * levels)
        for e in range(evals):
            for n in range(levels):
                total = 0.0
                for k in range(knots):
                    total += basis[n * knots + k] * c[weights + e * knots + k]
                found[e * levels + n] = total * c[slope]
        for m in range(len(logs)):
            logs[m] += found[places[p, m]]
    return 0.0


def pull(table_address, c_address, chain_address, gradient_address, pull_address, _a):  # type: ignore[no-untyped-def]
    """Add the gradient in weights and slopes, given that in the log means."""
    table = table_at(table_address)
    processes, places, size = whole2(table, At.misfit), whole2(table, At.misfit_level), count(table, At.scale)
    c, chain, gradient = number_at(c_address, size), number_at(chain_address, size), number_at(gradient_address, size)
    pulled = number_at(pull_address, places.shape[1])
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope, evals = processes[p, 3], processes[p, 4], processes[p, 5]
        basis, found = reals(table, At.misfit_basis)[start:], np.zeros(evals * levels)
        for m in range(len(pulled)):
            found[places[p, m]] += pulled[m]
        for e in range(evals):
            for k in range(knots):
                total = 0.0
                for n in range(levels):
                    total += basis[n * knots + k] * found[e * levels + n]
                i = weights + e * knots + k
                gradient[i] += total * c[slope]
                gradient[slope] += total * c[i] * chain[slope]
    return 0.0


def pull_laws(table_address, laws_address, pull_address, chain_address, gradient_address, _a):  # type: ignore[no-untyped-def]
    """Turn the gradient in the log laws into one in the laws; add what it is in the coefficients."""
    table = table_at(table_address)
    cells, first, size = whole(table, At.misfit_at), 0, count(table, At.scale)
    room, by_log = number_at(laws_address, law_room(table)), number_at(pull_address, cells[-1])
    chain, gradient = number_at(chain_address, size), number_at(gradient_address, size)
    for b in range(len(cells) - 1):
        size, rows = cells[b + 1] - cells[b], _of_block(table, b)
        law = room[first : first + rows * size].reshape(rows, size)
        by_law = by_log[cells[b] : cells[b + 1]]
        for m in range(size):
            by_law[m] /= law[0, m]
        pull_back(table, b, by_law, law, chain, gradient)
        first += rows * size
    return 0.0


def place_weights(table_address, u_address, v_address, values_address, logs_address, room_address):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates; return the log Jacobian, NaN where the law has no logarithm.

    The room keeps for `pull_weights`, validation set by validation set, R, its inverse, and R^-1' times k s h.
    """
    table = table_at(table_address)
    size, told, follows = count(table, At.scale), whole(table, At.weight_cells), reals(table, At.follows)
    u, v, values = number_at(u_address, size), number_at(v_address, size), number_at(values_address, size)
    logs, room = number_at(logs_address, whole(table, At.misfit_at)[-1]), number_at(room_address, weight_room(table))
    blocks, entries, middle = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.sigma_at_mode)
    information, still = reals(table, At.information), reals(table, At.still)
    jacobian, done, at, free, from_cell, from_number = 0.0, 0, 0, 0, 0, 0
    for b in range(blocks.shape[0]):
        n, cells = blocks[b, 0], blocks[b, 2]
        root, inverse = room[free : free + n * n], room[free + n * n : free + 2 * n * n]
        mean, sharper = room[free + 2 * n * n : free + 2 * n * n + n], math.exp(2 * (middle[b] - u[blocks[b, 1]]))
        slope, moved, own = np.empty(n), np.zeros(n), np.empty(cells)
        for m in range(cells):
            own[m] = logs[told[from_cell + m]]
        for i in range(n):
            slope[i] = math.exp(u[entries[2 * (done + i) + 1]])
            mean[i] = 0.0
        for i in range(n):
            for j in range(i, n):
                root[i * n + j] = sharper * slope[i] * slope[j] * information[at + i * n + j]
            root[i * n + i] += 1.0
        jacobian -= _root(root, inverse, n)
        for i in range(n):
            linear = still[done + i] + _dot(follows[from_number + i * cells :], own)
            linear *= sharper * slope[i]
            for j in range(i, n):
                mean[j] += inverse[i * n + j] * linear
        for i in range(n):
            for j in range(i, n):
                moved[i] += inverse[i * n + j] * (mean[j] + u[entries[2 * (done + j)]])
            v[entries[2 * (done + i)]] = values[entries[2 * (done + i)]] = moved[i]
            jacobian += 0.0 * moved[i]
        done, at, free = done + n, at + n * n, free + 2 * n * n + n
        from_cell, from_number = from_cell + cells, from_number + n * cells
    return jacobian


@inner_sums
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = 0.0
    for m in range(len(y)):
        total += x[m] * y[m]
    return total


@inner
def weight_room(table):  # type: ignore[no-untyped-def]
    """Return how many numbers `place_weights` keeps."""
    return 2 * count(table, At.information) + count(table, At.still)


@inner
def _root(root, inverse, n):  # type: ignore[no-untyped-def]
    """Turn the upper half of a matrix into R, fill in the upper half of its inverse; return the sum of log R_ii."""
    total = 0.0
    for i in range(n):
        root[i * n + i] = math.sqrt(root[i * n + i])
        total += math.log(root[i * n + i])
        unit = 1.0 / root[i * n + i]
        for j in range(i + 1, n):
            root[i * n + j] *= unit
        for a in range(i + 1, n):
            factor = root[i * n + a]
            for j in range(a, n):
                root[a * n + j] -= factor * root[i * n + j]
    for i in range(n - 1, -1, -1):
        unit = 1.0 / root[i * n + i]
        for j in range(i + 1, n):
            inverse[i * n + j] = 0.0
        for a in range(i + 1, n):
            factor = root[i * n + a] * unit
            for j in range(a, n):
                inverse[i * n + j] -= factor * inverse[a * n + j]
        inverse[i * n + i] = unit
    return total


def pull_weights(table_address, u_address, g_address, pull_address, room_address, _a):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included; add that in the log laws.

    With z the coordinates, g the gradient, q = R^-1' g, a = M^-1 g and m the mean, the derivative by M is that of the
    mean, -(a m' + m a') / 2, and R^-1 Q R^-1' / 2, where Q_ij = -z_i q_j for i > j, symmetric, Q_ii = -z_i q_i - 1.
    """
    table = table_at(table_address)
    size, told = count(table, At.scale), whole(table, At.weight_cells)
    u, g, room = number_at(u_address, size), number_at(g_address, size), number_at(room_address, weight_room(table))
    by_log = number_at(pull_address, whole(table, At.misfit_at)[-1])
    blocks, entries, follows = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.follows)
    middle, done, free, from_cell, from_number = reals(table, At.sigma_at_mode), 0, 0, 0, 0
    for b in range(blocks.shape[0]):
        n, noise, cells = blocks[b, 0], blocks[b, 1], blocks[b, 2]
        root, inverse = room[free : free + n * n], room[free + n * n : free + 2 * n * n]
        mean, sharper = room[free + 2 * n * n : free + 2 * n * n + n], math.exp(2 * (middle[b] - u[noise]))
        z, q, across, by_own = np.empty(n), np.zeros(n), np.empty(n), np.zeros(cells)
        for i in range(n):
            z[i], force = u[entries[2 * (done + i)]], g[entries[2 * (done + i)]]
            for j in range(i, n):
                q[j] += inverse[i * n + j] * force
        for i in range(n):
            entry, slope, a, m, linear = entries[2 * (done + i)], entries[2 * (done + i) + 1], 0.0, 0.0, 0.0
            for j in range(i, n):
                a += inverse[i * n + j] * q[j]
                m += inverse[i * n + j] * mean[j]
            for j in range(i + 1):
                linear += root[j * n + i] * mean[j]
            above = 0.0
            for j in range(n - 1, i - 1, -1):
                across[j] = -q[j] * above
                above += inverse[i * n + j] * z[j]
            for j in range(i):
                across[j] = -q[j] * above
            below, diagonal, product = 0.0, 0.0, 0.0
            for j in range(i, n):
                own = inverse[i * n + j]
                across[j] -= z[j] * below + own * (z[j] * q[j] + 1.0)
                below += own * q[j]
                diagonal += across[j] * own
            for j in range(i + 1):
                product += across[j] * root[j * n + i]
            by_slope = product - diagonal - a * linear - m * g[entry] + 2 * a * m
            g[slope] += by_slope + a * linear
            g[noise] -= by_slope + 2 * a * linear
            by_linear = sharper * math.exp(u[slope]) * a
            for m in range(cells):
                by_own[m] += by_linear * follows[from_number + i * cells + m]
        for m in range(cells):
            by_log[told[from_cell + m]] += by_own[m]
        for i in range(n):
            g[entries[2 * (done + i)]] = q[i]
        done, free = done + n, free + 2 * n * n + n
        from_cell, from_number = from_cell + cells, from_number + n * cells
    return 0.0
