"""The axes of an affine frame, as blocks: whitened groups that meet only through what they share.

Given what groups share (populations, noise, coefficients common to all), no measurement depends on two of them. The
curvature then has the form of an arrow, and so has a matrix that whitens it: every group's own axes, and the shared
ones, along which each group moves as the shared coordinates pull it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["LEAST_CURVATURE", "Axes"]

LEAST_CURVATURE = 1e-3
"""Curvature at the mode, in units of the coordinates' scales, that flatter directions get instead of their own."""

APART = 1e-3
"""Correlation in the curvature below which two coordinates of groups are in different blocks."""


@dataclass(frozen=True)
class Axes:
    """A matrix of blocks: entries of its rows and columns, and the numbers of each; and entries with a 1 of their own.

    It is 0 elsewhere.
    """

    blocks: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
    kept: np.ndarray

    @classmethod
    def whitening(cls, curvature: np.ndarray, scale: np.ndarray, own: np.ndarray, kept: np.ndarray) -> "Axes":
        """Return axes in which the curvature, which is in units of the scale, is about the identity.

        Parameters
        ----------
        own : array of bool
            Coordinates of groups; the others are shared.
        kept : array of bool
            Coordinates that are standard normal whatever the others, and are axes as they are.
        """
        entries, shared = np.flatnonzero(own & ~kept), np.flatnonzero(~own & ~kept)
        size = np.sqrt(np.maximum(np.abs(np.diag(curvature)), 1e-12))
        meets = np.abs(curvature / size / size[:, None])[np.ix_(entries, entries)] > APART
        label = connected_components(coo_array(meets), directed=False)[1]
        groups = [entries[label == n] for n in np.unique(label)]
        left, found = curvature[np.ix_(shared, shared)].copy(), []
        for group in groups:
            axes, across = _white(curvature[np.ix_(group, group)]), curvature[np.ix_(group, shared)]
            follows = axes @ (axes.T @ across)
            left -= across.T @ follows
            found.append((group, axes, follows))
        common = _white(left)
        blocks = [(shared, shared, scale[shared, None] * common)]
        for group, axes, follows in found:
            rows = scale[group, None] * np.hstack([axes, -follows @ common])
            blocks.append((group, np.concatenate([group, shared]), rows))
        return cls(blocks, np.flatnonzero(kept))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of the compiled density (`bayeslaw.sampler.table`)."""
        entries = [np.concatenate([rows, columns]) for rows, columns, _ in self.blocks]
        numbers = [matrix.ravel() for *_, matrix in self.blocks]
        starts = (np.cumsum([0, *map(len, x)])[:-1] for x in (entries, numbers))
        shape = np.column_stack([[m.shape for *_, m in self.blocks], *starts])
        found = {"axes": np.concatenate(numbers), "axes_entries": np.concatenate(entries), "axes_shape": shape}
        return {**found, "axes_kept": self.kept}


def _white(curvature: np.ndarray) -> np.ndarray:
    """Return a matrix whose columns are the principal axes of a curvature, as long as they are wide."""
    if not len(curvature):
        return curvature
    values, vectors = np.linalg.eigh(curvature)
    white: np.ndarray = vectors / np.sqrt(np.maximum(np.abs(values), max(LEAST_CURVATURE, 1e-6 * values.max())))
    return white
