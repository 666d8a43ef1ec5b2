"""The coordinates of the weights of a misfit: their distribution given the law, the slopes and the noise.

Errors taken for Normal, and their correlations for those at the mode, the weights given all else are Normal: of
precision M = 1 + k s G s and mean M^-1 k s h, where s are the slopes, k is the precision of the errors relative to that
at the mode, G the information of the measurements about what the weights are multiplied with, and h the part of it
that is linear. Where the law moves, h moves, linearly in the log law of a few cells. The sampler moves z in
w = M^-1 k s h + R^-1 z, M = R'R: it sees law, slopes and noise as if the weights were integrated out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr, solve_triangular

from bayeslaw.sampler.blocks import Block
from bayeslaw.sampler.density import Density

__all__ = ["Weights"]

APART = 1e-3
"""Standard deviation of the log law in a cell, given other cells, below which they tell it; a share of the largest."""


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
    follows, still : tuple of array
        h is `still` plus `follows` (weight, cell) times the log law in some cells.
    block : Block, optional
        The cells.
    """

    entries: tuple[np.ndarray, ...] = ()
    sigma: tuple[int, ...] = ()
    middle: tuple[float, ...] = ()
    information: tuple[np.ndarray, ...] = ()
    follows: tuple[np.ndarray, ...] = ()
    still: tuple[np.ndarray, ...] = ()
    block: Block | None = None

    @classmethod
    def near(cls, density: Density, v: np.ndarray, around: Iterable[np.ndarray]) -> "Weights":
        """Learn it near the mode, from parameter vectors around it that differ in coefficients of the law."""
        density = density.expected(v)
        log_law, block = _log_law(density)
        vectors = [v, *(x for x in around if np.isfinite(log_law(x)).all())]
        gradients = np.array([density(x)[1] for x in vectors])
        laws = np.array([log_law(x) for x in vectors])
        cells = _telling(laws[1:] - laws[0])
        by, here, sigma = laws[1:, cells] - laws[0, cells], laws[0, cells], density.parameters["sigma"].place.start
        found = []
        for e in range(len(density.design.evals)):
            parts = density.weights[e :: len(density.design.evals)]
            entries = np.hstack([[first + np.arange(n), np.full(n, slope)] for first, n, slope in parts])
            own, slope = entries[0], np.exp(v[entries[1]])
            steps = 1e-4 * np.eye(density.size)[own]
            precision = np.array([(density(v - step)[1] - density(v + step)[1])[own] / 2e-4 for step in steps])
            information = _positive(precision - np.eye(len(own))) / slope / slope[:, None]
            moved = (gradients[1:, own] - gradients[0, own]) / slope
            follows = np.linalg.lstsq(by, moved, rcond=1e-6)[0].T
            linear = v[own] / slope + information @ (slope * v[own])
            found.append((entries, sigma + e, v[sigma + e], information, follows, linear - follows @ here))
        return cls(*zip(*found, strict=True), _some(block, cells))  # type: ignore[call-arg, arg-type]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {
            "weights": np.array([(e.shape[1], s) for e, s in zip(self.entries, self.sigma, strict=True)], int).reshape(
                -1, 2
            ),
            "weight_entries": np.concatenate([np.empty(0, int), *(e.T.ravel() for e in self.entries)]),
            "sigma_at_mode": np.array(self.middle, float),
            "information": np.concatenate([np.empty(0), *(x.ravel() for x in self.information)]),
            "follows": np.concatenate([np.empty(0), *(x.ravel() for x in self.follows)]),
            "still": np.concatenate([np.empty(0), *self.still]),
        }

    def displace(self, density: Density, v: np.ndarray, u: np.ndarray) -> None:
        """Fill in the coordinates of the weights at a parameter vector."""
        if self.block is None:
            return
        log_law = np.log(self.block.evaluate(density.model.law, density.parameters.natural(v)[0])[0])
        parts = zip(self.entries, self.sigma, self.middle, self.information, self.follows, self.still, strict=True)
        for (own, slopes), sigma, middle, information, follows, still in parts:
            slope, sharper = np.exp(v[slopes]), np.exp(2 * (middle - v[sigma]))
            root = np.linalg.cholesky(np.eye(len(own)) + sharper * slope * information * slope[:, None]).T
            mean = solve_triangular(root, sharper * slope * (still + follows @ log_law), trans="T")
            u[own] = root @ v[own] - mean


def _positive(matrix: np.ndarray) -> np.ndarray:
    """Return the symmetric part of a matrix, with negative eigenvalues at 0."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    positive: np.ndarray = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return positive


def _log_law(density: Density) -> tuple[Callable[[np.ndarray], np.ndarray], Block]:
    """Return the log law in the measured cells as a function of the parameters, and their block."""
    block, cell = density.measured
    measured, law = np.unique(cell[density.design.cells["row"], density.design.cells["eval"]]), density.model.law
    block = _some(block, measured)

    def log_law(v: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            return np.log(block.evaluate(law, density.parameters.natural(v)[0])[0])

    return log_law, block


def _some(block: Block, cells: np.ndarray) -> Block:
    """Return some cells of a block, as points of their own."""
    points, *levels = block.shape
    full = (np.broadcast_to(c, (*levels, points)) for c in block.covariates)
    own = [np.moveaxis(c, -1, 0).reshape(-1)[cells] for c in full]
    return Block(tuple(c.reshape(*(1,) * len(levels), -1) for c in own), block.entry[:, cells * points // len(block)])


def _telling(laws: np.ndarray) -> np.ndarray:
    """Return the cells of log laws (vector, cell) that tell the others."""
    diagonal, order = qr(laws, mode="r", pivoting=True)
    size = np.abs(np.diag(diagonal))
    return np.asarray(order[: max(1, int((size > APART * size[0]).sum()))])
