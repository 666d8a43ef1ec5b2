"""Blocks at which a law is evaluated: points with coefficients of their own, crossed with levels of the covariates.

Training sweeps are factorial, so many measurements share most of a law's computation. A block has one axis for points
(combinations of validation set and groups) and one per covariate. Rows that do not cross are a block with covariate
axes of length 1. One compiled function serves all blocks of a law.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numba import njit

from bayeslaw.declare.laws import Law
from bayeslaw.sampler.kernels import kernel

__all__ = ["Block"]


@dataclass(frozen=True, eq=False)
class Block:
    """Points crossed with levels.

    Attributes
    ----------
    covariates : tuple of array
        In reference units; each with its levels along its own axis, all with the points along the last one. A covariate
        with a dim of its own (the shares of a mixture) has one array per label.
    entry : array (coefficient, point)
        Entries of each point's coefficients in the vector of parameters; one row per label of a dim of their own.
    """

    covariates: tuple[np.ndarray, ...]
    entry: np.ndarray

    def __post_init__(self) -> None:
        """Give the covariates one memory layout, so that one compiled function serves every block."""
        object.__setattr__(self, "covariates", tuple(np.array(c, float, order="C") for c in self.covariates))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of points, and of levels of each covariate."""
        *levels, points = np.broadcast_shapes(*(c.shape for c in self.covariates))
        return points, *levels

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    @cached_property
    def _levels(self) -> tuple[np.ndarray, ...]:
        return tuple(c.reshape(-1, self.shape[0]) for c in self.covariates)

    def evaluate(self, law: Law, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss (cell) and its partial derivatives (coefficient, point, cell of the point)."""
        over = len(self.covariates) - len(law.covariates) + 1 if law.vectors else 0
        out = np.empty((1 + len(self.entry), *self.shape))
        kernel(law, over)(self._levels, values[self.entry], out)
        return out[0].reshape(-1), out[1:].reshape(len(self.entry), self.shape[0], -1)

    def pull_back(self, pull: np.ndarray, slopes: np.ndarray, chain: np.ndarray, gradient: np.ndarray) -> None:
        """Add the part of a gradient in the losses (cell) to the gradient in the parameters.

        ``chain`` is the derivative of each natural value in its parameter; entries beyond its end are constants.
        """
        _pull_back(pull.reshape(self.shape[0], -1), slopes, self.entry, chain, gradient)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _pull_back(pull, slopes, entry, chain, gradient):  # type: ignore[no-untyped-def]
    points, cells = pull.shape
    for k in range(len(slopes)):
        for p in range(points):
            i = entry[k, p]
            if i < len(chain):
                total = 0.0
                for m in range(cells):
                    total += pull[p, m] * slopes[k, p, m]
                gradient[i] += total * chain[i]
