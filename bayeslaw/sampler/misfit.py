"""The misfit of a law in the compiled density: the losses of cells times the exponential of its processes.

The data determine a weight times the slope of its process, or neither. The sampler moves the principal axes of the
weights, each times a power of the slope: the share of its prior variance that the data remove.

Models without a misfit compile nothing of this: others call the functions by their addresses, which are in the table.
"""

import math

import numpy as np

from bayeslaw.sampler.stored import stored
from bayeslaw.sampler.table import At, count, number_at, reals, table_at, whole, whole2

__all__ = ["ADD", "BY_LEVEL", "COLLECT", "LEVELS", "PLACE_WEIGHTS", "PULL", "PULL_WEIGHTS", "misfit_parts"]

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


def place_weights(table_address, u_address, v_address, _a, _b, _c):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates, and return the log Jacobian."""
    table = table_at(table_address)
    u, v = number_at(u_address, count(table, At.scale)), number_at(v_address, count(table, At.scale))
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    middle, jacobian, done, at = reals(table, At.slope_at_mode), 0.0, 0, 0
    for b in range(blocks.shape[0]):
        first, knots, slope = blocks[b, 0], blocks[b, 1], blocks[b, 2]
        for i in range(first, first + knots):
            v[i] = 0.0
        for j in range(knots):
            shift = told[done + j] * (u[slope] - middle[b])
            jacobian -= shift
            moved = u[first + j] * math.exp(-shift)
            for i in range(knots):
                v[first + i] += rotation[at + i * knots + j] * moved
        done += knots
        at += knots * knots
    return jacobian


def pull_weights(table_address, u_address, g_address, _a, _b, _c):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included."""
    table = table_at(table_address)
    u, g = number_at(u_address, count(table, At.scale)), number_at(g_address, count(table, At.scale))
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    middle, done, at = reals(table, At.slope_at_mode), 0, 0
    for b in range(blocks.shape[0]):
        first, knots, slope = blocks[b, 0], blocks[b, 1], blocks[b, 2]
        by = np.empty(knots)
        for i in range(knots):
            by[i] = g[first + i]
        for j in range(knots):
            total = 0.0
            for i in range(knots):
                total += rotation[at + i * knots + j] * by[i]
            total *= math.exp(-told[done + j] * (u[slope] - middle[b]))
            g[first + j] = total
            g[slope] -= told[done + j] * (total * u[first + j] + 1.0)
        done += knots
        at += knots * knots
    return 0.0
