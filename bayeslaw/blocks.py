"""Where a law is evaluated: blocks of points, each with coefficients of its own, crossed with levels of the covariates.

Training sweeps are factorial, so most of a law's work is the same in many measurements. A block has one axis per
covariate and a last one for points (a validation set and a group of each): the law is evaluated where the numbers
differ and broadcast over the rest. Rows that do not cross are a block whose covariate axes have length 1. Either way
one compiled function serves all blocks of a law.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from numba import njit
from pytensor.gradient import pushforward

from bayeslaw.law import Law

__all__ = ["Block", "partials"]

_COMPILED: dict[tuple[Callable[..., Any], int], Callable[..., Any]] = {}


def partials(law: Law, over: int = 0) -> Callable[..., Any]:
    """Return a compiled function of a block's covariates and coefficients: the loss and its partial derivatives.

    The first result is the loss in nats, the others its derivatives in the coefficients, in the order of the card; all
    have the shape of the block. A covariate or coefficient with a dim of its own is as many arguments as that dim has
    labels (`over`), one after the other.
    """
    if (law.function, over) not in _COMPILED:
        n = len(law.covariates)
        covariates = [
            [
                pt.tensor(dtype="float64", shape=(*(None if i == k else 1 for i in range(n)), None))
                for _ in range(over if name in law.vectors else 1)
            ]
            for k, name in enumerate(law.covariates)
        ]
        coefficients = {
            name: [pt.tensor(dtype="float64", shape=(*(1,) * n, None)) for _ in range(over if c.over else 1)]
            for name, c in law.coefficients.items()
        }
        stacked = {k: pt.stack(c) if law.coefficients[k].over else c[0] for k, c in coefficients.items()}
        named = zip(law.covariates, covariates, strict=True)
        loss = law.function(*(pt.stack(c) if name in law.vectors else c[0] for name, c in named), **stacked)
        flat = [c for entries in coefficients.values() for c in entries]
        slopes = [pushforward(loss, c, pt.ones_like(c), disconnected_outputs="ignore") for c in flat]
        everywhere = loss * 0
        function = pytensor.function(
            [*(c for entries in covariates for c in entries), *flat],
            [loss, *(everywhere if s is None else everywhere + s for s in slopes)],
            mode="NUMBA",
            on_unused_input="ignore",
        )
        _COMPILED[law.function, over] = function.vm.jit_fn
    return _COMPILED[law.function, over]


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
        return cls(tuple(np.asarray(c, float).reshape(*ones, -1) for c in covariates), entry)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Number of levels of each covariate, and of points."""
        return np.broadcast_shapes(*(c.shape for c in self.covariates))

    def __len__(self) -> int:
        return int(np.prod(self.shape))

    def __add__(self, other: "Block") -> "Block":
        """Put the points of two blocks of rows side by side."""
        covariates = [np.concatenate(pair, axis=-1) for pair in zip(self.covariates, other.covariates, strict=True)]
        return Block(tuple(covariates), np.concatenate([self.entry, other.entry], axis=1))

    @cached_property
    def _coefficient_shape(self) -> tuple[int, ...]:
        return (len(self.entry), *(1,) * (len(self.shape) - 1), self.shape[-1])

    def evaluate(self, law: Law, values: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Return the loss (cell) and its partial derivatives (covariate cell, point) from a vector of parameters."""
        at = values[self.entry].reshape(self._coefficient_shape)
        over = len(self.covariates) - len(law.covariates) + 1 if law.vectors else 0
        loss, *slopes = partials(law, over)(*self.covariates, *at)
        return loss.reshape(-1), tuple(s.reshape(-1, self.shape[-1]) for s in slopes)

    def pull_back(
        self, pull: np.ndarray, slopes: tuple[np.ndarray, ...], chain: np.ndarray, gradient: np.ndarray
    ) -> None:
        """Add to a gradient in the parameters what a gradient in the losses (cell) contributes.

        ``chain`` is the derivative of each natural value in its parameter; entries beyond its end are constants.
        """
        _pull_back(pull.reshape(-1, self.shape[-1]), slopes, self.entry, chain, gradient)


@njit(cache=True, nogil=True, error_model="numpy")
def _pull_back(pull, slopes, entry, chain, gradient):  # type: ignore[no-untyped-def]
    cells, points = pull.shape
    total = np.empty(points)
    for k in range(len(slopes)):
        slope = slopes[k]
        total[:] = 0.0
        for m in range(cells):
            for p in range(points):
                total[p] += pull[m, p] * slope[m, p]
        for p in range(points):
            i = entry[k, p]
            if i < len(chain):
                gradient[i] += total[p] * chain[i]
