"""Proposals for the coefficients of a new domain, given draws of the shared parameters, and their weights.

For every draw the domain's own coefficients are proposed around their mode, by a Student-t distribution with the
curvature there; the weight is prior times likelihood over the density of the proposal.
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import minimize

from bayeslaw.sampler.density import Density
from bayeslaw.sampler.differences import curvature
from bayeslaw.spec.specification import Specification

__all__ = ["DOMAIN", "PROPOSALS", "Alone"]

DOMAIN = "domain"

PROPOSALS = 10
"""Proposals for each draw."""

FREEDOM = 5.0
"""Degrees of freedom of the proposals."""

LEAST_CURVATURE = 0.1
"""Bounds the standard deviation of a proposal at some three e-folds of a coefficient."""

LEAST_LOG_WEIGHT = -1e10
"""Log weight of a proposal without a density."""


@dataclass(frozen=True, eq=False)
class Alone:
    """The new domain, given draws of the parameters that it shares with the others.

    Parameters
    ----------
    density : Density
        The density of the model of the new domain's runs.
    posterior : xarray.Dataset
        Draws, with the dim ``sample``.
    """

    density: Density
    posterior: xr.Dataset

    @property
    def model(self) -> Specification:
        """The model of the new domain's runs."""
        return self.density.model

    @property
    def own(self) -> list[str]:
        """Names of the coefficients pooled by domain."""
        return [name for name, by in self.model.by.items() if by == DOMAIN]

    def shared(self) -> np.ndarray:
        """Return a parameter vector for each draw, with the own coefficients at the location of their populations."""
        parameters, groups = self.density.parameters, self.model.design.groups
        v = np.zeros((self.posterior.sizes["sample"], self.density.size))
        for name, block in parameters.items():
            if name not in self.own:
                labels = {d: groups[d] for d in block.dims if d in groups}
                knots = {d: slice(n) for d, n in zip(block.dims, block.shape, strict=True) if d.startswith("knot_")}
                value = self.posterior[name].sel(labels).isel(knots).transpose("sample", *block.dims).values
                v[:, block.place] = block.unconstrained(value.reshape(len(v), -1))
        for name in self.own:
            block = parameters[name]
            location = v[:, parameters.parents["mu"][block.place]]
            v[:, block.place] = np.exp(location).clip(min=block.bend) if block.scale == "level" else location
        return v

    def rest(self, v: np.ndarray, entry: np.ndarray) -> float:
        """Return the log prior of all but the own coefficients, from a vector of `shared`."""
        parameters = self.density.parameters
        c, slope = parameters.natural(v)
        everything = parameters.log_prior(v, c, slope, np.zeros_like(v))
        mu, sd = (c[parameters.parents[k][entry]] for k in ("mu", "sigma"))
        level = np.concatenate([np.full(len(parameters[n].entries), parameters[n].scale == "level") for n in self.own])
        x = np.where(level, np.log(np.where(level, v[entry], 1.0)), v[entry])
        return everything - float((-0.5 * ((x - mu) / sd) ** 2 - np.log(sd) - np.where(level, x, 0.0)).sum())

    def propose(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return proposals (draw, proposal, own entry) for the own coefficients, and their log weights.

        Amplitudes are proposed on their natural scale: the law is linear in them, and the likelihood about normal.
        """
        parameters, terms = self.density.parameters, self.model.terms
        entry = np.concatenate([parameters[name].entries for name in self.own])
        amplitudes = [n for n in self.own if parameters[n].scale == "log" and n in terms]
        linear = np.concatenate([np.full(len(parameters[n].entries), n in amplitudes) for n in self.own])
        vectors = self.shared()
        proposals = np.empty((len(vectors), PROPOSALS, len(entry)))
        log_weight = np.empty(proposals.shape[:2])
        start, root = np.where(linear, np.exp(vectors[0, entry]), vectors[0, entry]), 0.1 * np.eye(len(entry))
        for n, v in enumerate(vectors):
            at = _At(self.density, v.copy(), entry, linear)
            start = _mode(at, start, root)
            root = _root(at, start)
            steps = rng.standard_normal((PROPOSALS, len(entry)))
            steps /= np.sqrt(rng.chisquare(FREEDOM, (PROPOSALS, 1)) / FREEDOM)
            proposals[n] = start + steps @ root.T
            log_q = -0.5 * (FREEDOM + len(entry)) * np.log1p((steps**2).sum(1) / FREEDOM)
            log_q -= math.log(abs(np.linalg.det(root)))
            log_weight[n] = np.array([at(x)[0] for x in proposals[n]]) - self.rest(v, entry) - log_q
        proposals[..., linear] = np.log(np.maximum(proposals[..., linear], 1e-300))
        return proposals, np.nan_to_num(log_weight, nan=LEAST_LOG_WEIGHT, neginf=LEAST_LOG_WEIGHT)

    def named(self, proposals: np.ndarray) -> xr.Dataset:
        """Return the proposals on their natural scale, with the dims sample, proposal and those of the coefficients."""
        found, start = {}, 0
        for name in self.own:
            block = self.density.parameters[name]
            end = start + len(block.entries)
            value = block.natural(proposals[..., start:end]).reshape((*proposals.shape[:2], *block.shape))
            found[name] = (("sample", "proposal", *block.dims), value)
            start = end
        coords = {"eval": self.model.design.evals, **self.model.design.groups}
        data = xr.Dataset(found)
        return data.assign_coords({d: coords[d] for d in map(str, data.dims) if d in coords})


@dataclass(frozen=True, eq=False)
class _At:
    """Log density and gradient as a function of some entries of a vector, the `linear` ones on their natural scale."""

    density: Density
    vector: np.ndarray
    entry: np.ndarray
    linear: np.ndarray

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if not (x[self.linear] > 0).all():
            return -math.inf, np.zeros_like(x)
        scale = np.where(self.linear, x, 1.0)
        self.vector[self.entry] = np.where(self.linear, np.log(scale), x)
        value, gradient = self.density(self.vector)
        return value - float(np.log(scale).sum()), (gradient[self.entry] - self.linear) / scale


def _mode(at: _At, start: np.ndarray, root: np.ndarray) -> np.ndarray:
    """Return the mode, in steps of a square root of a covariance near that of the mode."""

    def minus(q: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = at(start + root @ q)
        return (-value, -root.T @ gradient) if math.isfinite(value) else (1e10, np.zeros_like(q))

    mode: np.ndarray = start + root @ minimize(minus, np.zeros_like(start), jac=True, method="BFGS").x
    return mode


def _root(at: _At, mode: np.ndarray) -> np.ndarray:
    """Return a square root of the covariance that the curvature at the mode gives."""
    values, vectors = np.linalg.eigh(np.nan_to_num(curvature(at, mode, np.ones_like(mode), np.full(len(mode), -1))))
    root: np.ndarray = vectors / np.sqrt(np.maximum(np.abs(values), LEAST_CURVATURE))
    return root
