"""The goal of a decision: the loss of one validation set, or a weighted mean of several."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from bayeslaw.base.arguments import numbers
from bayeslaw.errors import RangeError, unknown_name

__all__ = ["Goal"]


@dataclass(frozen=True, eq=False)
class Goal:
    """A weighted mean of losses: the weights of validation sets, all above 0, with a sum of 1 (dim ``eval``)."""

    weights: xr.DataArray

    @classmethod
    def of(cls, goal: str | Mapping[str, float] | None, evals: list[str]) -> "Goal":
        """Return the goal of a validation set, of ``{validation set: importance}``, or of all alike (None)."""
        asked = {goal: 1.0} if isinstance(goal, str) else dict(goal or dict.fromkeys(evals, 1.0))
        if unknown := [name for name in asked if name not in evals]:
            raise unknown_name("validation set", unknown[0], evals)
        asked = {name: float(numbers(weight, f"the importance of {name}")) for name, weight in asked.items()}
        if not (all(0 <= w < np.inf for w in asked.values()) and sum(asked.values()) > 0):
            raise RangeError(f"goal is {goal}: give importances of at least 0, some of them above")
        counted = {k: w / sum(asked.values()) for k, w in asked.items() if w > 0}
        return cls(xr.DataArray(list(counted.values()), dims="eval", coords={"eval": list(counted)}))

    @property
    def asked(self) -> dict[str, float]:
        """The weights by the names of the validation sets."""
        return {str(k): float(w) for k, w in self.weights.to_series().items()}

    def __call__(self, losses: xr.DataArray) -> xr.DataArray:
        """Return the weighted mean of losses (dim ``eval``)."""
        mean: xr.DataArray = xr.dot(losses.sel(eval=self.weights["eval"]), self.weights, dim="eval")
        return mean.reset_coords(drop=True)
