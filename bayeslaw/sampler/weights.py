"""The coordinates of the weights of a misfit: their distribution given the law, the slopes and the noise.

Errors taken for Normal, of each validation set by itself, and their correlations along runs for those at the mode, the
weights given all else are Normal: of precision M = 1 + k s G s and mean M^-1 k s h, where s are the slopes, k is the
precision of the errors relative to that at the mode, G the information of the measurements about what the weights are
multiplied with, and h the part of it that is linear. It is linear in the log law of the measured cells. The sampler
moves z in w = M^-1 k s h + R^-1 z, M = R'R: it sees law, slopes and noise as if the weights were integrated out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular

from bayeslaw.sampler.density import Density
from bayeslaw.sampler.lanes import LANES

__all__ = ["Weights", "learned"]


@dataclass(frozen=True, eq=False)
class Weights:
    """What the measurements of every validation set say about its weights; by default nothing is known.

    Attributes
    ----------
    entries : tuple of array
        The entry of every weight and of its slope (2, weight).
    sigma : tuple of int
        The entry of the noise.
    middle : tuple of float
        Its logarithm at the mode.
    information : tuple of array
        G (weight, weight).
    cells : tuple of array
        The cells in which it was measured.
    follows, still : tuple of array
        h is `still` plus `follows` (weight, cell) times the log law there.
    """

    entries: tuple[np.ndarray, ...] = ()
    sigma: tuple[int, ...] = ()
    middle: tuple[float, ...] = ()
    information: tuple[np.ndarray, ...] = ()
    cells: tuple[np.ndarray, ...] = ()
    follows: tuple[np.ndarray, ...] = ()
    still: tuple[np.ndarray, ...] = ()

    @classmethod
    def near(cls, density: Density, v: np.ndarray) -> "Weights":
        """Learn it near the mode."""
        parameters, gradient, evals = density.parameters, density(v)[1], len(density.design.evals)
        normal, c = density.expected(v), parameters.natural(v)[0]
        if "eval_correlation" in parameters:
            c[parameters["eval_correlation"].place] = 0.0
        log_law, basis, found = density.log_law(c), density.basis, []
        at_mode = normal.by_log_mean(c, log_law)
        precision = np.array([at_mode - normal.by_log_mean(c, log_law + b) for b in basis.T])
        for e in range(evals):
            cells = np.flatnonzero((density.eval_of_cell == e) & precision.any(axis=0))
            parts, sigma = density.weights[e::evals], parameters["sigma"].place.start + e
            entries = np.hstack([[first + np.arange(n), np.full(n, slope)] for first, n, slope in parts])
            own, slope = entries[0], np.exp(v[entries[1]])
            follows = -precision[:, cells]
            information = _positive(-follows @ basis[cells])
            linear = (v[own] + gradient[own]) / slope + information @ (slope * v[own])
            found.append((entries, sigma, v[sigma], information, cells, follows, linear - follows @ log_law[cells]))
        return cls(*zip(*found, strict=True))

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        shape = [(len(x), s, len(cells)) for x, s, cells in zip(self.still, self.sigma, self.cells, strict=True)]
        return {
            "weights": np.array(shape, int).reshape(-1, 3),
            "weight_entries": np.concatenate([np.empty(0, int), *(e.T.ravel() for e in self.entries)]),
            "weight_cells": np.concatenate([np.empty(0, int), *self.cells]),
            "sigma_at_mode": np.array(self.middle, float),
            "information": np.concatenate([np.empty(0), *(_in_lanes(x).ravel() for x in self.information)]),
            "follows": np.concatenate([np.empty(0), *(x.ravel() for x in self.follows)]),
            "still": np.concatenate([np.empty(0), *self.still]),
        }

    def displace(self, density: Density, v: np.ndarray, u: np.ndarray) -> None:
        """Fill in the coordinates of the weights at a parameter vector."""
        if not self.entries:
            return
        log_law = density.log_law(density.parameters.natural(v)[0])
        shape = (self.entries, self.sigma, self.middle, self.information, self.cells, self.follows, self.still)
        for (own, slopes), sigma, middle, information, cells, follows, still in zip(*shape, strict=True):
            slope, sharper = np.exp(v[slopes]), np.exp(2 * (middle - v[sigma]))
            root = np.linalg.cholesky(np.eye(len(own)) + sharper * slope * information * slope[:, None]).T
            mean = solve_triangular(root, sharper * slope * (still + follows @ log_law[cells]), trans="T")
            u[own] = root @ v[own] - mean


def learned(density: Density, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many coefficients and weights every validation set tells, near the mode, and the weights' variances.

    Of an error's square, as many are not seen in the residuals. Variances are of the entries of the vector, 0 of what
    is no weight.
    """
    parameters, normal, c = density.parameters, density.expected(v), density.parameters.natural(v)[0]
    weights = np.concatenate([first + np.arange(n) for first, n, _ in density.weights])
    moving = np.concatenate([np.unique(density.entries(density.labels)), weights])

    def means_and_prior(x: np.ndarray) -> np.ndarray:
        by_prior, (values, chain) = np.zeros_like(v), parameters.natural(x)
        parameters.log_prior(x, values, chain, by_prior)
        return np.concatenate([density.log_mean(values), by_prior[moving]])

    steps = 1e-4 * np.eye(density.size)[moving]
    both = np.array([means_and_prior(v + s) - means_and_prior(v - s) for s in steps]) / 2e-4
    slopes, prior = np.nan_to_num(both[:, : -len(moving)]), -both[:, -len(moving) :]
    at = density.log_mean(c)
    here = normal.by_log_mean(c, at)
    pulled = np.array([here - normal.by_log_mean(c, at + s) for s in slopes])
    covariance = np.linalg.inv(_positive(pulled @ slopes.T) + _positive(prior) + 1e-6 * np.eye(len(moving)))
    of_cell = (pulled * (covariance @ slopes)).sum(axis=0)
    variance = np.zeros_like(v)
    variance[weights] = np.diag(covariance)[len(moving) - len(weights) :]
    return np.bincount(density.eval_of_cell, of_cell, minlength=len(density.design.evals)), variance


def _in_lanes(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix with zeros after its rows, up to whole lanes."""
    return np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % LANES)))


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Return the symmetric part of a matrix, with negative eigenvalues at 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    positive: np.ndarray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return positive
