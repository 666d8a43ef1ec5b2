"""Power scaling of many quantities at once: distances of distributions, and shifts of means, under other weights."""

from collections.abc import Iterable

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import xlogy

__all__ = ["changes", "shifts"]

ALPHAS = (0.99, 1.01)
"""Powers between which the change of a distribution per doubling is taken; the paper's, and ArviZ'."""

CONSTANT_SPREAD = 1e-12
"""Relative spread below which draws count as constant."""


def changes(draws: np.ndarray, densities: Iterable[np.ndarray]) -> np.ndarray:
    """Return the change of distributions per doubling of the weight of log densities, as `arviz.psense` does.

    Parameters
    ----------
    draws : array (chain, draw, quantity)
    densities : iterable of array (chain, draw)

    Returns
    -------
    array (density, quantity)
    """
    flat = draws.reshape(-1, draws.shape[-1])
    order = np.argsort(flat, axis=0)
    width = np.diff(np.take_along_axis(flat, order, axis=0), axis=0)
    found = []
    for density in densities:
        change = 0.0
        for alpha in ALPHAS:
            weight = np.exp(array_stats.power_scale_lw(density, alpha=alpha, axis=(0, 1)))
            sorted_weight = (weight / weight.sum()).ravel()[order]
            both = (_distance(width, sorted_weight), _distance(width[::-1], sorted_weight[::-1]))
            change = change + np.maximum(*both) / abs(np.log2(alpha)) / len(ALPHAS)
        found.append(change)
    return np.array(found)


def _distance(width: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the cumulative Jensen-Shannon distance of sorted draws from the same with weights; both (draw, quantity).

    `width` holds the distances of neighbours.
    """
    n = len(weight)
    equal = np.linspace(1 / n, 1 - 1 / n, n - 1)[:, None]
    other = np.cumsum(weight, axis=0)[:-1]
    middle = np.log2((equal + other) / 2)
    own = (width * equal).sum(axis=0)
    others = (width * other).sum(axis=0)
    apart = (others - own) / (2 * np.log(2))
    one = (width * equal * (np.log2(equal) - middle)).sum(axis=0) + apart
    two = (width * (xlogy(other, other) / np.log(2) - other * middle)).sum(axis=0) - apart
    distance: np.ndarray = np.sqrt((np.maximum(one, 0.0) + np.maximum(two, 0.0)) / (own + others))
    return distance


def shifts(draws: np.ndarray, density: np.ndarray, power: float) -> np.ndarray:
    """Return the shifts of means, in standard deviations, when a log density is raised to a power.

    `draws` has dims (chain, draw, quantity) and `density` (chain, draw); quantities that do not vary have no shift.
    """
    flat, log_weight = draws.reshape(-1, draws.shape[-1]), (power - 1) * density.ravel()
    weight = np.exp(log_weight - log_weight.max())
    mean, spread = flat.mean(axis=0), flat.std(axis=0)
    varies = spread > CONSTANT_SPREAD * abs(mean)
    shift: np.ndarray = (weight @ flat / weight.sum() - mean) / np.where(varies, spread, np.nan)
    return shift
