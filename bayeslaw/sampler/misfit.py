"""The misfit of a law in the compiled density: the losses of cells times the exponential of its processes.

The data determine a weight times the slope of its process, or neither. The sampler moves the principal axes of the
weights, each times a power of the slope: the share of its prior variance that the data remove.
"""

import math

import numpy as np
from numba import njit

from bayeslaw.sampler.table import At, reals, whole, whole2

__all__ = [
    "add_misfit",
    "collect_misfit",
    "misfit_by_level",
    "place_weights",
    "pull_misfit",
    "pull_weights",
]


@njit(nogil=True, error_model="numpy")
def misfit_by_level(table, c, evals):  # type: ignore[no-untyped-def]
    """Return every process at its levels (validation set, level), one process after the other."""
    processes, size = whole2(table, At.misfit), 0
    for p in range(processes.shape[0]):
        size += processes[p, 0] * evals
    found, done = np.zeros(size), 0
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope = processes[p, 3], processes[p, 4]
        basis = reals(table, At.misfit_basis)[start:]
        for e in range(evals):
            for n in range(levels):
                total = 0.0
                for k in range(knots):
                    total += basis[n * knots + k] * c[weights + e * knots + k]
                found[done + e * levels + n] = total * c[slope]
        done += levels * evals
    return found


@njit(nogil=True, error_model="numpy")
def add_misfit(table, b, by_level, loss):  # type: ignore[no-untyped-def]
    """Multiply the losses of a block by their misfit, which is returned (empty without processes)."""
    levels, ev = whole2(table, At.misfit_level), whole(table, At.misfit_eval)
    processes, first, done = whole2(table, At.misfit), whole(table, At.misfit_at)[b], 0
    factor = np.zeros(len(loss) if processes.shape[0] else 0)
    for p in range(processes.shape[0]):
        for m in range(len(loss)):
            factor[m] += by_level[done + ev[first + m] * processes[p, 0] + levels[p, first + m]]
        done += processes[p, 5]
    for m in range(len(factor)):
        factor[m] = math.exp(factor[m])
        loss[m] *= factor[m]
    return factor


@njit(nogil=True, error_model="numpy")
def collect_misfit(table, b, loss, factor, pull, pulled):  # type: ignore[no-untyped-def]
    """Add the gradient in the processes at their levels; turn that in the losses into one in the losses of the law."""
    levels, ev = whole2(table, At.misfit_level), whole(table, At.misfit_eval)
    processes, first, done = whole2(table, At.misfit), whole(table, At.misfit_at)[b], 0
    for p in range(processes.shape[0]):
        for m in range(len(loss)):
            pulled[done + ev[first + m] * processes[p, 0] + levels[p, first + m]] += pull[m] * loss[m]
        done += processes[p, 5]
    for m in range(len(factor)):
        pull[m] *= factor[m]


@njit(nogil=True, error_model="numpy")
def pull_misfit(table, c, pulled, evals, chain, gradient):  # type: ignore[no-untyped-def]
    """Add the gradient in weights and slopes."""
    processes, done = whole2(table, At.misfit), 0
    for p in range(processes.shape[0]):
        levels, knots, start = processes[p, 0], processes[p, 1], processes[p, 2]
        weights, slope = processes[p, 3], processes[p, 4]
        basis = reals(table, At.misfit_basis)[start:]
        for e in range(evals):
            for k in range(knots):
                total = 0.0
                for n in range(levels):
                    total += basis[n * knots + k] * pulled[done + e * levels + n]
                i = weights + e * knots + k
                gradient[i] += total * c[slope]
                gradient[slope] += total * c[i] * chain[slope]
        done += levels * evals


@njit(nogil=True, error_model="numpy")
def place_weights(table, u, v):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates, and return the log Jacobian."""
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


@njit(nogil=True, error_model="numpy")
def pull_weights(table, u, g):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included."""
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
