"""Least squares of a law on log losses: where sampling starts, and the maximum-likelihood fit of the papers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.optimize import least_squares

from bayeslaw.design import Design
from bayeslaw.model import Model

__all__ = ["Estimate", "HUBER_DELTA", "estimate"]

HUBER_DELTA = 1e-3
"""Where the Huber loss on log loss turns linear; the value of arXiv:2203.15556 and arXiv:2406.01375."""


@dataclass(frozen=True)
class Estimate:
    """Coefficients at the optimum.

    Attributes
    ----------
    coefficients : xarray.Dataset
        Coefficients, with their dims.
    sigma : xarray.DataArray
        Root mean square of the residuals on the log scale, per validation set.
    """

    coefficients: xr.Dataset
    sigma: xr.DataArray


@dataclass(frozen=True)
class Optimum:
    """The optimum for one validation set: a vector, and where each coefficient lies in it."""

    theta: np.ndarray
    layout: Mapping[str, slice]
    cost: float


def estimate(
    model: Model, *, design: Design | None = None, regularised: bool, starts: int = 8, seed: int = 0
) -> Estimate:
    """Fit the law's coefficients by multi-start least squares on log loss.

    Parameters
    ----------
    model : Model
        Coefficients that vary over a dimension get one value per label.
    design : Design, optional
        Other rows than the model's own.
    regularised : bool
        Add the priors as residuals (groups around the population's prior): a first guess of the posterior. Otherwise
        the Huber loss of the papers, and no prior.
    starts, seed : int
        Number of starting points, drawn from the priors.
    """
    d = design or model.design
    rng = np.random.default_rng(seed)
    per_eval = {e: _one(model, d, i, regularised, starts, rng) for i, e in enumerate(d.evals)}
    arrays = {}
    for name in model.law.coefficients:
        dims = group_dims(model, name)
        shape = [len(d.groups[g]) for g in dims]
        values = [natural(model, name, o.theta[o.layout[name]].reshape(shape)) for o, _ in per_eval.values()]
        arrays[name] = (("eval", *dims), np.array(values))
    coords = {"eval": d.evals, **d.groups}
    sigma = xr.DataArray([s for _, s in per_eval.values()], dims="eval", coords={"eval": d.evals})
    return Estimate(xr.Dataset(arrays, coords=coords), sigma)


def group_dims(model: Model, name: str) -> tuple[str, ...]:
    """Dims of a coefficient besides the validation set."""
    return tuple(d for d in (model.coefficient_priors[name].dims or ()) if d != "eval")


def is_positive(model: Model, name: str) -> bool:
    """Whether a coefficient is positive, so that it is estimated on the log scale."""
    return type(model.pymc_model.rvs_to_transforms[model.pymc_model[name]]).__name__ == "LogTransform"


def natural(model: Model, name: str, theta: Any) -> Any:
    """Return a coefficient from its unconstrained value."""
    return np.exp(theta) if is_positive(model, name) else theta


def prior_location(model: Model, name: str) -> tuple[float, float]:
    """Mean and standard deviation of a coefficient's prior on its unconstrained scale, groups included."""
    prior = model.priors.get(name, model.law.coefficients[name].prior)
    mu, sigma = (prior.parameters.get(k) for k in ("mu", "sigma"))
    if not isinstance(mu, int | float) or not isinstance(sigma, int | float):
        fallback = model.law.coefficients[name].prior.parameters
        mu, sigma = fallback["mu"], fallback["sigma"]
    if name in model.by:
        sigma = float(np.hypot(sigma, model.law.coefficients[name].between))
    return float(mu), float(sigma)


def _one(
    model: Model, d: Design, number: int, regularised: bool, starts: int, rng: np.random.Generator
) -> tuple[Optimum, float]:
    row = d.cells["row"][d.cells["eval"] == number]
    y = d.log_loss[d.cells["eval"] == number]
    inputs = []
    for v in model.law.inputs(d.rows, d.reference).values():
        v = v.isel(eval=number) if "eval" in v.dims else v
        inputs.append(np.broadcast_to(v.values, d.rows.sizes["row"]).astype(float)[row])
    layout, index, where_to = {}, {}, 0
    positions = {g: pd.Index(labels).get_indexer(d.rows[g].values[row]) for g, labels in d.groups.items()}
    for name in model.law.coefficients:
        dims = group_dims(model, name)
        shape = tuple(len(d.groups[g]) for g in dims)
        size = int(np.prod(shape)) if shape else 1
        layout[name] = slice(where_to, where_to + size)
        flat = np.ravel_multi_index(tuple(positions[g] for g in dims), shape) if dims else np.zeros(len(row), int)
        index[name] = where_to + flat
        where_to += size
    center, sd = np.empty(where_to), np.empty(where_to)
    for name, place in layout.items():
        center[place], sd[place] = prior_location(model, name)
    positive = {name: is_positive(model, name) for name in layout}

    def residual(theta: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            values = {n: np.exp(np.clip(theta[i], -50, 50)) if positive[n] else theta[i] for n, i in index.items()}
            miss = np.log(model.law.function(*inputs, **values)) - y
            finite: np.ndarray = np.nan_to_num(miss, nan=10.0, posinf=10.0, neginf=-10.0)
            return finite

    def solve(noise: float, start: np.ndarray) -> Any:
        def objective(theta: np.ndarray) -> np.ndarray:
            return np.concatenate([residual(theta) / noise, (theta - center) / sd])

        return least_squares(objective, start, x_scale="jac", max_nfev=200)

    guesses = [center, *(center + 0.7 * sd * rng.standard_normal(where_to) for _ in range(starts - 1))]
    noise = 0.02
    best = min((solve(noise, g) for g in guesses), key=lambda o: o.cost)
    for _ in range(3):
        used = max(float(np.sqrt(np.mean(residual(best.x) ** 2))), 1e-4)
        best = solve(used, best.x)
    if not regularised:
        best = _huber(residual, [best.x, *guesses[1:]])
    sigma = max(float(np.sqrt(np.mean(residual(best.x) ** 2))), 1e-6)
    return Optimum(best.x, layout, float(best.cost)), sigma


def _huber(residual: Callable[[np.ndarray], np.ndarray], guesses: list[np.ndarray]) -> Any:
    def solve(start: np.ndarray) -> Any:
        return least_squares(residual, start, loss="huber", f_scale=HUBER_DELTA, x_scale="jac", max_nfev=500)

    return min((solve(g) for g in guesses), key=lambda o: o.cost)
