"""The map between amplitudes and drops of terms, levels and mean losses: loops that are compiled.

``unit`` holds the law with one term alone at unit amplitude (amplitude, point, cell), in its last part with no term,
which `alone` subtracts from the others.
"""

import math

from bayeslaw.sampler.stored import inner, kept

__all__ = ["alone", "displace_terms", "log_falls", "place_terms", "pull_alone", "pull_log_falls", "pull_terms"]


@inner
def _cells(unit, terms):  # type: ignore[no-untyped-def]
    return len(unit) // ((terms.shape[0] + 1) * terms.shape[1])


@inner
def _drops(contrasts, a):  # type: ignore[no-untyped-def]
    """Return whether an amplitude moves by its term."""
    found = False
    for m in range(contrasts.shape[1]):
        found |= contrasts[a, m] != 0
    return found


@inner
def _fall(unit, terms, contrasts, a, p):  # type: ignore[no-untyped-def]
    cells = _cells(unit, terms)
    fall, first = 0.0, (a * terms.shape[1] + p) * cells
    for m in range(cells):
        fall += contrasts[a, m] * unit[first + m]
    return fall


@inner
def _above(v, unit, terms, mean, p):  # type: ignore[no-untyped-def]
    """Return the weighted mean over the design of the law without its level."""
    cells, above = _cells(unit, terms), 0.0
    for a in range(terms.shape[0] + 1):
        amplitude = math.exp(v[terms[a, p]]) if a < terms.shape[0] else 1.0
        first = (a * terms.shape[1] + p) * cells
        for m in range(cells):
            above += amplitude * mean[m] * unit[first + m]
    return above


@kept
def alone(unit, terms):  # type: ignore[no-untyped-def]
    """Subtract the law with no term, in place."""
    size = len(unit) // (terms.shape[0] + 1)
    last = size * terms.shape[0]
    for n in range(last):
        unit[n] -= unit[last + n % size]


@inner
def place_terms(v, unit, terms, term_weight, level, level_weight, contrasts, logs, bend, mean):  # type: ignore[no-untyped-def]
    """Turn log drops into log amplitudes, then mean losses into levels; return the log Jacobian, NaN without a drop."""
    for a in range(terms.shape[0]):
        if _drops(contrasts, a):
            for p in range(terms.shape[1]):
                fall = _fall(unit, terms, contrasts, a, p)
                if not fall > 0:
                    return math.nan
                v[terms[a, p]] -= term_weight[a, p] * math.log(fall)
    for p in range(len(level)):
        v[level[p]] -= level_weight[p] * _above(v, unit, terms, mean, p)
    jacobian = 0.0
    for i in range(len(logs)):
        at, low = v[logs[i]], bend[i]
        v[logs[i]] = math.log(at) if at > low else math.log(low) + at / low - 1
        jacobian -= math.log(max(at, low))
    return jacobian


@kept
def displace_terms(u, v, unit, terms, term_weight, level, level_weight, contrasts, logs, bend, mean):  # type: ignore[no-untyped-def]
    """Turn log amplitudes into log drops, and levels into mean losses: the inverse of `place_terms`."""
    for i in range(len(logs)):
        u[logs[i]] = _unlog(v[logs[i]], bend[i])
    for p in range(len(level)):
        u[level[p]] += level_weight[p] * _above(v, unit, terms, mean, p)
    for a in range(terms.shape[0]):
        if _drops(contrasts, a):
            for p in range(terms.shape[1]):
                u[terms[a, p]] += term_weight[a, p] * math.log(_fall(unit, terms, contrasts, a, p))


@inner
def _unlog(x, low):  # type: ignore[no-untyped-def]
    return math.exp(x) if x > math.log(low) else low * (x - math.log(low) + 1)


@inner
def pull_terms(g, v, unit, pull, terms, term_weight, level, level_weight, contrasts, logs, bend, mean):  # type: ignore[no-untyped-def]
    """Turn a gradient in the parameters into one in the drops and mean losses, and add that in the terms to `pull`."""
    cells, points = _cells(unit, terms), terms.shape[1]
    last = terms.shape[0] * points * cells
    for i in range(len(logs)):
        at = _unlog(v[logs[i]], bend[i])
        g[logs[i]] = (g[logs[i]] - 1) / at if at > bend[i] else g[logs[i]] / bend[i]
    for p in range(len(level)):
        force = -g[level[p]] * level_weight[p]
        for m in range(cells):
            pull[last + p * cells + m] += force * mean[m]
        for a in range(terms.shape[0]):
            amplitude, total, first = math.exp(v[terms[a, p]]), 0.0, (a * points + p) * cells
            for m in range(cells):
                pull[first + m] += force * amplitude * mean[m]
                total += mean[m] * unit[first + m]
            g[terms[a, p]] += force * amplitude * total
    for a in range(terms.shape[0]):
        if _drops(contrasts, a):
            for p in range(points):
                force = -g[terms[a, p]] * term_weight[a, p] / _fall(unit, terms, contrasts, a, p)
                for m in range(cells):
                    pull[(a * points + p) * cells + m] += force * contrasts[a, m]


@inner
def pull_alone(pull, terms):  # type: ignore[no-untyped-def]
    """Add the part of a gradient that the law with no term has in the others."""
    size = len(pull) // (terms.shape[0] + 1)
    last = size * terms.shape[0]
    for n in range(last):
        pull[last + n % size] -= pull[n]


@kept
def log_falls(unit, terms, term_weight, contrasts, found):  # type: ignore[no-untyped-def]
    """Fill in the log drop of every entry's term at unit amplitude; entries without a drop are left alone."""
    for a in range(terms.shape[0]):
        if _drops(contrasts, a):
            for p in range(terms.shape[1]):
                found[terms[a, p]] += term_weight[a, p] * math.log(_fall(unit, terms, contrasts, a, p))


@inner
def pull_log_falls(by_fall, unit, pull, terms, term_weight, contrasts):  # type: ignore[no-untyped-def]
    """Add the part of a gradient in the log drops to that in the terms."""
    cells = _cells(unit, terms)
    for a in range(terms.shape[0]):
        if _drops(contrasts, a):
            for p in range(terms.shape[1]):
                force = by_fall[terms[a, p]] * term_weight[a, p] / _fall(unit, terms, contrasts, a, p)
                for m in range(cells):
                    pull[(a * terms.shape[1] + p) * cells + m] += force * contrasts[a, m]
