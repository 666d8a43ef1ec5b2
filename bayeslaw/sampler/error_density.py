"""The log density of correlated errors and its gradient: the inner loop of sampling.

The one-step-ahead form of `bayeslaw.spec.noise`, as one forward and one backward pass over the rows of each run. How an
error follows from the earlier ones depends on when a run was measured only, so runs with the same checkpoints share a
*pattern* and are worked at eight at a time, as a *pack*: errors (row, validation set, run).
"""

import math
from itertools import pairwise

import numpy as np
from numba import njit

from bayeslaw.sampler.lanes import LANES, add, lanes_at, largest, log_total, put, spread, total

__all__ = ["begin", "close", "collect", "evaluate_pack", "patterns"]

DECAY, FRESH, WEIGHT, INFORMATION, SHARED, LEFT, PULL, REST, PER_FRESH, PER_LEFT, PER_REST = range(11)
"""Of each row of a pattern: decay of the process since the previous measurement, and scale of its innovation; weight of
the run effect in the innovation, information on the run effect so far, its posterior variance (shared), scale left by
it; regression on the earlier validation sets (pull), and scale left by them (rest); the inverse scales."""

KEPT = 11

AT_X, AT_NEW, AT_KNOWN, AT_Z, AT_FORCE, AT_BY_X = range(0, 6 * LANES, LANES)
CELL = 6 * LANES
"""Numbers kept for an error of a pack between the passes."""

SUMS = 7
OF_DECAY, OF_FRESH, OF_WEIGHT, OF_SHARED, OF_LEFT, OF_PULL, OF_REST = range(SUMS)
"""Derivatives in the numbers of a row of a pattern."""

FAR = 1e150
"""Product of Student-t factors at which its logarithm is taken."""


def patterns(measured: np.ndarray, gap: np.ndarray, start: np.ndarray) -> tuple[list[np.ndarray], list[int], list[int]]:
    """Return the distinct patterns of checkpoints of the runs.

    Parameters
    ----------
    measured, gap, start
        See `Noise.one_step_ahead`.

    Returns
    -------
    arrays : list of array (row of a pattern, ...)
        What was measured, gaps, first row of the pattern, and number of rows of the table like this one.
    first : list (run)
        First row of each run; at its end the number of rows.
    pattern : list (run)
        First row of the run's pattern.
    """
    first = [*np.flatnonzero(start == np.arange(len(start))), len(start)]
    places: dict[bytes, int] = {}
    rows: list[int] = []
    pattern = []
    for a, b in pairwise(first):
        key = measured[a:b].tobytes() + gap[a:b].tobytes()
        if key not in places:
            places[key] = len(rows)
            rows.extend(range(a, b))
        pattern.append(places[key])
    like = np.concatenate([np.arange(t, t + b - a) for t, (a, b) in zip(pattern, pairwise(first), strict=True)])
    begins = np.arange(len(rows)) - (np.array(rows) - start[rows])
    return [measured[rows].astype(float), gap[rows], begins, np.bincount(like)], first, pattern


@njit(nogil=True, error_model="numpy")
def begin(measured, gap, start, times, sigma, w, ell, rho, kept, before):  # type: ignore[no-untyped-def]
    """Fill in the numbers of the patterns (number, row, eval), and rows since the previous measurement, -1 without.

    Return the log density of the scales.
    """
    odds, density = w / (1 - w), 0.0
    for t in range(measured.shape[0]):
        seen = 0
        for v in range(measured.shape[1]):
            before[t, v] = -1
            if not measured[t, v]:
                continue
            j = t - 1
            while j >= start[t] and not measured[j, v]:
                j -= 1
            decay = information = 0.0
            if j >= start[t]:
                before[t, v] = t - j
                decay = math.exp(-gap[t, v] / ell)
                information = kept[INFORMATION, j, v] + kept[WEIGHT, j, v] ** 2
            fresh = math.sqrt(1 - decay * decay)
            weight = (1 - decay) / fresh
            shared = odds / (1 + odds * information)
            left = math.sqrt(1 + weight * weight * shared)
            pull = rho / (1 + (seen - 1) * rho) if seen else 0.0
            rest = math.sqrt(1 - seen * rho * pull)
            kept[DECAY, t, v], kept[FRESH, t, v], kept[PER_FRESH, t, v] = decay, fresh, 1 / fresh
            kept[WEIGHT, t, v], kept[INFORMATION, t, v], kept[SHARED, t, v] = weight, information, shared
            kept[LEFT, t, v], kept[PER_LEFT, t, v] = left, 1 / left
            kept[PULL, t, v], kept[REST, t, v], kept[PER_REST, t, v] = pull, rest, 1 / rest
            density -= times[t] * math.log(sigma[v] * math.sqrt(1 - w) * fresh * left * rest)
            seen += 1
    return density


@njit(nogil=True, error_model="numpy")
def evaluate_pack(  # type: ignore[no-untyped-def]
    error, g_error, first, rows, measured, before, kept, sigma, w, robust, memory, of_pack, of_pattern, by_own
):
    """Return the log density of a pack of runs without that of the scales.

    Parameters
    ----------
    error, g_error : array
        Log loss minus log law, 0 in lanes without a run; filled with the derivatives, 0 where nothing was measured.
    first, rows : int
        First row of the pattern, number of its rows.
    memory, of_pack : array
        Room for ``CELL`` numbers an error, and for two lanes an eval.
    of_pattern, by_own : array
        ``SUMS`` lanes an error, one an eval, to which derivatives in the numbers of the pattern and in the logarithms
        of sigma are added.
    """
    evals = measured.shape[1]
    density, product, nothing = spread(0.0), spread(1.0), spread(0.0)
    outside = 0.0
    for v in range(2 * evals):
        put(of_pack, v * LANES, nothing)
    for k in range(rows):
        t, before_it = first + k, nothing
        for v in range(evals):
            if not measured[t, v]:
                continue
            n, weight = k * evals + v, kept[WEIGHT, t, v]
            at = n * CELL
            x = lanes_at(error, n * LANES) * (1 / (sigma[v] * math.sqrt(1 - w)))
            new = x
            if before[t, v] > 0:
                earlier = lanes_at(memory, at - before[t, v] * evals * CELL + AT_X)
                new = (x - kept[DECAY, t, v] * earlier) * kept[PER_FRESH, t, v]
            known = lanes_at(of_pack, v * LANES)
            z = (new - weight * kept[SHARED, t, v] * known) * kept[PER_LEFT, t, v]
            put(of_pack, v * LANES, known + weight * new)
            y = (z - kept[PULL, t, v] * before_it) * kept[PER_REST, t, v]
            if robust:
                factor = 1.0 + 0.2 * y * y
                product = product * factor
                force = y / factor * (-1.2 * kept[PER_REST, t, v])
            else:
                density = density - 0.5 * y * y
                force = y * -kept[PER_REST, t, v]
            add(of_pattern, (n * SUMS + OF_REST) * LANES, nothing - force * y)
            add(of_pattern, (n * SUMS + OF_PULL) * LANES, nothing - force * before_it)
            before_it = before_it + z
            put(memory, at + AT_X, x)
            put(memory, at + AT_NEW, new)
            put(memory, at + AT_KNOWN, known)
            put(memory, at + AT_Z, z)
            put(memory, at + AT_FORCE, force)
            put(memory, at + AT_BY_X, nothing)
        if robust and (largest(product) > FAR or k == rows - 1):
            outside -= 3 * log_total(product, LANES, g_error)
            product = spread(1.0)
    for k in range(rows - 1, -1, -1):
        t, after = first + k, nothing
        for v in range(evals - 1, -1, -1):
            n, weight, shared = k * evals + v, kept[WEIGHT, t, v], kept[SHARED, t, v]
            put(g_error, n * LANES, nothing)
            if not measured[t, v]:
                continue
            at, sums, q = n * CELL, n * SUMS * LANES, (evals + v) * LANES
            x, new = lanes_at(memory, at + AT_X), lanes_at(memory, at + AT_NEW)
            known, by_q = lanes_at(memory, at + AT_KNOWN), lanes_at(of_pack, q)
            own = lanes_at(memory, at + AT_FORCE)
            force = (own - after) * kept[PER_LEFT, t, v]
            after = after + own * kept[PULL, t, v]
            by_new = (force + by_q * weight) * kept[PER_FRESH, t, v]
            by_x = lanes_at(memory, at + AT_BY_X) + by_new
            add(of_pattern, sums + OF_LEFT * LANES, nothing - force * lanes_at(memory, at + AT_Z))
            add(of_pattern, sums + OF_WEIGHT * LANES, by_q * new - force * known * shared)
            add(of_pattern, sums + OF_SHARED * LANES, force * known * -weight)
            put(of_pack, q, by_q - force * (weight * shared))
            if before[t, v] > 0:
                earlier = at - before[t, v] * evals * CELL
                add(memory, earlier + AT_BY_X, by_new * -kept[DECAY, t, v])
                add(of_pattern, sums + OF_DECAY * LANES, nothing - by_new * lanes_at(memory, earlier + AT_X))
                add(of_pattern, sums + OF_FRESH * LANES, nothing - by_new * new)
            put(g_error, n * LANES, by_x * (1 / (sigma[v] * math.sqrt(1 - w))))
            add(by_own, v * LANES, nothing - by_x * x)
    return total(density) + outside


@njit(nogil=True, error_model="numpy")
def collect(of_pattern, first, rows, by):  # type: ignore[no-untyped-def]
    """Add the lanes of a pattern to the derivatives (sum, row, eval), and empty them."""
    evals = by.shape[2]
    for n in range(rows * evals):
        for s in range(SUMS):
            at = (n * SUMS + s) * LANES
            by[s, first + n // evals, n % evals] += total(lanes_at(of_pattern, at))
            put(of_pattern, at, spread(0.0))


@njit(nogil=True, error_model="numpy")
def close(measured, gap, times, before, kept, by, by_own, sigma, w, ell, rho, g_sigma):  # type: ignore[no-untyped-def]
    """Fill in the derivatives in sigma, and return those in w, ell and rho."""
    evals, odds = measured.shape[1], w / (1 - w)
    informed = np.zeros(measured.shape)
    g_w = g_odds = g_ell = g_rho = 0.0
    for v in range(evals):
        g_sigma[v] = total(lanes_at(by_own, v * LANES))
    for t in range(measured.shape[0] - 1, -1, -1):
        seen = 0
        for v in range(evals):
            if not measured[t, v]:
                continue
            pull, rest, left = kept[PULL, t, v], kept[REST, t, v], kept[LEFT, t, v]
            weight, shared, fresh = kept[WEIGHT, t, v], kept[SHARED, t, v], kept[FRESH, t, v]
            if seen:
                by_variance = 0.5 * (by[OF_REST, t, v] - times[t] / rest) / rest
                slope = (pull / rho) ** 2 if rho else 1.0
                g_rho += by[OF_PULL, t, v] * slope - by_variance * seen * (pull + rho * slope)
            g_sigma[v] -= times[t]
            by_variance = 0.5 * (by[OF_LEFT, t, v] - times[t] / left) / left
            by_shared = by[OF_SHARED, t, v] + by_variance * weight * weight
            by_weight = by[OF_WEIGHT, t, v] + 2 * (by_variance * shared + informed[t, v]) * weight
            g_odds += by_shared / (1 + odds * kept[INFORMATION, t, v]) ** 2
            if before[t, v] > 0:
                informed[t - before[t, v], v] += informed[t, v] - by_shared * shared * shared
                by_fresh = by[OF_FRESH, t, v] - (by_weight * weight + times[t]) / fresh
                by_decay = by[OF_DECAY, t, v] - (by_weight + by_fresh * kept[DECAY, t, v]) / fresh
                g_ell += by_decay * kept[DECAY, t, v] * gap[t, v] / ell**2
            seen += 1
    for v in range(evals):
        g_w -= g_sigma[v] / (2 * (1 - w))
        g_sigma[v] /= sigma[v]
    return g_w + g_odds / (1 - w) ** 2, g_ell, g_rho
