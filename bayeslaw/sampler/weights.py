"""The coordinates of the weights of a misfit: axes near the mode, along which they follow the slope and the law.

Given the law and the slopes the data determine some combinations of weights, others keep their prior. Where the law
moves, these follow, and so they lie along curved ridges with its coefficients. The sampler moves the principal axes of
the weights given all else, each times a power of the slope: the share of its prior variance that the data remove. It
subtracts how the conditional mode of the weights follows the law, which a few cells of the law tell.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from bayeslaw.sampler.blocks import Block
from bayeslaw.sampler.density import Density

__all__ = ["Weights"]

APART = 1e-3
"""Standard deviation of the log law in a cell, given other cells, below which they tell it; a share of the largest."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Axes of the weights of every process and validation set; by default the weights themselves.

    Attributes
    ----------
    axes : tuple of array
        Orthogonal, so that the prior stays standard normal.
    told : tuple of array
        The share of the prior variance along every axis that the data remove.
    middle : tuple of float
        Logarithms of the slopes at which the axes are the weights, rotated.
    follows : tuple of array
        Minus how the conditional mode moves along an axis (axis, cell) with the log law in some cells, times the slope.
    still : tuple of array
        That at the mode, which is subtracted.
    block : Block, optional
        The cells.
    """

    axes: tuple[np.ndarray, ...] = ()
    told: tuple[np.ndarray, ...] = ()
    middle: tuple[float, ...] = ()
    follows: tuple[np.ndarray, ...] = ()
    still: tuple[np.ndarray, ...] = ()
    block: Block | None = None

    @classmethod
    def near(cls, density: Density, v: np.ndarray, around: Iterable[np.ndarray]) -> "Weights":
        """Return the axes near the mode, from parameter vectors around it that differ in coefficients of the law."""
        density = density.expected(v)
        entries = np.concatenate([first + np.arange(knots) for first, knots, _ in density.weights])
        steps = 1e-4 * np.eye(density.size)[entries]
        precision = np.array([(density(v - step)[1] - density(v + step)[1])[entries] / 2e-4 for step in steps])
        covariance = np.linalg.inv((precision + precision.T) / 2)
        log_law, block = _log_law(density)
        vectors = [x for x in around if np.isfinite(log_law(x)).all()]
        modes = np.array([x[entries] + covariance @ density(x)[1][entries] for x in [v, *vectors]])
        laws = np.array([log_law(x) for x in [v, *vectors]])
        moved, by = modes[1:] - modes[0], laws[1:] - laws[0]
        cells = _telling(by)
        weight = np.linalg.lstsq(by[:, cells], moved, rcond=1e-6)[0].T
        found, done = [], 0
        for _, knots, slope in density.weights:
            own = slice(done, done + knots)
            left, axes = np.linalg.eigh(covariance[own, own])
            moves = -np.exp(v[slope]) * axes.T @ weight[own]
            found.append((axes, 1 - np.clip(left, 0.0, 1.0), v[slope], moves, moves @ laws[0, cells]))
            done = own.stop
        return cls(*zip(*found, strict=True), _some(block, cells))  # type: ignore[call-arg, arg-type]

    def arrays(self, density: Density) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        return {
            "weights": density.weights[: len(self.axes)],
            "rotation": np.concatenate([np.empty(0), *(a.ravel() for a in self.axes)]),
            "told": np.concatenate([np.empty(0), *self.told]),
            "slope_at_mode": np.array(self.middle, float),
            "follows": np.concatenate([np.empty(0), *(f.ravel() for f in self.follows)]),
            "still": np.concatenate([np.empty(0), *self.still]),
        }

    def displace(self, density: Density, v: np.ndarray, u: np.ndarray) -> None:
        """Fill in the coordinates of the weights at a parameter vector."""
        if self.block is None:
            return
        log_law = np.log(self.block.evaluate(density.model.law, density.parameters.natural(v)[0])[0])
        parts = zip(density.weights, self.axes, self.told, self.middle, self.follows, self.still, strict=True)
        for (first, knots, slope), axes, told, middle, follows, still in parts:
            own = slice(first, first + knots)
            behind = (follows @ log_law - still) * np.exp(-v[slope])
            u[own] = (axes.T @ v[own] + behind) * np.exp(told * (v[slope] - middle))


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
