"""The log density of the error model and its gradient: the inner loop of sampling.

The one-step-ahead form of `bayeslaw.spec.noise`, as one forward and one backward pass over the rows of each run. Numba
compiles it once and caches it on disk. Every function adds to ``pull``, the gradient in the losses of a block.
"""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numba import njit

__all__ = ["correlated", "density_of_errors", "independent", "timings"]


@njit(cache=True, nogil=True, error_model="numpy")
def _innovation(z, robust):  # type: ignore[no-untyped-def]
    """Return the log density of a standard normal or Student-t variable, without its constant, and the derivative."""
    if robust:
        return -3 * math.log(1 + z * z / 5), -6 * z / (5 + z * z)
    return -0.5 * z * z, -z


@njit(cache=True, nogil=True, error_model="numpy")
def independent(loss, cell, ev, log_loss, known, size, at_batch, batch, sigma, shrink, robust, pull, g_sigma, g_batch):  # type: ignore[no-untyped-def]
    """Return the log density of measurements with independent errors on the log scale, and its derivative in `shrink`.

    The scale of errors and batch effects (eval, batch) is exp(-shrink size) times that of the reference size; known
    measurement errors are added to the errors.
    """
    density = g_shrink = 0.0
    for m in range(len(cell)):
        factor = math.exp(-shrink * size[m])
        value, own = loss[cell[m]], math.sqrt((sigma[ev[m]] * factor) ** 2 + known[m] ** 2)
        shared = factor * batch[ev[m], at_batch[m]] if at_batch[m] >= 0 else 0.0
        z = (log_loss[m] - math.log(value) - shared) / own
        log_density, g_z = _innovation(z, robust)
        density = density + log_density - math.log(own)
        by_sigma = (g_z * z + 1) * sigma[ev[m]] * (factor / own) ** 2
        g_sigma[ev[m]] -= by_sigma
        g_shrink += by_sigma * sigma[ev[m]] * size[m] + g_z / own * shared * size[m]
        if at_batch[m] >= 0:
            g_batch[ev[m], at_batch[m]] -= g_z / own * factor
        pull[cell[m]] -= g_z / (own * value)
    return density, g_shrink


def timings(measured: np.ndarray, gap: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the distinct patterns of checkpoints of the runs.

    How an error depends on earlier ones follows from the checkpoints alone, so runs with equal ones share a pattern.

    Parameters
    ----------
    measured, gap, start
        See `Noise.one_step_ahead`.

    Returns
    -------
    first : array (run)
        First row of each run; at its end the number of rows.
    timing : array (run)
        First row of the run's pattern.
    measured, gap, start : array (row of a pattern, ...)
    times : array (row of a pattern)
        Number of rows of the table with this pattern.
    """
    first = np.append(np.flatnonzero(start == np.arange(len(start))), len(start))
    places: dict[bytes, int] = {}
    rows: list[np.ndarray] = []
    timing = np.empty(len(first) - 1, int)
    for n, (a, b) in enumerate(pairwise(first)):
        key = measured[a:b].tobytes() + gap[a:b].tobytes()
        if key not in places:
            places[key] = len(rows)
            rows.extend(np.arange(a, b))
        timing[n] = places[key]
    like = np.concatenate([np.arange(t, t + b - a) for t, (a, b) in zip(timing, pairwise(first), strict=True)])
    ahead = np.array(rows) - start[rows]
    return first, timing, measured[rows], gap[rows], np.arange(len(rows)) - ahead, np.bincount(like)


@njit(cache=True, nogil=True, error_model="numpy")
def correlated(  # type: ignore[no-untyped-def]
    loss, cell, log_loss, timing, size, at_batch, batch, sigma, shrink, w, ell, rho, robust, pull, g_sigma, g_batch
):
    """Return the log density of measurements (row, eval) with correlated errors, and its derivatives.

    The scale of errors and batch effects (eval, batch) is exp(-shrink size) times that of the reference size. The
    derivatives are those in shrink, w, ell and rho.
    """
    measured = timing[2]
    rows, evals = cell.shape
    error, g_error = np.zeros((rows, evals)), np.empty((rows, evals))
    factor, log_factors, g_shrink = np.exp(-shrink * size), 0.0, 0.0
    for n in range(len(timing[1])):
        for i in range(timing[0][n], timing[0][n + 1]):
            for v in range(evals):
                if measured[timing[1][n] + i - timing[0][n], v]:
                    error[i, v] = (log_loss[i, v] - math.log(loss[cell[i, v]])) / factor[i]
                    if at_batch[i] >= 0:
                        error[i, v] -= batch[v, at_batch[i]]
                    log_factors -= shrink * size[i]
                    g_shrink += size[i]
    density, g_w, g_ell, g_rho = density_of_errors(error, timing, sigma, w, ell, rho, robust, g_error, g_sigma)
    for i in range(rows):
        for v in range(evals):
            if g_error[i, v] != 0:
                pull[cell[i, v]] -= g_error[i, v] / (loss[cell[i, v]] * factor[i])
                shared = 0.0
                if at_batch[i] >= 0:
                    shared = batch[v, at_batch[i]]
                    g_batch[v, at_batch[i]] -= g_error[i, v]
                g_shrink += g_error[i, v] * (error[i, v] + shared) * size[i]
    return density - log_factors, g_shrink, g_w, g_ell, g_rho


@njit(cache=True, nogil=True, error_model="numpy")
def density_of_errors(error, timing, sigma, w, ell, rho, robust, g_error, g_sigma):  # type: ignore[no-untyped-def]
    """Return the log density, without constants, and its derivatives in w, ell and rho.

    Parameters
    ----------
    error : array (row, eval)
        Log loss minus log law.
    timing : tuple of array
        See `timings`.
    sigma, w, ell, rho, robust
        Parameters of the error model; see `bayeslaw.spec.noise`.
    g_error, g_sigma : arrays like error and sigma
        Filled with the derivatives: 0 in errors that were not measured.
    """
    first, begins, measured, gap, start, times = timing
    evals = error.shape[1]
    own = sigma * math.sqrt(1 - w)
    odds = w / (1 - w)
    density = 0.0

    # Of each row of a pattern: decay of the process since the previous measurement, and scale of its innovation; weight
    # of the run effect in the innovation, information on the run effect so far, its posterior variance (shared), scale
    # left by it; regression on the earlier validation sets (pull), and scale left by them (rest).
    store: Any = np.ones((8, *measured.shape))
    decay, fresh, weight, information, shared, left, pull, rest = store
    before = np.full(measured.shape, -1)
    for t in range(len(measured)):
        seen = 0
        for v in range(evals):
            if not measured[t, v]:
                continue
            j = t - 1
            while j >= start[t] and not measured[j, v]:
                j -= 1
            decay[t, v] = information[t, v] = 0.0
            if j >= start[t]:
                before[t, v] = t - j
                decay[t, v] = math.exp(-gap[t, v] / ell)
                information[t, v] = information[j, v] + weight[j, v] ** 2
            fresh[t, v] = math.sqrt(1 - decay[t, v] ** 2)
            weight[t, v] = (1 - decay[t, v]) / fresh[t, v]
            shared[t, v] = odds / (1 + odds * information[t, v])
            left[t, v] = math.sqrt(1 + weight[t, v] ** 2 * shared[t, v])
            pull[t, v] = rho / (1 + (seen - 1) * rho) if seen else 0.0
            rest[t, v] = math.sqrt(1 - seen * rho * pull[t, v])
            density -= times[t] * math.log(own[v] * fresh[t, v] * left[t, v] * rest[t, v])
            seen += 1

    per_own, per_fresh, per_left, per_rest = 1 / own, 1 / fresh, 1 / left, 1 / rest
    by_store: Any = np.zeros(store.shape)
    by_decay, by_fresh, by_weight, by_information, by_shared, by_left, by_pull, by_rest = by_store
    longest = 0
    for n in range(len(begins)):
        longest = max(longest, first[n + 1] - first[n])
    memory: Any = np.empty((4, longest, evals))
    x, new, known, z = memory
    by_memory: Any = np.empty((2, longest, evals))
    by_x, by_z = by_memory
    q, by_q = np.empty(evals), np.empty(evals)
    g_sigma[:] = 0.0
    for n in range(len(begins)):
        size = first[n + 1] - first[n]
        q[:] = 0.0
        by_q[:] = 0.0
        for k in range(size):
            i, t = first[n] + k, begins[n] + k
            total = 0.0
            for v in range(evals):
                by_x[k, v] = by_z[k, v] = 0.0
                if not measured[t, v]:
                    continue
                x[k, v] = error[i, v] * per_own[v]
                new[k, v] = x[k, v]
                if before[t, v] > 0:
                    new[k, v] = (x[k, v] - decay[t, v] * x[k - before[t, v], v]) * per_fresh[t, v]
                known[k, v] = q[v]
                z[k, v] = (new[k, v] - weight[t, v] * shared[t, v] * q[v]) * per_left[t, v]
                q[v] += weight[t, v] * new[k, v]
                y = (z[k, v] - pull[t, v] * total) * per_rest[t, v]
                log_density, force = _innovation(y, robust)
                density += log_density
                force *= per_rest[t, v]
                by_z[k, v] += force
                by_rest[t, v] -= force * y
                by_pull[t, v] -= force * total
                for u in range(v):
                    if measured[t, u]:
                        by_z[k, u] -= force * pull[t, v]
                total += z[k, v]
        for k in range(size - 1, -1, -1):
            i, t = first[n] + k, begins[n] + k
            for v in range(evals):
                if not measured[t, v]:
                    g_error[i, v] = 0.0
                    continue
                force = by_z[k, v] * per_left[t, v]
                by_left[t, v] -= force * z[k, v]
                by_weight[t, v] += by_q[v] * new[k, v] - force * shared[t, v] * known[k, v]
                by_shared[t, v] -= force * weight[t, v] * known[k, v]
                by_new = (force + by_q[v] * weight[t, v]) * per_fresh[t, v]
                by_q[v] -= force * weight[t, v] * shared[t, v]
                by_x[k, v] += by_new
                if before[t, v] > 0:
                    j = k - before[t, v]
                    by_x[j, v] -= by_new * decay[t, v]
                    by_decay[t, v] -= by_new * x[j, v]
                    by_fresh[t, v] -= by_new * new[k, v]
                g_error[i, v] = by_x[k, v] * per_own[v]
                g_sigma[v] -= by_x[k, v] * x[k, v]

    g_w = g_odds = g_ell = g_rho = 0.0
    for t in range(len(measured) - 1, -1, -1):
        seen = 0
        for v in range(evals):
            if not measured[t, v]:
                continue
            if seen:
                by_variance = 0.5 * (by_rest[t, v] - times[t] / rest[t, v]) / rest[t, v]
                slope = (pull[t, v] / rho) ** 2 if rho else 1.0
                g_rho += by_pull[t, v] * slope - by_variance * seen * (pull[t, v] + rho * slope)
            g_sigma[v] -= times[t]
            by_variance = 0.5 * (by_left[t, v] - times[t] / left[t, v]) / left[t, v]
            by_shared[t, v] += by_variance * weight[t, v] ** 2
            by_weight[t, v] += 2 * (by_variance * shared[t, v] + by_information[t, v]) * weight[t, v]
            g_odds += by_shared[t, v] / (1 + odds * information[t, v]) ** 2
            by_information[t, v] -= by_shared[t, v] * shared[t, v] ** 2
            if before[t, v] > 0:
                by_information[t - before[t, v], v] += by_information[t, v]
                by_fresh[t, v] -= (by_weight[t, v] * weight[t, v] + times[t]) / fresh[t, v]
                by_decay[t, v] -= (by_weight[t, v] + by_fresh[t, v] * decay[t, v]) / fresh[t, v]
                g_ell += by_decay[t, v] * decay[t, v] * gap[t, v] / ell**2
            seen += 1
    for v in range(evals):
        g_w -= g_sigma[v] / (2 * (1 - w))
        g_sigma[v] /= sigma[v]
    return density, g_w + g_odds / (1 - w) ** 2, g_ell, g_rho
