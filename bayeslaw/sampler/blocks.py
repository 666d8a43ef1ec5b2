"""Blocks at which a law is evaluated: points with coefficients of their own, crossed with levels of the covariates.

Training sweeps are factorial, so many measurements share most of a law's computation. A block has one axis for points
(combinations of validation set and groups) and one per covariate. Rows that do not cross are a block with covariate
axes of length 1. One compiled function serves all blocks of a law.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayeslaw.declare.laws import Law
from bayeslaw.sampler.kernels import kernel
from bayeslaw.sampler.stored import address_of, call_law, inner, inner_sums, kept
from bayeslaw.sampler.table import At, reals, whole, whole2

__all__ = ["Block", "block_arrays", "fill_law", "law_on_block", "pull_back"]


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
        """Give the arrays the memory layout that compiled functions read."""
        object.__setattr__(self, "covariates", tuple(np.array(c, float, order="C") for c in self.covariates))
        object.__setattr__(self, "entry", np.ascontiguousarray(self.entry))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of points, and of levels of each covariate."""
        *levels, points = np.broadcast_shapes(*(c.shape for c in self.covariates))
        return points, *levels

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def evaluate(self, law: Law, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the loss (cell) and its partial derivatives (coefficient, point, cell of the point)."""
        out = np.empty((1 + len(self.entry), len(self)))
        _evaluate(self.kernel(law), np.array(self.shape), self.flat, values[self.entry], out)
        return out[0], out[1:].reshape(len(self.entry), self.shape[0], -1)

    def kernel(self, law: Law) -> int:
        """Return the address of the law's compiled function."""
        return kernel(law, len(self.covariates) - len(law.covariates) + 1 if law.vectors else 0)

    @cached_property
    def flat(self) -> np.ndarray:
        """The covariates (level, point), one after the other."""
        return np.concatenate([c.reshape(-1) for c in self.covariates])


def block_arrays(blocks: Sequence[tuple[Law, Block]]) -> dict[str, np.ndarray]:
    """Return the arrays of blocks, each with its law, for the compiled density."""
    made = [block for _, block in blocks]
    return {
        "block_law": np.array([block.kernel(law) for law, block in blocks]),
        "block_shape": np.array([b.shape for b in made]),
        "covariates": np.concatenate([b.flat for b in made]),
        "covariates_at": np.cumsum([0, *(len(b.flat) for b in made)]),
        "entry": np.concatenate([b.entry.ravel() for b in made]),
        "entry_at": np.cumsum([0, *(b.entry.size for b in made)]),
    }


@kept
def _evaluate(law, shape, covariates, coefficients, out):  # type: ignore[no-untyped-def]
    call_law(law, shape, covariates, coefficients, out)


@inner
def law_on_block(table, b, values):  # type: ignore[no-untyped-def]
    """Return the loss and its derivatives in the coefficients (1 + coefficient, cell) on a block."""
    shapes, at = whole2(table, At.block_shape), whole(table, At.entry_at)
    cells = 1
    for n in range(shapes.shape[1]):
        cells *= shapes[b, n]
    out = np.empty((1 + (at[b + 1] - at[b]) // shapes[b, 0], cells))
    fill_law(table, b, values, out)
    return out


@inner
def fill_law(table, b, values, out):  # type: ignore[no-untyped-def]
    """Fill in the loss and its derivatives in the coefficients (1 + coefficient, cell) on a block."""
    shapes, at = whole2(table, At.block_shape), whole(table, At.entry_at)
    entry, first = whole(table, At.entry), at[b]
    coefficients = np.empty(at[b + 1] - first)
    for i in range(len(coefficients)):
        coefficients[i] = values[entry[first + i]]
    call_law(
        whole(table, At.block_law)[b],
        address_of(shapes) + 8 * shapes.shape[1] * b,
        address_of(reals(table, At.covariates)) + 8 * whole(table, At.covariates_at)[b],
        coefficients,
        out,
    )


@inner_sums
def pull_back(table, b, pull, law, chain, gradient):  # type: ignore[no-untyped-def]
    """Add the part of a gradient in the losses (cell) of a block to that in the parameters."""
    points, first = whole2(table, At.block_shape)[b, 0], whole(table, At.entry_at)[b]
    entry, cells = whole(table, At.entry), law.shape[1] // points
    for k in range(law.shape[0] - 1):
        for p in range(points):
            i = entry[first + k * points + p]
            if i < len(chain):
                found = 0.0
                for m in range(p * cells, (p + 1) * cells):
                    found += pull[m] * law[k + 1, m]
                gradient[i] += found * chain[i]
