"""Correlated errors of many draws, each standardised by its prediction from the earlier ones of its run: compiled."""

import math

import numpy as np

from bayeslaw.sampler.stored import kept

__all__ = ["innovations"]


@kept
def innovations(error, sigma, w, ell, rho, measured, gap, previous, start, z, scale):  # type: ignore[no-untyped-def]
    """Fill standardised errors and their scales: `Noise.one_step_ahead`, row after row.

    Parameters
    ----------
    error, z, scale : array (draw, row, eval)
        Of what was not measured, z is 0 and the scale 1.
    sigma : array (draw, eval)
    w, ell, rho : array (draw)
    measured, gap, previous : array (row, eval)
    start : array (row)
        See `Design.order`.
    """
    draws, rows, evals = error.shape
    information, known = np.empty(evals), np.empty(evals)
    for s in range(draws):
        odds, root = w[s] / (1 - w[s]), math.sqrt(1 - w[s])
        for i in range(rows):
            if start[i] == i:
                information[:] = 0.0
                known[:] = 0.0
            seen, total = 0, 0.0
            for v in range(evals):
                z[s, i, v], scale[s, i, v] = 0.0, 1.0
                if not measured[i, v]:
                    continue
                own, decay = sigma[s, v] * root, math.exp(-gap[i, v] / ell[s])
                fresh = math.sqrt(1 - decay**2)
                weight = (1 - decay) / fresh
                new = (error[s, i, v] - decay * error[s, previous[i, v], v]) / (own * fresh)
                shared = odds / (1 + odds * information[v])
                left = math.sqrt(1 + weight**2 * shared)
                alone = (new - weight * shared * known[v]) / left
                pull = rho[s] / (1 + (seen - 1) * rho[s]) if seen else 0.0
                rest = math.sqrt(1 - seen * rho[s] * pull)
                z[s, i, v] = (alone - pull * total) / rest
                scale[s, i, v] = own * fresh * left * rest
                information[v] += weight**2
                known[v] += weight * new
                total += alone
                seen += 1
