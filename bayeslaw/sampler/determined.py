"""What the runs determine of a law: weights of its mean loss and of the drops of its terms, sums of drops, widths.

A law alone is told by its mean over the design and by the drop of each term across it. A misfit takes over what the
terms do within the runs, in part, and other means and drops stay where exponents move. They are learned from modes of
level and amplitudes, given exponents around the mode, where the weights of the misfit follow the law. Where two terms
fall together, it is their sum that is told (`bayeslaw.sampler.splits`), and all are told the better, the smaller the
noise (`bayeslaw.sampler.widths`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.optimize import nnls

from bayeslaw.sampler.axes import LEAST_CURVATURE
from bayeslaw.sampler.coordinates import Coordinates
from bayeslaw.sampler.density import Density
from bayeslaw.sampler.differences import curvature, scales
from bayeslaw.sampler.maps import alone
from bayeslaw.sampler.softened import Softened
from bayeslaw.sampler.splits import Splits
from bayeslaw.sampler.weights import Weights
from bayeslaw.sampler.widths import Widths

__all__ = ["determined"]

ROUNDS_OF_LEARNING = 2
"""Rounds in which it is learned what is determined beside a misfit: the first one's coordinates reach further."""

OPPOSED, LOOSE = 0.5, 0.1
"""Correlation of two drops (its negative), and standard deviation of their split, from which on they move together."""

NOISE, LEAST_NOISE, ALL_NOISE = 0.5, 0.2, 0.99
"""Change of the log noise by which its share in a variance is learned; the share from which on it counts, and up to."""

VECTORS = 4
"""Parameter vectors for every coefficient of the law, by which what is determined beside a misfit is learned."""

STEPS, RENEWED, NEAR, FEWEST = 16, 3, 0.1, 5
"""Steps of a search for a mode; that before which the curvature is taken anew; the last step, in standard deviations;
how many have to be found."""

FEW = 3
"""Losses for every coefficient below which the noise of a law alone may be next to nothing."""

LEAST_TOLD = 0.01
"""Information of the runs on a logarithm, at least."""

RIDGE = 1e-3
"""Of the regression of levels and drops, as a share of the largest singular value."""


@dataclass(frozen=True)
class _Modes:
    """The law at the modes: level (vector, point), terms (vector, amplitude, point, cell), the rest without level."""

    level: np.ndarray
    terms: np.ndarray
    rest: np.ndarray


def determined(density: Density, v: np.ndarray) -> Coordinates:
    """Return the coordinates of a law without populations, near the mode.

    What is determined beside a misfit is learned without outliers. Of a law alone, mean and drops are; where its losses
    are few, their widths follow the noise, but not those of mixtures, for which that was worse.
    """
    if not len(density.weights):
        coordinates = Coordinates(density)
        if coordinates.of_groups.any():
            return coordinates
        if (softened := _softened(coordinates, v)).entries.size:
            return replace(coordinates, softened=softened)
        few = len(density.design.log_loss) < FEW * len(np.unique(density.entries(density.labels)))
        return replace(coordinates, widths=_widths(coordinates, v)) if few else coordinates
    smooth = density.expected(v)
    coordinates = Coordinates(smooth, weights=Weights.near(smooth, v))
    for _ in range(ROUNDS_OF_LEARNING):
        learned = _weights(coordinates, v)
        coordinates = _split(replace(coordinates, determined=learned, splits=Splits()), v)
    coordinates = replace(coordinates, density=density, weights=Weights.near(density, v))
    return replace(coordinates, widths=_widths(coordinates, v), softened=_softened(coordinates, v))


def _weights(coordinates: Coordinates, v: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return weights (cell) of the mean loss and (amplitude, cell) of the drops, or None where they cannot be told."""
    if not coordinates.dropped and not coordinates.level:
        return None
    vectors = list(_at_modes(coordinates, [coordinates.inverse(v), *_around(coordinates, v)]))
    if len(vectors) < FEWEST:
        return None
    modes = _law_at(coordinates, vectors)
    return _mean(coordinates, modes), _contrasts(coordinates, modes)


def _at_modes(coordinates: Coordinates, vectors: Iterable[np.ndarray]) -> Iterable[np.ndarray]:
    """Yield parameter vectors with level, drops and sums of drops at their mode, given the other coordinates."""
    parameters = coordinates.density.parameters
    names = [*coordinates.dropped, *([coordinates.level] if coordinates.level else [])]
    moving = np.concatenate([np.empty(0, int), *(np.r_[parameters[name].place] for name in names)])
    moving = np.setdiff1d(moving, coordinates.splits.pairs[:, 1])
    differences = 1e-4 * np.eye(len(parameters.parents["mu"]))[moving]
    for u in vectors:
        u = u.copy()
        for number in range(STEPS):
            if number in (0, RENEWED):
                rows = [(coordinates(u - d)[1] - coordinates(u + d)[1])[moving] / 2e-4 for d in differences]
                covariance = _inverse(np.array(rows))
            step = covariance @ coordinates(u)[1][moving]
            if not np.isfinite(step).all():
                break
            u[moving] += step / max(1.0, 2 * np.abs(step).max())
            if np.abs(step / np.sqrt(np.diag(covariance))).max() < NEAR:
                yield coordinates.forward(u)[0]
                break


def _inverse(curvature: np.ndarray) -> np.ndarray:
    """Return the covariance of a curvature; NaN where the density has no value."""
    if not np.isfinite(curvature).all():
        return np.full_like(curvature, np.nan)
    values, axes = np.linalg.eigh((curvature + curvature.T) / 2)
    covariance: np.ndarray = (axes / np.maximum(np.abs(values), 1.0)) @ axes.T
    return covariance


def _covariance(coordinates: Coordinates, v: np.ndarray) -> np.ndarray:
    """Return the covariance of the coordinates near the mode, from the curvature there."""
    at = coordinates.inverse(v)
    scale = scales(coordinates, at, coordinates.parts)
    values, vectors = np.linalg.eigh(curvature(coordinates, at, scale, coordinates.parts))
    inverse = (vectors / np.maximum(np.abs(values), LEAST_CURVATURE)) @ vectors.T
    return np.asarray(inverse * scale * scale[:, None])


def _split(coordinates: Coordinates, v: np.ndarray) -> Coordinates:
    """Return coordinates in which drops move by their sum where it is known better than the parts, near the mode."""
    if len(coordinates.dropped) < 2:
        return coordinates
    covariance, u = _covariance(coordinates, v), coordinates.inverse(v)
    terms = coordinates.plan[0][np.isin(list(coordinates.amplitudes), coordinates.dropped)]
    found: dict[tuple[int, int], float] = {}
    for one, other in combinations(terms, 2):
        for pair in zip(one, other, strict=True):
            (variance, both), (_, second) = covariance[np.ix_(pair, pair)]
            values, axes = np.linalg.eigh([[variance, both], [both, second]])
            apart = set(pair).isdisjoint(i for taken in found for i in taken)
            if apart and both < -OPPOSED * math.sqrt(variance * second) and values[1] > LOOSE**2:
                found[pair] = 0.5 * (math.log(axes[0, 0] / axes[1, 0]) - u[pair[0]] + u[pair[1]])
    splits = Splits(np.array(list(found), int).reshape(-1, 2), np.array(list(found.values()), float))
    return replace(coordinates, splits=splits)


def _widths(coordinates: Coordinates, v: np.ndarray) -> Widths:
    """Return the coefficients of one loss whose variance near the mode is, in part, that of its noise."""
    density, sigma = coordinates.density, coordinates.density.parameters["sigma"].place
    low, high = v.copy(), v.copy()
    low[sigma] -= NOISE
    high[sigma] += NOISE
    least, most = (np.diag(_covariance(coordinates, x)) for x in (low, high))
    grown = (most - least) / (math.exp(2 * NOISE) - math.exp(-2 * NOISE))
    share = np.clip(grown / (least + (1 - math.exp(-2 * NOISE)) * grown), 0.0, ALL_NOISE)
    entries = np.array([(i, sigma.start + e) for i, e in _of_one_loss(density) if share[i] > LEAST_NOISE], int)
    entries = entries.reshape(-1, 2)
    return Widths(entries, share[entries[:, 0]], coordinates.inverse(v)[entries])


def _softened(coordinates: Coordinates, v: np.ndarray) -> Softened:
    """Return the positive coefficients of single sources, with the width that the runs alone would give them."""
    density = coordinates.density
    entries = _of_sources(density)
    if not len(entries):
        return Softened()
    told = 1 / np.diag(_covariance(coordinates, v))[entries] - density.parameters.prior_sd[entries] ** -2
    return Softened(entries, v[entries] - 0.5 * np.log(np.maximum(told, LEAST_TOLD)))


def _of_sources(density: Density) -> np.ndarray:
    """Return the entries of positive coefficients with a value for each source."""
    law, parameters = density.model.law, density.parameters
    own = [name for name, c in law.coefficients.items() if c.over and parameters[name].scale == "log"]
    return np.concatenate([np.empty(0, int), *(parameters[name].entries for name in own)])


def _of_one_loss(density: Density) -> np.ndarray:
    """Return the entries of coefficients of the law that shape one loss only, and its number (entry, 2)."""
    entry = density.entries(density.labels)
    losses = np.broadcast_to(density.labels["eval"], entry.shape)
    both = np.unique(np.column_stack([entry.ravel(), losses.ravel()]), axis=0)
    entries, count = np.unique(both[:, 0], return_counts=True)
    found: np.ndarray = both[np.isin(both[:, 0], np.setdiff1d(entries[count == 1], _of_sources(density)))]
    return found


def _around(coordinates: Coordinates, v: np.ndarray) -> Iterator[np.ndarray]:
    """Yield coordinates near the mode that differ from it in the coefficients of the law."""
    density, at = coordinates.density, coordinates.inverse(v)
    coefficients = np.unique(density.entries(density.labels))
    covariance = _covariance(coordinates, v)[np.ix_(coefficients, coefficients)]
    rng, root = np.random.default_rng(0), np.linalg.cholesky(covariance)
    for z in rng.normal(size=(VECTORS * len(coefficients), len(coefficients))):
        moved = at.copy()
        moved[coefficients] += root @ z
        yield moved


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
    numbers = [n for n, name in enumerate(coordinates.amplitudes) if name in coordinates.dropped]
    for together in _together(coordinates, numbers):
        falls = [_falls(coordinates, number) for number in together]
        values = modes.terms[:, together].swapaxes(0, 1).reshape(len(together), -1, found.shape[1])
        unit = sum(modes.terms[0, number] @ found[number] for number in together)
        each = np.hstack([x @ own for x, own in zip(values, falls, strict=True)])
        weight = nnls(each / np.tile(unit, len(modes.terms))[:, None], np.ones(len(each)))[0]
        parts = np.split(weight, len(together))
        if all(by.any() for by in parts):  # a drop without weights would not be moved by it
            for number, own, by in zip(together, falls, parts, strict=True):
                found[number] = own @ by
    return found


def _together(coordinates: Coordinates, numbers: list[int]) -> list[list[int]]:
    """Return the amplitudes whose drops are told by themselves, or as a sum."""
    terms, found = coordinates.plan[0], {n: n for n in numbers}
    for pair in coordinates.splits.pairs:
        first, second = (next(n for n in numbers if entry in terms[n]) for entry in pair)
        found[second] = found[first]
    return [[n for n in numbers if found[n] == first] for first in dict.fromkeys(found.values())]


def _falls(coordinates: Coordinates, number: int) -> np.ndarray:
    """Return the falls of a term from one level of its covariate to the next, and the last level (cell, fall)."""
    axes, along = list(coordinates.density.model.law.covariates), list(coordinates.amplitudes.values())[number]
    shape = coordinates.units.shape[1:]
    cells = int(np.prod(shape))
    steps = np.moveaxis(np.eye(cells).reshape(-1, *shape), 1 + axes.index(along), 1)
    steps[:, :-1] -= steps[:, 1:]
    return np.moveaxis(steps, 1, 1 + axes.index(along)).reshape(cells, -1)


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    size = RIDGE * np.linalg.norm(x, 2)
    padded = np.concatenate([y, np.zeros(x.shape[1])])
    return np.asarray(np.linalg.lstsq(np.vstack([x, size * np.eye(x.shape[1])]), padded, rcond=None)[0])
