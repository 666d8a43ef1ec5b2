"""The bend along which the drops of groups follow their exponents where the population ties the amplitudes together.

The log of an amplitude is that of the drop of its term minus f, the log of the drop at unit amplitude, which depends on
the exponents. A population ties the amplitudes of its groups the more, the smaller its spread tau; the slopes M of the
conditional means (`bayeslaw.sampler.conditionals`) follow f near the mode only, and the curvature of the rest grows as
tau^-2. Each drop is therefore moved on by the share tau^-2 / (P + tau^-2), P its own precision given the rest, of
what M leaves out of f(w) - f(m). A drop moves by the others' coordinates, so that the Jacobian stays as it is.
"""

from numba import njit

__all__ = ["bend", "pull_back_bend"]


@njit(cache=True, nogil=True, error_model="numpy")
def _bent(n, r, w, falls, sets):  # type: ignore[no-untyped-def]
    """Return what M leaves out of f(w) - f(m) for an amplitude of a group."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    left = falls[entry[n, r]] - falls[location[r]]
    for j in range(len(location)):
        if j != r:
            left += slope[n, r, j] * (w[entry[n, j]] - w[location[j]])
    return left


@njit(cache=True, nogil=True, error_model="numpy")
def bend(w, falls, c, sets, sign):  # type: ignore[no-untyped-def]
    """Move the drops of the groups along the bend (sign 1), or back (-1)."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    for n in range(len(entry)):
        for r in range(len(location)):
            if falls[entry[n, r]] != 0:
                share = 1 / (1 + precision[n, r, r] * c[spread[r]] ** 2)
                w[entry[n, r]] += sign * share * _bent(n, r, w, falls, sets)


@njit(cache=True, nogil=True, error_model="numpy")
def pull_back_bend(g, w, falls, by_fall, c, chain, sets):  # type: ignore[no-untyped-def]
    """Turn a gradient in bent coordinates into one in straight ones, and add that in the log drops."""
    entry, location, spread, precision, slope, center, constant, home, prior = sets
    for n in range(len(entry)):
        for r in range(len(location)):
            if falls[entry[n, r]] != 0:
                sd, own = c[spread[r]], precision[n, r, r]
                share, force = 1 / (1 + own * sd**2), g[entry[n, r]]
                by_share = force * _bent(n, r, w, falls, sets)
                g[spread[r]] -= 2 * own * sd * share**2 * by_share * chain[spread[r]]
                by_fall[entry[n, r]] += share * force
                by_fall[location[r]] -= share * force
                for j in range(len(location)):
                    if j != r:
                        g[entry[n, j]] += share * force * slope[n, r, j]
                        g[location[j]] -= share * force * slope[n, r, j]
