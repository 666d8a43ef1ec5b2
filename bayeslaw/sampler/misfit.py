"""The misfit of a law in the compiled density: the losses of cells times the exponential of its processes.

Its weights have coordinates of their own (`bayeslaw.sampler.weights`).

Models without a misfit compile nothing of this: others call the functions by their addresses, which are in the table.
"""

import math

import numpy as np

from bayeslaw.sampler.stored import inner, stored
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = [
    "ADD",
    "BY_LEVEL",
    "COLLECT",
    "LEVELS",
    "PLACE_WEIGHTS",
    "PULL",
    "PULL_WEIGHTS",
    "misfit_parts",
    "weight_room",
]

BY_LEVEL, ADD, COLLECT, PULL, PLACE_WEIGHTS, PULL_WEIGHTS, LEVELS = range(7)
"""Places in ``misfit_parts``: addresses of the functions below, in their order; the number of values of `by_level`."""


def misfit_parts(processes: np.ndarray) -> np.ndarray:
    """Return what compiled code knows of the misfit: zeros without processes."""
    parts = (by_level, add, collect, pull, place_weights, pull_weights)
    addresses = [stored(f).address for f in parts] if len(processes) else [0] * len(parts)
    return np.array([*addresses, processes[:, 5].sum()], int)


def by_level(table_address, c_address, found_address, _a, _b, _c):  # type: ignore[no-untyped-def]
    """Fill in every process at its levels (validation set, level), one process after the other."""
    table = table_at(table_address)
    processes, done = whole2(table, At.misfit), 0
    c = number_at(c_address, count(table, At.scale))
    found = number_at(found_address, whole(table, At.misfit_parts)[LEVELS])
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope = processes[p, 3], processes[p, 4]
        basis = reals(table, At.misfit_basis)[start:]
        for e in range(processes[p, 5] // levels):
            for n in range(levels):
                total = 0.0
                for k in range(knots):
                    total += basis[n * knots + k] * c[weights + e * knots + k]
                found[done + e * levels + n] = total * c[slope]
        done += processes[p, 5]
    return 0.0


def add(table_address, b, by_level_address, loss_address, factor_address, _a):  # type: ignore[no-untyped-def]
    """Multiply the losses of a block by their misfit, which is filled in (0 before)."""
    table = table_at(table_address)
    levels, ev, at = whole2(table, At.misfit_level), whole(table, At.misfit_eval), whole(table, At.misfit_at)
    processes, first, size, done = whole2(table, At.misfit), at[b], at[b + 1] - at[b], 0
    values = number_at(by_level_address, whole(table, At.misfit_parts)[LEVELS])
    loss, factor = number_at(loss_address, size), number_at(factor_address, size)
    for p in range(processes.shape[0]):
        for m in range(size):
            factor[m] += values[done + ev[first + m] * processes[p, 0] + levels[p, first + m]]
        done += processes[p, 5]
    for m in range(size):
        factor[m] = math.exp(factor[m])
        loss[m] *= factor[m]
    return 0.0


def collect(table_address, b, loss_address, factor_address, pull_address, pulled_address):  # type: ignore[no-untyped-def]
    """Add the gradient in the processes at their levels; turn that in the losses into one in the losses of the law."""
    table = table_at(table_address)
    levels, ev, at = whole2(table, At.misfit_level), whole(table, At.misfit_eval), whole(table, At.misfit_at)
    processes, first, size, done = whole2(table, At.misfit), at[b], at[b + 1] - at[b], 0
    pulled = number_at(pulled_address, whole(table, At.misfit_parts)[LEVELS])
    loss, factor = number_at(loss_address, size), number_at(factor_address, size)
    by_loss = number_at(pull_address, size)
    for p in range(processes.shape[0]):
        for m in range(size):
            pulled[done + ev[first + m] * processes[p, 0] + levels[p, first + m]] += by_loss[m] * loss[m]
        done += processes[p, 5]
    for m in range(size):
        by_loss[m] *= factor[m]
    return 0.0


def pull(table_address, c_address, pulled_address, chain_address, gradient_address, _a):  # type: ignore[no-untyped-def]
    """Add the gradient in weights and slopes."""
    table = table_at(table_address)
    processes, size, done = whole2(table, At.misfit), count(table, At.scale), 0
    pulled = number_at(pulled_address, whole(table, At.misfit_parts)[LEVELS])
    c, chain, gradient = number_at(c_address, size), number_at(chain_address, size), number_at(gradient_address, size)
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope = processes[p, 3], processes[p, 4]
        basis = reals(table, At.misfit_basis)[start:]
        for e in range(processes[p, 5] // levels):
            for k in range(knots):
                total = 0.0
                for n in range(levels):
                    total += basis[n * knots + k] * pulled[done + e * levels + n]
                i = weights + e * knots + k
                gradient[i] += total * c[slope]
                gradient[slope] += total * c[i] * chain[slope]
        done += processes[p, 5]
    return 0.0


def place_weights(table_address, u_address, v_address, values_address, law_address, room_address):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates; return the log Jacobian, NaN where the law has no logarithm.

    The room keeps for `pull_weights`, validation set by validation set, R, its inverse, and R^-1' times k s h.
    """
    table = table_at(table_address)
    size, cells = count(table, At.scale), count(table, At.follows) // count(table, At.still)
    u, v, values = number_at(u_address, size), number_at(v_address, size), number_at(values_address, size)
    law, room = number_at(law_address, cells), number_at(room_address, weight_room(table))
    blocks, entries, middle = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.sigma_at_mode)
    information, follows, still = reals(table, At.information), reals(table, At.follows), reals(table, At.still)
    jacobian, done, at, free = 0.0, 0, 0, 0
    log_law = np.empty(cells)
    for m in range(cells):
        log_law[m] = math.log(law[m]) if law[m] > 0 else math.nan
    for b in range(blocks.shape[0]):
        n = blocks[b, 0]
        root, inverse = room[free : free + n * n], room[free + n * n : free + 2 * n * n]
        mean, sharper = room[free + 2 * n * n : free + 2 * n * n + n], math.exp(2 * (middle[b] - u[blocks[b, 1]]))
        slope, moved = np.empty(n), np.zeros(n)
        for i in range(n):
            slope[i] = math.exp(u[entries[2 * (done + i) + 1]])
            mean[i] = 0.0
        for i in range(n):
            for j in range(i, n):
                root[i * n + j] = sharper * slope[i] * slope[j] * information[at + i * n + j]
            root[i * n + i] += 1.0
        jacobian -= _root(root, inverse, n)
        for i in range(n):
            linear = still[done + i]
            for m in range(cells):
                linear += follows[(done + i) * cells + m] * log_law[m]
            linear *= sharper * slope[i]
            for j in range(i, n):
                mean[j] += inverse[i * n + j] * linear
        for i in range(n):
            for j in range(i, n):
                moved[i] += inverse[i * n + j] * (mean[j] + u[entries[2 * (done + j)]])
            v[entries[2 * (done + i)]] = values[entries[2 * (done + i)]] = moved[i]
            jacobian += 0.0 * moved[i]
        done, at, free = done + n, at + n * n, free + 2 * n * n + n
    return jacobian


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


def pull_weights(table_address, u_address, g_address, law_address, pull_address, room_address):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included; add that in the law.

    With z the coordinates, g the gradient, q = R^-1' g, a = M^-1 g and m the mean, the derivative by M is that of the
    mean, -(a m' + m a') / 2, and R^-1 Q R^-1' / 2, where Q_ij = -z_i q_j for i > j, symmetric, Q_ii = -z_i q_i - 1.
    """
    table = table_at(table_address)
    size, cells = count(table, At.scale), count(table, At.follows) // count(table, At.still)
    u, g, room = number_at(u_address, size), number_at(g_address, size), number_at(room_address, weight_room(table))
    law, pull = number_at(law_address, cells), number_at(pull_address, cells)
    blocks, entries, follows = whole2(table, At.weights), whole(table, At.weight_entries), reals(table, At.follows)
    middle, done, free = reals(table, At.sigma_at_mode), 0, 0
    for b in range(blocks.shape[0]):
        n, noise = blocks[b, 0], blocks[b, 1]
        root, inverse = room[free : free + n * n], room[free + n * n : free + 2 * n * n]
        mean, sharper = room[free + 2 * n * n : free + 2 * n * n + n], math.exp(2 * (middle[b] - u[noise]))
        z, q, across = np.empty(n), np.zeros(n), np.empty(n)
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
            for k in range(cells):
                pull[k] += by_linear * follows[(done + i) * cells + k]
        for i in range(n):
            g[entries[2 * (done + i)]] = q[i]
        done, free = done + n, free + 2 * n * n + n
    for m in range(cells):
        pull[m] /= law[m]
    return 0.0
