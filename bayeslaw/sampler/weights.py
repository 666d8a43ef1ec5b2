"""The axes along which the weights of a misfit move (see `bayeslaw.sampler.misfit`)."""

from dataclasses import dataclass

import numpy as np

from bayeslaw.sampler.density import Density

__all__ = ["Weights"]


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
    """

    axes: tuple[np.ndarray, ...] = ()
    told: tuple[np.ndarray, ...] = ()
    middle: tuple[float, ...] = ()

    @classmethod
    def near(cls, density: Density, v: np.ndarray, covariance: np.ndarray) -> "Weights":
        """Return the axes near the mode, from the covariance of all parameters there."""
        found = []
        for first, knots, slope in density.weights:
            own = slice(first, first + knots)
            left, axes = np.linalg.eigh(covariance[own, own])
            found.append((axes, 1 - np.clip(left, 0.0, 1.0), v[slope]))
        return cls(*zip(*found, strict=True)) if found else cls()

    def arrays(self, density: Density) -> dict[str, np.ndarray]:
        """Return the arrays of the compiled density (`bayeslaw.sampler.table`)."""
        blocks = density.weights
        axes = self.axes or [np.eye(knots) for _, knots, _ in blocks]
        told = self.told or [np.zeros(knots) for _, knots, _ in blocks]
        return {
            "weights": blocks,
            "rotation": np.concatenate([np.empty(0), *(a.ravel() for a in axes)]),
            "told": np.concatenate([np.empty(0), *told]),
            "slope_at_mode": np.array(self.middle or np.zeros(len(blocks))),
        }

    def displace(self, density: Density, v: np.ndarray, u: np.ndarray) -> None:
        """Fill in the coordinates of the weights at a parameter vector."""
        parts = zip(density.weights, self.axes, self.told, self.middle, strict=False)
        for (first, knots, slope), axes, told, middle in parts:
            own = slice(first, first + knots)
            u[own] = axes.T @ v[own] * np.exp(told * (v[slope] - middle))
