"""Where a law is evaluated: blocks of points, each with coefficients of its own, crossed with levels of the covariates.

Training sweeps are factorial, so most of a law's work is the same in many measurements. A block has an axis for points
(a validation set and a group of each) and one per covariate: the law is evaluated where the numbers
differ and broadcast over the rest. Rows that do not cross are a block whose covariate axes have length 1. Either way
one compiled function serves all blocks of a law.
"""

from collections.abc import Sequence
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
        In reference units; each with its levels along its own axis, all with the points along the last one. One with a
        dim of its own (the shares of a mixture) is an array for every label, one after the other.
    entry : array (coefficient, point)
        Where each point's coefficients lie in the vector of parameters; a row for every label likewise.
    """

    covariates: tuple[np.ndarray, ...]
    entry: np.ndarray

    @classmethod
    def of_rows(cls, law: Law, covariates: Sequence[np.ndarray], entry: np.ndarray) -> "Block":
        """Make a block of points that do not cross: one value of every covariate per point."""
        ones = (1,) * len(law.covariates)
        return cls(tuple(np.reshape(c, (*ones, -1)) for c in covariates), entry)

    def __post_init__(self) -> None:
        """Lay the covariates out alike, so that one compiled function takes those of every block."""
        object.__setattr__(self, "covariates", tuple(np.array(c, float, order="C") for c in self.covariates))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of points, and of levels of each covariate."""
        *levels, points = np.broadcast_shapes(*(c.shape for c in self.covariates))
        return points, *levels

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __add__(self, other: "Block") -> "Block":
        """Put the points of two blocks of rows side by side."""
        covariates = [np.concatenate(pair, axis=-1) for pair in zip(self.covariates, other.covariates, strict=True)]
        return Block(tuple(covariates), np.concatenate([self.entry, other.entry], axis=1))

    @cached_property
    def _levels(self) -> tuple[np.ndarray, ...]:
        return tuple(c.reshape(-1, self.shape[0]) for c in self.covariates)

    def evaluate(self, law: Law, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss (cell) and its partial derivatives (coefficient, point, cell of it) from parameters."""
        over = len(self.covariates) - len(law.covariates) + 1 if law.vectors else 0
        out = np.empty((1 + len(self.entry), *self.shape))
        kernel(law, over)(self._levels, values[self.entry], out)
        return out[0].reshape(-1), out[1:].reshape(len(self.entry), self.shape[0], -1)

    def pull_back(self, pull: np.ndarray, slopes: np.ndarray, chain: np.ndarray, gradient: np.ndarray) -> None:
        """Add to a gradient in the parameters what a gradient in the losses (cell) contributes.

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
