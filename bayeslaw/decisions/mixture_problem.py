"""The objective of the best mixture: a weighted mean of losses as a function of the shares, with its slope."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayeslaw.base.files import check_writable
from bayeslaw.base.intervals import SAMPLE
from bayeslaw.decisions.goal import Goal
from bayeslaw.declare.laws import Law
from bayeslaw.declare.names import WEIGHT
from bayeslaw.errors import RangeError, StoreError
from bayeslaw.posterior.draws import Posterior
from bayeslaw.tables.mixtures import as_weights

__all__ = ["Problem", "Pull", "slope_in_shares"]

SMALLEST_SHARE = 1e-12
"""Lower bound of shares inside the logarithm of the pull."""


@dataclass(frozen=True, eq=False)
class Pull:
    """A penalty in nats on the Kullback-Leibler divergence of a mixture from a prior one."""

    strength: float
    prior: np.ndarray

    @classmethod
    def of(cls, near: Any, strength: float | None, names: list[str]) -> "Pull":
        """Return the pull asked for, or one of strength 0."""
        if (near is None) != (strength is None):
            raise RangeError(
                "near, a prior mixture, and pull, the weight of the distance from it, belong together: give both or "
                "neither"
            )
        if near is None or strength is None:
            return cls(0.0, np.ones(len(names)))
        if not 0 < strength < np.inf:
            raise RangeError(f"pull is {strength}: give nats above 0")
        return cls(strength, as_weights(near, names).values)

    def __call__(self, shares: xr.DataArray) -> xr.DataArray:
        """Return the pull (nats) of named shares."""
        prior = xr.DataArray(self.prior, dims="source", coords={"source": shares["source"]})
        nats: xr.DataArray = (self.strength * shares * self._log_ratio(shares, prior)).sum("source")
        return nats

    def each(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pull and slope (point, source) at shares (point, source)."""
        log_ratio = self._log_ratio(x, self.prior)
        return self.strength * (x * log_ratio).sum(-1), self.strength * (1 + log_ratio)

    @staticmethod
    def _log_ratio(shares: Any, prior: Any) -> Any:
        return np.log(np.maximum(shares, SMALLEST_SHARE) / np.maximum(prior, SMALLEST_SHARE))


@dataclass(frozen=True, eq=False)
class Problem:
    """The objective for every draw and cell of the question; a point is one draw in one cell."""

    fit: Posterior
    columns: xr.Dataset
    goal: Goal
    map_to: xr.DataArray | None
    towards: Pull

    def loss(self, shares: xr.DataArray) -> xr.DataArray:
        """Return the weighted mean loss of named shares."""
        if self.map_to is not None:
            shares = xr.dot(self.map_to, shares, dim="source").rename(meta_domain="source")
        return self.goal(self.fit.loss(self.columns.assign({WEIGHT: shares})))

    @cached_property
    def _arrays(self) -> tuple[xr.DataArray, list[np.ndarray], list[np.ndarray]]:
        """Return a template (cells, then draws), the covariates without shares, and the coefficients; points last."""
        law, evals = self.fit.model.law, self.goal.weights["eval"].values
        here = self.fit.model.design.with_evals(self.columns.assign({WEIGHT: xr.DataArray(0.0)})).sel(eval=evals)
        inputs = law.inputs(here, self.fit.model.reference)
        del inputs[WEIGHT]
        drawn = self.fit.coefficients(self.columns).items()
        coefficients = {k: c.sel(eval=evals) if "eval" in c.dims else c for k, c in drawn}
        arrays = xr.broadcast(*inputs.values(), *coefficients.values(), exclude=["source"])
        order = ("source", "eval", ..., *SAMPLE)
        full = [a.reset_coords(drop=True).transpose(*order, missing_dims="ignore") for a in arrays]
        template = full[0].isel(source=0, eval=0, drop=True, missing_dims="ignore")
        values = [np.ascontiguousarray(a.values.reshape(*a.shape[: a.ndim - template.ndim], -1), float) for a in full]
        return template, values[: len(inputs)], values[len(inputs) :]

    @cached_property
    def _weights(self) -> np.ndarray:
        """The weight of every validation set at every point, times the misfit at its size and tokens."""
        template, evals = self._arrays[0], self.goal.weights["eval"].values
        misfit = xr.ufuncs.exp(self.fit.misfit(self.columns)) * xr.DataArray(self.goal.weights.values, dims="eval")
        if "eval" in misfit.coords:
            misfit = misfit.sel(eval=evals)
        full = misfit.broadcast_like(template).transpose("eval", *template.dims)
        return np.ascontiguousarray(full.values.reshape(len(evals), -1))

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self._arrays[0].size)

    @property
    def cells(self) -> int:
        """Number of cells of the question."""
        return self.count // self.fit.draws

    def each(self, x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return objective and slope (point, source) at shares (point, source) of the points by number."""
        _, inputs, coefficients = self._arrays
        shares = x if self.map_to is None else x @ self.map_to.values.T
        others = (*inputs, *coefficients)
        chosen = others if len(number) == self.count else [a[..., number] for a in others]
        function = slope_in_shares(self.fit.model.law)
        weights = self._weights if len(number) == self.count else self._weights[:, number]
        values, slope = function(np.ascontiguousarray(shares.T[:, None]), weights, *chosen)
        slope = slope[:, 0].T
        pull, pull_slope = self.towards.each(x)
        return values + pull, pull_slope + (slope if self.map_to is None else slope @ self.map_to.values)

    def expected(self, x: np.ndarray, number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the means over draws of objective and slope at one mixture (cell, source) per cell."""
        per_cell = self.fit.draws
        points = (number[:, None] * per_cell + np.arange(per_cell)).ravel()
        values, slope = self.each(np.repeat(x, per_cell, axis=0), points)
        return values.reshape(len(x), -1).mean(1), slope.reshape(len(x), per_cell, -1).mean(1)

    def named(self, x: np.ndarray, label: Mapping[str, list[str]]) -> xr.DataArray:
        """Return shares (point, source) with the names of draws and cells."""
        template = self._arrays[0]
        shape, dims = (*template.shape, x.shape[-1]), (*template.dims, "source")
        return xr.DataArray(x.reshape(shape), dims=dims, coords={**template.coords, **label})


_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}


def slope_in_shares(law: Law) -> Callable[..., Any]:
    """Return a compiled function of shares, importances, other covariates and coefficients: the goal and its slope.

    Shares have the axes (source, 1, point), importances (eval, 1), all else (eval, point) or (source, eval, point).

    Raises
    ------
    StoreError
        PyTensor, which compiles nothing without, has no folder that it can write.
    """
    if law.function not in _COMPILED:
        import pytensor
        import pytensor.tensor as pt

        home = Path(pytensor.config.base_compiledir)
        try:
            check_writable(home / "function")
        except StoreError:
            raise StoreError(
                f"{home} cannot be written, where PyTensor keeps what it compiles: let "
                "PYTENSOR_FLAGS=base_compiledir=FOLDER name a folder that can be written"
            ) from None
        shares = pt.tensor(WEIGHT, dtype="float64", shape=(None, 1, None))
        importance = pt.dmatrix("importance")
        covariates = {k: shares if k == WEIGHT else pt.dmatrix(k) for k in law.covariates}
        coefficients = {k: pt.dtensor3(k) if c.over else pt.dmatrix(k) for k, c in law.coefficients.items()}
        goal = (importance * law.function(*covariates.values(), **coefficients)).sum(axis=0)
        slope: Any = pt.grad(goal.sum(), shares)
        others = [v for k, v in covariates.items() if k != WEIGHT]
        taken = [shares, importance, *others, *coefficients.values()]
        how: Any = {"mode": "FAST_COMPILE", "on_unused_input": "ignore"}
        _COMPILED[law.function] = pytensor.function(taken, [goal, slope], **how)
    return _COMPILED[law.function]
