"""Second derivatives of a density by differences of its gradient, in all coordinates that do not meet at once.

Coordinates of different parts (`bayeslaw.sampler.coordinates.Coordinates.parts`) have no derivative in common: moving
one of every part at once changes the gradient of each part as if its own had moved alone. What a coordinate and a
shared one have in common is read off when the shared one moves.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

__all__ = ["curvature", "scales"]

STEP = 1e-4


def _together(parts: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the coordinates that move at once: every shared one alone, then the first, second, ... one of the parts."""
    yield from np.flatnonzero(parts < 0)[:, None]
    own = np.flatnonzero(parts >= 0)
    own = own[np.argsort(parts[own], kind="stable")]
    place = np.arange(len(own)) - np.searchsorted(parts[own], parts[own])
    yield from (own[place == n] for n in range(place.max(initial=-1) + 1))


def scales(function: Callable[[np.ndarray], tuple[float, np.ndarray]], at: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Return the scale of each coordinate from its second derivative."""
    scale = np.empty_like(at)
    for moved in _together(parts):
        step = np.zeros_like(at)
        step[moved] = STEP
        second = (function(at + step)[1][moved] - function(at - step)[1][moved]) / (2 * STEP)
        scale[moved] = [1 / math.sqrt(max(abs(s), 0.1)) if math.isfinite(s) else 0.1 for s in second]
    return scale


def curvature(
    function: Callable[[np.ndarray], tuple[float, np.ndarray]], at: np.ndarray, scale: np.ndarray, parts: np.ndarray
) -> np.ndarray:
    """Return minus the second derivatives in units of the scale, by central differences of the gradient.

    Parameters
    ----------
    parts : array
        The part of each coordinate; -1 for those that all parts share.
    """
    matrix, own, crowd = np.zeros((len(at), len(at))), np.flatnonzero(parts >= 0), [np.zeros(0, int)]
    for moved in _together(parts):
        step = np.zeros_like(at)
        step[moved] = STEP * scale[moved]
        row = (function(at - step)[1] - function(at + step)[1]) / (2 * STEP) * scale
        if len(moved) == 1:
            matrix[moved] = row
            continue
        mover = np.zeros(parts.max() + 1, int) - 1
        mover[parts[moved]] = moved
        seen = own[mover[parts[own]] >= 0]
        matrix[mover[parts[seen]], seen] = row[seen]
        crowd.append(moved)
    crowded, shared = np.concatenate(crowd), np.flatnonzero(parts < 0)
    matrix[np.ix_(crowded, shared)] = matrix[np.ix_(shared, crowded)].T
    half: np.ndarray = (matrix + matrix.T) / 2
    return half
