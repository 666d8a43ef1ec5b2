"""What the runs determine of a law beside a misfit: weights of its mean loss and of the drops of its terms.

A law alone is told by its mean over the design and by the drop of each term across it. A misfit takes over what the
terms do within the runs, in part, and other means and drops stay where exponents move. They are learned from modes of
level and amplitudes, given exponents around the mode, where the weights of the misfit follow the law.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.maps import alone

__all__ = ["determined"]

STEPS, NEAR, FEWEST = 8, 0.1, 5
"""Steps of a search for a mode; the last step, in standard deviations; how many have to be found."""

RIDGE = 1e-3
"""Of the regression of levels and drops, as a share of the largest singular value."""


@dataclass(frozen=True)
class _Modes:
    """The law at the modes: level (vector, point), terms (vector, amplitude, point, cell), the rest without level."""

    level: np.ndarray
    terms: np.ndarray
    rest: np.ndarray


def determined(
    coordinates: Coordinates, mode: np.ndarray, around: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return weights (cell) of the mean loss and (amplitude, cell) of the drops, or None where they cannot be told.

    Parameters
    ----------
    coordinates
        In which the weights of the misfit follow the law, of a density without outliers.
    mode, around
        Coordinates at the mode, and others that differ from it in the law.
    """
    if not coordinates.dropped and not coordinates.level:
        return None
    vectors = list(_at_modes(coordinates, [mode, *around]))
    if len(vectors) < FEWEST:
        return None
    modes = _law_at(coordinates, vectors)
    return _mean(coordinates, modes), _contrasts(coordinates, modes)


def _at_modes(coordinates: Coordinates, vectors: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """Yield parameter vectors with level and amplitudes at their mode, given the other coordinates."""
    parameters = coordinates.density.parameters
    names = [*coordinates.dropped, *([coordinates.level] if coordinates.level else [])]
    moving = np.concatenate([np.empty(0, int), *(np.r_[parameters[name].place] for name in names)])
    differences = 1e-4 * np.eye(len(parameters.parents["mu"]))[moving]
    for u in vectors:
        u = u.copy()
        for _ in range(STEPS):
            rows = [(coordinates(u - d)[1] - coordinates(u + d)[1])[moving] / 2e-4 for d in differences]
            step, width = _newton(np.array(rows), coordinates(u)[1][moving])
            if not np.isfinite(step).all():
                break
            u[moving] += step / max(1.0, 2 * np.abs(step).max())
            if np.abs(step / width).max() < NEAR:
                yield coordinates.forward(u)[0]
                break


def _newton(curvature: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the step to a mode, and the standard deviations there; NaN where the density has no value."""
    if not np.isfinite(curvature).all():
        return np.full_like(gradient, np.nan), np.ones_like(gradient)
    values, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    covariance = (axes / np.maximum(np.abs(values), 1.0)) @ axes.T
    return covariance @ gradient, np.sqrt(np.diag(covariance))


def _law_at(coordinates: Coordinates, vectors: list[np.ndarray]) -> _Modes:
    terms, _, level, *_ = coordinates.plan
    found = []
    for x in vectors:
        unit = coordinates.evaluate_units(x)
        alone(unit, terms)
        parts = unit.reshape(len(terms) + 1, terms.shape[1], -1)
        found.append((x[level], np.exp(x[terms])[..., None] * parts[:-1], parts[-1]))
    return _Modes(*(np.array(part) for part in zip(*found, strict=True)))


def _mean(coordinates: Coordinates, modes: _Modes) -> np.ndarray:
    """Return the weights with which the law without its level moves against the level."""
    mean = coordinates.plan[-1]
    if not modes.level.shape[1]:
        return mean
    above = modes.rest + modes.terms.sum(axis=1)
    moved = (above[1:] - above[0]).reshape(-1, len(mean))
    against = -(modes.level[1:] - modes.level[0]).ravel()
    found: np.ndarray = mean + _ridge(moved, against - moved @ mean)
    return found


def _contrasts(coordinates: Coordinates, modes: _Modes) -> np.ndarray:
    """Return the weights with which each dropped term stays, relative to its drop at the mode.

    They add falls from one level of the covariate to the next and the last level, so that they are positive.
    """
    found = coordinates.contrasts.copy()
    axes, shape = list(coordinates.density.model.law.covariates), coordinates.units.shape[1:]
    for number, (name, along) in enumerate(coordinates.amplitudes.items()):
        if name in coordinates.dropped:
            values = modes.terms[:, number].reshape(-1, found.shape[1])
            steps = np.moveaxis(np.eye(found.shape[1]).reshape(-1, *shape), 1 + axes.index(along), 1)
            steps[:, :-1] -= steps[:, 1:]
            falls = np.moveaxis(steps, 1, 1 + axes.index(along)).reshape(len(steps), -1)
            each = values @ falls
            unit = np.tile((modes.terms[0, number] @ found[number]), len(modes.terms))
            relative = each / unit[:, None]
            weight = nnls(relative, np.ones(len(relative)))[0]
            found[number] = falls @ weight
    return found


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    size = RIDGE * np.linalg.norm(x, 2)
    padded = np.concatenate([y, np.zeros(x.shape[1])])
    return np.asarray(np.linalg.lstsq(np.vstack([x, size * np.eye(x.shape[1])]), padded, rcond=None)[0])
