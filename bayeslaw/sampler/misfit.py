"""The misfit of a law in the compiled density: the log losses of cells plus its processes.

Its weights have coordinates of their own (`bayeslaw.sampler.weights`), which follow the log law in every measured cell.
The law is therefore evaluated on all blocks before the errors are.

Models without a misfit compile nothing of this: others call the functions by their addresses, which are in the table.
"""

import math

import numpy as np

from bayeslaw.sampler.blocks import fill_law, pull_back
from bayeslaw.sampler.elementary import log
from bayeslaw.sampler.lanes import LANES, add, lanes_at, put, spread, total
from bayeslaw.sampler.stored import inner, inner_sums, stored
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = [
    "ADD",
    "LAWS",
    "PARTS",
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
    return np.array([stored(f).address if len(processes) else 0 for f in PARTS], int)


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


def add_misfit(table_address, c_address, logs_address, _a, _b, _c):  # type: ignore[no-untyped-def]
    """Add the misfit to the log law in every cell."""
    table = table_at(table_address)
    processes, places = whole2(table, At.misfit), whole2(table, At.misfit_level)
    c, logs = number_at(c_address, count(table, At.scale)), number_at(logs_address, places.shape[1])
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope, evals = processes[p, 3], processes[p, 4], processes[p, 5]
        basis, found = reals(table, At.misfit_basis)[start:], np.zeros(evals * levels)
        for e in range(evals):
            for k in range(knots):
                weight = c[weights + e * knots + k] * c[slope]
                for n in range(levels):
                    found[e * levels + n] += basis[k * levels + n] * weight
        for m in range(len(logs)):
            logs[m] += found[places[p, m]]
    return 0.0


def pull_misfit(table_address, c_address, chain_address, gradient_address, pull_address, _a):  # type: ignore[no-untyped-def]
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
            own = found[e * levels : (e + 1) * levels]
            for k in range(knots):
                force, i = _dot(basis[k * levels :], own), weights + e * knots + k
                gradient[i] += force * c[slope]
                gradient[slope] += force * c[i] * chain[slope]
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

    The room keeps for `pull_weights`, validation set by validation set, R'^-1, k s h, and the mean.
    """
    table = table_at(table_address)
    size, told, follows = count(table, At.scale), whole(table, At.weight_cells), reals(table, At.follows)
    u, v, values = number_at(u_address, size), number_at(v_address, size), number_at(values_address, size)
    logs, room = number_at(logs_address, whole(table, At.misfit_at)[-1]), number_at(room_address, weight_room(table))
    blocks, entries, middle = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.sigma_at_mode)
    information, still = reals(table, At.information), reals(table, At.still)
    jacobian, done, at, free, from_cell, from_number = 0.0, 0, 0, 0, 0, 0
    for b in range(blocks.shape[0]):
        n, cells, wide = blocks[b, 0], blocks[b, 2], _wide(blocks[b, 0])
        inverse, linear, mean = _kept(room, free, n)
        sharper, slope, moved, own = (
            math.exp(2 * (middle[b] - u[blocks[b, 1]])),
            np.zeros(wide),
            np.zeros(wide),
            np.empty(cells),
        )
        for m in range(cells):
            own[m] = logs[told[from_cell + m]]
        for i in range(wide):
            linear[i] = mean[i] = 0.0
        for i in range(n):
            slope[i] = math.exp(u[entries[2 * (done + i) + 1]])
            linear[i] = sharper * slope[i] * (still[done + i] + _dot(follows[from_number + i * cells :], own))
        jacobian -= _root(information[at:], slope, sharper, inverse, n)
        for i in range(n):
            expected = spread(0.0)
            for j in range(0, i + 1, LANES):
                expected = expected + lanes_at(inverse, i * wide + j) * lanes_at(linear, j)
            here = total(expected)
            there = here + u[entries[2 * (done + i)]]
            for j in range(0, i + 1, LANES):
                add(mean, j, here * lanes_at(inverse, i * wide + j))
                add(moved, j, there * lanes_at(inverse, i * wide + j))
        for i in range(n):
            v[entries[2 * (done + i)]] = values[entries[2 * (done + i)]] = moved[i]
            jacobian += 0.0 * moved[i]
        done, at, free = done + n, at + n * wide, free + (n + 2) * wide
        from_cell, from_number = from_cell + cells, from_number + n * cells
    return jacobian


@inner
def _wide(n):  # type: ignore[no-untyped-def]
    """Return the length of a row of n numbers in whole lanes."""
    return (n + LANES - 1) // LANES * LANES


@inner
def weight_room(table):  # type: ignore[no-untyped-def]
    """Return how many numbers `place_weights` keeps."""
    blocks, size = whole2(table, At.weights), 0
    for b in range(blocks.shape[0]):
        size += (blocks[b, 0] + 2) * _wide(blocks[b, 0])
    return size


@inner
def _kept(room, free, n):  # type: ignore[no-untyped-def]
    """Return the parts of the room for a validation set of n weights."""
    wide = _wide(n)
    first, last = free + n * wide, free + (n + 2) * wide
    return room[free:first], room[first : first + wide], room[first + wide : last]


@inner_sums
def _dot(x, y):  # type: ignore[no-untyped-def]
    found = 0.0
    for m in range(len(y)):
        found += x[m] * y[m]
    return found


@inner
def _root(information, slope, sharper, inverse, n):  # type: ignore[no-untyped-def]
    """Fill in the lower half of R'^-1, where R'R is M; return the sum of log R_ii.

    Both R and the inverse follow row by row from the rows before. Rows are whole lanes, with zeros in what is left.
    """
    wide, found = _wide(n), 0.0
    root = np.empty(n * wide)
    for i in range(n):
        row, first = i * wide, i // LANES * LANES
        for j in range(first, wide, LANES):
            value = sharper * slope[i] * lanes_at(slope, j) * lanes_at(information, row + j)
            for k in range(i):
                value = value - root[k * wide + i] * lanes_at(root, k * wide + j)
            put(root, row + j, value)
        size = math.sqrt(1.0 + root[row + i])
        found, unit = found + math.log(size), 1.0 / size
        for j in range(first, wide, LANES):
            put(root, row + j, unit * lanes_at(root, row + j))
        root[row + i] = size
        for j in range(first, i):
            root[row + j] = 0.0
        for j in range(0, wide, LANES):
            value = spread(0.0)
            for k in range(j, i):
                value = value - root[k * wide + i] * lanes_at(inverse, k * wide + j)
            put(inverse, row + j, unit * value)
        inverse[row + i] = unit
    return found


def pull_weights(table_address, u_address, g_address, pull_address, room_address, _a):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included; add that in the log laws.

    With z the coordinates, g the gradient, q = R^-1' g, a = M^-1 g and m the mean, the derivative by M is that of the
    mean, -(a m' + m a') / 2, and R^-1 Q R^-1' / 2, where Q_ij = -z_i q_j for i > j, symmetric, Q_ii = -z_i q_i - 1.
    Of twice its product with M - 1 the slopes need the diagonal, that of R^-1 Q R and that of R^-1 Q R^-1'.
    """
    table = table_at(table_address)
    size, told = count(table, At.scale), whole(table, At.weight_cells)
    u, g, room = number_at(u_address, size), number_at(g_address, size), number_at(room_address, weight_room(table))
    by_log = number_at(pull_address, whole(table, At.misfit_at)[-1])
    blocks, entries, follows = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.follows)
    middle, done, free, from_cell, from_number = reals(table, At.sigma_at_mode), 0, 0, 0, 0
    for b in range(blocks.shape[0]):
        n, noise, cells, wide = blocks[b, 0], blocks[b, 1], blocks[b, 2], _wide(blocks[b, 0])
        inverse, linear, mean = _kept(room, free, n)
        sharper = math.exp(2 * (middle[b] - u[noise]))
        z, q, force, by_slope, along = np.empty(n), np.empty(n), np.zeros(wide), np.empty(wide), np.empty(wide)
        for i in range(n):
            z[i], force[i] = u[entries[2 * (done + i)]], g[entries[2 * (done + i)]]
        for i in range(n):
            value = spread(0.0)
            for j in range(0, i + 1, LANES):
                value = value + lanes_at(inverse, i * wide + j) * lanes_at(force, j)
            q[i] = total(value)
        for j in range(0, wide, LANES):
            a, y, diagonal = spread(0.0), spread(0.0), spread(0.0)
            for k in range(j, n):
                own = lanes_at(inverse, k * wide + j)
                by_q, by_z = own * q[k], own * z[k]
                diagonal = diagonal + own * own + by_z * (by_q + 2.0 * a)
                a, y = a + by_q, y + by_z
            here, towards = lanes_at(force, j), lanes_at(mean, j)
            put(by_slope, j, diagonal - 1.0 - y * here - a * lanes_at(linear, j) + towards * (2.0 * a - here))
            put(along, j, a)
        by_own = np.zeros(cells)
        for i in range(n):
            slope, by_linear = entries[2 * (done + i) + 1], along[i] * linear[i]
            g[slope] += by_slope[i] + by_linear
            g[noise] -= by_slope[i] + 2 * by_linear
            scaled = sharper * math.exp(u[slope]) * along[i]
            for m in range(cells):
                by_own[m] += scaled * follows[from_number + i * cells + m]
            g[entries[2 * (done + i)]] = q[i]
        for m in range(cells):
            by_log[told[from_cell + m]] += by_own[m]
        done, free = done + n, free + (n + 2) * wide
        from_cell, from_number = from_cell + cells, from_number + n * cells
    return 0.0


PARTS = (laws, place_weights, add_misfit, pull_misfit, pull_weights, pull_laws)
"""The functions whose addresses are in ``misfit_parts``."""
