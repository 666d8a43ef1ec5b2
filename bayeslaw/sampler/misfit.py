"""The misfit of a law in the compiled density: the losses of cells times the exponential of its processes.

Its weights have coordinates of their own (`bayeslaw.sampler.weights`).
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
def place_weights(table, u, v, values, law):  # type: ignore[no-untyped-def]
    """Fill in the weights at coordinates; return the log Jacobian, NaN where the law has no logarithm."""
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    follows, still, middle = reals(table, At.follows), reals(table, At.still), reals(table, At.slope_at_mode)
    cells, jacobian, done, at = law.shape[1], 0.0, 0, 0
    log_law = np.empty(cells)
    for m in range(cells):
        log_law[m] = math.log(law[0, m]) if law[0, m] > 0 else math.nan
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


@njit(nogil=True, error_model="numpy")
def pull_weights(table, u, g, law, pull):  # type: ignore[no-untyped-def]
    """Turn the gradient in the weights into one in their coordinates, the Jacobian included; add that in the law."""
    blocks, rotation, told = whole2(table, At.weights), reals(table, At.rotation), reals(table, At.told)
    follows, still, middle = reals(table, At.follows), reals(table, At.still), reals(table, At.slope_at_mode)
    cells, done, at = law.shape[1], 0, 0
    log_law = np.log(law[0])
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
        pull[m] /= law[0, m]
