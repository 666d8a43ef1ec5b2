"""The map between amplitudes and drops of terms, levels and mean losses: loops that are compiled."""

import math

from numba import njit

__all__ = ["displace_terms", "log_falls", "place_terms", "pull_log_falls", "pull_terms"]


@njit(cache=True, nogil=True, error_model="numpy")
def _fall(unit, contrasts, a, p):  # type: ignore[no-untyped-def]
    fall = 0.0
    for m in range(unit.shape[2]):
        fall += contrasts[a, m] * unit[a, p, m]
    return fall


@njit(cache=True, nogil=True, error_model="numpy")
def log_falls(unit, terms, term_weight, contrasts, found):  # type: ignore[no-untyped-def]
    """Fill in the log drop of every entry's term at unit amplitude; entries without a drop are left alone."""
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                found[terms[a, p]] += term_weight[a, p] * math.log(_fall(unit, contrasts, a, p))


@njit(cache=True, nogil=True, error_model="numpy")
def pull_log_falls(by_fall, unit, pull, terms, term_weight, contrasts):  # type: ignore[no-untyped-def]
    """Add the part of a gradient in the log drops to that in the terms."""
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                force = by_fall[terms[a, p]] * term_weight[a, p] / _fall(unit, contrasts, a, p)
                for m in range(unit.shape[2]):
                    pull[a, p, m] += force * contrasts[a, m]


@njit(cache=True, nogil=True, error_model="numpy")
def _above(v, unit, terms, p):  # type: ignore[no-untyped-def]
    """Return the mean over the design of the law without its level."""
    above = 0.0
    for m in range(unit.shape[2]):
        above += unit[-1, p, m]
    for a in range(len(terms)):
        amplitude = math.exp(v[terms[a, p]])
        for m in range(unit.shape[2]):
            above += amplitude * unit[a, p, m]
    return above / unit.shape[2]


@njit(cache=True, nogil=True, error_model="numpy")
def place_terms(v, unit, terms, term_weight, level, level_weight, contrasts, logs, bend):  # type: ignore[no-untyped-def]
    """Turn log drops into log amplitudes, then mean losses into levels; return the log Jacobian, NaN without a drop."""
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                fall = _fall(unit, contrasts, a, p)
                if not fall > 0:
                    return math.nan
                v[terms[a, p]] -= term_weight[a, p] * math.log(fall)
    for p in range(len(level)):
        v[level[p]] -= level_weight[p] * _above(v, unit, terms, p)
    jacobian = 0.0
    for i in range(len(logs)):
        at, low = v[logs[i]], bend[i]
        v[logs[i]] = math.log(at) if at > low else math.log(low) + at / low - 1
        jacobian -= math.log(max(at, low))
    return jacobian


@njit(cache=True, nogil=True, error_model="numpy")
def displace_terms(u, v, unit, terms, term_weight, level, level_weight, contrasts, logs, bend):  # type: ignore[no-untyped-def]
    """Turn log amplitudes into log drops, and levels into mean losses: the inverse of `place_terms`."""
    for i in range(len(logs)):
        u[logs[i]] = _unlog(v[logs[i]], bend[i])
    for p in range(len(level)):
        u[level[p]] += level_weight[p] * _above(v, unit, terms, p)
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                u[terms[a, p]] += term_weight[a, p] * math.log(_fall(unit, contrasts, a, p))


@njit(cache=True, nogil=True, error_model="numpy")
def _unlog(x, low):  # type: ignore[no-untyped-def]
    return math.exp(x) if x > math.log(low) else low * (x - math.log(low) + 1)


@njit(cache=True, nogil=True, error_model="numpy")
def pull_terms(g, v, unit, pull, terms, term_weight, level, level_weight, contrasts, logs, bend):  # type: ignore[no-untyped-def]
    """Turn a gradient in the parameters into one in the drops and mean losses, and fill in that in the terms."""
    cells = unit.shape[2]
    for i in range(len(logs)):
        at = _unlog(v[logs[i]], bend[i])
        g[logs[i]] = (g[logs[i]] - 1) / at if at > bend[i] else g[logs[i]] / bend[i]
    for p in range(len(level)):
        force = -g[level[p]] * level_weight[p] / cells
        for m in range(cells):
            pull[-1, p, m] += force
        for a in range(len(terms)):
            amplitude, total = math.exp(v[terms[a, p]]), 0.0
            for m in range(cells):
                pull[a, p, m] += force * amplitude
                total += unit[a, p, m]
            g[terms[a, p]] += force * amplitude * total
    for a in range(len(terms)):
        if contrasts[a, 0] != 0:
            for p in range(terms.shape[1]):
                force = -g[terms[a, p]] * term_weight[a, p] / _fall(unit, contrasts, a, p)
                for m in range(cells):
                    pull[a, p, m] += force * contrasts[a, m]
