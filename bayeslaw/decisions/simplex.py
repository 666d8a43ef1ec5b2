"""Minimisation of many smooth functions of a mixture at once, over the simplex with bounds."""

from collections.abc import Callable

import numpy as np

__all__ = ["GAP", "minimise", "project"]

GAP = 1e-7
"""Frank-Wolfe gap (nats) at which to stop: a bound on the distance to the minimum where the law is convex."""

BOUND_ROUNDING = 1e-9
"""Distance from a bound within which a share is set to the bound."""

MOST_STEPS = 5000
RECENT_VALUES = 10
"""Recent values, whose largest bounds the next one: the spectral step has to go up at times."""


def project(x: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the nearest points (last axis) with ``low <= x <= high`` that sum to 1.

    Newton steps, kept inside a bracket by bisection, find the shift whose clipped point sums to 1.
    """
    left, right = (low - x).min(-1, keepdims=True), (high - x).max(-1, keepdims=True)
    shift = np.zeros_like(left)
    clipped: np.ndarray = np.clip(x, low, high)
    for _ in range(100):
        clipped = np.clip(x + shift, low, high)
        excess = clipped.sum(-1, keepdims=True) - 1
        if np.abs(excess).max() < 1e-14:
            break
        left, right = np.where(excess < 0, shift, left), np.where(excess > 0, shift, right)
        free = ((clipped > low) & (clipped < high)).sum(-1, keepdims=True)
        newton = shift - excess / np.maximum(free, 1)
        shift = np.where((newton > left) & (newton < right) & (free > 0), newton, (left + right) / 2)
    return clipped


def smallest_linear(g: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the minimum of linear functions (last axis: their slopes) over the bounded simplex."""
    order = np.argsort(g, axis=-1)
    room = np.take_along_axis(np.broadcast_to(high - low, g.shape), order, -1)
    before = room.cumsum(-1) - room
    filled = np.clip(1 - low.sum(-1, keepdims=True) - before, 0, room)
    value: np.ndarray = (g * low).sum(-1) + (np.take_along_axis(g, order, -1) * filled).sum(-1)
    return value


def minimise(
    function: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    count: int,
    low: np.ndarray,
    high: np.ndarray,
    enough: float = GAP,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise many smooth functions over the simplex, each within the same bounds.

    Parameters
    ----------
    function : callable
        Takes points (k, source) and the numbers (k) of functions; returns values (k) and gradients (k, source).
    count : int
        Number of functions.
    low, high : array (source)
        Bounds of the shares; ``low`` sums to at most 1, ``high`` to at least 1.
    enough : float
        Gap at which to stop, in the unit of the functions.

    Returns
    -------
    points, gap : array (count, source), array (count)
        The minima, and upper bounds of the distance to them where the functions are convex.

    Notes
    -----
    Spectral projected gradients (Birgin, Martinez and Raydan 2000): projected steps of Barzilai-Borwein length with a
    non-monotone line search.
    """
    x = np.repeat(project(np.full(low.shape, 1 / low.size), low, high)[None], count, axis=0)
    gap = np.full(count, np.inf)
    todo = np.arange(count)
    at, (value, slope) = x.copy(), function(x, todo)
    length = 1 / np.maximum(np.abs(slope).max(-1), 1e-12)
    recent = np.repeat(value[None], RECENT_VALUES, axis=0)
    for number in range(MOST_STEPS):
        gap[todo] = (slope * at).sum(-1) - smallest_linear(slope, low, high)
        x[todo] = at
        if (open_ := gap[todo] > enough).sum() < len(todo):
            todo, at, value, slope, length = (a[open_] for a in (todo, at, value, slope, length))
            recent = recent[:, open_]
        if not len(todo):
            break
        direction = project(at - length[:, None] * slope, low, high) - at
        descent = (slope * direction).sum(-1)
        limit, step = recent.max(0), np.ones(len(todo))
        new_value, new_slope = function(at + direction, todo)
        for _ in range(40):
            short = ~(new_value <= limit + 1e-4 * step * descent + 1e-15 * np.abs(limit))
            if not short.any():
                break
            step[short] /= 2
            trial = at[short] + step[short, None] * direction[short]
            new_value[short], new_slope[short] = function(trial, todo[short])
        move = step[:, None] * direction
        change = (move * (new_slope - slope)).sum(-1)
        square = (move**2).sum(-1)
        length = np.where(change > 0, square / np.where(change > 0, change, 1.0), 1e6)
        length = np.clip(length, 1e-12, 1e6)
        at, value, slope = at + move, new_value, new_slope
        recent[number % RECENT_VALUES] = value
    x = np.where(x < low + BOUND_ROUNDING, low, np.where(x > high - BOUND_ROUNDING, high, x))
    return x, gap
