"""The error model's log density and its gradient, by hand: the inner loop of sampling.

The same one-step-ahead form as `bayeslaw.noise` (and tested against it), as one pass forward and one back over the rows
of each run. Compiled once by Numba and kept in its cache on disk. ``pull`` is the gradient in the losses of a block,
to which every function adds.
"""

import math

import numpy as np
from numba import njit

__all__ = ["correlated", "density_of_errors", "independent"]


@njit(cache=True, nogil=True, error_model="numpy")
def independent(loss, cell, ev, log_loss, sigma, robust, pull, g_sigma):  # type: ignore[no-untyped-def]
    """Return the log density of measurements with independent errors on the log scale."""
    density = 0.0
    for m in range(len(cell)):
        value, own = loss[cell[m]], sigma[ev[m]]
        z = (log_loss[m] - math.log(value)) / own
        if robust:
            density -= 3 * math.log(1 + z * z / 5)
            g_z = -6 * z / (5 + z * z)
        else:
            density -= 0.5 * z * z
            g_z = -z
        density -= math.log(own)
        g_sigma[ev[m]] -= (g_z * z + 1) / own
        pull[cell[m]] -= g_z / (own * value)
    return density


@njit(cache=True, nogil=True, error_model="numpy")
def correlated(loss, cell, log_loss, measured, gap, start, sigma, w, ell, rho, robust, pull, g_sigma):  # type: ignore[no-untyped-def]
    """Return the log density of measurements (row, eval) with correlated errors; derivatives in w, ell and rho."""
    rows, evals = cell.shape
    error, g_error = np.zeros((rows, evals)), np.empty((rows, evals))
    for i in range(rows):
        for v in range(evals):
            if measured[i, v]:
                error[i, v] = log_loss[i, v] - math.log(loss[cell[i, v]])
    density, g_w, g_ell, g_rho = density_of_errors(
        error, measured, gap, start, sigma, w, ell, rho, robust, g_error, g_sigma
    )
    for i in range(rows):
        for v in range(evals):
            if measured[i, v]:
                pull[cell[i, v]] -= g_error[i, v] / loss[cell[i, v]]
    return density, g_w, g_ell, g_rho


@njit(cache=True, nogil=True, error_model="numpy")
def density_of_errors(error, measured, gap, start, sigma, w, ell, rho, robust, g_error, g_sigma):  # type: ignore[no-untyped-def]
    """Return the log density (constants dropped) and its derivatives in w, ell and rho; fill those in error and sigma.

    Parameters
    ----------
    error, measured, gap : array (row, eval)
        Log loss minus log law; whether it counts; log tokens since the run's previous measurement (huge for the first).
    start : array (row)
        First row of the row's run; rows sorted by run, then tokens.
    sigma : array (eval)
    w, ell, rho : float
        Run weight, correlation length, correlation between validation sets.
    robust : bool
        Student-t with 5 degrees of freedom.
    g_error, g_sigma : arrays like error and sigma
        Filled with derivatives.
    """
    rows, evals = error.shape
    odds = w / (1 - w)
    root = math.sqrt(1 - w)
    store = np.zeros((10, rows, evals))
    x, phi, s, d, o, before_p, before_q, share, spread, z = store
    previous = np.full((rows, evals), -1)
    last = np.full(evals, -1)
    p, q = np.zeros(evals), np.zeros(evals)
    total_density = 0.0
    g_z = np.zeros((rows, evals))
    g_w = g_ell = g_rho = 0.0
    for i in range(rows):
        if start[i] == i:
            for v in range(evals):
                last[v], p[v], q[v] = -1, 0.0, 0.0
        seen, total = 0, 0.0
        for v in range(evals):
            if not measured[i, v]:
                continue
            own = sigma[v] * root
            x[i, v] = error[i, v] / own
            j = last[v]
            previous[i, v] = j
            x_previous = x[j, v] if j >= 0 else 0.0
            phi[i, v] = math.exp(-gap[i, v] / ell) if j >= 0 else 0.0
            s[i, v] = math.sqrt(1 - phi[i, v] ** 2)
            d[i, v] = (x[i, v] - phi[i, v] * x_previous) / s[i, v]
            o[i, v] = (1 - phi[i, v]) / s[i, v]
            before_p[i, v], before_q[i, v] = p[v], q[v]
            share[i, v] = odds / (1 + odds * p[v])
            spread[i, v] = math.sqrt(1 + o[i, v] ** 2 * share[i, v])
            z[i, v] = (d[i, v] - o[i, v] * share[i, v] * q[v]) / spread[i, v]
            p[v] += o[i, v] ** 2
            q[v] += o[i, v] * d[i, v]
            last[v] = i
            total_density -= math.log(own * s[i, v] * spread[i, v])
            denominator = 1 + (seen - 1) * rho if seen else 1.0
            pull = rho / denominator if seen else 0.0
            variance = 1 - seen * rho * pull
            rest = (z[i, v] - pull * total) / math.sqrt(variance)
            if robust:
                total_density -= 3 * math.log(1 + rest**2 / 5)
                g_rest = -6 * rest / (5 + rest**2)
            else:
                total_density -= 0.5 * rest**2
                g_rest = -rest
            total_density -= 0.5 * math.log(variance)
            g_z[i, v] += g_rest / math.sqrt(variance)
            if seen:
                pull_by_rho = 1 / denominator**2
                g_pull = -g_rest * total / math.sqrt(variance)
                g_variance = -0.5 * g_rest * rest / variance - 0.5 / variance
                g_rho += g_pull * pull_by_rho - g_variance * seen * (pull + rho * pull_by_rho)
                for u in range(v):
                    if measured[i, u]:
                        g_z[i, u] -= g_rest * pull / math.sqrt(variance)
            seen += 1
            total += z[i, v]
    g_x = np.zeros((rows, evals))
    g_p, g_q = np.zeros(evals), np.zeros(evals)
    g_odds = 0.0
    g_sigma[:] = 0.0
    g_error[:] = 0.0
    for i in range(rows - 1, -1, -1):
        for v in range(evals):
            if measured[i, v]:
                own = sigma[v] * root
                j = previous[i, v]
                x_previous = x[j, v] if j >= 0 else 0.0
                g_o = 2 * g_p[v] * o[i, v] + g_q[v] * d[i, v]
                g_d = g_q[v] * o[i, v] + g_z[i, v] / spread[i, v]
                g_mean = -g_z[i, v] / spread[i, v]
                g_variance = (-g_z[i, v] * z[i, v] - 1) / (2 * spread[i, v] ** 2)
                g_o += 2 * g_variance * o[i, v] * share[i, v] + g_mean * share[i, v] * before_q[i, v]
                g_share = g_variance * o[i, v] ** 2 + g_mean * o[i, v] * before_q[i, v]
                g_q[v] += g_mean * o[i, v] * share[i, v]
                g_odds += g_share / (1 + odds * before_p[i, v]) ** 2
                g_p[v] -= g_share * share[i, v] ** 2
                g_x[i, v] += g_d / s[i, v]
                if j >= 0:
                    g_x[j, v] -= g_d * phi[i, v] / s[i, v]
                    g_s = -(g_d * d[i, v] + g_o * o[i, v] + 1) / s[i, v]
                    g_phi = -(g_d * x_previous + g_o) / s[i, v] - g_s * phi[i, v] / s[i, v]
                    g_ell += g_phi * phi[i, v] * gap[i, v] / ell**2
                g_error[i, v] = g_x[i, v] / own
                g_own = -(g_x[i, v] * x[i, v] + 1) / own
                g_sigma[v] += g_own * root
                g_w -= g_own * sigma[v] / (2 * root)
        if start[i] == i:
            g_p[:] = 0.0
            g_q[:] = 0.0
    return total_density, g_w + g_odds / (1 - w) ** 2, g_ell, g_rho
