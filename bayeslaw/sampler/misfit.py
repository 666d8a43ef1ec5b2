"""The misfit of a law in the compiled density: the losses of cells times the exponential of its processes.

Its weights have coordinates of their own (`bayeslaw.sampler.weights`).

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


def place_weights(table_address, u_address, v_address, values_address, law_address, _a):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates; return the log Jacobian, NaN where the law has no logarithm."""
    table = table_at(table_address)
    size, cells = count(table, At.scale), count(table, At.follows) // count(table, At.told)
    u, v, values = number_at(u_address, size), number_at(v_address, size), number_at(values_address, size)
    law = number_at(law_address, cells)
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    follows, still, middle = reals(table, At.follows), reals(table, At.still), reals(table, At.slope_at_mode)
    jacobian, done, at = 0.0, 0, 0
    log_law = np.empty(cells)
    for m in range(cells):
        log_law[m] = math.log(law[m]) if law[m] > 0 else math.nan
    for b in range(blocks.shape[0]):
        first, knots, slope = blocks[b, 0], blocks[b, 1], blocks[b, 2]
        small = math.exp(-u[slope])
        for i in range(first, first + knots):
            v[i] = 0.0
        for j in range(done, done + knots):
            shift, behind = told[j] * (u[slope] - middle[b]), -still[j]
            for m in range(cells):
                behind += follows[j * cells + m] * log_law[m]
            moved = u[first + j - done] * math.exp(-shift) - behind * small
            jacobian -= shift if behind == behind else math.nan
            for i in range(knots):
                v[first + i] += rotation[at + i * knots + j - done] * moved
        for i in range(first, first + knots):
            values[i] = v[i]
        done += knots
        at += knots * knots
    return jacobian


def pull_weights(table_address, u_address, g_address, law_address, pull_address, _a):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included; add that in the law."""
    table = table_at(table_address)
    size, cells = count(table, At.scale), count(table, At.follows) // count(table, At.told)
    u, g = number_at(u_address, size), number_at(g_address, size)
    law, pull = number_at(law_address, cells), number_at(pull_address, cells)
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    follows, still, middle = reals(table, At.follows), reals(table, At.still), reals(table, At.slope_at_mode)
    done, at, log_law = 0, 0, np.log(law)
    for b in range(blocks.shape[0]):
        first, knots, slope = blocks[b, 0], blocks[b, 1], blocks[b, 2]
        by, small = np.empty(knots), math.exp(-u[slope])
        for i in range(knots):
            by[i] = g[first + i]
        for j in range(done, done + knots):
            force, behind = 0.0, -still[j]
            for i in range(knots):
                force += rotation[at + i * knots + j - done] * by[i]
            for m in range(cells):
                behind += follows[j * cells + m] * log_law[m]
                pull[m] -= force * small * follows[j * cells + m]
            own = first + j - done
            g[own] = force * math.exp(-told[j] * (u[slope] - middle[b]))
            g[slope] += force * behind * small - told[j] * (g[own] * u[own] + 1.0)
        done += knots
        at += knots * knots
    for m in range(cells):
        pull[m] /= law[m]
    return 0.0
