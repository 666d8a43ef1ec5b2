"""A model's log density and gradient without a graph: what the sampler evaluates.

Compiling the gradient of the whole PyMC model takes minutes for a correlated error model, a thousand times what one
evaluation costs. Only the law differs from model to model, so only the law is differentiated by PyTensor (one fused
kernel); priors, pooling and errors have the derivatives written here. The value equals ``pymc_model.logp()`` up to a
constant, which the tests check together with the gradient.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pytensor
import pytensor.tensor as pt
import xarray as xr

from bayeslaw.design import Design
from bayeslaw.errors import LawError
from bayeslaw.law import Law
from bayeslaw.model import RISE, Model
from bayeslaw.priors import Prior
from bayeslaw.whitening import density_of_errors

__all__ = ["Density", "Parameter", "Points", "partials"]

_COMPILED: dict[Callable[..., Any], Callable[..., Any]] = {}


def partials(law: Law) -> Callable[..., Any]:
    """Return a compiled function: covariates and coefficients (equal-length vectors) to log loss and its derivatives.

    The result has one row for the log of the law and one per coefficient, in the order of the card.
    """
    if law.function not in _COMPILED:
        inputs = [pt.dvector(c) for c in law.covariates]
        coefficients = {k: pt.dvector(k) for k in law.coefficients}
        log_loss = pt.log(law.function(*inputs, **coefficients))
        derivatives: Any = pt.grad(log_loss.sum(), list(coefficients.values()), disconnected_inputs="ignore")
        function = pytensor.function(
            [*inputs, *coefficients.values()], [log_loss, *derivatives], mode="NUMBA", on_unused_input="ignore"
        )
        _COMPILED[law.function] = function.vm.jit_fn
    return _COMPILED[law.function]


@dataclass(frozen=True)
class Points:
    """Places where the law is evaluated: covariates, and which entry of each coefficient applies there.

    Attributes
    ----------
    covariates : list of array (point)
    entry : array (coefficient, point)
        Position in the vector of all coefficients.
    """

    covariates: list[np.ndarray]
    entry: np.ndarray

    def __len__(self) -> int:
        return int(self.entry.shape[1])

    def __add__(self, other: "Points") -> "Points":
        covariates = [np.concatenate(pair) for pair in zip(self.covariates, other.covariates, strict=True)]
        return Points(covariates, np.concatenate([self.entry, other.entry], axis=1))


@dataclass(frozen=True)
class Parameter:
    """One block of the parameter vector: a free variable of the PyMC model on its unconstrained scale."""

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    place: slice
    prior: Prior
    scale: str

    @property
    def ends(self) -> tuple[float, float]:
        """The interval of a variable on the interval scale."""
        p = self.prior.parameters
        return (float(p["lower"]), float(p["upper"])) if "lower" in p else (0.0, 1.0)

    def natural(self, v: Any) -> Any:
        """Return the variable from its unconstrained value."""
        if self.scale == "log":
            return np.exp(np.minimum(v, 50.0))
        if self.scale == "interval":
            low, high = self.ends
            return low + (high - low) / (1 + np.exp(-v))
        return v

    def slope(self, c: Any) -> Any:
        """Return the derivative of the variable in its unconstrained value."""
        if self.scale == "log":
            return c
        if self.scale == "interval":
            low, high = self.ends
            return (c - low) * (high - c) / (high - low)
        return np.ones_like(c)

    def unconstrained(self, c: Any) -> Any:
        """Return the unconstrained value of the variable."""
        if self.scale == "log":
            return np.log(c)
        if self.scale == "interval":
            low, high = self.ends
            return np.log(c - low) - np.log(high - c)
        return c


SCALES = {
    "LogNormal": "log",
    "HalfNormal": "log",
    "Gamma": "log",
    "Exponential": "log",
    "Normal": "identity",
    "Beta": "interval",
    "Uniform": "interval",
}


@dataclass(frozen=True, eq=False)
class Density:
    """The log density of a model's parameters, given the measurements of a design."""

    model: Model
    design: Design

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Blocks of the parameter vector: coefficients first, then populations, then errors."""
        sizes = {"eval": len(self.design.evals), **{g: len(v) for g, v in self.design.groups.items()}}
        found: dict[str, Prior] = dict(self.model.coefficient_priors)
        for name, prior in self.model.coefficient_priors.items():
            found |= {f"{name}_{k}": p for k, p in prior.parameters.items() if isinstance(p, Prior)}
        found |= self.model.noise.priors(len(self.design.evals))
        blocks, start = {}, 0
        for name, prior in found.items():
            if prior.distribution not in SCALES or prior.transform is not None or not prior.centered:
                raise LawError(
                    f"cannot sample {name} with the prior {prior}: use one of {', '.join(SCALES)}, centred and without "
                    "a transform, or sample model.pymc_model with PyMC"
                )
            dims = tuple(prior.dims or ())
            shape = tuple(sizes[d] for d in dims)
            size = math.prod(shape)
            blocks[name] = Parameter(name, dims, shape, slice(start, start + size), prior, SCALES[prior.distribution])
            start += size
        return blocks

    @property
    def size(self) -> int:
        """Number of parameters."""
        return int(list(self.parameters.values())[-1].place.stop)

    @cached_property
    def coefficients(self) -> slice:
        """Where the law's coefficients lie in the parameter vector."""
        names = list(self.model.law.coefficients)
        return slice(0, self.parameters[names[-1]].place.stop)

    def points(self, inputs: Mapping[str, Any], labels: Mapping[str, np.ndarray], evals: np.ndarray) -> Points:
        """Return points from covariates in reference units, integer group labels and validation sets."""
        entry = []
        for name in self.model.law.coefficients:
            block = self.parameters[name]
            at = tuple(evals if d == "eval" else labels[d] for d in block.dims)
            entry.append(block.place.start + np.ravel_multi_index(at, block.shape))
        return Points([np.ascontiguousarray(inputs[c], float) for c in self.model.law.covariates], np.array(entry))

    @cached_property
    def measured(self) -> Points:
        """The measurements that count, as points."""
        d = self.design
        row, ev = d.cells["row"], d.cells["eval"]
        inputs = {}
        for name, value in self.model.law.inputs(d.rows, d.reference).items():
            both = value.broadcast_like(d.measured).transpose("row", "eval")
            inputs[name] = both.values[row, ev]
        labels = {g: pd.Index(v).get_indexer(d.rows[g].values)[row] for g, v in d.groups.items()}
        return self.points(inputs, labels, ev)

    def everywhere(self, grid: Mapping[str, xr.DataArray]) -> tuple[Points, xr.DataArray]:
        """Return points over a grid of covariates, for every validation set and group; and their numbers, labelled."""
        sizes = {"eval": len(self.design.evals), **{g: len(v) for g, v in self.design.groups.items()}}
        parts = {k: v.drop_vars(v.coords) for k, v in grid.items()}
        parts |= {f"at {d}": xr.DataArray(np.arange(n), dims=d) for d, n in sizes.items()}
        full = xr.broadcast(*parts.values())
        by_name = {k: a.values.ravel() for k, a in zip(parts, full, strict=True)}
        labels = {g: by_name[f"at {g}"] for g in self.design.groups}
        points = self.points(by_name, labels, by_name["at eval"])
        return points, full[0].copy(data=np.arange(len(points)).reshape(full[0].shape))

    @cached_property
    def shape(self) -> tuple[Points, np.ndarray, np.ndarray] | None:
        """Points of the shape prior, and the numbers of those between which the loss must fall."""
        if self.model.monotone != "observed":
            return None
        points, lower, upper = None, [], []
        for name, ends in self.model.shape_ends().items():
            more, number = self.everywhere(ends)
            offset = 0 if points is None else len(points)
            points = more if points is None else points + more
            dim = f"{name}_level"
            lower.append(number.isel({dim: slice(None, -1)}).values.ravel() + offset)
            upper.append(number.isel({dim: slice(1, None)}).values.ravel() + offset)
        return None if points is None else (points, np.concatenate(lower), np.concatenate(upper))

    @cached_property
    def _order(self) -> dict[str, np.ndarray]:
        order = self.design.order()
        order["measured"] = self.design.measured.values
        if not self.model.noise.correlated:
            order["start"] = np.arange(len(order["start"]))
        return order

    @cached_property
    def _errors(self) -> list[str]:
        return list(self.model.noise.priors(len(self.design.evals)))

    @cached_property
    def _cells(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        d = self.design
        return d.cells["row"], d.cells["eval"], np.zeros(d.measured.shape)

    @cached_property
    def _points(self) -> Points:
        return self.measured + self.shape[0] if self.shape else self.measured

    def __call__(self, v: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the log density (up to a constant) and its gradient at an unconstrained parameter vector."""
        gradient = np.zeros(len(v))
        density = self.prior(v, gradient)
        if not math.isfinite(density):
            return -math.inf, gradient
        evaluate, points = partials(self.model.law), self._points
        values = np.concatenate(
            [self.parameters[k].natural(v[self.parameters[k].place]) for k in self.model.law.coefficients]
        )
        at = values[points.entry]
        outputs = evaluate(*points.covariates, *at)
        log_loss = outputs[0]
        if not np.isfinite(log_loss).all():
            return -math.inf, gradient
        n = len(self.measured)
        density_of_data, g_log_loss = self._likelihood(log_loss[:n], v, gradient)
        density += density_of_data
        if self.shape:
            _, lower, upper = self.shape
            loss = np.exp(log_loss[n:])
            rise = np.maximum(loss[upper] - loss[lower], 0.0)
            density -= 0.5 * float(rise @ rise) / RISE**2
            pull = np.zeros(len(loss))
            np.add.at(pull, upper, -rise / RISE**2)
            np.add.at(pull, lower, rise / RISE**2)
            g_log_loss = np.concatenate([g_log_loss, pull * loss])
        for k, name in enumerate(self.model.law.coefficients):
            term = g_log_loss * outputs[1 + k] * self.parameters[name].slope(at[k])
            gradient += np.bincount(points.entry[k], term, minlength=len(v))
        if self.model.monotone == "paper":
            raise LawError("monotone='paper' is part of model.pymc_model only: sample that one with PyMC")
        return density, gradient

    @cached_property
    def _normals(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Entries with a normal prior of fixed location and spread on the unconstrained scale."""
        entry: list[int] = []
        mu: list[float] = []
        sd: list[float] = []
        for block in self.parameters.values():
            p = block.prior.parameters
            if block.prior.distribution in ("LogNormal", "Normal") and not any(
                isinstance(x, Prior) for x in p.values()
            ):
                size = block.place.stop - block.place.start
                entry += range(block.place.start, block.place.stop)
                mu += np.broadcast_to(p["mu"], size).tolist()
                sd += np.broadcast_to(p["sigma"], size).tolist()
        return np.array(entry, int), np.array(mu, float), np.array(sd, float)

    @cached_property
    def _others(self) -> list[tuple[str, Parameter]]:
        normal = set(self._normals[0])
        return [(name, block) for name, block in self.parameters.items() if block.place.start not in normal]

    def prior(self, v: np.ndarray, gradient: np.ndarray) -> float:
        """Return the log prior density of an unconstrained vector; add its gradient."""
        entry, location, spread = self._normals
        z = (v[entry] - location) / spread
        gradient[entry] -= z / spread
        density = -0.5 * float(z @ z)
        for name, block in self._others:
            x, p = v[block.place], block.prior.parameters
            kind = block.prior.distribution
            if kind in ("LogNormal", "Normal"):
                mu, mu_spread = self.parent(name, "mu", v)
                sd, sd_spread = self.parent(name, "sigma", v)
                z = (x.reshape(block.shape) - mu) / sd
                repeats = z.size / np.size(sd)
                density -= 0.5 * float((z**2).sum()) + repeats * float(np.log(sd).sum())
                gradient[block.place] -= (z / sd).ravel()
                if mu_spread is not None:
                    gradient[mu_spread.place] += _onto(z / sd, block, mu_spread)
                if sd_spread is not None:
                    gradient[sd_spread.place] += _onto(z**2 - 1, block, sd_spread)
            elif kind == "HalfNormal":
                ratio = (np.exp(np.minimum(x, 50.0)) / p["sigma"]) ** 2
                density += float((x - 0.5 * ratio).sum())
                gradient[block.place] += 1 - ratio
            elif kind in ("Gamma", "Exponential"):
                a, b = (p["alpha"], p["beta"]) if kind == "Gamma" else (1.0, p.get("lam", 1.0))
                rate = b * np.exp(np.minimum(x, 50.0))
                density += float((a * x - rate).sum())
                gradient[block.place] += a - rate
            else:
                a, b = (p["alpha"], p["beta"]) if kind == "Beta" else (1.0, 1.0)
                density -= float((a * np.logaddexp(0, -x) + b * np.logaddexp(0, x)).sum())
                inside = 1 / (1 + np.exp(-x))
                gradient[block.place] += a * (1 - inside) - b * inside
        return density

    def parent(self, name: str, which: str, v: np.ndarray) -> tuple[Any, Parameter | None]:
        """Return location or spread of a variable's prior: a number, or another block that broadcasts against it."""
        block = self.parameters[name]
        value = block.prior.parameters[which]
        if not isinstance(value, Prior):
            return value, None
        parent = self.parameters[f"{name}_{which}"]
        natural = parent.natural(v[parent.place]).reshape(parent.shape)
        return natural.reshape(
            [n if d in parent.dims else 1 for d, n in zip(block.dims, block.shape, strict=True)]
        ), parent

    def _likelihood(self, log_loss: np.ndarray, v: np.ndarray, gradient: np.ndarray) -> tuple[float, np.ndarray]:
        d, noise, order = self.design, self.model.noise, self._order
        row, ev, nothing = self._cells
        error = nothing.copy()
        error[row, ev] = d.log_loss - log_loss
        natural = {k: self.parameters[k].natural(v[self.parameters[k].place]) for k in self._errors}
        w = float(natural["run_weight"][0]) if noise.correlated else 0.0
        ell = float(natural["correlation_length"][0]) if noise.correlated else 1.0
        rho = float(natural["eval_correlation"][0]) if noise.joint else 0.0
        g_error, g_sigma = np.empty_like(error), np.empty(error.shape[1])
        density, g_w, g_ell, g_rho = density_of_errors(
            error,
            order["measured"],
            order["gap"],
            order["start"],
            natural["sigma"],
            w,
            ell,
            rho,
            noise.robust,
            g_error,
            g_sigma,
        )
        gradient[self.parameters["sigma"].place] += g_sigma * natural["sigma"]
        if noise.correlated:
            gradient[self.parameters["run_weight"].place] += g_w * w * (1 - w)
            gradient[self.parameters["correlation_length"].place] += g_ell * ell
        if noise.joint:
            block = self.parameters["eval_correlation"]
            gradient[block.place] += g_rho * block.slope(rho)
        return density, -g_error[row, ev]

    def draw_prior(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw unconstrained parameter vectors from the priors, the shape prior left out."""
        v = np.zeros((draws, self.size))
        parents_first = sorted(self.parameters.items(), key=lambda item: not item[0].endswith(("_mu", "_sigma")))
        for name, block in parents_first:
            p, size = block.prior.parameters, (draws, *block.shape)
            kind = block.prior.distribution
            if kind in ("LogNormal", "Normal"):
                mu, sd = (self._parents(name, k, v) for k in ("mu", "sigma"))
                x = mu + sd * rng.standard_normal(size)
            elif kind == "HalfNormal":
                x = np.log(np.abs(rng.standard_normal(size)) * p["sigma"])
            elif kind in ("Gamma", "Exponential"):
                a, b = (p["alpha"], p["beta"]) if kind == "Gamma" else (1.0, p.get("lam", 1.0))
                x = np.log(rng.gamma(a, 1 / b, size))
            else:
                low, high = block.ends
                unit = rng.beta(p["alpha"], p["beta"], size) if kind == "Beta" else rng.random(size)
                x = block.unconstrained(low + (high - low) * unit)
            v[:, block.place] = x.reshape(draws, -1)
        return v

    def _parents(self, name: str, which: str, v: np.ndarray) -> Any:
        """Location or spread of a variable's prior for many vectors."""
        block = self.parameters[name]
        value = block.prior.parameters[which]
        if not isinstance(value, Prior):
            return value
        parent = self.parameters[f"{name}_{which}"]
        shape = [n if d in parent.dims else 1 for d, n in zip(block.dims, block.shape, strict=True)]
        return parent.natural(v[:, parent.place]).reshape(len(v), *shape)

    def shape_weight(self, v: np.ndarray) -> np.ndarray:
        """Return the shape prior's weight, in [0, 1], of many parameter vectors."""
        if self.model.monotone is None:
            return np.ones(len(v))
        named = {k: xr.DataArray(x, dims=("draw", *self.parameters[k].dims)) for k, x in self.named(v).items()}
        coefficients = {k: named[k] for k in self.model.law.coefficients}
        with np.errstate(all="ignore"):
            total = sum((x**2).sum([d for d in x.dims if d != "draw"]) for x in self.model._violations(coefficients))
        return np.nan_to_num(np.exp(-0.5 * np.asarray(total) / RISE**2), nan=0.0)

    def named(self, v: np.ndarray) -> dict[str, np.ndarray]:
        """Return every variable on its natural scale, from vectors of draws (..., parameter)."""
        return {
            name: block.natural(v[..., block.place]).reshape((*v.shape[:-1], *block.shape))
            for name, block in self.parameters.items()
        }


def _onto(values: np.ndarray, block: Parameter, parent: Parameter) -> np.ndarray:
    """Sum values of a block onto the entries of its parent."""
    return values.sum(axis=tuple(i for i, d in enumerate(block.dims) if d not in parent.dims)).ravel()
