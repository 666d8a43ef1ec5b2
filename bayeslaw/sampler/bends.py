"""The bend along which the drops of groups follow their exponents where the population ties the amplitudes together.

The log of an amplitude is that of the drop of its term minus f, the log of the drop at unit amplitude, which depends on
the exponents. A population ties the amplitudes of its groups the more, the smaller its spread tau; the slopes M of the
conditional means (`bayeslaw.sampler.conditionals`) follow f near the mode only, and the curvature of the rest grows as
tau^-2. Each drop is therefore moved on by the share tau^-2 / (P + tau^-2), P its own precision given the rest, of
what M leaves out of f(w) - f(m). A drop moves by the others' coordinates, so that the Jacobian stays as it is.
"""

from bayeslaw.sampler.stored import inner
from bayeslaw.sampler.table import At, reals, whole, whole2

__all__ = ["bend", "pull_back_bend"]


@inner
def _bent(w, falls, entries, slopes, r, n, location):  # type: ignore[no-untyped-def]
    """Return what M leaves out of f(w) - f(m) for an amplitude of a group, whose coefficients begin at entry n."""
    k = len(location)
    left = falls[entries[n + r]] - falls[location[r]]
    for j in range(k):
        if j != r:
            left += slopes[(n + r) * k + j] * (w[entries[n + j]] - w[location[j]])
    return left


@inner
def bend(table, w, falls, c):  # type: ignore[no-untyped-def]
    """Move the drops of the groups along the bend."""
    shape = whole2(table, At.bent_shape)
    for f in range(shape.shape[0]):
        groups, k, first, numbers = shape[f, 0], shape[f, 1], shape[f, 2], shape[f, 3]
        entries, own = whole(table, At.bent_entries)[first:], reals(table, At.bent_numbers)[numbers:]
        location, spread = entries[groups * k : groups * k + k], entries[groups * k + k :]
        for n in range(0, groups * k, k):
            for r in range(k):
                if falls[entries[n + r]] != 0:
                    share = 1 / (1 + own[n + r] * c[spread[r]] ** 2)
                    w[entries[n + r]] += share * _bent(w, falls, entries, own[groups * k :], r, n, location)


@inner
def pull_back_bend(table, g, w, falls, by_fall, c, chain):  # type: ignore[no-untyped-def]
    """Turn a gradient in bent coordinates into one in straight ones, and add that in the log drops."""
    shape = whole2(table, At.bent_shape)
    for f in range(shape.shape[0]):
        groups, k, first, numbers = shape[f, 0], shape[f, 1], shape[f, 2], shape[f, 3]
        entries, own = whole(table, At.bent_entries)[first:], reals(table, At.bent_numbers)[numbers:]
        slopes = own[groups * k :]
        location, spread = entries[groups * k : groups * k + k], entries[groups * k + k :]
        for n in range(0, groups * k, k):
            for r in range(k):
                if falls[entries[n + r]] != 0:
                    sd, force = c[spread[r]], g[entries[n + r]]
                    share = 1 / (1 + own[n + r] * sd**2)
                    by_share = force * _bent(w, falls, entries, slopes, r, n, location)
                    g[spread[r]] -= 2 * own[n + r] * sd * share**2 * by_share * chain[spread[r]]
                    by_fall[entries[n + r]] += share * force
                    by_fall[location[r]] -= share * force
                    for j in range(k):
                        if j != r:
                            pulled = share * force * slopes[(n + r) * k + j]
                            g[entries[n + j]] += pulled
                            g[location[j]] -= pulled
